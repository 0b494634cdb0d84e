//! Whether a paid call may rest on what the database has committed, when a standby may take its server's place.
//!
//! Asked three times: before a job is prechecked (`hold`), in the transaction of its intent (`holds_in`), and
//! after that commit, before the POST (`prove`). On SQLite only the last can be no: the file was replaced.

use uuid::Uuid;

use crate::config::{self, Config};
use crate::domain::durability::{Durability, Lack, lack, may_lack_commits, unknown_calls_end_in};
use crate::domain::job::Event;
use crate::domain::pacing::duration_ms;
use crate::domain::{AccountId, JobId};
use crate::store::jobs::Job;
use crate::store::jobs::attempts::{self, AttemptEnd};
use crate::store::postgres::proof::{self, Unproven};
use crate::store::postgres::server::{self, Seen};
use crate::store::{Store, StoreError, Tx, accounts, jobs, timeline};
use crate::worker::doubt::unanswered;
use crate::worker::people::pause;
use crate::worker::{Deps, Report, retry_at};

/// While nothing may be bought, the server is looked at this often, in milliseconds.
const LOOK_EVERY_MS: i64 = 1_000;

/// The event of the timeline, and the reason of `unlockd explain`.
pub(in crate::worker) const NOT_REPLICATED: &str = "not_replicated";

/// What the configuration says of the server.
pub fn of(config: &Config) -> Durability {
    match config.postgres.durability {
        config::Durability::Synchronous => Durability::Synchronous,
        config::Durability::Single => Durability::Single,
        config::Durability::Storage => Durability::Storage,
        config::Durability::Verify => Durability::Verify,
    }
}

/// What keeps a paid call from resting on the server's commits, at this moment.
pub async fn lacks(store: &Store, config: &Config) -> Result<Option<Lack>, StoreError> {
    Ok(server::read(store).await?.and_then(|seen| lack(of(config), &seen.server)))
}

/// Looks at the server. A report: nothing may be bought before the next look, or before everything is read again.
pub(in crate::worker) async fn hold(deps: &Deps) -> Result<Option<Report>, StoreError> {
    let Some(seen) = server::read(&deps.store).await? else { return Ok(None) };
    let durability = of(&deps.config());
    if notice_failover(deps, durability, &seen).await? {
        return Ok(Some(Report::did(1)));
    }
    let found = lack(durability, &seen.server);
    let before = std::mem::replace(&mut *deps.lack(), found);
    match found {
        None if before.is_some() => tracing::info!("a standby confirms commits again; buying goes on"),
        Some(lack) if before != found => {
            tracing::error!(fix = lack.to_do(), "nothing is bought: {}", lack.what());
        }
        _ => {}
    }
    // What is asked about while another worker makes such a call may be bought right after.
    let unknown_ms = match deps.store.ownership().is_shared() {
        true => {
            let config = deps.config();
            let (lease_ms, late_ms) = (duration_ms(config.fleet.lease), duration_ms(config.api.timeout));
            unknown_calls_end_in(seen.distrusted_for_ms, lease_ms, late_ms)
        }
        false => 0,
    };
    let wait_ms = if found.is_some() { LOOK_EVERY_MS } else { unknown_ms };
    Ok((wait_ms > 0).then(|| Report::at(deps.clock.now().plus(wait_ms))))
}

/// At the start of the worker: notes the server's history, and distrusts a database that may lack commits.
pub async fn at_start(deps: &Deps) -> Result<(), StoreError> {
    if let Some(seen) = server::read(&deps.store).await? {
        notice_failover(deps, of(&deps.config()), &seen).await?;
    }
    Ok(())
}

/// Notes the history that the server is on. True: it is another one, and may lack what was committed last; from
/// now on nothing is bought without a precheck that confirms it.
async fn notice_failover(deps: &Deps, durability: Durability, seen: &Seen) -> Result<bool, StoreError> {
    let Some(now_on) = seen.server.history.clone().filter(|now_on| seen.noted.as_ref() != Some(now_on))
    else {
        return Ok(false);
    };
    let lost = seen.noted.as_ref().is_some_and(|before| may_lack_commits(durability, before, &now_on));
    if let Some(before) = &seen.noted {
        let (from, to) = (before.timeline, now_on.timeline);
        let is_same_cluster = before.system_id == now_on.system_id;
        match lost {
            true => tracing::warn!(
                from_timeline = from,
                to_timeline = to,
                is_same_cluster,
                "another server, or a restored copy, has taken over, and it may lack what was committed last. Nothing is \
                 bought until a call that it does not know of would have ended (fleet.lease and api.timeout). Then every \
                 batch is prechecked before it is bought, and work that no precheck can clear waits for a person"
            ),
            false => tracing::info!(
                from_timeline = from,
                to_timeline = to,
                "a standby that confirmed every commit has taken over"
            ),
        }
    }
    let (accounts, now) = (deps.accounts(), deps.clock.now());
    deps.store
        .write(move |tx| {
            Box::pin(async move {
                if lost {
                    pause::distrust(&mut *tx, &accounts, now).await?;
                }
                server::note(tx, &now_on).await
            })
        })
        .await?;
    if lost {
        deps.sortings().clear();
    }
    Ok(lost)
}

/// Whether it still holds, in the transaction of the intent: the same server, of the history that is noted, and an
/// account that is distrusted no more than when the batch was sorted.
pub(in crate::worker) async fn holds_in(
    tx: &mut Tx,
    durability: Durability,
    account: &AccountId,
    restored: bool,
) -> Result<bool, StoreError> {
    let Some(seen) = server::read_in(&mut *tx).await? else { return Ok(true) };
    let is_another = seen.server.history.is_some() && seen.server.history != seen.noted;
    if is_another || lack(durability, &seen.server).is_some() {
        return Ok(false);
    }
    Ok(accounts::read(tx, account).await?.restored_at.is_some() == restored)
}

/// Proves that the intent of a job lasts: it is in a file that others will open, and a standby has it if the
/// configuration says that one must.
pub(in crate::worker) async fn prove(deps: &Deps, job: JobId, call: Uuid) -> Result<(), Unproven> {
    if let Some(path) = deps.store.replaced() {
        return Err(Unproven::Replaced(path.display().to_string()));
    }
    match of(&deps.config()) {
        Durability::Synchronous => proof::of_intent(&deps.store, job, call).await,
        Durability::Single | Durability::Storage | Durability::Verify => Ok(()),
    }
}

/// An intent that may be lost: its call was not sent, and is not.
pub(in crate::worker) async fn take_back(
    deps: &Deps,
    mut job: Job,
    why: &Unproven,
) -> Result<(), StoreError> {
    tracing::error!(job_id = job.id.0, "the call of a job is not sent, and is tried again: {why}");
    let now = deps.clock.now();
    job.apply(Event::TookNoEffect { waits_for: None }, now)?;
    job.failures += 1;
    job.due_at = Some(retry_at(now, job.failures));
    let end = AttemptEnd { result: "not_sent", ..AttemptEnd::default() };
    deps.store.metrics().attempt_ended(end.result);
    let why = why.to_string();
    deps.store
        .write(move |tx| {
            Box::pin(async move {
                unanswered::take_back(&mut *tx, &mut job, now).await?;
                attempts::end_attempt(&mut *tx, job.id, &end, now).await?;
                jobs::save(&mut *tx, &job).await?;
                timeline::of_job(tx, now, job.id, NOT_REPLICATED, &why).await
            })
        })
        .await
}
