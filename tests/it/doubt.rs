//! A submission whose answer was lost is settled by checking, and never resent without checking first.

use unlockd::sandbox::{Billing, Call, Channel};
use unlockd::worker::run::driver::End;

use crate::support::{Setup, Town, good_ids, refs};

/// The worst case: every repeated POST is charged again.
fn hostile() -> Setup {
    Setup::default().config("API__TIMEOUT", "400ms").sandbox(|options| options.billing = Billing::Repeats)
}

#[tokio::test]
async fn whichever_way_an_answer_is_lost_its_contacts_are_paid_once_and_read() {
    let ways = [
        "lost-answer",
        "lost-answer=reset",
        "lost-answer=truncate",
        "lost-answer=cut:0",
        "lost-answer=cut:9",
        "lost-answer=cut:60",
        "lost-answer=500",
        "lost-answer=502",
        "lost-answer=timeout",
        "broken=html",
        "broken=empty",
        "broken=types",
        "broken=truncated",
        "broken=deep",
    ];
    for way in ways {
        let mut town = hostile().build().await;
        town.fault(&format!("{way}@unlock"));
        let request = town.insert(Some("7"), &["101", "102", "103"]).await;
        town.settle().await;
        assert_eq!(town.job_state(1).await, "in_doubt (looking)", "{way}");
        town.finish_all().await;

        assert_eq!(town.posts().len(), 1, "{way}");
        assert_eq!(town.status(request).await, "done", "{way}");
        for id in ["101", "102", "103"] {
            let outcome = town.outcome(request, id).await;
            assert_eq!(outcome, ("delivered".into(), Some("profile".into())), "{way}");
        }
        let timeline = town.timeline(1).await;
        assert_eq!(timeline, ["send_started", "answer_lost", "proven_carried_out", "values_read"], "{way}");
        assert_eq!(town.verdicts().await, [(45, "matched".to_owned())], "{way}");
        town.check().await;
    }
}

#[tokio::test]
async fn a_request_that_never_arrived_goes_out_again_only_after_three_looks_prove_it() {
    for way in [
        "lost-request",
        "lost-request=reset",
        "status=500",
        "status=502",
        "status=503",
        "redirect=http://127.0.0.1:9/",
    ] {
        let mut town = hostile().build().await;
        town.fault(&format!("{way}@unlock"));
        let request = town.insert(None, &["101", "102"]).await;
        town.tick(119_000).await;
        assert_eq!(town.posts().len(), 1, "{way}: not sent again before four times verify_after");
        assert_eq!(town.job_state(1).await, "in_doubt (looking)", "{way}");
        town.finish_all().await;
        assert_eq!(town.posts().len(), 2, "{way}");
        let timeline = town.timeline(1).await;
        let proven = timeline.iter().position(|event| event == "proven_not_carried_out");
        let again = timeline.iter().rposition(|event| event == "send_started");
        assert!(proven.is_some() && proven < again, "{way}: {timeline:?}");
        assert_eq!(town.outcome(request, "101").await, ("delivered".into(), Some("task".into())));
        assert_eq!(town.verdicts().await.last().map(|(spent, _)| *spent), Some(30), "{way}");
        town.check().await;
    }
}

#[tokio::test]
async fn an_effect_that_shows_late_is_still_seen() {
    for lag in [20, 50, 100] {
        let mut town = hostile()
            .sandbox(|options| options.charge_lag = std::time::Duration::from_secs(lag))
            .build()
            .await;
        town.fault("lost-answer@unlock");
        let request = town.insert(None, &["101", "102"]).await;
        town.finish_all().await;
        assert_eq!(town.posts().len(), 1, "{lag} s");
        assert!(town.outcomes(request).await.values().all(|outcome| outcome == "delivered"));
        town.check().await;
    }
}

#[tokio::test]
async fn when_somebody_else_spends_meanwhile_a_person_decides() {
    let mut town = hostile().build().await;
    town.fault("lost-request@unlock");
    let request = town.insert(None, &["101"]).await;
    town.settle().await;
    town.sandbox.spend(500);
    let End::WaitsForPerson(waits) = town.finish().await else { panic!("{}", town.dump().await) };
    assert!(waits.iter().any(|wait| wait.contains("resolve 1 --resubmit")), "{waits:?}");
    assert_eq!(town.job_state(1).await, "in_doubt (needs_decision)");
    assert_eq!(town.posts().len(), 1);
    assert_eq!(town.status(request).await, "accepted");
    let evidence: (Option<String>,) = town.one("select evidence from jobs").await;
    assert!(evidence.0.expect("evidence").contains("dropped by 500 credits that no other job explains"));
    town.check().await;
}

#[tokio::test]
async fn a_job_that_waits_for_a_decision_does_not_stop_the_others() {
    let mut town = hostile().build().await;
    town.fault("lost-request@unlock");
    town.insert(None, &["101"]).await;
    town.settle().await;
    town.sandbox.spend(500);
    town.finish().await;
    let later = town.insert(None, &["201"]).await;
    town.finish().await;
    assert_eq!(town.status(later).await, "done");
    town.check().await;
}

#[tokio::test]
async fn a_contact_in_doubt_is_not_sent_by_another_request() {
    let mut town = hostile().build().await;
    town.fault("lost-answer@unlock");
    let first = town.insert(None, &["101"]).await;
    town.settle().await;
    let second = town.insert(Some("9"), &["101", "102"]).await;
    town.finish_all().await;
    let sent: Vec<_> = town.posts().iter().map(Town::sent).collect();
    assert_eq!(sent, [["101"], ["102"]]);
    assert_eq!(town.outcome(first, "101").await.0, "delivered");
    assert_eq!(town.outcome(second, "101").await.0, "delivered");
    town.check().await;
}

#[tokio::test]
async fn restarts_in_the_middle_of_a_verification_change_nothing() {
    for way in ["lost-answer@unlock", "lost-request@unlock"] {
        let mut town = hostile().build().await;
        town.fault(way);
        let request = town.insert(None, &["101", "102", "103"]).await;
        for polls in (1..120).step_by(5) {
            town.step_partly(polls).await;
            town.restart().await;
            town.tick(7_000).await;
        }
        town.finish_all().await;
        assert_eq!(town.status(request).await, "done", "{way}");
        assert!(town.outcomes(request).await.values().all(|outcome| outcome == "delivered"), "{way}");
        town.check().await;
    }
}

/// Found in review: three contacts were delivered and 45 credits gone, and nothing was booked.
#[tokio::test]
async fn a_lost_submission_that_shows_its_effect_after_it_was_taken_back_is_booked() {
    // The precheck shows it, or only the API's answer to the second POST, or neither.
    for (way, posts) in [("precheck", 1), ("answer", 2), ("profile", 1)] {
        let mut town = Town::new().await;
        town.fault("lost-answer=reset@unlock");
        let request = town.insert(None, &["101", "102", "103"]).await;
        town.settle().await;
        assert_eq!(town.job_state(1).await, "in_doubt (looking)");
        town.resubmit(1).await;
        match way {
            // Their profiles were read as locked a short time ago, so they need no precheck.
            "answer" => {
                let sql = format!(
                    "update items set state_reason = 'seen_locked', reason_since = {}",
                    town.clock.now().0 + 1
                );
                town.meddle(&sql).await.expect("seen");
            }
            "profile" => town.fault("always:status=400@precheck"),
            _ => {}
        }
        town.finish_all().await;
        assert_eq!(town.posts().len(), posts, "{way}");
        let read = ("delivered".to_owned(), Some("profile".to_owned()));
        assert_eq!(town.outcome(request, "103").await, read, "{way}");
        let booked = "select sum(credits) from ledger where entry = 'charge'";
        assert_eq!(town.number(booked).await, 45, "{way}");
        // Without a precheck, a request pays only once it is sent, which did not happen.
        let committed = if way == "profile" { 0 } else { 45 };
        assert_eq!(town.number("select committed_credits from requests").await, committed, "{way}");
        assert_eq!(town.verdicts().await, [(45, "matched".to_owned())], "{way}");
        town.check().await;
    }
}

#[tokio::test]
async fn a_rejection_after_a_lost_submission_does_not_say_that_nothing_was_charged() {
    let mut town = Town::new().await;
    town.fault("lost-request@unlock");
    town.fault("status=404@unlock");
    let request = town.insert(Some("7"), &["101"]).await;
    town.finish_all().await;
    assert_eq!((town.posts().len(), town.job_state(1).await.as_str()), (2, "rejected"));
    let reason = town.inbox(request).await.1.expect("a reason");
    assert!(reason.contains("(NOT_FOUND): an earlier submission that nobody answered may have"), "{reason}");
    assert!(!reason.contains("nothing was charged"), "{reason}");
    town.check().await;
}

/// The cost of the lost submission is booked once, and the second submission is booked in addition.
#[tokio::test]
async fn a_lost_submission_of_which_a_part_is_sent_again_is_booked_once() {
    let mut town = Setup::default().build().await;
    town.fault("lost-answer=reset@unlock");
    // 197 is charged and fails, so that it can be bought again.
    town.insert(None, &["101", "102", "197"]).await;
    town.settle().await;
    town.pause(true).await;
    town.resubmit(1).await;
    town.tick(20_000).await;
    town.pause(false).await;
    town.finish_all().await;
    assert_eq!(town.posts().iter().map(Town::sent).collect::<Vec<_>>()[1], ["197"]);
    let booked = "select sum(credits) from ledger where entry = 'charge'";
    assert_eq!((town.sandbox.accounting().charged_total, town.number(booked).await), (60, 60));
    town.allowed.charged_again.push("197".to_owned());
    town.check().await;
}

/// The vendor documents that a profile says `locked`, and no other word.
fn terse() -> Setup {
    hostile().config("POLLING__GIVE_UP_AFTER", "1h").sandbox(|options| options.terse_profiles = true)
}

#[tokio::test]
async fn a_contact_that_is_being_unlocked_is_not_bought_because_its_profile_is_locked() {
    let mut town = terse().build().await;
    // One by another user, whose unlock ends soon; one by a task of ours that was given up, and never ends.
    town.insert(Some("999"), &["201"]).await;
    town.finish_all().await;
    assert_eq!(town.job_state(1).await, "expired");
    let request = town.insert(Some("7"), &["195", "201"]).await;
    town.settle().await;
    assert!(town.timeline(2).await.contains(&"unlock_in_progress".to_owned()));
    town.finish_all().await;
    assert_eq!(town.outcome(request, "195").await, ("delivered".into(), Some("profile".into())));
    assert_eq!(town.outcome(request, "201").await.0, "unresolved");
    assert_eq!(town.posts().len(), 1);
    let asked = town.calls("/precheck").len();
    assert!(asked < 24, "{asked} prechecks in an hour");
    town.check().await;
}

#[tokio::test]
async fn a_contact_that_is_being_unlocked_is_explained_with_its_times() {
    let mut town = terse().build().await;
    let began = town.clock.now();
    let request = town.insert(None, &["193", "195"]).await;
    let other = town.insert(Some("7"), &["101"]).await;
    town.settle().await;
    let waits = town.explained(request).await.waits;
    let wait = waits.iter().find(|wait| wait.reason == "unlock_in_progress").expect("it is said");
    assert!(wait.what.starts_with("1 contact is being unlocked already"), "{}", wait.what);
    assert!(wait.what.contains("not bought meanwhile") && wait.what.contains("unresolved"), "{}", wait.what);
    assert!(waits.iter().any(|wait| wait.what.ends_with("the profiles said: 1 locked")), "{}", wait.what);
    let (since, next) = (wait.since.expect("since when").0, wait.next_try_at.expect("when next").0);
    let now = town.clock.now().0;
    assert!((began.0..=now).contains(&since) && next > now && next <= now + 5_000, "{since} {now} {next}");
    assert_eq!(wait.gives_up_at.expect("until when").0, since + 3_600_000, "as polling.give_up_after says");
    assert!(!wait.needs_person);
    let waits = town.explained(other).await.waits;
    assert!(waits.iter().all(|wait| wait.reason == "polling" && wait.gives_up_at.is_none()));
    town.finish_all().await;
    assert!(town.explained(request).await.waits.is_empty());
    town.check().await;
}

#[tokio::test]
async fn a_contact_whose_unlock_under_way_failed_is_bought_after_all() {
    let mut town = terse().build().await;
    town.fault("lost-answer=reset@unlock");
    town.insert(None, &["197"]).await;
    town.settle().await;
    town.write_off(1).await;
    let request = town.insert(None, &["197"]).await;
    town.tick(3_000).await;
    assert_eq!(town.posts().len(), 1, "its first task runs");
    town.finish_all().await;
    assert_eq!(town.posts().len(), 2, "its first task has ended, and it is locked");
    assert_eq!(town.outcome(request, "197").await.0, "failed");
    town.allowed.charged_again.push("197".to_owned());
    town.check().await;
}

/// Nobody had read the profiles when it was given up: the values that they show are delivered, whether the call was
/// carried out for all, for some, or for none.
#[tokio::test]
async fn what_is_written_off_before_it_was_looked_up_is_read_before_it_is_lost() {
    for (fault, outcomes) in
        [("lost-answer=reset@unlock", ["delivered", "failed"]), ("status=503@unlock", ["lost"; 2])]
    {
        let mut town = Town::new().await;
        town.fault(fault);
        // 197 fails.
        let request = town.insert(None, &["101", "197"]).await;
        town.settle().await;
        assert_eq!(town.job_state(1).await, "in_doubt (looking)");
        town.write_off(1).await;
        assert_eq!(town.job_state(1).await, "lost");
        if fault.starts_with("lost") {
            // The task runs: what is asked about once more meanwhile is bought anew, and asked about first.
            town.tick(15_000).await;
        }
        town.finish_all().await;
        let read = [town.outcome(request, "101").await.0, town.outcome(request, "197").await.0];
        assert_eq!(read[0], outcomes[0], "{fault}");
        assert!(read[1] == outcomes[1] || read[1] == "lost", "{fault}: {read:?}");
        assert_eq!((town.posts().len(), town.status(request).await.as_str()), (1, "done"));
        town.check().await;
    }
}

/// Found in review: they were sent again without the precheck that the command announces.
#[tokio::test]
async fn contacts_that_were_seen_locked_before_a_lost_submission_are_asked_about_again() {
    let mut town = hostile().build().await;
    town.fault("lost-answer=reset@unlock");
    town.pause(true).await;
    let request = town.insert(None, &["101"]).await;
    town.settle().await;
    // As if its profile had been read just before it was sent.
    let sql = format!("update items set state_reason = 'seen_locked', reason_since = {}", town.clock.now().0);
    town.meddle(&sql).await.expect("seen");
    town.pause(false).await;
    town.settle().await;
    assert_eq!((town.calls("/precheck").len(), town.job_state(1).await.as_str()), (0, "in_doubt (looking)"));
    town.resubmit(1).await;
    town.finish_all().await;
    assert_eq!(town.posts().len(), 1);
    assert_eq!(town.outcome(request, "101").await, ("delivered".into(), Some("profile".into())));
    town.check().await;
}

#[tokio::test]
async fn looks_that_cannot_be_read_prove_nothing() {
    let mut town = hostile().build().await;
    town.fault("lost-answer@unlock");
    town.fault("40x:status=500@profile");
    town.fault("40x:status=500@precheck");
    town.insert(None, &["101"]).await;
    town.finish().await;
    assert_eq!(town.posts().len(), 1);
    town.check().await;
}

/// Found by a stranger: no profile was read for three minutes, and nobody was asked in time.
#[tokio::test]
async fn a_question_that_fails_delays_no_other_and_no_decision() {
    let mut town = hostile().build().await;
    town.fault("lost-answer@unlock");
    let request = town.insert(None, &["101", "102"]).await;
    town.settle().await;
    town.fault("always:status=500@precheck");
    town.finish_all().await;
    assert_eq!(town.outcome(request, "102").await, ("delivered".into(), Some("profile".into())));
    let waited_ms = town.calls("/profile")[0].at_ms - town.posts()[0].at_ms;
    assert!(waited_ms <= 35_000, "the first profile was read after {waited_ms} ms");
    town.check().await;

    for failing in [&["precheck", "profile"][..], &["precheck", "balance"], &["balance"]] {
        let mut town = hostile().build().await;
        town.fault("lost-request@unlock");
        town.insert(None, &["101", "102"]).await;
        town.settle().await;
        failing.iter().for_each(|endpoint| town.fault(&format!("always:status=500@{endpoint}")));
        let since = town.clock.now();
        town.tick(1_800_000).await;
        assert_eq!(town.job_state(1).await, "in_doubt (needs_decision)", "{failing:?}");
        let asked_at = town.number("select max(at) from request_events where event = 'stayed_unclear'").await;
        let waited_ms = asked_at - since.0;
        assert!((900_000..1_500_000).contains(&waited_ms), "{failing:?}: asked after {waited_ms} ms");
        assert_eq!(town.posts().len(), 1, "{failing:?}");
        town.check().await;
    }
}

/// `submit.decide_after` promises that a person is asked. What the API says as soon as it can be read still counts.
#[tokio::test]
async fn an_api_that_cannot_be_read_asks_a_person_in_time_and_is_read_as_soon_as_it_can_be() {
    for fault in ["always:status=503", "always:broken=html"] {
        for (lost, posts) in [("lost-request@unlock", 2), ("lost-answer@unlock", 1)] {
            let mut town = hostile().build().await;
            town.fault(lost);
            let request = town.insert(None, &["101"]).await;
            town.settle().await;
            town.fault(fault);
            let since = town.clock.now();
            town.tick(880_000).await;
            assert_eq!(town.job_state(1).await, "in_doubt (looking)", "{fault}");
            town.tick(2_720_000).await;
            assert_eq!(town.job_state(1).await, "in_doubt (needs_decision)", "{fault}");
            let asked = "select max(at) from request_events where event = 'stayed_unclear'";
            let waited_ms = town.number(asked).await - since.0;
            assert!((900_000..1_050_000).contains(&waited_ms), "{fault}: asked after {waited_ms} ms");
            let waits = town.explained(request).await.waits;
            let words: Vec<&str> = waits.iter().map(|wait| wait.what.as_str()).collect();
            assert!(words.iter().any(|what| what.contains("nothing could be read")), "{words:?}");
            let now = town.clock.now().0;
            assert!(waits.iter().filter_map(|wait| wait.next_try_at).all(|at| at.0 >= now), "{fault}");
            town.sandbox.clear_faults();
            town.finish_all().await;
            assert_eq!(town.outcome(request, "101").await.0, "delivered", "{fault}");
            assert_eq!((town.posts().len(), town.number(ASKED).await), (posts, 1), "{fault} {lost}");
            town.check().await;
        }
    }
}

const ASKED: &str = "select count(*) from request_events where event = 'stayed_unclear'";

/// Nobody has read a profile of it, so giving it up reads them first.
#[tokio::test]
async fn a_job_that_nothing_could_be_read_of_is_given_up_only_after_its_profiles_were_read() {
    let mut town = hostile().build().await;
    town.fault("lost-answer@unlock");
    let request = town.insert(None, &["101"]).await;
    town.settle().await;
    town.fault("always:status=503");
    town.tick(1_200_000).await;
    assert_eq!(town.job_state(1).await, "in_doubt (needs_decision)");
    town.write_off(1).await;
    town.sandbox.clear_faults();
    town.finish_all().await;
    assert_eq!(town.outcome(request, "101").await, ("delivered".into(), Some("profile".into())));
    assert_eq!(town.posts().len(), 1);
    town.check().await;
}

#[tokio::test]
async fn contacts_that_the_task_skipped_do_not_hide_that_it_was_charged() {
    let mut town =
        hostile().config("POLLING__GIVE_UP_AFTER", "1h").config("SUBMIT__PRECHECK", "false").build().await;
    town.fault("lost-answer@unlock");
    let ids = ["101", "102", "191", "194", "196", "197", "198", "199"];
    let request = town.insert(None, &ids).await;
    town.finish().await;
    assert_eq!(town.posts().len(), 1);
    assert_eq!(town.outcome(request, "101").await.0, "delivered");
    town.check().await;
}

#[tokio::test]
async fn a_full_batch_with_every_special_id_survives_a_lost_answer() {
    let mut town = hostile().config("POLLING__GIVE_UP_AFTER", "1h").build().await;
    town.fault("lost-answer@unlock");
    let ids: Vec<String> = (100..200).map(|id| id.to_string()).collect();
    let request = town.insert(None, &refs(&ids)).await;
    town.finish().await;
    // The invariants make sure that none was charged twice; a contact that the precheck set aside by mistake
    // may go into its own call.
    assert_eq!(town.sandbox.accounting().charge("150", Channel::Email).times, 1);
    assert_eq!(town.outcome(request, "150").await.0, "delivered");
    town.check().await;
}

#[tokio::test]
async fn two_lost_answers_at_once_are_told_apart() {
    let mut town = hostile().config("SUBMIT__BATCH_SIZE", "3").build().await;
    town.fault("lost-answer@unlock");
    town.fault("lost-request@unlock");
    let ids = good_ids(101, 6);
    let request = town.insert(None, &refs(&ids)).await;
    town.finish().await;
    let twice = town.sandbox.accounting().charges.values().any(|charge| charge.times > 1);
    assert!(!twice);
    assert!(town.posts().len() <= 3);
    assert_eq!(town.status(request).await, "done", "{}", town.dump().await);
    town.check().await;
}

/// Found by a soak: many checks that read every profile took turns, a call each, so that none of them ended for an hour,
/// and those of which a few calls would have shown the effect waited as long.
#[tokio::test]
async fn checks_that_read_every_profile_do_so_one_after_the_other() {
    const BATCH: usize = 20;
    let mut town = hostile()
        .config("SUBMIT__BATCH_SIZE", &BATCH.to_string())
        .sandbox(|options| options.rate_limit = 20)
        .build()
        .await;
    // Half of each batch fails.
    let ids: Vec<String> = (0..4 * BATCH).map(|at| format!("{}{}", 100 + at, ["01", "97"][at % 2])).collect();
    (0..4).for_each(|_| town.fault("lost-answer@unlock"));
    town.insert(None, &refs(&ids)).await;
    town.settle().await;
    // As much comes in as they cost.
    town.sandbox.give(10_000);
    town.finish().await;
    assert_eq!(town.job_state(4).await, "in_doubt (needs_decision)");
    let read = town.calls("/profile");
    let at = |call: &Call| ids.iter().position(|id| call.path.ends_with(&format!("={id}")));
    let sample = [0, (BATCH - 1) / 2, BATCH - 1];
    let others = read.iter().filter_map(at).filter(|at| !sample.contains(&(at % BATCH)));
    let batches: Vec<usize> = others.map(|at| at / BATCH).collect();
    assert_eq!(batches.len(), 4 * (BATCH - 3), "each profile that is not in a sample was read once");
    let changes = batches.windows(2).filter(|two| two[0] != two[1]).count();
    assert_eq!(changes, 3, "{batches:?}");
    town.check().await;
}

#[tokio::test]
async fn an_acceptance_in_strange_words_is_still_an_acceptance() {
    let mut town = hostile().build().await;
    town.fault("broken=unknown@unlock");
    let request = town.insert(None, &["101"]).await;
    town.settle().await;
    assert_eq!(town.job_state(1).await, "polling", "its task id was read");
    town.finish_all().await;
    assert_eq!(town.outcome(request, "101").await, ("delivered".into(), Some("task".into())));
    town.check().await;
}

#[tokio::test]
async fn a_top_up_does_not_hide_that_a_submission_was_charged() {
    for ids in [vec!["101", "197"], vec!["197", "190"], vec!["101", "102"]] {
        let mut town = hostile().config("SUBMIT__PRECHECK", "false").build().await;
        town.fault("lost-answer@unlock");
        town.insert(None, &ids).await;
        town.settle().await;
        town.sandbox.top_up(1_000);
        town.finish().await;
        assert_eq!(town.posts().len(), 1, "{ids:?}");
        town.check().await;
    }
}

/// Found by the simulation, seed 262: the API denied a live task, and another request asked for its contact
/// before anything showed that it was paid for.
#[tokio::test]
async fn a_contact_that_was_paid_for_a_moment_ago_and_brought_nothing_is_not_bought_again() {
    // A 404 is believed after a minute.
    for (fault, outcome, lag_s) in [("always:status=404@poll", "lost", 150), ("pass", "no_value", 40)] {
        let setup = Setup::default().sandbox(|options| {
            options.billing = Billing::Repeats;
            (options.task_seconds, options.charge_lag) = (2.0, std::time::Duration::from_secs(lag_s));
        });
        let mut town = setup.build().await;
        town.fault(fault);
        let id = if outcome == "lost" { "101" } else { "199" };
        let first = town.insert(None, &[id]).await;
        town.finish_all().await;
        assert_eq!(town.outcome(first, id).await.0, outcome);
        town.sandbox.clear_faults();
        let again = town.insert(None, &[id, "102"]).await;
        town.finish_all().await;
        let read = if outcome == "lost" { ("delivered", Some("profile")) } else { ("no_value", None) };
        let found = town.outcome(again, id).await;
        assert_eq!((found.0.as_str(), found.1.as_deref()), read);
        assert_eq!(town.outcome(again, "102").await.0, "delivered", "nobody else waits for it");
        let sent: Vec<_> = town.posts().iter().map(Town::sent).collect();
        assert_eq!(sent, [[id], ["102"]], "{outcome}");
        let told = town.timeline(2).await;
        assert!(told.iter().any(|line| line.contains("paid_in_vain")), "{told:?}");
        town.check().await;
    }
}

/// The caution ends: a profile that stays locked for four times `submit.verify_after` was not unlocked.
#[tokio::test]
async fn a_contact_that_was_paid_for_without_value_and_stays_locked_is_bought_again() {
    let mut town = Setup::default().config("SUBMIT__VERIFY_AFTER", "30s").build().await;
    town.fault("always:status=404@poll");
    let first = town.insert(None, &["101"]).await;
    town.finish_all().await;
    assert_eq!(town.outcome(first, "101").await.0, "lost");
    town.sandbox.clear_faults();
    // As if the vendor had lost it: the contact of the lost task is one that stays locked for ever.
    town.meddle("update items set personnel_id = '103'").await.expect("another contact");
    let ended = town.number("select resolved_at from items").await;
    let again = town.insert(None, &["103"]).await;
    town.finish_all().await;
    assert_eq!(town.outcome(again, "103").await.0, "delivered");
    let sent_at = town.number("select max(started_at) from attempts").await;
    assert!(sent_at - ended >= 120_000, "after {} ms", sent_at - ended);
    assert_eq!(town.posts().len(), 2);
    town.check().await;
}

/// A contact that another user unlocked is not bought either; a contact that was only taken for unlocked
/// because of another one is sent.
#[tokio::test]
async fn a_contact_whose_profile_is_gone_is_asked_about_alone_before_it_is_sent() {
    let mut town = hostile().config("SUBMIT__BATCH_SIZE", "1").build().await;
    town.fault("always:status=404@profile");
    let ids = ["193", "191", "194", "101"];
    let request = town.insert(None, &ids).await;
    town.finish_all().await;
    let found = town.outcomes(request).await;
    let outcomes = ids.map(|id| found[id].as_str());
    assert_eq!(outcomes, ["missing", "missing", "invalid", "delivered"]);
    let sent: Vec<String> = town.posts().iter().flat_map(Town::sent).collect();
    assert!(!sent.contains(&"193".to_owned()) && sent.contains(&"101".to_owned()), "{sent:?}");
    town.check().await;
}

/// Found in the same way: neither a precheck nor a profile was answered, and the balance alone counted as
/// proof.
#[tokio::test]
async fn profiles_that_are_not_shown_prove_nothing() {
    // The last one never answers at all; even that must not keep the job in doubt for ever.
    for (precheck, profile) in [(400, 400), (400, 404), (500, 404), (500, 503)] {
        let mut town = hostile().build().await;
        town.fault("lost-request@unlock");
        town.fault(&format!("always:status={precheck}@precheck"));
        town.fault(&format!("always:status={profile}@profile"));
        town.insert(None, &["101"]).await;
        let End::WaitsForPerson(waits) = town.finish().await else { panic!("nobody was asked: {profile}") };
        assert!(waits[0].contains("in doubt"), "{waits:?}");
        assert_eq!(town.job(1).await, ("in_doubt".to_owned(), Some("needs_decision".to_owned())));
        assert_eq!(town.posts().len(), 1, "not sent again");
        town.check().await;
    }
}

#[tokio::test]
async fn a_resubmission_never_goes_out_for_more_than_a_person_confirmed() {
    let mut town = Setup::default().config("SUBMIT__DECIDE_AFTER", "1h").build().await;
    town.fault("lost-request@unlock");
    let request = town.insert(None, &["101", "102"]).await;
    town.settle().await;
    assert_eq!(town.job_state(1).await, "in_doubt (looking)");
    // 30 credits are confirmed. By the time it goes out it costs 40, far below credits.approve_above.
    town.sandbox.set_price(Channel::Email, 20);
    let company = town.insert(None, &["103"]).await;
    town.resubmit(1).await;
    town.tick(60_000).await;
    assert_eq!(
        (town.status(request).await, town.status(company).await),
        ("awaiting_approval".into(), "done".into())
    );
    assert_eq!(town.number("select quoted_credits from requests where id = 1").await, 40);
    assert_eq!(town.posts().iter().map(Town::sent).collect::<Vec<_>>()[1..], [["103"]]);
    town.approve(request).await;
    town.finish_all().await;
    assert_eq!((town.status(request).await, town.sandbox.accounting().charged_total), ("done".into(), 60));
    town.allowed.price_differs = true;
    town.check().await;
}
