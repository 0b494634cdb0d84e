//! Contacts delivered in a second where no limit holds them up: from the row to the outcome.

use std::time::Duration;

use unlockd::sandbox::Options;

use crate::db::Db;
use crate::support::{Engine, FAST, Place, Worker, count, number, unlimited};

const AT_MOST: Duration = Duration::from_secs(600);

pub(crate) async fn run(arguments: &[String]) {
    let contacts = number(arguments, 0, 50_000) as i64;
    for (what, each) in [("one request", contacts), ("requests of one contact", 1)] {
        let Some(took) = deliver(Engine::of(arguments), contacts, each).await else {
            return println!("delivered: SKIPPED, there is no PostgreSQL");
        };
        println!(
            "delivered: {contacts} contacts in {what}: {:.2} s, {:.0} a second (goal 8000), {:.3} ms of CPU for each, \
             {:.3} of the server, memory at most {:.0} MB",
            took.seconds,
            contacts as f64 / took.seconds,
            took.cpu * 1_000.0 / contacts as f64,
            took.server_cpu * 1_000.0 / contacts as f64,
            took.memory_mb,
        );
    }
}

pub(crate) struct Delivered {
    /// From the rows to the last outcome.
    pub(crate) seconds: f64,
    /// CPU seconds of the worker, and of the server, which is none on SQLite.
    pub(crate) cpu: f64,
    pub(crate) server_cpu: f64,
    pub(crate) memory_mb: f64,
}

pub(crate) async fn deliver(engine: Engine, contacts: i64, each: i64) -> Option<Delivered> {
    let place = Place::on(engine, Options { task_seconds: 0.5, ..unlimited() }, FAST).await?;
    let mut db = place.db().await;
    let worker = place.start();
    // It has started, and read a balance.
    bring(&place, &worker, &mut db, (0, 1, 1)).await;
    Some(bring(&place, &worker, &mut db, (1, contacts, each)).await)
}

/// Asks for that many contacts from `first` on, `each` in a request, and waits for them.
pub(crate) async fn bring(
    place: &Place,
    worker: &Worker,
    db: &mut Db,
    (first, contacts, each): (i64, i64, i64),
) -> Delivered {
    // Each look takes the same short time, however many there are.
    let delivered = "select cast(coalesce(sum(value), 0) as bigint) from figures where name = 'items' and label = 'delivered'";
    let before = count(db, delivered).await;
    let (cpu, server_cpu) = (worker.cpu_seconds(), place.server_cpu_seconds().await);
    let began = std::time::Instant::now();
    let insert = format!(
        "with recursive n(i) as (select {first} union all select i + 1 from n where i + 1 < {first} + {contacts})
         insert into inbox (event_id, personnel_ids, approved)
         select '139574', '[\"' || string_agg(cast(5000000 + i * 100 as text), '\",\"') || '\"]', 1
         from n group by (i - {first}) / {each}"
    );
    db.run(&insert).await.expect("rows");
    while count(db, delivered).await < before + contacts {
        assert!(began.elapsed() < AT_MOST, "too slow");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    let (cpu, server_cpu) = (worker.cpu_seconds() - cpu, place.server_cpu_seconds().await - server_cpu);
    Delivered { seconds, cpu, server_cpu, memory_mb: worker.memory_mb("VmHWM") }
}
