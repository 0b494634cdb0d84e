//! An API that does not answer as it should: the page says what the terminal and `explain` say.

use unlockd::worker::people::explain;

use crate::place::Place;
use crate::support::Setup;

#[tokio::test]
async fn while_the_api_answers_503_the_page_and_explain_say_since_when_and_when_it_is_tried_next() {
    let setup = Setup::default().config("CREDITS__APPROVE_ABOVE", "60");
    let mut place = Place::of(setup).await;
    let (asked, approval) = (
        place.town.insert(None, &["101", "102"]).await,
        place.town.insert(None, &["201", "202", "203", "204", "205"]).await,
    );
    place.town.fault("always:status=503");
    place.town.settle().await;
    let since: i64 = place.town.number("select trouble_since from accounts").await;
    place.town.tick(10_000).await;
    assert_eq!(place.town.number("select trouble_since from accounts").await, since, "the first of them");
    // A moment between two tries: the API may be tried again before a job is.
    while place.town.number("select trouble_next_at from accounts").await <= place.town.clock.now().0 {
        place.town.tick(1_000).await;
    }
    let page = place.get("/").await;
    for text in ["Nothing new is sent: the API answers 503 since", "next try at", "One thing needs you."] {
        assert!(page.shows(text), "{text}: {}", page.words());
    }
    assert!(!page.shows("All is well"), "{}", page.words());

    let store = place.town.store().clone();
    let (config, now) = (place.town.deps().config(), place.town.clock.now());
    let of = async |id| {
        let request = unlockd::store::report::requests::read(&store, id).await.expect("read").expect("there");
        explain::of(&store, &config, &request, now).await.expect("explained")
    };
    let explained = of(asked).await;
    let told = explained.waits.iter().find(|wait| wait.reason == "api_trouble").expect("it is told");
    assert_eq!(told.since.map(|at| at.0), Some(since));
    assert!(told.what.starts_with("the API answers 503 since"), "{}", told.what);
    assert!(told.next_try_at.is_some_and(|at| at.0 > now.0) && !told.needs_person);
    let all: Vec<&str> = explained.waits.iter().map(|wait| wait.what.as_str()).collect();
    assert!(all.iter().all(|what| what.contains("answers 503")), "no word of being sent next: {all:?}");
    // What waits for a person does not wait for the API.
    assert_eq!(of(approval).await.waits.len(), 1);

    place.town.sandbox.clear_faults();
    place.town.cancel(approval).await;
    place.town.finish_all().await;
    let after = "select count(*) from accounts where trouble_since is not null or trouble_answer is not null";
    assert_eq!(place.town.number(after).await, 0);
    place.end().await;
}

/// Since when it lasts survives a restart, and the first answer ends it.
#[tokio::test]
async fn trouble_is_told_over_a_restart_until_the_api_answers() {
    let mut place = Place::of(Setup::default()).await;
    place.town.insert(None, &["101"]).await;
    place.town.fault("always:lost-request");
    place.town.tick(10_000).await;
    let since = place.town.number("select trouble_since from accounts").await;
    let answer: (String,) = place.town.one("select trouble_answer from accounts").await;
    assert_eq!(answer.0, "gives no answer");
    place.town.restart().await;
    place.town.tick(10_000).await;
    assert_eq!(place.town.number("select trouble_since from accounts").await, since);
    place.town.sandbox.clear_faults();
    place.town.finish_all().await;
    assert_eq!(place.town.number("select count(*) from accounts where trouble_since is not null").await, 0);
    place.end().await;
}
