//! An inbox that cannot be read, or written: only intake waits, and tries again.
//!
//! Other programs own the inbox file, and a trigger on the inbox table is theirs. So an error there is no
//! error of the worker: it is noted once when it begins and once when it ends, shown in every place that shows the
//! state of the worker, and tried again with a growing pause.

use std::collections::HashMap;

use crate::domain::{Millis, pacing};
use crate::store::StoreError;
use crate::store::inbox::fault::{self, Fault, Part};
use crate::store::report::Time;
use crate::worker::Deps;

/// The shortest and the longest pause between two tries.
const SHORTEST_MS: i64 = 500;
const LONGEST_MS: i64 = 10_000;

/// What does not work at present. Read from the database once: another process may have noted it.
#[derive(Debug, Default)]
pub(in crate::worker) struct Availability {
    is_read: bool,
    down: HashMap<Part, Down>,
    /// Rows up to this id were taken, although they still show `new`.
    taken_up_to: Option<i64>,
}

#[derive(Debug)]
struct Down {
    since: Millis,
    failures: u32,
    next_at: Millis,
}

/// When the next try is, if it is not due yet.
pub(in crate::worker) async fn next_try(deps: &Deps, part: Part) -> Result<Option<Millis>, StoreError> {
    if !deps.availability().is_read {
        let faults = fault::read(&deps.store).await?;
        let mut known = deps.availability();
        known.is_read = true;
        for part in Part::ALL {
            if let Some(fault) = faults.iter().find(|fault| fault.is_of(part)) {
                let down = Down { since: Millis(fault.since.0), failures: 0, next_at: Millis(0) };
                known.down.entry(part).or_insert(down);
            }
        }
    }
    let now = deps.clock.now();
    Ok(deps.availability().down.get(&part).map(|down| down.next_at).filter(|at| *at > now))
}

/// Notes that a try has failed; returns when the next one is.
pub(in crate::worker) async fn failed(deps: &Deps, part: Part, problem: &str) -> Result<Millis, StoreError> {
    let now = deps.clock.now();
    let (since, next_at, begins) = {
        let mut known = deps.availability();
        let begins = !known.down.contains_key(&part);
        let down = known.down.entry(part).or_insert(Down { since: now, failures: 0, next_at: now });
        down.failures = down.failures.saturating_add(1);
        let pause = pacing::retry_delay_ms(down.failures, SHORTEST_MS, LONGEST_MS, fastrand::f64());
        down.next_at = now.plus(pause);
        (down.since, down.next_at, begins)
    };
    if begins {
        let path = deps.store.inbox_path().display();
        match part {
            Part::Intake => tracing::error!(inbox = %path, problem,
                "inbox unavailable; no new rows are taken until it can be used again, and all other work goes on"),
            Part::Status => tracing::warn!(inbox = %path, problem,
                "the inbox cannot be written, so it shows old statuses; it is tried again, and all other work goes on"),
        }
    }
    let fault = Fault::new(part, Time(since.0), problem.to_owned(), Time(next_at.0));
    fault::record(&deps.store, part, Some(fault)).await?;
    Ok(next_at)
}

/// Notes that it works; the first time after a fault it says so.
pub(in crate::worker) async fn works(deps: &Deps, part: Part) -> Result<(), StoreError> {
    let ended = {
        let mut known = deps.availability();
        if part == Part::Status {
            known.taken_up_to = None;
        }
        known.down.remove(&part)
    };
    let Some(ended) = ended else { return Ok(()) };
    let seconds = deps.clock.now().since(ended.since) / 1_000;
    match part {
        Part::Intake => tracing::info!(seconds, "the inbox can be used again; intake goes on"),
        Part::Status => tracing::info!(seconds, "the inbox can be written again"),
    }
    fault::record(&deps.store, part, None).await
}

/// Whether the statuses cannot be written at present.
pub(in crate::worker) fn shows_old(deps: &Deps) -> bool {
    deps.availability().down.contains_key(&Part::Status)
}

/// While statuses cannot be written, taken rows still show `new`. Intake goes on behind them.
pub(in crate::worker) fn taken_up_to(deps: &Deps) -> i64 {
    // An id may be negative.
    deps.availability().taken_up_to.unwrap_or(i64::MIN)
}

pub(in crate::worker) fn note_taken(deps: &Deps, id: i64) {
    let mut known = deps.availability();
    known.taken_up_to = known.taken_up_to.max(Some(id));
}
