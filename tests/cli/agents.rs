//! `unlockd mcp` as an agent starts it, and `unlockd webhooks`.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::{Value, json};

use super::{program, said, town};

/// Standard output holds the protocol and nothing else, however much is logged; and the log holds no values.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_gets_messages_on_standard_output_and_nothing_else() {
    let town = town().await;
    town.ok(&["enqueue", "789", "--approve"]);
    town.work();
    let mut command = program(town.dir.path());
    command.args(["--log-level", "trace", "mcp", "--values"]).env("RUST_LOG", "trace,rmcp=trace");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("piped");
    let client = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    for message in [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call",
               "params": {"name": "get_request", "arguments": {"request_id": 1}}}),
    ] {
        writeln!(input, "{message}").expect("it reads");
    }
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("a line").expect("text");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    assert_eq!(next()["result"]["serverInfo"]["name"], "unlockd");
    let answer = next();
    let email = answer["result"]["structuredContent"]["contact_list"][0]["email"].as_str().expect("an email");
    // The agent goes away: no line is left, and the program ends.
    drop(input);
    assert!(lines.next().is_none());
    let ended = said(child.wait_with_output().expect("it ends")).with_code(0);
    assert!(!ended.err.contains(email) && !ended.err.contains('@'), "{}", ended.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_or_a_receiver_nothing_is_served() {
    let town = town().await;
    let refused = town.run(&["webhooks", "replay", "--since", "1h"]).with_code(4);
    assert!(refused.err.contains("notify.url"), "{}", refused.err);
    town.run(&["webhooks", "replay"]).with_code(2);
    town.lose_database().await;
    town.run(&["mcp"]).with_code(3);
    town.run(&["webhooks", "replay", "--since", "1h"]).with_code(3);
}
