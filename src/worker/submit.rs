//! Waiting items → a batch → one paid POST.
//!
//! In this order: free what no longer waits for anything, form a batch, look at the balance, ask
//! what the batch would cost, and only then commit the intent to send and send. Each step leaves
//! rows from which the next run goes on, so a limit that is used up, or a crash, may fall between
//! any two of them. The intent is committed before the POST, with what it may cost held; a job
//! found in `submitting` at start is in doubt, and never simply sent again.
//!
//! One submission at a time for each account: what is free to spend is then never counted twice.

use std::time::Duration;

use super::gate::{Entry, Gate, Permit};
use super::{Deps, Report, read_failure, retry_at, submitted};
use crate::api::{ApiError, unlock_body};
use crate::clock;
use crate::domain::credits::{self, Admission, Approval, Purse};
use crate::domain::failure::ReadFailure;
use crate::domain::job::{Event, State, WaitReason};
use crate::domain::sorting::{Quote, Sorting};
use crate::domain::{AccountId, Credits, Millis, PersonnelId, RequestId};
use crate::failpoint::{self, Place};
use crate::store::accounts::AccountRow;
use crate::store::jobs::Job;
use crate::store::ledger::{Attempt, Balance};
use crate::store::{StoreError, accounts, disk, erase, items, jobs, ledger, requests, timeline};

/// If more than this lies between the commit of the intent and the first byte of the body, the
/// process was stopped in between and what it decided may no longer hold.
const LONGEST_PAUSE_BEFORE_SENDING_MS: i64 = 2_000;

/// Prechecks that fail this often in a row are done without: the endpoint is advisory.
const PRECHECK_TRIES: u32 = 3;

/// Moves the account's next submission one step on.
pub async fn run(deps: &Deps, account: &AccountId) -> Result<Report, StoreError> {
    let gate = &deps.gates[account];
    let row = accounts::read(deps.store.readers(), account).await?;
    // `unlockd resume` is another process: it says so in the row.
    let resumed_at = row.resumed_at.filter(|_| row.refused_key.is_none()).map(Millis);
    if resumed_at.is_some_and(|at| gate.forget_refusal_before(at)) {
        return Ok(Report::did(1));
    }
    let queued = jobs::queued(deps.store.readers(), account, 64).await?;
    let freed = release(deps, gate, &row, &queued).await?;
    if freed.did > 0 {
        return Ok(freed);
    }
    let now = deps.clock.now();
    let ready = queued.iter().find(|job| job.state == State::Queued { waits_for: None });
    let formed = form(deps, account, ready, now).await?;
    if formed {
        return Ok(Report::did(1));
    }
    let Some(job) = ready else { return Ok(freed) };
    if !gate.has_usable_key() {
        return hold(deps, job, WaitReason::InvalidApiKey, None).await;
    }
    if row.paused_at.is_some() {
        return Ok(freed);
    }
    let not_before = gate.trouble_until().max(job.due_at.unwrap_or_default());
    if not_before > now {
        return Ok(freed.no_later_than(Some(not_before)));
    }
    let report = advance(deps, gate, job).await?;
    Ok(report.no_later_than(freed.next_at))
}

/// Puts the oldest waiting items into a batch, or fills up the one that is ready but was not sent
/// yet. Returns whether something changed.
async fn form(
    deps: &Deps,
    account: &AccountId,
    ready: Option<&Job>,
    now: Millis,
) -> Result<bool, StoreError> {
    let batch_size = deps.config().submit.batch_size;
    let group = match ready {
        // Sorted already: what it costs is known, and stays true only for these contacts.
        Some(job) if deps.sortings().contains_key(&(job.id, job.version)) => return Ok(false),
        Some(job) if job.contacts >= batch_size => return Ok(false),
        Some(job) => Some(items::Group { channel: job.channel, event_id: job.event_id.clone() }),
        None => items::oldest_waiting_group(deps.store.readers(), account).await?,
    };
    let Some(group) = group else { return Ok(false) };
    let (account, ready) = (account.clone(), ready.cloned());
    let changed = deps
        .store
        .write(move |connection| {
            Box::pin(async move {
                let waiting =
                    items::waiting_contacts(&mut *connection, &account, &group, 2 * batch_size).await?;
                if waiting.is_empty() {
                    return Ok(false);
                }
                let channel = group.channel;
                let done =
                    items::serve_from_store(&mut *connection, &account, channel, &waiting, now).await?;
                requests::finish_complete(&mut *connection, &done, now).await?;
                items::join_in_flight(&mut *connection, &account, channel, &waiting).await?;

                let mut contacts =
                    items::waiting_contacts(&mut *connection, &account, &group, 2 * batch_size).await?;
                if contacts.is_empty() {
                    return Ok(true);
                }
                let mut seen = std::collections::HashSet::new();
                contacts.retain(|id| seen.insert(id.clone()));
                let mut job = match ready {
                    Some(job) => job,
                    None => {
                        let event_id = group.event_id.as_ref();
                        jobs::insert_queued(&mut *connection, &account, channel.action(), event_id, now)
                            .await?
                    }
                };
                contacts.truncate((batch_size - job.contacts.min(batch_size)) as usize);
                items::assign(&mut *connection, &account, channel, &contacts, job.id).await?;
                job.contacts += contacts.len() as u32;
                jobs::save(connection, &job).await?;
                Ok(true)
            })
        })
        .await?;
    Ok(changed)
}

/// Frees queued jobs that no longer wait for anything.
async fn release(deps: &Deps, gate: &Gate, row: &AccountRow, queued: &[Job]) -> Result<Report, StoreError> {
    let parked: Vec<&Job> =
        queued.iter().filter(|job| matches!(job.state, State::Queued { waits_for: Some(_) })).collect();
    if parked.is_empty() {
        return Ok(Report::idle());
    }
    let now = deps.clock.now();
    let purse = purse(deps, &gate.account).await?;
    let mut report = Report::idle();
    let mut awaits_credits = false;
    for job in parked {
        let State::Queued { waits_for: Some(reason) } = job.state else { continue };
        let price = deps.price(&gate.account, job.action()).await?;
        let cost = price.times(job.contacts as usize);
        let resumed = row.resumed_at.is_some_and(|at| Some(Millis(at)) > job.due_at);
        let free = match reason {
            WaitReason::InvalidApiKey => gate.has_usable_key(),
            WaitReason::Conflict => job.due_at.is_none_or(|at| at <= now),
            WaitReason::Budget => {
                let fits = |purse: &Purse| {
                    credits::admit(cost, Some(purse), now) != Admission::Wait(WaitReason::Budget)
                };
                resumed || purse.as_ref().is_some_and(fits)
            }
            WaitReason::InsufficientCredits => {
                awaits_credits = true;
                let grew = |purse: &Purse| job.parked_balance.is_none_or(|parked| purse.balance > parked);
                resumed || purse.as_ref().is_some_and(|purse| grew(purse) && purse.available() >= cost)
            }
        };
        if free && reason != WaitReason::Conflict {
            let mut freed = job.clone();
            freed.apply(Event::Released, now)?;
            (freed.due_at, freed.parked_balance) = (None, None);
            deps.store
                .write(move |connection| Box::pin(async move { jobs::save(connection, &freed).await }))
                .await?;
            return Ok(Report::did(1));
        }
        if free {
            return settle_conflict(deps, gate, job).await;
        }
        if reason == WaitReason::Conflict {
            report = report.no_later_than(job.due_at);
        }
        if reason == WaitReason::Budget {
            report = report.no_later_than(Some(now.start_of_day().plus(86_400_000)));
        }
    }
    if awaits_credits && gate.has_usable_key() {
        let looked = look_for_credits(deps, gate, purse.as_ref()).await?;
        return Ok(Report { did: looked.did, ..looked.no_later_than(report.next_at) });
    }
    Ok(report)
}

/// Parked for credits: somebody may top up, so the balance is looked at now and then.
async fn look_for_credits(deps: &Deps, gate: &Gate, purse: Option<&Purse>) -> Result<Report, StoreError> {
    const LOOK_EVERY_MS: i64 = 15_000;
    let due = purse.map_or(Millis(0), |purse| purse.balance_at.plus(LOOK_EVERY_MS));
    let due = due.max(gate.trouble_until());
    if due > deps.clock.now() {
        return Ok(Report::at(due));
    }
    read_balance(deps, gate, "parked").await
}

/// After a 409: the balance and (in `advance`) the precheck are read before anything is retried.
async fn settle_conflict(deps: &Deps, gate: &Gate, job: &Job) -> Result<Report, StoreError> {
    let last = ledger::last_snapshot(deps.store.readers(), &gate.account).await?;
    let since_conflict = job.due_at.unwrap_or_default();
    if last.is_none_or(|snapshot| Millis(snapshot.asked_at) < since_conflict) {
        return read_balance(deps, gate, "conflict").await;
    }
    let (mut freed, now) = (job.clone(), deps.clock.now());
    freed.apply(Event::Released, now)?;
    deps.store.write(move |connection| Box::pin(async move { jobs::save(connection, &freed).await })).await?;
    Ok(Report::did(1))
}

/// One step of a job that is ready: balance, precheck, or the submission itself.
async fn advance(deps: &Deps, gate: &Gate, job: &Job) -> Result<Report, StoreError> {
    let now = deps.clock.now();
    let price = deps.price(&gate.account, job.action()).await?;
    let purse = purse(deps, &gate.account).await?;
    let estimate = price.times(job.contacts as usize);
    match credits::admit(estimate, purse.as_ref(), now) {
        Admission::ReadBalance => return read_balance(deps, gate, "before_submission").await,
        // Checked again with the precheck's figure below; an estimate that does not fit may still
        // be too high, but is not worth a call.
        Admission::Wait(reason) => return hold(deps, job, reason, None).await,
        Admission::Go => {}
    }
    let sorting = match sort(deps, gate, job, price).await? {
        Sorted::Done(sorting) => sorting,
        Sorted::Later(report) => return Ok(report),
    };
    if !sorting.had.is_empty() {
        return set_aside(deps, job, sorting).await;
    }
    match credits::admit(sorting.cost, purse.as_ref(), now) {
        Admission::ReadBalance => return read_balance(deps, gate, "before_submission").await,
        Admission::Wait(reason) => return hold(deps, job, reason, None).await,
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

/// The account's purse, with the configured floor and daily limit.
pub(crate) async fn purse(deps: &Deps, account: &AccountId) -> Result<Option<Purse>, StoreError> {
    let config = deps.config();
    let (now, account) = (deps.clock.now(), account.clone());
    let purse = deps
        .store
        .write(move |connection| Box::pin(async move { ledger::purse(connection, &account, now).await }))
        .await?;
    Ok(purse.map(|purse| Purse {
        min_balance: Credits(config.credits.min_balance),
        daily_limit: config.credits.daily_limit.map(Credits),
        ..purse
    }))
}

/// What came of asking for the balance.
pub(crate) enum Asked {
    Recorded(Balance),
    /// Nothing was asked: not before this moment.
    At(Millis),
    /// Nothing was asked: there is no key, or it was refused.
    NoKey,
    Failed(ApiError),
}

/// Reads and records the balance, for a pass.
pub(super) async fn read_balance(
    deps: &Deps,
    gate: &Gate,
    cause: &'static str,
) -> Result<Report, StoreError> {
    Ok(match ask_balance(deps, gate, cause).await? {
        Asked::Recorded(_) => Report::did(1),
        Asked::At(at) => Report::at(at),
        Asked::NoKey => Report::idle(),
        Asked::Failed(_) => after_failed_read(deps, gate),
    })
}

/// Reads and records the balance.
pub(crate) async fn ask_balance(deps: &Deps, gate: &Gate, cause: &'static str) -> Result<Asked, StoreError> {
    let permit = match gate.enter().await? {
        Entry::Open(permit) => permit,
        Entry::At(at) => return Ok(Asked::At(at)),
        Entry::NoKey => return Ok(Asked::NoKey),
    };
    let asked_at = permit.entered_at;
    let answer = gate.client.balance(permit.caller(None, None), asked_at).await;
    permit.leave(&answer).await?;
    match answer.result {
        Ok(balance) => {
            let balance = Balance {
                total: balance.total,
                subscription: balance.subscription,
                addon: balance.addon,
                gift: balance.gift,
            };
            let (account, taken_at) = (gate.account.clone(), deps.clock.now());
            deps.store
                .write(move |connection| {
                    Box::pin(async move {
                        ledger::add_snapshot(connection, &account, balance, cause, asked_at, taken_at).await
                    })
                })
                .await?;
            Ok(Asked::Recorded(balance))
        }
        Err(error) => Ok(Asked::Failed(error)),
    }
}

/// The gate has learned from the failure; this says when to come back.
pub(super) fn after_failed_read(deps: &Deps, gate: &Gate) -> Report {
    if !gate.has_usable_key() {
        // Runs again at once, and finds the door closed.
        return Report::did(1);
    }
    let soon = retry_at(deps.clock.now(), 1);
    Report::at(gate.trouble_until().max(soon))
}

enum Sorted {
    Done(Sorting),
    Later(Report),
}

/// Asks what the batch would cost, and which of its contacts need not be paid for.
async fn sort(deps: &Deps, gate: &Gate, job: &Job, price: Credits) -> Result<Sorted, StoreError> {
    let key = (job.id, job.version);
    let known = deps.sortings().get(&key).cloned();
    let mut sorting = match known {
        Some(sorting) => sorting,
        None => start_sorting(deps, job, price).await?,
    };
    // An erased contact was paid for, and only reading tells whether the API remembers.
    if !deps.config().submit.precheck && !erase::in_job(deps.store.readers(), job.id).await? {
        sorting.answer_all_unhelpful();
    }
    while let Some(group) = sorting.question() {
        let group: Vec<PersonnelId> = group.to_vec();
        let permit = match gate.enter().await? {
            Entry::Open(permit) => permit,
            Entry::At(at) => return Ok(later(deps, key, sorting, Report::at(at))),
            Entry::NoKey => return Ok(later(deps, key, sorting, Report::did(1))),
        };
        let caller = permit.caller(Some(job.id), job.event_id.as_ref());
        let answer = gate.client.precheck(caller, permit.entered_at, job.channel, &group).await;
        permit.leave(&answer).await?;
        match answer.result {
            Ok(quote) => sorting.answer(quote),
            Err(error) => match read_failure(&error) {
                ReadFailure::Gone => sorting.answer(Quote::Unhelpful),
                ReadFailure::TryAgain if sorting.failed() >= PRECHECK_TRIES => {
                    sorting.answer(Quote::Unhelpful)
                }
                _ => return Ok(later(deps, key, sorting, after_failed_read(deps, gate))),
            },
        }
    }
    deps.sortings().insert(key, sorting.clone());
    Ok(Sorted::Done(sorting))
}

/// How long a profile that was seen locked needs no precheck, in milliseconds.
const LOCKED_HOLDS_FOR_MS: i64 = 600_000;

async fn start_sorting(deps: &Deps, job: &Job, price: Credits) -> Result<Sorting, StoreError> {
    let since = deps.clock.now().plus(-LOCKED_HOLDS_FOR_MS);
    let locked = jobs::checked_contacts(deps.store.readers(), job.id, since).await?;
    let mut to_ask = jobs::contacts(deps.store.readers(), job.id).await?;
    let known: std::collections::HashSet<&PersonnelId> = locked.iter().collect();
    to_ask.retain(|id| !known.contains(id));
    Ok(Sorting::new(to_ask, price).with_locked(locked))
}

fn later(deps: &Deps, key: (crate::domain::JobId, i64), sorting: Sorting, report: Report) -> Sorted {
    deps.sortings().insert(key, sorting);
    Sorted::Later(report)
}

/// Contacts that are unlocked already leave the batch; their values are read from the profiles.
async fn set_aside(deps: &Deps, job: &Job, sorting: Sorting) -> Result<Report, StoreError> {
    let now = deps.clock.now();
    let had = sorting.had.clone();
    let (mut smaller, key) = (job.clone(), (job.id, job.version));
    smaller.contacts = sorting.chargeable.len() as u32;
    if sorting.chargeable.is_empty() {
        smaller.apply(Event::NothingLeft, now)?;
    }
    let job_id = job.id;
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                items::to_reading(&mut *connection, job_id, &had, true, now).await?;
                jobs::save(&mut *connection, &smaller).await?;
                let detail = format!("{} contacts are unlocked already and are read, not bought", had.len());
                timeline::of_job(connection, now, job_id, "already_unlocked", &detail).await
            })
        })
        .await?;
    let mut sortings = deps.sortings();
    sortings.remove(&key);
    if !sorting.chargeable.is_empty() {
        sortings.insert((job.id, job.version + 1), sorting.without_had());
    }
    Ok(Report::did(1))
}

/// Parks a queued job with a reason.
async fn hold(
    deps: &Deps,
    job: &Job,
    waits_for: WaitReason,
    parked_balance: Option<Credits>,
) -> Result<Report, StoreError> {
    let (mut held, now) = (job.clone(), deps.clock.now());
    held.apply(Event::Held { waits_for }, now)?;
    (held.due_at, held.parked_balance) = (Some(now), parked_balance);
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

/// What the intent's transaction decided.
enum Intent {
    Committed(Box<Job>),
    /// Requests left the batch because their approval does not cover it; look again.
    Changed,
}

/// Commits the intent, then sends.
async fn send(deps: &Deps, gate: &Gate, job: &Job, sorting: Sorting) -> Result<Report, StoreError> {
    let permit = match gate.enter().await? {
        Entry::Open(permit) => permit,
        Entry::At(at) => return Ok(Report::at(at)),
        Entry::NoKey => return Ok(Report::did(1)),
    };
    deps.sortings().remove(&(job.id, job.version));
    let body = unlock_body(&sorting.chargeable, job.event_id.as_ref());
    let intent = commit_intent(deps, &permit, job, &sorting, body.digest()).await;
    let sending = match intent {
        Ok(Intent::Committed(sending)) => *sending,
        Ok(Intent::Changed) | Err(StoreError::Stale { .. }) => {
            permit.give_back();
            return Ok(Report::did(1));
        }
        Err(error) => return Err(error),
    };
    let committed_at = clock::boot_ms();
    failpoint::pass(Place::AfterIntent);
    let proceed = move || clock::boot_ms() - committed_at <= LONGEST_PAUSE_BEFORE_SENDING_MS;
    let caller = permit.caller(Some(job.id), job.event_id.as_ref());
    let answer = gate.client.submit_unlock(caller, permit.entered_at, job.channel, &body, proceed).await;
    let lesson = permit.learn(&answer);
    submitted::record(deps, gate, sending, &sorting.chargeable, &answer).await?;
    gate.keep(lesson).await?;
    Ok(Report::did(1))
}

/// One transaction: approvals still cover it, the attempt is written, its cost is held, and the
/// job is `submitting`.
async fn commit_intent(
    deps: &Deps,
    permit: &Permit<'_>,
    job: &Job,
    sorting: &Sorting,
    body_digest: &str,
) -> Result<Intent, StoreError> {
    let now = deps.clock.now();
    let contacts = sorting.chargeable.len().max(1);
    // Rounded up: what is held may overstate, never understate.
    let price = Credits((sorting.cost.0 + contacts as i64 - 1) / contacts as i64);
    let approve_above = Credits(deps.config().credits.approve_above);
    let mut attempt = Attempt {
        request_id: permit.request_id.to_string(),
        body_digest: body_digest.to_owned(),
        contacts: sorting.chargeable.len() as u32,
        cost: sorting.cost,
        lease_token: deps.lease_token,
        balance_before: None,
    };
    let mut job = job.clone();
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                let shares = requests::shares(&mut *connection, job.id).await?;
                if part_with_uncovered(&mut *connection, &shares, price, approve_above, now).await? > 0 {
                    let left = requests::shares(&mut *connection, job.id).await?;
                    let remaining: i64 = left.iter().map(|share| share.contacts).sum();
                    job.contacts = remaining as u32;
                    if remaining == 0 {
                        job.apply(Event::NothingLeft, now)?;
                    }
                    let current = jobs::version(&mut *connection, job.id).await?;
                    job.version = current;
                    jobs::save(connection, &job).await?;
                    return Ok(Intent::Changed);
                }
                let purse = ledger::purse(&mut *connection, &job.account, now).await?;
                attempt.balance_before = purse.map(|purse| purse.balance - purse.charged_since);
                job.apply(Event::SendStarted, now)?;
                (job.price, job.cost, job.due_at) = (Some(price), Some(attempt.cost), None);
                job.window_id = Some(ledger::open_window(&mut *connection, &job.account, now).await?);
                ledger::begin_attempt(&mut *connection, job.id, &attempt, now).await?;
                ledger::hold(&mut *connection, &job.account, job.id, attempt.cost, now).await?;
                requests::commit_shares(&mut *connection, &shares, price).await?;
                jobs::save(&mut *connection, &job).await?;
                let detail = format!("{} contacts, at most {} credits", attempt.contacts, attempt.cost);
                timeline::of_job(connection, now, job.id, "send_started", &detail).await?;
                job.version += 1;
                Ok(Intent::Committed(Box::new(job)))
            })
        })
        .await
}

/// Takes requests out of the batch whose approval or `max_credits` does not cover what they would
/// cost by now. Returns how many.
async fn part_with_uncovered(
    connection: &mut sqlx::SqliteConnection,
    shares: &[requests::Share],
    price: Credits,
    approve_above: Credits,
    now: Millis,
) -> Result<usize, StoreError> {
    let mut parted = 0;
    for share in shares {
        let quote = Credits(share.committed_credits) + price.times(share.contacts as usize);
        let (max_credits, approved) = (share.max_credits.map(Credits), share.approved_credits.map(Credits));
        let id = RequestId(share.request_id);
        match credits::approval(quote, approve_above, max_credits, approved) {
            Approval::NotNeeded => continue,
            Approval::Needed => {
                let reason = format!(
                    "would now cost up to {quote} credits, more than was approved; nothing more was bought: \
                     unlockd approve {id}, or cancel {id}"
                );
                requests::ask_again(&mut *connection, id, quote, &reason, now).await?;
            }
            Approval::OverMaxCredits => {
                requests::end_unsent(&mut *connection, id, "rejected", now).await?;
                timeline::of_request(&mut *connection, now, id, "over_max_credits", &format!("{quote}"))
                    .await?;
                requests::finish_complete(&mut *connection, &format!("[{id}]"), now).await?;
            }
        }
        parted += 1;
    }
    Ok(parted)
}

/// How long a stop waits for a POST in flight: within the 10 s that are promised.
pub const STOP_WAITS_FOR: Duration = Duration::from_secs(8);
