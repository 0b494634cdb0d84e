//! kill -9 at every commit and every call, and at random moments under load.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use crate::support::{Town, hostile, wait};

const KILLED: Option<i32> = Some(9);

fn repeats() -> u32 {
    std::env::var("UNLOCKD_TEST_REPEATS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Kills a worker when it passes `place` for the N-th time, for N = 1, 2, 3 … until a run is not killed; each
/// time another worker finishes the job. Returns the number of kills.
async fn sweep(place: &str) -> u32 {
    let mut kills = 0;
    for nth in 1.. {
        let town = Town::new(hostile()).await;
        town.insert(100..120).await;
        let fail = format!("{place}:{nth}");
        let mut worker = town.start_until_idle(Some(&fail));
        let status = tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(60)));
        if status.signal() != KILLED {
            assert!(status.success(), "{fail}: {status}\n{}", town.log());
            town.assert_paid_once_and_delivered(100..120, &fail).await;
            break;
        }
        kills += 1;
        let status = tokio::task::block_in_place(|| town.run_until_idle());
        assert!(status.success(), "after {fail}: {status}\n{}", town.log());
        town.assert_paid_once_and_delivered(100..120, &fail).await;
    }
    kills
}

async fn sweeps(place: &str, at_least: u32) {
    for repeat in 1..=repeats() {
        let kills = sweep(place).await;
        assert!(kills >= at_least, "only {kills} kills {place}");
        println!("{place}, repeat {repeat}: {kills} kills, every contact paid once and delivered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_each_commit_nothing_is_paid_twice_or_lost() {
    sweeps("before_commit", 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_each_commit_nothing_is_paid_twice_or_lost() {
    sweeps("after_commit", 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_each_call_nothing_is_paid_twice_or_lost() {
    sweeps("before_call", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_each_call_nothing_is_paid_twice_or_lost() {
    sweeps("after_call", 4).await;
}

/// The recovery from a lost submission is itself killed at every call.
#[tokio::test(flavor = "multi_thread")]
async fn killed_again_while_recovering_it_comes_to_the_same_end() {
    let mut kills = 0;
    for nth in 1..40 {
        let town = Town::new(hostile()).await;
        town.insert(100..110).await;
        // The third call is the submission: balance, precheck, submission.
        for fail in ["after_call:3".to_owned(), format!("after_call:{nth}"), format!("before_commit:{nth}")] {
            let mut worker = town.start_until_idle(Some(&fail));
            let status = tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(60)));
            kills += u32::from(status.signal() == KILLED);
        }
        let status = tokio::task::block_in_place(|| town.run_until_idle());
        assert!(status.success(), "{nth}: {status}\n{}", town.log());
        town.assert_paid_once_and_delivered(100..110, &format!("kills at {nth}")).await;
        if nth > 12 {
            break;
        }
    }
    assert!(kills >= 20, "only {kills} kills");
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_kills_at_random_moments_under_load_pay_each_contact_once() {
    let town = Town::new(hostile()).await;
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..40_u32 {
        town.insert(100_000 + round * 100..100_000 + round * 100 + 20).await;
        let mut worker = town.start();
        // This test is about a random moment; there is no event to wait for.
        tokio::time::sleep(Duration::from_millis(random.u64(20..400))).await;
        worker.kill().expect("the worker is there");
        tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(5)));
    }
    let status = tokio::task::block_in_place(|| town.run_until_idle());
    assert!(status.success(), "{status}\n{}", town.log());
    let accounting = town.sandbox.accounting();
    let delivered = town.number("select count(*) from contact_outcomes where outcome = 'delivered'").await;
    assert_eq!(delivered, 800, "{}", town.log());
    let twice: Vec<_> = accounting.charges.iter().filter(|(_, charge)| charge.times != 1).collect();
    assert!(twice.is_empty(), "{twice:?}\n{}", town.log());
    assert_eq!(accounting.charges.len(), 800);
}
