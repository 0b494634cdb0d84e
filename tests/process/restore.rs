//! A copy of the database, restored after more was bought: nothing is bought again.

use std::time::Duration;

use unlockd::sandbox::{Channel, Options};

use crate::support::{Town, hostile, wait};

/// Moments in the life of a purchase at which a copy is made.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The inbox row was not taken yet.
    Asked,
    /// The intent is committed, and the worker died before the POST.
    Sending,
    /// The API has accepted it, and the worker died before it recorded that.
    Sent,
    /// The task runs, and so does the worker.
    Polling,
}

async fn copied_at(moment: Moment) -> Town {
    let town = Town::new(Options { task_seconds: 2.0, ..hostile() }).await;
    town.insert(100..110).await;
    let die = |fail: &str| {
        let mut worker = town.start_until_idle(Some(fail));
        assert!(!wait(&mut worker, Duration::from_secs(20)).success(), "{fail}");
    };
    match moment {
        Moment::Asked => copy(&town),
        Moment::Sending => {
            die("after_intent:1");
            copy(&town);
        }
        Moment::Sent => {
            // Balance, precheck, POST.
            die("after_call:3");
            copy(&town);
        }
        Moment::Polling => {
            let mut worker = town.start();
            town.until("select count(*) from jobs where state = 'polling'", 1).await;
            copy(&town);
            worker.kill().expect("the worker is there");
            worker.wait().expect("it is dead");
        }
    }
    town
}

fn copy(town: &Town) {
    let (code, said) = town.say(&["backup", "copy.db"]);
    assert_eq!(code, Some(0), "{}", town.log());
    assert!(said.contains("sound"), "{said}");
}

fn put_back(town: &Town) {
    for name in ["unlockd.db", "unlockd.db-wal", "unlockd.db-shm"] {
        std::fs::remove_file(town.path(name)).ok();
    }
    std::fs::copy(town.path("copy.db"), town.path("unlockd.db")).expect("copied");
}

fn paid_posts(town: &Town) -> usize {
    let calls = town.sandbox.journal();
    calls.iter().filter(|call| call.method == "POST" && call.path.ends_with("/contacts/unlock")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_is_noticed_and_buys_nothing_twice() {
    for moment in [Moment::Asked, Moment::Sending, Moment::Sent, Moment::Polling] {
        let town = copied_at(moment).await;
        let run = || tokio::task::block_in_place(|| town.run_until_idle());
        // More is asked for and bought after the copy.
        town.insert(200..205).await;
        assert!(run().success(), "{moment:?}\n{}", town.log());
        town.assert_paid_once_and_delivered_all(moment).await;
        let posts = paid_posts(&town);
        put_back(&town);
        town.insert(200..205).await;
        assert!(run().success(), "{moment:?}\n{}", town.log());
        assert!(town.log().contains("this database is an older copy"), "{moment:?}\n{}", town.log());
        town.assert_paid_once_and_delivered_all(moment).await;
        assert_eq!(town.number("select count(*) from contact_outcomes where source = 'store'").await, 0);
        assert_eq!(paid_posts(&town), posts, "{moment:?}");
        // The next start is a normal one.
        assert!(run().success(), "{moment:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_what_no_precheck_vouches_for_waits_for_a_person() {
    let searches = "insert into inbox (action, query) values ('search_exhibitor_companies', 'Acme')";
    for unhelpful in [true, false] {
        let town = copied_at(Moment::Asked).await;
        let run = || tokio::task::block_in_place(|| town.run_until_idle());
        assert!(run().success(), "{}", town.log());
        put_back(&town);
        if unhelpful {
            town.sandbox.inject("always:status=400@precheck".parse().expect("a fault"));
        } else {
            sqlx::raw_sql(searches).execute(&mut town.connect().await).await.expect("written");
        }
        let (posts, found) = (paid_posts(&town), searches_made(&town));
        assert_eq!(run().code(), Some(4), "{}", town.log());
        assert_eq!((paid_posts(&town), searches_made(&town)), (posts, found));
        let id = if unhelpful { "1" } else { "2" };
        assert!(town.say(&["explain", id]).1.contains("older copy"), "{}", town.say(&["explain", id]).1);
        // It stays like that for any number of starts.
        assert_eq!((run().code(), paid_posts(&town)), (Some(4), posts));
        town.sandbox.clear_faults();
        assert_eq!(town.say(&["resume"]).0, Some(0));
        assert!(run().success(), "{}", town.log());
        assert_eq!(searches_made(&town), usize::from(!unhelpful), "a person vouched for it");
        let charges = town.sandbox.accounting();
        let twice = (100..110).filter(|id| charges.charge(&id.to_string(), Channel::Email).times != 1);
        assert_eq!(twice.count(), 0, "{charges:?}");
    }
}

fn searches_made(town: &Town) -> usize {
    town.sandbox.journal().iter().filter(|call| call.path.contains("/search-")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_comes_without_its_lock_file_is_taken_for_a_copy_and_a_new_one_is_not() {
    let town = Town::new(hostile()).await;
    town.insert(100..105).await;
    assert!(town.run_until_idle().success(), "{}", town.log());
    assert!(!town.log().contains("older copy"), "{}", town.log());
    std::fs::remove_file(town.path("unlockd.db.lock")).expect("it was there");
    town.insert(105..110).await;
    assert!(town.run_until_idle().success(), "{}", town.log());
    assert!(town.log().contains("older copy"), "{}", town.log());
    town.assert_paid_once_and_delivered(100..110, "without its lock file").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_private_and_whole_and_replaces_nothing_unless_told() {
    use std::os::unix::fs::PermissionsExt;
    let town = Town::new(hostile()).await;
    let config = std::fs::read_to_string(town.path("unlockd.toml")).expect("there");
    let apart = config.replace("[inbox]", "[inbox]\ndatabase = \"inbox.db\"");
    std::fs::write(town.path("unlockd.toml"), apart).expect("written");
    // Makes the inbox file, as the worker's first start does; `backup` makes none.
    town.say(&["check"]);
    let (code, said) = town.say(&["backup", "copy.db", "--json"]);
    assert_eq!(code, Some(0), "{}", town.log());
    assert!(said.contains("copy.db.inbox"), "{said}");
    for name in ["copy.db", "copy.db.inbox"] {
        let mode = std::fs::metadata(town.path(name)).expect("copied").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    std::fs::write(town.path("copy.db"), "somebody's").expect("written");
    assert_eq!(town.say(&["backup", "copy.db"]).0, Some(4), "{}", town.log());
    assert_eq!(std::fs::read(town.path("copy.db")).expect("there"), b"somebody's");
    assert_eq!(town.say(&["backup", "--force", "copy.db"]).0, Some(0), "{}", town.log());
    assert!(std::fs::read(town.path("copy.db")).expect("there").starts_with(b"SQLite format 3"));
    std::os::unix::fs::symlink(town.path("unlockd.db-wal"), town.path("link")).expect("linked");
    for itself in [
        "unlockd.db",
        "./unlockd.db",
        "inbox.db",
        "unlockd.db-wal",
        "unlockd.db-shm",
        "unlockd.db-journal",
        "inbox.db-wal",
        "unlockd.db.lock",
        "link",
    ] {
        assert_eq!(town.say(&["backup", "--force", itself]).0, Some(4), "{itself}");
    }
    let mut meddler = town.connect().await;
    let orphan = "pragma foreign_keys = off; insert into ledger (at, account, job_id, entry, credits)
        values (1, 'default', 4711, 'charge', 1)";
    sqlx::raw_sql(orphan).execute(&mut meddler).await.expect("written");
    assert_eq!(town.say(&["backup", "--force", "copy.db"]).0, Some(1), "{}", town.log());
    assert!(std::fs::read(town.path("copy.db")).expect("there").starts_with(b"SQLite format 3"));
    let left = std::fs::read_dir(town.path("")).expect("a folder").flatten();
    let partial: Vec<_> =
        left.map(|file| file.file_name()).filter(|name| name.to_string_lossy().contains("partial")).collect();
    assert!(partial.is_empty(), "{partial:?}");
}

impl Town {
    async fn assert_paid_once_and_delivered_all(&self, moment: Moment) {
        let charges = self.sandbox.accounting();
        for id in (100..110).chain(200..205) {
            let times = charges.charge(&id.to_string(), Channel::Email).times;
            assert_eq!(times, 1, "{moment:?}: contact {id}\n{}", self.log());
        }
        let delivered = self.number("select count(*) from contact_outcomes where email is not null").await;
        assert_eq!(delivered, 15, "{moment:?}\n{}", self.log());
    }
}

/// Otherwise it would go on writing into a file that nobody will open again.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_or_a_log_that_is_replaced_under_the_worker_ends_it() {
    let hurt = async |how: fn(&Town)| {
        let town = Town::new(hostile()).await;
        let (code, said) = town.say(&["backup", "copy.db"]);
        assert_eq!(code, Some(0), "{said}");
        let mut worker = town.start();
        // Once this is done, it works.
        town.insert(100..101).await;
        town.until("select count(*) from inbox where status = 'done'", 1).await;
        how(&town);
        let ended = tokio::task::spawn_blocking(move || wait(&mut worker, Duration::from_secs(30)));
        assert_eq!(ended.await.expect("waited").code(), Some(1), "{}", town.log());
        assert!(town.log().contains("was replaced or removed under this worker"), "{}", town.log());
    };
    tokio::join!(
        hurt(|town| std::fs::rename(town.path("copy.db"), town.path("unlockd.db")).expect("replaced")),
        hurt(|town| std::fs::remove_file(town.path("unlockd.db-wal")).expect("removed")),
    );
}

/// Its record would be in a file that nobody will open again.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_bought_once_the_database_was_replaced() {
    let town = Town::new(hostile()).await;
    let mut worker = town.start();
    town.insert(100..101).await;
    town.until("select count(*) from inbox where status = 'done'", 1).await;
    let (code, said) = town.say(&["backup", "copy.db"]);
    assert_eq!(code, Some(0), "{said}");
    // A program that has the file of before open writes a row, which the worker sees at once.
    let mut before = town.connect().await;
    sqlx::query("select count(*) from inbox").execute(&mut before).await.expect("it is open");
    std::fs::rename(town.path("copy.db"), town.path("unlockd.db")).expect("replaced");
    sqlx::query("insert into inbox (personnel_ids) values ('[\"200\"]')")
        .execute(&mut before)
        .await
        .expect("a row");
    let ended = tokio::task::spawn_blocking(move || wait(&mut worker, Duration::from_secs(30)));
    assert_eq!(ended.await.expect("waited").code(), Some(1), "{}", town.log());
    assert_eq!(paid_posts(&town), 1, "{}", town.log());
    assert!(town.log().contains("the record of the call with it"), "{}", town.log());
}
