//! The reasons why a request waits, each with what would unblock it: the texts of `unlockd explain` and of the
//! page.

use crate::config::Config;
use crate::domain::job::WaitReason;
use crate::domain::needs::{Need, Stop};
use crate::domain::pause::Pause;
use crate::domain::rate::Permission;
use crate::domain::{AccountId, Credits, JobId, Millis, RequestId, pacing};
use crate::store::accounts::AccountRow;
use crate::store::report::accounts::ApiTrouble;
use crate::store::report::jobs::Job;
use crate::store::report::progress::{self, OpenItems};
use crate::store::report::requests::Request;
use crate::store::report::{Time, jobs};
use crate::store::{Store, StoreError, accounts, address, rate};
use crate::worker::durability;
use crate::worker::people::item_waits::{tasks_running, waiting};
use crate::worker::people::job_waits::job_wait;
use crate::worker::people::wait::{Wait, contacts};
use crate::worker::people::{lack, needs};

/// A wait for a person to approve the cost.
pub async fn approval(store: &Store, request: &Request) -> Result<Wait, StoreError> {
    let need = Need::Approval {
        account: AccountId::trusted(request.account.clone()),
        request: RequestId(request.id),
        credits: Credits(request.quoted_credits.unwrap_or_default()),
    };
    let since = progress::last_event(store, Some(request.id), None, "awaiting_approval").await?;
    Ok(Wait { since, ..Wait::for_person(&need) })
}

/// Everything that delays an accepted request.
pub async fn accepted(
    store: &Store,
    config: &Config,
    request: &Request,
    stops: &[Stop],
    now: Millis,
) -> Result<Vec<Wait>, StoreError> {
    let mut waits = held_up(store, config, request, stops, now).await?;
    let account = AccountId::trusted(request.account.clone());
    if !config.accounts.contains_key(account.as_str()) {
        // The rest is not tried before a person has acted on this.
        for wait in &mut waits {
            (wait.needs_person, wait.next_try_at, wait.gives_up_at) = (true, None, None);
        }
        waits.insert(0, Wait::for_person(&Need::NotConfigured { account }));
    }
    Ok(waits)
}

async fn held_up(
    store: &Store,
    config: &Config,
    request: &Request,
    stops: &[Stop],
    now: Millis,
) -> Result<Vec<Wait>, StoreError> {
    let account = AccountId::trusted(request.account.clone());
    let row = accounts::read(store.readers(), &account).await?;
    let items = progress::open_items(store, request.id).await?;
    let open: Vec<Job> = jobs::of_request(store, request.id)
        .await?
        .into_iter()
        .filter(|job| job.finished_at.is_none())
        .collect();
    let paused = row.paused_at.map(Time);
    let mut waits = Vec::new();
    if let Some(refused) = row.refused() {
        waits.push(Wait::for_person(&Need::key_refused(account.clone(), refused)));
    }
    // If a person paused the account, each thing that waits says so itself.
    let paused_by_worker = row.is_paused_by_restore() || row.overcharged().is_some();
    if let Some(need) = needs::pause(&account, &row, 0).filter(|_| paused_by_worker) {
        waits.push(Wait::for_person(&need));
    }
    let asked_to_wait = rate_limit(store, &account, &row, now).await?;
    let may_be_used_up = asked_to_wait.is_none();
    waits.extend(asked_to_wait);
    waits.extend(new_owner(config, &account, &row));
    let trouble = ApiTrouble::of(&row);
    if items.waiting > 0 {
        waits.push(waiting(store, config, request, (items.waiting, &row), now).await?);
    }
    let busy = match (&trouble, open.iter().any(|job| job.state == "queued")) {
        (Some(trouble), true) => Some(trouble.what()),
        (None, true) => tasks_running(store, config, &account, now).await?,
        (_, false) => None,
    };
    for job in &open {
        let lack = match job.state_reason.as_deref().and_then(WaitReason::parse) {
            Some(WaitReason::InsufficientCredits) => {
                lack::of(store, config, &account, Some(JobId(job.id))).await?
            }
            _ => None,
        };
        let held_up = (row.refused_key.is_some(), busy.as_deref());
        waits.push(job_wait(store, job, paused, held_up, (lack, needs::limits(config))).await?);
    }
    let mut of_profiles = profiles(&items, config, row.refused_key.is_some());
    if let Some(first) = of_profiles.first_mut() {
        first.what.push_str(&said(&progress::profiles_said(store, request.id).await?));
    }
    waits.extend(of_profiles);
    if may_be_used_up {
        waits.extend(calls_used_up((store, config), &account, now).await?);
    }
    if let Some(trouble) = &trouble {
        // Whatever is due is not tried while the API is left alone.
        for next in waits.iter_mut().filter_map(|wait| wait.next_try_at.as_mut()) {
            *next = (*next).max(trouble.next_try_at);
        }
    }
    waits.extend(trouble.as_ref().map(api_trouble));
    let is_unsent = items.waiting > 0 || open.iter().any(|job| job.state == "queued");
    waits.extend(stopped(stops).filter(|wait| is_unsent || wait.reason != durability::NOT_REPLICATED));
    Ok(waits)
}

/// That the account gets another owner, and the open settlement is closed first.
fn new_owner(config: &Config, account: &AccountId, row: &AccountRow) -> Option<Wait> {
    let (before, owner) = (row.owner.as_ref()?, config.owner_of(account.as_str()));
    let is_configured = config.accounts.contains_key(account.as_str());
    (is_configured && before != owner).then(|| Wait {
        reason: "owner_changes".to_owned(),
        what: format!(
            "account {account} gets the owner {owner}: nothing new is sent before the open settlement of {before} is \
             closed, which its running tasks delay; no action is needed"
        ),
        ..Wait::default()
    })
}

/// That the API asked to wait, this account or every account of this machine.
async fn rate_limit(
    store: &Store,
    account: &AccountId,
    row: &AccountRow,
    now: Millis,
) -> Result<Option<Wait>, StoreError> {
    let own = row.pause(now).map(Pause::until).filter(|until| *until > now);
    let of_all = address::held_until(store.readers(), now).await?.filter(|until| *until > now);
    let Some(until) = own.max(of_all) else { return Ok(None) };
    let (who, unblock) = match own {
        Some(_) => {
            (format!("account {account}"), Some(format!("unlockd resume --account {account}, not to wait")))
        }
        None => ("all accounts of this machine".to_owned(), None),
    };
    Ok(Some(Wait {
        reason: "rate_limit".to_owned(),
        what: format!("the API asked {who} to wait (Retry-After); no action is needed"),
        next_try_at: Some(until.into()),
        unblock,
        ..Wait::default()
    }))
}

/// This window's calls are used up.
async fn calls_used_up(
    (store, config): (&Store, &Config),
    account: &AccountId,
    now: Millis,
) -> Result<Option<Wait>, StoreError> {
    let rate = rate::read_rate(store.readers(), account, config.rate_limit.per_minute, now).await?;
    let Permission::At(until) = rate.permission(now) else { return Ok(None) };
    Ok(Some(Wait {
        reason: "rate_limit".to_owned(),
        what: "the calls of this minute are used up (rate limit); no action is needed".to_owned(),
        next_try_at: Some(until.into()),
        ..Wait::default()
    }))
}

fn api_trouble(trouble: &ApiTrouble) -> Wait {
    Wait {
        reason: "api_trouble".to_owned(),
        what: format!(
            "{}; nothing new is sent before it answers again, and nothing is lost; no action is needed",
            trouble.what()
        ),
        since: Some(trouble.since),
        next_try_at: Some(trouble.next_try_at),
        ..Wait::default()
    }
}

/// What keeps anything from being bought.
pub(in crate::worker) fn stopped(stops: &[Stop]) -> impl Iterator<Item = Wait> {
    stops.iter().map(|stop| Wait::for_person(&Need::Stopped { stop: *stop }))
}

/// Contacts that were paid for before and brought nothing.
fn paid_before(items: &OpenItems, config: &Config, key_refused: bool) -> Option<Wait> {
    let since = items.paid_before_since?;
    let gives_up_at = Millis(since.0).plus(pacing::duration_ms(config.polling.give_up_after));
    let (job, unblock) = match items.paid_before_job {
        Some(job) => {
            (format!(" in job {job}"), Some(format!("unlockd resolve {job} --resubmit, to pay again")))
        }
        None => (String::new(), None),
    };
    Some(Wait {
        reason: "paid_before".to_owned(),
        what: format!(
            "{} not bought: paid for before{job} and nothing came. The task may still be at work, so the profile is \
             read again; it is bought again when a precheck names a price, and is unresolved if nothing changes",
            contacts(items.paid_before)
        ),
        since: Some(since),
        next_try_at: items.next_paid_before_read_at,
        gives_up_at: Some(Time(gives_up_at.0)),
        unblock,
        needs_person: key_refused,
        job_id: items.paid_before_job,
    })
}

/// What the profiles said last, with the number of contacts.
fn said(words: &[(String, i64)]) -> String {
    match words {
        [] => String::new(),
        words => {
            let each: Vec<String> = words.iter().map(|(word, count)| format!("{count} {word}")).collect();
            format!("; the profiles said: {}", each.join(", "))
        }
    }
}

/// Contacts whose profile is read: those that are unlocked, and those of which nobody knows yet.
fn profiles(items: &OpenItems, config: &Config, key_refused: bool) -> Vec<Wait> {
    let mut waits = Vec::new();
    if items.reading > 0 {
        waits.push(Wait {
            reason: "reading".to_owned(),
            what: format!("{} unlocked, or may be: read from the profile", contacts(items.reading)),
            next_try_at: items.next_read_at,
            needs_person: key_refused,
            ..Wait::default()
        });
    }
    waits.extend(paid_before(items, config, key_refused));
    if items.unlocking > 0 {
        let give_up_ms = pacing::duration_ms(config.polling.give_up_after);
        waits.push(Wait {
            reason: "unlock_in_progress".to_owned(),
            what: format!(
                "{} being unlocked already, by another user or by a task that was given up: read from the profile \
                 when that ends, not bought meanwhile, and unresolved if it never ends",
                contacts(items.unlocking)
            ),
            since: items.unlocking_since,
            next_try_at: items.next_unlocking_read_at,
            gives_up_at: items.unlocking_since.map(|since| Time(Millis(since.0).plus(give_up_ms).0)),
            needs_person: key_refused,
            ..Wait::default()
        });
    }
    waits
}
