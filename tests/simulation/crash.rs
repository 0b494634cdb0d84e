//! Kills the worker at a chosen commit or call: the next worker gets a copy of its files from that very
//! moment. On PostgreSQL it loses all of its connections then.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use unlockd::failpoint::{self, Place};

use crate::server::Server;

#[derive(Default)]
struct Plan {
    /// Whether the present steps belong to the worker, and not to other programs.
    armed: bool,
    /// Places until the crash; `None`: no crash is planned.
    left: Option<u64>,
    from: PathBuf,
    to: PathBuf,
    crashed: Option<Place>,
    server: Option<Rc<Server>>,
}

/// The plan of the present thread's run; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Crash(Rc<RefCell<Plan>>);

impl Crash {
    /// Watches the places of this thread.
    pub(crate) fn watch(server: Option<Rc<Server>>) -> Crash {
        let crash = Crash::default();
        crash.0.borrow_mut().server = server;
        let watcher = crash.clone();
        failpoint::watch(move |place| watcher.0.borrow_mut().pass(place));
        crash
    }

    pub(crate) fn arm(&self, armed: bool) {
        self.0.borrow_mut().armed = armed;
    }

    /// Plans a crash after this many places; then the files in `from` are copied to `to`.
    pub(crate) fn plan(&self, left: Option<u64>, from: &Path, to: &Path) {
        let (from, to) = (from.to_owned(), to.to_owned());
        let server = self.0.borrow_mut().server.take();
        *self.0.borrow_mut() = Plan { left, from, to, server, ..Plan::default() };
    }

    pub(crate) fn happened(&self) -> Option<Place> {
        self.0.borrow().crashed
    }
}

impl Plan {
    fn pass(&mut self, place: Place) {
        let Some(left) = self.left.filter(|_| self.armed && self.crashed.is_none()) else { return };
        if left == 0 {
            cut(self.server.as_deref(), &self.from, &self.to);
            self.crashed = Some(place);
        } else {
            self.left = Some(left - 1);
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
