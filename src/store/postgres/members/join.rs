//! How a process gets the lease: among the workers that share the database, or alone.

use sqlx::{FromRow, PgConnection};

use crate::store::lease::{self, HeldBy, Lease, Terms};
use crate::store::lock_file::LockFile;
use crate::store::postgres::limits::limited;
use crate::store::postgres::members::{Member, give_back_all};
use crate::store::postgres::open;
use crate::store::tx::Pool;
use crate::store::writer::Writer;
use crate::store::{Store, StoreError, Tx};

/// In `engine.lease_host`: the lease is that of all workers together. A command that has it alone writes its lock file.
const SHARED: &str = "shared";

/// The lease's row, as the transaction sees it.
#[derive(FromRow)]
struct Held {
    token: i64,
    pid: i64,
    age_ms: i64,
    lease_host: Option<String>,
    /// The process of another worker that lives.
    other: Option<i64>,
}

/// Takes the lease, with other workers (`among`) or alone.
pub(in crate::store::postgres) async fn take(
    store: &Store,
    writer: &Writer,
    lock: LockFile,
    among: Option<&Terms>,
) -> Result<Result<Lease, HeldBy>, StoreError> {
    let row = lease::read(store).await?;
    let restored = lock.is_ahead_of(&row, store).await?;
    if row.token == 0 {
        lock.note((0, 0), true)?;
    }
    let (me, has_lock, terms) = (lock.worker(), lock.is_locked(), among.cloned());
    let (worker, ownership) = (me.clone(), writer.ownership().clone());
    let taken = store
        .write(move |tx| {
            Box::pin(async move {
                let taken = take_row(tx, &me, has_lock, terms.as_ref()).await?;
                if let (Ok(_), Some(terms)) = (&taken, &terms) {
                    ownership.join(&me, &terms.host);
                }
                Ok(taken)
            })
        })
        .await?;
    let member = among.map(|terms| Member { worker, lease_ms: terms.lease_ms });
    Ok(taken.map(|token| {
        writer.fence(token);
        Lease { token, restored, lock, member }
    }))
}

async fn take_row(
    tx: &mut Tx,
    me: &str,
    has_lock: bool,
    terms: Option<&Terms>,
) -> Result<Result<i64, HeldBy>, StoreError> {
    let connection = tx.postgres();
    let is_known = sqlx::query_scalar("select to_regclass('workers') is not null");
    let is_known: bool = limited(is_known.fetch_one(&mut *connection)).await?;
    let held = sqlx::query_as(if is_known { HELD } else { HELD_BEFORE_WORKERS });
    let held: Held = limited(held.bind(me).fetch_one(&mut *connection)).await?;
    // A worker that shares it is among the others; one that had it alone and this lock file is dead.
    let is_of = |host: &str| held.lease_host.as_deref() == Some(host);
    let is_fresh = (-lease::EXPIRES_AFTER_MS..lease::EXPIRES_AFTER_MS).contains(&held.age_ms);
    let has_alone = held.pid != lease::NOBODY && !is_of(SHARED) && !is_of(me) && is_fresh;
    if has_alone {
        return Ok(Err(HeldBy { pid: held.pid }));
    }
    if let (Some(pid), None) = (held.other, terms) {
        return Ok(Err(HeldBy { pid }));
    }
    let host = if terms.is_some() { SHARED } else { me };
    // While other workers live, their token stays. If none does, a new one locks out a worker that is only stopped.
    let take = sqlx::query_scalar(
        "update worker_lease set token = $1, pid = $2, has_lock = $3, renewed_at = database_clock(0),
                started_at = case when token = $1 then started_at else database_clock(0) end
         where id = 1 returning token",
    );
    let take = take
        .bind(held.token + i64::from(held.other.is_none()))
        .bind(i64::from(std::process::id()))
        .bind(i64::from(has_lock));
    let token: i64 = limited(take.fetch_one(&mut *connection)).await?;
    let note = sqlx::query("update engine set lease_host = $1 where id = 1");
    limited(note.bind(host).execute(&mut *connection)).await?;
    if is_known {
        give_back_all(connection, me).await?;
    }
    if let Some(terms) = terms {
        appear(connection, me, terms).await?;
    }
    Ok(Ok(token))
}

const HELD: &str = "select token, pid, database_clock(0) - renewed_at as age_ms, lease_host,
                           (select w.pid from workers w where w.worker <> $1 and w.expires_at > database_clock(0)
                              and w.schema_step <= (select max(version) from _sqlx_migrations)
                            order by w.started_at limit 1) as other
                    from worker_lease, engine";

/// The same, in a schema of before.
const HELD_BEFORE_WORKERS: &str = "select token, pid, database_clock(0) - renewed_at as age_ms, lease_host,
                                          case when $1::text is null then pid end as other
                                   from worker_lease, engine";

/// Shows that this worker lives.
async fn appear(connection: &mut PgConnection, me: &str, terms: &Terms) -> Result<(), StoreError> {
    let worker = sqlx::query(
        "insert into workers (worker, host, pid, version, schema_step, started_at, seen_at, expires_at, serves)
         values ($1, $2, $3, $4, $5, database_clock(0), database_clock(0), database_clock(0) + $6, '[]')
         on conflict (worker) do update set host = excluded.host, pid = excluded.pid, version = excluded.version,
             schema_step = excluded.schema_step, started_at = excluded.started_at, seen_at = excluded.seen_at,
             expires_at = excluded.expires_at, serves = excluded.serves",
    );
    let worker = worker
        .bind(me)
        .bind(&terms.host)
        .bind(i64::from(std::process::id()))
        .bind(env!("CARGO_PKG_VERSION"))
        .bind(open::newest_step())
        .bind(terms.lease_ms);
    limited(worker.execute(&mut *connection)).await?;
    let old = sqlx::query("delete from workers where expires_at < database_clock(0) - 86400000");
    limited(old.execute(connection)).await?;
    Ok(())
}

/// Asks workers of older versions to end, since this process is to change the schema. To be asked again while they live.
pub async fn ask_to_end(store: &Store, host: &str) -> Result<(), StoreError> {
    const LASTS_MS: i64 = 5_000;
    let Pool::Postgres(pool) = &store.readers().0 else { return Ok(()) };
    let is_known = sqlx::query_scalar("select to_regclass('workers') is not null");
    if !limited(is_known.fetch_one(pool)).await? {
        return Ok(());
    }
    let name = format!("upgrade by process {} on {host}", std::process::id());
    let terms = Terms { host: host.to_owned(), lease_ms: LASTS_MS };
    store.write(move |tx| Box::pin(async move { appear(tx.postgres(), &name, &terms).await })).await
}
