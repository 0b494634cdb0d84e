//! A job in doubt that no check could read by the time a person is asked (`submit.decide_after`).
//!
//! The person is asked then, as for one that stayed unclear. The checks go on, since the API may be back in a minute and
//! they settle most jobs: `due_at` stays, and marks it.

use crate::domain::doubt::NOTHING_READ;
use crate::domain::job::{Doubt, Event, State};
use crate::store::jobs::Job;
use crate::store::{StoreError, jobs, timeline};
use crate::worker::Deps;
use crate::worker::doubt::evidence::PartialLook;

/// Whether the worker looks for the effect of this job.
pub(super) fn is_looked_up(job: &Job) -> bool {
    match job.state {
        State::InDoubt { doubt: Doubt::Looking } => true,
        State::InDoubt { doubt: Doubt::NeedsDecision } => job.due_at.is_some(),
        _ => false,
    }
}

/// Whether a person is asked by now, if reading can settle it at all.
pub(super) fn is_over(deps: &Deps, job: &Job) -> bool {
    let now = deps.clock.now();
    deps.patience().is_over(job.doubt_since.unwrap_or(now), now)
}

/// The event's name for the timeline: that a person is asked is told once.
pub(super) fn name(before: &State, event: Option<&Event>) -> &'static str {
    let was_asked = *before == State::InDoubt { doubt: Doubt::NeedsDecision };
    match event {
        Some(Event::StayedUnclear) if was_asked => "looked",
        Some(event) => event.name(),
        None => "looked",
    }
}

/// The balance cannot be read. It is waited for until a person would be asked anyway; then the other evidence is judged
/// without it. If other questions failed, too, the whole API may be down, which proves nothing: they are all asked again,
/// also while a person is asked.
pub(super) async fn goes_without_balance(
    deps: &Deps,
    job: &Job,
    partial: &mut PartialLook,
) -> Result<bool, StoreError> {
    if partial.has_evidence() && is_over(deps, job) {
        return Ok(true);
    }
    ask_a_person(deps, job).await?;
    if partial.has_gaps {
        *partial = PartialLook::default();
    }
    Ok(false)
}

/// A check that could not be read has ended: asks a person, once it is time for that.
pub(super) async fn ask_a_person(deps: &Deps, job: &Job) -> Result<(), StoreError> {
    if job.state != (State::InDoubt { doubt: Doubt::Looking }) || !is_over(deps, job) {
        return Ok(());
    }
    let (mut job, now) = (job.clone(), deps.clock.now());
    job.apply(Event::StayedUnclear, now)?;
    // What an earlier check could read says more.
    let evidence = job.evidence.get_or_insert_with(|| NOTHING_READ.to_owned()).clone();
    tracing::warn!(job_id = job.id.0, account = %job.account, "in doubt: {evidence}");
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                jobs::save(&mut *connection, &job).await?;
                timeline::of_job(connection, now, job.id, Event::StayedUnclear.name(), NOTHING_READ).await
            })
        })
        .await
}
