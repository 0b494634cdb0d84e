//! Proves that a standby has the intent of a paid call, before the call.
//!
//! A COMMIT that returned says less than it seems. Somebody may have cancelled its wait for the standby: then the
//! server says success, and warns. `synchronous_standby_names` may have been emptied while it waited: then it says
//! success and nothing else. Or a pooler has led the next statement to another server. So a second, small transaction
//! reads the intent and commits. If that one is quick, without a warning, and standbys are named before and after
//! it, a standby has confirmed all that was committed earlier, the intent among it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor, PgConnection, Row as _};
use tracing::instrument::WithSubscriber as _;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use uuid::Uuid;

use crate::domain::JobId;
use crate::store::{Store, error};

/// A commit that takes longer may have been released by something else than a standby. It is also shorter than a paid
/// call may follow its decision.
const QUICK: Duration = Duration::from_secs(1);

/// Why it is not proven that an intent lasts. The call must not be sent.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    #[error("no standby confirmed the record of the call within {} s", QUICK.as_secs())]
    Late,
    #[error("the wait for a standby was cancelled")]
    Cancelled,
    #[error("no standby is named in synchronous_standby_names any more")]
    NoneNamed,
    #[error("the server that answers does not have the record of the call")]
    Missing,
    #[error("the server failed: {0}")]
    Failed(String),
    #[error("the database {0} was replaced or removed, and the record of the call with it")]
    Replaced(String),
}

impl From<sqlx::Error> for Unproven {
    fn from(problem: sqlx::Error) -> Unproven {
        Unproven::Failed(error::words(&problem))
    }
}

/// Proves that a standby has the intent of a job's call. By the call's own id: on a server that was promoted the job's
/// number may be another job's.
pub async fn of_intent(store: &Store, job: JobId, call: Uuid) -> Result<(), Unproven> {
    store.engine.prove(job, call).await
}

/// Proves intents by a connection of its own: made when it is first needed, and again after each failure.
#[derive(Debug)]
pub(super) struct Prover {
    options: PgConnectOptions,
    idle: Mutex<Option<PgConnection>>,
}

impl Prover {
    pub(super) fn new(options: &PgConnectOptions) -> Prover {
        Prover { options: options.clone(), idle: Mutex::default() }
    }

    pub(super) async fn prove(&self, job: JobId, call: Uuid) -> Result<(), Unproven> {
        // Whatever fails takes its connection with it: a COMMIT that waits cannot be followed by anything.
        let proven = tokio::time::timeout(QUICK, self.commit_once(job, call)).await;
        let connection = proven.map_err(|_| Unproven::Late)??;
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        Ok(())
    }

    async fn commit_once(&self, job: JobId, call: Uuid) -> Result<PgConnection, Unproven> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut connection = match idle {
            Some(connection) => connection,
            None => PgConnection::connect_with(&self.options).await?,
        };
        // The message makes it a transaction that has something to commit, and locks nothing.
        let begin = format!(
            "begin isolation level read committed read write; set local synchronous_commit = on; \
             select exists (select 1 from attempts \
                            where job_id = {} and request_id = '{call}' and finished_at is null), \
                    pg_logical_emit_message(true, 'unlockd', '') is not null; {NAMED}",
            job.0
        );
        let rows = sqlx::raw_sql(AssertSqlSafe(begin)).fetch_all(&mut connection).await?;
        let says = |at: usize| rows.get(at).is_some_and(|row| matches!(row.try_get(0), Ok(true)));
        let (is_there, is_named) = (says(0), says(1));
        if !is_there {
            return Err(Unproven::Missing);
        }
        let is_cancelled = Arc::new(AtomicBool::new(false));
        let hearing =
            tracing_subscriber::registry().with(LevelFilter::WARN).with(Warned(is_cancelled.clone()));
        connection.execute("commit").with_subscriber(hearing).await?;
        if is_cancelled.load(Ordering::SeqCst) {
            return Err(Unproven::Cancelled);
        }
        let is_named_still: bool = sqlx::query_scalar(NAMED).fetch_one(&mut connection).await?;
        if is_named && is_named_still { Ok(connection) } else { Err(Unproven::NoneNamed) }
    }
}

const NAMED: &str = "select trim(current_setting('synchronous_standby_names')) <> ''";

/// Hears the warnings of the server: the driver only logs them.
struct Warned(Arc<AtomicBool>);

impl<S: Subscriber> Layer<S> for Warned {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() == "sqlx::postgres::notice" && *metadata.level() == Level::WARN {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}
