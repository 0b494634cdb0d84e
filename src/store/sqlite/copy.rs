//! A SQLite database as one side of a copy: see [`crate::store::copy`].

use std::path::Path;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt};
use sqlx::{AssertSqlSafe, Connection, Executor, Row, SqliteConnection};

use crate::store::StoreError;
use crate::store::copy::side::{COPIED, Column, Side, Table};
use crate::store::engine::Tables;
use crate::store::sqlite::open::prepare;

/// Tables whose rows get their ids from elsewhere.
const WITHOUT_COUNTER: [&str; 4] = ["requests", "direct_results", "inbox_written", "outbox_is_open"];

pub(in crate::store) struct SqliteSide {
    state: SqliteConnection,
    /// If it has a file of its own.
    inbox: Option<SqliteConnection>,
    /// To be made again at the end: what they do was done when the rows were written first.
    triggers: Vec<String>,
}

impl SqliteSide {
    /// The database to be copied. No other program can write it until this is dropped.
    pub(in crate::store) async fn source(
        path: &Path,
        inbox: Option<&Path>,
    ) -> Result<SqliteSide, StoreError> {
        let mut state = prepare(path, 0o600, false).await?;
        begin(&mut state, path).await?;
        let inbox = match inbox {
            Some(path) => {
                let mut inbox = prepare(path, 0o660, false).await?;
                begin(&mut inbox, path).await?;
                Some(inbox)
            }
            None => None,
        };
        Ok(SqliteSide { state, inbox, triggers: Vec::new() })
    }

    /// The database to be filled; it has its tables.
    pub(in crate::store) async fn target(path: &Path) -> Result<SqliteSide, StoreError> {
        let mut state = prepare(path, 0o600, false).await?;
        begin(&mut state, path).await?;
        let triggers = take_triggers(&mut state).await.map_err(|error| StoreError::open(path, error))?;
        Ok(SqliteSide { state, inbox: None, triggers })
    }

    /// The tables to be copied, with their columns.
    pub(in crate::store) async fn tables(&mut self) -> Result<Vec<Table>, sqlx::Error> {
        let mut tables = Vec::new();
        for (name, part) in COPIED {
            let rows: Vec<(String, String, i64)> =
                sqlx::query_as("select name, lower(type), pk from pragma_table_info($1)")
                    .bind(name)
                    .fetch_all(self.of(part))
                    .await?;
            let mut key: Vec<(i64, &str)> = rows
                .iter()
                .filter(|(_, _, place)| *place > 0)
                .map(|(name, _, place)| (*place, name.as_str()))
                .collect();
            key.sort_unstable();
            let key: Vec<&str> = key.into_iter().map(|(_, name)| name).collect();
            let counts = matches!(rows.iter().find(|(_, _, place)| *place == 1), Some((_, kind, _)) if kind == "integer");
            let counter = (counts && !WITHOUT_COUNTER.contains(&name)).then(|| key.join(", "));
            let columns = rows
                .iter()
                .map(|(name, kind, _)| Column { name: name.clone(), is_integer: kind == "integer" })
                .collect();
            tables.push(Table { name: name.to_owned(), part, columns, key: key.join(", "), counter });
        }
        Ok(tables)
    }

    fn of(&mut self, part: Tables) -> &mut SqliteConnection {
        match (part, &mut self.inbox) {
            (Tables::Inbox, Some(inbox)) => inbox,
            _ => &mut self.state,
        }
    }
}

async fn begin(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    connection.execute("begin immediate").await.map(drop).map_err(|error| StoreError::open(path, error))
}

/// Removes all triggers; returns the statements that make them again.
async fn take_triggers(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    let triggers: Vec<(String, String)> =
        sqlx::query_as("select name, sql from sqlite_schema where type = 'trigger'")
            .fetch_all(&mut *connection)
            .await?;
    for (name, _) in &triggers {
        connection.execute(AssertSqlSafe(format!("drop trigger {name}"))).await?;
    }
    Ok(triggers.into_iter().map(|(_, text)| text).collect())
}

impl Side for SqliteSide {
    fn rows<'a>(&'a mut self, table: &'a Table) -> BoxStream<'a, Result<Vec<u8>, sqlx::Error>> {
        let text = format!(
            "select cast(json_array({}) as blob) from {} order by {}",
            table.names(),
            table.name,
            table.key
        );
        let rows = sqlx::query(AssertSqlSafe(text)).fetch(self.of(table.part));
        rows.map(|row| row.and_then(|row| row.try_get(0))).boxed()
    }

    fn insert<'a>(&'a mut self, table: &'a Table, rows: String) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        let values: Vec<String> = (0..table.columns.len()).map(|place| format!("value->>{place}")).collect();
        let (name, names, values) = (&table.name, table.names(), values.join(", "));
        let text = format!("insert into {name} ({names}) select {values} from json_each($1)");
        let connection = self.of(table.part);
        Box::pin(async move {
            sqlx::query(AssertSqlSafe(text)).bind(rows).execute(connection).await?;
            Ok(())
        })
    }

    fn counter<'a>(
        &'a mut self,
        table: &'a Table,
        column: &'a str,
    ) -> BoxFuture<'a, Result<i64, sqlx::Error>> {
        let text = format!(
            "select max(coalesce((select seq from sqlite_sequence where name = '{0}'), 0),
                        coalesce((select max({column}) from {0}), 0))",
            table.name
        );
        Box::pin(sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(self.of(table.part)))
    }

    fn set_counter<'a>(
        &'a mut self,
        table: &'a Table,
        _column: &'a str,
        to: i64,
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        let connection = self.of(table.part);
        Box::pin(async move {
            // A table without autoincrement has no counter: it goes on after its highest id.
            let counts =
                "select exists (select 1 from sqlite_schema where name = $1 and sql like '%autoincrement%')";
            if sqlx::query_scalar(counts).bind(&table.name).fetch_one(&mut *connection).await? {
                sqlx::query("delete from sqlite_sequence where name = $1")
                    .bind(&table.name)
                    .execute(&mut *connection)
                    .await?;
                let set = "insert into sqlite_sequence (name, seq) values ($1, $2)";
                sqlx::query(set).bind(&table.name).bind(to).execute(connection).await?;
            }
            Ok(())
        })
    }

    fn moved_to(&mut self) -> BoxFuture<'_, Result<Option<String>, sqlx::Error>> {
        Box::pin(sqlx::query_scalar("select target from moved").fetch_optional(&mut self.state))
    }

    fn close<'a>(&'a mut self, target: &'a str, now: i64) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            let note = "insert into moved (id, target, at) values (1, $1, $2)";
            sqlx::query(note).bind(target).bind(now).execute(&mut self.state).await?;
            let no_rows = "create trigger if not exists inbox_is_closed before insert on inbox
                           begin select raise(abort, 'this database was copied to another one and is closed'); end";
            self.of(Tables::Inbox).execute(no_rows).await?;
            Ok(())
        })
    }

    fn commit(mut self: Box<Self>) -> BoxFuture<'static, Result<(), sqlx::Error>> {
        Box::pin(async move {
            for text in std::mem::take(&mut self.triggers) {
                self.state.execute(AssertSqlSafe(text)).await?;
            }
            self.state.execute("commit").await?;
            if let Some(mut inbox) = self.inbox.take() {
                inbox.execute("commit").await?;
                inbox.close().await?;
            }
            self.state.close().await
        })
    }
}
