//! Values of contacts that somebody else has unlocked: read from lists where that is fewer calls than profiles.

use serde_json::{Value, json};
use unlockd::sandbox::Channel;

use crate::support::relay::{Altered, Exchange};
use crate::support::{Setup, Town, refs};

/// An event of 350 people.
const EVENT: &str = "139350";

/// `count` people of the event whom a colleague can have unlocked.
fn people(count: usize) -> Vec<String> {
    let ids = (1..=350).filter(|number| number % 100 < 90).map(|number| format!("{EVENT}{number:03}"));
    ids.take(count).collect()
}

fn unlocked_by_a_colleague(town: &Town, ids: &[String], channel: Channel) {
    ids.iter().for_each(|id| town.sandbox.mark_unlocked(id, channel));
}

async fn delivered_from_profiles(town: &mut Town, request: i64) -> i64 {
    town.number(&format!(
        "select count(*) from contact_outcomes
         where request_id = {request} and outcome = 'delivered' and source = 'profile'"
    ))
    .await
}

fn is_list(exchange: &Exchange) -> bool {
    exchange.path.contains("/personnel/list") || exchange.path.contains("/contacts/search")
}

fn altered(exchange: &Exchange, alter: impl FnOnce(&mut Value)) -> Option<Altered> {
    let mut answer = exchange.answer.clone();
    alter(&mut answer);
    Altered::new(exchange.status, answer.to_string())
}

#[tokio::test]
async fn three_hundred_contacts_of_an_event_that_a_colleague_unlocked_take_at_most_twenty_calls() {
    for (channel, action) in
        [(Channel::Email, "unlock_contact_emails"), (Channel::Phone, "unlock_contact_phones")]
    {
        let mut town = Town::new().await;
        town.sandbox.mark_event_unlocked(EVENT);
        let ids = people(300);
        unlocked_by_a_colleague(&town, &ids, channel);
        let before = town.sandbox.journal().len();
        let row = format!("'{action}', '{EVENT}', '{}'", json!(ids));
        let request = town.insert_row("action, event_id, personnel_ids", &row).await;
        town.finish_all().await;
        assert_eq!(delivered_from_profiles(&mut town, request).await, 300);
        let calls = town.sandbox.journal().len() - before;
        assert!(calls <= 11, "{action}: {calls} calls\n{}", town.dump().await);
        assert_eq!((town.calls("/profile").len(), town.posts().len()), (0, 0));
        town.check().await;
    }
}

/// The event's list shows 50 of them, and the company that they work for has the others.
#[tokio::test]
async fn beyond_a_preview_the_company_of_those_that_it_shows_is_searched() {
    let mut town = Town::new().await;
    let ids = people(300);
    unlocked_by_a_colleague(&town, &ids, Channel::Email);
    let request = town.insert(Some(EVENT), &refs(&ids)).await;
    town.finish_all().await;
    assert_eq!(delivered_from_profiles(&mut town, request).await, 300);
    assert_eq!(town.calls("/personnel/list").len(), 1, "the second page of a preview is empty");
    let calls = town.sandbox.journal().len();
    assert!(calls <= 20, "{calls} calls");
    town.check().await;
}

/// Without an event nobody knows where to look before some profiles have said it.
#[tokio::test]
async fn without_an_event_the_company_that_some_profiles_name_is_searched() {
    let mut town = Town::new().await;
    let ids = people(300);
    unlocked_by_a_colleague(&town, &ids, Channel::Email);
    let request = town.insert(None, &refs(&ids)).await;
    town.finish_all().await;
    assert_eq!(delivered_from_profiles(&mut town, request).await, 300);
    let calls = town.sandbox.journal().len();
    assert!(calls <= 30, "{calls} calls");
    town.check().await;
}

#[tokio::test]
async fn one_or_two_contacts_are_read_from_their_profiles() {
    let mut town = Town::new().await;
    let request = town.insert(Some("7"), &["193", "293"]).await;
    town.finish_all().await;
    assert_eq!(delivered_from_profiles(&mut town, request).await, 2);
    assert_eq!((town.calls("/profile").len(), town.calls("/personnel/list").len()), (2, 0));
    town.check().await;
}

/// A list that shows no value proves nothing: the profile has the last word, and nothing is bought.
#[tokio::test]
async fn a_contact_that_the_list_shows_locked_or_without_a_value_is_read_from_its_profile() {
    let mut town = Setup::default().recorded().build().await;
    town.sandbox.mark_event_unlocked(EVENT);
    let ids = people(60);
    unlocked_by_a_colleague(&town, &ids, Channel::Email);
    let (bare, locked, hidden) = (ids[1].clone(), ids[2].clone(), ids[3].clone());
    town.change(move |exchange| {
        if !is_list(exchange) {
            return None;
        }
        altered(exchange, |answer| {
            let Some(items) = answer["items"].as_array_mut() else { return };
            items.retain(|item| item["id"] != json!(hidden));
            for item in items {
                if item["id"] == json!(bare) {
                    item["email"] = Value::Null;
                }
                if item["id"] == json!(locked) {
                    item["email"] = Value::Null;
                    item["contactUnlockStatus"] = json!("locked");
                }
            }
        })
    });
    let request = town.insert(Some(EVENT), &refs(&ids)).await;
    town.finish_all().await;
    assert_eq!(delivered_from_profiles(&mut town, request).await, 60);
    assert_eq!((town.calls("/profile").len(), town.posts().len()), (3, 0), "{}", town.dump().await);
    town.check().await;
}

/// Reports of clients that read for ever: `hasMore` stays true on an empty page, or the same page comes again.
#[tokio::test]
async fn a_list_that_never_ends_costs_at_most_a_quarter_more_calls_than_the_profiles() {
    type Alter = fn(&mut Value);
    let empty: Alter = |answer| answer["items"] = json!([]);
    let huge: Alter = |answer| {
        (answer["total"], answer["hasMore"]) = (json!(1_000_000), json!(true));
        answer["semantics"] = Value::Null;
    };
    let same: Alter = |answer| {
        answer["hasMore"] = json!(true);
        answer["total"] = Value::Null;
        answer["semantics"] = Value::Null;
        answer["items"] = json!([{ "id": "1", "email": null, "contactUnlockStatus": "locked" }]);
    };
    let strangers: Alter = |answer| {
        answer["hasMore"] = json!(true);
        (answer["total"], answer["semantics"]) = (Value::Null, Value::Null);
        for item in answer["items"].as_array_mut().into_iter().flatten() {
            item["id"] = json!(format!("5{}", item["id"].as_str().unwrap_or_default()));
        }
    };
    for (name, alter, most) in
        [("empty", empty, 42), ("huge", huge, 42), ("same", same, 43), ("strangers", strangers, 51)]
    {
        let mut town = Setup::default().recorded().build().await;
        town.sandbox.mark_event_unlocked(EVENT);
        let ids = people(40);
        unlocked_by_a_colleague(&town, &ids, Channel::Email);
        town.change(move |exchange| match is_list(exchange) {
            true => altered(exchange, |answer| {
                answer["hasMore"] = json!(true);
                alter(answer);
            }),
            false => None,
        });
        let before = town.sandbox.journal().len();
        let request = town.insert(Some(EVENT), &refs(&ids)).await;
        town.finish_all().await;
        assert_eq!(delivered_from_profiles(&mut town, request).await, 40, "{name}");
        let calls = town.sandbox.journal().len() - before;
        assert!(calls <= most + 3, "{name}: {calls} calls");
        town.check().await;
    }
}

/// A report of a client that asked for 100 and got 50 without a word: a short page is not the last one.
#[tokio::test]
async fn an_api_that_allows_smaller_pages_than_asked_for_is_read_on() {
    let mut town = Setup::default().recorded().build().await;
    town.sandbox.mark_event_unlocked(EVENT);
    let ids = people(45);
    unlocked_by_a_colleague(&town, &ids, Channel::Email);
    let all: Vec<Value> = people(320)
        .iter()
        .map(|id| json!({ "id": id, "email": format!("contact-{id}@example.com"), "contactUnlockStatus": "unlocked" }))
        .collect();
    town.change(move |exchange| {
        let page: usize = exchange.path.split("page=").nth(1)?.split('&').next()?.parse().ok()?;
        is_list(exchange).then(|| {
            altered(exchange, |answer| {
                answer["items"] = json!(all[(page - 1) * 20..(page * 20).min(all.len())]);
                (answer["total"], answer["hasMore"]) = (json!(320), json!(true));
            })
        })?
    });
    let request = town.insert(Some(EVENT), &refs(&ids)).await;
    town.finish_all().await;
    assert_eq!(delivered_from_profiles(&mut town, request).await, 45);
    let (lists, profiles) = (town.calls("/personnel/list").len(), town.calls("/profile").len());
    assert_eq!((lists, profiles), (2, 5), "two pages of 20; 14 more are not worth it for 5");
    town.check().await;
}

/// Reports of clients that read the first page only, and of 180 contacts of which 15 came.
#[tokio::test]
async fn a_list_that_does_not_say_whether_there_is_more_is_read_to_its_total() {
    let mut town = Setup::default().recorded().build().await;
    town.sandbox.mark_event_unlocked(EVENT);
    let ids = people(180);
    unlocked_by_a_colleague(&town, &ids, Channel::Email);
    town.change(|exchange| match is_list(exchange) {
        true => altered(exchange, |answer| {
            answer.as_object_mut().map(|answer| answer.remove("hasMore"));
        }),
        false => None,
    });
    let request = town.insert(Some(EVENT), &refs(&ids)).await;
    town.finish_all().await;
    assert_eq!(delivered_from_profiles(&mut town, request).await, 180);
    let (lists, profiles) = (town.calls("/personnel/list").len(), town.calls("/profile").len());
    assert!(lists <= 5 && profiles == 0, "{lists} pages, {profiles} profiles");
    town.check().await;
}

#[tokio::test]
async fn a_list_that_is_refused_or_never_answers_is_done_without() {
    for fault in ["status=503", "status=404"] {
        let mut town = Town::new().await;
        town.fault(&format!("always:{fault}@list"));
        town.fault(&format!("always:{fault}@contacts"));
        let ids = people(40);
        unlocked_by_a_colleague(&town, &ids, Channel::Email);
        let request = town.insert(Some(EVENT), &refs(&ids)).await;
        town.finish_all().await;
        assert_eq!(delivered_from_profiles(&mut town, request).await, 40, "{fault}");
        assert!(town.calls("/personnel/list").len() <= 3, "{fault}");
        town.check().await;
    }
}

/// Two requests, one after the other: the second one's contacts are worth a reading of their own.
#[tokio::test]
async fn contacts_that_come_later_are_read_from_the_list_anew() {
    let mut town = Town::new().await;
    town.sandbox.mark_event_unlocked(EVENT);
    let ids = people(100);
    unlocked_by_a_colleague(&town, &ids, Channel::Email);
    let before = town.sandbox.journal().len();
    for part in [&ids[..50], &ids[50..]] {
        let request = town.insert(Some(EVENT), &refs(part)).await;
        town.finish_all().await;
        assert_eq!(delivered_from_profiles(&mut town, request).await, 50);
    }
    let calls = town.sandbox.journal().len() - before;
    assert!(calls <= 12, "{calls} calls");
    assert!(town.calls("/profile").is_empty());
    town.check().await;
}

/// An answer is lost, and everybody proves to be unlocked: 100 values take a few calls.
#[tokio::test]
async fn the_values_of_a_lost_answer_are_read_from_the_list() {
    let mut town = Town::new().await;
    town.sandbox.mark_event_unlocked(EVENT);
    let ids = people(100);
    town.fault("lost-answer@unlock");
    let request = town.insert(Some(EVENT), &refs(&ids)).await;
    town.finish_all().await;
    assert_eq!(delivered_from_profiles(&mut town, request).await, 100);
    let profiles = town.calls("/profile").len();
    assert!(profiles <= 3, "the sample of the look, and no more: {profiles}");
    town.check().await;
}

/// Found by a measurement: 35 pages brought 21 values. Here every other page brings one.
#[tokio::test]
async fn pages_that_bring_fewer_values_than_they_cost_are_not_read_on() {
    let mut town = Setup::default().recorded().build().await;
    let ids = people(60);
    unlocked_by_a_colleague(&town, &ids, Channel::Email);
    let known = ids.clone();
    town.change(move |exchange| {
        if !exchange.path.contains("/contacts/search") {
            return None;
        }
        let page: usize = exchange.path.split("page=").nth(1)?.split('&').next()?.parse().ok()?;
        let mut people: Vec<Value> =
            (0..100).map(|number| json!({ "id": format!("9{page:03}{number:03}"), "email": null })).collect();
        if page % 2 == 1 {
            let id = &known[60 - page];
            people[0] = json!({ "id": id, "email": format!("contact-{id}@example.com"), "contactUnlockStatus": "unlocked" });
        }
        altered(exchange, |answer| {
            answer["items"] = json!(people);
            (answer["total"], answer["hasMore"]) = (json!(3_000), json!(true));
        })
    });
    let request = town.insert(None, &refs(&ids)).await;
    town.finish_all().await;
    assert_eq!(delivered_from_profiles(&mut town, request).await, 60);
    let (lists, profiles) = (town.calls("/contacts/search").len(), town.calls("/profile").len());
    assert_eq!((lists, profiles), (1, 59));
    town.check().await;
}
