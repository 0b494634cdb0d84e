//! The error matrix, with the running worker.

use std::time::Duration;

use unlockd::sandbox::Fault;

use crate::support::{Town, hostile, wait};

async fn town_with(fault: &str) -> Town {
    town_of(100..110, fault).await
}

async fn town_of(contacts: std::ops::Range<u32>, fault: &str) -> Town {
    let town = Town::new(hostile()).await;
    town.sandbox.inject(fault.parse::<Fault>().expect("a fault"));
    town.insert(contacts).await;
    town
}

fn submissions(town: &Town) -> usize {
    town.sandbox.journal().iter().filter(|call| call.path == "/external/contacts/unlock").count()
}

/// One contact: a call with several would be divided.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_refuses_for_good_is_rejected_without_retry_or_charge() {
    let faults = ["400@unlock", "404@unlock", "422@unlock", "200-error=400:USER_HAS_NO_FEATURE@unlock"];
    for fault in faults {
        let town = town_of(100..101, fault).await;
        let status = tokio::task::block_in_place(|| town.run_until_idle());
        assert!(status.success(), "{fault}: {status}\n{}", town.log());
        let rejected = town.number("select count(*) from contact_outcomes where outcome = 'rejected'").await;
        assert_eq!((rejected, submissions(&town)), (1, 1), "{fault}");
        assert_eq!(town.sandbox.accounting().charged_total, 0, "{fault}");
        assert_eq!(town.number("select coalesce(sum(credits), 0) from ledger").await, 0, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_now_goes_out_again_and_is_paid_once() {
    let soon = std::time::SystemTime::now() + Duration::from_secs(3);
    let dated = format!("429={}@unlock", httpdate::fmt_http_date(soon));
    let faults = [
        "409@unlock",
        "429=2@unlock",
        dated.as_str(),
        "429=0@unlock",
        "429=-7@unlock",
        "429=none@unlock",
        "200-error=429:USER_CONCURRENCY_LIMIT_EXCEEDED@unlock",
        "500@precheck",
        "500@poll",
        "429=1@poll",
        "broken=html@poll",
        "broken=empty@balance",
        "broken=types@poll",
        "drip@poll",
    ];
    let mut running = Vec::new();
    for fault in faults {
        let town = town_with(fault).await;
        running.push((fault, town.start_until_idle(None), town));
    }
    for (fault, mut worker, town) in running {
        let status = tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(60)));
        assert!(status.success(), "{fault}: {status}\n{}", town.log());
        town.assert_paid_once_and_delivered(100..110, fault).await;
        let expected = if fault.ends_with("@unlock") { 2 } else { 1 };
        assert_eq!(submissions(&town), expected, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absurd_retry_after_blocks_the_account_and_not_for_ever() {
    let town = town_with("429=99999999999999@unlock").await;
    let mut worker = town.start();
    town.until("select count(*) from accounts where blocked_until is not null", 1).await;
    let hours = "select (blocked_until - (select max(finished_at) from attempts)) / 3600000 from accounts";
    assert!((0..=1).contains(&town.number(hours).await));
    worker.kill().expect("the worker is there");
    worker.wait().expect("it is dead");
    let calls = town.sandbox.journal().len();
    // The next start knows it.
    let mut worker = town.start();
    town.until("select count(*) from worker_lease where token = 3", 1).await;
    worker.kill().expect("the worker is there");
    worker.wait().expect("it is dead");
    assert_eq!(town.sandbox.journal().len(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_402_waits_for_a_balance_that_suffices_with_one_post() {
    let town = town_with("402@unlock").await;
    let mut worker = town.start();
    town.until("select count(*) from jobs where state_reason = 'insufficient_credits'", 1).await;
    town.sandbox.top_up(5_000);
    town.until("select count(*) from requests where status = 'done' and inbox_is_behind = 0", 1).await;
    worker.kill().expect("the worker is there");
    worker.wait().expect("it is dead");
    assert_eq!(submissions(&town), 2, "one for the 402, one after the top-up");
    town.assert_paid_once_and_delivered(100..110, "402").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_404_about_a_task_that_was_just_accepted_is_asked_again() {
    let town = town_with("404@poll").await;
    assert!(tokio::task::block_in_place(|| town.run_until_idle()).success(), "{}", town.log());
    town.assert_paid_once_and_delivered(100..110, "404").await;
}
