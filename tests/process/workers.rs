//! Two workers on one database, a database locked by another program, lost answers.

use std::time::{Duration, Instant};

use sqlx::Executor;
use unlockd::sandbox::Fault;

use crate::support::{Town, hostile, wait};

#[tokio::test(flavor = "multi_thread")]
async fn one_works_and_the_other_takes_over_ten_times() {
    let town = Town::new(hostile()).await;
    let mut active = town.start();
    town.until("select count(*) from worker_lease where token = 2", 1).await;
    let mut slowest = Duration::ZERO;
    for round in 0..10_u32 {
        let mut waiting = town.start();
        town.insert(1_000 + round * 100..1_010 + round * 100).await;
        let holder = town.number("select pid from worker_lease").await;
        assert_eq!(holder, i64::from(active.id()), "two at once in round {round}");
        let since = Instant::now();
        active.kill().expect("the active worker is there");
        active.wait().expect("it is dead");
        while town.number("select pid from worker_lease").await != i64::from(waiting.id()) {
            assert!(
                since.elapsed() < Duration::from_secs(30),
                "no takeover in round {round}\n{}",
                town.log()
            );
            assert!(waiting.try_wait().expect("ours").is_none(), "the waiting worker died\n{}", town.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        slowest = slowest.max(since.elapsed());
        active = waiting;
    }
    active.kill().expect("the last one is there");
    active.wait().expect("it is dead");
    println!("slowest of 10 takeovers: {slowest:?}");
    assert!(tokio::task::block_in_place(|| town.run_until_idle()).success());
    let twice = town.sandbox.accounting().charges.values().filter(|charge| charge.times != 1).count();
    assert_eq!(twice, 0, "{}", town.log());
    let delivered = town.number("select count(*) from contact_outcomes where outcome = 'delivered'").await;
    assert_eq!(delivered, 100, "{}", town.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_lock_of_twelve_seconds_delays_and_breaks_nothing() {
    let town = Town::new(hostile()).await;
    town.insert(100..110).await;
    let mut worker = town.start_until_idle(None);
    town.until("select count(*) from jobs where state = 'polling'", 1).await;
    let mut foreign = town.connect().await;
    foreign.execute("begin immediate").await.expect("the lock");
    tokio::time::sleep(Duration::from_secs(12)).await;
    foreign.execute("commit").await.expect("the end of the lock");
    let status = tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(30)));
    assert!(status.success(), "{status}\n{}", town.log());
    town.assert_paid_once_and_delivered(100..110, "a foreign lock").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lost_after_the_charge_is_never_sent_again() {
    let faults = [
        "lost-answer",
        "lost-answer=reset",
        "lost-answer=truncate",
        "lost-answer=500",
        "lost-answer=502",
        "lost-answer=timeout",
        "broken=html@unlock",
        "broken=empty@unlock",
        "broken=huge@unlock",
        "drip@unlock",
    ];
    let mut towns = Vec::new();
    for name in faults {
        let town = Town::new(hostile()).await;
        let text = if name.contains('@') { name.to_owned() } else { format!("{name}@unlock") };
        town.sandbox.inject(text.parse::<Fault>().expect("a fault"));
        town.insert(100..110).await;
        towns.push((name, town.start_until_idle(None), town));
    }
    for (name, mut worker, town) in towns {
        let status = tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(60)));
        assert!(status.success(), "{name}: {status}\n{}", town.log());
        town.assert_paid_once_and_delivered(100..110, name).await;
        let sent =
            town.sandbox.journal().iter().filter(|call| call.path == "/external/contacts/unlock").count();
        assert_eq!(sent, 1, "{name}: sent {sent} times");
        let read = town.number("select count(*) from contact_outcomes where source = 'profile'").await;
        assert_eq!(read, 10, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_that_was_lost_on_the_way_is_sent_again_only_after_reading() {
    let town = Town::new(hostile()).await;
    town.sandbox.inject("lost-request@unlock".parse::<Fault>().expect("a fault"));
    town.insert(100..110).await;
    assert!(tokio::task::block_in_place(|| town.run_until_idle()).success(), "{}", town.log());
    town.assert_paid_once_and_delivered(100..110, "lost request").await;
    let journal = town.sandbox.journal();
    let posts: Vec<usize> =
        (0..journal.len()).filter(|index| journal[*index].path == "/external/contacts/unlock").collect();
    assert_eq!(posts.len(), 2);
    let read_between =
        journal[posts[0]..posts[1]].iter().filter(|call| call.path != "/external/contacts/unlock");
    assert!(read_between.count() >= 9, "three looks at precheck, balance and profiles");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_stops_the_account_until_its_file_has_another_one() {
    let town = Town::new(hostile()).await;
    town.sandbox.set_api_key(Some("uak_second".to_owned()));
    std::fs::write(town.path("key"), "uak_first\n").expect("a key file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(town.path("key"), mode).expect("its mode");
    let config = std::fs::read_to_string(town.path("unlockd.toml")).expect("the configuration");
    let keyed = format!("{config}\n[accounts.default]\napi_key_file = \"key\"\n");
    std::fs::write(town.path("unlockd.toml"), keyed).expect("the configuration is written");
    town.insert(100..110).await;
    let mut worker = town.start();
    town.until("select count(*) from accounts where refused_key is not null", 1).await;
    town.until("select count(*) from accounts where waits_for = 'invalid_api_key'", 1).await;
    let calls = town.sandbox.journal().len();
    assert!((1..=2).contains(&calls), "{calls} calls with a refused key");
    std::fs::write(town.path("key"), "uak_second\n").expect("a new key");
    town.until("select count(*) from requests where status = 'done' and inbox_is_behind = 0", 1).await;
    worker.kill().expect("the worker is there");
    worker.wait().expect("it is dead");
    town.assert_paid_once_and_delivered(100..110, "a rotated key").await;
    assert!(!town.log().contains("uak_"), "a key in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_answer_costs_no_memory() {
    let town = Town::new(hostile()).await;
    for endpoint in ["balance", "unlock", "poll"] {
        town.sandbox.inject(format!("broken=huge@{endpoint}").parse::<Fault>().expect("a fault"));
    }
    town.insert(100..110).await;
    let mut worker = town.start();
    town.until("select count(*) from requests where status = 'done' and inbox_is_behind = 0", 1).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.id())).expect("its status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    worker.kill().expect("the worker is there");
    worker.wait().expect("it is dead");
    assert!(peak < 120 * 1024, "{peak} kB");
    town.assert_paid_once_and_delivered(100..110, "huge answers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_edit_changes_nothing_and_a_good_one_takes_effect_without_a_restart() {
    let town = Town::new(hostile()).await;
    let good = std::fs::read_to_string(town.path("unlockd.toml")).expect("the configuration");
    let mut worker = town.start();
    town.until("select count(*) from worker_lease where token = 2", 1).await;
    std::fs::write(town.path("unlockd.toml"), format!("{good}\nnonsense = 1\n")).expect("it is written");
    town.until_logged("configuration rejected; keeping the current one").await;
    town.insert(100..110).await;
    town.until("select count(*) from requests where status = 'done' and inbox_is_behind = 0", 1).await;

    let careful = good.replace("approve_above = 100000", "approve_above = 10");
    std::fs::write(town.path("unlockd.toml"), careful).expect("it is written");
    town.until_logged("changed in the configuration and now in force").await;
    town.insert(200..210).await;
    town.until("select count(*) from inbox where status = 'awaiting_approval'", 1).await;
    worker.kill().expect("the worker is there");
    worker.wait().expect("it is dead");
}

/// Editors and orchestrators replace a file in several steps, and the worker may see any of them: without a
/// file the built-in defaults would approve what this one holds back.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_added_to_the_file_is_served_without_a_restart() {
    let town = Town::new(hostile()).await;
    let mut worker = town.start();
    town.until("select count(*) from worker_lease where token = 2", 1).await;
    let text = std::fs::read_to_string(town.path("unlockd.toml")).expect("the configuration");
    let more = format!("{text}\n[accounts.emea]\napi_key = \"uak_process_test_2\"\n");
    std::fs::write(town.path("unlockd.toml"), &more).expect("written");
    town.until_logged("the configuration names a new account").await;
    sqlx::query("insert into inbox (account, personnel_ids) values ('emea', '[100, 101]')")
        .execute(&mut town.connect().await)
        .await
        .expect("a row is inserted");
    town.until("select count(*) from inbox where status = 'done'", 1).await;
    std::fs::write(town.path("unlockd.toml"), &text).expect("written");
    town.until_logged("does not name this account any more").await;
    assert!(!town.log().contains("next start"), "{}", town.log());
    worker.kill().expect("the worker is there");
    worker.wait().expect("it is dead");
    town.assert_paid_once_and_delivered(100..102, "an account added").await;
}

/// A machine without a battery gets its time from the network; a person sets it back by mistake.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_while_the_worker_runs_is_followed_and_the_lease_does_not_change_hands() {
    let town = Town::new(hostile()).await;
    let (mut worker, mut standby) = (town.start(), town.start());
    town.until_logged("another worker has this database").await;
    let hour_ms = |ahead: i64| {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        wall.as_millis() as i64 / 3_600_000 + ahead
    };
    for (round, ahead) in [-5, 3].into_iter().enumerate() {
        std::fs::write(town.clock(), format!("{}", ahead * 3_600)).expect("written");
        let since = std::time::Instant::now();
        while (town.number("select renewed_at / 3600000 from worker_lease").await - hour_ms(ahead)).abs() > 1
        {
            assert!(since.elapsed() < Duration::from_secs(40), "not followed\n{}", town.log());
        }
        assert_eq!(town.health(), Some(0), "{}", town.log());
        let first = 100 + 10 * round as u32;
        town.insert(first..first + 10).await;
        let done = round as i64 + 1;
        town.until("select count(*) from inbox where status = 'done'", done).await;
    }
    assert_eq!(town.number("select token from worker_lease").await, 2, "{}", town.log());
    town.until("select count(*) from requests where inbox_is_behind <> 0", 0).await;
    for process in [&mut worker, &mut standby] {
        process.kill().expect("it is there");
        process.wait().expect("it is dead");
    }
    town.assert_paid_once_and_delivered(100..120, "a clock that was set").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_file_that_is_gone_or_empty_lifts_no_limit() {
    let town = Town::new(hostile()).await;
    let (file, away) = (town.path("unlockd.toml"), town.path("unlockd.toml~"));
    let text = std::fs::read_to_string(&file).expect("the configuration");
    let careful = text.replace("approve_above = 100000", "approve_above = 10");
    std::fs::write(&file, &careful).expect("it is written");
    // Found in the working directory, not named.
    let mut worker = town.start();
    town.until("select count(*) from worker_lease where token = 2", 1).await;
    std::fs::rename(&file, &away).expect("it is moved away");
    town.until_logged("(which is in force): No such file").await;
    std::fs::write(&file, "\n").expect("it is emptied");
    town.until_logged("is empty now").await;
    town.insert(100..110).await;
    town.until("select count(*) from inbox where status = 'awaiting_approval'", 1).await;

    // A ConfigMap: the name is a link into a folder that is replaced as a whole.
    std::fs::write(&away, careful.replace("approve_above = 10", "approve_above = 200000")).expect("written");
    std::fs::remove_file(&file).expect("removed");
    std::os::unix::fs::symlink(&away, &file).expect("linked");
    town.until_logged("credits.approve_above").await;
    town.insert(200..210).await;
    town.until("select count(*) from requests where status = 'done' and inbox_is_behind = 0", 1).await;
    // A report: a row that came right after its account was rejected for good.
    let added = careful.replace("approve_above = 10", "approve_above = 200000");
    std::fs::write(&away, format!("{added}\n[accounts.late]\napi_key = \"uak_process_late\"\n"))
        .expect("written");
    town.insert_for("late", 300..310).await;
    town.insert_for("never", 300..310).await;
    town.until("select count(*) from requests where account = 'late' and status = 'done'", 1).await;
    town.until("select count(*) from inbox where account = 'never' and status = 'rejected'", 1).await;
    worker.kill().expect("the worker is there");
    worker.wait().expect("it is dead");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_a_running_worker_from_none() {
    let town = Town::new(hostile()).await;
    // The worker that made the schema has ended; its lease may still look fresh.
    sqlx::query("update worker_lease set renewed_at = 0")
        .execute(&mut town.connect().await)
        .await
        .expect("written");
    assert_eq!(town.health(), Some(1));
    let mut worker = town.start();
    town.until("select count(*) from worker_lease where token = 2", 1).await;
    assert_eq!(town.health(), Some(0));
    worker.kill().expect("the worker is there");
    worker.wait().expect("it is dead");
}
