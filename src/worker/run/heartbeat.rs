//! Signs of life of the passes, for systemd's watchdog and `/readyz`.
//!
//! A pass beats at each turn of its loop, every few seconds while it sleeps, and before and after each call.
//! So a pass without a beat for longer than a call may take hangs, even if the rest of the process works. A
//! pass that ended, or that runs outside of the driver, is not watched.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::{Millis, pacing};

/// Time a pass may need besides its call: a commit on a slow disk, a busy machine.
const SLACK_MS: i64 = 10_000;

/// The last beat of each pass that runs.
#[derive(Debug)]
pub struct Heartbeat {
    clock: Clock,
    beats: Mutex<BTreeMap<String, Millis>>,
}

/// A pass that shows no sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stalled {
    pub pass: String,
    pub since: Millis,
}

/// The heartbeat and the pass that it belongs to.
struct Pulse {
    heartbeat: Arc<Heartbeat>,
    pass: String,
}

tokio::task_local! {
    static PULSE: Pulse;
}

/// A sign of life of the pass that is running.
pub fn beat() {
    // Commands and tests run passes without a driver; those are not watched.
    let _ = PULSE.try_with(|pulse| pulse.heartbeat.beat(&pulse.pass));
}

impl Heartbeat {
    pub fn new(clock: Clock) -> Heartbeat {
        Heartbeat { clock, beats: Mutex::default() }
    }

    /// Runs a pass to its end and watches it under a name.
    pub async fn follow<F: Future>(self: Arc<Heartbeat>, pass: String, work: F) -> F::Output {
        self.beat(&pass);
        let pulse = Pulse { heartbeat: self.clone(), pass: pass.clone() };
        let ended = PULSE.scope(pulse, work).await;
        self.beats().remove(&pass);
        ended
    }

    /// The passes that run.
    pub fn running(&self) -> Vec<String> {
        self.beats().keys().cloned().collect()
    }

    /// The last beat of the pass that has been silent longest; `None` if no pass runs.
    pub fn oldest(&self) -> Option<Millis> {
        self.beats().values().min().copied()
    }

    /// The pass that has been silent longest, if a call of `api_timeout` does not explain it.
    pub fn stalled(&self, api_timeout: Duration) -> Option<Stalled> {
        let oldest = self.beats().iter().min_by_key(|(_, at)| **at).map(|(pass, at)| (pass.clone(), *at));
        let (pass, since) = oldest?;
        let allowed_ms = pacing::duration_ms(api_timeout) + SLACK_MS;
        (self.clock.now().since(since) > allowed_ms).then_some(Stalled { pass, since })
    }

    fn beat(&self, pass: &str) {
        let now = self.clock.now();
        let mut beats = self.beats();
        match beats.get_mut(pass) {
            Some(at) => *at = now,
            None => drop(beats.insert(pass.to_owned(), now)),
        }
    }

    fn beats(&self) -> MutexGuard<'_, BTreeMap<String, Millis>> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pass_that_does_not_beat_is_named_and_one_that_ended_is_not() {
        let clock = Clock::test();
        let (heartbeat, timeout) = (Arc::new(Heartbeat::new(clock.clone())), Duration::from_secs(30));
        let advance = |seconds| clock.advance(Duration::from_secs(seconds));
        let began = clock.now();
        let poll = heartbeat.clone().follow("poll".to_owned(), async {
            heartbeat.clone().follow("submit".to_owned(), async { advance(40) }).await;
            assert_eq!(heartbeat.stalled(timeout), None, "a call may take this long");
            advance(1);
            let since = began;
            assert_eq!(heartbeat.stalled(timeout), Some(Stalled { pass: "poll".to_owned(), since }));
            beat();
            assert_eq!(heartbeat.stalled(timeout), None);
            advance(41);
        });
        poll.await;
        assert_eq!(heartbeat.stalled(timeout), None);
    }
}
