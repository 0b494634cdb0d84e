//! The worker on PostgreSQL, as a process: killed at the dangerous moments, and parted from its server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::{Connection, Executor, PgConnection};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::{Town, hostile, signal, wait};

/// Where a crash loses or doubles a purchase if anything does. The third call is the submission.
const MOMENTS: [&str; 4] = ["after_intent:1", "before_call:3", "after_call:3", "before_commit:8"];

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_postgresql_it_delivers_once_and_the_ledger_adds_up() {
    for fail in MOMENTS {
        let Some(town) = Town::on_server(hostile()).await else { return };
        town.insert(100..120).await;
        let mut worker = town.start_until_idle(Some(fail));
        let status = tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(120)));
        assert!(!status.success(), "{fail} did not happen\n{}", town.log());
        let status = tokio::task::block_in_place(|| town.run_until_idle());
        assert!(status.success(), "after {fail}: {status}\n{}", town.log());
        town.assert_paid_once_and_delivered(100..120, fail).await;
    }
}

/// As a failed disk: it spends nothing more and ends, and the next start reads what was committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_connections_are_cut_ends_and_the_next_one_finishes() {
    let Some(town) = Town::on_server(hostile()).await else { return };
    let mut worker = town.start();
    town.insert(100..120).await;
    town.until("select count(*) from jobs where state = 'polling'", 1).await;
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
               where datname = current_database() and pid <> pg_backend_pid()";
    town.number(cut).await;
    let status = tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(30)));
    assert!(!status.success(), "it went on\n{}", town.log());
    let status = tokio::task::block_in_place(|| town.run_until_idle());
    assert!(status.success(), "{status}\n{}", town.log());
    town.assert_paid_once_and_delivered(100..120, "after the cut").await;
}

/// What SQLite does to the freed bytes has no meaning there.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_refused_on_postgresql_is_answered_and_holds_up_no_other() {
    let Some(town) = Town::on_server(hostile()).await else { return };
    town.number("insert into inbox (event_id, personnel_ids) values ('7', 'nonsense') returning 1").await;
    town.insert(100..120).await;
    let status = tokio::task::block_in_place(|| town.run_until_idle());
    assert!(status.success(), "{status}\n{}", town.log());
    assert_eq!(town.number("select count(*) from inbox where status = 'rejected'").await, 1);
    let delivered = "select count(*) from contact_outcomes where outcome = 'delivered'";
    assert_eq!(town.number(delivered).await, 20, "{}", town.log());
}

/// The notification of a row goes to nobody; whoever listens again looks at the table.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_whose_notification_nobody_heard_is_taken_once_the_worker_listens_again() {
    let Some(town) = Town::on_server(hostile()).await else { return };
    let config = std::fs::read_to_string(town.path("unlockd.toml")).expect("the configuration");
    let slow = config.replace("interval = \"20ms\"", "interval = \"10m\"");
    std::fs::write(town.path("unlockd.toml"), slow).expect("written");
    let mut worker = town.start();
    // They have heard nothing for a while: the worker has nothing more to do, and looks at nothing by itself.
    let quiet =
        "select count(*) from pg_stat_activity where datname = current_database() and query = 'select 1'";
    town.until(quiet, 2).await;
    let mut producer = PgConnection::connect(town.server_url()).await.expect("connects");
    let insert = "begin; insert into inbox (event_id, personnel_ids) values ('139574', '[\"100\"]')";
    producer.execute(insert).await.expect("a row");
    // In one round trip: they are gone before the notification is sent, and listen again at once.
    let end = "select pg_terminate_backend(pid) from pg_stat_activity
               where datname = current_database() and query = 'select 1'; commit";
    producer.execute(end).await.expect("committed");
    let since = Instant::now();
    town.until("select count(*) from requests", 1).await;
    let took = since.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}\n{}", town.log());
    town.until("select count(*) from requests where status = 'done' and inbox_is_behind = 0", 1).await;
    signal(&worker, Signal::TERM);
    let status = tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(20)));
    assert!(status.success(), "{status}\n{}", town.log());
    town.assert_paid_once_and_delivered(100..101, "nobody heard").await;
    println!("taken in {took:?} after the commit");
}

/// Stands before the server, and can stop passing anything on.
struct Relay {
    address: SocketAddr,
    is_cut: watch::Sender<bool>,
}

impl Relay {
    async fn start(server: String) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let is_cut = watch::Sender::new(false);
        let cut = is_cut.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), cut.subscribe()));
            }
        });
        Relay { address, is_cut }
    }
}

async fn pass(mut client: TcpStream, server: String, mut is_cut: watch::Receiver<bool>) {
    let mut onward = TcpStream::connect(server).await.expect("the server is there");
    let cut = async { drop(is_cut.wait_for(|is_cut| *is_cut).await) };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut onward) => {}
        // Neither end is told.
        () = cut => std::future::pending().await,
    }
}

/// A network that is cut tells nobody: each statement waits for an answer that never comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_server_that_does_not_answer_and_says_what_it_left() {
    let Some(town) = Town::on_server(hostile()).await else { return };
    let config = std::fs::read_to_string(town.path("unlockd.toml")).expect("the configuration");
    let server = config.split('@').nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
    let relay = Relay::start(server.to_owned()).await;
    let through = config.replace(server, &relay.address.to_string());
    std::fs::write(town.path("unlockd.toml"), through).expect("the configuration is written");
    let mut worker = town.start();
    town.insert(100..110).await;
    town.until("select count(*) from inbox where status = 'done'", 1).await;
    relay.is_cut.send_replace(true);
    let since = Instant::now();
    signal(&worker, Signal::TERM);
    let status = tokio::task::block_in_place(|| wait(&mut worker, Duration::from_secs(15)));
    assert!(status.success(), "{status}\n{}", town.log());
    assert!(since.elapsed() < Duration::from_secs(11), "{:?}\n{}", since.elapsed(), town.log());
    for left in ["a call or the database had not answered", "\"passes\":\"", "the lease was not given back"] {
        assert!(town.log().contains(left), "{left}\n{}", town.log());
    }
}
