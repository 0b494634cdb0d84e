//! An inbox file of its own, in the hands of another program: intake waits, and nothing else does.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{AssertSqlSafe, Connection, Executor};
use unlockd::sandbox::Options;

use crate::support::{Town, hostile};

/// What the other program does, and how it is undone.
struct Way {
    name: &'static str,
    hurt: Hurt,
    heal: Heal,
}

enum Hurt {
    Sql(&'static str),
    File(fn(&Path)),
}

enum Heal {
    Sql(&'static str),
    /// The whole file from before is put back.
    PutBack,
}

const ENDLESS: &str = "with recursive r(x) as (select 1 union all select x + 1 from r) select x as id from r";

/// What SQL can do to it.
fn ways_of_sql() -> Vec<Way> {
    let way = |name, hurt, heal| Way { name, hurt, heal };
    let rename_back = Heal::Sql("alter table inbox_old rename to inbox");
    vec![
        way("dropped", Hurt::Sql("drop table inbox"), Heal::PutBack),
        way("renamed", Hurt::Sql("alter table inbox rename to inbox_old"), rename_back),
        way(
            "a view",
            Hurt::Sql("alter table inbox rename to inbox_old; create view inbox as select 1 as id"),
            Heal::PutBack,
        ),
        way(
            "no column",
            Hurt::Sql("alter table inbox rename column action to deed"),
            Heal::Sql("alter table inbox rename column deed to action"),
        ),
        way(
            "steps",
            Hurt::Sql(
                "insert into _sqlx_migrations select 999, description, installed_on, success, checksum, execution_time from _sqlx_migrations limit 1",
            ),
            Heal::PutBack,
        ),
    ]
}

/// What can be done to the file.
fn ways_of_files() -> Vec<Way> {
    let way = |name, hurt, heal| Way { name, hurt, heal };
    vec![
        way(
            "garbage",
            Hurt::File(|path| std::fs::write(path, b"garbage".repeat(1_000)).expect("written")),
            Heal::PutBack,
        ),
        way(
            "cut off",
            Hurt::File(|path| {
                std::fs::File::options()
                    .write(true)
                    .open(path)
                    .and_then(|file| file.set_len(100))
                    .expect("cut")
            }),
            Heal::PutBack,
        ),
        way(
            "a directory",
            Hurt::File(|path| {
                std::fs::remove_file(path).expect("removed");
                std::fs::create_dir(path).expect("made")
            }),
            Heal::PutBack,
        ),
        way(
            "a pipe",
            Hurt::File(|path| {
                std::fs::remove_file(path).expect("removed");
                rustix::fs::mknodat(
                    rustix::fs::CWD,
                    path,
                    rustix::fs::FileType::Fifo,
                    rustix::fs::Mode::RUSR,
                    0,
                )
                .expect("made")
            }),
            Heal::PutBack,
        ),
    ]
}

/// A town whose inbox has a file of its own.
async fn town() -> Town {
    let town = Town::new(Options { task_seconds: 1.0, ..hostile() }).await;
    let config = std::fs::read_to_string(town.path("unlockd.toml")).expect("a configuration");
    let apart = config.replace("[inbox]", &format!("[inbox]\ndatabase = {:?}", town.path("inbox.db")));
    std::fs::write(town.path("unlockd.toml"), apart).expect("written");
    assert!(town.run_until_idle().success(), "{}", town.log());
    town
}

impl Town {
    async fn inbox(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path("inbox.db"));
        SqliteConnection::connect_with(&options.busy_timeout(Duration::from_secs(20))).await.expect("opens")
    }

    async fn ask_for(&self, id: u32) {
        let sql = format!("insert into inbox (event_id, personnel_ids) values ('139574', '[{id}]')");
        self.inbox().await.execute(AssertSqlSafe(sql)).await.expect("inserted");
    }

    fn put_back(&self) {
        let path = self.path("inbox.db");
        if path.is_dir() {
            std::fs::remove_dir(&path).expect("removed");
        }
        std::fs::copy(self.path("saved.db"), self.path("new.db")).expect("copied");
        let mode = std::fs::Permissions::from_mode(0o660);
        std::fs::set_permissions(self.path("new.db"), mode).expect("set");
        std::fs::rename(self.path("new.db"), path).expect("renamed");
    }

    async fn until_delivered(&self, count: i64) {
        self.until("select count(*) from contact_outcomes where outcome = 'delivered'", count).await;
    }
}

fn lives(worker: &mut Child, town: &Town, what: &str) {
    let ended = worker.try_wait().expect("ours");
    assert!(ended.is_none(), "{what}: {ended:?}\n{}", town.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hurt_inbox_file_costs_intake_only_until_it_is_whole_again() {
    let town = town().await;
    let mut worker = town.start();
    let mut delivered = 0;
    for (number, Way { name, hurt, heal }) in ways_of_sql().into_iter().chain(ways_of_files()).enumerate() {
        let first = 1_000 + 10 * number as u32;
        town.ask_for(first).await;
        town.until("select count(*) from jobs where state = 'polling'", 1).await;
        std::fs::copy(town.path("inbox.db"), town.path("saved.db")).expect("copied");
        match hurt {
            Hurt::Sql(sql) => drop(town.inbox().await.execute(sql).await.expect(name)),
            Hurt::File(hurt) => hurt(&town.path("inbox.db")),
        }
        // What was paid for is followed to its end.
        delivered += 1;
        town.until_delivered(delivered).await;
        lives(&mut worker, &town, name);
        if number % 2 == 0 {
            worker.kill().expect("killed");
            worker.wait().expect("dead");
            worker = town.start();
        }
        town.until("select count(*) from inbox_faults where part = 'intake'", 1).await;
        let (_, told) = town.say(&["watch", "--once"]);
        assert!(told.contains("inbox unavailable"), "{name}: {told}");
        lives(&mut worker, &town, name);
        match heal {
            Heal::Sql(sql) => drop(town.inbox().await.execute(sql).await.expect(name)),
            Heal::PutBack => town.put_back(),
        }
        town.until("select count(*) from inbox_faults", 0).await;
        town.ask_for(first + 1).await;
        delivered += 1;
        town.until_delivered(delivered).await;
        lives(&mut worker, &town, name);
    }
    worker.kill().expect("killed");
    worker.wait().expect("dead");
}

/// The index of a log is mapped into memory: a program that cuts it off kills those that read it.
#[tokio::test(flavor = "multi_thread")]
async fn no_file_of_the_inbox_is_mapped_into_memory() {
    let town = town().await;
    let mut worker = town.start();
    let options = SqliteConnectOptions::new().filename(town.path("inbox.db"));
    let mut other = SqliteConnection::connect_with(
        &options.journal_mode(SqliteJournalMode::Wal).busy_timeout(Duration::from_secs(20)),
    )
    .await
    .expect("opens");
    other
        .execute("insert into inbox (event_id, personnel_ids) values ('139574', '[780]')")
        .await
        .expect("inserted");
    town.until("select count(*) from inbox_faults where cause like '%WAL%'", 1).await;
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", worker.id())).expect("readable");
    assert!(!maps.contains("inbox.db"), "{maps}");
    other.close().await.expect("closed");
    town.until_delivered(1).await;
    lives(&mut worker, &town, "after the other program has closed it");
    worker.kill().expect("killed");
    worker.wait().expect("dead");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_held_and_a_trigger_that_never_ends_hold_up_intake_alone() {
    let town = town().await;
    let socket = UnixDatagram::bind(town.path("notify")).expect("a socket");
    let mut worker = town.start_notifying(&town.path("notify"), None);
    town.ask_for(800).await;
    town.until("select count(*) from jobs where state = 'polling'", 1).await;
    let mut other = town.inbox().await;
    other.execute("begin exclusive").await.expect("locked");
    town.until_delivered(1).await;
    town.until("select count(*) from inbox_faults where part = 'intake'", 1).await;
    assert!(is_fed(&socket), "{}", town.log());
    other.execute("rollback").await.expect("unlocked");
    town.until("select count(*) from inbox_faults", 0).await;

    let endless = format!(
        "create trigger endless after update on inbox begin insert into inbox_worker select 1 from ({ENDLESS}); end"
    );
    other.execute(AssertSqlSafe(endless)).await.expect("made");
    town.ask_for(801).await;
    town.until_delivered(2).await;
    town.until("select count(*) from inbox_faults where part = 'status'", 1).await;
    assert!(is_fed(&socket), "{}", town.log());
    other.execute("drop trigger endless").await.expect("dropped");
    town.until("select count(*) from inbox_faults", 0).await;
    lives(&mut worker, &town, "at the end");
    worker.kill().expect("killed");
    worker.wait().expect("dead");
}

/// Whether systemd hears that the worker lives within its time.
fn is_fed(socket: &UnixDatagram) -> bool {
    let until = Instant::now() + Duration::from_secs(20);
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    while Instant::now() < until {
        let mut buffer = [0; 256];
        if socket.recv(&mut buffer).is_ok_and(|length| buffer[..length].starts_with(b"WATCHDOG=1")) {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_forty_megabytes_takes_no_more_memory_than_its_rejection_needs() {
    let town = town().await;
    let mut worker = town.start();
    let sql = "insert into inbox (personnel_ids, action) values ('[1]', cast(zeroblob(40000000) as text))";
    town.inbox().await.execute(sql).await.expect("inserted");
    town.until("select count(*) from requests where status = 'rejected' and inbox_is_behind = 0", 1).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.id())).expect("readable");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak < 250_000, "{peak} kB");
    worker.kill().expect("killed");
    worker.wait().expect("dead");
}
