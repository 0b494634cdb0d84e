//! Ways to crash, and older copies of the database.

use tempfile::TempDir;
use unlockd::worker::doubt::verify;
use unlockd::worker::people::pause;
use unlockd::worker::run::driver;
use unlockd::worker::{intake, poll, profile, settle, submit};

use super::{Town, connect};

impl Town {
    /// Runs until the API leaves a call without an answer (`lost-answer=timeout`) and kills the worker at
    /// that moment; or until the time is over. Returns whether it was killed.
    pub(crate) async fn killed_when_silent(&mut self, ms: i64) -> bool {
        let deps = self.deps().clone();
        let silent = |town: &Town| {
            town.sandbox.journal().iter().any(|call| call.fault.as_deref() == Some("lost-answer=timeout"))
        };
        for _ in 0..ms / 1_000 {
            loop {
                let step = driver::step(&deps);
                let waits = async {
                    while !silent(self) {
                        tokio::task::yield_now().await;
                    }
                };
                let did = tokio::select! {
                    did = step => did.expect("the database is well"),
                    () = waits => {
                        self.kill();
                        return true;
                    }
                };
                if did == 0 {
                    break;
                }
            }
            self.advance(1_000);
        }
        false
    }

    /// A copy of the database files.
    pub(crate) fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().expect("a temporary directory");
        for name in ["unlockd.db", "unlockd.db-wal"] {
            std::fs::copy(self.dir.path().join(name), copy.path().join(name)).expect("copied");
        }
        copy
    }

    /// Runs the passes one by one, and copies the database after each pass that did something.
    pub(crate) async fn copy_after_each_pass(&mut self) -> Vec<TempDir> {
        let (deps, mut copies) = (self.deps().clone(), Vec::new());
        let account = deps.accounts().remove(0);
        loop {
            let before = copies.len();
            for pass in 0..6 {
                let report = match pass {
                    0 => intake::run(&deps).await,
                    1 => submit::run(&deps, &account).await,
                    2 => poll::run(&deps, &account).await,
                    3 => verify::run(&deps, &account).await,
                    4 => profile::run(&deps, &account).await,
                    _ => settle::run(&deps, &account).await,
                };
                if report.expect("the database is well").did > 0 {
                    copies.push(self.copy());
                }
            }
            if copies.len() == before {
                return copies;
            }
        }
    }

    /// The worker dies, and starts again with an older copy of its database.
    pub(crate) async fn restore(&mut self, copy: &TempDir) {
        self.kill();
        self.allowed.restored = true;
        for name in ["unlockd.db", "unlockd.db-wal", "unlockd.db-shm"] {
            std::fs::remove_file(self.dir.path().join(name)).ok();
        }
        for name in ["unlockd.db", "unlockd.db-wal"] {
            std::fs::copy(copy.path().join(name), self.dir.path().join(name)).expect("copied");
        }
        self.start().await;
        // As `unlockd run` does when the mark beside the database is newer.
        let deps = self.deps();
        pause::distrust_restored(&deps.store, deps.accounts(), deps.clock.now()).await.expect("noted");
        self.state = connect(self.database()).await;
        let inbox = self.store().inbox_path().to_owned();
        self.user = connect(inbox).await;
    }
}
