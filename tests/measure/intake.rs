//! Inbox rows taken in a second, with fsync on: one transaction of rows with one contact each, one of them
//! invalid.

use std::time::{Duration, Instant};

use crate::support::{Place, number, unlimited};

pub(crate) async fn run(arguments: &[String]) {
    let rows = number(arguments, 0, 100_000) as i64;
    // Paused: only intake is measured.
    let place = Place::new(unlimited(), "").await;
    let mut connection = place.connect().await;
    sqlx::query("update accounts set paused_at = 1")
        .execute(&mut connection)
        .await
        .expect("the account is paused");
    sqlx::query(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?1)
         insert into inbox (event_id, personnel_ids, reference)
         select '139574', iif(i = 500, 'no json', '[\"' || (1000000 + i) || '\"]'), 'ref-' || i from n",
    )
    .bind(rows)
    .execute(&mut connection)
    .await
    .expect("the rows are inserted");

    let worker = place.start();
    while place.number(&mut connection, "select count(*) from inbox where status = 'new'").await > 0 {
        assert!(worker.since.elapsed() < Duration::from_secs(120), "too slow");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = Instant::now() - worker.since;
    let rejected =
        place.number(&mut connection, "select count(*) from inbox where status = 'rejected'").await;
    let wal_mb = std::fs::metadata(place.path("unlockd.db-wal")).map_or(0.0, |file| file.len() as f64 / 1e6);
    println!(
        "intake: {rows} rows in {:.2} s, {:.0} rows a second; {rejected} rejected; memory at most {:.0} MB, WAL {wal_mb:.0} MB",
        took.as_secs_f64(),
        rows as f64 / took.as_secs_f64(),
        worker.memory_mb("VmHWM"),
    );
}
