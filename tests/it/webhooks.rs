//! Webhooks: delivered at least once, signed, with ids only, and never delaying paid work.

use serde_json::{Value, json};
use unlockd::domain::Millis;
use unlockd::store::credits::warnings;
use unlockd::worker::{budget, notify};

use crate::support::receiver::{Answer, Received, Receiver};
use crate::support::{Setup, Town, good_ids, refs};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEXT_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

struct Told {
    town: Town,
    receiver: Receiver,
    secret_file: tempfile::TempPath,
}

/// A town whose `notify.url` is a receiver.
async fn told(setup: Setup) -> Told {
    let receiver = Receiver::start().await;
    let secret_file = tempfile::NamedTempFile::new().expect("a file").into_temp_path();
    std::fs::write(&secret_file, SECRET).expect("written");
    let secret = secret_file.display().to_string();
    let setup = setup.config("NOTIFY__URL", &receiver.url).config("NOTIFY__SECRET_FILE", &secret);
    let mut town = setup.build().await;
    town.restart().await;
    Told { town, receiver, secret_file }
}

impl Told {
    /// Delivers all that is due.
    async fn deliver(&self) {
        while notify::run(self.town.deps()).await.expect("the database is well").did > 0 {}
    }

    /// What arrived, by type.
    fn of(&self, kind: &str) -> Vec<Value> {
        let all = self.receiver.all();
        all.iter().filter(|one| one.kind() == kind).map(|one| one.json()["data"].clone()).collect()
    }

    async fn states(&mut self) -> Vec<(String, i64)> {
        self.town.all("select state, attempts from outbox order by id").await
    }
}

#[tokio::test]
async fn a_finished_request_is_told_with_counts_and_credits() {
    if crate::support::is_on_postgres() {
        return;
    }
    let mut told = told(Setup::default()).await;
    let ids = ["101", "102", "197"];
    told.town.insert_row("personnel_ids, reference", "'[101, 102, 197, \"x y\"]', 'call Anna'").await;
    told.town.finish_all().await;
    told.deliver().await;
    let all = told.receiver.all();
    assert_eq!(all.len(), 1);
    assert!(all[0].is_signed_with(SECRET), "{:?}", all[0].headers);
    let spent = told.town.sandbox.accounting().charged_total;
    let outcomes = json!({"delivered": 2, "failed": 1, "invalid": 1});
    let mut data = all[0].json()["data"].clone();
    let committed = data.as_object_mut().and_then(|data| data.remove("committed_credits"));
    assert!(committed.and_then(|credits| credits.as_i64()).is_some_and(|credits| credits >= spent));
    let expected = json!({"request_id": 1, "reference": "call Anna", "status": "done", "items": ids.len() + 1,
        "outcomes": outcomes});
    assert_eq!(data, expected);
    let finished: (String,) = told
        .town
        .one("select strftime('%Y-%m-%dT%H:%M:%fZ', finished_at / 1000.0, 'unixepoch') from requests")
        .await;
    assert_eq!(all[0].json()["timestamp"], finished.0);
    told.town.check().await;
}

#[tokio::test]
async fn a_rejected_row_is_told_without_repeating_what_it_says() {
    let mut told = told(Setup::default()).await;
    told.town.insert_row("personnel_ids, account", "'[1]', 'anna@example.com'").await;
    told.town.finish_all().await;
    told.deliver().await;
    let expected = json!({"request_id": 1, "reference": null, "status": "rejected", "items": 1, "outcomes": {"rejected": 1}, "committed_credits": 0});
    assert_eq!(told.of("request.finished"), [expected]);
    assert!(!told.receiver.all()[0].body.contains("anna"));
    told.town.check().await;
}

#[tokio::test]
async fn a_request_that_awaits_approval_is_told_once_with_its_quote() {
    let mut told = told(Setup::default().config("CREDITS__APPROVE_ABOVE", "20")).await;
    told.town.insert_row("personnel_ids, reference", "'[101, 102]', 'crm \"17\"'").await;
    told.town.finish().await;
    told.deliver().await;
    let quote = json!({"request_id": 1, "reference": "crm \"17\"", "items": 2, "quoted_credits": 30});
    assert_eq!(told.of("request.awaiting_approval"), [quote]);
    told.town.cancel(1).await;
    told.town.finish_all().await;
    told.deliver().await;
    assert_eq!(told.of("request.finished")[0]["status"], "cancelled");
    assert_eq!(told.receiver.all().len(), 2);
    told.town.check().await;
}

#[tokio::test]
async fn a_lost_answer_is_told_when_it_is_lost_and_when_a_person_has_to_decide() {
    let mut told = told(Setup::default()).await;
    told.town.fault("lost-request@unlock");
    told.town.insert_row("personnel_ids, reference", "'[101]', 'crm-17'").await;
    told.town.settle().await;
    told.deliver().await;
    let mut expected = json!({"job_id": 1, "account": "default", "needs_decision": false, "items": 1,
        "credits_at_most": 15, "request_ids": [1], "references": ["crm-17"]});
    assert_eq!(told.of("job.in_doubt"), [expected.clone()], "{}", told.town.dump().await);
    // Another user spends meanwhile, so the checks do not settle it.
    told.town.sandbox.spend(500);
    told.town.finish().await;
    told.deliver().await;
    expected["needs_decision"] = json!(true);
    assert_eq!(told.of("job.in_doubt")[1..], [expected]);
    told.town.check().await;
}

#[tokio::test]
async fn an_account_that_stops_is_told_with_the_reason() {
    let mut told = told(Setup::default().sandbox(|options| options.balance = 20)).await;
    told.town.pause(true).await;
    told.town.pause(true).await;
    told.town.pause(false).await;
    told.town.insert(None, &["101", "102"]).await;
    told.town.insert(Some("8"), &["201", "202"]).await;
    told.town.finish().await;
    told.town.sandbox.set_api_key(Some("another".to_owned()));
    told.town.insert(None, &["103"]).await;
    told.town.tick(60_000).await;
    told.deliver().await;
    let reasons: Vec<Value> = told.of("account.paused").iter().map(|data| data["reason"].clone()).collect();
    assert_eq!(reasons, ["person", "insufficient_credits", "invalid_api_key"]);
    assert!(told.of("account.paused").iter().all(|data| data["account"] == "default"));
    told.town.check().await;
}

#[tokio::test]
async fn a_failed_delivery_is_tried_again_after_a_while_under_the_same_id() {
    let mut told = told(Setup::default()).await;
    told.receiver.answers([Answer::Status(500)]);
    told.town.insert(None, &["101"]).await;
    told.town.insert(Some("7"), &["201"]).await;
    told.town.finish_all().await;
    told.deliver().await;
    told.deliver().await;
    assert_eq!(told.receiver.all().len(), 2, "not again before its time");
    told.town.tick(5_600).await;
    told.deliver().await;
    let all = told.receiver.all();
    let ids: Vec<&str> = all.iter().map(Received::id).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids[0] != ids[1] && ids[..2].contains(&ids[2]), "{ids:?}");
    assert!(all.iter().all(|one| one.is_signed_with(SECRET)));
    let mut states = told.states().await;
    states.sort();
    assert_eq!(states, [("delivered".to_owned(), 1), ("delivered".to_owned(), 2)]);
    told.town.check().await;
}

#[tokio::test]
async fn a_crash_between_sending_and_recording_delivers_the_same_message_again() {
    let mut told = told(Setup::default()).await;
    told.receiver.answers([Answer::Never]);
    told.town.insert(None, &["101"]).await;
    told.town.finish_all().await;
    tokio::select! {
        ended = notify::run(told.town.deps()) => panic!("it waits for an answer: {ended:?}"),
        () = told.receiver.until(1) => {}
    }
    told.town.restart().await;
    told.deliver().await;
    let all = told.receiver.all();
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].id(), &all[0].body), (all[1].id(), &all[1].body));
    told.town.check().await;
}

#[tokio::test]
async fn another_secret_signs_from_the_next_message_on_and_two_sign_side_by_side() {
    let mut told = told(Setup::default()).await;
    for secrets in [SECRET.to_owned(), format!("{SECRET}\n{NEXT_SECRET}\n"), NEXT_SECRET.to_owned()] {
        std::fs::write(&told.secret_file, secrets).expect("written");
        told.town.insert_row("personnel_ids", "'[]'").await;
        told.town.finish_all().await;
        told.deliver().await;
    }
    let all = told.receiver.all();
    let signed: Vec<(bool, bool)> =
        all.iter().map(|one| (one.is_signed_with(SECRET), one.is_signed_with(NEXT_SECRET))).collect();
    assert_eq!(signed, [(true, false), (true, true), (false, true)]);
    told.town.check().await;
}

#[tokio::test]
async fn without_a_readable_secret_messages_wait_unsigned_nowhere() {
    let mut told = told(Setup::default()).await;
    std::fs::write(&told.secret_file, "no secret").expect("written");
    told.town.insert(None, &["101"]).await;
    told.town.finish_all().await;
    told.deliver().await;
    assert!(!notify::has_news(told.town.deps()).await.expect("readable"), "nobody waits for it");
    assert_eq!((told.receiver.all().len(), told.states().await), (0, vec![("waiting".to_owned(), 0)]));
    std::fs::write(&told.secret_file, SECRET).expect("written");
    told.deliver().await;
    assert!(told.receiver.all()[0].is_signed_with(SECRET));
    told.town.check().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut told = told(Setup::default()).await;
    let other = Receiver::start().await;
    told.receiver.answers([Answer::Redirect(other.url.clone())]);
    told.town.insert(None, &["101"]).await;
    told.town.finish_all().await;
    told.deliver().await;
    assert_eq!((told.receiver.all().len(), other.all().len()), (1, 0));
    assert_eq!(told.states().await, [("waiting".to_owned(), 1)]);
    told.town.check().await;
}

#[tokio::test]
async fn a_receiver_that_never_answers_delays_no_poll() {
    let mut told = told(Setup::default().sandbox(|options| options.task_seconds = 26.0)).await;
    told.receiver.answers([Answer::Never]);
    told.town.insert_row("personnel_ids", "'[]'").await;
    told.town.settle().await;
    let deps = told.town.deps().clone();
    let hanging = tokio::spawn(async move { notify::run(&deps).await });
    told.receiver.until(1).await;
    told.town.insert(None, &["101"]).await;
    told.town.finish_all().await;
    assert_eq!(told.town.polls(), [3_000, 8_000, 18_000, 28_000]);
    assert!(!hanging.is_finished(), "it was hanging all the time");
    hanging.abort();
    told.town.check().await;
}

#[tokio::test]
async fn a_message_that_is_never_taken_is_given_up_after_three_days() {
    let mut told = told(Setup::default()).await;
    told.receiver.answers((0..20).map(|_| Answer::Status(503)));
    told.town.insert_row("personnel_ids", "'[]'").await;
    told.town.finish_all().await;
    let start = told.town.clock.now();
    for _ in 0..12 {
        told.deliver().await;
        let next: Vec<(i64,)> = told.town.all("select due_at from outbox where state = 'waiting'").await;
        let Some((next,)) = next.first() else { break };
        told.town.tick(next - told.town.clock.now().0).await;
    }
    assert_eq!(told.states().await, [("given_up".to_owned(), 10)]);
    let days = told.town.clock.now().since(start) as f64 / 86_400_000.0;
    assert!((3.0..3.6).contains(&days), "{days} days");
    told.town.check().await;
}

#[tokio::test]
async fn an_address_that_is_set_later_gets_no_old_news() {
    let mut told = told(Setup::default()).await;
    told.receiver.answers([Answer::Status(500)]);
    told.town.insert(None, &["101"]).await;
    told.town.finish_all().await;
    told.deliver().await;
    let url = told.receiver.url.clone();
    told.town.set_env("NOTIFY__URL", "");
    told.town.restart().await;
    told.town.insert(None, &["201"]).await;
    told.town.finish_all().await;
    told.town.set_env("NOTIFY__URL", &url);
    told.town.restart().await;
    told.town.tick(600_000).await;
    told.deliver().await;
    assert_eq!(told.receiver.all().len(), 1, "neither the one that waited nor the one in between");
    told.town.insert(None, &["301"]).await;
    told.town.finish_all().await;
    told.deliver().await;
    assert_eq!(told.of("request.finished").last().expect("one")["request_id"], 3);
    told.town.check().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone_until_the_next_start() {
    let mut told = told(Setup::default()).await;
    told.receiver.answers([Answer::Status(410)]);
    for _ in 0..2 {
        told.town.insert_row("personnel_ids", "'[]'").await;
        told.town.finish_all().await;
        told.deliver().await;
    }
    assert_eq!(told.receiver.all().len(), 1);
    assert_eq!(told.states().await, [("given_up".to_owned(), 0)], "nothing is written meanwhile");
    told.town.restart().await;
    told.town.insert_row("personnel_ids", "'[]'").await;
    told.town.finish_all().await;
    told.deliver().await;
    assert_eq!(told.receiver.all().len(), 2);
    told.town.check().await;
}

#[tokio::test]
async fn messages_are_forgotten_a_week_after_their_end() {
    let mut told = told(Setup::default()).await;
    let six_days = 6 * 24 * 3_600_000;
    told.town.insert_row("personnel_ids", "'[]'").await;
    told.town.finish_all().await;
    told.deliver().await;
    told.town.tick(six_days).await;
    told.receiver.answers([Answer::Status(500)]);
    told.town.insert_row("personnel_ids", "'[]'").await;
    told.town.settle().await;
    told.deliver().await;
    assert_eq!(told.states().await, [("delivered".to_owned(), 1), ("waiting".to_owned(), 1)]);
    told.town.tick(six_days).await;
    told.deliver().await;
    assert_eq!(told.states().await, [("delivered".to_owned(), 2)], "the innocent one");
    told.town.check().await;
}

#[tokio::test]
async fn only_the_messages_that_are_named_are_sent_and_one_for_each_contact_if_that_is_named() {
    let setup = Setup::default().config("NOTIFY__EVENTS", "[\"contact.resolved\", \"account.paused\"]");
    let mut told = told(setup).await;
    told.town.insert_row("personnel_ids, reference", "'[101, 197, \"x y\"]', 'call Anna'").await;
    told.town.finish_all().await;
    told.deliver().await;
    assert!(told.of("request.finished").is_empty());
    let mut contacts = told.of("contact.resolved");
    contacts.sort_by_key(|contact| contact["personnel_id"].to_string());
    let outcomes: Vec<&Value> = contacts.iter().map(|contact| &contact["outcome"]).collect();
    assert_eq!(outcomes, ["delivered", "failed", "invalid"]);
    let first = json!({"request_id": 1, "reference": "call Anna", "account": "default", "action": "unlock_contact_emails",
        "event_id": null, "personnel_id": "101", "outcome": "delivered", "source": "task"});
    assert_eq!(contacts[0], first, "ids and words only, no value");
    assert!(told.receiver.all().iter().all(|message| !message.body.contains('@')), "no email");
    // The next start takes what the configuration names by then.
    told.town.set_env("NOTIFY__EVENTS", "[\"request.finished\"]");
    told.town.restart().await;
    told.town.insert(None, &["102"]).await;
    told.town.finish_all().await;
    told.deliver().await;
    assert_eq!((told.of("contact.resolved").len(), told.of("request.finished").len()), (3, 1));
    told.town.check().await;
}

#[tokio::test]
async fn a_replay_delivers_the_messages_of_a_time_once_more_with_their_ids() {
    let mut told = told(Setup::default()).await;
    told.town.insert_row("personnel_ids", "'[]'").await;
    told.town.finish_all().await;
    told.deliver().await;
    let since = told.town.clock.now().plus(60_000);
    told.town.tick(120_000).await;
    told.town.insert_row("personnel_ids", "'[]'").await;
    told.town.finish_all().await;
    told.deliver().await;
    assert_eq!(notify::replay(told.town.store(), since).await.expect("replayed"), 1);
    told.deliver().await;
    let all = told.receiver.all();
    let ids: Vec<&str> = all.iter().map(|message| message.id()).collect();
    assert_eq!((ids.len(), ids[1]), (3, ids[2]), "the second one again; not the innocent first");
    assert_eq!(all[1].body, all[2].body);
    assert!(all[2].is_signed_with(SECRET));
    // Everything, twice: each once more and no more.
    for _ in 0..2 {
        assert_eq!(notify::replay(told.town.store(), Millis(0)).await.expect("replayed"), 2);
        told.deliver().await;
    }
    assert_eq!(told.receiver.all().len(), 7);
    assert_eq!(told.states().await, [("delivered".to_owned(), 1), ("delivered".to_owned(), 1)]);
    told.town.check().await;
}

const HOUR: i64 = 3_600_000;

/// Of the next hour or day, so that what follows is within it.
fn at_the_start_of(told: &Told, period: i64) {
    let left = period - told.town.clock.now().0 % period;
    told.town.clock.advance(std::time::Duration::from_millis(left as u64));
}

#[tokio::test]
async fn a_part_of_a_limit_is_told_once_in_its_period() {
    let setup =
        Setup::default().config("CREDITS__DAILY_LIMIT", "100").config("CREDITS__MONTHLY_LIMIT", "10000");
    let mut told = told(setup).await;
    at_the_start_of(&told, 24 * HOUR);
    let warnings = |told: &Told| -> Vec<(String, i64, i64)> {
        let text = |one: &Value, name: &str| one[name].as_str().expect("text").to_owned();
        let number = |one: &Value, name: &str| one[name].as_i64().expect("a number");
        let all = told.of("budget.warning");
        all.iter().map(|one| (text(one, "limit"), number(one, "percent"), number(one, "spent"))).collect()
    };
    for (ids, expected) in [
        (&["101", "102"][..], 0),
        (&["103", "104"][..], 1),
        (&["105"][..], 1),
        (&["106"][..], 2),
        // The limit parks what does not fit.
        (&["107"][..], 2),
    ] {
        told.town.insert(None, ids).await;
        told.town.settle().await;
        for _ in 0..10 {
            told.town.tick(5_000).await;
        }
        for _ in 0..2 {
            budget::run(told.town.deps()).await.expect("the database is well");
        }
        told.deliver().await;
        assert_eq!(warnings(&told).len(), expected, "{:?}", warnings(&told));
    }
    let daily = "daily_limit".to_owned();
    assert_eq!(warnings(&told), [(daily.clone(), 50, 60), (daily.clone(), 80, 90)]);
    assert_eq!(told.of("budget.warning")[0]["owner"], "default");
    let balance =
        warnings::present(told.town.store().readers(), told.town.clock.now()).await.expect("readable");
    assert_eq!(balance.iter().map(|one| one.percent).collect::<Vec<_>>(), [80]);
    // After a restart, and with another limit, and on the next day.
    told.town.restart().await;
    budget::run(told.town.deps()).await.expect("the database is well");
    told.deliver().await;
    assert_eq!(warnings(&told).len(), 2);
    told.town.configure("CREDITS__DAILY_LIMIT", "200").await;
    told.town.finish_all().await;
    budget::run(told.town.deps()).await.expect("the database is well");
    told.deliver().await;
    assert_eq!(warnings(&told).last(), Some(&(daily, 50, 105)));
    told.town.check().await;
}

#[tokio::test]
async fn an_hour_that_costs_three_times_the_usual_is_told_once() {
    let mut told = told(Setup::default()).await;
    at_the_start_of(&told, HOUR);
    let mut next = 101;
    let mut buy = async |told: &mut Told, count: usize| {
        let ids = good_ids(next, count);
        next += 20;
        told.town.insert(None, &refs(&ids)).await;
        told.town.finish_all().await;
        budget::run(told.town.deps()).await.expect("the database is well");
        told.deliver().await;
    };
    for _ in 0..3 {
        buy(&mut told, 2).await;
        told.town.tick(HOUR).await;
    }
    buy(&mut told, 5).await;
    assert!(told.of("budget.warning").is_empty(), "less than three times 30");
    buy(&mut told, 1).await;
    buy(&mut told, 1).await;
    let all = told.of("budget.warning");
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(
        (&all[0]["limit"], &all[0]["spent"], &all[0]["credits"]),
        (&json!("usual_hour"), &json!(90), &json!(90))
    );
    told.town.check().await;
}
