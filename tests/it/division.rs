//! A call that is refused as a whole for some of its contacts: it is divided, and the rest is bought, once.

use serde_json::json;

use crate::support::relay::Altered;
use crate::support::{Setup, Town, good_ids, refs};

/// The contacts of each call that was carried out, and how many were refused.
fn bought(town: &Town) -> (Vec<String>, usize) {
    let posts = town.posts();
    let refused = posts.iter().filter(|post| !post.carried_out).count();
    let mut bought: Vec<String> = posts.iter().filter(|post| post.carried_out).flat_map(Town::sent).collect();
    bought.sort();
    (bought, refused)
}

async fn charged(town: &mut Town) -> i64 {
    town.number("select coalesce(sum(credits), 0) from ledger where entry = 'charge'").await
}

#[tokio::test]
async fn one_bad_contact_of_a_hundred_is_found_in_fifteen_calls_and_the_others_are_bought_once() {
    for bad in [0, 57, 99] {
        let mut town = Town::new().await;
        let ids = good_ids(1_000, 100);
        town.fault(&format!("always:refuse-id={}@unlock", ids[bad]));
        let request = town.insert(Some("7"), &refs(&ids)).await;
        town.finish_all().await;
        let outcomes = town.outcomes(request).await;
        assert_eq!(outcomes[&ids[bad]], "rejected");
        assert_eq!(outcomes.values().filter(|outcome| *outcome == "delivered").count(), 99);
        let (mut good, refused) = (ids.clone(), bought(&town).1);
        good.remove(bad);
        good.sort();
        assert_eq!(bought(&town).0, good, "each once");
        assert!(town.posts().len() <= 15 && refused <= 8, "{} calls, {refused} refused", town.posts().len());
        assert_eq!(town.calls("/precheck").len(), 1, "what was asked a moment ago holds for the parts");
        assert_eq!(charged(&mut town).await, 99 * 15);
        let code =
            town.one::<(Option<String>,)>("select error_code from items where outcome = 'rejected'").await;
        assert_eq!(code.0.as_deref(), Some("INVALID_REQUEST"));
        town.check().await;
    }
}

/// A report of a worker that called 20 contacts failed since one of them was: here several are, of two requests.
#[tokio::test]
async fn several_bad_contacts_of_two_requests_are_found_and_each_request_pays_for_its_own() {
    let mut town = Town::new().await;
    for id in ["1003", "1017", "1018", "1044"] {
        town.fault(&format!("always:refuse-id={id}@unlock"));
    }
    let ids = good_ids(1_000, 60);
    let first = town.insert(None, &refs(&ids[..40])).await;
    let second = town.insert(None, &refs(&ids[10..])).await;
    town.finish_all().await;
    for (request, delivered) in [(first, 37), (second, 47)] {
        let outcomes = town.outcomes(request).await;
        let count = |word: &str| outcomes.values().filter(|outcome| *outcome == word).count();
        assert_eq!((count("delivered"), count("rejected")), (delivered, outcomes.len() - delivered));
        assert_eq!(town.status(request).await, "done");
    }
    assert_eq!(bought(&town).0.len(), 56);
    assert_eq!(town.number("select sum(committed_credits) from requests").await, 56 * 15);
    town.check().await;
}

/// The call is refused for 193 too, which somebody else has unlocked: its value is read for free.
#[tokio::test]
async fn a_contact_that_somebody_else_unlocked_is_read_although_its_call_is_refused() {
    let mut town = Town::new().await;
    for id in ["193", "1003"] {
        town.fault(&format!("always:refuse-id={id}@unlock"));
    }
    let request = town.insert(Some("7"), &["101", "102", "193", "1003"]).await;
    town.finish_all().await;
    assert_eq!(town.outcome(request, "193").await, ("delivered".into(), Some("profile".into())));
    assert_eq!(town.outcome(request, "1003").await.0, "rejected");
    assert_eq!((bought(&town).0, charged(&mut town).await), (vec!["101".into(), "102".into()], 30));
    town.check().await;
}

#[tokio::test]
async fn when_every_contact_is_refused_nothing_is_bought_in_a_bounded_number_of_calls() {
    for (count, most) in [(2, 3), (20, 39), (100, 80)] {
        let mut town = Town::new().await;
        town.fault("always:error=400:INVALID_REQUEST@unlock");
        let ids = good_ids(1_000, count);
        let request = town.insert(None, &refs(&ids)).await;
        town.finish_all().await;
        let outcomes = town.outcomes(request).await;
        assert!(outcomes.len() == count && outcomes.values().all(|outcome| outcome == "rejected"));
        assert!(town.posts().len() <= most, "{count}: {} calls", town.posts().len());
        assert_eq!((charged(&mut town).await, town.status(request).await.as_str()), (0, "done"));
        town.check().await;
    }
}

#[tokio::test]
async fn a_refusal_that_is_about_the_event_is_not_divided() {
    let mut town = Town::new().await;
    let ids = good_ids(1_000, 20);
    let request = town.insert(Some("404"), &refs(&ids)).await;
    town.finish_all().await;
    assert!(town.outcomes(request).await.values().all(|outcome| outcome == "rejected"));
    assert_eq!(town.posts().len(), 1);
    town.check().await;
}

/// The vendor's 422 tells the most contacts of a call; the next batches are no larger, also after a restart.
#[tokio::test]
async fn a_limit_that_the_api_names_divides_the_call_and_is_kept() {
    let mut town = Setup::default().recorded().build().await;
    town.fault("error=422:LEAD_SELECTION_LIMIT_EXCEEDED@unlock");
    town.change(|exchange| {
        let mut answer = exchange.answer.clone();
        answer["details"] = json!({ "requestedCount": 100, "limit": 20, "selectionMode": "ids" });
        (exchange.status == 422).then(|| Altered::new(422, answer.to_string())).flatten()
    });
    let ids = good_ids(1_000, 145);
    let first = town.insert(None, &refs(&ids[..100])).await;
    town.finish_all().await;
    town.restart().await;
    let second = town.insert(None, &refs(&ids[100..])).await;
    town.finish_all().await;
    for request in [first, second] {
        assert!(town.outcomes(request).await.values().all(|outcome| outcome == "delivered"));
    }
    let sizes: Vec<usize> = town.posts().iter().map(|post| Town::sent(post).len()).collect();
    assert_eq!(sizes, [100, 20, 20, 20, 20, 20, 20, 20, 5]);
    town.check().await;
}

/// Neither a gateway's refusal nor a lost answer says that nothing was bought.
#[tokio::test]
async fn a_call_whose_effect_is_not_known_is_never_divided() {
    for fault in ["gateway=400@unlock", "lost-answer@unlock", "lost-request@unlock", "names-task=409@unlock"]
    {
        let mut town = Town::new().await;
        town.fault(fault);
        let ids = good_ids(1_000, 20);
        let request = town.insert(None, &refs(&ids)).await;
        town.finish_all().await;
        assert!(town.outcomes(request).await.values().all(|outcome| outcome == "delivered"), "{fault}");
        assert_eq!(town.number("select count(*) from jobs").await, 1, "{fault}");
        town.check().await;
    }
}

/// A call that was lost is proven to have had no effect before it is made again; then a refusal divides it.
#[tokio::test]
async fn a_call_that_was_lost_before_is_divided_like_any_other() {
    let mut town = Town::new().await;
    let ids = good_ids(1_000, 20);
    town.fault("lost-request@unlock");
    town.fault(&format!("always:refuse-id={}@unlock", ids[5]));
    let request = town.insert(None, &refs(&ids)).await;
    town.finish_all().await;
    let outcomes = town.outcomes(request).await;
    assert_eq!(outcomes[&ids[5]], "rejected");
    assert_eq!((bought(&town).0.len(), outcomes.len()), (19, 20), "the others are bought, each once");
    assert!(charged(&mut town).await >= 19 * 15);
    town.check().await;
}

#[tokio::test]
async fn a_worker_that_dies_between_the_parts_goes_on_with_them() {
    let mut town = Town::new().await;
    let ids = good_ids(1_000, 16);
    town.fault(&format!("always:refuse-id={}@unlock", ids[5]));
    let request = town.insert(None, &refs(&ids)).await;
    for refusals in 1..=3 {
        while bought(&town).1 < refusals {
            let (deps, account) = (town.deps().clone(), town.deps().accounts().remove(0));
            unlockd::worker::intake::run(&deps).await.expect("the database is well");
            unlockd::worker::submit::run(&deps, &account).await.expect("the database is well");
        }
        town.restart().await;
    }
    town.finish_all().await;
    let outcomes = town.outcomes(request).await;
    assert_eq!(outcomes[&ids[5]], "rejected");
    assert_eq!((bought(&town).0.len(), charged(&mut town).await), (15, 15 * 15));
    town.check().await;
}

/// What waits is not added to a part: it is to show which of its own contacts are refused.
#[tokio::test]
async fn contacts_that_come_meanwhile_travel_apart_from_the_parts() {
    let mut town = Town::new().await;
    let ids = good_ids(1_000, 16);
    town.fault(&format!("always:refuse-id={}@unlock", ids[5]));
    town.insert(None, &refs(&ids)).await;
    town.step_until_called("/contacts/unlock").await;
    let later = town.insert(None, &["2001", "2002"]).await;
    town.finish_all().await;
    assert!(town.outcomes(later).await.values().all(|outcome| outcome == "delivered"));
    let with_later = town.posts().into_iter().filter(|post| Town::sent(post).contains(&"2001".to_owned()));
    let sizes: Vec<usize> = with_later.map(|post| Town::sent(&post).len()).collect();
    assert_eq!(sizes, [2]);
    town.check().await;
}
