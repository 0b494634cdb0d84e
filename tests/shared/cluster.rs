//! A primary and a standby of PostgreSQL for tests of failover, and an address that follows the primary.
//!
//! Both are started by a shell that ends them when this process is gone. `None`: there are no programs here, or
//! `UNLOCKD_TEST_POSTGRES` names a server, which is no place for such tests.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::server::{free_ports, programs, shell};

/// Reads a command a line and answers each with a line. $5: the port of the primary `a`, $6: of its standby `b`; the rest
/// as [`shell`] says. `KEEP`: `on` or `off`, whether commits reach the disk.
const CLUSTER: &str = r#"
trap '' INT TERM HUP
folder=$1 programs=$2 user=$3 group=$4 a=$5 b=$6
as="setpriv --pdeathsig=INT ${user:+--reuid=$user --regid=$group --clear-groups}"
start() {
    $as "$programs/postgres" -D "$folder/$1" -p "$2" -k "$folder" -c listen_addresses=127.0.0.1 \
        -c fsync="$KEEP" -c full_page_writes="$KEEP" -c max_connections=100 -c shared_buffers=32MB -c wal_keep_size=64MB \
        -c wal_retrieve_retry_interval=100ms -c log_statement=none >>"$folder/$1.log" 2>&1 </dev/null &
    eval "$1_pid=$!"
    until grep -q ready "$folder/$1/postmaster.pid" 2>/dev/null; do
        kill -0 "$!" 2>/dev/null || return 1
        sleep 0.02
    done
}
stop() {
    eval "pid=\$$1_pid"
    kill -QUIT "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    rm -f "$folder/$1/postmaster.pid"
}
$as "$programs/initdb" --pgdata="$folder/a" --username=unlockd --auth=trust --encoding=UTF8 --locale=C --no-sync \
    --no-instructions >"$folder/a.log" 2>&1 && start a "$a" &&
    $as "$programs/pg_basebackup" -d "host=127.0.0.1 port=$a user=unlockd application_name=b" -D "$folder/b" \
        -R -X stream -c fast --no-sync >>"$folder/b.log" 2>&1 && start b "$b" && echo ready || echo failed
while read -r verb what from; do
    case $verb in
        start) eval "port=\$$what"; start "$what" "$port" ;;
        stop) stop "$what" ;;
        receive)
            eval "port=\$$from"
            $as mkdir "$folder/$what"
            $as "$programs/pg_receivewal" -d "host=127.0.0.1 port=$port user=unlockd application_name=$what" \
                -D "$folder/$what" --synchronous --no-loop >>"$folder/$what.log" 2>&1 </dev/null & ;;
    esac && echo done || echo failed
done
stop b
stop a
exec rm -rf "$folder"
"#;

pub(crate) struct Cluster {
    ports: [u16; 2],
    /// Where the primary is reached, also after a failover.
    address: SocketAddr,
    primary: Arc<AtomicU16>,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    _shell: Child,
}

impl Cluster {
    /// One for all tests that leave both servers as they were; a test at a time.
    pub(crate) async fn shared() -> Option<MutexGuard<'static, Cluster>> {
        static SHARED: OnceCell<Option<Mutex<Cluster>>> = OnceCell::const_new();
        let shared = SHARED.get_or_init(async || Cluster::start().map(Mutex::new)).await;
        let cluster = shared.as_ref()?.lock().await;
        cluster.until(1, "select count(*) from pg_stat_wal_receiver", 1).await;
        // The test before this one may have failed halfway.
        cluster.signal_receiver(rustix::process::Signal::CONT).await;
        Some(cluster)
    }

    pub(crate) fn start() -> Option<Cluster> {
        Cluster::start_with("off")
    }

    /// With servers that keep each commit on the disk, as those that people use.
    #[allow(dead_code, reason = "not every suite needs it")]
    pub(crate) fn start_durable() -> Option<Cluster> {
        Cluster::start_with("on")
    }

    fn start_with(keep: &str) -> Option<Cluster> {
        if std::env::var_os("UNLOCKD_TEST_POSTGRES").is_some() {
            return None;
        }
        let programs = programs().filter(|folder| folder.join("pg_basebackup").exists())?;
        let ports = free_ports();
        let mut shell = shell(CLUSTER, &programs, &ports).env("KEEP", keep).spawn().expect("a shell");
        let commands = shell.stdin.take().expect("piped");
        let mut answers = BufReader::new(shell.stdout.take().expect("piped"));
        let mut told = String::new();
        let _ = answers.read_line(&mut told);
        assert_eq!(
            told, "ready\n",
            "PostgreSQL and its standby do not start; see the logs in a folder unlockd-pg-*"
        );
        let primary = Arc::new(AtomicU16::new(ports[0]));
        let address = forward(primary.clone());
        Some(Cluster { ports, address, primary, commands, answers, _shell: shell })
    }

    /// Runs a command of the shell.
    fn run(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("the shell lives");
        let mut told = String::new();
        self.answers.read_line(&mut told).expect("an answer");
        assert_eq!(told, "done\n", "{command}");
    }

    /// The primary's machine is gone, with what it did not send; its standby takes over, at the same address.
    pub(crate) async fn fail_over(&mut self) {
        self.run("stop a");
        self.on(1, "postgres").await.execute("select pg_promote()").await.expect("promoted");
        self.until(1, "select pg_is_in_recovery()::int::bigint", 0).await;
        self.primary.store(self.ports[1], Ordering::SeqCst);
    }

    /// The primary crashes and comes back: what waited for the standby is committed then, and confirmed by nobody.
    pub(crate) async fn restart_primary(&mut self) {
        self.run("stop a");
        self.run("start a");
    }

    /// A program that takes the log of a server and confirms it, and that is no server.
    pub(crate) async fn receive(&mut self, at: usize, name: &str) {
        self.run(&format!("receive {name} {}", ["a", "b"][at]));
        let streams = format!("select count(*) from pg_stat_replication where application_name = '{name}'");
        self.until(at, &streams, 1).await;
    }

    /// A new database, by its URL at the address that follows the primary.
    pub(crate) async fn create(&self, name: &str) -> String {
        let create = AssertSqlSafe(format!("create database {name} template template0 encoding 'UTF8'"));
        self.on(0, "postgres").await.execute(create).await.expect("a new database");
        format!("postgres://unlockd@{}/{name}", self.address)
    }

    /// A connection with the primary (0) or the standby (1) itself. It waits for no standby.
    pub(crate) async fn on(&self, at: usize, database: &str) -> PgConnection {
        let url = format!(
            "postgres://unlockd@127.0.0.1:{}/{database}?options=-csynchronous_commit%3Dlocal",
            self.ports[at]
        );
        PgConnection::connect(&url).await.expect("connects")
    }

    /// Sets a parameter of a server, which reads it at once.
    pub(crate) async fn set(&self, at: usize, parameter: &str, value: &str) {
        let mut connection = self.on(at, "postgres").await;
        let set = AssertSqlSafe(format!("alter system set {parameter} = '{value}'"));
        connection.execute(set).await.expect("set");
        connection.execute("select pg_reload_conf()").await.expect("read");
        let shown = format!("select (current_setting('{parameter}') = '{value}')::int::bigint");
        self.until(at, &shown, 1).await;
    }

    pub(crate) async fn number(&self, at: usize, sql: &str) -> i64 {
        let mut connection = self.on(at, "postgres").await;
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.expect("a number")
    }

    /// Waits until a query says so.
    pub(crate) async fn until(&self, at: usize, sql: &str, expected: i64) {
        let since = std::time::Instant::now();
        while self.number(at, sql).await != expected {
            assert!(since.elapsed().as_secs() < 20, "{sql} did not become {expected}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Stops or continues the process with which the standby takes the log.
    pub(crate) async fn signal_receiver(&self, signal: rustix::process::Signal) {
        let pid = self.number(1, "select coalesce(max(pid), 0)::bigint from pg_stat_wal_receiver").await;
        let pid =
            rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("the standby streams");
        rustix::process::kill_process(pid, signal).expect("the process is there");
    }
}

/// Listens, and passes each connection on to the port of the moment; on a thread of its own, since a test's runtime
/// ends before the next test.
fn forward(port: Arc<AtomicU16>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    listener.set_nonblocking(true).expect("a socket");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            while let Ok((mut near, _)) = listener.accept().await {
                let port = port.load(Ordering::SeqCst);
                tokio::spawn(async move {
                    if let Ok(mut far) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await {
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
    });
    address
}
