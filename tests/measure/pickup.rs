//! From the INSERT of one row to the paid call that buys it, while nothing else is to be done.

use std::time::{Duration, Instant};

use unlockd::sandbox::Options;

use crate::db::Db;
use crate::support::{Engine, FAST, Place, quantile, unlimited};

/// Between two rows: longer than one of them takes.
const PAUSE: Duration = Duration::from_millis(120);

pub(crate) async fn run(arguments: &[String]) {
    let rows = crate::support::number(arguments, 0, 200);
    let Some(took) = measure(Engine::of(arguments), rows).await else {
        return println!("pickup: SKIPPED, there is no PostgreSQL");
    };
    println!(
        "pickup: {rows} rows, from INSERT to the paid call: median {:.1} ms (goal 25), p99 {:.1} ms, most {:.1} ms (goal 60)",
        quantile(&took, 0.5),
        quantile(&took, 0.99),
        quantile(&took, 1.0)
    );
}

/// Milliseconds of each row, in order.
pub(crate) async fn measure(engine: Engine, rows: u64) -> Option<Vec<f64>> {
    let place = Place::on(engine, Options { task_seconds: 0.5, ..unlimited() }, FAST).await?;
    let mut db = place.db().await;
    let _worker = place.start();
    Some(latencies(&place, &mut db, rows).await)
}

/// The same of the worker that runs there.
pub(crate) async fn latencies(place: &Place, db: &mut Db, rows: u64) -> Vec<f64> {
    let mut took = Vec::new();
    // The first row waits for the start and for a balance.
    for row in 0..=rows {
        let contact = 5_000_000 + row * 100;
        let before = place.sandbox.journal().len();
        let began = Instant::now();
        let insert = format!("insert into inbox (event_id, personnel_ids) values ('139574', '[{contact}]')");
        db.run(&insert).await.expect("a row");
        let paid = loop {
            let journal = place.sandbox.journal();
            if let Some(call) = journal[before..].iter().find(|call| call.path.ends_with("/contacts/unlock"))
            {
                break call.real_at;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "not bought");
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        if row > 0 {
            took.push(paid.saturating_duration_since(began).as_secs_f64() * 1_000.0);
        }
        tokio::time::sleep(PAUSE + Duration::from_millis(row * 37 % 100)).await;
    }
    took.sort_by(f64::total_cmp);
    took
}
