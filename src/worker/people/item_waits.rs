//! The reasons why items that are in no job wait: a key, credits, another day, a free place among the running
//! tasks, or their turn.
//!
//! The submit pass makes no job of items that it cannot buy yet, so that they all go out later in full
//! batches. It notes on the account what is missing; the rest is computed here, by the same rules as in the
//! pass.

use crate::config::Config;
use crate::domain::job::WaitReason;
use crate::domain::needs::{Lack, Limits, Need, Parked};
use crate::domain::{AccountId, Action, Millis, credits, pacing};
use crate::store::accounts::AccountRow;
use crate::store::credits::ledger;
use crate::store::jobs::facts;
use crate::store::report::accounts::ApiTrouble;
use crate::store::report::requests::Request;
use crate::store::report::{Time, jobs, metrics, plural};
use crate::store::{Store, StoreError, rate};
use crate::worker::balance::with_limits;
use crate::worker::people::lack;
use crate::worker::people::needs::limits;
use crate::worker::people::wait::{Wait, contacts};
use crate::worker::submit::facts::OLDER;
use crate::worker::{ladder, least_price};

/// The waits of a request's items that are in no job yet.
pub(in crate::worker) async fn waiting(
    store: &Store,
    config: &Config,
    request: &Request,
    (count, row): (i64, &AccountRow),
    now: Millis,
) -> Result<Wait, StoreError> {
    let (name, subject) = (&request.account, subject(request, count));
    let account = AccountId::trusted(name.clone());
    let paused = row.paused_at.map(Time);
    if paused.is_some() {
        return Ok(Wait {
            reason: "paused".to_owned(),
            what: format!("{subject} not sent: account {name} is paused"),
            since: paused,
            unblock: Some(format!("unlockd resume --account {name}")),
            needs_person: true,
            ..Wait::default()
        });
    }
    let lacks = match row.waits_for() {
        Some(reason) => Some(reason),
        None => lacks(store, config, request, now).await?,
    };
    if lacks == Some(WaitReason::InvalidApiKey) && row.refused_key.is_some() {
        // Another wait already says that the key was refused, and what to do.
        let reason = WaitReason::InvalidApiKey.as_str().to_owned();
        let what = format!("{subject} not sent before that");
        return Ok(Wait { reason, what, needs_person: true, ..Wait::default() });
    }
    if let Some(reason) = lacks {
        let since = row.waits_since.map(Time).or(request.taken_at);
        let lack = match reason {
            WaitReason::InsufficientCredits => lack::of(store, config, &account, None).await?,
            _ => None,
        };
        return Ok(Wait { since, ..lacking(account, (count, lack), (reason, limits(config))) });
    }
    let blank = Wait { since: request.taken_at, ..Wait::default() };
    if let Some(trouble) = ApiTrouble::of(row) {
        let what = format!("{subject} not sent yet: {}", trouble.what());
        let next_try_at = Some(trouble.next_try_at);
        return Ok(Wait { reason: "waiting".to_owned(), what, next_try_at, ..blank });
    }
    Ok(match tasks_running(store, config, &account, now).await? {
        Some(tasks) => Wait {
            reason: "tasks_running".to_owned(),
            what: format!("{subject} not sent yet: {tasks}"),
            ..blank
        },
        None => Wait {
            reason: "waiting".to_owned(),
            what: format!("{subject} waiting, behind what was asked for earlier"),
            ..blank
        },
    })
}

/// What is missing to buy one unit of what a request asks for, by the last balance.
async fn lacks(
    store: &Store,
    config: &Config,
    request: &Request,
    now: Millis,
) -> Result<Option<WaitReason>, StoreError> {
    let account = AccountId::trusted(request.account.clone());
    let Some(action) = Action::parse(&request.action) else { return Ok(None) };
    let seen = ledger::seen_price(store.readers(), &account, action).await?;
    let price = seen.unwrap_or_else(|| least_price(config, action));
    let purse = metrics::purse(store, &account, now).await?;
    Ok(purse.and_then(|purse| credits::lacks(price, &with_limits(purse, config))))
}

/// Uses the same words as every other place that reports this.
fn lacking(
    account: AccountId,
    (count, lack): (i64, Option<Lack>),
    (reason, limits): (WaitReason, Limits),
) -> Wait {
    let work = Parked { items: count.unsigned_abs(), lack, ..Parked::default() };
    Wait::for_person(&match reason {
        WaitReason::InvalidApiKey => Need::NoKey { account },
        WaitReason::Budget => Need::Budget { account, work, limits },
        WaitReason::InsufficientCredits | WaitReason::Conflict => Need::Credits { account, work },
    })
}

/// As many tasks run as the rate limit can poll: says how many, and which one has run longest. `None`: there
/// is room for another.
pub(in crate::worker) async fn tasks_running(
    store: &Store,
    config: &Config,
    account: &AccountId,
    now: Millis,
) -> Result<Option<String>, StoreError> {
    let ladder = ladder(config);
    let rate = rate::read_rate(store.readers(), account, config.rate_limit.per_minute, now).await?;
    let places = pacing::tasks_in_flight(rate.limit(), rate.window_ms(), rate.latency_ms(), &ladder);
    let by_age = facts::polled(store.readers(), account, OLDER, now).await?;
    if pacing::places_taken(by_age, &ladder) < places {
        return Ok(None);
    }
    let running = plural(by_age.iter().map(|tasks| i64::from(*tasks)).sum(), "task");
    let longest = jobs::longest_polled(store, account).await?;
    let names = longest.iter().map(|job| {
        let task = job.task_id.as_deref().unwrap_or_default();
        let since = job.submitted_at.unwrap_or(job.created_at);
        format!("task {task} of job {} since {since}", job.id)
    });
    let names = names.collect::<Vec<_>>().join(", ");
    Ok(Some(format!(
        "{running} of account {account} run, as many as the rate limit can poll in time; the longest: {names}. A task \
         that ends makes room, and so does one that has run for 10 minutes, which is polled more rarely"
    )))
}

/// What waits: contacts, or the next call of a request without contacts.
fn subject(request: &Request, count: i64) -> String {
    match Action::parse(&request.action).and_then(Action::channel) {
        Some(_) => contacts(count),
        None => "its next call is".to_owned(),
    }
}
