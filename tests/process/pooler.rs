//! Workers whose database is behind PgBouncer in transaction mode: each transaction may be on another connection of the
//! server, which is also true of what a session would keep.
//!
//! `PGBOUNCER` names the program, else it is looked for in the path. It must be 1.21 or newer; without one the test is
//! skipped.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::postgres::{free_ports, unprivileged};
use crate::support::{Town, hostile, signal, wait};

struct Pooler {
    process: Child,
    _folder: tempfile::TempDir,
    port: u16,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> Result<String, String> {
    let program = std::env::var("PGBOUNCER").unwrap_or_else(|_| "pgbouncer".to_owned());
    let asked = Command::new(&program).arg("--version").output();
    let said = asked.map_err(|_| "there is no program pgbouncer (PGBOUNCER may name one)".to_owned())?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let version = said.split_whitespace().nth(1).unwrap_or_default();
    let numbers: Vec<u32> = version.split('.').filter_map(|number| number.parse().ok()).collect();
    if numbers.as_slice() < [1, 21].as_slice() {
        return Err(format!("PgBouncer {version} does not know prepared statements in transaction mode"));
    }
    Ok(program)
}

impl Pooler {
    /// `None`: there is none here.
    fn start(server: u16) -> Option<Pooler> {
        let program = program().inspect_err(|lacks| {
            // Not println: what a test prints is shown only when it fails.
            drop(writeln!(std::io::stderr(), "SKIPPED the test of poolers: {lacks}"));
        });
        let program = program.ok()?;
        let (folder, [port]) = (tempfile::tempdir().expect("a folder"), free_ports());
        let config = folder.path().join("pgbouncer.ini");
        // Few connections, so that transactions take turns on them.
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={server} user=unlockd\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 4\n\
             max_prepared_statements = 500\n"
        );
        std::fs::write(&config, text).expect("written");
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig=KILL");
        if let Some((user, group)) = unprivileged() {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group)).expect("root may give it away");
            std::os::unix::fs::chown(&config, Some(user), Some(group)).expect("root may give it away");
            command.args([
                format!("--reuid={user}"),
                format!("--regid={group}"),
                "--clear-groups".to_owned(),
            ]);
        }
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let process = command
            .arg("--")
            .arg(program)
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let process = process.spawn().expect("it starts");
        let since = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            assert!(since.elapsed() < Duration::from_secs(10), "it does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Pooler { process, _folder: folder, port })
    }
}

const OPEN: &str = "select (select count(*) from inbox where status <> 'done') + (select count(*) from requests where inbox_is_behind = 1)";

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_in_transaction_mode_all_works_but_notifications_and_check_says_so() {
    let Some(town) = Town::on_server_with(hostile(), "[fleet]\nlease = \"5s\"\n").await else { return };
    let Some(pooler) = Pooler::start(town.server_port()) else { return };
    let config = std::fs::read_to_string(town.path("unlockd.toml")).expect("the configuration");
    let through = config.replace(&format!(":{}/", town.server_port()), &format!(":{}/", pooler.port));
    assert_ne!(config, through);
    std::fs::write(town.path("unlockd.toml"), through).expect("written");
    let mut victim = town.start_failing("after_call:8");
    let mut survivor = town.start();
    town.until("select count(*) from workers", 2).await;
    for first in [100, 110, 120] {
        town.insert(first..first + 10).await;
    }
    let (_, said) = town.say(&["check"]);
    assert!(said.contains("warn  notifications"), "{said}");
    let status = tokio::task::block_in_place(|| wait(&mut victim, Duration::from_secs(30)));
    assert!(!status.success(), "it was to be killed");
    town.until(OPEN, 0).await;
    let behind = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'unlockd'";
    assert!(town.number(behind).await <= 4, "they are behind the pooler");
    signal(&survivor, Signal::TERM);
    let status = tokio::task::block_in_place(|| wait(&mut survivor, Duration::from_secs(20)));
    assert!(status.success(), "{status}\n{}", town.log());
    town.assert_paid_once_and_delivered(100..130, "behind a pooler").await;
}
