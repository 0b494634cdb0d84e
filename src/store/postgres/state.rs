//! What a server says of itself, for `unlockd check` and the page.

use std::time::Duration;

use sqlx::{Executor, FromRow};

use crate::store::postgres::limits::{is_too_late, limited, limited_to};
use crate::store::tx::Pool;
use crate::store::{Store, StoreError};

/// The server and this database, as the role that connects sees them.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct ServerState {
    pub version: String,
    pub role: String,
    /// Connections to this database, and the most that the server takes.
    pub connections: i64,
    pub max_connections: i64,
    /// False: a crash of the server's machine may lose commits, and the database with them.
    pub fsync: bool,
    /// Whether this connection is encrypted; `None`: the server does not say.
    pub is_encrypted: Option<bool>,
    pub is_local: bool,
}

/// The state of the server; `None` on SQLite.
pub async fn read(store: &Store) -> Result<Option<ServerState>, StoreError> {
    let Pool::Postgres(pool) = &store.readers().0 else { return Ok(None) };
    let state = sqlx::query_as(
        "select current_setting('server_version') as version, current_user::text as role,
                (select count(*) from pg_stat_activity where datname = current_database()) as connections,
                current_setting('max_connections')::bigint as max_connections,
                current_setting('fsync') = 'on' as fsync,
                (select ssl from pg_stat_ssl where pid = pg_backend_pid()) as is_encrypted,
                coalesce(inet_client_addr() <<= '127.0.0.0/8' or inet_client_addr() = '::1', true) as is_local",
    );
    Ok(Some(limited(state.fetch_one(pool)).await?))
}

/// How long a commit may wait for a standby until `unlockd check` says so.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(3);

/// Whether a commit is confirmed at present. The commit that asks locks nothing and changes no row: it is a message in the
/// server's log, for nobody.
pub async fn confirms(store: &Store) -> Result<bool, StoreError> {
    let Pool::Postgres(pool) = &store.readers().0 else { return Ok(true) };
    // A connection whose COMMIT waits is of no more use.
    let mut connection = limited(pool.acquire()).await?.detach();
    let commit = "begin isolation level read committed read write; set local synchronous_commit = on; \
                  select pg_logical_emit_message(true, 'unlockd', ''); commit";
    match limited_to(CONFIRMED_WITHIN, connection.execute(commit)).await {
        Ok(_) => Ok(true),
        Err(error) if is_too_late(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
