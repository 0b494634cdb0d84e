//! What this process may write and call for: which owners of accounts it holds, and until when.
//!
//! A worker on SQLite has the whole database ([`Ownership::default`]), and so has a command. Workers on PostgreSQL share
//! one: each holds owners, and the transaction that it begins compares their epochs. The paid call is outside of any
//! transaction, and so no such check reaches it. Hence there is a deadline by this machine's boot clock, begun before the
//! renewal was sent: past it nothing is sent, whatever the database says later.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::StoreError;

/// Shared by everything in this process that writes or calls; cheap to clone.
#[derive(Clone, Debug)]
pub struct Ownership(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None`: everything.
    member: Mutex<Option<Member>>,
    /// By the boot clock.
    deadline_ms: AtomicI64,
    /// Whether another worker calls from the same machine, and so from the same address.
    has_neighbours: AtomicBool,
}

#[derive(Debug)]
struct Member {
    worker: String,
    /// Its machine.
    host: String,
    /// With the epoch of each.
    owners: BTreeMap<String, i64>,
}

impl Default for Ownership {
    fn default() -> Ownership {
        Ownership(Arc::new(Inner {
            member: Mutex::default(),
            deadline_ms: AtomicI64::new(i64::MAX),
            has_neighbours: AtomicBool::default(),
        }))
    }
}

impl Ownership {
    /// Whether other workers may have the rest of the database.
    pub fn is_shared(&self) -> bool {
        self.member().is_some()
    }

    /// The name of this worker among the others.
    pub fn worker(&self) -> Option<String> {
        self.member().as_ref().map(|member| member.worker.clone())
    }

    /// The name of this machine among the others.
    pub fn host(&self) -> Option<String> {
        self.member().as_ref().map(|member| member.host.clone())
    }

    /// The name of this machine, when another worker on it lives.
    pub fn shared_host(&self) -> Option<String> {
        self.host().filter(|_| self.0.has_neighbours.load(Ordering::SeqCst))
    }

    pub fn set_neighbours(&self, has_neighbours: bool) {
        self.0.has_neighbours.store(has_neighbours, Ordering::SeqCst);
    }

    /// Whether this owner is held.
    pub fn holds(&self, owner: &str) -> bool {
        self.member().as_ref().is_none_or(|member| member.owners.contains_key(owner))
    }

    /// The owners that are held one by one; none when everything is.
    pub fn owners(&self) -> Vec<String> {
        self.member().as_ref().map_or_else(Vec::new, |member| member.owners.keys().cloned().collect())
    }

    /// The time until the deadline at `steady_ms`, by the boot clock.
    pub fn left_ms(&self, steady_ms: i64) -> i64 {
        self.0.deadline_ms.load(Ordering::SeqCst).saturating_sub(steady_ms)
    }

    /// Whether so much time is left: a paid call must end before the deadline.
    pub fn has_time(&self, steady_ms: i64, needed_ms: i64) -> bool {
        self.left_ms(steady_ms) >= needed_ms
    }

    /// The deadline moves. `asked_at_ms`: when the renewal was sent, by the boot clock.
    pub fn renewed(&self, asked_at_ms: i64, lease_ms: i64) {
        self.0.deadline_ms.store(asked_at_ms.saturating_add(lease_ms), Ordering::SeqCst);
    }

    /// From now on this process holds what it takes, and nothing yet.
    pub(in crate::store) fn join(&self, worker: &str, host: &str) {
        let (worker, host) = (worker.to_owned(), host.to_owned());
        *self.member() = Some(Member { worker, host, owners: BTreeMap::new() });
        self.0.deadline_ms.store(i64::MIN, Ordering::SeqCst);
    }

    pub(in crate::store) fn add(&self, owner: String, epoch: i64) {
        if let Some(member) = self.member().as_mut() {
            member.owners.insert(owner, epoch);
        }
    }

    pub(in crate::store) fn remove(&self, owner: &str) {
        if let Some(member) = self.member().as_mut() {
            member.owners.remove(owner);
        }
    }

    /// Every owner that is held must be among these rows, with its epoch.
    pub(in crate::store) fn check(&self, rows: &BTreeMap<String, i64>) -> Result<(), StoreError> {
        let member = self.member();
        let Some(member) = member.as_ref() else { return Ok(()) };
        match member.owners.iter().find(|(owner, epoch)| rows.get(*owner) != Some(epoch)) {
            None => Ok(()),
            Some(_) => Err(StoreError::Fenced),
        }
    }

    fn member(&self) -> MutexGuard<'_, Option<Member>> {
        // A panic elsewhere ends the process.
        self.0.member.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_everything_has_time_and_every_owner() {
        let whole = Ownership::default();
        assert!(whole.holds("a") && whole.has_time(i64::MAX - 60_000, 30_000) && !whole.is_shared());
        assert!(whole.check(&BTreeMap::new()).is_ok());
    }

    #[test]
    fn a_member_has_what_it_took_until_its_deadline_and_only_with_its_epoch() {
        let shared = Ownership::default();
        shared.join("w", "h");
        assert!(!shared.holds("a") && !shared.has_time(0, 0), "before the first renewal nothing is sent");
        shared.add("a".to_owned(), 3);
        shared.renewed(1_000, 60_000);
        assert!(shared.holds("a") && shared.has_time(31_000, 30_000) && !shared.has_time(31_001, 30_000));
        let rows = |epoch| BTreeMap::from([("a".to_owned(), epoch), ("b".to_owned(), 1)]);
        assert!(shared.check(&rows(3)).is_ok());
        assert!(matches!(shared.check(&rows(4)), Err(StoreError::Fenced)), "somebody else took it");
        assert!(matches!(shared.check(&BTreeMap::new()), Err(StoreError::Fenced)));
        shared.remove("a");
        assert!(shared.check(&rows(4)).is_ok(), "it was given back");
    }
}
