//! While the API is down, the terminal says what the page says.

use unlockd::sandbox::Options;

use super::{strings, town, town_with};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_the_file_takes_neither_pause_nor_a_look_away() {
    let town = town().await;
    town.ok(&["enqueue", "789"]);
    let path = town.dir.path().join("unlockd.toml");
    let sound = std::fs::read_to_string(&path).expect("read");
    for mistake in ["[credits]\napprove_above = 10k\n", "[credits]\naprove_above = 10\n"] {
        town.file("unlockd.toml", &format!("{sound}{mistake}"));
        for command in
            [&["pause"][..], &["explain", "1"], &["watch", "--once"], &["requests"], &["cancel", "1"]]
        {
            let said = town.run(command);
            assert_ne!(said.code, 2, "{command:?}: {}", said.err);
            assert!(said.err.contains("WARNING: ") && said.err.contains("prove_above"), "{}", said.err);
        }
        // What buys, or says what something costs, needs the whole file.
        for command in [&["approve", "1", "--credits", "15"][..], &["plan", "789"], &["enqueue", "788"]] {
            town.run(command).with_code(2);
        }
        town.file("unlockd.toml", &sound);
        town.ok(&["resume"]).out.contains("resumed").then_some(()).expect("it was paused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_name_another_database_is_refused_with_the_way_out() {
    let town = town().await;
    let text = "databse = \"other.db\"\n[accounts.default]\n";
    town.file("unlockd.toml", text);
    let said = town.run(&["pause"]).with_code(2);
    assert!(said.err.contains("unlockd pause --database FILE"), "{}", said.err);
    if town.server.is_none() {
        town.ok(&["pause", "--database", "unlockd.db"]);
    }
}
