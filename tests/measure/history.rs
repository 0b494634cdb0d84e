//! The cost of a job with a long history and with a short one: CPU time of the worker for each job, from the
//! inbox row to the settlement.

use std::time::Duration;

use unlockd::sandbox::Options;

use crate::resume;
use crate::support::{Place, number, unlimited};

const JOBS: i64 = 400;

const CONFIG: &str =
    "[rate_limit]\nper_minute = 100000\n[polling]\nsteps = [\"100ms\"]\n[inbox]\ninterval = \"100ms\"\n";

pub(crate) async fn run(arguments: &[String]) {
    let (little, much) = (1_000, number(arguments, 0, 1_000_000) as i64);
    let (small, large) = (cost_of_a_job(little).await, cost_of_a_job(much).await);
    println!(
        "history: a job costs {:.2} ms of CPU with {little} finished jobs, {:.2} ms with {much}: {:.2} times as much",
        small * 1_000.0,
        large * 1_000.0,
        large / small
    );
}

async fn cost_of_a_job(finished: i64) -> f64 {
    let place = Place::new(Options { task_seconds: 0.05, ..unlimited() }, CONFIG).await;
    let mut connection = place.connect().await;
    resume::history(&mut connection, finished, 0, 0).await;
    sqlx::query("insert into sqlite_sequence (name, seq) values ('inbox', ?1)")
        .bind(finished)
        .execute(&mut connection)
        .await
        .expect("the inbox goes on after the history");
    let worker = place.start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = worker.cpu_seconds();
    sqlx::query(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?1)
         insert into inbox (event_id, personnel_ids) select 'event' || i, '[' || (500000000 + i * 100) || ']' from n",
    )
    .bind(JOBS)
    .execute(&mut connection)
    .await
    .expect("rows");
    while place.number(&mut connection, "select count(*) from inbox where status = 'done'").await < JOBS {
        assert!(worker.since.elapsed() < Duration::from_secs(120), "too slow");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (worker.cpu_seconds() - before) / JOBS as f64
}
