//! Who lives and who serves what, as everybody may read it.

use sqlx::FromRow;

use crate::store::postgres::limits::limited;
use crate::store::postgres::members::HOUSEKEEPING;
use crate::store::postgres::open;
use crate::store::time::Time;
use crate::store::tx::Pool;
use crate::store::{Store, StoreError};

/// An owner, and who serves it.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Served {
    pub owner: String,
    /// `None`: nobody, or its lease has run out.
    pub worker: Option<String>,
    pub host: Option<String>,
    pub taken_at: Option<i64>,
    /// Until the lease ends; negative: since it ended.
    pub left_ms: i64,
}

impl Served {
    /// Its name for people.
    pub fn title(&self) -> String {
        match self.owner.as_str() {
            HOUSEKEEPING => "(inbox)".to_owned(),
            owner => owner.to_owned(),
        }
    }
}

/// A worker that lives.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Worker {
    pub worker: String,
    pub host: String,
    pub pid: i64,
    pub version: String,
    pub schema_step: i64,
    pub started_at: i64,
    /// When it renewed its lease last.
    pub seen_at: i64,
    pub left_ms: i64,
    serves: String,
}

/// A worker whose lease has run out: it was killed or cut off. One that is stopped takes its row along.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, serde::Serialize)]
pub struct Gone {
    pub host: String,
    pub pid: i64,
    pub seen_at: Time,
}

/// The longest time between two renewals is a third of that.
const SILENT_MS: i64 = 30_000;
/// Later it is of no interest that a worker has gone.
const GONE_FOR_MS: i64 = 3 * 60 * 60 * 1_000;

impl Worker {
    /// For tests of what is said about it.
    #[cfg(test)]
    pub(crate) fn named(worker: &str, host: &str, pid: i64, seen_at: i64) -> Worker {
        Worker {
            worker: worker.to_owned(),
            host: host.to_owned(),
            pid,
            version: "1".to_owned(),
            schema_step: 1,
            started_at: 1,
            seen_at,
            left_ms: 1,
            serves: "[]".to_owned(),
        }
    }

    /// The owners whose keys it has.
    pub fn serves(&self) -> Vec<String> {
        serde_json::from_str(&self.serves).unwrap_or_default()
    }
}

/// All workers and owners, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    pub owners: Vec<Served>,
    pub workers: Vec<Worker>,
    /// Those that have gone lately, the last one first.
    pub gone: Vec<Gone>,
    /// By the server's clock.
    pub now: i64,
    /// A newer version has changed the schema, or waits for the workers of this version to end.
    pub is_outdated: bool,
}

impl Members {
    /// Since when a worker does not answer, if it should have.
    pub fn silent_since(&self, worker: &Worker) -> Option<i64> {
        Some(worker.seen_at).filter(|at| self.now - at > SILENT_MS)
    }

    /// The worker that serves an owner.
    pub fn worker_of(&self, owner: &Served) -> Option<&Worker> {
        let name = owner.worker.as_ref()?;
        self.workers.iter().find(|worker| worker.worker == *name)
    }
}

/// Reads who serves what. `None` on SQLite.
pub async fn read(store: &Store) -> Result<Option<Members>, StoreError> {
    let Pool::Postgres(pool) = &store.readers().0 else { return Ok(None) };
    let (now, schema_step): (i64, i64) = limited(
        sqlx::query_as("select database_clock(0), (select max(version) from _sqlx_migrations)")
            .fetch_one(pool),
    )
    .await?;
    let owners = sqlx::query_as(
        "select owner, case when expires_at > $1 then worker end as worker, case when expires_at > $1 then host end as host,
                case when expires_at > $1 then taken_at end as taken_at, expires_at - $1 as left_ms
         from owners order by owner",
    );
    let workers = sqlx::query_as(
        "select worker, host, pid, version, schema_step, started_at, seen_at, expires_at - $1 as left_ms, serves
         from workers where expires_at > $1 order by started_at, worker",
    );
    let owners = limited(owners.bind(now).fetch_all(pool)).await?;
    let workers: Vec<Worker> = limited(workers.bind(now).fetch_all(pool)).await?;
    // A name with a space is that of an upgrade.
    let gone = sqlx::query_as(
        "select host, pid, seen_at from workers
         where expires_at <= $1 and seen_at > $1 - $2 and worker not like '% %' order by seen_at desc limit 20",
    );
    let gone = limited(gone.bind(now).bind(GONE_FOR_MS).fetch_all(pool)).await?;
    let (known, newest) = (open::newest_step(), workers.iter().map(|worker| worker.schema_step).max());
    let is_outdated = schema_step.max(newest.unwrap_or_default()) > known;
    Ok(Some(Members { owners, workers, gone, now, is_outdated }))
}

/// Gives each owner that accounts have a row, and takes away rows of those that none has.
pub async fn keep_rows(store: &Store) -> Result<(), StoreError> {
    let Pool::Postgres(pool) = &store.readers().0 else { return Ok(()) };
    let differs: bool = limited(
        sqlx::query_scalar(
            "select exists (select owner from accounts where owner is not null except select owner from owners)
                 or exists (select 1 from owners o where o.owner <> '' and o.worker is null
                            and not exists (select 1 from accounts a where a.owner = o.owner))",
        )
        .fetch_one(pool),
    )
    .await?;
    if !differs {
        return Ok(());
    }
    store
        .write(|tx| {
            Box::pin(async move {
                let connection = tx.postgres();
                let new = sqlx::query(
                    "insert into owners (owner) select distinct owner from accounts where owner is not null
                     on conflict do nothing",
                );
                limited(new.execute(&mut *connection)).await?;
                let left = sqlx::query(
                    "delete from owners where owner <> '' and worker is null
                       and not exists (select 1 from accounts a where a.owner = owners.owner)",
                );
                limited(left.execute(connection)).await?;
                Ok(())
            })
        })
        .await
}
