//! What a server says of itself, for `unlockd check` and the page.

use sqlx::FromRow;

use crate::store::postgres::limits::limited;
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
