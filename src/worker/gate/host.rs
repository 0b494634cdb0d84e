//! The limit of the address: the vendor limits each key, and each IP address.
//!
//! An answer does not say which of the two limits it means. So the gates of one worker also count all their
//! calls together, against the largest limit that any of them knows, and a 429 to one gate holds them all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api::Client;
use crate::domain::rate::Rate;
use crate::domain::{AccountId, Millis};
use crate::store::{Store, StoreError, accounts};

/// Shared by all gates of one worker; cheap to clone.
#[derive(Clone)]
pub struct Host {
    pub client: Client,
    calls: Arc<Mutex<Calls>>,
}

/// The calls of all gates.
pub struct Calls {
    pub rate: Rate,
    /// For each account that makes calls: its known limit (calls, and the window in milliseconds), and the
    /// end of the last window that the API named.
    limits: BTreeMap<AccountId, (u32, i64, Option<Millis>)>,
}

impl Host {
    /// Starts with the calls and the limits of all accounts from the last run.
    pub async fn open(client: Client, store: &Store) -> Result<Host, StoreError> {
        let (sent, blocked_until) = accounts::sent_and_blocked(store.readers()).await?;
        Ok(Host { client, calls: Arc::new(Mutex::new(Calls::new(sent, blocked_until))) })
    }

    /// Lock order: always before a gate's own knowledge, never after it.
    pub fn calls(&self) -> MutexGuard<'_, Calls> {
        // A panic elsewhere ends the process, and the figures are never half written.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    fn new(sent: Vec<Millis>, blocked_until: Option<Millis>) -> Calls {
        let window_ms = crate::domain::rate::DOCUMENTED_WINDOW_MS;
        // No limit until an account has learned one.
        let rate = Rate::restored(u32::MAX, window_ms, sent, None, blocked_until);
        Calls { rate, limits: BTreeMap::new() }
    }

    /// Takes over what an account has learned about its own limit.
    pub fn measure(&mut self, account: &AccountId, own: &Rate) {
        self.limits.insert(account.clone(), (own.limit(), own.window_ms(), own.last_reset()));
        let in_an_hour = |(limit, window_ms, _): &(u32, i64, Option<Millis>)| {
            i64::from(*limit) * 3_600_000 / (*window_ms).max(1)
        };
        // When the latest window has ended, all have ended.
        let last_reset = self.limits.values().filter_map(|(_, _, last_reset)| *last_reset).max();
        if let Some((limit, window_ms, _)) = self.limits.values().copied().max_by_key(in_an_hour) {
            self.rate.measure(limit, window_ms, last_reset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rate::Permission;

    fn account(name: &str) -> AccountId {
        AccountId::trusted(name)
    }

    #[test]
    fn calls_of_all_accounts_count_together() {
        let mut calls = Calls::new(vec![Millis(10), Millis(20)], Some(Millis(40)));
        calls.measure(&account("default"), &Rate::new(3));
        calls.rate.book(Millis(30));
        assert_eq!(calls.rate.permission(Millis(35)), Permission::At(Millis(60_610)));
        assert_eq!(calls.rate.blocked_until(), Some(Millis(40)));
    }

    #[test]
    fn an_account_with_a_small_limit_is_not_starved_by_the_calls_of_others() {
        let mut calls = Calls::new(Vec::new(), None);
        calls.measure(&account("large"), &Rate::new(120));
        (0..100).for_each(|at| calls.rate.book(Millis(at)));
        calls.measure(&account("small"), &Rate::new(20));
        assert_eq!(calls.rate.permission(Millis(200)), Permission::Now);
        calls.measure(&account("large"), &Rate::new(60));
        assert_ne!(calls.rate.permission(Millis(200)), Permission::Now, "the largest has shrunk");
    }
}
