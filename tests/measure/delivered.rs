//! Contacts delivered in a second where no limit holds them up: from the row to the outcome.

use std::time::Duration;

use unlockd::sandbox::Options;

use crate::support::{FAST, Place, number, unlimited};

const AT_MOST: Duration = Duration::from_secs(600);

pub(crate) async fn run(arguments: &[String]) {
    let contacts = number(arguments, 0, 50_000) as i64;
    for (what, each) in [("one request", contacts), ("requests of one contact", 1)] {
        let (seconds, cpu, memory) = deliver(contacts, each).await;
        println!(
            "delivered: {contacts} contacts in {what}: {seconds:.2} s, {:.0} a second (goal 8000), {:.3} ms of CPU for each, \
             memory at most {memory:.0} MB",
            contacts as f64 / seconds,
            cpu * 1_000.0 / contacts as f64,
        );
    }
}

/// Seconds from the rows to the last outcome, CPU seconds of the worker, its most memory in MB.
pub(crate) async fn deliver(contacts: i64, each: i64) -> (f64, f64, f64) {
    let place = Place::new(Options { task_seconds: 0.5, ..unlimited() }, FAST).await;
    let mut connection = place.connect().await;
    let worker = place.start();
    // It has started, and read a balance.
    let mut insert = async |first: i64, contacts: i64, each: i64| {
        sqlx::query(
            "with recursive n(i) as (select ?1 union all select i + 1 from n where i + 1 < ?1 + ?2)
             insert into inbox (event_id, personnel_ids, approved)
             select '139574', json_group_array(cast(5000000 + i * 100 as text)), 1 from n group by (i - ?1) / ?3",
        )
        .bind(first)
        .bind(contacts)
        .bind(each)
        .execute(&mut connection)
        .await
        .expect("rows");
    };
    insert(0, 1, 1).await;
    let mut looking = place.connect().await;
    while place.number(&mut looking, "select count(*) from requests where finished_at > 0").await == 0 {
        assert!(worker.since.elapsed() < AT_MOST, "too slow");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (cpu, began) = (worker.cpu_seconds(), std::time::Instant::now());
    insert(1, contacts, each).await;
    // Each look takes the same short time, however many there are.
    let open = "select exists (select 1 from requests where finished_at is null)
                  or exists (select 1 from inbox where status = 'new')";
    while place.number(&mut looking, open).await > 0 {
        assert!(began.elapsed() < AT_MOST, "too slow");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    let delivered = place
        .number(&mut looking, "select sum(value) from figures where name = 'items' and label = 'delivered'")
        .await;
    assert_eq!(delivered, contacts + 1);
    (seconds, worker.cpu_seconds() - cpu, worker.memory_mb("VmHWM"))
}
