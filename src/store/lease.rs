//! One worker for one database: a file lock and a lease row, since each covers a case that the other does
//! not.
//!
//! The lock on `DATABASE.lock` ends with the process that holds it, even after kill -9, so a restart takes
//! over at once. It does not end while its holder is only stopped (SIGSTOP, a frozen container), so the
//! holder also renews a row, and another worker may take a row that was not renewed for [`EXPIRES_AFTER_MS`],
//! even if the lock is held. Every takeover raises the row's token, which the writer checks in each
//! transaction: a worker that was replaced finds out before its next write.
//!
//! On PostgreSQL, workers on several hosts share one database (see [`crate::store::postgres::members`]): the row is then
//! the lease of all of them together, by the database's clock, and a command can have it alone once none of them lives.
//! The lock file is this host's, and one for each worker on it.
//!
//! The lock file also stores the newest timeline entry that its last worker saw ([`Lease::note`]). A database
//! that is older than that, or that comes without the file although workers have used it, is an older copy or
//! comes from another machine: [`Lease::restored`].

use sqlx::FromRow;

use crate::domain::Millis;
use crate::store::lock_file::LockFile;
use crate::store::postgres::members::Member;
use crate::store::writer::Writer;
use crate::store::{Store, StoreError, sql};

/// Age at which another worker may take an unrenewed lease, in milliseconds. With [`RENEW_EVERY_MS`] it keeps
/// a takeover below the promised 30 s.
pub const EXPIRES_AFTER_MS: i64 = 20_000;

/// How often the holder renews its lease, in milliseconds.
pub const RENEW_EVERY_MS: i64 = 5_000;

/// The holder of a lease that was given back.
pub(in crate::store) const NOBODY: i64 = 0;

/// The row of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct LeaseRow {
    pub token: i64,
    pub pid: i64,
    pub has_lock: bool,
    pub renewed_at: i64,
    /// When its holder took it.
    pub started_at: i64,
    /// When it was read, by the clock that renews it; 0: by this process's own.
    read_at: i64,
}

impl LeaseRow {
    /// Whether its last holder has not given it back.
    pub fn is_held(&self) -> bool {
        self.pid != NOBODY
    }

    /// Whether a worker has renewed it recently, and has not ended since.
    pub fn is_alive(&self, now: Millis) -> bool {
        self.is_held() && self.silent_ms(now) < EXPIRES_AFTER_MS
    }

    /// How long ago it was renewed.
    pub fn silent_ms(&self, now: Millis) -> i64 {
        self.clock(now).since(Millis(self.renewed_at))
    }

    /// The time by the clock that renews it; `now` is this process's own.
    pub fn clock(&self, now: Millis) -> Millis {
        if self.read_at > 0 { Millis(self.read_at) } else { now }
    }
}

/// The right to work on a database; it ends with the process.
#[derive(Debug)]
pub struct Lease {
    pub token: i64,
    /// The database is not the one that the last worker here left: it misses everything that was decided and
    /// bought after the copy was made.
    pub restored: bool,
    pub(in crate::store) lock: LockFile,
    /// When others share the database.
    pub member: Option<Member>,
}

/// How a worker shares the database with others.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The name of its machine.
    pub host: String,
    pub lease_ms: i64,
}

/// Another process has the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBy {
    pub pid: i64,
}

/// Tries to take the lease of a database file once; if it succeeds, `writer` checks it from then on.
pub(in crate::store) async fn take(
    store: &Store,
    writer: &Writer,
    lock: LockFile,
    now: Millis,
) -> Result<Result<Lease, HeldBy>, StoreError> {
    let row = read(store).await?;
    let restored = lock.is_ahead_of(&row, store).await?;
    // Also one that is far in the future.
    let age_ms = row.clock(now).0 - row.renewed_at;
    let expired = !(-EXPIRES_AFTER_MS..EXPIRES_AFTER_MS).contains(&age_ms);
    // We hold the lock, so a holder that had it is dead. A holder that never had it may be alive, or that had a file which
    // somebody has removed: this one is new.
    let holder_is_dead = lock.noted().is_some() && row.has_lock;
    if row.pid != NOBODY && !holder_is_dead && !expired {
        return Ok(Err(HeldBy { pid: row.pid }));
    }
    if row.token == 0 {
        // No worker had this database before. Written before the token rises, since later the token cannot
        // show it.
        lock.note((0, 0), true)?;
    }
    let (pid, has_lock) = (i64::from(std::process::id()), lock.is_locked());
    let taken = store
        .write(move |connection| {
            Box::pin(async move {
                let token: Option<i64> = sql::query_scalar(
                    "update worker_lease set token = token + 1, pid = $2, has_lock = $3, renewed_at = database_clock($4),
                            started_at = database_clock($4)
                     where id = 1 and token = $1 and renewed_at = $5 returning token",
                )
                .bind(row.token)
                .bind(pid)
                .bind(has_lock)
                .bind(now.0)
                .bind(row.renewed_at)
                .fetch_optional(connection)
                .await?;
                Ok(token)
            })
        })
        .await?;
    match taken {
        Some(token) => {
            writer.fence(token);
            Ok(Ok(Lease { token, restored, lock, member: None }))
        }
        None => Ok(Err(HeldBy { pid: row.pid })),
    }
}

impl Lease {
    /// Gives the lease back, so that nobody takes this worker for a running one. Only after its last write:
    /// the next worker may start at once.
    pub async fn release(self, store: &Store, now: Millis) -> Result<(), StoreError> {
        if let Some(member) = &self.member {
            return member.leave(store).await;
        }
        store
            .write(move |connection| {
                Box::pin(async move {
                    sql::query(
                        "update worker_lease set pid = $1, renewed_at = database_clock($2) where id = 1",
                    )
                    .bind(NOBODY)
                    .bind(now.0)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Renews the lease; `Fenced` if another worker has it now.
    pub async fn renew(&mut self, store: &Store, now: Millis) -> Result<(), StoreError> {
        if self.member.is_some() {
            // Renewed with the owners that it holds.
            return Ok(());
        }
        self.lock.lock_again()?;
        let has_lock = self.lock.is_locked();
        store
            .write(move |connection| {
                Box::pin(async move {
                    sql::query(
                        "update worker_lease set renewed_at = database_clock($1), has_lock = $2 where id = 1",
                    )
                    .bind(now.0)
                    .bind(has_lock)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Writes the newest timeline entry next to the database, for [`Lease::restored`] of the next worker.
    pub async fn note(&self, store: &Store) -> Result<(), StoreError> {
        // A lost note only has the effect that an older copy is not noticed.
        self.lock.note(newest_event(store).await?, false)
    }
}

/// The id and time of the newest timeline entry.
async fn newest_event(store: &Store) -> Result<(i64, i64), StoreError> {
    let newest = sql::query_as("select id, at from request_events order by id desc limit 1");
    Ok(newest.fetch_optional(store.readers()).await?.unwrap_or_default())
}

/// Tries to take the lease once, alone.
pub async fn try_take(store: &Store, now: Millis) -> Result<Result<Lease, HeldBy>, StoreError> {
    store.engine.take_lease(store, None, now).await
}

/// Tries to become a worker of the database: on SQLite alone, on PostgreSQL with others.
pub async fn try_join(
    store: &Store,
    terms: &Terms,
    now: Millis,
) -> Result<Result<Lease, HeldBy>, StoreError> {
    store.engine.take_lease(store, Some(terms), now).await
}

/// Reads the lease.
pub async fn read(store: &Store) -> Result<LeaseRow, StoreError> {
    Ok(sql::query_as(
        "select token, pid, has_lock <> 0 as has_lock, renewed_at, started_at, database_clock(0) as read_at
         from worker_lease where id = 1",
    )
    .fetch_one(store.readers())
    .await?)
}
