//! The owners that this worker is to serve, and those that it serves: between the task that holds the leases
//! ([`super::members`]) and the driver.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::store::postgres::members::Taken;

/// One for each worker. Unused by a worker that has the whole database.
#[derive(Debug, Default)]
pub struct Shares {
    wanted: watch::Sender<BTreeMap<String, Taken>>,
    served: watch::Sender<BTreeSet<String>>,
    has_others: AtomicBool,
    /// The driver has ended.
    is_done: watch::Sender<bool>,
}

impl Shares {
    /// The owners whose passes are to run.
    pub fn wanted(&self) -> watch::Receiver<BTreeMap<String, Taken>> {
        self.wanted.subscribe()
    }

    /// An owner was taken.
    pub fn add(&self, owner: &str, taken: Taken) {
        self.wanted.send_modify(|wanted| wanted.extend([(owner.to_owned(), taken)]));
    }

    /// An owner is to be given back, once its passes have ended.
    pub fn drop_owner(&self, owner: &str) {
        self.wanted.send_if_modified(|wanted| wanted.remove(owner).is_some());
    }

    /// All are to be given back, each once its passes have ended.
    pub fn drop_all(&self) {
        self.wanted.send_if_modified(|wanted| !std::mem::take(wanted).is_empty());
    }

    /// No pass runs any more, and none will.
    pub fn finish(&self) {
        self.serves(BTreeSet::new());
        self.is_done.send_replace(true);
    }

    pub fn done(&self) -> watch::Receiver<bool> {
        self.is_done.subscribe()
    }

    /// The owners whose passes run.
    pub fn served(&self) -> watch::Receiver<BTreeSet<String>> {
        self.served.subscribe()
    }

    /// The driver says which owners' passes run.
    pub fn serves(&self, owners: BTreeSet<String>) {
        self.served.send_if_modified(|served| {
            let differs = *served != owners;
            *served = owners;
            differs
        });
    }

    /// Whether other workers live, which have to be told what they cannot see by themselves.
    pub fn has_others(&self) -> bool {
        self.has_others.load(Ordering::Relaxed)
    }

    pub fn set_others(&self, has_others: bool) {
        self.has_others.store(has_others, Ordering::Relaxed);
    }
}
