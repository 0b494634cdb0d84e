//! The one paid POST of a job: permit, intent, proofs, and then the call.
//!
//! The order matters. The permit comes first, so that nothing waits between the intent and the POST. The intent is
//! committed, with the record of the call, and holds the cost. Then the last things that may have changed are checked:
//! that the commit will last (PostgreSQL), that this process was not stopped meanwhile, and that its lease outlasts the
//! call.
//!
//! The POST is never repeated here or below. [`answer`] records what came of it.

use crate::api::{UnlockBody, direct_body, unlock_body};
use crate::domain::direct::Direct;
use crate::domain::pacing;
use crate::domain::sorting::Sorting;
use crate::domain::turns::Class;
use crate::failpoint::{self, Place};
use crate::store::jobs::Job;
use crate::store::{self, StoreError};
use crate::worker::gate::entry::{Admitted, WITHOUT_LEASE_MS};
use crate::worker::gate::{Gate, Permit};
use crate::worker::submit::awake::Awake;
use crate::worker::submit::intent::{Intent, commit_intent};
use crate::worker::submit::{ahead, answer};
use crate::worker::{Deps, Report, direct, durability};

/// If the process was stopped for longer than this between the commit of the intent and the first byte of the body, its
/// decision may be out of date.
const LONGEST_PAUSE_BEFORE_SENDING_MS: i64 = 2_000;

/// Commits the intent, then sends. `restored`: the batch was sorted as on an older copy.
pub(super) async fn send(
    deps: &Deps,
    gate: &Gate,
    job: &Job,
    (sorting, restored): (Sorting, bool),
) -> Result<Report, StoreError> {
    let (ownership, timeout_ms) = (deps.store.ownership(), pacing::duration_ms(deps.config().api.timeout));
    if !ownership.has_time(deps.clock.steady_ms(), timeout_ms) {
        return Ok(Report::at(deps.clock.now().plus(WITHOUT_LEASE_MS)));
    }
    // The call is recorded together with the intent: one commit less before the POST.
    let (permit, booking) = match gate.admit(Class::Paid).await? {
        Admitted::Open(permit, booking) => (permit, booking),
        Admitted::At(at) => return Ok(Report::at(at)),
        Admitted::NoKey => return Ok(Report::did(1)),
    };
    failpoint::pass(Place::BeforeCall);
    let wish = match job.channel() {
        Some(_) => None,
        None => store::direct::wish(deps.store.readers(), job.id).await?,
    };
    let body = match &wish {
        Some(wish) => direct_body(wish),
        None => unlock_body(&sorting.chargeable, job.event_id.as_ref()),
    };
    let intent = commit_intent(deps, (&permit, booking), job, (&sorting, restored), body.digest()).await;
    let sending = match intent {
        Ok(Intent::Committed(sending)) => {
            deps.sortings().remove(&(job.id, job.version));
            *sending
        }
        Ok(Intent::Wait(at)) => return Ok(Report::at(at)),
        Ok(Intent::Changed) | Err(StoreError::Stale { .. }) => return Ok(Report::did(1)),
        Err(error) => return Err(error),
    };
    let awake = Awake::now(&deps.clock);
    failpoint::pass(Place::AfterIntent);
    if let Err(why) = durability::prove(deps, sending.id, permit.request_id).await {
        durability::take_back(deps, sending, &why).await?;
        return Ok(Report::did(1));
    }
    let (clock, committed_at, watching) = (deps.clock.clone(), deps.clock.steady_ms(), awake.clone());
    let proceed = move || {
        let now = clock.steady_ms();
        // Past the deadline another worker may serve the account, and no fence reaches this call.
        watching.longest_gap_ms() <= LONGEST_PAUSE_BEFORE_SENDING_MS
            && now - committed_at <= timeout_ms
            && ownership.has_time(now, timeout_ms)
    };
    let sent = call(deps, gate, permit, (job, sending), (wish, body, &sorting), proceed);
    tokio::select! {
        sent = sent => sent,
        never = awake.watch() => match never {},
    }
}

/// The paid call itself. The next batch is prepared while the answer is awaited.
async fn call(
    deps: &Deps,
    gate: &Gate,
    permit: Permit<'_>,
    (job, sending): (&Job, Job),
    (wish, body, sorting): (Option<Direct>, UnlockBody, &Sorting),
    proceed: impl FnOnce() -> bool + Send + Sync + 'static,
) -> Result<Report, StoreError> {
    let Some(channel) = job.channel() else {
        // The intent's transaction saw the item, so it must exist.
        let Some(wish) = wish else { return Err(StoreError::Stale { what: "the item" }) };
        direct::buy(deps, gate, permit, (sending, wish, body), proceed).await?;
        return Ok(Report::did(1));
    };
    let paid = async move {
        let caller = permit.caller(Some(job.id), job.event_id.as_ref());
        let answer = gate.client.submit_unlock(caller, permit.entered_at, channel, &body, proceed).await;
        let lesson = permit.learn(&answer);
        answer::record(deps, gate, sending, sorting, &answer).await?;
        gate.keep(lesson).await
    };
    let (paid, prepared) = tokio::join!(paid, ahead::prepare(deps, gate));
    paid?;
    // Somebody else has changed the next batch meanwhile: it is looked at again.
    prepared.or_else(|error| match error {
        StoreError::Stale { .. } => Ok(()),
        other => Err(other),
    })?;
    Ok(Report::did(1))
}
