//! Memory is limited by a constant, however many ids arrive in the inbox.

use std::time::{Duration, Instant};

use sqlx::Executor;
use unlockd::sandbox::Options;

use crate::support::Town;

/// A debug build takes more than the program that is shipped.
const MOST_MIB: u64 = 150;

/// The most memory that a process has used.
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1_024
}

/// SQLite would load it several times to write the row's status.
#[tokio::test]
async fn a_text_of_200_megabytes_is_rejected_and_never_loaded() {
    let town = Town::new(Options::default()).await;
    let mut inbox = town.connect().await;
    let mut worker = town.start();
    for column in ["personnel_ids", "reference", "event_id", "purpose"] {
        let insert = format!(
            "insert into inbox (personnel_ids) values ('[789]'); update inbox set status = 'new', {column} = \
                     cast(zeroblob(200000000) as text) where id = (select max(id) from inbox)"
        );
        inbox.execute("begin immediate").await.expect("begun");
        inbox.execute(sqlx::AssertSqlSafe(insert)).await.expect("inserted");
        inbox.execute("commit").await.expect("committed");
    }
    town.until("select count(*) from inbox where status = 'rejected' and reason like '%characters%'", 4)
        .await;
    let peak = peak_mib(worker.id());
    worker.kill().expect("it runs");
    worker.wait().expect("it ends");
    assert_eq!(
        town.number("select count(*) from inbox where octet_length(personnel_ids) > 1000000").await,
        0
    );
    assert!(peak <= MOST_MIB, "{peak} MiB");
}

/// One row of 100,000 ids, and many rows of 250 ids in one transaction.
#[tokio::test]
async fn however_many_ids_arrive_memory_has_a_bound() {
    let town = Town::new(Options::default()).await;
    let mut inbox = town.connect().await;
    inbox.execute("update accounts set paused_at = 1").await.expect("paused");
    let mut worker = town.start();
    for arrives in [
        "insert into inbox (event_id, personnel_ids, approved)
         with recursive n(i) as (select 1000000 union all select i + 1 from n where i < 1099999)
         select '139574', json_group_array(cast(i as text)), 1 from n",
        "insert into inbox (event_id, personnel_ids, approved)
         with recursive n(i) as (select 2000000 union all select i + 1 from n where i < 2099999)
         select '139574', json_group_array(cast(i as text)), 1 from n group by i / 250",
    ] {
        inbox.execute(arrives).await.expect("inserted");
    }
    let began = Instant::now();
    while town.number("select count(*) from inbox where status = 'new'").await > 0 {
        assert!(began.elapsed() < Duration::from_secs(120), "not taken:\n{}", town.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let peak = peak_mib(worker.id());
    worker.kill().expect("it runs");
    worker.wait().expect("it ends");
    assert_eq!(town.number("select count(*) from items where state = 'waiting'").await, 200_000);
    assert!(peak <= MOST_MIB, "{peak} MiB");
}

/// Such a file would hold keys and contacts.
#[tokio::test]
async fn a_worker_leaves_no_core_file() {
    let town = Town::new(Options::default()).await;
    let mut worker = town.start();
    town.until("select count(*) from worker_lease where token = 2", 1).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", worker.id())).expect("it runs");
    worker.kill().expect("it runs");
    worker.wait().expect("it ends");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert!(core.split_whitespace().skip(4).take(2).eq(["0", "0"]), "{core}");
}
