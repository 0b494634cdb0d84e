//! Many ids at once: the memory to take them, and a start behind rows that were taken long ago.

use std::time::{Duration, Instant};

use sqlx::SqliteConnection;

use crate::resume::history;
use crate::support::{FAST, Place, number, unlimited};

const AT_MOST: Duration = Duration::from_secs(300);

/// The most memory while ids are taken: in three rows, and in many.
pub(crate) async fn ids(arguments: &[String]) {
    let ids = number(arguments, 0, 300_000) as i64;
    for each in [100_000, 250, 1] {
        let place = Place::new(unlimited(), "").await;
        let mut connection = place.connect().await;
        pause(&mut connection).await;
        let worker = place.start();
        sqlx::query(
            "with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < ?1)
             insert into inbox (event_id, personnel_ids, approved)
             select '139574', json_group_array(cast(5000000 + i as text)), 1 from n group by i / ?2",
        )
        .bind(ids)
        .bind(each)
        .execute(&mut connection)
        .await
        .expect("rows");
        let began = Instant::now();
        while place.number(&mut connection, "select count(*) from inbox where status = 'new'").await > 0 {
            assert!(began.elapsed() < AT_MOST, "too slow");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        println!(
            "ids: {ids} ids in rows of {each}: taken in {:.1} s; memory at most {:.0} MB (goal 105)",
            began.elapsed().as_secs_f64(),
            worker.memory_mb("VmHWM"),
        );
    }
}

/// Only intake is measured.
async fn pause(connection: &mut SqliteConnection) {
    sqlx::query("update accounts set paused_at = 1")
        .execute(connection)
        .await
        .expect("the account is paused");
}

/// From the start of the process to the paid call of a new row, behind many rows that are done.
pub(crate) async fn start(arguments: &[String]) {
    let rows = number(arguments, 0, 1_000_000) as i64;
    let place = Place::new(unlimited(), FAST).await;
    let mut connection = place.connect().await;
    history(&mut connection, rows, 0, 0).await;
    sqlx::query(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 250),
              ids(list) as materialized (select json_group_array(cast(5000000 + i as text)) from n),
              r(i) as (select 1 union all select i + 1 from r where i < ?1)
         insert into inbox (id, event_id, personnel_ids, status, finished_at)
         select i, '139574', list, 'done', 1 from r, ids",
    )
    .bind(rows)
    .execute(&mut connection)
    .await
    .expect("rows");
    // They were not written over: the worker has seen each of them.
    sqlx::query("delete from inbox_written").execute(&mut connection).await.expect("looked at");
    sqlx::query("insert into inbox (event_id, personnel_ids) values ('139574', '[900000000]')")
        .execute(&mut connection)
        .await
        .expect("a row");
    sqlx::query("pragma wal_checkpoint(truncate)").execute(&mut connection).await.expect("folded back");
    let before = place.sandbox.journal().len();
    let worker = place.start();
    let paid = loop {
        let journal = place.sandbox.journal();
        if let Some(call) = journal[before..].iter().find(|call| call.path.ends_with("/contacts/unlock")) {
            break call.real_at - worker.since;
        }
        assert!(worker.since.elapsed() < AT_MOST, "not bought");
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    println!(
        "start: behind {rows} inbox rows of 250 ids: paid call of a new row after {:.0} ms (goal 1000); memory at most {:.0} MB",
        paid.as_secs_f64() * 1_000.0,
        worker.memory_mb("VmHWM"),
    );
}
