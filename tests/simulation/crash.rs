//! What happens to a worker at a chosen commit or call. Killed on SQLite: the next worker gets a copy of its files from
//! that very moment. On PostgreSQL it loses all of its connections then.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use unlockd::failpoint::{self, Place};

use crate::server::Server;

/// What became of the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// It is dead.
    Kills,
    /// Its process is stopped.
    Freezes,
    /// It goes on, and finds out.
    Spares,
}

#[derive(Default)]
struct Plan {
    /// Whether the present steps belong to the worker, and not to other programs.
    armed: bool,
    /// Places until it happens; `None`: nothing is planned.
    left: Option<u64>,
    strike: Option<Box<dyn FnOnce() -> Blow>>,
    struck: Option<(Place, Blow)>,
}

/// The plan of the present thread's run; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Crash(Rc<RefCell<Plan>>);

impl Crash {
    /// Watches the places of this thread.
    pub(crate) fn watch() -> Crash {
        let crash = Crash::default();
        let watcher = crash.clone();
        failpoint::watch(move |place| watcher.0.borrow_mut().pass(place));
        crash
    }

    pub(crate) fn arm(&self, armed: bool) {
        self.0.borrow_mut().armed = armed;
    }

    /// Plans that this happens after so many places.
    pub(crate) fn plan(&self, left: Option<u64>, strike: impl FnOnce() -> Blow + 'static) {
        *self.0.borrow_mut() = Plan { left, strike: Some(Box::new(strike)), ..Plan::default() };
    }

    /// Where the worker was killed.
    pub(crate) fn happened(&self) -> Option<Place> {
        self.struck().filter(|(_, blow)| *blow == Blow::Kills).map(|(place, _)| place)
    }

    /// Whether the worker was stopped.
    pub(crate) fn froze(&self) -> bool {
        self.struck().is_some_and(|(_, blow)| blow == Blow::Freezes)
    }

    /// Where it happened, and what.
    pub(crate) fn struck(&self) -> Option<(Place, Blow)> {
        self.0.borrow().struck
    }
}

impl Plan {
    fn pass(&mut self, place: Place) {
        let Some(left) = self.left.filter(|_| self.armed && self.struck.is_none()) else { return };
        if left > 0 {
            self.left = Some(left - 1);
        } else if let Some(strike) = self.strike.take() {
            self.struck = Some((place, strike()));
        }
    }
}

/// What is on disk now is what the next worker finds.
pub(crate) fn cut(server: Option<&Server>, from: &Path, to: &Path) {
    match server {
        Some(server) => server.end_connections(),
        None => copy(from, to),
    }
}

/// Copies the database files of a folder, without those that SQLite recreates.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for name in ["unlockd.db", "unlockd.db-wal", "inbox.db", "inbox.db-wal"] {
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).expect("copied");
        }
    }
}
