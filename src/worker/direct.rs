//! The direct actions: event unlock and searches, from the POST to the result.
//!
//! Up to the intent (`submit::intent`) they use the same code as contacts, and the same code handles errors
//! (`submit::answer`). The differences are here: the answer is the result, so there is no task to poll, and
//! the list of people of an unlocked event confirms it. After a lost answer other evidence counts:
//! `verify_direct`. See `domain::direct`.

use crate::api::{Caller, UnlockBody};
use crate::domain::direct::{Delivery, Direct, EventAccess};
use crate::domain::failure::ReadFailure;
use crate::domain::item::Why;
use crate::domain::job::Event;
use crate::domain::outcome::Source;
use crate::domain::turns::Class;
use crate::domain::{Credits, EventId, JobId, Millis, pacing, profile_wait};
use crate::store::credits::{balances, booking};
use crate::store::items::reading::{self, ToRead};
use crate::store::jobs::Job;
use crate::store::jobs::attempts;
use crate::store::jobs::attempts::AttemptEnd;
use crate::store::{StoreError, Tx, direct, items, jobs, requests, timeline};
use crate::worker::doubt::unanswered::book_unanswered;
use crate::worker::gate::{Gate, Permit};
use crate::worker::read_again::{put_off, send_after_all};
use crate::worker::submit::answer::record_failure;
use crate::worker::{Deps, Report, read_failure};

/// Sends the call of a job whose intent is committed, and records its answer.
pub(super) async fn buy(
    deps: &Deps,
    gate: &Gate,
    permit: Permit<'_>,
    (job, wish, body): (Job, Direct, UnlockBody),
    proceed: impl FnOnce() -> bool + Send + Sync + 'static,
) -> Result<(), StoreError> {
    let sent_at = permit.entered_at;
    let caller = permit.caller(Some(job.id), job.event_id.as_ref());
    let answer = match &wish {
        Direct::Event(event_id) => gate.client.unlock_event(caller, sent_at, event_id, proceed).await,
        Direct::Search { action, .. } => gate.client.search(caller, sent_at, *action, &body, proceed).await,
    };
    let lesson = permit.learn(&answer);
    match answer.result {
        Ok(delivery) => record(deps, job, &wish, delivery).await?,
        Err(error) => record_failure(deps, gate, job, &error, deps.clock.now()).await?,
    }
    gate.keep(lesson).await
}

/// Everything that is recorded about a call that was answered.
#[derive(Clone)]
struct Answered {
    job: Job,
    page: Option<u32>,
    delivery: Delivery,
    now: Millis,
}

async fn record(deps: &Deps, mut job: Job, wish: &Direct, delivery: Delivery) -> Result<(), StoreError> {
    let (now, price) = (deps.clock.now(), job.price.unwrap_or_default());
    job.apply(Event::Delivered, now)?;
    (job.submitted_at, job.failures) = (Some(now), 0);
    let page = match wish {
        Direct::Event(_) => None,
        Direct::Search { page, .. } => Some(*page),
    };
    let job_id = job.id;
    let charged = delivery.charge(price) > Credits::ZERO;
    deps.store.metrics().attempt_ended(if charged { "accepted" } else { "nothing_chargeable" });
    let answered = Answered { job, page, delivery, now };
    let again = answered.clone();
    let recorded = deps.store.write(move |connection| Box::pin(answered.record(connection))).await;
    if let Err(error) = &recorded {
        let saved =
            deps.store.write_as_last_resort(move |connection| Box::pin(again.record(connection))).await;
        let kept =
            if saved.is_ok() { "it was recorded at the second try" } else { "it could not be recorded" };
        eprintln!(
            "unlockd: the call of job {job_id} was carried out and may be paid for, and {kept}: {error}"
        );
    }
    recorded
}

impl Answered {
    async fn record(self, connection: &mut Tx) -> Result<(), StoreError> {
        let Answered { mut job, page, delivery, now } = self;
        let used = delivery.charge(job.cost.unwrap_or_default());
        let books = booking::read(&mut *connection, &job).await?;
        // One millisecond before the balance of this answer, which already includes the charge.
        let booked_at = now.plus(-1);
        booking::write(&mut *connection, &mut job, &books.answered(used), booked_at).await?;
        if used > Credits::ZERO {
            (job.price, job.lowest_price) = (Some(used), Some(used));
        }
        let result = if used > Credits::ZERO { "accepted" } else { "nothing_chargeable" };
        let end = AttemptEnd { result, status: Some(201), ..AttemptEnd::default() };
        attempts::end_attempt(&mut *connection, job.id, &end, now).await?;
        let detail = match &delivery {
            Delivery::Event(unlock) if unlock.already_unlocked => "the event was unlocked before".to_owned(),
            Delivery::Event(_) => format!("the event is unlocked, {used} credits used"),
            Delivery::Page(found) => {
                format!("page {}: {} found, {used} credits", page.unwrap_or(1), found.found)
            }
        };
        jobs::save(&mut *connection, &job).await?;
        timeline::of_job(&mut *connection, now, job.id, "delivered", &detail).await?;
        keep(&mut *connection, &job, page, &delivery, used, now).await?;
        requests::finish_complete_of_job(connection, job.id, now).await
    }
}

/// Stores the result of a call, and the next step: an event is confirmed by its list, and a page may have a
/// next page.
async fn keep(
    connection: &mut Tx,
    job: &Job,
    page: Option<u32>,
    delivery: &Delivery,
    used: Credits,
    now: Millis,
) -> Result<(), StoreError> {
    match delivery {
        Delivery::Event(unlock) => {
            direct::keep_result(&mut *connection, job.id, used, &unlock.answer, now).await?;
            if let Some(balance) = unlock.balance_after {
                let cause = "event_unlock";
                balances::add_snapshot(&mut *connection, &job.account, balance, cause, now, now).await?;
            }
            reading::all_to_reading(connection, job.id, Why::EventUnlocked, now).await
        }
        Delivery::Page(found) => {
            direct::keep_result(&mut *connection, job.id, used, found.items.get(), now).await?;
            let source = (found.found > 0).then_some(Source::Task);
            direct::finish(&mut *connection, job.id, source, now).await?;
            if delivery.has_more() {
                direct::want_page(connection, job.id, page.unwrap_or(1) + 1).await?;
            }
            Ok(())
        }
    }
}

/// The precheck says that the event or name does not exist: nothing is sent.
pub(super) async fn reject(deps: &Deps, mut job: Job) -> Result<Report, StoreError> {
    let now = deps.clock.now();
    job.apply(Event::Refused, now)?;
    job.due_at = None;
    let outcome = crate::domain::outcome::Outcome::Rejected { error_code: Some("not_found".to_owned()) };
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                items::finish_all(&mut *connection, job.id, job.event_id.as_ref(), &outcome, now).await?;
                book_unanswered(&mut *connection, &mut job, &[], now).await?;
                jobs::save(&mut *connection, &job).await?;
                let detail = "the precheck says not_found: nothing was sent, nothing was charged";
                timeline::of_job(&mut *connection, now, job.id, "refused", detail).await?;
                requests::finish_complete_of_job(connection, job.id, now).await
            })
        })
        .await?;
    Ok(Report::did(1))
}

/// The result of an event unlock without an answer: what is known without it.
pub(super) fn unanswered_result(event_id: Option<&EventId>, credits_used: Credits) -> String {
    let id = event_id.map(EventId::as_str);
    serde_json::json!({
        "event": { "eventId": id },
        "alreadyUnlocked": credits_used == Credits::ZERO,
        "creditsUsed": credits_used,
    })
    .to_string()
}

/// What the list of an event's people says about access to the event.
pub(super) enum Read {
    Access(Option<EventAccess>),
    /// The API does not know the event.
    Unknown,
    /// Not read; `None`: the call failed.
    Later(Option<Report>),
}

/// Reads the first page of an event's people, which says whether the list is complete. The call is free. One
/// person is enough, since only the access fields are needed.
pub(super) async fn read_access(
    gate: &Gate,
    class: Class,
    job_id: JobId,
    event_id: &EventId,
) -> Result<Read, StoreError> {
    let page = (1, 1);
    let ask = async |caller: Caller<'_>, at| gate.client.personnel(caller, at, event_id, page, &[]).await;
    let answer = match gate.call(class, (Some(job_id), Some(event_id)), ask).await?.or_report() {
        Ok(answer) => answer,
        Err(report) => return Ok(Read::Later(Some(report))),
    };
    Ok(match answer {
        Ok(page) => Read::Access(page.access),
        Err(error) if read_failure(&error) == ReadFailure::Gone => Read::Unknown,
        Err(_) => Read::Later(None),
    })
}

/// Confirms that an event is unlocked, and records what its list says.
pub(super) async fn confirm(deps: &Deps, gate: &Gate, event: &ToRead) -> Result<Report, StoreError> {
    let job_id = event.job_id;
    let event_id = EventId::trusted(event.personnel_id.as_str());
    let access = match read_access(gate, Class::Background, job_id, &event_id).await? {
        Read::Access(access) => access,
        Read::Unknown => None,
        Read::Later(Some(report)) => return Ok(report),
        Read::Later(None) => {
            let again = gate.trouble_until().max(deps.clock.now().plus(1_000));
            put_off(deps, event, (again, false)).await?;
            return Ok(Report::did(1));
        }
    };
    let now = deps.clock.now();
    let open = access.as_ref().is_some_and(|access| access.full);
    if !open && event.why.is_set_aside() {
        // The precheck was wrong about this event: it is sent to be bought.
        return send_after_all(deps, event, now).await;
    }
    let patient = now.since(event.since) < pacing::duration_ms(deps.config().submit.decide_after);
    if !open && patient {
        let again = now.plus(profile_wait::pause_ms(event.reads));
        put_off(deps, event, (again, true)).await?;
        return Ok(Report::did(1));
    }
    if !open {
        tracing::warn!(job_id = job_id.0, event_id = %event_id,
            "the event was unlocked, and its list is still a preview; recorded as it is");
    }
    finish(deps, job_id, event_id, access, now).await
}

async fn finish(
    deps: &Deps,
    job_id: JobId,
    event_id: EventId,
    access: Option<EventAccess>,
    now: Millis,
) -> Result<Report, StoreError> {
    let words = access.as_ref().map_or_else(|| "the list does not say".to_owned(), EventAccess::in_words);
    let semantics = access.map_or_else(|| "{}".to_owned(), |access| access.semantics);
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                // Nothing is stored yet if the precheck said that the event is unlocked: it was read, not
                // bought.
                let used = direct::credits_used(&mut *connection, job_id).await?.unwrap_or_default();
                let result = unanswered_result(Some(&event_id), Credits::ZERO);
                direct::keep_result(&mut *connection, job_id, Credits::ZERO, &result, now).await?;
                direct::add_to_result(&mut *connection, job_id, &semantics).await?;
                let source = if used > Credits::ZERO { Source::Task } else { Source::Profile };
                direct::finish(&mut *connection, job_id, Some(source), now).await?;
                timeline::of_job(&mut *connection, now, job_id, "access_read", &words).await?;
                requests::finish_complete_of_job(connection, job_id, now).await
            })
        })
        .await?;
    Ok(Report::did(1))
}
