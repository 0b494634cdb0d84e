//! The error matrix, at submissions and at polls.

use unlockd::sandbox::Channel;
use unlockd::worker::run::driver::End;

use crate::support::{Setup, Town, good_ids, refs};

#[tokio::test]
async fn a_submission_refused_for_good_ends_its_contacts_without_a_retry() {
    for (fault, key) in [("status=400", true), ("status=422", true), ("status=404", true)] {
        let mut town = Town::new().await;
        town.fault(&format!("{fault}@unlock"));
        let request = town.insert(Some("7"), &["101"]).await;
        let other = town.insert(Some("8"), &["201"]).await;
        town.finish_all().await;
        assert_eq!(town.job_state(1).await, "rejected", "{fault}");
        let rows: Vec<(String, Option<String>)> =
            town.all("select outcome, error_code from contact_outcomes where request_id = 1").await;
        assert!(
            rows.iter().all(|(outcome, code)| outcome == "rejected" && code.is_some() == key),
            "{rows:?}"
        );
        assert_eq!(town.status(request).await, "done");
        assert_eq!(town.status(other).await, "done");
        assert_eq!(town.posts().len(), 2, "{fault}: one for each job");
        assert_eq!(town.verdicts().await, [(15, "matched".to_owned())], "{fault}");
        town.check().await;
    }
}

#[tokio::test]
async fn an_event_that_does_not_exist_ends_its_contacts() {
    let mut town = Town::new().await;
    let request = town.insert(Some("99404"), &["101"]).await;
    let other = town.insert(Some("7"), &["201"]).await;
    town.finish_all().await;
    assert_eq!(town.outcome(request, "101").await.0, "rejected");
    let (status, reason) = town.inbox(request).await;
    let said = "its contacts were rejected by the API (EVENT_NOT_FOUND): nothing was charged";
    assert!(status == "done" && reason.as_ref().is_some_and(|reason| reason.starts_with(said)), "{reason:?}");
    assert_eq!(town.inbox(other).await, ("done".to_owned(), None));
    assert!(town.posts().len() <= 2);
    assert_eq!(town.sandbox.accounting().charged_total, 15, "the other's");
    town.check().await;
}

#[tokio::test]
async fn an_error_with_http_200_is_no_success() {
    let mut town = Town::new().await;
    town.fault("200-error=400:USER_HAS_NO_FEATURE@unlock");
    let request = town.insert(None, &["101"]).await;
    town.finish_all().await;
    let rows: Vec<(String, Option<String>)> =
        town.all("select outcome, error_code from contact_outcomes").await;
    assert_eq!(rows, [("rejected".to_owned(), Some("USER_HAS_NO_FEATURE".to_owned()))]);
    assert_eq!(town.status(request).await, "done");
    town.check().await;
}

#[tokio::test]
async fn a_concurrency_limit_with_http_200_waits_and_goes_on() {
    let mut town = Town::new().await;
    town.fault("200-error=429:USER_CONCURRENCY_LIMIT_EXCEEDED@unlock");
    town.fault("200-error=429:USER_CONCURRENCY_LIMIT_EXCEEDED@poll");
    let request = town.insert(None, &["101"]).await;
    town.finish_all().await;
    assert_eq!(town.outcome(request, "101").await.0, "delivered");
    assert_eq!(town.posts().len(), 2);
    town.check().await;
}

#[tokio::test]
async fn a_refused_key_stops_everything_until_it_changes_and_nothing_is_lost() {
    let mut town = Setup::default().config("SUBMIT__BATCH_SIZE", "2").build().await;
    let ids = good_ids(101, 10);
    let request = town.insert(None, &refs(&ids)).await;
    for _ in 0..5 {
        let _ = unlockd::worker::run::driver::step(town.deps()).await.expect("well");
    }
    town.sandbox.set_api_key(Some("uak_test_2".to_owned()));
    let before = town.sandbox.journal().len();
    let end = town.finish().await;
    let refused = town.sandbox.journal()[before..].iter().filter(|call| call.status == Some(401)).count();
    assert!((1..=2).contains(&refused), "{refused} calls with a refused key");
    let End::WaitsForPerson(waits) = end else { panic!("{end:?}") };
    assert!(waits[0].contains("refused the key"), "{waits:?}");

    // The same key is tried automatically, with one free call, after 1 and after 5 minutes.
    let calls = town.sandbox.journal().len();
    town.tick(600_000).await;
    let tried: Vec<String> = town.sandbox.journal()[calls..].iter().map(|call| call.path.clone()).collect();
    assert!(tried.len() == 2 && tried.iter().all(|path| path.contains("balance")), "{tried:?}");

    // A restart does not try the refused key again.
    let calls = town.sandbox.journal().len();
    town.restart().await;
    town.tick(60_000).await;
    assert_eq!(town.sandbox.journal().len(), calls);

    town.configure("LENSMOR_API_KEY", "uak_test_2").await;
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    assert!(town.outcomes(request).await.values().all(|outcome| outcome == "delivered"));
    town.check().await;
}

#[tokio::test]
async fn a_402_parks_the_job_until_the_balance_grew_and_costs_one_post() {
    let mut town = Town::new().await;
    town.fault("status=402@unlock");
    let request = town.insert(None, &["101", "102"]).await;
    town.tick(120_000).await;
    assert_eq!(town.job_state(1).await, "queued (insufficient_credits)");
    assert_eq!(town.posts().len(), 1);
    town.sandbox.top_up(1_000);
    town.tick(16_000).await;
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    assert_eq!(town.posts().len(), 2);
    town.check().await;
}

#[tokio::test]
async fn a_smaller_job_that_fits_goes_on_while_a_larger_one_waits_for_credits() {
    let mut town = Setup::default().sandbox(|options| options.balance = 60).build().await;
    let large = town.insert(Some("7"), &refs(&good_ids(101, 10))).await;
    let small = town.insert(Some("8"), &["1201"]).await;
    town.tick(60_000).await;
    assert_eq!(town.status(large).await, "accepted");
    assert_eq!(town.status(small).await, "done", "{}", town.dump().await);
    assert!(town.posts().iter().all(|post| post.status == Some(201)), "a 402 that could be foreseen");
    town.sandbox.top_up(1_000);
    town.tick(16_000).await;
    town.finish_all().await;
    assert_eq!(town.status(large).await, "done");
    town.check().await;
}

#[tokio::test]
async fn after_a_409_the_state_is_read_before_the_retry() {
    let mut town = Town::new().await;
    town.fault("status=409@unlock");
    let request = town.insert(None, &["101"]).await;
    town.settle().await;
    assert_eq!(town.job_state(1).await, "queued (conflict)");
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    let journal = town.sandbox.journal();
    let posts: Vec<usize> =
        (0..journal.len()).filter(|at| journal[*at].path.ends_with("/contacts/unlock")).collect();
    assert_eq!(posts.len(), 2);
    let between = &journal[posts[0] + 1..posts[1]];
    assert!(between.iter().any(|call| call.path.contains("/balance")), "no balance was read");
    assert!(between.iter().any(|call| call.path.contains("/precheck")), "no precheck was made");
    town.check().await;
}

#[tokio::test]
async fn no_call_is_made_while_a_retry_after_runs() {
    let date = |ms: i64| {
        httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms as u64))
    };
    for (what, least_ms) in [
        ("37", 37_000),
        ("date", 41_000),
        ("none", 1_000),
        ("0", 500),
        ("-5", 500),
        ("999999999999", 3_000_000),
        ("soon", 1_000),
    ] {
        for endpoint in ["unlock", "poll", "balance", "precheck"] {
            let mut town = Town::new().await;
            let value = if what == "date" { date(town.sandbox.now_ms() + 60_000) } else { what.to_owned() };
            town.fault(&format!("429={value}@{endpoint}"));
            let request = town.insert(None, &["101"]).await;
            town.finish_all().await;
            assert_eq!(town.status(request).await, "done", "{what}@{endpoint}");
            let wait = wait_after(&town, 429);
            assert!(wait >= least_ms, "{what}@{endpoint}: called again after {wait} ms");
            assert!(wait <= least_ms + 3_600_000, "{what}@{endpoint}: called again only after {wait} ms");
            town.check().await;
        }
    }
}

/// The time from the first answer with this status to the next call, in milliseconds.
fn wait_after(town: &Town, status: u16) -> i64 {
    let journal = town.sandbox.journal();
    let at = journal.iter().position(|call| call.status == Some(status)).expect("it was answered so");
    journal[at + 1].at_ms - journal[at].at_ms
}

/// 77 s are longer than any pause for the failure alone.
#[tokio::test]
async fn no_call_is_made_while_a_retry_after_runs_that_another_failure_carries() {
    for status in [500, 503] {
        for endpoint in ["unlock", "poll", "balance", "precheck", "profile"] {
            let mut town = Town::new().await;
            town.sandbox.mark_unlocked("102", Channel::Email);
            town.fault(&format!("status={status}:77@{endpoint}"));
            let request = town.insert(None, &["101", "102"]).await;
            town.finish_all().await;
            let wait = wait_after(&town, status);
            assert!((77_000..90_000).contains(&wait), "{status}@{endpoint}: called again after {wait} ms");
            assert_eq!(town.status(request).await, "done", "{status}@{endpoint}");
            // The consequence of the failure is the same: a paid POST without a refusal is in doubt.
            let timeline = town.timeline(1).await;
            let doubted = timeline.iter().any(|event| event == "answer_lost");
            assert_eq!(doubted, endpoint == "unlock", "{status}@{endpoint}: {timeline:?}");
            town.check().await;
        }
    }
}

#[tokio::test]
async fn a_retry_after_survives_a_restart() {
    for fault in ["429=90@balance", "status=503:90@balance"] {
        let mut town = Town::new().await;
        town.fault(fault);
        town.insert(None, &["101"]).await;
        town.settle().await;
        for _ in 0..8 {
            town.restart().await;
            town.tick(10_000).await;
        }
        assert_eq!(town.sandbox.journal().len(), 1, "{fault}");
        town.finish_all().await;
        town.check().await;
    }
}

#[tokio::test]
async fn polls_that_fail_are_tried_again_with_growing_pauses() {
    let mut town = Town::new().await;
    town.fault("6x:status=503@poll");
    let request = town.insert(None, &["101"]).await;
    town.finish_all().await;
    assert_eq!(town.outcome(request, "101").await.0, "delivered");
    let polls = town.polls();
    assert_eq!(polls.len(), 7);
    let pauses: Vec<i64> = polls.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[5] > pauses[0] && pauses[5] <= 60_000, "{pauses:?}");
    town.check().await;
}

#[tokio::test]
async fn a_task_that_the_api_does_not_know_is_lost_after_a_minute_and_never_asked_about_again() {
    let mut town = Town::new().await;
    town.fault("always:status=404@poll");
    let request = town.insert(None, &["101"]).await;
    town.finish().await;
    assert_eq!(town.job_state(1).await, "lost");
    assert_eq!(town.outcome(request, "101").await.0, "lost");
    let polls = town.calls("-tasks/");
    let asked_for = polls[polls.len() - 1].at_ms - polls[0].at_ms;
    assert!((50_000..120_000).contains(&asked_for), "asked for {asked_for} ms");
    town.tick(120_000).await;
    assert_eq!(town.calls("-tasks/").len(), polls.len());
    town.check().await;
}

/// The database that the API reads from lags behind the one that it writes to.
#[tokio::test]
async fn a_404_about_a_task_that_was_just_accepted_is_asked_again() {
    for faults in ["status=404@poll", "3x:status=404@poll"] {
        let mut town = Town::new().await;
        town.fault(faults);
        let request = town.insert(None, &["101"]).await;
        town.finish_all().await;
        assert_eq!(town.outcome(request, "101").await.0, "delivered", "{faults}");
        town.check().await;
    }
}

#[tokio::test]
async fn a_task_without_an_end_expires() {
    let mut town = Setup::default().config("POLLING__GIVE_UP_AFTER", "10m").build().await;
    let request = town.insert(Some("1999"), &["101"]).await;
    town.finish_all().await;
    assert_eq!((town.job_state(1).await, town.status(request).await), ("expired".into(), "done".into()));
    assert_eq!(town.outcome(request, "101").await.0, "expired");
    town.check().await;
}

/// Everything that was paid for was there all the time.
#[tokio::test]
async fn after_a_long_stop_a_task_is_asked_about_before_it_is_given_up() {
    for faults in [0, 3] {
        let mut town = Setup::default().config("POLLING__GIVE_UP_AFTER", "10m").build().await;
        let request = town.insert(None, &["101"]).await;
        town.settle().await;
        assert_eq!(town.posts().len(), 1);
        town.kill();
        let stopped = std::time::Duration::from_secs(7_200);
        town.clock.advance(stopped);
        town.sandbox.advance(stopped);
        if faults > 0 {
            town.fault(&format!("{faults}x:status=503@poll"));
        }
        town.start().await;
        town.finish_all().await;
        assert_eq!(town.outcome(request, "101").await.0, "delivered", "{faults} polls failed first");
        assert_eq!(town.calls("-tasks/").len(), faults + 1);
        town.check().await;
    }
}

#[tokio::test]
async fn a_task_whose_polls_only_fail_expires() {
    let mut town = Setup::default().config("POLLING__GIVE_UP_AFTER", "30m").build().await;
    let request = town.insert(None, &["101"]).await;
    town.fault("always:status=503@poll");
    town.finish_all().await;
    assert_eq!((town.job_state(1).await, town.status(request).await), ("expired".into(), "done".into()));
    town.sandbox.clear_faults();
    town.check().await;
}

#[tokio::test]
async fn an_api_that_is_down_for_hours_is_not_hammered_and_loses_nothing() {
    let mut town = Town::new().await;
    let request = town.insert(None, &["101"]).await;
    town.fault("always:status=503");
    town.tick(2 * 3_600_000).await;
    let calls = town.sandbox.journal().len();
    assert!(calls < 400, "{calls} calls in two hours");
    town.sandbox.clear_faults();
    town.finish_all().await;
    assert_eq!(town.outcome(request, "101").await.0, "delivered");
    town.check().await;
}

/// Found by an outside review: 84 of 120 calls a minute, for ever.
#[tokio::test]
async fn a_balance_that_is_refused_is_asked_for_with_growing_pauses() {
    let table =
        [("status=400", false), ("status=402", false), ("200-error=404:NO", false), ("status=400", true)];
    for (fault, submitted) in table {
        let mut town = Town::new().await;
        let mut requests = vec![town.insert(None, &["101"]).await];
        if submitted {
            // Now the settlement reads the balance.
            town.settle().await;
        }
        town.fault(&format!("always:{fault}@balance"));
        let before = town.calls("/balance").len();
        // Changed rows wake the passes, but that is no reason to call more often.
        for place in 0..10 {
            requests.push(town.insert(None, &[&(201 + place).to_string()]).await);
            town.tick(30_000).await;
        }
        let asked = town.calls("/balance").len() - before;
        assert!((3..=17).contains(&asked), "{fault}, submitted: {submitted}: {asked} calls in 5 minutes");
        town.sandbox.clear_faults();
        town.finish_all().await;
        for request in requests {
            assert_eq!(town.status(request).await, "done", "{fault}, submitted: {submitted}");
        }
        assert_eq!(town.sandbox.accounting().charged_total, 11 * 15);
        town.check().await;
    }
}

#[tokio::test]
async fn a_look_whose_reads_are_refused_is_repeated_with_growing_pauses() {
    for fault in ["status=409@precheck", "status=402@precheck", "status=402@profile"] {
        let mut town = Town::new().await;
        town.fault("lost-answer@unlock");
        let request = town.insert(None, &["101", "102"]).await;
        town.settle().await;
        town.fault(&format!("always:{fault}"));
        let before = town.sandbox.journal().len();
        town.tick(300_000).await;
        let calls = town.sandbox.journal().len() - before;
        assert!((3..=40).contains(&calls), "{fault}: {calls} calls in 5 minutes");
        town.sandbox.clear_faults();
        town.finish_all().await;
        assert_eq!(town.outcome(request, "101").await.0, "delivered", "{fault}");
        assert_eq!(town.posts().len(), 1, "{fault}");
        town.check().await;
    }
}

#[tokio::test]
async fn once_the_balance_was_read_its_next_failure_pauses_for_a_second_only() {
    let mut town = Town::new().await;
    town.fault("7x:status=400@balance");
    town.insert(None, &["101"]).await;
    town.finish_all().await;
    let before = town.calls("/balance").len();
    town.fault("status=400@balance");
    let request = town.insert(None, &["102"]).await;
    town.finish_all().await;
    assert_eq!(town.status(request).await, "done");
    let journal = town.sandbox.journal();
    let asked: Vec<i64> =
        journal.iter().filter(|call| call.path.contains("/balance")).map(|call| call.at_ms).collect();
    assert!(asked[6] - asked[5] >= 16_000, "{asked:?}");
    assert!(asked[before + 1] - asked[before] <= 1_100, "{asked:?}");
    town.check().await;
}

#[tokio::test]
async fn advisory_answers_that_do_not_help_do_not_stop_the_work() {
    for broken in
        ["status=500", "broken=html", "broken=types", "status=404", "broken=unknown", "broken=empty"]
    {
        let mut town = Town::new().await;
        town.fault(&format!("always:{broken}@precheck"));
        let request = town.insert(None, &["101", "193"]).await;
        town.finish_all().await;
        assert_eq!(town.outcome(request, "101").await.0, "delivered", "{broken}");
        assert_eq!(town.outcome(request, "193").await.0, "delivered", "{broken}");
        assert_eq!(town.sandbox.accounting().charged_total, 15);
        town.check().await;
    }
}

#[tokio::test]
async fn an_account_without_a_usable_key_does_not_stop_another() {
    let mut setup = Setup::default().config("ACCOUNTS__EMEA__API_KEY", "uak_test_emea");
    setup.sandbox.api_key = Some("uak_test_emea".to_owned());
    let mut town = setup.build().await;
    let refused = town.insert(None, &["101"]).await;
    let served = town.insert_row("account, personnel_ids", "'emea', '[201]'").await;
    let End::WaitsForPerson(waits) = town.finish().await else { panic!("{}", town.dump().await) };
    town.tick(60_000).await;
    assert!(waits[0].contains("account default"), "{waits:?}");
    assert_eq!((town.status(refused).await, town.status(served).await), ("accepted".into(), "done".into()));
    assert_eq!(town.outcome(served, "201").await.0, "delivered");
    let verdicts: Vec<(String, String)> = town.all("select account, verdict from credit_audit").await;
    assert_eq!(verdicts, [("emea".to_owned(), "matched".to_owned())]);
    town.check().await;
}
