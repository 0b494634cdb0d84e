//! A table that has grown is analyzed at once: else the server plans by what it believes of an empty one.

use std::path::Path;

use sqlx::{Executor, PgConnection};
use unlockd::store::Store;
use unlockd::store::postgres::statistics;

use crate::server;

/// The rows that the server believes in; -1: it never looked.
async fn believed(connection: &mut PgConnection) -> i64 {
    let rows = sqlx::query_scalar("select reltuples::bigint from pg_class where oid = 'inbox'::regclass");
    rows.fetch_one(connection).await.expect("the table is there")
}

#[tokio::test]
async fn a_table_of_which_most_has_changed_is_analyzed_and_no_other() {
    let Some(database) = server::database().await else { return };
    let store = Store::open(Path::new(database.url()), None).await.expect("it opens");
    let mut owner = database.connect().await;
    // The server does the same by itself once a minute.
    owner.execute("alter table inbox set (autovacuum_enabled = false)").await.expect("altered");
    for (new, then) in [(900, -1), (200, 1_100), (1_050, 1_100), (100, 2_250)] {
        let insert =
            "insert into inbox (personnel_ids) select '[\"1\"]' from generate_series(1, $1::integer)";
        sqlx::query(insert).bind(new).execute(&mut owner).await.expect("inserted");
        // It counts changes when a connection rests, and this one does not.
        owner.execute("select pg_stat_force_next_flush()").await.expect("counted");
        statistics::refresh(&store, || ()).await.expect("the server answers");
        assert_eq!(believed(&mut owner).await, then, "after {new} rows more");
    }
}
