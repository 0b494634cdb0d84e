//! A stop: it begins with SIGTERM or SIGINT, and ends within 10 s, whatever the database does.
//!
//! Each part has a limit of its own. Calls in flight come first ([`crate::worker::submit::STOP_WAITS_FOR`]), then the
//! lease is given back ([`GIVES_BACK_WITHIN`]); the HTTP server ends meanwhile. What does not end in time is left and named:
//! the next start finds it, as after `kill -9`. The last resort is [`overdue`]: it ends the process when a part outlasts
//! its limit, and names the step.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::{Failure, Outcome};
use crate::domain::Millis;
use crate::store::lease::Lease;
use crate::store::{Store, StoreError};
use crate::worker::run::signals::Signals;

/// For the lease, once no pass runs any more.
pub(super) const GIVES_BACK_WITHIN: Duration = Duration::from_secs(3);
/// For everything: more than the parts need together.
const ENDS_WITHIN: Duration = Duration::from_secs(11);
/// While nothing is under way yet.
const ENDS_EARLY_WITHIN: Duration = Duration::from_secs(3);

/// Tells the passes to end at the first one.
pub(super) fn stop_on_signals(signals: &Signals) -> std::io::Result<()> {
    let (stop, signals) = (stop_signals()?, signals.clone());
    tokio::spawn(async move {
        stop.await;
        tracing::info!("stopping: finishing calls in flight");
        signals.stop();
    });
    Ok(())
}

/// Resolves at SIGTERM or SIGINT.
pub(super) async fn stop_requested() -> std::io::Result<()> {
    stop_signals()?.await;
    Ok(())
}

/// From now on SIGTERM and SIGINT do not end the process; the returned future resolves at the first one.
pub(super) fn stop_signals() -> std::io::Result<impl Future<Output = ()>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

/// What the process does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Step {
    #[default]
    Open,
    Upgrade,
    Wait,
    Prepare,
    Work,
    GiveBack,
    Serve,
}

impl Step {
    fn what(self) -> &'static str {
        match self {
            Step::Open => "connecting to the database",
            Step::Upgrade => "upgrading the database",
            Step::Wait => "asking the database whether another worker has it",
            Step::Prepare => "reading from the database what the last worker left",
            Step::Work => "waiting for its passes",
            Step::GiveBack => "giving the lease back",
            Step::Serve => "waiting for the HTTP server",
        }
    }

    /// Nothing is under way yet.
    fn is_early(self) -> bool {
        matches!(self, Step::Open | Step::Wait | Step::Prepare)
    }

    /// How long a stop may take that finds the process there.
    pub(super) fn ends_within(self) -> Duration {
        if self.is_early() { ENDS_EARLY_WITHIN } else { ENDS_WITHIN }
    }
}

/// The present step, for a stop that takes too long.
#[derive(Clone, Default)]
pub(super) struct Doing(Arc<Mutex<Step>>);

impl Doing {
    pub(super) fn now(&self, step: Step) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }

    fn step(&self) -> Step {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last resort: ends when a stop takes longer than the step allows. What the process was doing then ends with it.
pub(super) async fn overdue(stop: &Signals, doing: &Doing, within: fn(Step) -> Duration) -> Outcome {
    stop.stopping().await;
    let since = Instant::now();
    let step = loop {
        let step = doing.step();
        match within(step).checked_sub(since.elapsed()) {
            Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
            _ => break step,
        }
    };
    let (what, seconds) = (step.what(), since.elapsed().as_secs());
    if step.is_early() {
        tracing::warn!(seconds, "stopped while {what}: it did not answer");
        return Ok(());
    }
    Err(Failure::from(anyhow::anyhow!(
        "the stop was cut off after {seconds} s, while {what}; nothing is lost: the next start continues from what is in the \
         database"
    )))
}

/// Gives the lease back, once no pass runs any more, until its time is over.
pub(super) struct GivesBack {
    until: Instant,
}

impl GivesBack {
    pub(super) fn within(time: Duration) -> GivesBack {
        GivesBack { until: Instant::now() + time }
    }

    /// Takes the lease from the task that keeps it. `None`: the task waits for the database, and ends there.
    pub(super) async fn take(
        &self,
        mut keeping: JoinHandle<Result<Lease, StoreError>>,
    ) -> Result<Option<Lease>, StoreError> {
        match timeout_at(self.until, &mut keeping).await {
            Ok(Ok(kept)) => kept.map(Some),
            // It panicked.
            Ok(Err(_)) => Err(StoreError::Stopped),
            Err(_) => {
                keeping.abort();
                say_left();
                Ok(None)
            }
        }
    }

    pub(super) async fn release(self, lease: Lease, store: &Store, now: Millis) -> Result<(), StoreError> {
        let releasing = async {
            lease.note(store).await?;
            lease.release(store, now).await
        };
        timeout_at(self.until, releasing).await.unwrap_or_else(|_| {
            say_left();
            Ok(())
        })
    }
}

fn say_left() {
    let seconds = GIVES_BACK_WITHIN.as_secs();
    tracing::warn!(
        seconds,
        "the database does not answer, so the lease was not given back: a worker that starts on this machine takes over at \
         once, another one when the lease has run out"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::submit;

    /// `unlockd run --help` promises it.
    #[test]
    fn the_parts_of_a_stop_take_less_than_10_s_and_the_last_resort_leaves_them_their_time() {
        let parts = submit::STOP_WAITS_FOR + GIVES_BACK_WITHIN;
        assert!(parts < Duration::from_secs(10) && parts < Step::Work.ends_within(), "{parts:?}");
    }

    /// As [`Step::ends_within`], a hundred times as quick.
    fn quickly(step: Step) -> Duration {
        step.ends_within() / 100
    }

    #[tokio::test]
    async fn a_stop_that_does_not_end_is_cut_off_and_says_where() {
        let (stop, doing) = (Signals::default(), Doing::default());
        stop.stop();
        assert!(overdue(&stop, &doing, quickly).await.is_ok(), "nothing has to end");
        // It gets the database while it stops: the time of the later step counts.
        let (began, later) = (Instant::now(), doing.clone());
        let (cut_off, ()) =
            tokio::join!(overdue(&stop, &doing, quickly), async move { later.now(Step::Upgrade) });
        let cut_off = cut_off.expect_err("something is under way").error.to_string();
        assert!(began.elapsed() >= quickly(Step::Upgrade), "{:?}", began.elapsed());
        assert!(cut_off.contains("while upgrading the database"), "{cut_off}");
    }

    #[tokio::test]
    async fn a_lease_whose_task_waits_for_the_database_is_left() {
        let waits = tokio::spawn(std::future::pending());
        let kept = GivesBack::within(Duration::from_millis(1)).take(waits).await;
        assert!(matches!(kept, Ok(None)));
        let ended = tokio::spawn(async { Err(StoreError::Fenced) });
        let kept = GivesBack::within(GIVES_BACK_WITHIN).take(ended).await;
        assert!(matches!(kept, Err(StoreError::Fenced)));
    }
}
