//! The time from the start of the process to its first call, with a long history and many running jobs.

use std::time::Duration;

use sqlx::SqliteConnection;

use crate::support::{Place, number, unlimited};

pub(crate) async fn run(arguments: &[String]) {
    let (finished, live) = (number(arguments, 0, 1_000_000) as i64, number(arguments, 1, 10_000) as i64);
    let place = Place::new(unlimited(), "").await;
    history(&mut place.connect().await, finished, live, 0).await;
    let before = place.sandbox.journal().len();
    let worker = place.start();
    let first = loop {
        if let Some(call) = place.sandbox.journal().get(before) {
            break call.real_at - worker.since;
        }
        assert!(worker.since.elapsed() < Duration::from_secs(60), "no call");
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    tokio::time::sleep(Duration::from_secs(3)).await;
    println!(
        "resume: {finished} finished and {live} live jobs: first call after {:.0} ms; memory at most {:.0} MB",
        first.as_secs_f64() * 1_000.0,
        worker.memory_mb("VmHWM"),
    );
}

/// Finished jobs, and live ones whose polls are due over the ten seconds from `due_in_ms` on.
pub(crate) async fn history(connection: &mut SqliteConnection, finished: i64, live: i64, due_in_ms: i64) {
    let statements = [
        "create temp table n as with recursive c(i) as (select 1 union all select i + 1 from c where i < ?1 + ?2)
         select i, i > ?1 as live, cast((julianday('now') - 2440587.5) * 86400000 as integer) as now from c",
        "insert into requests (id, account, action, max_pages, quoted_credits, status, row_digest, created_at, taken_at,
                               inbox_is_behind, finished_at)
         select i, 'default', 'unlock_contact_emails', 1, 15, iif(live, 'accepted', 'done'), 'x', now, now, 0,
                iif(live, null, now) from n",
        "insert into jobs (id, account, action, event_id, task_id, state, next_poll_at, created_at, submitted_at,
                           finished_at, contacts)
         select i, 'default', 'unlock_contact_emails', '139574', i, iif(live, 'polling', 'completed'),
                iif(live, now + ?3 + i * 7 % 10000, null), now, now, iif(live, null, now), 1 from n",
        "insert into items (request_id, account, action, event_id, personnel_id, state, job_id, outcome, source,
                            resolved_at)
         select i, 'default', 'unlock_contact_emails', '139574', i, iif(live, 'assigned', 'done'), i,
                iif(live, 'pending', 'delivered'), iif(live, null, 'task'), iif(live, null, now) from n",
        "insert into contact_values (item_id, value, stored_at)
         select i.id, 'a@b.example', n.now from items i join n on n.i = i.request_id where not n.live",
        "drop table n",
    ];
    for statement in statements {
        let query = sqlx::query(statement);
        let query = match statement {
            first if first.starts_with("create") => query.bind(finished).bind(live),
            jobs if jobs.contains("insert into jobs") => query.bind(0).bind(0).bind(due_in_ms),
            _ => query,
        };
        query.execute(&mut *connection).await.expect(statement);
    }
}
