//! While the API is down, the terminal says what the page says.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use unlockd::sandbox::Options;

use super::{IN_DOUBT, strings, town, town_with};

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
            assert!(
                said.err.contains("WARNING: ") && said.err.contains("keeps its earlier configuration"),
                "{}",
                said.err
            );
        }
        // What buys, or says what something costs, needs the whole file.
        for command in [&["approve", "1", "--credits", "15"][..], &["plan", "789"], &["enqueue", "788"]] {
            town.run(command).with_code(2);
        }
        town.file("unlockd.toml", &sound);
        assert!(town.ok(&["resume"]).out.contains("resumed"), "it was paused");
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

#[tokio::test(flavor = "multi_thread")]
async fn check_warns_of_a_paused_account_and_of_one_that_waits_for_credits() {
    let town = town_with(Options { task_seconds: 0.2, balance: 5, ..Options::default() }, "").await;
    let warned = || -> Vec<String> {
        let said = town.run(&["check", "--offline", "--json"]).json();
        let account = |one: &&Value| one["check"] == "account default" && one["level"] == "warn";
        let lines = said.as_array().expect("an array").iter().filter(account);
        lines.filter_map(|one| one["detail"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(warned(), [""; 0]);
    town.ok(&["pause"]);
    assert!(warned().iter().any(|line| line.contains("paused")), "{:?}", warned());
    town.ok(&["resume"]);
    town.ok(&["enqueue", "789"]);
    town.run(&["run", "--until-idle"]).with_code(4);
    assert!(warned().iter().any(|line| line.contains("credits")), "{:?}", warned());
}

#[tokio::test(flavor = "multi_thread")]
async fn check_fails_for_a_key_file_that_the_worker_misses_too() {
    let town = town().await;
    let key = town.file("key", "uak_test\n");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("closed");
    let text = std::fs::read_to_string(town.dir.path().join("unlockd.toml")).expect("read");
    town.file("unlockd.toml", &text.replace("api_key = \"uak_test\"", "api_key_file = \"key\""));
    let _daemon = town.daemon();
    town.until("it runs", || town.run(&["health"]).code == 0);
    town.ok(&["check", "--offline"]);
    std::fs::remove_file(&key).expect("removed");
    let said = town.run(&["check", "--offline"]).with_code(2).out;
    assert!(said.contains("FAIL  key of default") && said.contains("cannot read"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_another_program_at_the_port_from_the_worker() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = other.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in other.incoming() {
            let answer = b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.and_then(|mut stream| std::io::Write::write_all(&mut stream, answer));
        }
    });
    let town = town().await;
    let text = std::fs::read_to_string(town.dir.path().join("unlockd.toml")).expect("read");
    town.file("unlockd.toml", &text.replace("listen = \"\"", &format!("listen = \"{listen}\"")));
    let _daemon = town.daemon();
    town.until("it runs", || town.run(&["health"]).code == 0);
    let said = town.run(&["check", "--offline"]).out;
    assert!(said.contains("another program answers at"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_arguments_and_of_texts_that_look_rounded_are_told() {
    let town = town().await;
    let said = town.ok(&["enqueue", "12345678901234500000"]);
    assert!(said.err.contains("WARNING: 1 id looks rounded"), "{}", said.err);
    let plan = town.ok(&["plan", "--offline", "12345678901234500000"]);
    assert!(plan.out.contains("1  of them look rounded"), "{}", plan.out);
    assert_eq!(town.ok(&["plan", "--offline", "--json", "789"]).json()["looks_rounded"], 0);
    town.work();
    let events = strings(&town.request(1)["timeline"], "event");
    assert!(events.contains(&"ids_look_rounded".to_owned()), "{events:?}");
    assert!(town.ok(&["enqueue", "788"]).err.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_empty_or_several_is_refused() {
    let town = town().await;
    for event in ["", " ", "139574,139576", "139574;139576"] {
        let said = town.run(&["enqueue", "--event", event, "789"]).with_code(2);
        assert!(
            said.err.contains("is not one event") && said.err.contains("Nothing was written"),
            "{}",
            said.err
        );
    }
    town.file("two.csv", "personnel_id,event_id\n789,139574.0\n790,139576\n791,\n");
    let two = town.run(&["enqueue", "--event", "139574", "--file", "two.csv"]).with_code(2);
    assert!(two.err.contains("1 other event") && two.err.contains("139576, line 3"), "{}", two.err);
    town.ok(&["enqueue", "--event", "139574", "789", "--reference", "done"]);
    let watched = town.ok(&["watch", "--once"]).out;
    assert!(!watched.contains("delivered, done"), "{watched}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_was_given_up_is_not_bought_again_by_its_job() {
    let faults = vec!["status=503@search".parse().expect("a fault")];
    let town = town_with(Options { task_seconds: 0.2, faults, ..Options::default() }, IN_DOUBT).await;
    town.ok(&["enqueue", "--search-companies", "Acme"]);
    let daemon = town.daemon();
    town.until("in doubt", || {
        let said = town.run(&["job", "1", "--json"]);
        said.code == 0 && said.json()["state"] == "in_doubt"
    });
    drop(daemon);
    let given_up = town.ok(&["resolve", "1", "--write-off"]).out;
    assert!(given_up.contains("it brings no result") && !given_up.contains("profiles"), "{given_up}");
    let explained = town.ok(&["explain", "1"]).out;
    assert!(explained.contains("no result, and up to 50 credits may be spent"), "{explained}");
    let refused = town.run(&["resolve", "1", "--resubmit", "--credits", "50"]).with_code(4);
    assert!(refused.err.contains("with a new request"), "{}", refused.err);
}
