//! The limit of the address: the vendor limits each key, and each IP address.
//!
//! An answer does not say which of the two limits it means. A 429 to a key that has calls left means the
//! address: it holds all accounts until its window ends ([`Address`]). Every other 429, and every other
//! `Retry-After`, holds only the account that got it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api::Client;
use crate::domain::address::Address;
use crate::domain::rate::Rate;
use crate::domain::{AccountId, Millis};
use crate::store::{Store, StoreError, address};

/// Shared by all gates of one worker; cheap to clone.
#[derive(Clone)]
pub struct Host {
    pub client: Client,
    calls: Arc<Mutex<Calls>>,
}

/// The calls of all gates.
pub struct Calls {
    pub address: Address,
    /// For each account that calls: its window in milliseconds, and when it called last.
    callers: BTreeMap<AccountId, (i64, Millis)>,
}

impl Host {
    /// Starts with the calls of all accounts, and the limit of the address, from the last run.
    pub async fn open(
        client: Client,
        per_address: u32,
        store: &Store,
        now: Millis,
    ) -> Result<Host, StoreError> {
        let host = store.ownership().host();
        let address = address::read(store.readers(), (per_address, host.as_deref()), now).await?;
        Ok(Host { client, calls: Arc::new(Mutex::new(Calls { address, callers: BTreeMap::new() })) })
    }

    /// Lock order: always before a gate's own knowledge, never after it.
    pub fn calls(&self) -> MutexGuard<'_, Calls> {
        // A panic elsewhere ends the process, and the figures are never half written.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the configured limit.
    pub fn set_per_address(&self, per_address: u32) {
        self.calls().address.configure(per_address);
    }
}

impl Calls {
    /// Records a call of an account that is about to be sent.
    pub fn book(&mut self, account: &AccountId, own: &Rate, now: Millis) {
        self.callers.insert(account.clone(), (own.window_ms(), now));
        self.address.book(now);
    }

    /// Takes over the window that an account has learned.
    pub fn measure(&mut self, account: &AccountId, own: &Rate) {
        let caller = self.callers.entry(account.clone()).or_default();
        caller.0 = own.window_ms();
        if let Some(shortest) = self.callers.values().map(|(window_ms, _)| *window_ms).min() {
            self.address.measure(shortest);
        }
    }

    /// An account's part of the address's limit: calls in a window of so many milliseconds.
    pub fn part(&self, now: Millis) -> (u32, i64) {
        let called_lately = |(_, at): &&(i64, Millis)| now.since(*at) < LATELY_MS;
        let callers = u32::try_from(self.callers.values().filter(called_lately).count()).unwrap_or(u32::MAX);
        (self.address.limit(now) / callers.max(1), self.address.window_ms())
    }
}

/// An account that called within this time shares the address with the others, in milliseconds.
const LATELY_MS: i64 = 300_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_that_call_share_the_address_and_its_window_is_the_shortest_of_theirs() {
        let address = Address::restored(600, [], None, None, Millis(0));
        let mut calls = Calls { address, callers: BTreeMap::new() };
        let [first, second] = ["first", "second"].map(AccountId::trusted);
        assert_eq!(calls.part(Millis(0)), (600, 60_000));
        calls.book(&first, &Rate::new(120), Millis(0));
        calls.book(&second, &Rate::new(120), Millis(10));
        assert_eq!(calls.part(Millis(20)), (300, 60_000));
        assert_eq!(calls.part(Millis(LATELY_MS)), (600, 60_000), "the first has stopped");
        let short = Rate::restored(20, 10_000, [], None, None, Millis(0));
        calls.measure(&first, &short);
        assert_eq!(calls.part(Millis(20)), (50, 10_000));
    }
}
