//! A PostgreSQL database as one side of a copy: see [`crate::store::copy`].

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use crate::store::StoreError;
use crate::store::copy::side::{COPIED, Side, Table};
use crate::store::place::Place;
use crate::store::postgres::limits::limited;
use crate::store::postgres::open;

pub(in crate::store) struct PostgresSide {
    connection: PgConnection,
    is_target: bool,
}

impl PostgresSide {
    /// Begins. Until it ends, no worker, command or producer can write.
    pub(in crate::store) async fn begin(place: &Place, is_target: bool) -> Result<PostgresSide, StoreError> {
        let mut connection = open::connect(&open::options(place)?, &place.path).await?;
        limited(connection.execute("begin; select 1 from worker_lease for update")).await?;
        limited(connection.execute("lock table inbox in share row exclusive mode")).await?;
        if is_target {
            // What triggers do was done when the rows were written first.
            triggers(&mut connection, "disable").await?;
        }
        Ok(PostgresSide { connection, is_target })
    }
}

/// Enables or disables all triggers of ours.
async fn triggers(connection: &mut PgConnection, verb: &str) -> Result<(), sqlx::Error> {
    let tables = sqlx::query_scalar(
        "select distinct c.relname::text from pg_trigger t join pg_class c on c.oid = t.tgrelid
         where not t.tgisinternal and c.relnamespace = current_schema()::regnamespace and c.relname = any ($1)",
    );
    let names: Vec<&str> = COPIED.map(|(table, _)| table).into();
    let tables: Vec<String> = limited(tables.bind(names).fetch_all(&mut *connection)).await?;
    for table in tables {
        let change = AssertSqlSafe(format!("alter table {table} {verb} trigger user"));
        limited(connection.execute(change)).await?;
    }
    Ok(())
}

impl Side for PostgresSide {
    fn rows<'a>(&'a mut self, table: &'a Table) -> BoxStream<'a, Result<Vec<u8>, sqlx::Error>> {
        let (name, names, key) = (&table.name, table.names(), &table.key);
        let text = format!("select bytes_of(json_build_array({names})::text) from {name} order by {key}");
        let rows = sqlx::query(AssertSqlSafe(text)).fetch(&mut self.connection);
        rows.map(|row| row.and_then(|row| row.try_get(0))).boxed()
    }

    fn insert<'a>(&'a mut self, table: &'a Table, rows: String) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        let values = table.columns.iter().enumerate().map(|(place, column)| match column.is_integer {
            true => format!("json_number(value, {place})"),
            false => format!("json_text(value, {place})"),
        });
        let values = values.collect::<Vec<_>>().join(", ");
        let (name, names) = (&table.name, table.names());
        let text = format!("insert into {name} ({names}) select {values} from json_rows($1)");
        let connection = &mut self.connection;
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
        let (name, sequence) = (&table.name, format!("pg_get_serial_sequence('{}', '{column}')", table.name));
        let text = format!(
            "select greatest(coalesce((select max({column}) from {name}), 0),
                             coalesce(pg_sequence_last_value({sequence}::regclass), 0))"
        );
        Box::pin(sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(&mut self.connection))
    }

    fn set_counter<'a>(
        &'a mut self,
        table: &'a Table,
        column: &'a str,
        to: i64,
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        let set = format!("select setval(pg_get_serial_sequence('{}', '{column}'), $1)", table.name);
        let connection = &mut self.connection;
        Box::pin(async move {
            // A sequence that has given no number yet begins at 1.
            if to > 0 {
                sqlx::query(AssertSqlSafe(set)).bind(to).execute(connection).await?;
            }
            Ok(())
        })
    }

    fn moved_to(&mut self) -> BoxFuture<'_, Result<Option<String>, sqlx::Error>> {
        Box::pin(sqlx::query_scalar("select target from moved").fetch_optional(&mut self.connection))
    }

    fn close<'a>(&'a mut self, target: &'a str, now: i64) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            let note = "insert into moved (id, target, at) values (1, $1, $2)";
            sqlx::query(note).bind(target).bind(now).execute(&mut self.connection).await?;
            let no_rows =
                "create or replace trigger inbox_is_closed before insert on inbox for each statement
                           execute function refuse('this database was copied to another one and is closed')";
            self.connection.execute(no_rows).await?;
            Ok(())
        })
    }

    fn commit(mut self: Box<Self>) -> BoxFuture<'static, Result<(), sqlx::Error>> {
        Box::pin(async move {
            if self.is_target {
                triggers(&mut self.connection, "enable").await?;
            }
            self.connection.execute("commit").await?;
            self.connection.close().await
        })
    }
}
