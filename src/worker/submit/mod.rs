//! Waiting items → a batch → one paid POST.
//!
//! In this order: free what no longer waits for anything, form a batch, look at the balance, ask
//! what the batch would cost, and only then commit the intent to send and send. Each step leaves
//! rows from which the next run goes on, so a limit that is used up, or a crash, may fall between
//! any two of them. The intent is committed before the POST, with what it may cost held; a job
//! found in `submitting` at start is in doubt, and never simply sent again.
//!
//! One submission at a time for each account: what is free to spend is then never counted twice.

pub mod answer;
pub mod batch;
pub mod intent;
pub mod parked;
pub mod precheck;

use std::time::Duration;

use crate::api::{direct_body, unlock_body};
use crate::domain::credits::{self, Admission};
use crate::domain::job::{Event, WaitReason};
use crate::domain::sorting::Sorting;
use crate::domain::turns::Class;
use crate::domain::{AccountId, Credits};
use crate::failpoint::{self, Place};
use crate::store::credits::settlements;
use crate::store::jobs::Job;
use crate::store::jobs::due;
use crate::store::sqlite::disk;
use crate::store::{self, StoreError, accounts, jobs, timeline};
use crate::worker::balance::{purse, read_balance};
use crate::worker::doubt::unanswered::book_unread;
use crate::worker::gate::{Entry, Gate};
use crate::worker::people::pause;
use crate::worker::submit::batch::form;
use crate::worker::submit::intent::{Intent, commit_intent};
use crate::worker::submit::parked::release;
use crate::worker::submit::precheck::{Sorted, set_aside, sort};
use crate::worker::{Deps, Report, direct};

/// If more than this lies between the commit of the intent and the first byte of the body, the
/// process was stopped in between and what it decided may no longer hold.
const LONGEST_PAUSE_BEFORE_SENDING_MS: i64 = 2_000;

/// Moves the account's next submission one step on.
pub async fn run(deps: &Deps, account: &AccountId) -> Result<Report, StoreError> {
    let gate = &deps.gates[account];
    let row = accounts::read(deps.store.readers(), account).await?;
    // `unlockd resume` is another process: it says so in the row.
    if gate.heed_resume(&row) {
        return Ok(Report::did(1));
    }
    if let Some(job) = due::emptied(deps.store.readers(), account).await? {
        return cancel(deps, job).await;
    }
    let freed = release(deps, gate).await?;
    if freed.did > 0 {
        return Ok(freed);
    }
    let now = deps.clock.now();
    let ready = due::ready(deps.store.readers(), account, now).await?;
    let ready = ready.as_ref();
    // One that was refused for now keeps its contacts, and holds up nobody else's.
    let filled = ready.filter(|job| job.failures == 0);
    let formed = form(deps, account, filled, now).await?;
    if formed {
        return Ok(Report::did(1));
    }
    let Some(job) = ready else { return Ok(freed) };
    if !gate.has_usable_key() {
        return hold(deps, job, WaitReason::InvalidApiKey, (None, None)).await;
    }
    if row.paused_at.is_some() {
        return Ok(freed);
    }
    let not_before = gate.trouble_until().max(job.due_at.unwrap_or_default());
    if not_before > now {
        return Ok(freed.no_later_than(Some(not_before)));
    }
    let alive = gate.tasks_in_flight(&deps.ladder());
    if due::polling(deps.store.readers(), account, alive).await? >= alive {
        // Goes on when a task ends; until then what waits gathers in this batch.
        return Ok(freed);
    }
    let report = advance(deps, gate, job, row.restored_at.is_some()).await?;
    Ok(report.no_later_than(freed.next_at))
}

/// Ends a job that every request has left before it was sent.
async fn cancel(deps: &Deps, mut job: Job) -> Result<Report, StoreError> {
    let now = deps.clock.now();
    job.apply(Event::Cancelled, now)?;
    (job.due_at, job.parked_balance) = (None, None);
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                book_unread(&mut *connection, &mut job, now).await?;
                jobs::save(connection, &job).await
            })
        })
        .await?;
    Ok(Report::did(1))
}

/// One step of a job that is ready: balance, precheck, or the submission itself.
async fn advance(deps: &Deps, gate: &Gate, job: &Job, restored: bool) -> Result<Report, StoreError> {
    let now = deps.clock.now();
    let price = deps.price(&gate.account, job.action).await?;
    let purse = purse(deps, &gate.account).await?;
    let estimate = price.times(job.contacts as usize);
    match credits::admit(estimate, purse.as_ref(), now) {
        Admission::ReadBalance => return read_balance(deps, gate, "before_submission").await,
        // Checked again with the precheck's figure below; an estimate that does not fit may still
        // be too high, but is not worth a call.
        Admission::Wait(reason) => return hold(deps, job, reason, (None, None)).await,
        // Whoever else spends the pool may have done so since the last stretch ended.
        Admission::Go if !settlements::has_opening(deps.store.readers(), &gate.account).await? => {
            return read_balance(deps, gate, "before_submission").await;
        }
        Admission::Go => {}
    }
    let sorting = match sort(deps, gate, job, price).await? {
        Sorted::Done(sorting) => sorting,
        Sorted::Later(report) => return Ok(report),
    };
    if restored && (sorting.unhelpful().is_some() || job.action.is_search()) {
        tracing::error!(job_id = job.id.0, account = %gate.account,
            "the database is an older copy, and no precheck can tell whether this was bought since; nothing is \
             submitted until a person resumes: unlockd explain, unlockd resume");
        deps.sortings().remove(&(job.id, job.version));
        pause::pause_restored(&deps.store, &gate.account, now).await?;
        return Ok(Report::did(1));
    }
    if sorting.not_found && job.channel().is_none() {
        deps.sortings().remove(&(job.id, job.version));
        return direct::reject(deps, job.clone()).await;
    }
    if !sorting.had.is_empty() {
        return set_aside(deps, job, sorting).await;
    }
    match credits::admit(sorting.cost, purse.as_ref(), now) {
        Admission::ReadBalance => return read_balance(deps, gate, "before_submission").await,
        Admission::Wait(reason) => return hold(deps, job, reason, (Some(sorting.price_each()), None)).await,
        // The API knows better: somebody else has spent since the balance was read.
        Admission::Go if sorting.too_little => {
            let known = purse.as_ref().map(|purse| purse.balance);
            return hold(deps, job, WaitReason::InsufficientCredits, (Some(sorting.price_each()), known))
                .await;
        }
        Admission::Go => {}
    }
    let free = disk::free_bytes(&deps.store)?;
    if free < disk::NEEDED_BYTES {
        tracing::error!(
            free_bytes = free,
            needed_bytes = disk::NEEDED_BYTES,
            "the disk is nearly full; nothing is bought until there is room to record it"
        );
        return Ok(Report::at(now.plus(DISK_LOOK_EVERY_MS)));
    }
    send(deps, gate, job, sorting).await
}

/// How often a full disk is looked at again, in milliseconds.
const DISK_LOOK_EVERY_MS: i64 = 5_000;

/// Parks a queued job with a reason. `price`: what a precheck said, which the release must go by, too;
/// `balance`: what the balance must grow beyond.
async fn hold(
    deps: &Deps,
    job: &Job,
    waits_for: WaitReason,
    (price, balance): (Option<Credits>, Option<Credits>),
) -> Result<Report, StoreError> {
    let (mut held, now) = (job.clone(), deps.clock.now());
    held.apply(Event::Held { waits_for }, now)?;
    (held.due_at, held.parked_balance, held.price) = (Some(now), balance, price);
    deps.sortings().remove(&(job.id, job.version));
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                jobs::save(&mut *connection, &held).await?;
                timeline::of_job(connection, now, held.id, "waits", waits_for.as_str()).await
            })
        })
        .await?;
    Ok(Report::did(1))
}

/// Commits the intent, then sends.
async fn send(deps: &Deps, gate: &Gate, job: &Job, sorting: Sorting) -> Result<Report, StoreError> {
    let permit = match gate.enter(Class::Paid).await? {
        Entry::Open(permit) => permit,
        Entry::At(at) => return Ok(Report::at(at)),
        Entry::NoKey => return Ok(Report::did(1)),
    };
    let wish = match job.channel() {
        Some(_) => None,
        None => store::direct::wish(deps.store.readers(), job.id).await?,
    };
    let body = match &wish {
        Some(wish) => direct_body(wish),
        None => unlock_body(&sorting.chargeable, job.event_id.as_ref()),
    };
    let intent = commit_intent(deps, &permit, job, &sorting, body.digest()).await;
    let sending = match intent {
        Ok(Intent::Committed(sending)) => {
            deps.sortings().remove(&(job.id, job.version));
            *sending
        }
        Ok(Intent::Changed) | Err(StoreError::Stale { .. }) => return Ok(Report::did(1)),
        Err(error) => return Err(error),
    };
    let (clock, committed_at) = (deps.clock.clone(), deps.clock.steady_ms());
    failpoint::pass(Place::AfterIntent);
    let proceed = move || {
        let pause = clock.steady_ms() - committed_at;
        pause <= LONGEST_PAUSE_BEFORE_SENDING_MS
    };
    let Some(channel) = job.channel() else {
        // The intent's transaction saw its item, so there is a wish.
        let Some(wish) = wish else { return Err(StoreError::Stale { what: "the item" }) };
        direct::buy(deps, gate, permit, (sending, wish, body), proceed).await?;
        return Ok(Report::did(1));
    };
    let caller = permit.caller(Some(job.id), job.event_id.as_ref());
    let answer = gate.client.submit_unlock(caller, permit.entered_at, channel, &body, proceed).await;
    let lesson = permit.learn(&answer);
    answer::record(deps, gate, sending, &sorting.chargeable, &answer).await?;
    gate.keep(lesson).await?;
    Ok(Report::did(1))
}

/// How long a stop waits for a POST in flight: of the 10 s that are promised, a slow disk may need the
/// rest for what is written last.
pub const STOP_WAITS_FOR: Duration = Duration::from_secs(6);
