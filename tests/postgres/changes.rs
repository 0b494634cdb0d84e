//! The order of `contact_changes`, and what wakes the worker: with sessions that overlap.

use std::future::Future;
use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::server::{self, Database};

/// Two requests of two accounts, whose items wait.
async fn with_items() -> Option<Database> {
    let database = server::database().await?;
    let mut connection = database.connect().await;
    run(
        &mut connection,
        "insert into requests (id, account, action, max_pages, quoted_credits, status, row_digest, created_at, taken_at)
         values (1, 'a', 'unlock_contact_emails', 1, 0, 'accepted', 'x', 1, 1),
                (2, 'b', 'unlock_contact_emails', 1, 0, 'accepted', 'x', 1, 1);
         insert into items (request_id, account, action, personnel_id, state)
         select r.id, r.account, r.action, n::text, 'waiting' from requests r, generate_series(1, 20) n",
    )
    .await;
    Some(database)
}

async fn run(connection: &mut PgConnection, statement: &str) {
    connection.execute(AssertSqlSafe(statement)).await.unwrap_or_else(|error| panic!("{error}: {statement}"));
}

fn settle(request: i64, contact: i64) -> String {
    format!(
        "update items set state = 'done', outcome = 'failed', resolved_at = 9
         where request_id = {request} and personnel_id = '{contact}'"
    )
}

async fn newest(connection: &mut PgConnection) -> Option<i64> {
    sqlx::query_scalar("select max(seq) from contact_changes").fetch_one(connection).await.expect("reads")
}

/// Waits until `work` waits for a lock of another session; it has not ended by then.
async fn waits_for_a_lock<T>(
    connection: &mut PgConnection,
    work: &mut (impl Future<Output = T> + Unpin),
    pid: i32,
) {
    let is_waiting = async {
        let waiting = "select exists (select 1 from pg_locks where pid = $1 and not granted)";
        while !sqlx::query_scalar::<_, bool>(waiting)
            .bind(pid)
            .fetch_one(&mut *connection)
            .await
            .expect("reads")
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = work => panic!("nothing was in its way"),
        () = is_waiting => {}
    }
}

async fn pid(connection: &mut PgConnection) -> i32 {
    sqlx::query_scalar("select pg_backend_pid()").fetch_one(connection).await.expect("its id")
}

/// Whatever commits when: what appears later has a greater number. Two writers, each with an account of its own.
#[tokio::test]
async fn numbers_of_changes_appear_in_their_order() {
    let Some(database) = with_items().await else { return };
    let (mut reader, mut first, mut second) =
        (database.connect().await, database.connect().await, database.connect().await);
    let second_pid = pid(&mut second).await;
    run(&mut first, "begin").await;
    run(&mut first, &settle(1, 1)).await;
    let later = settle(2, 1);
    {
        let mut late = Box::pin(run(&mut second, &later));
        // Without the lock it would commit now, under a greater number than the one that is still to come.
        waits_for_a_lock(&mut reader, &mut late, second_pid).await;
        assert_eq!(newest(&mut reader).await, None);
        run(&mut first, &settle(1, 2)).await;
        run(&mut first, "commit").await;
        late.await;
    }
    let seen: Vec<(i64, i64)> = sqlx::query_as("select seq, request_id from contact_changes order by seq")
        .fetch_all(&mut reader)
        .await
        .expect("reads");
    assert_eq!(seen.iter().map(|(_, request)| *request).collect::<Vec<_>>(), [1, 1, 2]);
}

/// A writer that gives up leaves a gap and no disorder.
#[tokio::test]
async fn a_rollback_lets_the_next_writer_go_on() {
    let Some(database) = with_items().await else { return };
    let (mut first, mut second) = (database.connect().await, database.connect().await);
    run(&mut first, "begin").await;
    run(&mut first, &settle(1, 1)).await;
    run(&mut first, "rollback").await;
    run(&mut second, &settle(2, 1)).await;
    let seen = newest(&mut second).await;
    run(&mut first, &settle(1, 1)).await;
    assert!(newest(&mut second).await > seen);
}

/// A reader that follows the numbers while four writers settle at once misses nothing.
#[tokio::test]
async fn a_reader_that_follows_sees_every_change_once() {
    let Some(database) = with_items().await else { return };
    let mut writers = Vec::new();
    for part in 0..4_i64 {
        let mut writer = database.connect().await;
        writers.push(tokio::spawn(async move {
            for contact in (part / 2 * 10 + 1)..=(part / 2 * 10 + 10) {
                run(&mut writer, &settle(part % 2 + 1, contact)).await;
            }
        }));
    }
    let mut reader = database.connect().await;
    let (mut seen, mut after) = (0, 0);
    while seen < 40 {
        let next: Vec<i64> =
            sqlx::query_scalar("select seq from contact_changes where seq > $1 order by seq limit 3")
                .bind(after)
                .fetch_all(&mut reader)
                .await
                .expect("reads");
        seen += next.len();
        after = next.last().copied().unwrap_or(after);
        if writers.iter().all(tokio::task::JoinHandle::is_finished) && next.is_empty() {
            break;
        }
    }
    assert_eq!(seen, 40, "a change appeared below a number that was read before");
    for writer in writers {
        writer.await.expect("writes");
    }
}

/// The notifications until one that is sent now.
async fn heard(listener: &mut PgListener, sender: &mut PgConnection) -> usize {
    run(sender, "select pg_notify('unlockd_inbox', 'end')").await;
    let mut heard = 0;
    loop {
        let next = tokio::time::timeout(Duration::from_secs(30), listener.recv()).await.expect("in time");
        if next.expect("a notification").payload() == "end" {
            return heard;
        }
        heard += 1;
    }
}

#[tokio::test]
async fn who_writes_the_inbox_wakes_the_worker_and_the_worker_does_not() {
    let Some(database) = server::database().await else { return };
    let mut listener = PgListener::connect(database.url()).await.expect("connects");
    listener.listen("unlockd_inbox").await.expect("listens");
    let mut producer = database.connect().await;
    // Once for each transaction, however many rows and statements.
    run(&mut producer, "insert into inbox (personnel_ids) select '[1]' from generate_series(1, 100)").await;
    assert_eq!(heard(&mut listener, &mut producer).await, 1);
    run(
        &mut producer,
        "begin; insert into inbox (event_id) values ('1'); insert into inbox (event_id) values ('2')",
    )
    .await;
    run(&mut producer, "update inbox set approved = 1 where id = 1; commit").await;
    assert_eq!(heard(&mut listener, &mut producer).await, 1);
    run(&mut producer, "update inbox set status = 'cancelled' where id = 1").await;
    assert_eq!(heard(&mut listener, &mut producer).await, 1);
    // Nothing for nothing: no row, no change, no commit.
    run(&mut producer, "update inbox set approved = 1 where id = 1").await;
    run(&mut producer, "update inbox set approved = 1 where id = -1").await;
    run(&mut producer, "begin; insert into inbox (event_id) values ('3'); rollback").await;
    assert_eq!(heard(&mut listener, &mut producer).await, 0);

    let mut worker = database.connect().await;
    let own =
        "begin; update inbox_worker set is_writing = 1; update inbox set status = 'accepted' where id > 1;
               update inbox_worker set is_writing = 0; commit";
    run(&mut worker, own).await;
    assert_eq!(heard(&mut listener, &mut producer).await, 0);
    let written: Vec<(i64, i64)> =
        sqlx::query_as("select id, times from inbox_written").fetch_all(&mut worker).await.expect("reads");
    assert_eq!(written, [(1, 2)]);
    worker.close().await.expect("closes");
}
