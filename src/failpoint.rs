//! Places where a test kills, stops or watches the process.
//!
//! Only in debug builds: `UNLOCKD_FAIL=PLACE:N[:stop|:hang]` acts when the process passes the place for the
//! N-th time: it kills the process (SIGKILL, like a power cut), stops it (SIGSTOP), or hangs there for ever.
//! The places are before and after each commit and each call to the API. A test counts N up from 1 until a
//! run is not interrupted, so every place is visited.
//!
//! [`watch`] is for tests that run the worker in their own process; every build has it, since these tests
//! also run optimised. It can be set only in code.

use std::cell::RefCell;

/// Where a process can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    BeforeCommit,
    AfterCommit,
    BeforeCall,
    AfterCall,
    /// Between the commit of the intent to send and the POST.
    AfterIntent,
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    use super::Place;

    struct Plan {
        place: &'static str,
        at: u64,
        /// `None`: only this thread hangs; the rest of the process continues.
        signal: Option<Signal>,
        passed: AtomicU64,
    }

    fn name(place: Place) -> &'static str {
        match place {
            Place::BeforeCommit => "before_commit",
            Place::AfterCommit => "after_commit",
            Place::BeforeCall => "before_call",
            Place::AfterCall => "after_call",
            Place::AfterIntent => "after_intent",
        }
    }

    fn plan() -> Option<&'static Plan> {
        static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
        PLAN.get_or_init(|| read(&std::env::var("UNLOCKD_FAIL").ok()?)).as_ref()
    }

    fn read(text: &str) -> Option<Plan> {
        let mut parts = text.split(':');
        let (place, at) = (parts.next()?, parts.next()?.parse().ok()?);
        let places = [
            Place::BeforeCommit,
            Place::AfterCommit,
            Place::BeforeCall,
            Place::AfterCall,
            Place::AfterIntent,
        ];
        let place = places.map(name).into_iter().find(|known| *known == place)?;
        let signal = match parts.next() {
            Some("stop") => Some(Signal::STOP),
            Some("hang") => None,
            _ => Some(Signal::KILL),
        };
        Some(Plan { place, at, signal, passed: AtomicU64::new(0) })
    }

    pub(super) fn pass(place: Place) {
        let Some(plan) = plan().filter(|plan| plan.place == name(place)) else { return };
        if plan.passed.fetch_add(1, Ordering::SeqCst) + 1 == plan.at {
            let Some(signal) = plan.signal else {
                std::thread::sleep(std::time::Duration::from_secs(3_600));
                return;
            };
            // If the signal cannot be sent, the test sees that the process is still alive.
            let _ = kill_process(getpid(), signal);
            // Another thread receives the signal. Until then nothing more may happen here: a process that is
            // stopped inside a transaction keeps the database locked.
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }
}

type Watcher = Box<dyn FnMut(Place)>;

thread_local! {
    static WATCHER: RefCell<Option<Watcher>> = const { RefCell::new(None) };
}

/// Calls `watcher` whenever this thread passes a place; replaces the watcher before it.
pub fn watch(watcher: impl FnMut(Place) + 'static) {
    WATCHER.set(Some(Box::new(watcher)));
}

/// Whether this thread is watched: then time is the test's, and nothing gets better while the program waits.
pub fn is_watched() -> bool {
    WATCHER.with_borrow(Option::is_some)
}

/// Marks that the program passes a place.
#[inline]
pub fn pass(place: Place) {
    #[cfg(debug_assertions)]
    armed::pass(place);
    WATCHER.with_borrow_mut(|watcher| {
        if let Some(watcher) = watcher {
            watcher(place);
        }
    });
}
