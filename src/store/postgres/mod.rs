//! PostgreSQL, as an `Engine`: `open` (the server, its version, the schema), `transaction` (how one begins and ends),
//! `members` (the workers that share it), `limits` (every wait has one), `listen` (who has written the inbox), `state` (what
//! the server says of itself), `statistics` (what it believes about the tables), `server` (its standbys and its history), `proof` (that a standby has the intent of a paid call),
//! `grants` (what other roles may do), `copy` (to and from the other engine).
//!
//! A lost connection ends the process, as a failed disk does on SQLite: the next start reads what is committed. Only
//! the connection that listens is made again, since it costs no more than latency.

pub(in crate::store) mod copy;
pub mod grants;
pub(in crate::store) mod limits;
pub mod listen;
pub mod members;
mod open;
pub mod proof;
pub mod server;
pub mod state;
pub mod statistics;
pub(in crate::store) mod transaction;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgPool};
use uuid::Uuid;

use crate::domain::{JobId, Millis};
use crate::failpoint::is_watched;
use crate::metrics::Metrics;
use crate::store::backup::BackupError;
use crate::store::engine::{Engine, Tables, Work};
use crate::store::inbox::Writes;
use crate::store::lease::{HeldBy, Lease, Terms};
use crate::store::lock_file::LockFile;
use crate::store::ownership::Ownership;
use crate::store::place::Place;
use crate::store::schema::{Opening, Schema};
use crate::store::tx::{Connection, Pool};
use crate::store::writer::Writer;
use crate::store::{Reads, Store, StoreError};
use limits::limited;
use listen::Notices;
use proof::{Prover, Unproven};

/// The oldest version of a server that will do.
pub const OLDEST: i32 = 15;

/// A database of a PostgreSQL server. The inbox is one of its tables.
pub(in crate::store) struct Postgres {
    state: Writer,
    options: PgConnectOptions,
    /// For the questions of the engine itself, one at a time.
    own: PgPool,
    prover: Prover,
    path: PathBuf,
}

impl Postgres {
    /// Connects; what it may do to the database is said by `opening`.
    pub(in crate::store) async fn open(
        place: &Place,
        inbox: Option<&Path>,
        opening: Opening,
        metrics: &Metrics,
    ) -> Result<Postgres, StoreError> {
        let path = place.path.clone();
        if inbox.is_some() {
            let problem = "on PostgreSQL the inbox is a table of the same database: remove inbox.database, and \
                           grant other programs only that table (unlockd check shows how)";
            return Err(StoreError::open(&path, problem));
        }
        let options = open::options(place)?;
        let connection = open::open(&options, &path, opening).await?;
        let own = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
        let state = Writer::start(Connection::Postgres(connection), metrics.clone());
        let prover = Prover::new(&options);
        Ok(Postgres { state, options, own, prover, path })
    }
}

/// A server that was restarted is back by then. A worker that ends waits a little longer than this for what it has in flight.
const RESTART_TAKES: Duration = Duration::from_secs(5);
const CONNECT_AGAIN_AFTER: Duration = Duration::from_millis(200);

impl Engine for Postgres {
    fn schema(&self) -> BoxFuture<'_, Result<Schema, StoreError>> {
        Box::pin(async move {
            open::schema(&mut *self.own.acquire().await?)
                .await
                .map_err(|error| StoreError::open(&self.path, error))
        })
    }

    fn migrate(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut connection = open::connect(&self.options, &self.path).await?;
            open::migrate(&mut connection, &self.path).await?;
            Connection::Postgres(connection).close().await;
            Ok(())
        })
    }

    fn write(&self, tables: Tables, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            match tables {
                Tables::State => self.state.run(work).await,
                Tables::Inbox => self.state.run_alone(work).await,
            }
        })
    }

    fn write_as_last_resort(&self, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let (since, patience) =
                (Instant::now(), if is_watched() { Duration::ZERO } else { RESTART_TAKES });
            let connection = loop {
                match open::connect(&self.options, &self.path).await {
                    Err(_) if since.elapsed() < patience => tokio::time::sleep(CONNECT_AGAIN_AFTER).await,
                    connected => break Connection::Postgres(connected?),
                }
            };
            self.state.successor(connection).run(work).await
        })
    }

    fn commits(&self) -> tokio::sync::watch::Receiver<u64> {
        self.state.commits()
    }

    fn is_locked_out(&self) -> bool {
        // Its leases run out meanwhile, so nothing is to be said for it.
        false
    }

    fn is_quiet(&self) -> bool {
        self.state.is_quiet() && self.own.num_idle() == self.own.size() as usize
    }

    fn connect_readers(&self, count: u32) -> BoxFuture<'_, Result<(Reads, Reads), StoreError>> {
        Box::pin(async move {
            let readers = Reads(Pool::Postgres(open::readers(&self.options, &self.path, count).await?));
            Ok((readers.clone(), readers))
        })
    }

    /// Our own programs count their commits; an inbox that another program has written is looked at anyway.
    fn changes(&self) -> BoxFuture<'_, Result<i64, StoreError>> {
        Box::pin(async move {
            let count = sqlx::query_scalar("select outside_commits from engine");
            Ok(limited(count.fetch_one(&self.own)).await?)
        })
    }

    fn inbox_changes(&self) -> BoxFuture<'_, Result<i64, StoreError>> {
        Box::pin(async { Ok(0) })
    }

    fn watch_inbox(&self) -> io::Result<Writes> {
        Ok(Writes::Notices(Notices::of(&self.options)))
    }

    fn migrate_inbox(&self) {}

    fn take_lease<'a>(
        &'a self,
        store: &'a Store,
        among: Option<&'a Terms>,
        _now: Millis,
    ) -> BoxFuture<'a, Result<Result<Lease, HeldBy>, StoreError>> {
        Box::pin(async move {
            let lock = LockFile::of_server(&open::lock_path(&self.options));
            members::take(store, &self.state, lock, among).await
        })
    }

    fn ownership(&self) -> Ownership {
        self.state.ownership().clone()
    }

    fn prove(&self, job: JobId, call: Uuid) -> BoxFuture<'_, Result<(), Unproven>> {
        Box::pin(self.prover.prove(job, call))
    }

    fn replaced(&self) -> Option<&Path> {
        None
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    fn size(&self) -> BoxFuture<'_, Result<(u64, Option<u64>), StoreError>> {
        Box::pin(async move {
            let size = sqlx::query_scalar("select pg_database_size(current_database())");
            let size: i64 = limited(size.fetch_one(&self.own)).await?;
            Ok((u64::try_from(size).unwrap_or_default(), None))
        })
    }

    /// There is none: its disk is the server's.
    fn lay_ballast(&self) -> bool {
        true
    }

    /// Erased values stay in rows that are dead until they are vacuumed, and in what the server keeps elsewhere.
    fn empty_log(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            // A role that does not own the table may not; the server does it by itself later.
            let vacuumed = limited(self.own.execute("vacuum contact_values")).await;
            if let Err(problem) = vacuumed {
                tracing::debug!(%problem, "erased values were not vacuumed");
            }
            Ok(true)
        })
    }

    fn copy<'a>(
        &'a self,
        _from: &'a Path,
        _to: &'a Path,
        _force: bool,
    ) -> BoxFuture<'a, Result<u64, BackupError>> {
        Box::pin(async { Err(BackupError::OnServer) })
    }
}
