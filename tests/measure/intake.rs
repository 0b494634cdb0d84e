//! Inbox rows taken in a second, with fsync on: one transaction of rows with one contact each, one of them
//! invalid.

use std::time::{Duration, Instant};

use crate::support::{Engine, Place, count, number, unlimited};

pub(crate) async fn run(arguments: &[String]) {
    let rows = number(arguments, 0, 100_000);
    let Some(taken) = measure(Engine::of(arguments), rows).await else {
        return println!("intake: SKIPPED, there is no PostgreSQL");
    };
    println!(
        "intake: {rows} rows in {:.2} s, {:.0} rows a second; {} rejected; memory at most {:.0} MB, WAL {:.0} MB",
        taken.seconds,
        rows as f64 / taken.seconds,
        taken.rejected,
        taken.memory_mb,
        taken.wal_mb,
    );
}

pub(crate) struct Taken {
    pub(crate) seconds: f64,
    rejected: i64,
    memory_mb: f64,
    /// Of SQLite.
    wal_mb: f64,
}

pub(crate) async fn measure(engine: Engine, rows: u64) -> Option<Taken> {
    // Paused: only intake is measured.
    let place = Place::on(engine, unlimited(), "").await?;
    let mut db = place.db().await;
    db.run("update accounts set paused_at = 1").await.expect("the account is paused");
    let insert = format!(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows})
         insert into inbox (event_id, personnel_ids, reference)
         select '139574', case when i = 500 then 'no json' else '[\"' || (1000000 + i) || '\"]' end, 'ref-' || i from n"
    );
    db.run(&insert).await.expect("the rows are inserted");

    let worker = place.start();
    // Each look takes the same short time, however many there are: counting them all took a core of its own.
    while db.one::<(bool,)>("select exists (select 1 from inbox where status = 'new')").await.0 {
        assert!(worker.since.elapsed() < Duration::from_secs(120), "too slow");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seconds = (Instant::now() - worker.since).as_secs_f64();
    let rejected = count(&mut db, "select count(*) from inbox where status = 'rejected'").await;
    let wal_mb = std::fs::metadata(place.path("unlockd.db-wal")).map_or(0.0, |file| file.len() as f64 / 1e6);
    Some(Taken { seconds, rejected, memory_mb: worker.memory_mb("VmHWM"), wal_mb })
}
