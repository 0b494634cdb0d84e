//! What the server says of its standbys and of its history, and the history that a worker saw last.

use sqlx::FromRow;

use crate::domain::durability::{History, Server};
use crate::store::postgres::limits::limited;
use crate::store::tx::{Connection, Pool};
use crate::store::{Store, StoreError, Tx};

/// The server at this moment, and what a worker has noted about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub server: Server,
    /// `None`: no worker has looked yet.
    pub noted: Option<History>,
    /// Since a worker last found that commits may be missing, by the server's clock.
    pub distrusted_for_ms: Option<i64>,
}

#[derive(FromRow)]
struct Row {
    is_standby: bool,
    standby_names: String,
    standbys: i64,
    confirming: Option<i64>,
    system_id: Option<String>,
    timeline: Option<i64>,
    noted_system_id: Option<String>,
    noted_timeline: Option<i64>,
    distrusted_for_ms: Option<i64>,
}

// A role without pg_monitor sees that standbys are connected, and nothing else about them.
const READ: &str = "select pg_is_in_recovery() as is_standby,
           current_setting('synchronous_standby_names') as standby_names,
           standbys, confirming, h.system_id, h.timeline, e.system_id as noted_system_id, e.timeline as noted_timeline,
           database_clock(0) - e.distrusted_at as distrusted_for_ms
    from engine e, server_history() h,
         (select count(*) as standbys,
                 case when count(*) = 0 or count(sync_state) > 0
                      then count(*) filter (where sync_state in ('sync', 'quorum') and state = 'streaming') end as confirming
          from pg_stat_replication) r
    where e.id = 1";

/// Reads it with the readers; `None`: on SQLite.
pub async fn read(store: &Store) -> Result<Option<Seen>, StoreError> {
    let Pool::Postgres(pool) = &store.readers().0 else { return Ok(None) };
    let row: Row = limited(sqlx::query_as(READ).fetch_one(pool)).await?;
    Ok(Some(row.into()))
}

/// Reads it in a transaction: what it says is true of the server that commits.
pub async fn read_in(tx: &mut Tx) -> Result<Option<Seen>, StoreError> {
    let Connection::Postgres(connection) = &mut tx.0 else { return Ok(None) };
    let row: Row = limited(sqlx::query_as(READ).fetch_one(connection)).await?;
    Ok(Some(row.into()))
}

/// Notes the history that the server is on.
pub async fn note(tx: &mut Tx, history: &History) -> Result<(), StoreError> {
    let Connection::Postgres(connection) = &mut tx.0 else { return Ok(()) };
    let note = sqlx::query("update engine set system_id = $1, timeline = $2 where id = 1");
    limited(note.bind(&history.system_id).bind(history.timeline).execute(connection)).await?;
    Ok(())
}

/// Notes that commits may be missing.
pub async fn distrust(tx: &mut Tx) -> Result<(), StoreError> {
    let Connection::Postgres(connection) = &mut tx.0 else { return Ok(()) };
    let note = sqlx::query("update engine set distrusted_at = database_clock(0) where id = 1");
    limited(note.execute(connection)).await?;
    Ok(())
}

impl From<Row> for Seen {
    fn from(row: Row) -> Seen {
        let history = |(system_id, timeline)| History { system_id, timeline };
        Seen {
            server: Server {
                is_standby: row.is_standby,
                standby_names: row.standby_names,
                standbys: row.standbys,
                confirming: row.confirming,
                history: row.system_id.zip(row.timeline).map(history),
            },
            noted: row.noted_system_id.zip(row.noted_timeline).map(history),
            distrusted_for_ms: row.distrusted_for_ms,
        }
    }
}
