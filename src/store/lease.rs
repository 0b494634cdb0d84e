//! One worker for one database: a file lock and a lease row, since each covers a case that the other does
//! not.
//!
//! The lock on `DATABASE.lock` ends with the process that holds it, even after kill -9, so a restart takes
//! over at once. It does not end while its holder is only stopped (SIGSTOP, a frozen container), so the
//! holder also renews a row, and another worker may take a row that was not renewed for [`EXPIRES_AFTER_MS`],
//! even if the lock is held. Every takeover raises the row's token, which the writer checks in each
//! transaction: a worker that was replaced finds out before its next write.
//!
//! On PostgreSQL, workers on several hosts may have one database, so the lock file is this host's, and a lock says
//! something only if the holder's was on the same host. The row's times are by the database's clock.
//!
//! The lock file also stores the newest timeline entry that its last worker saw ([`Lease::note`]). A database
//! that is older than that, or that comes without the file although workers have used it, is an older copy or
//! comes from another machine: [`Lease::restored`].

use std::fs::{File, TryLockError};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sqlx::FromRow;

use crate::domain::Millis;
use crate::store::place::with_suffix;
use crate::store::writer::Writer;
use crate::store::{Store, StoreError, pairs, sql};

/// Age at which another worker may take an unrenewed lease, in milliseconds. With [`RENEW_EVERY_MS`] it keeps
/// a takeover below the promised 30 s.
pub const EXPIRES_AFTER_MS: i64 = 20_000;

/// How often the holder renews its lease, in milliseconds.
pub const RENEW_EVERY_MS: i64 = 5_000;

/// The holder of a lease that was given back.
const NOBODY: i64 = 0;

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
    fn clock(&self, now: Millis) -> Millis {
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
    lock: LockFile,
}

/// The file whose lock ends with the process that holds it.
#[derive(Debug)]
pub(in crate::store) struct LockFile {
    path: PathBuf,
    // Kept open: the lock lasts as long as the file is open. `None` if the lock's holder is stopped.
    file: Option<File>,
    /// A name of the file's own, when workers on other hosts have other files.
    host: Option<String>,
}

/// Another process has the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBy {
    pub pid: i64,
}

/// Tries to take the lease once; if it succeeds, `writer` checks it from then on.
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
    // We hold the lock, so a holder that had it is dead. A holder that never had it may be alive.
    let holder_is_dead = lock.file.is_some() && row.has_lock && lock.is_of(store).await?;
    if row.pid != NOBODY && !holder_is_dead && !expired {
        return Ok(Err(HeldBy { pid: row.pid }));
    }
    if row.token == 0 {
        // No worker had this database before. Written before the token rises, since later the token cannot
        // show it.
        lock.note((0, 0), true)?;
    }
    let (pid, has_lock, host) = (i64::from(std::process::id()), lock.file.is_some(), lock.host.clone());
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
                .fetch_optional(&mut *connection)
                .await?;
                if let (Some(_), Some(host)) = (token, host) {
                    sql::query(pairs::SET_LEASE_HOST).bind(host).execute(connection).await?;
                }
                Ok(token)
            })
        })
        .await?;
    match taken {
        Some(token) => {
            writer.fence(token);
            Ok(Ok(Lease { token, restored, lock }))
        }
        None => Ok(Err(HeldBy { pid: row.pid })),
    }
}

impl Lease {
    /// Gives the lease back, so that nobody takes this worker for a running one. Only after its last write:
    /// the next worker may start at once.
    pub async fn release(self, store: &Store, now: Millis) -> Result<(), StoreError> {
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
        if self.lock.file.is_none() && self.lock.host.is_none() {
            self.lock.file = try_lock(&self.lock.path)?;
        }
        let has_lock = self.lock.file.is_some();
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

impl LockFile {
    /// The file beside a database file.
    pub(in crate::store) fn beside(database: &Path) -> Result<LockFile, StoreError> {
        let path = with_suffix(database, ".lock");
        Ok(LockFile { file: try_lock(&path)?, path, host: None })
    }

    /// This host's file for a database of a server. Without one, a worker takes over only once the lease of the last
    /// one has expired, and an older copy is not noticed.
    pub(in crate::store) fn of_server(path: PathBuf) -> LockFile {
        let locked = try_lock(&path).and_then(|file| match file {
            Some(file) => {
                let host = host_of(&file).map_err(|error| StoreError::open(&path, error))?;
                Ok((Some(file), host))
            }
            None => Ok((None, String::new())),
        });
        let (file, host) = locked.unwrap_or_else(|problem| {
            tracing::debug!(%problem, "this host has no lock file for the database");
            (None, String::new())
        });
        LockFile { path, file, host: Some(host) }
    }

    /// Whether the row's holder had this very file.
    async fn is_of(&self, store: &Store) -> Result<bool, StoreError> {
        let Some(host) = &self.host else { return Ok(true) };
        let holder: Option<String> = sql::query_scalar(pairs::LEASE_HOST).fetch_one(store.readers()).await?;
        Ok(holder.as_deref() == Some(host))
    }

    /// Whether the entry that was noted last is missing in the timeline, or replaced by another: decisions on an
    /// older copy make its timeline longer, but not equal.
    async fn is_ahead_of(&self, row: &LeaseRow, store: &Store) -> Result<bool, StoreError> {
        let Some(mut file) = self.file.as_ref() else { return Ok(false) };
        let mut text = String::new();
        std::io::Read::read_to_string(&mut file, &mut text).ok();
        let mut parts = text.split_whitespace().map(str::parse::<i64>);
        let (Some(Ok(id)), Some(Ok(at))) = (parts.next(), parts.next()) else {
            // A database file came without it. A server may have workers on hosts that never had one.
            return Ok(self.host.is_none() && row.token > 0);
        };
        let there: Option<i64> = sql::query_scalar("select at from request_events where id = $1")
            .bind(id)
            .fetch_optional(store.readers())
            .await?;
        Ok(id > 0 && there != Some(at))
    }

    fn note(&self, newest: (i64, i64), syncs: bool) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Ok(()) };
        let noted = write_note(file, newest).and_then(|()| if syncs { file.sync_all() } else { Ok(()) });
        noted.map_err(|error| StoreError::open(&self.path, error))
    }
}

/// Written in place and always with the same length, so that a crash leaves the old note or the new one.
fn write_note(lock: &File, (id, at): (i64, i64)) -> std::io::Result<()> {
    lock.write_all_at(format!("{id:020} {at:020}\n").as_bytes(), 0)
}

/// Behind the note: a line that no other file has.
const HOST_AT: u64 = 42;

/// The name of a lock file, which is given when it is first locked.
fn host_of(file: &File) -> std::io::Result<String> {
    let mut bytes = [0; 36];
    let read = file.read_at(&mut bytes, HOST_AT)?;
    match std::str::from_utf8(&bytes) {
        Ok(host) if read == bytes.len() => Ok(host.to_owned()),
        _ => {
            let host = uuid::Uuid::new_v4().to_string();
            file.write_all_at(host.as_bytes(), HOST_AT)?;
            file.sync_all()?;
            Ok(host)
        }
    }
}

/// The id and time of the newest timeline entry.
async fn newest_event(store: &Store) -> Result<(i64, i64), StoreError> {
    let newest = sql::query_as("select id, at from request_events order by id desc limit 1");
    Ok(newest.fetch_optional(store.readers()).await?.unwrap_or_default())
}

/// Tries to take the lease once.
pub async fn try_take(store: &Store, now: Millis) -> Result<Result<Lease, HeldBy>, StoreError> {
    store.engine.take_lease(store, now).await
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

fn try_lock(path: &Path) -> Result<Option<File>, StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| StoreError::open(path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(StoreError::open(path, error)),
    }
}
