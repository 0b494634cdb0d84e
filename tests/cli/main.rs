//! The command line of the built program: its output, its changes, its exit codes.
//!
//! Each test has a real database in its own directory, the sandbox in this process, and `run --until-idle` if
//! a worker is needed. The environment is empty, so no configuration of the machine takes part.
//!
//! With `UNLOCKD_TEST_ENGINE=postgres` each database is one of a PostgreSQL server; tests that are about files of SQLite
//! are skipped then.

mod agents;
mod approvals;
#[allow(dead_code, unreachable_pub, reason = "not every suite needs all of it")]
#[path = "../shared/db.rs"]
mod db;
mod files;
mod handbook;
mod inbox;
mod personnel;
#[allow(dead_code, unreachable_pub, reason = "not every suite needs all of it")]
#[path = "../shared/postgres.rs"]
mod postgres;
mod references;
mod spend;
mod terminal;
mod trouble;
mod upgrade;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use unlockd::sandbox::{self, Options, Sandbox};
use unlockd::store::Store;

use db::Db;
use postgres::Database;

struct Town {
    dir: tempfile::TempDir,
    sandbox: Sandbox,
    /// The database, when the suite runs on PostgreSQL.
    server: Option<Database>,
}

const CONFIG: &str = r#"
[accounts.default]
api_key = "uak_test"
[accounts.spare]
[inbox]
interval = "50ms"
[polling]
steps = ["100ms"]
[http]
listen = ""
"#;

async fn town_with(options: Options, config: &str) -> Town {
    let sandbox = sandbox::start(options).await.expect("a port is free");
    let dir = tempfile::tempdir().expect("a directory");
    let server = postgres::if_chosen().await;
    // The server of the tests has no standby.
    let database = server
        .as_ref()
        .map(|server| format!("database = \"{}\"\n[postgres]\ndurability = \"single\"\n", server.url()));
    let text = format!(
        "{}{CONFIG}\n{config}\n[api]\nbase_url = \"{}\"\n",
        database.unwrap_or_default(),
        sandbox.base_url()
    );
    std::fs::write(dir.path().join("unlockd.toml"), text).expect("written");
    if server.is_none() {
        Store::open(&dir.path().join("unlockd.db"), None).await.expect("a database");
    }
    Town { dir, sandbox, server }
}

async fn town() -> Town {
    town_with(Options { task_seconds: 0.2, ..Options::default() }, "").await
}

fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unlockd"));
    command.current_dir(dir).env_clear().stdin(Stdio::null());
    // Where a worker on PostgreSQL keeps its lock file.
    command.env("STATE_DIRECTORY", dir);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {:?}", self.out))
    }

    #[track_caller]
    fn with_code(self, code: i32) -> Said {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }
}

fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Said {
        code: output.status.code().expect("an exit code"),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

impl Town {
    /// A connection of another program with the database.
    async fn db(&self) -> Db {
        let file = self.dir.path().join("unlockd.db");
        Db::connect(self.server.as_ref().map_or(file.as_path(), |server| server.url().as_ref())).await
    }

    /// Somebody removes it.
    async fn lose_database(&self) {
        match &self.server {
            Some(server) => server.remove().await,
            None => std::fs::remove_file(self.dir.path().join("unlockd.db")).expect("removed"),
        }
    }

    fn run(&self, arguments: &[&str]) -> Said {
        said(program(self.dir.path()).args(arguments).output().expect("it starts"))
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> Said {
        self.run(arguments).with_code(0)
    }

    fn piped(&self, arguments: &[&str], input: &str) -> Said {
        let mut command = program(self.dir.path());
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
        said(child.wait_with_output().expect("it ends"))
    }

    /// Lets a worker do everything there is to do.
    #[track_caller]
    fn work(&self) -> Said {
        self.ok(&["run", "--until-idle"])
    }

    /// A worker that runs until it is dropped.
    fn daemon(&self) -> Daemon {
        let mut command = program(self.dir.path());
        command.arg("run").stdout(Stdio::null()).stderr(Stdio::null());
        Daemon(command.spawn().expect("it starts"))
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    }

    fn request(&self, id: i64) -> Value {
        self.ok(&["request", &id.to_string(), "--json"]).json()
    }

    fn job(&self, id: i64) -> Value {
        self.ok(&["job", &id.to_string(), "--json"]).json()
    }

    fn explain(&self, id: i64) -> Value {
        self.ok(&["explain", &id.to_string(), "--json"]).json()
    }

    /// Waits until a condition is true; the worker is another process.
    #[track_caller]
    fn until(&self, what: &str, so: impl Fn() -> bool) {
        let started = Instant::now();
        while !so() {
            assert!(started.elapsed() < Duration::from_secs(20), "never so: {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A job that stays in doubt: its first check is an hour away.
    fn job_in_doubt(&self) {
        self.ok(&["enqueue", "--event", "1", "789", "788"]);
        let _daemon = self.daemon();
        self.until("in doubt", || {
            let said = self.run(&["job", "1", "--json"]);
            said.code == 0 && said.json()["state"] == "in_doubt"
        });
    }
}

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const IN_DOUBT: &str = "[submit]\nverify_after = \"1h\"\ndecide_after = \"2h\"";

async fn town_that_loses_an_answer() -> Town {
    let faults = vec!["status=503@unlock".parse().expect("a fault")];
    town_with(Options { task_seconds: 0.2, faults, ..Options::default() }, IN_DOUBT).await
}

fn strings(value: &Value, key: &str) -> Vec<String> {
    let of = |row: &Value| row[key].as_str().map(str::to_owned);
    value.as_array().expect("an array").iter().filter_map(of).collect()
}

// ---- enqueue, adopt ----

#[tokio::test(flavor = "multi_thread")]
async fn enqueue_needs_no_worker() {
    let town = town().await;
    let said = town.ok(&["enqueue", "--event", "139574", "789", "788", "--reference", "crm-17"]);
    assert!(said.out.contains("request 1: 2 contacts"), "{}", said.out);
    assert!(said.out.contains("unlockd request 1"), "{}", said.out);
    let request = town.request(1);
    assert_eq!((&request["status"], &request["reference"]), (&"new".into(), &"crm-17".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_come_from_a_csv_file_and_from_standard_input() {
    let town = town().await;
    let csv =
        town.file("leads.csv", "\u{feff}name;personnel_id\r\n# note\r\n\"Doe; J\";789\r\n\r\nRoe;788\r\n");
    town.ok(&["enqueue", "--file", csv.to_str().expect("text")]);
    town.piped(&["enqueue", "-", "787"], "\n801\n# no\n802\n").with_code(0);
    town.piped(&["enqueue", "--file", "-"], "personnel_id\n805\n").with_code(0);
    town.work();
    let contacts: Vec<Value> = (1..=3).map(|id| town.request(id)["contacts"].clone()).collect();
    assert_eq!(contacts, [2, 3, 1]);
    assert!((1..=3).all(|id| town.request(id)["delivered"] == town.request(id)["contacts"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_an_id_are_counted_and_named_and_the_others_are_taken() {
    let town = town().await;
    town.file("crm.csv", "sep=;\nName;Our ID\nAda;789.0\nBo;\nCy;1,23457E+11\nDi;=\"00788\"\n\nEd;n.n.\n");
    let crm = ["--file", "crm.csv", "--column", "our id", "--json"];
    for command in ["plan", "enqueue"] {
        let offline: &[&str] = if command == "plan" { &["--offline"] } else { &[] };
        let said = town.ok(&[&[command][..], offline, &crm].concat());
        for part in ["crm.csv: 5 rows read, 3 without an id", "no id: line 4", "as text: line 5", ": line 8"]
        {
            assert!(said.err.contains(part), "{part}: {}", said.err);
        }
        let list = &said.json()["lists"][0];
        assert_eq!((&list["rows"], &list["without_id"]), (&5.into(), &3.into()), "{list}");
        assert_eq!(list["not_taken"][1], serde_json::json!({"line": 5, "reason": "digits_lost"}));
    }
    town.work();
    assert_eq!((&town.request(1)["contacts"], &town.request(1)["delivered"]), (&2.into(), &2.into()));
    let unnamed = town.run(&["enqueue", "--file", "crm.csv"]).with_code(2).err;
    assert!(unnamed.contains("it has: Name, Our ID") && unnamed.contains("--column NAME"), "{unnamed}");
    town.file("open.csv", "personnel_id,city\n789,Ulm\n790,\"Bonn\n791,Kiel\n");
    let open = town.run(&["enqueue", "--file", "open.csv"]).with_code(2).err;
    assert!(open.contains("quote on line 3") && open.contains("Nothing was written"), "{open}");
    town.run(&["enqueue", "789", "--column", "x"]).with_code(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_worker_would_reject_is_not_written() {
    let town = town().await;
    let nothing = town.run(&["enqueue", "--event", "1"]).with_code(2);
    assert!(nothing.err.contains("no contact ids"), "{}", nothing.err);
    town.run(&["enqueue", "--file", "/nowhere/x"]).with_code(2);
    town.run(&["enqueue", "abc"]).with_code(2);
    town.run(&["enqueue", "789", "--account", "acme"]).with_code(3);
    town.run(&["enqueue", "789", "--event", "a/b"]).with_code(2);
    town.run(&["enqueue", "789", "--max-credits=-1"]).with_code(2);
    town.run(&["adopt", "../x"]).with_code(2);
    assert_eq!(town.ok(&["requests", "--json"]).json(), Value::Array(vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_request_may_have_the_dedupe_key_of_the_rejected_one() {
    let town = town().await;
    town.ok(&["enqueue", "789", "--dedupe-key", "k", "--max-credits", "1"]);
    town.work();
    let said = town.ok(&["explain", "1"]).out;
    assert!(said.contains("rejected") && said.contains("may have the same dedupe key"), "{said}");
    let again = town.ok(&["enqueue", "789", "--dedupe-key", "k", "--json"]).json();
    assert_eq!((&again["id"], &again["created"]), (&2.into(), &true.into()));
    town.work();
    assert_eq!(town.request(2)["status"], "done");
    assert!(!town.ok(&["explain", "2"]).out.contains("dedupe"));
    // It was taken, and the API refused it later: its row keeps the key.
    town.sandbox.inject("always:error=404:EVENT_NOT_FOUND@unlock".parse().expect("a fault"));
    town.ok(&["enqueue", "788", "--event", "4711", "--dedupe-key", "late"]);
    town.work();
    let said = town.ok(&["explain", "3"]).out;
    assert!(said.contains("done") && said.contains("needs another"), "{said}");
    town.run(&["enqueue", "788", "--event", "4712", "--dedupe-key", "late"]).with_code(4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_dedupe_key_writes_nothing_and_names_the_request() {
    let town = town().await;
    assert_eq!(town.ok(&["enqueue", "789", "--dedupe-key", "k", "--json"]).json()["created"], true);
    let again = town.ok(&["enqueue", "0789", "--dedupe-key", "k", "--json"]).json();
    assert_eq!((&again["id"], &again["created"]), (&1.into(), &false.into()));
    for (arguments, differs) in [
        (&["788"][..], "differs in personnel_ids:"),
        (&["789", "--max-credits", "1"], "differs in max_credits:"),
    ] {
        let enqueue = [&["enqueue", "--dedupe-key", "k"], arguments].concat();
        let refused = town.run(&enqueue).with_code(4).err;
        assert!(refused.contains(differs) && refused.contains("unlockd request 1"), "{refused}");
        let plan = [&["plan", "--offline", "--dedupe-key", "k"], arguments].concat();
        assert!(town.ok(&plan).out.contains("enqueue would refuse"));
    }
    let other = town.ok(&["enqueue", "788", "--dedupe-key", "k", "--account", "spare", "--json"]).json();
    assert_eq!(other["created"], true);
    assert_eq!(town.ok(&["requests", "--json"]).json().as_array().expect("rows").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_with_the_request_and_says_how() {
    let town =
        town_with(Options { task_seconds: 0.2, ..Options::default() }, "[credits]\napprove_above = 100")
            .await;
    let _daemon = town.daemon();
    let done = town.ok(&["enqueue", "789", "--wait"]);
    assert!(done.out.contains("request 1: done: 1 delivered"), "{}", done.out);
    let awaits = town.run(&["enqueue", "--phones", "789", "788", "--wait"]).with_code(4);
    assert!(awaits.err.contains("unlockd approve 2 --credits 300"), "{}", awaits.err);
    let rejected = town.run(&["enqueue", "801", "--max-credits", "1", "--wait"]).with_code(1);
    assert!(rejected.err.contains("max_credits is 1"), "{}", rejected.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_task_is_followed_and_survives_a_cancel() {
    let town = town_with(Options { task_seconds: 1.5, ..Options::default() }, "").await;
    rustls::crypto::ring::default_provider().install_default().ok();
    let http = reqwest::Client::new();
    let url = format!("{}/external/contacts/unlock", town.sandbox.base_url());
    let body = serde_json::json!({ "personnel_ids": ["789"] });
    http.post(url).bearer_auth("uak_test").json(&body).send().await.expect("accepted");
    town.ok(&["adopt", "321", "--reference", "by hand"]);
    let daemon = town.daemon();
    town.until("followed", || town.run(&["job", "1"]).code == 0);
    let refused = town.run(&["cancel", "1"]).with_code(4);
    assert!(refused.err.contains("sent already"), "{}", refused.err);
    town.until("done", || town.request(1)["status"] == "done");
    drop(daemon);
    assert_eq!((&town.request(1)["delivered"], &town.job(1)["adopted"]), (&1.into(), &true.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_searches_are_told_in_words_of_their_own() {
    let town = town().await;
    let _daemon = town.daemon();
    let found = town.ok(&["enqueue", "--search-companies", "Acme", "--wait"]);
    assert!(found.out.contains("request 1: done: found\n"), "{}", found.out);
    assert!(town.ok(&["explain", "1"]).out.contains("result: found; unlockd request 1"));
    let unlocked = town.ok(&["enqueue", "--unlock-event", "7", "--approve", "--wait"]);
    assert!(unlocked.out.contains("request 2: done: unlocked\n"), "{}", unlocked.out);
    let (request, job) = (town.ok(&["request", "2"]).out, town.ok(&["job", "2"]).out);
    for text in
        ["send_started: at most 2,000 credits", "base access to the event is unlocked, 2,000 credits used"]
    {
        assert!(request.contains(text) && job.contains(text), "{text}: {request}{job}");
    }
    assert!(
        request.contains("  2,000 credits\n")
            && !request.contains("may have cost")
            && job.contains("2,000 credits at most"),
        "{request}{job}"
    );
    let gone = town.run(&["enqueue", "--unlock-event", "404", "--approve", "--wait"]).with_code(1);
    assert!(gone.out.contains("request 3: done: rejected\n"), "{}", gone.out);
    let why = "request 3 delivered nothing: its event was rejected by the API";
    assert!(gone.err.contains(why) && gone.err.contains("nothing was charged"), "{}", gone.err);
    let contacts = town.run(&["enqueue", "--event", "404", "789", "--wait"]).with_code(1);
    assert!(contacts.out.contains("request 4: done: 1 rejected\n"), "{}", contacts.out);
    assert!(
        contacts.err.contains("request 4 delivered nothing: its contacts were rejected"),
        "{}",
        contacts.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_full_access_and_a_person_are_asked_for_like_the_others() {
    let town = town_with(Options { balance: 50_000, ..Options::default() }, "").await;
    let plan = town.ok(&["plan", "--offline", "--full-access", "7"]).out;
    assert!(plan.contains("1 paid call at most, 5,000 credits at most"), "{plan}");
    let plan = town.ok(&["plan", "--json", "--offline", "--search-person", "Ada", "--max-pages", "3"]).json();
    assert_eq!((&plan["action"], &plan["quoted_credits"]), (&"search_personnel_events".into(), &150.into()));
    let _daemon = town.daemon();
    for (options, said) in [
        (["--full-access", "7"], "request 1: done: unlocked\n"),
        (["--unlock-visitors", "7"], "request 2: done: already unlocked\n"),
        (["--search-person", "Ada Example"], "request 3: done: found\n"),
    ] {
        let done = town.ok(&[&["enqueue", "--approve", "--wait"], &options[..]].concat());
        assert!(done.out.contains(said), "{options:?}: {}", done.out);
    }
    let refused = town.run(&["enqueue", "--full-access", "8", "--approve", "--wait"]).with_code(1);
    assert!(refused.err.contains("(no_contacts_available): nothing was charged"), "{}", refused.err);
    assert!(refused.err.contains("--unlock-event"), "{}", refused.err);
    let exported = town.ok(&["export", "--request", "3", "--format", "jsonl"]).json();
    assert_eq!((&exported["query"], &exported["outcome"]), (&"Ada Example".into(), &"found".into()));
    assert_eq!(exported["result"].as_array().map(Vec::len), Some(45));
    for wrong in [
        ["enqueue", "--full-access", "7", "--unlock-visitors", "7"],
        ["enqueue", "--search-person", "Ada", "--unlock-event", "7"],
        ["enqueue", "--full-access", "7", "--event", "7"],
        ["enqueue", "--unlock-visitors", "7", "--max-pages", "2"],
        ["enqueue", "--search-person", "Ada", "--column", "id"],
    ] {
        town.run(&wrong).with_code(2);
    }
    town.run(&["enqueue", "--search-person", " "]).with_code(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_that_the_account_is_paused() {
    let town = town().await;
    assert!(!town.ok(&["plan", "789"]).out.contains("paused"));
    town.ok(&["pause"]);
    assert!(town.ok(&["plan", "789"]).out.contains("Account default is paused"));
    assert_eq!(town.ok(&["plan", "789", "--json"]).json()["is_paused"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_below_zero_is_an_id() {
    let town = town().await;
    town.ok(&["enqueue", "789"]);
    for command in ["request", "explain", "approve", "cancel"] {
        let said = town.run(&[command, "-7"]).with_code(3);
        assert!(said.err.contains("there is no request -7"), "{}", said.err);
    }
}

// ---- listings ----

#[tokio::test(flavor = "multi_thread")]
async fn listings_are_honest_when_there_is_nothing() {
    let town = town().await;
    for (command, sentence) in
        [("requests", "no requests yet"), ("jobs", "no jobs yet"), ("audit", "no settlements yet")]
    {
        assert!(town.ok(&[command]).out.contains(sentence), "{command}");
        assert_eq!(town.ok(&[command, "--json"]).json(), Value::Array(vec![]), "{command}");
    }
    assert_eq!(town.ok(&["export", "--format", "jsonl"]).out, "");
}

/// `unlockd pause` in the wrong directory said "paused", while the worker elsewhere continued to buy.
#[tokio::test(flavor = "multi_thread")]
async fn only_run_demo_and_check_make_a_database() {
    if postgres::has_no("file that a command could make") {
        return;
    }
    let town = town().await;
    let dir = tempfile::tempdir().expect("a directory");
    let config = town.dir.path().join("unlockd.toml");
    let text = std::fs::read_to_string(&config).expect("there");
    std::fs::write(dir.path().join("unlockd.toml"), text).expect("written");
    let commands: [&[&str]; 19] = [
        &["pause"],
        &["pause", "--all"],
        &["resume"],
        &["enqueue", "789"],
        &["adopt", "321"],
        &["cancel", "1"],
        &["approve", "1"],
        &["resolve", "1", "--write-off"],
        &["requests"],
        &["request", "1"],
        &["jobs", "--json"],
        &["export"],
        &["audit"],
        &["balance"],
        &["explain", "1"],
        &["plan", "--offline", "789"],
        &["personnel", "--event", "1"],
        &["health"],
        &["watch"],
    ];
    for command in commands {
        let said = said(program(dir.path()).args(command).output().expect("it starts")).with_code(3);
        let path = dir.path().join("unlockd.db");
        for part in [path.to_str().expect("text"), "--database", "unlockd.toml"] {
            assert!(said.err.contains(part) && said.out.is_empty(), "{command:?} {part}: {}", said.err);
        }
        assert!(!path.exists(), "{command:?}");
    }
    said(program(dir.path()).arg("check").output().expect("it starts"));
    assert!(dir.path().join("unlockd.db").exists());
    assert!(town.sandbox.journal().iter().all(|call| call.method == "GET"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_user_is_named_with_its_mode_and_owner() {
    if postgres::has_no("file with a mode") {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let town = town().await;
    let mode = |name: &str, mode| {
        let path = town.dir.path().join(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    };
    let as_another = |arguments: &[&str]| {
        let mut command = program(town.dir.path());
        if rustix::process::geteuid().is_root() {
            command.uid(65_534);
        }
        said(command.args(arguments).output().expect("it starts"))
    };
    mode("", 0o755);
    // Only a user other than root can be kept from reading their own file.
    mode("unlockd.db", if rustix::process::geteuid().is_root() { 0o600 } else { 0o200 });
    let denied = as_another(&["request", "1"]).with_code(1).err;
    assert!(denied.contains("permission denied") && denied.contains("unlockd.db, mode 0"), "{denied}");
    assert!(denied.contains("owner ") && !denied.contains("not exist"), "{denied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_says_who_goes_on_and_can_hold_all() {
    let town = town().await;
    let one = town.ok(&["pause"]).out;
    assert!(one.contains("account default is paused") && one.contains("still buying: spare"), "{one}");
    let all = town.ok(&["pause", "--all"]).out;
    assert!(
        all.contains("default was already paused at") && all.contains("account spare is paused:"),
        "{all}"
    );
    assert!(!all.contains("go on"), "{all}");
    assert_eq!(town.ok(&["resume", "--all", "--json"]).json().as_array().expect("an array").len(), 2);
    assert!(!town.ok(&["plan", "--offline", "--account", "spare", "789"]).out.contains("is paused"));
    town.run(&["pause", "--all", "--account", "spare"]).with_code(2);
}

const INBOX: &str = "id account action event_id task_id query max_pages reference max_credits created_at status \
                     reason quoted_credits finished_at";
const JOBS: &str = "id account action event_id task_id state state_reason poll_count next_poll_at created_at \
                    submitted_at finished_at";
const AUDIT: &str = "account opened_at closed_at jobs expected_min expected_max balance_before balance_after spent \
                     verdict";
const OUTCOMES: &str = "request_id reference account action event_id personnel_id outcome email phone error_code \
                        source job_id task_id resolved_at obtained_at";

#[tokio::test(flavor = "multi_thread")]
async fn json_has_the_names_of_the_contract() {
    let town = town().await;
    town.ok(&["enqueue", "--event", "139574", "789", "797", "--reference", "r"]);
    town.work();
    let has = |value: &Value, names: &str| {
        for name in names.split_whitespace() {
            assert!(value.get(name).is_some(), "{name} is missing in {value}");
        }
    };
    has(&town.ok(&["requests", "--json"]).json()[0], INBOX);
    has(&town.request(1), INBOX);
    has(&town.ok(&["jobs", "--json"]).json()[0], JOBS);
    has(&town.job(1), JOBS);
    has(&town.ok(&["audit", "--json"]).json()[0], AUDIT);
    let exported = town.ok(&["export", "--format", "jsonl"]).out;
    has(&serde_json::from_str(exported.lines().next().expect("a line")).expect("JSON"), OUTCOMES);
    let events = strings(&town.request(1)["timeline"], "event");
    assert_eq!(events, ["accepted", "send_started", "accepted", "completed", "done"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_exit_code_3() {
    let town = town().await;
    town.run(&["request", "1"]).with_code(3);
    town.ok(&["enqueue", "789"]);
    for command in [
        &["request", "9"][..],
        &["job", "9"],
        &["explain", "9"],
        &["approve", "9"],
        &["cancel", "9"],
        &["resolve", "9", "--resubmit"],
        &["pause", "--account", "acme"],
        &["resume", "--account", "acme"],
        &["balance", "--account", "acme"],
        &["personnel", "--event", "7", "--account", "acme"],
        &["enqueue", "789", "--account", "acme"],
        &["plan", "789", "--account", "acme"],
        &["adopt", "321", "--account", "acme"],
        &["audit", "--account", "acme"],
        &["export", "--request", "9"],
    ] {
        let said = town.run(command);
        assert_eq!(said.code, 3, "{command:?}: {}", said.err);
        assert!(said.err.contains("there is no"), "{command:?}: {}", said.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_and_wrong_configuration_are_exit_code_2() {
    let town = town().await;
    town.run(&["requests", "--status", "lost"]).with_code(2);
    town.run(&["resolve", "1"]).with_code(2);
    town.run(&["export", "--since", "yesterday"]).with_code(2);
    town.file("bad.toml", "databse = \"x\"\n");
    let said = town.run(&["requests", "--config", "bad.toml"]).with_code(2);
    assert!(said.err.contains("databse"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_listing_shows_a_contacts_value() {
    let town = town().await;
    town.ok(&["enqueue", "789", "788"]);
    town.ok(&["enqueue", "--phones", "--approve", "789"]);
    town.work();
    for command in [
        &["requests"][..],
        &["request", "1"],
        &["request", "2"],
        &["jobs"],
        &["job", "1"],
        &["job", "2"],
        &["explain", "1"],
        &["audit"],
        &["balance"],
        &["plan", "789"],
    ] {
        for json in [&[][..], &["--json"]] {
            let said = town.ok(&[command, json].concat());
            for secret in ["@example", "contact-789", "+1", "uak_test"] {
                assert!(!said.out.contains(secret) && !said.err.contains(secret), "{command:?}: {secret}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_is_no_error() {
    let town = town().await;
    town.ok(&["enqueue", "789"]);
    town.work();
    for command in [
        &["requests"][..],
        &["requests", "--json"],
        &["export"],
        &["request", "1"],
        &["jobs"],
        &["job", "1"],
        &["audit"],
        &["explain", "1"],
        &["balance"],
        &["plan", "788"],
        &["watch", "--once"],
        &["watch", "--json"],
        &["completions", "bash"],
        &["man"],
        &["--help"],
        &["enqueue", "787", "--json"],
    ] {
        let mut child = program(town.dir.path())
            .args(command)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        drop(child.stdout.take());
        let said = said(child.wait_with_output().expect("it ends"));
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{command:?}");
    }
}

// ---- export ----

#[test]
fn the_readme_shows_the_line_that_the_sandbox_prints() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("README");
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = program(dir.path());
    let mut sandbox = Daemon(
        command
            .args(["sandbox", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts"),
    );
    let mut lines = BufReader::new(sandbox.0.stdout.take().expect("piped")).lines();
    let url =
        lines.next().expect("a line").expect("text").split(' ').next_back().expect("an address").to_owned();
    let printed = lines.next().expect("a line").expect("text").replace(&url, "http://127.0.0.1:8788");
    let shown = printed.strip_prefix("try it: ").expect("what to try");
    assert!(readme.lines().any(|line| line == shown), "{shown}");
    assert!(readme.lines().any(|line| line == "unlockd sandbox"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_what_has_no_contacts_says_which_format_has_it() {
    let town = town().await;
    town.ok(&["enqueue", "--search-companies", "Acme"]);
    town.ok(&["enqueue", "789"]);
    town.work();
    let csv = town.ok(&["export", "--request", "1"]);
    assert!(csv.err.contains("request 1 has no contacts: use --format jsonl"), "{}", csv.err);
    assert_eq!(csv.out.lines().count(), 1);
    assert_eq!(town.ok(&["export", "--request", "1", "--format", "jsonl"]).json()["outcome"], "found");
    assert_eq!(town.ok(&["export", "--request", "2"]).err, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_neutralises_formulas_and_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let town = town().await;
    town.ok(&["enqueue", "789", "797", "--reference", "=HYPERLINK(\"x\")"]);
    town.work();
    let csv = town.ok(&["export"]).out;
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some(
            "request_id,reference,account,action,event_id,personnel_id,outcome,email,phone,error_code,source,job_id,task_id,resolved_at,obtained_at"
        )
    );
    assert!(lines.all(|line| line.starts_with("1,\"'=HYPERLINK(\"\"x\"\")\",")), "{csv}");
    assert!(csv.contains("contact-789@example.com") && csv.contains("failed"), "{csv}");
    let file = town.file("old.csv", "old");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).expect("allowed");
    town.ok(&["export", "--outcome", "delivered", "-o", "old.csv"]);
    assert_eq!(std::fs::read_to_string(&file).expect("there").lines().count(), 2);
    assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    assert_eq!(town.ok(&["export", "--json", "--since", "2099-01-01"]).out, "");
    assert_eq!(town.ok(&["export", "--json", "--since", "1h", "--request", "1"]).out.lines().count(), 2);
    let person = town.ok(&["export", "--json", "--personnel", "789"]).json();
    assert_eq!(person["email"], "contact-789@example.com");
}

// ---- purge ----

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_phones_as_they_are_and_replaces_no_file_through_a_link() {
    let town = town().await;
    town.ok(&["enqueue", "--event", "1", "--phones", "789", "--approve"]);
    town.work();
    let csv = town.ok(&["export"]).out;
    assert!(csv.contains(",+1-555-01789,"), "{csv}");
    town.file("old.csv", "old");
    std::os::unix::fs::symlink("old.csv", town.dir.path().join("link.csv")).expect("linked");
    let files: &[&str] = if postgres::is_chosen() { &[] } else { &["unlockd.db", "unlockd.db-wal"] };
    for name in files.iter().chain(&["link.csv", "unlockd.toml"]) {
        let refused = town.run(&["export", "-o", name]).with_code(4).err;
        assert!(refused.contains(name) && refused.contains("name another file"), "{refused}");
    }
    assert_eq!(std::fs::read_to_string(town.dir.path().join("old.csv")).expect("there"), "old");
    assert_eq!(town.ok(&["export", "-o", "/dev/stdout"]).out, csv);
    town.ok(&["export", "-o", "old.csv"]);
    assert_eq!(std::fs::read_to_string(town.dir.path().join("old.csv")).expect("there"), csv);
    assert_eq!(town.request(1)["delivered"], 1, "the database is whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_erases_one_person_everywhere_and_nobody_else() {
    let town = town().await;
    town.ok(&["enqueue", "789", "788"]);
    town.ok(&["enqueue", "--phones", "--approve", "789"]);
    town.work();
    let said = town.ok(&["purge", "--personnel", "789"]);
    assert!(said.out.contains("2 values erased"), "{}", said.out);
    let left = town.ok(&["export"]).out;
    assert!(
        left.contains("contact-788@") && !left.contains("contact-789@") && !left.contains("+1"),
        "{left}"
    );
    assert_eq!(left.matches("delivered").count(), 3, "{left}");
    for name in ["unlockd.db", "unlockd.db-wal"] {
        let bytes = std::fs::read(town.dir.path().join(name)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains("contact-789@"), "in {name}");
    }

    let charged = town.sandbox.accounting().charged_total;
    town.ok(&["enqueue", "789"]);
    let open = town.ok(&["purge", "--personnel", "788", "--json"]).json();
    assert_eq!(open, serde_json::json!({"erased": 1, "to_come": 0, "log_emptied": true}));
    town.work();
    assert_eq!(town.ok(&["export", "--request", "3"]).out.matches("contact-789@").count(), 1);
    assert_eq!(town.sandbox.accounting().charged_total, charged, "not paid for again");
    assert_eq!(town.ok(&["purge", "--older-than", "1h", "--json"]).json()["erased"], 0);
    assert_eq!(town.ok(&["purge", "--older-than", "0s", "--json"]).json()["erased"], 1);
    town.run(&["purge", "--personnel", "4711"]).with_code(3);
    for wrong in [&["purge"][..], &["purge", "--older-than", "soon"], &["purge", "--personnel", "x"]] {
        town.run(wrong).with_code(2);
    }
    town.run(&["purge", "--older-than", "1h", "--personnel", "789"]).with_code(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_cannot_empty_the_log_fails_and_says_so() {
    if postgres::has_no("log that a command empties") {
        return;
    }
    let town = town().await;
    town.ok(&["enqueue", "789"]);
    town.work();
    let mut reader = town.db().await;
    reader.run("begin; select count(*) from items").await.expect("reads");
    let busy = town.run(&["purge", "--personnel", "789"]).with_code(1);
    assert!(busy.err.contains("-wal could not be emptied"), "{}", busy.err);
    reader.run("commit").await.expect("ends");
    assert!(town.ok(&["purge", "--personnel", "789"]).out.contains("0 values erased"));
}

// ---- plan ----

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_what_enqueue_then_costs() {
    let town = town().await;
    town.ok(&["enqueue", "100", "101"]);
    town.work();
    let ids = ["100", "101", "102", "103", "102", "x"];
    let plan = town.ok(&[&["plan", "--json"], &ids[..]].concat()).json();
    let figure = |name: &str| plan[name].as_i64().unwrap_or_else(|| panic!("{name}: {plan}"));
    let (new, had, repeated, invalid) =
        (figure("new"), figure("already_had"), figure("repeated"), figure("invalid"));
    assert_eq!((figure("given"), new, had, repeated, invalid), (6, 2, 2, 1, 1));
    assert_eq!((figure("quoted_credits"), figure("batches"), figure("balance")), (30, 1, 9_970));
    town.ok(&[&["enqueue"], &ids[..]].concat());
    town.work();
    assert_eq!(town.request(2)["quoted_credits"], plan["quoted_credits"]);
    assert_eq!(town.ok(&["balance", "--json"]).json()["total"], plan["balance_after"]);
    assert_eq!(town.sandbox.accounting().charged_total, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_how_many_days_a_limit_makes_of_the_order() {
    let town = town_with(Options::default(), "[credits]\ndaily_limit = 60\nmonthly_limit = 90").await;
    let ids = ["101", "102", "103", "104", "105", "106", "107", "108", "109"];
    let plan = |ids: &[&str]| town.ok(&[&["plan", "--offline"], ids].concat()).out;
    assert!(!plan(&ids[..4]).contains("_limit"), "it fits: {}", plan(&ids[..4]));
    let said = plan(&ids);
    assert!(
        said.contains("credits.daily_limit = 60 leaves 60 today: it takes at least 3 UTC days"),
        "{said}"
    );
    assert!(said.contains("credits.monthly_limit = 90 leaves 90 this month"), "{said}");
    let json = town.ok(&[&["plan", "--offline", "--json"], &ids[..]].concat()).json();
    assert_eq!(
        (&json["days"], &json["left_today"], &json["left_this_month"]),
        (&3.into(), &60.into(), &90.into())
    );
    assert!(plan(&["--phones", "101"]).contains("One costs more than credits.daily_limit = 60"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offline_plan_calls_nobody() {
    let town = town().await;
    let plan = town.ok(&["plan", "--offline", "--phones", "789", "788", "--json"]).json();
    assert_eq!((&plan["quoted_credits"], &plan["status"]), (&300.into(), &"accepted".into()));
    assert_eq!(plan["balance"], Value::Null);
    assert!(town.sandbox.journal().is_empty());
    let over = town.ok(&["plan", "--offline", "--max-credits", "10", "789", "--json"]).json();
    assert_eq!(over["status"], "rejected");
    town.run(&["plan", "--offline"]).with_code(2);
}

// ---- decisions ----

async fn careful_town() -> Town {
    town_with(Options { task_seconds: 0.2, ..Options::default() }, "[credits]\napprove_above = 10").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_request_is_bought_and_a_cancelled_one_is_not() {
    let town = careful_town().await;
    town.ok(&["enqueue", "789"]);
    town.ok(&["enqueue", "788"]);
    town.run(&["approve", "1"]).with_code(4);
    town.run(&["run", "--until-idle"]).with_code(4);
    let explained = town.explain(1);
    assert_eq!(strings(&explained["waits"], "reason"), ["awaiting_approval"]);
    assert!(
        explained["waits"][0]["unblock"].as_str().expect("text").contains("unlockd approve 1 --credits 15")
    );
    assert!(town.ok(&["approve", "1", "--credits", "15"]).out.contains("15 credits"));
    assert_eq!(town.ok(&["cancel", "2", "--json"]).json()["cancelled"], 1);
    town.work();
    assert_eq!(
        (&town.request(1)["status"], &town.request(2)["status"]),
        (&"done".into(), &"cancelled".into())
    );
    assert_eq!(town.sandbox.accounting().charged_total, 15);
    let said = town.run(&["approve", "1"]).with_code(4);
    assert!(said.err.contains("is done"), "{}", said.err);
    town.run(&["cancel", "2"]).with_code(4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_nobody_has_taken_can_be_cancelled() {
    let town = town().await;
    town.ok(&["enqueue", "789", "x"]);
    town.ok(&["enqueue", "788"]);
    assert_eq!(town.ok(&["cancel", "1", "--json"]).json()["status"], "cancelled");
    town.work();
    assert_eq!(
        (&town.request(1)["status"], &town.request(2)["status"]),
        (&"cancelled".into(), &"done".into())
    );
    assert_eq!(town.sandbox.accounting().charge("789", sandbox::Channel::Email).times, 0);
    assert_eq!(
        town.ok(&["export", "--request", "1", "--outcome", "cancelled", "--json"]).out.lines().count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_inserted_with_a_status_is_explained_and_not_decided_on() {
    let town = town().await;
    town.ok(&["enqueue", "788"]);
    let row = "insert into inbox (personnel_ids, status) values ('[789]', 'accepted')";
    town.db().await.run(row).await.expect("the inbox takes it");
    let explained = town.explain(2);
    assert_eq!(strings(&explained["waits"], "reason"), ["not_taken"]);
    assert!(explained["waits"][0]["what"].as_str().expect("text").contains("no worker has taken this row"));
    for decision in ["approve", "cancel"] {
        let refused = town.run(&[decision, "2"]).with_code(4);
        assert!(refused.err.contains("no worker has taken row 2"), "{}", refused.err);
    }
    town.work();
    assert_eq!(town.request(2)["status"], "rejected");
    assert_eq!(town.sandbox.accounting().charged_total, 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_account_submits_nothing_until_it_is_resumed() {
    let town = town().await;
    town.ok(&["pause"]);
    town.ok(&["enqueue", "789"]);
    town.run(&["run", "--until-idle"]).with_code(4);
    let explained = town.explain(1);
    assert_eq!(explained["waits"][0]["reason"], "paused");
    assert!(!explained["waits"][0]["since"].is_null());
    assert!(town.ok(&["pause"]).out.contains("already"));
    assert_eq!(town.ok(&["resume", "--json"]).json()["was_paused"], true);
    town.work();
    assert_eq!(town.request(1)["status"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_job_is_polled_again_after_a_resume() {
    let options = Options { task_seconds: 2.5, ..Options::default() };
    let town = town_with(options, "").await;
    let config = town.dir.path().join("unlockd.toml");
    let text = std::fs::read_to_string(&config).expect("there");
    let impatient = text.replace("[polling]", "[polling]\ngive_up_after = \"1s\"");
    std::fs::write(&config, impatient).expect("written");
    town.ok(&["enqueue", "789"]);
    town.work();
    assert_eq!((&town.job(1)["state"], &town.request(1)["status"]), (&"expired".into(), &"done".into()));
    std::fs::write(&config, text).expect("patient again");
    assert_eq!(town.ok(&["resume", "--json"]).json()["expired_jobs"], 1);
    assert_eq!((&town.job(1)["state"], &town.request(1)["status"]), (&"polling".into(), &"accepted".into()));
    assert_eq!(town.explain(1)["waits"][0]["reason"], "polling");
    town.work();
    assert_eq!((&town.job(1)["state"], &town.request(1)["delivered"]), (&"completed".into(), &1.into()));
    assert_eq!(town.sandbox.accounting().charged_total, 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_worker_tries_a_refused_key_again_after_a_resume() {
    let town = town().await;
    town.sandbox.set_api_key(Some("uak_other".to_owned()));
    town.run(&["balance"]).with_code(1);
    town.run(&["balance"]).with_code(1);
    assert_eq!(town.sandbox.journal().len(), 1, "a refused key is not tried again");
    let _daemon = town.daemon();
    town.ok(&["enqueue", "789"]);
    town.until("held", || town.explain(1)["waits"].to_string().contains("invalid_api_key"));
    town.sandbox.set_api_key(None);
    assert_eq!(town.ok(&["resume", "--json"]).json()["key_was_refused"], true);
    town.until("done", || town.request(1)["status"] == "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_in_doubt_is_sent_again_when_a_person_says_so() {
    let town = town_that_loses_an_answer().await;
    town.job_in_doubt();
    let explained = town.explain(1);
    assert_eq!(explained["waits"][0]["reason"], "looking");
    assert!(!explained["waits"][0]["next_try_at"].is_null());
    assert_eq!(town.request(1)["committed_credits"], 30);
    let unnamed = town.run(&["resolve", "1", "--resubmit"]).with_code(2).err;
    assert!(unnamed.contains("--credits N is missing"), "{unnamed}");
    let other = town.run(&["resolve", "1", "--resubmit", "--credits", "15"]).with_code(4).err;
    assert!(other.contains("30 credits now, but 15 were confirmed"), "{other}");
    assert_eq!(town.job(1)["state"], "in_doubt", "nothing was changed");
    town.run(&["resolve", "1", "--write-off", "--credits", "30"]).with_code(2);
    let said = town.ok(&["resolve", "1", "--resubmit", "--credits", "30"]);
    assert!(said.out.contains("30 credits") && said.out.contains("evidence"), "{}", said.out);
    assert_eq!((&town.job(1)["state"], &town.request(1)["committed_credits"]), (&"queued".into(), &0.into()));
    town.work();
    assert_eq!(town.request(1)["delivered"], 2);
    assert_eq!(town.job(1)["attempts"].as_array().expect("attempts").len(), 2);
    let refused = town.run(&["resolve", "1", "--resubmit"]).with_code(4);
    assert!(refused.err.contains("completed"), "{}", refused.err);
    assert_eq!(town.ok(&["audit", "--json"]).json()[0]["verdict"], "matched");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_while_in_doubt_is_not_sent_again_on_any_command() {
    let town = town_that_loses_an_answer().await;
    town.job_in_doubt();
    let said = town.ok(&["cancel", "1"]);
    assert!(said.out.contains("calls found to have failed are not resent"), "{}", said.out);
    let refused = town.run(&["resolve", "1", "--resubmit", "--credits", "30"]).with_code(4);
    assert!(refused.err.contains("was cancelled"), "{}", refused.err);
    assert_eq!(town.job(1)["state"], "in_doubt", "nothing was changed");
    town.ok(&["resolve", "1", "--write-off"]);
    town.work();
    assert_eq!(town.request(1)["outcomes"][0]["outcome"], "lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_written_off_stays_booked_and_is_never_sent_again() {
    let town = town_that_loses_an_answer().await;
    town.job_in_doubt();
    town.ok(&["resolve", "1", "--write-off"]);
    let ledger = town.job(1)["ledger"].clone();
    assert_eq!(strings(&ledger, "entry"), ["hold", "release", "charge"]);
    assert_eq!(town.job(1)["state"], "lost");
    town.work();
    assert_eq!(town.request(1)["status"], "done");
    assert_eq!(town.request(1)["outcomes"][0]["outcome"], "lost", "its profiles show nothing");
    assert!(town.ok(&["explain", "1"]).out.contains("2 lost"));
    let submitted =
        town.sandbox.journal().iter().filter(|call| call.path.ends_with("/contacts/unlock")).count();
    assert_eq!(submitted, 1);
    // Nobody pays for them again unread, unless a person says so, for the cost that was shown.
    let unnamed = town.run(&["resolve", "1", "--resubmit"]).with_code(2).err;
    assert!(unnamed.contains("--credits N is missing"), "{unnamed}");
    let other = town.run(&["resolve", "1", "--resubmit", "--credits", "15"]).with_code(4).err;
    assert!(other.contains("30 credits now, but 15 were confirmed"), "{other}");
    let said = town.ok(&["resolve", "1", "--resubmit", "--credits", "30"]).out;
    assert!(said.contains("2 contacts of job 1 may be paid for once more"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_proven_to_have_taken_effect_leaves_nothing_to_decide() {
    let faults = vec!["lost-answer@unlock".parse().expect("a fault")];
    let options = Options { task_seconds: 600.0, faults, ..Options::default() };
    let town = town_with(options, "[submit]\nverify_after = \"100ms\"\ndecide_after = \"1h\"").await;
    town.ok(&["enqueue", "789"]);
    let daemon = town.daemon();
    town.until("carried out", || {
        let said = town.run(&["job", "1", "--json"]);
        said.code == 0 && said.json()["state_reason"] == "carried_out"
    });
    drop(daemon);
    for decision in ["--resubmit", "--write-off"] {
        let said = town.run(&["resolve", "1", decision]).with_code(4);
        assert!(said.err.contains("credits are spent"), "{}", said.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_credits_says_so_and_what_to_do() {
    let options = Options { task_seconds: 0.2, balance: 20, ..Options::default() };
    let town = town_with(options, "").await;
    town.ok(&["enqueue", "789", "788"]);
    let said = town.run(&["run", "--until-idle"]).with_code(4);
    assert!(said.err.contains("credits"), "{}", said.err);
    let explained = town.explain(1);
    let waits = strings(&explained["waits"], "reason");
    assert_eq!(waits, ["insufficient_credits"]);
    assert!(explained["waits"][0]["unblock"].as_str().expect("text").contains("unlockd resume"));
    town.sandbox.top_up(100);
    assert_eq!(town.ok(&["resume", "--json"]).json()["parked_jobs"], 1);
    town.ok(&["balance"]);
    town.work();
    assert_eq!(town.request(1)["status"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_first_that_no_worker_runs_and_last_how_it_ended() {
    let town = town().await;
    town.ok(&["enqueue", "789", "797"]);
    let said = town.ok(&["explain", "1"]).out;
    assert!(said.lines().nth(1).expect("a line").contains("no worker is running"), "{said}");
    assert_eq!(town.explain(1)["waits"][0]["reason"], "not_taken");
    town.work();
    let health = town.run(&["health"]).with_code(1);
    assert!(health.err.contains("no worker runs"), "a worker that has ended is not alive: {}", health.err);
    let silent = "update worker_lease set pid = 4711, renewed_at = renewed_at - 60000";
    town.db().await.run(silent).await.expect("written");
    let health = town.run(&["health"]).with_code(1);
    assert!(health.err.contains("worker 4711 has shown no sign of life for 6"), "{}", health.err);
    town.ok(&["enqueue", "788"]);
    let silent = town.ok(&["explain", "2"]).out;
    assert!(
        silent.contains("no worker has shown that it lives since") && silent.contains("write lock"),
        "{silent}"
    );
    let ended = town.explain(1);
    assert_eq!((&ended["finished"], &ended["status"]), (&true.into(), &"done".into()));
    assert!(town.ok(&["explain", "1"]).out.contains("1 delivered"));
}

// ---- account, check, packaging ----

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_is_recorded_and_a_missing_key_is_exit_code_2() {
    let town = town().await;
    let balance = town.ok(&["balance", "--json"]).json();
    assert_eq!((&balance["total"], &balance["available"]), (&10_000.into(), &10_000.into()));
    let said = town.run(&["balance", "--account", "spare"]).with_code(2);
    assert!(said.err.contains("accounts.spare.api_key_file"), "{}", said.err);
    let plan = town.ok(&["plan", "--offline", "789", "--json"]).json();
    assert_eq!(plan["balance"], 10_000, "the balance that was asked for is known now");
}

/// A webhook receiver that refuses the first message, and what it got.
async fn receiver() -> (String, std::sync::Arc<std::sync::Mutex<Vec<Value>>>) {
    use axum::{Json, http::StatusCode, routing::post};
    let got = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let keep = got.clone();
    let receive = move |Json(body): Json<Value>| async move {
        let mut got = keep.lock().expect("not poisoned");
        got.push(body);
        if got.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NO_CONTENT }
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let url = format!("http://{}/canary_path", listener.local_addr().expect("an address"));
    let routes = axum::Router::new().route("/canary_path", post(receive));
    tokio::spawn(async { axum::serve(listener, routes).await });
    (url, got)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_until_idle_tries_to_tell_others_before_it_ends() {
    let (url, got) = receiver().await;
    let secret = tempfile::NamedTempFile::new().expect("a file").into_temp_path();
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("written");
    let config = format!("[notify]\nurl = \"{url}\"\nsecret_file = \"{}\"", secret.display());
    let town = town_with(Options { task_seconds: 0.2, ..Options::default() }, &config).await;
    town.ok(&["enqueue", "101"]);
    let said = town.ok(&["run", "--until-idle"]);
    assert_eq!(got.lock().expect("not poisoned")[0]["data"]["request_id"], 1);
    assert!(said.err.contains("does not take webhook messages"), "{}", said.err);
    let checked = town.run(&["check", "--offline"]);
    assert!(checked.out.contains("messages go to 127.0.0.1, signed with 1 secret"), "{}", checked.out);
    for text in [said.err, checked.out, checked.err] {
        assert!(!text.contains("canary_path") && !text.contains("MfKQ9r8"), "{text}");
    }
    town.ok(&["enqueue", "201"]);
    town.ok(&["run", "--until-idle"]);
    let got = got.lock().expect("not poisoned").clone();
    assert!(got[1..].iter().any(|body| body["data"]["request_id"] == 2), "{got:?}");
    std::fs::write(&secret, "none").expect("written");
    let checked = town.run(&["check", "--offline"]).with_code(2).out;
    assert!(checked.contains("the webhook secret file"), "{checked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_warns_about_two_accounts_that_look_like_one_owners() {
    // Keys without an owner in their name belong to one.
    let town = town_with(Options::default(), "[accounts.second]\napi_key = \"uak_test_2\"\n").await;
    let warned = |said: &Said| {
        let found =
            said.json().as_array().expect("an array").iter().find(|one| one["check"] == "owners").cloned();
        found.map(|found| found.to_string())
    };
    assert_eq!(warned(&town.run(&["check", "--json"])), None, "equal balances alone are no sign");
    town.sandbox.spend(15);
    let found = warned(&town.run(&["check", "--json"])).expect("they moved together");
    assert!(found.contains("accounts.second.owner"), "{found}");
    let config = town.dir.path().join("unlockd.toml");
    let text = std::fs::read_to_string(&config).expect("there");
    let said = text.replace("\"uak_test_2\"", "\"uak_test_2\"\nowner = \"default\"");
    std::fs::write(&config, said).expect("written");
    assert_eq!(warned(&town.run(&["check", "--json"])), None, "it is said now");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_what_is_wrong_and_never_shows_a_key() {
    let town = town().await;
    let said = town.run(&["check"]).with_code(2);
    assert!(said.out.contains("FAIL  key of spare"), "{}", said.out);
    assert!(!said.out.contains("uak_test") && !said.err.contains("uak_test"));
    let config = town.dir.path().join("unlockd.toml");
    let text = std::fs::read_to_string(&config).expect("there").replace("[accounts.spare]", "");
    std::fs::write(&config, &text).expect("written");
    // The server of the tests does not write to the disk.
    let code = i32::from(postgres::is_chosen());
    let findings = town.run(&["check", "--json"]).with_code(code).json();
    let found: Vec<_> = strings(&findings, "check").into_iter().zip(strings(&findings, "level")).collect();
    let found: Vec<String> = found.into_iter().map(|(check, level)| format!("{check}: {level}")).collect();
    let of_engine: &[&str] = match postgres::is_chosen() {
        false => &["disk: ok"],
        true => &[
            "connections: ok",
            "durability: fail",
            "encryption: ok",
            "backup: ok",
            "failover: ok",
            "notifications: ok",
            "grants: ok",
            "grants: ok",
            "grants: ok",
        ],
    };
    let first: &[&str] = &["configuration: ok", "file modes: warn", "database: ok"];
    let last: &[&str] =
        &["worker: warn", "key of default: ok", "http: ok", "api as default: ok", "clock by default: ok"];
    assert_eq!(found, [first, of_engine, last].concat());
    for finding in findings.as_array().expect("an array") {
        let is_ok = finding["level"] == "ok";
        assert_eq!(finding["mend"].is_null(), is_ok, "what is not well has its mend: {finding}");
    }
    town.sandbox.set_api_key(Some("uak_other".to_owned()));
    town.run(&["check"]).with_code(1);
    town.run(&["check", "--offline"]).with_code(code);
    std::fs::write(&config, format!("{text}\n[nonsense]\nx = 1\n")).expect("written");
    town.run(&["check", "--json"]).with_code(2);
    assert_eq!(town.sandbox.accounting().charged_total, 0);
}

/// `sudo unlockd check` beside the service: the shell has neither its key nor its environment.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_missing_in_this_shell_is_no_problem_of_a_worker_that_runs() {
    let town = town().await;
    let daemon = town.daemon();
    town.until("it runs", || town.run(&["health"]).code == 0);
    let config = town.dir.path().join("unlockd.toml");
    let text = std::fs::read_to_string(&config).expect("there").replace("api_key = \"uak_test\"", "");
    std::fs::write(town.dir.path().join("other.toml"), text.replace("[accounts.spare]", ""))
        .expect("written");
    let beside: &[&str] = &["--config", "other.toml", "check", "--offline"];
    // The server of the tests does not write to the disk, which is the problem found there.
    let checked = town.run(beside).with_code(i32::from(postgres::is_chosen())).out;
    assert!(checked.contains("the running worker (process ") && !checked.contains("no API key"), "{checked}");
    drop(daemon);
    town.until("it has ended", || town.run(&["health"]).code == 1);
    let checked = town.run(beside).with_code(2).out;
    assert!(checked.contains("no API key"), "{checked}");
}

#[test]
fn a_proxy_of_the_environment_is_named_and_not_used() {
    let dir = tempfile::tempdir().expect("a directory");
    let check = |proxy: &str| {
        let config =
            format!("[http]\nlisten = \"\"\n[api]\n{proxy}\n[accounts.default]\napi_key = \"uak_test\"\n");
        std::fs::write(dir.path().join("unlockd.toml"), config).expect("written");
        let mut command = program(dir.path());
        command.args(["check", "--offline"]).env("HTTPS_PROXY", "http://user:canary@10.0.0.1:3128");
        said(command.output().expect("it starts")).with_code(0).out
    };
    let checked = check("");
    assert!(checked.contains("HTTPS_PROXY, which unlockd does not use"), "{checked}");
    assert!(!checked.contains("canary"), "{checked}");
    let checked = check("proxy = \"http://proxy.example.com:3128\"");
    assert!(checked.contains("a tunnel (CONNECT) of http://proxy.example.com:3128"), "{checked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_of_an_account_that_is_not_configured_any_more_is_named() {
    let town = town().await;
    town.ok(&["enqueue", "--account", "spare", "101"]);
    town.run(&["run", "--until-idle"]).with_code(4);
    let config = town.dir.path().join("unlockd.toml");
    let text = std::fs::read_to_string(&config).expect("there").replace("[accounts.spare]", "");
    std::fs::write(&config, &text).expect("written");
    let checked = town.run(&["check", "--offline"]).with_code(2).out;
    assert!(checked.contains("FAIL  account spare"), "{checked}");
    let idle = town.run(&["run", "--until-idle"]).with_code(4).err;
    assert!(idle.contains("account spare is not configured"), "{idle}");
    let explained = town.ok(&["explain", "1"]).out;
    assert!(explained.contains("account spare is not configured"), "{explained}");
    let seen = town.ok(&["watch", "--once", "--json"]).json();
    assert_eq!(seen["needs"][0]["reason"], "not_configured", "{}", seen["needs"]);
}

#[test]
fn every_command_has_help_with_an_example() {
    let dir = tempfile::tempdir().expect("a directory");
    let help = |arguments: &[&str]| {
        said(program(dir.path()).args(arguments).output().expect("it starts")).with_code(0).out
    };
    let main = help(&["--help"]);
    let commands = main.split("Commands:").nth(1).expect("a list").split("Options:").next().expect("a part");
    let commands: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 25 && commands.contains(&"watch"), "{commands:?}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        let text = help(&[command, "--help"]);
        let (example, usage) = (text.find("Example"), text.find("Usage:"));
        assert!(example.is_some() && example < usage, "{command} does not lead with an example: {text}");
        assert!(text.lines().next().is_some_and(|about| about.len() > 15), "{command}: {text}");
        assert!(text.contains(&format!("unlockd {command}")), "{command}: {text}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = said(program(dir.path()).args(["completions", shell]).output().expect("it starts"));
        assert!(script.with_code(0).out.contains("unlockd"));
    }
    let page = said(program(dir.path()).arg("man").output().expect("it starts")).with_code(0);
    assert!(page.out.contains(".TH"), "{}", page.out);
    program(dir.path()).args(["man", "--dir", "."]).status().expect("it starts");
    assert!(dir.path().join("unlockd-enqueue.1").exists());
}

#[test]
fn the_version_names_the_program_and_its_engines() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = program(folder.path()).arg("--version").output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], concat!("unlockd ", env!("CARGO_PKG_VERSION")));
    assert!(lines[1].starts_with("commit: ") && lines[2].starts_with("SQLite: 3."), "{text}");
    assert!(output.status.success() && lines[3].contains("15 or newer"), "{text}");
}

#[test]
fn check_names_each_mistake_of_the_configuration_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "[credits]\ndayly_limit = 5\napprove_above = \"many\"\n";
    std::fs::write(folder.path().join("unlockd.toml"), text).expect("written");
    let output = program(folder.path()).args(["check", "--offline"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let places: Vec<&str> = said.lines().filter_map(|line| line.split("line ").nth(1)).collect();
    assert!(places.len() == 2 && said.lines().all(|line| line.starts_with("FAIL  configuration")), "{said}");
    for place in ["2, column 1): there is no such key", "3, column 1): must be"] {
        assert!(places.iter().any(|found| found.starts_with(place)), "{said}");
    }
    assert_eq!(output.status.code(), Some(2));
}
