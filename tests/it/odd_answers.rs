//! Answers that are odd but usable, as a vendor, a gateway or a CDN may send them.
//!
//! The sandbox answers as documented, and a relay in front of it changes the answers. Every value that was
//! paid for must reach its contact, be paid for once, and delay no other.

use serde_json::{Value, json};
use unlockd::worker::people::pause;

use crate::support::relay::{Altered, Exchange};
use crate::support::{Setup, Town, good_ids, refs};

const NO_ROUTE: &str = r#"{"message":"no Route matched with those values"}"#;

async fn town() -> Town {
    Setup::default().recorded().build().await
}

fn is_unlock(exchange: &Exchange) -> bool {
    exchange.method == "POST" && exchange.path.ends_with("/contacts/unlock")
}

fn is_poll(exchange: &Exchange) -> bool {
    exchange.path.contains("/unlock-tasks/")
}

/// As `unlockd resume` does.
async fn resume(town: &Town) {
    let (deps, account) = (town.deps(), town.deps().accounts().remove(0));
    pause::resume(&deps.store, &account, &deps.ladder(), town.clock.now()).await.expect("resumed");
}

/// The API's own answer with its JSON changed.
fn altered(exchange: &Exchange, alter: impl FnOnce(&mut Value)) -> Option<Altered> {
    let mut answer = exchange.answer.clone();
    alter(&mut answer);
    Altered::new(exchange.status, answer.to_string())
}

#[tokio::test]
async fn a_gateways_refusal_of_a_poll_is_asked_again_at_any_time() {
    for (status, body) in [
        (404, NO_ROUTE),
        // A public report: a job that was just created, until its replica knows it.
        (404, r#"{"success":false,"error":"Job not found"}"#),
        (400, "<html>Bad Request</html>"),
        (401, "<html>Unauthorized</html>"),
        (401, NO_ROUTE),
        (403, "<html>Forbidden</html>"),
    ] {
        let mut town = town().await;
        let mut left = 12;
        town.change(move |exchange| {
            left -= i32::from(is_poll(exchange));
            if is_poll(exchange) && left >= 0 { Altered::new(status, body) } else { None }
        });
        let request = town.insert(None, &["101"]).await;
        town.finish_all().await;
        assert_eq!(town.outcome(request, "101").await.0, "delivered", "{status}");
        assert_eq!(town.number("select count(*) from accounts where refused_key is not null").await, 0);
        town.check().await;
    }
}

/// The API has carried it out, but a gateway in front of it says otherwise.
#[tokio::test]
async fn a_gateways_refusal_of_a_paid_post_is_in_doubt_and_settled_by_reading() {
    for (status, body) in [
        (404, NO_ROUTE),
        // Public reports: a newer gateway names its own request, and one that is being reloaded says less.
        (404, r#"{"message":"no Route matched with those values","request_id":"8d1f0c6e2b"}"#),
        (404, "Not Found"),
        (400, "<html>Bad Request</html>"),
        (401, "<html>Unauthorized</html>"),
        (403, "<html>Forbidden</html>"),
    ] {
        let mut town = town().await;
        town.change(move |exchange| is_unlock(exchange).then(|| Altered::new(status, body)).flatten());
        let request = town.insert(None, &["101", "102"]).await;
        town.finish_all().await;
        assert_eq!(town.outcome(request, "101").await.0, "delivered", "{status}");
        assert_eq!((town.posts().len(), town.job_state(1).await.as_str()), (1, "completed"), "{status}");
        let timeline = town.timeline(1).await;
        assert!(timeline.iter().any(|event| event == "answer_lost"), "{status}: {timeline:?}");
        town.check().await;
    }
}

#[tokio::test]
async fn whatever_success_names_the_task_it_is_followed() {
    let named = |status: u16, name: &'static str| {
        move |exchange: &Exchange| {
            let id = exchange.answer["task_id"].clone();
            is_unlock(exchange).then(|| Altered::new(status, json!({ name: id }).to_string())).flatten()
        }
    };
    for (status, name) in [(202, "task_id"), (203, "job_id"), (200, "taskId")] {
        let mut town = town().await;
        town.change(named(status, name));
        let request = town.insert(None, &["101"]).await;
        town.finish_all().await;
        assert_eq!(town.outcome(request, "101").await, ("delivered".into(), Some("task".into())), "{name}");
        assert!(town.calls("/profile").is_empty(), "{name}");
        town.check().await;
    }
    let mut town = town().await;
    town.change(|exchange| {
        let text = format!("\u{feff}{}", exchange.answer);
        Altered::new(exchange.status, text)
    });
    let request = town.insert(None, &["101"]).await;
    town.finish_all().await;
    assert_eq!(town.outcome(request, "101").await, ("delivered".into(), Some("task".into())));
    town.check().await;
}

/// Reports of clients that sent such a call again: the API has carried it out, and names the task as nobody expects.
#[tokio::test]
async fn a_success_that_names_its_task_by_no_known_name_is_in_doubt_and_not_sent_again() {
    for (status, body) in
        [(202, r#"{"taskUid":321,"indexUid":"contacts","status":"enqueued"}"#), (201, "{}"), (200, "[]")]
    {
        let mut town = town().await;
        town.change(move |exchange| is_unlock(exchange).then(|| Altered::new(status, body)).flatten());
        let request = town.insert(None, &["101", "102"]).await;
        town.finish_all().await;
        for id in ["101", "102"] {
            assert_eq!(
                town.outcome(request, id).await,
                ("delivered".into(), Some("profile".into())),
                "{body}"
            );
        }
        assert_eq!((town.posts().len(), town.sandbox.accounting().charged_total), (1, 30), "{body}");
        town.check().await;
    }
}

/// Groups of other APIs: one with a name of its own, and one whose items are objects.
#[tokio::test]
async fn contacts_that_are_skipped_in_a_group_of_another_shape_are_read_from_their_profiles() {
    let others = |ids: &Value| [json!({ "unsuccessful_keys": ids }), json!({ "skipped": objects(ids) })];
    fn objects(ids: &Value) -> Value {
        let object = |id: &Value| json!({ "id": id, "skip_reason": "ALREADY_UNLOCKED" });
        ids.as_array().map_or(Value::Null, |ids| ids.iter().map(object).collect())
    }
    for which in 0..2 {
        let mut town = Setup::default().config("SUBMIT__PRECHECK", "false").recorded().build().await;
        town.change(move |exchange| {
            if !is_unlock(exchange) {
                return None;
            }
            altered(exchange, |answer| {
                let ids = answer["skipped_personnel_ids"].take();
                answer["skipped_detail"] = others(&ids)[which].clone();
            })
        });
        // A colleague has unlocked 193.
        let request = town.insert(None, &["101", "193"]).await;
        town.finish_all().await;
        assert_eq!(
            town.outcome(request, "193").await,
            ("delivered".into(), Some("profile".into())),
            "{which}"
        );
        assert_eq!(town.sandbox.accounting().charged_total, 15);
        town.check().await;
    }
}

/// A conflict, or a gateway that gave up waiting, after the API has carried it out.
#[tokio::test]
async fn a_task_that_an_error_names_is_followed_when_it_is_theirs() {
    let conflict = Some("STATE_CONFLICT");
    for (status, key, in_details) in [(504, None, false), (409, conflict, false), (409, conflict, true)] {
        let mut town = town().await;
        town.change(move |exchange| {
            let id = exchange.answer["task_id"].clone();
            let mut body = json!({ "code": status, "message": "m", "errorKey": key, "traceId": key });
            match in_details {
                true => body["details"] = json!({ "task_id": id }),
                false => body["task_id"] = id,
            }
            is_unlock(exchange).then(|| Altered::new(status, body.to_string())).flatten()
        });
        let request = town.insert(None, &["101", "102"]).await;
        town.finish_all().await;
        assert_eq!(town.outcome(request, "102").await, ("delivered".into(), Some("task".into())), "{status}");
        let timeline = town.timeline(1).await;
        assert!(timeline.iter().any(|event| event == "task_found"), "{status}: {timeline:?}");
        assert_eq!((town.posts().len(), town.calls("/profile").len()), (1, 0), "{status}");
        town.check().await;
    }
}

/// The call had no effect, and the named task belongs to another job, or does not exist.
#[tokio::test]
async fn a_task_that_an_error_names_is_not_followed_when_it_is_not_theirs() {
    // The last is a report's: a busy server queued a job, and forgot it.
    for (named, name) in [("1", "task_id"), ("999999", "task_id"), ("999999", "jobId")] {
        let mut town = town().await;
        let first = town.insert(None, &["101"]).await;
        town.finish_all().await;
        let theirs: String = town.one::<(String,)>("select task_id from jobs").await.0;
        let named = if named == "1" { theirs } else { named.to_owned() };
        town.fault("status=503@unlock");
        town.change(move |exchange| {
            let body = json!({ "message": "m", name: named, "state": "queued" }).to_string();
            (is_unlock(exchange) && exchange.status == 503).then(|| Altered::new(504, body)).flatten()
        });
        let request = town.insert(None, &["102", "103"]).await;
        town.finish_all().await;
        for (request, id) in [(first, "101"), (request, "102"), (request, "103")] {
            assert_eq!(town.outcome(request, id).await, ("delivered".into(), Some("task".into())), "{id}");
        }
        town.check().await;
    }
}

/// The second call is answered with the task of the first one, whether it was carried out or not: what became of it
/// is settled by reading, also when the two jobs belong to two keys of one owner.
#[tokio::test]
async fn one_task_in_answer_to_two_posts_is_followed_by_the_first_job_only() {
    for (is_carried_out, account) in [(true, "default"), (false, "default"), (true, "second")] {
        let mut town = Setup::default()
            .recorded()
            .config("ACCOUNTS__DEFAULT__OWNER", "acme")
            .config("ACCOUNTS__SECOND__API_KEY", "uak_test_2")
            .config("ACCOUNTS__SECOND__OWNER", "acme")
            .build()
            .await;
        let first = town.insert(None, &["101"]).await;
        town.settle().await;
        town.tick(100).await;
        let theirs: String = town.one::<(String,)>("select task_id from jobs").await.0;
        if !is_carried_out {
            town.fault("status=503@unlock");
        }
        let (answer, mut left) = (json!({ "status": "accepted", "task_id": theirs }).to_string(), 1);
        town.change(move |exchange| {
            left -= i32::from(is_unlock(exchange));
            (is_unlock(exchange) && left >= 0).then(|| Altered::new(201, answer.clone())).flatten()
        });
        let row = format!("'{account}', '[102, 103]'");
        let second = town.insert_row("account, personnel_ids", &row).await;
        town.settle().await;
        let waits = town.explained(second).await.waits;
        let what = waits.first().map(|wait| wait.what.clone()).unwrap_or_default();
        assert!(what.contains("its answer cannot be relied on (the answer names task"), "{what}");
        town.finish_all().await;
        let source = if is_carried_out { "profile" } else { "task" };
        for (request, id, source) in
            [(first, "101", "task"), (second, "102", source), (second, "103", source)]
        {
            let outcome = ("delivered".into(), Some(source.into()));
            assert_eq!(town.outcome(request, id).await, outcome, "{id} {is_carried_out} {account}");
        }
        let said: String = town
            .one::<(String,)>("select detail from request_events where job_id = 2 and event = 'answer_lost'")
            .await
            .0;
        assert_eq!(said, format!("the answer names task {theirs}, which job 1 already has"));
        assert_eq!(town.posts().len(), if is_carried_out { 2 } else { 3 });
        assert_eq!(town.sandbox.accounting().charged_total, 45);
        town.check().await;
    }
}

/// Found by a stranger: it counted as no answer, and the list price was paid.
#[tokio::test]
async fn nothing_is_bought_on_a_precheck_whose_figure_makes_no_sense() {
    for figure in [json!(i64::MAX), json!(1e300), json!(-15)] {
        let mut town = town().await;
        let odd = figure.clone();
        town.change(move |exchange| {
            let mut answer = exchange.answer.clone();
            answer["credits"] = odd.clone();
            exchange.path.ends_with("/precheck").then(|| Altered::new(200, answer.to_string())).flatten()
        });
        let request = town.insert(None, &["101", "102"]).await;
        town.tick(600_000).await;
        assert_eq!(town.posts().len(), 0, "{figure}");
        let asked = town.calls("/precheck").len();
        assert!((4..=100).contains(&asked), "{figure}: {asked} prechecks in ten minutes");
        town.change(|_| None);
        town.finish_all().await;
        assert_eq!(town.outcome(request, "102").await.0, "delivered", "{figure}");
        town.check().await;
    }
}

/// No person acts: a temporary 401 costs minutes, and a permanent one is tried three times.
#[tokio::test]
async fn a_key_that_was_refused_once_is_tried_again_after_1_5_and_30_minutes() {
    for refusals in [1, 3] {
        let mut town = town().await;
        town.fault(&format!("{refusals}x:status=401@balance"));
        let request = town.insert(None, &["101"]).await;
        town.tick(50_000).await;
        assert_eq!(town.sandbox.journal().len(), 1, "it stops at once");
        town.tick(3_600_000).await;
        assert_eq!(town.outcome(request, "101").await.0, "delivered", "{refusals}");
        let asked: Vec<i64> = town.calls("/balance").iter().map(|call| call.at_ms).collect();
        let minutes: Vec<i64> = asked.iter().map(|at| (at - asked[0]) / 60_000).take(refusals + 1).collect();
        assert_eq!(minutes, [0, 1, 5, 30][..=refusals], "{refusals}");
        town.check().await;
    }
    let mut town = town().await;
    town.fault("always:status=401@balance");
    town.insert(None, &["101"]).await;
    town.tick(24 * 3_600_000).await;
    assert_eq!(town.sandbox.journal().len(), 4);
    town.check().await;
}

#[tokio::test]
async fn a_task_that_calls_itself_running_for_ever_has_ended_when_nothing_of_it_is_open() {
    // Two of a public report of a client that waited for ever, where words with an addition are an end.
    for word in
        ["processing", "done", "CANCELED", "Completed", "COMPLETED_WITH_WARNINGS", "CANCELED_WHILE_RUNNING"]
    {
        let mut town = town().await;
        town.change(move |exchange| {
            let has_ended = is_poll(exchange) && exchange.answer["taskStatus"] == "completed";
            has_ended.then(|| altered(exchange, |answer| answer["taskStatus"] = json!(word))).flatten()
        });
        // 197 fails.
        let request = town.insert(None, &["101", "197"]).await;
        // The task ends after 12 s; its third poll comes after 18 s.
        town.tick(18_000).await;
        assert_eq!(
            town.job_state(1).await,
            if word == "CANCELED" { "failed" } else { "completed" },
            "{word}"
        );
        town.finish_all().await;
        let outcomes = town.outcomes(request).await;
        assert_eq!((outcomes["101"].as_str(), outcomes["197"].as_str()), ("delivered", "failed"), "{word}");
        assert_eq!(town.calls("-tasks/").len(), 3, "{word}");
        town.check().await;
    }
}

#[tokio::test]
async fn what_a_task_without_an_end_has_brought_is_delivered_and_the_rest_is_unresolved() {
    let mut town = Setup::default().recorded().config("POLLING__GIVE_UP_AFTER", "10m").build().await;
    let ids = good_ids(100, 50);
    let open = ids[7].clone();
    town.change(move |exchange| {
        if !is_poll(exchange) {
            return None;
        }
        altered(exchange, |answer| {
            answer["taskStatus"] = json!("processing");
            for item in answer["items"].as_array_mut().into_iter().flatten() {
                if item["personnelId"] == json!(open) {
                    *item = json!({ "personnelId": open, "status": "processing" });
                }
            }
        })
    });
    let request = town.insert(None, &refs(&ids)).await;
    town.tick(120_000).await;
    let early = town.outcomes(request).await;
    assert_eq!(early.values().filter(|outcome| *outcome == "delivered").count(), 49, "kept at once");
    town.finish_all().await;
    assert_eq!((town.job_state(1).await.as_str(), town.status(request).await.as_str()), ("expired", "done"));
    let outcomes = town.outcomes(request).await;
    assert_eq!(outcomes[&ids[7]], "unresolved");
    assert_eq!(outcomes.values().filter(|outcome| *outcome == "delivered").count(), 49);

    // A person resumes, and by now the task has ended.
    town.change(|_| None);
    resume(&town).await;
    town.finish_all().await;
    assert_eq!(town.job_state(1).await, "completed");
    assert!(town.outcomes(request).await.values().all(|outcome| outcome == "delivered"));
    assert_eq!(town.posts().len(), 1);
    town.check().await;
}

/// A value that was shown once is stored, whatever happens to its task.
#[tokio::test]
async fn a_value_that_an_answer_held_outlives_its_task() {
    let mut town = town().await;
    let mut polls = 0;
    town.change(move |exchange| {
        if !is_poll(exchange) {
            return None;
        }
        polls += 1;
        if polls > 8 {
            return Altered::new(
                404,
                json!({ "code": 404, "errorKey": "NOT_FOUND", "traceId": "t" }).to_string(),
            );
        }
        altered(exchange, |answer| {
            answer["taskStatus"] = json!("processing");
            for item in answer["items"].as_array_mut().into_iter().flatten() {
                if item["personnelId"] == json!("102") {
                    *item = json!({ "personnelId": "102", "status": "pending" });
                }
            }
        })
    });
    let request = town.insert(None, &["101", "102"]).await;
    town.finish_all().await;
    let outcomes = town.outcomes(request).await;
    assert_eq!((outcomes["101"].as_str(), outcomes["102"].as_str()), ("delivered", "lost"));
    assert_eq!(town.job_state(1).await, "lost");
    town.check().await;
}

#[tokio::test]
async fn a_search_that_waits_for_its_slot_holds_up_nobody_else() {
    let mut town = town().await;
    town.fault("3x:200-error=429:USER_CONCURRENCY_LIMIT_EXCEEDED@search");
    let search = town.insert_row("action, query", "'search_exhibitor_events', 'Acme'").await;
    let emails = town.insert(None, &["101"]).await;
    town.finish_all().await;
    assert_eq!(town.outcome(emails, "101").await.0, "delivered");
    assert_eq!(town.status(search).await, "done");
    town.fault("5x:200-error=429:USER_CONCURRENCY_LIMIT_EXCEEDED@search");
    let next = town.insert_row("action, query", "'search_exhibitor_events', 'Beta'").await;
    while town.number("select count(*) from attempts where error_key is not null").await < 4 {
        town.tick(1_000).await;
    }
    let waits = town.explained(next).await.waits;
    assert!(waits[0].what.contains("another search of this key's owner is under way"), "{}", waits[0].what);
    town.finish_all().await;
    let limited = town.number("select count(*) from accounts where blocked_until is not null").await;
    assert_eq!(limited, 0, "it is no rate limit");
    town.check().await;
}

#[tokio::test]
async fn a_403_of_the_api_stops_the_account_until_a_person_resumes() {
    let mut town = town().await;
    town.fault("status=403@unlock");
    let request = town.insert(None, &["101"]).await;
    town.finish().await;
    assert_eq!(town.job_state(1).await, "queued (invalid_api_key)");
    let calls = town.sandbox.journal().len();
    town.tick(600_000).await;
    assert_eq!(town.posts().len(), 1);
    assert!(town.sandbox.journal().len() <= calls + 2, "{}", town.sandbox.journal().len() - calls);
    resume(&town).await;
    town.finish_all().await;
    assert_eq!(town.outcome(request, "101").await.0, "delivered");
    town.check().await;
}

/// Reports of subscriptions that lapse: nothing may be bought, and what was paid for is not lost.
#[tokio::test]
async fn a_subscription_that_ends_while_a_task_runs_costs_no_value() {
    let mut town = town().await;
    let request = town.insert(None, &["101", "102"]).await;
    town.settle().await;
    assert_eq!(town.posts().len(), 1);
    town.fault("always:error=403:NO_ACTIVE_SUBSCRIPTION");
    let next = town.insert(None, &["103"]).await;
    town.tick(12 * 3_600_000).await;
    let calls = town.sandbox.journal().len();
    assert!(calls <= 6, "it is not asked for hours: {calls} calls");
    town.sandbox.clear_faults();
    resume(&town).await;
    town.finish_all().await;
    for (request, id) in [(request, "101"), (request, "102"), (next, "103")] {
        assert_eq!(town.outcome(request, id).await.0, "delivered", "{id}");
    }
    assert_eq!(town.sandbox.accounting().charged_total, 45);
    town.check().await;
}

/// A report of a client that said "check that the API key is valid" to a 403: the reason is told, also after a restart.
#[tokio::test]
async fn why_the_api_refused_an_account_is_told_and_outlives_a_restart() {
    let mut town = town().await;
    town.fault("error=403:NO_ACTIVE_SUBSCRIPTION@unlock");
    let request = town.insert(None, &["101"]).await;
    town.finish().await;
    for restarts in 0..2 {
        let waits = town.explained(request).await.waits;
        let said = waits.iter().find(|wait| wait.what.contains("403 NO_ACTIVE_SUBSCRIPTION"));
        let said = said.unwrap_or_else(|| panic!("not told after {restarts} restarts"));
        assert!(said.unblock.as_deref().unwrap_or_default().contains("subscription"));
        assert!(said.needs_person);
        town.restart().await;
    }
    // A 401 would be tried again by now.
    let calls = town.sandbox.journal().len();
    town.tick(3_600_000).await;
    assert_eq!(town.sandbox.journal().len(), calls, "no call before a person resumes");
    resume(&town).await;
    town.finish_all().await;
    assert_eq!(town.outcome(request, "101").await.0, "delivered");
    town.check().await;
}

/// Found by a stranger: 150 credits each, and the values were thrown away since they were numbers.
#[tokio::test]
async fn a_value_is_kept_as_it_was_sent_whether_a_task_or_a_profile_holds_it() {
    let odd = [
        ("unlock_contact_phones", "phone", "15551234567", "15551234567"),
        ("unlock_contact_phones", "phone", "1.5551234567E10", "1.5551234567E10"),
        ("unlock_contact_phones", "phone", "99999999999999999999999", "99999999999999999999999"),
        ("unlock_contact_emails", "email", "\"@x.example\"", "@x.example"),
        ("unlock_contact_emails", "email", "\"jane at acme.example\"", "jane at acme.example"),
    ];
    for (action, field, sent, kept) in odd {
        let mut town = town().await;
        town.allowed.own_values = true;
        town.change(move |exchange| {
            let mut answer = exchange.answer.clone();
            let items = match answer.get_mut("items") {
                Some(items) => items.as_array_mut().map(Vec::as_mut_slice).unwrap_or_default(),
                None => std::slice::from_mut(&mut answer),
            };
            let mut changed = false;
            for value in
                items.iter_mut().filter_map(|item| item.get_mut(field)).filter(|value| value.is_string())
            {
                *value = json!("the value");
                changed = true;
            }
            let text = answer.to_string().replace("\"the value\"", sent);
            if changed { Altered::new(exchange.status, text) } else { None }
        });
        // 193 was unlocked before: its value is in its profile only.
        let request = town.insert_row("action, personnel_ids", &format!("'{action}', '[101, 193]'")).await;
        town.finish_all().await;
        for (id, source) in [("101", "task"), ("193", "profile")] {
            assert_eq!(town.outcome(request, id).await, ("delivered".into(), Some(source.into())), "{sent}");
        }
        let sql = format!("select count(*) from contact_outcomes where {field} = '{kept}'");
        assert_eq!(town.number(&sql).await, 2, "{sent}");
        town.check().await;
    }
}

/// Found by a stranger: the value came some seconds later, and had been given up as `unresolved` after
/// `submit.decide_after`.
#[tokio::test]
async fn what_a_submission_skips_as_being_unlocked_is_waited_for_as_long_as_a_task() {
    let setup = Setup::default().config("SUBMIT__PRECHECK", "false").config("SUBMIT__DECIDE_AFTER", "5s");
    let mut town = setup.config("SUBMIT__VERIFY_AFTER", "1s").recorded().build().await;
    // The profile does not show it meanwhile.
    town.change(|exchange| {
        let mut answer = exchange.answer.clone();
        answer["contactUnlockStatus"] = json!("locked");
        (exchange.answer["contactUnlockStatus"] == "processing")
            .then(|| Altered::new(200, answer.to_string()))
            .flatten()
    });
    let request = town.insert(None, &["195"]).await;
    town.finish_all().await;
    assert_eq!(town.outcome(request, "195").await.0, "delivered");
    assert!(!town.posts().is_empty(), "it was skipped, and not set aside");
    assert_eq!(town.sandbox.accounting().charged_total, 0);
    town.check().await;
}
