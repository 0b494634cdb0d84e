//! Waiting items → a batch → one paid POST.
//!
//! Each run takes one step: it reads the facts once, `domain::submission` decides, and the step is taken and
//! recorded. The next run continues from the rows that a step leaves, so a full rate limit or a crash may
//! come between any two steps. The intent is committed before the POST, and its possible cost is held; a job
//! found in `submitting` at start is in doubt, and never simply sent again.
//!
//! One submission at a time for each account, and one paid call at a time for each owner: so free credits are never
//! counted twice.

mod ahead;
pub mod answer;
mod awake;
pub mod batch;
mod divide;
pub(in crate::worker) mod facts;
pub mod intent;
pub mod parked;
pub mod precheck;
mod send;

use std::time::Duration;

use crate::domain::credits::Purse;
use crate::domain::job::{Event, WaitReason};
use crate::domain::sorting::Sorting;
use crate::domain::submission::{self, Cause, Circumstances, NO_BASE_ACCESS, Plan, Verdict};
use crate::domain::{AccountId, JobId, Millis};
use crate::store::accounts::AccountRow;
use crate::store::disk;
use crate::store::items::waiting;
use crate::store::jobs::Job;
use crate::store::{StoreError, accounts, jobs, timeline};
use crate::worker::balance::read_balance;
use crate::worker::doubt::unanswered::book_unread;
use crate::worker::gate::Gate;
use crate::worker::people::pause;
use crate::worker::submit::parked::{Asked, park};
use crate::worker::submit::precheck::{Sorted, set_aside, sort};
use crate::worker::submit::send::send;
use crate::worker::{Deps, Report, direct, durability, retry_at};

/// How long a stop waits for a POST in flight. The rest of the promised 10 s is for the last writes on a slow
/// disk.
pub const STOP_WAITS_FOR: Duration = Duration::from_secs(6);

/// Takes the next step of the account's next submission.
pub async fn run(deps: &Deps, account: &AccountId) -> Result<Report, StoreError> {
    let gate = &*deps.gate(account);
    // Its rows wait, and its running tasks are polled to their end.
    if !deps.config().accounts.contains_key(account.as_str()) {
        return Ok(Report::idle());
    }
    let Some((facts, row)) = facts::read(deps, gate).await? else { return Ok(Report::did(1)) };
    note_wait(deps, account, &row, submission::waits_for(&facts)).await?;
    let report = match submission::plan(&facts) {
        Plan::Cancel(job) => cancel(deps, read(deps, job).await?).await?,
        Plan::LowerRefusedAt(balance) => parked::lower_refused_at(deps, account, balance).await?,
        Plan::Release(job) => parked::release(deps, read(deps, job).await?).await?,
        Plan::ReadBalance(cause) => read_balance(deps, gate, cause.as_str()).await?,
        Plan::Fill { job, most } => batch::fill(deps, read(deps, job).await?, most).await?,
        Plan::Form { action, lead, most, fits } => {
            batch::form(deps, account, (action, lead), (most, fits)).await?
        }
        Plan::Serve(action) => batch::serve(deps, account, action).await?,
        Plan::Park(job, reason) => {
            let job = read(deps, job).await?;
            let quoted = job.quoted_credits;
            let asked = Asked { price: quoted.and(job.price), quoted, refused_at: None };
            park(deps, &job, reason, asked).await?
        }
        Plan::Submit(job) => {
            if let Some(report) = durability::hold(deps).await? {
                return Ok(report.no_later_than(facts.rest_until()));
            }
            let job = read(deps, job).await?;
            precheck_and_send(deps, gate, &job, facts.purse.as_ref(), row.restored_at.is_some()).await?
        }
        Plan::Rest(next_at) => Report::idle().no_later_than(next_at),
    };
    Ok(report.no_later_than(facts.rest_until()))
}

/// The job of the plan, which was made a moment ago.
async fn read(deps: &Deps, job: JobId) -> Result<Job, StoreError> {
    let job = jobs::read(deps.store.readers(), job).await?;
    job.ok_or(StoreError::Stale { what: "the job" })
}

/// Notes why items that are in no job wait, if the reason has changed.
async fn note_wait(
    deps: &Deps,
    account: &AccountId,
    row: &AccountRow,
    waits_for: Option<WaitReason>,
) -> Result<(), StoreError> {
    if row.waits_for() == waits_for {
        return Ok(());
    }
    let (account, now) = (account.clone(), deps.clock.now());
    deps.store
        .write(move |tx| Box::pin(async move { accounts::set_waits_for(tx, &account, waits_for, now).await }))
        .await
}

/// Ends a job that all requests left before it was sent.
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

/// Prechecks the job, decides once more, and sends it.
async fn precheck_and_send(
    deps: &Deps,
    gate: &Gate,
    job: &Job,
    purse: Option<&Purse>,
    restored: bool,
) -> Result<Report, StoreError> {
    let price = deps.price(&gate.account, job.action).await?;
    let sorting = match sort(deps, gate, job, price).await? {
        Sorted::Done(sorting) => sorting,
        Sorted::Later(report) => return Ok(report),
    };
    let now = deps.clock.now();
    let base_is_coming = base_is_coming(deps, job, &sorting).await?;
    let circumstances = Circumstances { restored, base_is_coming, purse };
    match submission::after_precheck(&sorting, job.action, circumstances, now) {
        Verdict::Distrust => distrust(deps, gate, job).await,
        Verdict::Reject(reason) => {
            deps.sortings().remove(&(job.id, job.version));
            direct::reject(deps, job.clone(), reason).await
        }
        Verdict::AskLater => ask_later(deps, job).await,
        Verdict::TellApart => Ok(tell_apart(deps, job, sorting)),
        Verdict::SetAside => set_aside(deps, job, sorting).await,
        Verdict::ReadBalance => read_balance(deps, gate, Cause::BeforeSubmission.as_str()).await,
        Verdict::Park { waits_for, refused_at } => {
            let price = Some(sorting.price_each());
            let quoted = job.channel().and(Some(sorting.charged()));
            park(deps, job, waits_for, Asked { price, quoted, refused_at }).await
        }
        Verdict::Send => match disk_is_full(deps, now)? {
            Some(report) => Ok(report),
            None => send(deps, gate, job, (sorting, restored)).await,
        },
    }
}

/// Whether a precheck misses base access that was asked for and has not come yet, or came so short a time ago that it
/// may not show.
async fn base_is_coming(deps: &Deps, job: &Job, sorting: &Sorting) -> Result<bool, StoreError> {
    let Some(event_id) = job.event_id.as_ref().filter(|_| sorting.refusal() == Some(NO_BASE_ACCESS)) else {
        return Ok(false);
    };
    let since = deps.clock.now().plus(-deps.patience().lag_ms());
    waiting::base_is_coming(deps.store.readers(), &job.account, event_id, since).await
}

/// The job waits for another answer of its precheck, and holds up nobody else's.
async fn ask_later(deps: &Deps, job: &Job) -> Result<Report, StoreError> {
    let (mut parked, now) = (job.clone(), deps.clock.now());
    parked.apply(Event::Parked { waits_for: WaitReason::Conflict }, now)?;
    parked.failures += 1;
    parked.due_at = Some(retry_at(now, parked.failures));
    deps.sortings().remove(&(job.id, job.version));
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                jobs::save(&mut *connection, &parked).await?;
                timeline::of_job(connection, now, parked.id, "waits", WaitReason::Conflict.as_str()).await
            })
        })
        .await?;
    Ok(Report::did(1))
}

/// Stops the account until a person has looked: nothing shows whether this was bought after the copy was
/// made.
async fn distrust(deps: &Deps, gate: &Gate, job: &Job) -> Result<Report, StoreError> {
    tracing::error!(job_id = job.id.0, account = %gate.account,
        "the database is an older copy, and no precheck can tell whether this was bought since; nothing is \
         submitted until a person resumes: unlockd explain, unlockd resume");
    deps.sortings().remove(&(job.id, job.version));
    pause::pause_restored(&deps.store, &gate.account, deps.clock.now()).await?;
    Ok(Report::did(1))
}

/// When to check again, if the disk has no space to record a purchase.
fn disk_is_full(deps: &Deps, now: Millis) -> Result<Option<Report>, StoreError> {
    let Some(free) = disk::too_few_bytes(&deps.store)? else {
        return Ok(None);
    };
    tracing::error!(
        free_bytes = free,
        needed_bytes = disk::NEEDED_BYTES,
        "the disk is nearly full; nothing is bought until there is room to record it"
    );
    Ok(Some(Report::at(now.plus(DISK_LOOK_EVERY_MS))))
}

/// The pause between two checks of a full disk, in milliseconds.
const DISK_LOOK_EVERY_MS: i64 = 5_000;

/// The next run asks about smaller groups.
fn tell_apart(deps: &Deps, job: &Job, mut sorting: Sorting) -> Report {
    sorting.tell_apart();
    deps.sortings().insert((job.id, job.version), sorting);
    Report::did(1)
}
