//! An account that this worker takes over from another one.

use std::sync::PoisonError;

use super::{Deps, open_gate};
use crate::domain::AccountId;
use crate::store::{StoreError, accounts};
use crate::worker::owners;

impl Deps {
    /// An account comes from another worker: what this process knew of it is out of date.
    pub(in crate::worker) async fn open_again(&self, account: &AccountId) -> Result<(), StoreError> {
        let (old, config) = (self.gate(account), self.config());
        let owners = accounts::owners(self.store.readers()).await?;
        let waits = owners::waits_for_owner(&config, account, owners.get(account).map(String::as_str));
        let key = if waits && old.has_usable_key() { old.key() } else { self.configured_key(&old) };
        let per_minute = config.rate_limit.per_minute;
        let gate = open_gate(account, key, (&self.host, per_minute), &self.store, &self.clock).await?;
        self.gates.write().unwrap_or_else(PoisonError::into_inner).insert(account.clone(), gate);
        // Prechecks, and unfinished looks, are of a version of their job that other workers may have changed.
        self.sortings().clear();
        self.looks().clear();
        self.looked_up().retain(|(of, _), _| of != account);
        self.lists().retain(|(of, _), _| of != account);
        self.batch_turns().remove(account);
        Ok(())
    }
}
