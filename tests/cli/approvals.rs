//! Decisions that may spend are bound to the figure that a person saw.

use super::terminal::Terminal;
use super::{Town, careful_town, strings, town_that_loses_an_answer, town_with};
use unlockd::sandbox::Options;

async fn town_that_waits() -> Town {
    let town = careful_town().await;
    town.ok(&["enqueue", "789"]);
    town.ok(&["enqueue", "788"]);
    town.run(&["run", "--until-idle"]).with_code(4);
    town
}

/// What another program does to the database.
async fn meddle(town: &Town, sql: &str) {
    town.db().await.run(sql).await.expect("changed");
}

fn status(town: &Town, id: i64) -> String {
    town.request(id)["status"].as_str().expect("a word").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_a_terminal_an_approval_must_name_its_figure() {
    let town = town_that_waits().await;
    let unnamed = town.run(&["approve", "1"]).with_code(2).err;
    assert!(
        unnamed.contains("--credits N is missing") && unnamed.contains("Nothing was changed"),
        "{unnamed}"
    );
    town.piped(&["approve", "1"], "15\n").with_code(2);
    for figure in ["-15", "abc", "", "1e1"] {
        town.run(&["approve", "1", "--credits", figure]).with_code(2);
    }
    for figure in ["14", "16", "0", "1,500"] {
        let other = town.run(&["approve", "1", "--credits", figure]).with_code(4).err;
        assert!(other.contains("may cost 15 credits now"), "{figure}: {other}");
    }
    assert_eq!(
        (status(&town, 1).as_str(), town.sandbox.accounting().charged_total),
        ("awaiting_approval", 0)
    );
    let approved = town.ok(&["approve", "1", "--credits", "15", "--json"]).json();
    assert_eq!(approved["approved_credits"], 15);
    town.run(&["approve", "1", "--credits", "15"]).with_code(4);
    town.run(&["approve", "9", "--credits", "15"]).with_code(3);
    assert_eq!((status(&town, 1).as_str(), status(&town, 2).as_str()), ("accepted", "awaiting_approval"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_that_has_grown_since_it_was_seen_is_refused_and_nothing_is_spent() {
    let town = town_that_waits().await;
    let seen = town.request(1)["quoted_credits"].to_string();
    meddle(&town, "update requests set quoted_credits = 400 where id = 1").await;
    let refused = town.run(&["approve", "1", "--credits", &seen]).with_code(4).err;
    assert!(refused.contains("400 credits now, but 15 were confirmed"), "{refused}");
    town.run(&["run", "--until-idle"]).with_code(4);
    assert_eq!(
        (status(&town, 1).as_str(), town.sandbox.accounting().charged_total),
        ("awaiting_approval", 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_terminal_an_approval_shows_the_cost_and_asks_to_type_it() {
    let town = town_that_waits().await;
    for (typed, code, said) in [
        ("\r", 4, "no figure was typed"),
        ("yes\r", 4, "no figure was typed"),
        ("150\r", 4, "may cost 15 credits now, but 150 were confirmed"),
        ("\x04", 4, "no figure was typed"),
        ("15\r", 0, "approved up to 15 credits"),
    ] {
        let mut terminal = Terminal::start(&town, &["approve", "1"], &[]);
        for shown in ["cost, at most", "15 credits", "balance after, at least", "type 15 and Enter"] {
            terminal.await_text(shown);
        }
        assert_eq!(status(&town, 1), "awaiting_approval", "nothing happens before it is typed");
        terminal.press(typed);
        terminal.await_text(said);
        assert_eq!(terminal.code(), Some(code), "{typed:?}");
    }
    assert_eq!((status(&town, 1).as_str(), status(&town, 2).as_str()), ("accepted", "awaiting_approval"));
}

/// What was read before the question is not what is decided on.
#[tokio::test(flavor = "multi_thread")]
async fn a_quote_that_grows_while_the_question_stands_there_is_refused() {
    let town = town_that_waits().await;
    let mut terminal = Terminal::start(&town, &["approve", "1"], &[]);
    terminal.await_text("type 15 and Enter");
    meddle(&town, "update requests set quoted_credits = 400 where id = 1").await;
    terminal.press("15\r");
    terminal.await_text("may cost 400 credits now, but 15 were confirmed");
    assert_eq!((terminal.code(), status(&town, 1).as_str()), (Some(4), "awaiting_approval"));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_terminal_a_resubmission_shows_the_evidence_and_asks_to_type_the_cost() {
    let town = town_that_loses_an_answer().await;
    town.job_in_doubt();
    for (typed, code) in [("60\r", 4), ("30\r", 0)] {
        let mut terminal = Terminal::start(&town, &["resolve", "1", "--resubmit"], &[]);
        for shown in ["the evidence", "they may be spent twice", "type 30 and Enter"] {
            terminal.await_text(shown);
        }
        terminal.press(typed);
        assert_eq!(terminal.code(), Some(code), "{typed:?}");
    }
    assert_eq!(town.job(1)["state"], "queued");
    town.work();
    assert_eq!(town.request(1)["delivered"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_rows_may_not_approve_enqueue_says_so_and_a_row_waits() {
    let config = "[credits]\napprove_above = 10\napprove_from_inbox = false";
    let town = town_with(Options { task_seconds: 0.2, ..Options::default() }, config).await;
    for command in ["enqueue", "plan"] {
        let refused = town.run(&[command, "789", "--approve"]).with_code(4).err;
        assert!(
            refused.contains("approve_from_inbox = false") && refused.contains("unlockd approve"),
            "{refused}"
        );
    }
    assert!(strings(&town.ok(&["requests", "--json"]).json(), "status").is_empty());
    meddle(&town, "insert into inbox (personnel_ids, approved) values ('[789]', 1)").await;
    town.run(&["run", "--until-idle"]).with_code(4);
    assert_eq!(status(&town, 1), "awaiting_approval");
    town.ok(&["approve", "1", "--credits", "15"]);
    town.work();
    assert_eq!(status(&town, 1), "done");
}
