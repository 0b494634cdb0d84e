//! Why a request is not finished.
//!
//! Reads only the database and the configuration, so it also works while the worker is stopped.

use serde::Serialize;

use crate::config::Config;
use crate::domain::{AccountId, Millis};
use crate::store::inbox::fault::{self, Fault};
use crate::store::postgres::members::{self, Members, Served};
use crate::store::report::requests::{self, Request};
use crate::store::report::{OutcomeCount, Time};
use crate::store::{Store, StoreError, accounts, lease};
use crate::worker::people::wait::Wait;
use crate::worker::people::{needs, waits};

/// Why a request is not finished, or how it ended.
#[derive(Serialize, schemars::JsonSchema)]
pub struct Explanation {
    pub id: i64,
    pub status: String,
    pub reason: Option<String>,
    pub finished: bool,
    pub finished_at: Option<Time>,
    /// A worker has renewed its lease recently.
    pub worker_running: bool,
    pub worker_seen_at: Option<Time>,
    /// A worker that lives could not show it: its commits wait for a standby.
    #[serde(skip)]
    pub hides_workers: bool,
    /// When it was explained: a time before that is no promise.
    #[serde(skip)]
    pub now: Millis,
    /// The last worker has not said that it ended: it died, or cannot show that it lives.
    #[serde(skip)]
    pub worker_held: bool,
    /// Which of several workers serves the account; absent when one worker has the whole database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerServed>,
    pub waits: Vec<Wait>,
    pub outcomes: Vec<OutcomeCount>,
}

/// The worker of an owner of accounts, among those that share the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct OwnerServed {
    pub owner: String,
    /// `None`: no worker serves it.
    pub host: Option<String>,
    pub pid: Option<i64>,
    pub since: Option<Time>,
    /// It should have answered since then; absent while it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_since: Option<Time>,
    /// Then another worker may take the owner, unless it answers before; absent while it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_ends_at: Option<Time>,
}

impl OwnerServed {
    pub fn of(seen: &Members, row: &Served) -> OwnerServed {
        let worker = seen.worker_of(row);
        let silent_since = worker.and_then(|worker| seen.silent_since(worker)).map(Time);
        OwnerServed {
            owner: row.title(),
            host: row.host.clone(),
            pid: worker.map(|worker| worker.pid),
            since: row.taken_at.map(Time),
            silent_since,
            lease_ends_at: silent_since.map(|_| Time(seen.now + row.left_ms)),
        }
    }

    /// That its worker does not answer, if it should have.
    pub fn silence(&self) -> Option<String> {
        let (host, since, ends) = (self.host.as_deref()?, self.silent_since?, self.lease_ends_at?);
        let pid = self.pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
        Some(format!(
            "the worker on {host}{pid} does not answer since {since}; another may take owner {} when its lease ends, at \
             {ends}",
            self.owner
        ))
    }
}

/// Who serves the owner of an account.
async fn served(store: &Store, account: &str) -> Result<Option<OwnerServed>, StoreError> {
    let Some(seen) = members::read(store).await? else { return Ok(None) };
    let row = accounts::read(store.readers(), &AccountId::trusted(account.to_owned())).await?;
    let owner = row.owner.unwrap_or_default();
    let of = |row: &&Served| !row.owner.is_empty() && row.owner == owner;
    Ok(seen.owners.iter().find(of).map(|row| OwnerServed::of(&seen, row)))
}

/// What is said in a few words while no worker runs. `is_held`: the last one has not said that it ended.
pub fn no_worker_in_short(is_held: bool) -> &'static str {
    match is_held {
        true => "no worker shows that it lives, so nothing happens: unlockd health",
        false => "no worker is running, so nothing happens: unlockd run",
    }
}

impl Explanation {
    /// What is said while no worker runs.
    pub fn no_worker(&self) -> Option<String> {
        let seen = self.worker_seen_at.map(|at| format!(" since {at}")).unwrap_or_default();
        let said = if self.worker_running {
            return None;
        } else if self.hides_workers {
            format!("no worker has shown that it lives{seen}, and none can while commits wait")
        } else if self.worker_held {
            format!(
                "no worker has shown that it lives{seen}, so nothing happens: it has died or is stopped (start one: unlockd \
                 run), or another program holds the database's write lock"
            )
        } else {
            format!("no worker is running{seen}, so nothing happens; start one: unlockd run")
        };
        Some(said)
    }

    /// Whether the worker that serves it does not answer.
    pub fn is_silent(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.silent_since.is_some())
    }

    /// Whether nothing continues until a person acts.
    pub fn needs_person(&self) -> bool {
        !self.waits.is_empty() && self.waits.iter().all(|wait| wait.needs_person)
    }
}

/// Explains a request. `config` names the accounts that a worker serves.
pub async fn of(
    store: &Store,
    config: &Config,
    request: &Request,
    now: Millis,
) -> Result<Explanation, StoreError> {
    let (lease, stops) = (lease::read(store).await?, needs::stops(store, config).await?);
    let mut explained = Explanation {
        id: request.id,
        status: request.status.clone(),
        reason: request.reason.clone(),
        finished: request.is_finished(),
        finished_at: request.finished_at,
        worker_running: lease.is_alive(now),
        worker_seen_at: Some(Time(lease.renewed_at)).filter(|at| at.0 > 0),
        worker_held: lease.is_held(),
        now,
        hides_workers: lease.is_held() && stops.iter().any(|stop| stop.hides_workers()),
        owner: None,
        waits: Vec::new(),
        outcomes: requests::outcomes(store, request.id).await?,
    };
    if explained.finished {
        return Ok(explained);
    }
    explained.owner = served(store, &request.account).await?;
    explained.waits = match request.status.as_str() {
        "new" => vec![Wait {
            reason: "not_taken".to_owned(),
            what: "the worker has not taken it from the inbox yet".to_owned(),
            since: request.created_at,
            unblock: Some("a running worker (unlockd run) with inbox.watch = true".to_owned()),
            ..Wait::default()
        }],
        status if request.taken_at.is_none() => vec![Wait {
            reason: "not_taken".to_owned(),
            what: format!(
                "no worker has taken this row: a program inserted it with status '{status}', or the database is older \
                 than the inbox"
            ),
            since: request.created_at,
            unblock: Some(format!("write status = 'new' into row {} of the inbox", request.id)),
            needs_person: true,
            ..Wait::default()
        }],
        "awaiting_approval" => vec![waits::approval(store, request).await?],
        _ => waits::accepted(store, config, request, &stops, now).await?,
    };
    if request.taken_at.is_none() {
        explained.waits.extend(waits::stopped(&stops));
    }
    explained.waits.extend(fault::read(store).await?.iter().map(inbox_fault));
    Ok(explained)
}

/// The inbox cannot be used: its rows are not taken, or show an old status.
fn inbox_fault(fault: &Fault) -> Wait {
    Wait {
        reason: "inbox_unavailable".to_owned(),
        what: fault.what(),
        since: Some(fault.since),
        next_try_at: Some(fault.next_try_at),
        needs_person: fault.lasts(),
        unblock: Some(
            "repair the inbox, or what another program does to it: it goes on by itself".to_owned(),
        ),
        ..Wait::default()
    }
}
