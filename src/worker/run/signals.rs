//! Wakes passes and stops them; and the sleep of a pass that has nothing to do.
//!
//! A wake-up carries no data: a pass that is woken reads its rows. A wake-up of a busy pass is kept, so
//! none is missed. A stop cannot be undone, and ends every sleep.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::Millis;
use crate::worker::Deps;
use crate::worker::run::heartbeat;

/// Wakes passes and stops them.
#[derive(Clone)]
pub struct Signals {
    pub(in crate::worker) wake: Arc<watch::Sender<u64>>,
    stop: Arc<watch::Sender<bool>>,
    /// Those of the process, if these are of a part of its life: its stop ends that part, too.
    above: Option<Arc<Signals>>,
}

impl Default for Signals {
    fn default() -> Signals {
        Signals {
            wake: Arc::new(watch::Sender::new(0)),
            stop: Arc::new(watch::Sender::new(false)),
            above: None,
        }
    }
}

impl Signals {
    /// Lets every pass read its rows again.
    pub fn wake(&self) {
        self.wake.send_modify(|count| *count += 1);
    }

    /// Lets every pass end after its present step.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow() || self.above.as_ref().is_some_and(|above| above.is_stopping())
    }

    /// Signals that can stop the passes alone, and are stopped with these. Wake-ups are the same.
    pub fn of_a_part(&self) -> Signals {
        let above = Some(Arc::new(self.clone()));
        Signals { wake: self.wake.clone(), stop: Arc::new(watch::Sender::new(false)), above }
    }

    /// Resolves when the worker is to stop.
    pub async fn stopping(&self) {
        let (mut stops, mut above) = (vec![self.stop.subscribe()], &self.above);
        while let Some(signals) = above {
            stops.push(signals.stop.subscribe());
            above = &signals.above;
        }
        // The senders live as long as self.
        let waits = stops.iter_mut().map(|stop| Box::pin(async { drop(stop.wait_for(|stop| *stop).await) }));
        futures_util::future::select_all(waits).await;
    }
}

/// Called before each step of an erasure, which may take many; each call is a sign of life.
pub(in crate::worker) fn is_stopping(signals: &Signals) -> bool {
    heartbeat::beat();
    signals.is_stopping()
}

/// A pass that rows have woken waits this long for more of them: a batch changes rows ten times, and one look serves
/// all. Submissions do not wait, since a person may.
pub(in crate::worker) const CALM: Duration = Duration::from_millis(25);

/// Sleeps, and waits for more rows if some have ended the sleep.
pub(in crate::worker) async fn sleep_and_calm_down(
    deps: &Deps,
    signals: &Signals,
    woken: &mut watch::Receiver<u64>,
    until: Option<Millis>,
) -> Woken {
    let woke = sleep(deps, signals, woken, until).await;
    if woke == Woken::Rows {
        tokio::time::sleep(CALM).await;
    }
    woke
}

/// What ended a sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) enum Woken {
    Time,
    Rows,
    Stop,
}

/// Sleeps until the time, a change of rows, or the stop. In slices: each is a sign of life. While a computer
/// is suspended the runtime's timers stand still; so the pass is late by one slice at most.
pub(in crate::worker) async fn sleep(
    deps: &Deps,
    signals: &Signals,
    woken: &mut watch::Receiver<u64>,
    until: Option<Millis>,
) -> Woken {
    const SLICE_MS: i64 = 5_000;
    const LONGEST_MS: i64 = 3_600_000;
    let longest = deps.clock.now().plus(LONGEST_MS);
    let until = until.map_or(longest, |at| at.min(longest));
    loop {
        heartbeat::beat();
        let left_ms = until.since(deps.clock.now()).max(1);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(left_ms.min(SLICE_MS) as u64)) => {}
            _ = woken.changed() => return Woken::Rows,
            () = signals.stopping() => return Woken::Stop,
        }
        if left_ms <= SLICE_MS {
            return Woken::Time;
        }
    }
}
