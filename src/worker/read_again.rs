//! What follows from a profile, or from an event's list of people: the contact has an outcome, it is read again later,
//! or the contact or event is sent to be bought after all.

use crate::domain::job::{Doubt, Event, State};
use crate::domain::outcome::{self, Access, Outcome, ProfileReading, ProfileView};
use crate::domain::{Millis, pacing};
use crate::store::items::reading::{self, ToRead};
use crate::store::jobs::Job;
use crate::store::{StoreError, Tx, items, jobs, timeline};
use crate::worker::{Deps, Report};

/// The outcome, or `None` to read again. A contact that stays locked was not unlocked after all (its item in
/// the task failed); an unlock that is running gets as much time as a task.
pub(super) fn judge(deps: &Deps, contact: &ToRead, view: &ProfileView, now: Millis) -> Option<Outcome> {
    let ended = match outcome::read_profile(view, contact.reads) {
        ProfileReading::Ended(outcome) => Some(outcome),
        _ => None,
    };
    if contact.is_given_up && view.access.is_locked() {
        return Some(Outcome::Lost);
    }
    if ended.is_some() {
        return ended;
    }
    let patience_ms = match view.access.is_locked() {
        true => deps.patience().decide_after_ms,
        false => pacing::duration_ms(deps.config().polling.give_up_after),
    };
    let in_the_end = if contact.is_given_up { Outcome::Lost } else { Outcome::Unresolved };
    (now.since(contact.since) >= patience_ms).then_some(in_the_end)
}

/// The precheck was wrong about a contact, or meant other contacts of its group.
pub(super) async fn send_after_all(deps: &Deps, contact: &ToRead, now: Millis) -> Result<Report, StoreError> {
    let (job_id, personnel_id) = (contact.job_id, contact.personnel_id.clone());
    let Some(job) = jobs::read(deps.store.readers(), job_id).await? else { return Ok(Report::did(1)) };
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                reading::send_after_all(&mut *connection, job_id, &personnel_id, now).await?;
                end_if_read(connection, job, now).await
            })
        })
        .await?;
    Ok(Report::did(1))
}

/// Sets the time of the next read; `was_read`: the profile was read, and gave no answer yet. `said`: what it said.
pub(super) async fn put_off(
    deps: &Deps,
    contact: &ToRead,
    (again, was_read): (Millis, bool),
    said: Option<Access>,
) -> Result<(), StoreError> {
    let (job_id, personnel_id, now) = (contact.job_id, contact.personnel_id.clone(), deps.clock.now());
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                if let Some(access) = said {
                    reading::note_said(&mut *connection, job_id, &personnel_id, access).await?;
                }
                reading::read_again(connection, job_id, &personnel_id, (again, was_read), now).await
            })
        })
        .await
}

/// Ends a job that took effect, once all its values are read.
pub(super) async fn end_if_read(connection: &mut Tx, mut job: Job, now: Millis) -> Result<(), StoreError> {
    let carried_out = job.state == State::InDoubt { doubt: Doubt::CarriedOut };
    if carried_out && items::unsettled(&mut *connection, job.id).await? == 0 {
        job.apply(Event::ValuesRead, now)?;
        jobs::save(&mut *connection, &job).await?;
        timeline::of_job(connection, now, job.id, "values_read", "").await?;
    }
    Ok(())
}
