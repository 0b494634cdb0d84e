//! The direct actions: event unlocks and searches, from the paid call to the result.
//!
//! Up to the intent (`submit::intent`) they use the same code as contacts, and the same code handles errors
//! (`submit::answer`). The differences are here: the answer is the result, so there is no task to poll, and
//! an unlock is confirmed: base access by the event's list of people, the visitor layer by a precheck. After a lost
//! answer other evidence counts: `verify_direct`. See `domain::direct`.

use crate::api::UnlockBody;
use crate::domain::direct::{Delivery, Direct};
use crate::domain::item::Why;
use crate::domain::job::Event;
use crate::domain::outcome::Source;
use crate::domain::{Credits, EventId, Layers, Millis};
use crate::store::credits::balances::{self, Asked};
use crate::store::credits::{booking, ledger};
use crate::store::items::reading;
use crate::store::jobs::Job;
use crate::store::jobs::attempts;
use crate::store::jobs::attempts::AttemptEnd;
use crate::store::{StoreError, Tx, direct, items, jobs, requests, timeline};
use crate::worker::doubt::unanswered::book_unanswered;
use crate::worker::gate::{Gate, Permit};
use crate::worker::submit::answer::{record_failure, say};
use crate::worker::{Deps, Report};

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
        Direct::Event { layers, event_id } => {
            gate.client.unlock_event(caller, sent_at, *layers, event_id, proceed).await
        }
        Direct::Search { action, .. } => gate.client.search(caller, sent_at, *action, &body, proceed).await,
    };
    let lesson = permit.learn(&answer);
    match answer.result {
        Ok(delivery) => record(deps, job, (wish, answer.status), delivery).await?,
        Err(error) => record_failure(deps, gate, job, &error, deps.clock.now()).await?,
    }
    gate.keep(lesson).await
}

/// Everything that is recorded about a call that was answered.
#[derive(Clone)]
struct Answered {
    job: Job,
    wish: Direct,
    status: Option<u16>,
    delivery: Delivery,
    now: Millis,
}

async fn record(
    deps: &Deps,
    mut job: Job,
    (wish, status): (Direct, Option<u16>),
    delivery: Delivery,
) -> Result<(), StoreError> {
    let (now, price) = (deps.clock.now(), job.price.unwrap_or_default());
    job.apply(Event::Delivered, now)?;
    (job.submitted_at, job.failures) = (Some(now), 0);
    let job_id = job.id;
    let charged = delivery.charge(price) > Credits::ZERO;
    deps.store.metrics().attempt_ended(if charged { "accepted" } else { "nothing_chargeable" });
    let answered = Answered { job, wish, status, delivery, now };
    let again = answered.clone();
    let recorded = deps.store.write(move |connection| Box::pin(answered.record(connection))).await;
    if let Err(error) = &recorded {
        let saved =
            deps.store.write_as_last_resort(move |connection| Box::pin(again.record(connection))).await;
        let kept =
            if saved.is_ok() { "it was recorded at the second try" } else { "it could not be recorded" };
        say(&format!("the call of job {job_id} was carried out and may be paid for, and {kept}: {error}"));
    }
    recorded
}

impl Answered {
    async fn record(self, connection: &mut Tx) -> Result<(), StoreError> {
        let Answered { mut job, wish, status, delivery, now } = self;
        let used = delivery.charge(job.cost.unwrap_or_default());
        let books = booking::read(&mut *connection, &job).await?;
        let booked = books.answered(used);
        booking::write(&mut *connection, &mut job, &booked, now).await?;
        if used > Credits::ZERO {
            (job.price, job.lowest_price) = (Some(used), Some(used));
        }
        let result = if used > Credits::ZERO { "accepted" } else { "nothing_chargeable" };
        let end = AttemptEnd { result, status, ..AttemptEnd::default() };
        attempts::end_attempt(&mut *connection, job.id, &end, now).await?;
        jobs::save(&mut *connection, &job).await?;
        let detail = in_words(&wish, &delivery, used);
        timeline::of_job(&mut *connection, now, job.id, "delivered", &detail).await?;
        // A call before, never answered, may have been charged instead: the result names what is booked.
        keep(&mut *connection, &job, &wish, &delivery, booked.charge, now).await?;
        requests::finish_complete_of_job(connection, job.id, now).await
    }
}

/// What a call brought, for the timeline.
fn in_words(wish: &Direct, delivery: &Delivery, used: Credits) -> String {
    match (wish, delivery) {
        (Direct::Event { layers, .. }, Delivery::Event(unlock)) if unlock.already_unlocked => {
            format!("{} was unlocked before", subject(*layers))
        }
        (Direct::Event { layers, .. }, _) => format!("{} is unlocked, {used} credits used", subject(*layers)),
        (Direct::Search { page, .. }, Delivery::Page(found)) => {
            format!("page {page}: {} found, {used} credits", found.found)
        }
        (Direct::Search { page, .. }, _) => format!("page {page}, {used} credits"),
    }
}

fn subject(layers: Layers) -> &'static str {
    match layers {
        Layers::Base => "base access to the event",
        Layers::Visitors => "visitor access to the event",
        Layers::Both => "full access to the event",
    }
}

/// Stores the result of a call, and the next step: an unlock is confirmed by reading, and a page may have a
/// next page.
async fn keep(
    connection: &mut Tx,
    job: &Job,
    wish: &Direct,
    delivery: &Delivery,
    used: Credits,
    now: Millis,
) -> Result<(), StoreError> {
    match delivery {
        Delivery::Event(unlock) => {
            direct::keep_result(&mut *connection, job.id, used, &unlock.answer, now).await?;
            if let Some(balance) = unlock.balance_after {
                // It includes the charge of this answer, which is booked already.
                let asked = Asked { at: now, ledger: ledger::last_entry(&mut *connection).await? };
                let cause = "event_unlock";
                balances::add_snapshot(&mut *connection, &job.account, balance, cause, asked, now).await?;
            }
            reading::all_to_reading(connection, job.id, Why::EventUnlocked, now).await
        }
        Delivery::Page(found) => {
            direct::keep_result(&mut *connection, job.id, used, found.items.get(), now).await?;
            let source = (found.found > 0).then_some(Source::Task);
            direct::finish(&mut *connection, job.id, source, now).await?;
            if let Direct::Search { page, .. } = wish
                && delivery.has_more()
            {
                direct::want_page(connection, job.id, page + 1).await?;
            }
            Ok(())
        }
    }
}

/// The precheck refuses the purchase, with this reason: nothing is sent.
pub(super) async fn reject(deps: &Deps, mut job: Job, reason: &'static str) -> Result<Report, StoreError> {
    let now = deps.clock.now();
    job.apply(Event::Refused, now)?;
    job.due_at = None;
    let outcome = crate::domain::outcome::Outcome::Rejected { error_code: Some(reason.to_owned()) };
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                items::finish_all(&mut *connection, job.id, job.event_id.as_ref(), &outcome, now).await?;
                book_unanswered(&mut *connection, &mut job, &[], now).await?;
                jobs::save(&mut *connection, &job).await?;
                let detail = format!("the precheck says {reason}: nothing was sent, nothing was charged");
                timeline::of_job(&mut *connection, now, job.id, "refused", &detail).await?;
                requests::finish_complete_of_job(connection, job.id, now).await
            })
        })
        .await?;
    Ok(Report::did(1))
}

/// The result of an event unlock whose answer was lost, made from what is known without the answer.
pub(super) fn unanswered_result(event_id: Option<&EventId>, credits_used: Credits) -> String {
    let id = event_id.map(EventId::as_str);
    serde_json::json!({
        "event": { "eventId": id },
        "alreadyUnlocked": credits_used == Credits::ZERO,
        "creditsUsed": credits_used,
    })
    .to_string()
}
