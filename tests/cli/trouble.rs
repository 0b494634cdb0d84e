//! While the API is down, the terminal says what the page says.

use unlockd::sandbox::Options;

use super::{strings, town_with};

#[tokio::test(flavor = "multi_thread")]
async fn while_the_api_answers_503_watch_and_explain_say_since_when_and_when_it_is_tried_next() {
    let faults = vec!["always:status=503".parse().expect("a fault")];
    let town = town_with(Options { task_seconds: 0.2, faults, ..Options::default() }, "").await;
    town.ok(&["enqueue", "789"]);
    let daemon = town.daemon();
    town.until("told", || town.ok(&["watch", "--once"]).out.contains("the API answers 503 since"));
    let watched = town.ok(&["watch", "--once"]).out;
    assert!(watched.contains("next try at") || watched.contains("tried again"), "{watched}");
    let json = town.ok(&["watch", "--once", "--json"]).json();
    let trouble = &json["accounts"][0]["api_trouble"];
    assert_eq!(trouble["answer"], "answers 503");
    assert!(trouble["since"].is_string() && trouble["next_try_at"].is_string(), "{trouble}");
    let waits = town.explain(1)["waits"].clone();
    assert!(strings(&waits, "reason").contains(&"api_trouble".to_owned()), "{waits}");
    let what = strings(&waits, "what");
    assert!(what.iter().all(|what| what.contains("the API answers 503 since")), "{what:?}");
    town.sandbox.clear_faults();
    town.until("done", || town.request(1)["status"] == "done");
    drop(daemon);
    assert_eq!(
        town.ok(&["watch", "--once", "--json"]).json()["accounts"][0]["api_trouble"],
        serde_json::Value::Null
    );
}
