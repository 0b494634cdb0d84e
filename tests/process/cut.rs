//! Hosts that are cut off without being told: from the database, from the API, in one direction, for one connection.
//!
//! Each test has a network of its own (see `network`), and the first host's worker is cut off. The sandbox charges every
//! repeated call again, so whatever that worker still sends, and whatever its successor sends too early, shows.

use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::{Connection, PgConnection};
use unlockd::sandbox::Fault;

use crate::network::{Network, alone};
use crate::stops::is_stopped;
use crate::support::{Town, hostile, signal, wait};

/// What the configuration says, in seconds; `api.timeout` is 3 s.
const LEASE: u64 = 5;
const UNLOCK: &str = "/external/contacts/unlock";
/// The key of the first host, and of the second.
const KEYS: [&str; 2] = ["uak_first", "uak_second"];

const OPEN: &str = "select (select count(*) from inbox where status <> 'done') + (select count(*) from requests where inbox_is_behind = 1)";
const UNSERVED: &str = "select count(*) from owners
                        where worker is null or expires_at < extract(epoch from clock_timestamp()) * 1000";

async fn town(more: &str) -> Option<Town> {
    Town::on_server_with(hostile(), &format!("[fleet]\nlease = \"{LEASE}s\"\n{more}")).await
}

/// Paid calls that were made with a key, and when.
fn paid(town: &Town, key: &str) -> Vec<Instant> {
    let journal = town.sandbox.journal();
    let paid = journal.iter().filter(|call| call.path == UNLOCK && call.key.as_deref() == Some(key));
    paid.map(|call| call.real_at).collect()
}

/// Both workers; the first has all owners.
async fn start_both(town: &Town, network: &Network) -> (Child, Child) {
    let first = town.start_on((network, 0), KEYS[0], None);
    town.until(UNSERVED, 0).await;
    let second = town.start_on((network, 1), KEYS[1], None);
    town.until("select count(*) from workers", 2).await;
    (first, second)
}

/// How long it takes until the second worker has all owners.
async fn taken_over(town: &Town, since: Instant) -> Duration {
    town.until("select count(*) from owners where coalesce(host, '') <> 'host-1'", 0).await;
    let took = since.elapsed();
    assert!(took < Duration::from_secs(LEASE + 10), "{took:?}\n{}", town.log());
    took
}

async fn until(what: &str, town: &Town, is: impl Fn() -> bool) {
    let since = Instant::now();
    while !is() {
        assert!(since.elapsed() < Duration::from_secs(30), "{what}\n{}", town.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn stop(worker: &mut Child) {
    signal(worker, Signal::TERM);
    let status = tokio::task::block_in_place(|| wait(worker, Duration::from_secs(20)));
    assert!(status.success(), "{status}");
}

/// It was replaced, and finds out when it hears the database again.
fn ends_as_replaced(worker: &mut Child, town: &Town) {
    let status = tokio::task::block_in_place(|| wait(worker, Duration::from_secs(60)));
    assert!(!status.success(), "it must say that it was replaced\n{}", town.log());
}

/// A gate in the database, which lets nobody insert an attempt while the connection that is returned holds it.
/// `deferrable`: at the commit. Whoever has passed it is told so many `bytes`.
async fn with_gate(town: &Town, deferrable: &str, bytes: u32) -> PgConnection {
    town.run(&format!(
        "create function pass_gate() returns trigger language plpgsql as $$ begin
             perform pg_advisory_xact_lock(41);
             if {bytes} > 0 then raise notice '%', repeat('x', {bytes}); end if;
             return null;
         end $$"
    ))
    .await;
    town.run(&format!(
        "create constraint trigger gate after insert on attempts {deferrable} for each row execute function pass_gate()"
    ))
    .await;
    let mut holder = PgConnection::connect(town.server_url()).await.expect("connects");
    sqlx::query("select pg_advisory_lock(41)").execute(&mut holder).await.expect("locked");
    holder
}

const AT_GATE: &str = "select count(*) from pg_locks where locktype = 'advisory' and not granted
                       and database = (select oid from pg_database where datname = current_database())";

async fn open(mut gate: PgConnection) {
    sqlx::query("select pg_advisory_unlock(41)").execute(&mut gate).await.expect("unlocked");
    gate.close().await.expect("closes");
}

#[test]
fn a_host_that_loses_the_database_in_the_middle_of_a_paid_call_sends_nothing_past_its_deadline() {
    let name =
        "cut::a_host_that_loses_the_database_in_the_middle_of_a_paid_call_sends_nothing_past_its_deadline";
    alone(name, async {
        let Some(town) = town("").await else { return };
        let mut network = Network::new(2);
        let (mut victim, mut successor) = start_both(&town, &network).await;
        // The answer is under way when the database is lost, and the API is not.
        town.sandbox.inject("slow=1500ms@unlock".parse::<Fault>().expect("a fault"));
        town.insert(100..110).await;
        until("no paid call", &town, || paid(&town, KEYS[0]).len() == 1).await;
        network.cut(0, town.server_port());
        let cut = Instant::now();
        // More work for whoever may buy.
        town.insert(110..120).await;
        let took = taken_over(&town, cut).await;
        town.until(OPEN, 0).await;
        network.heal(0);
        ends_as_replaced(&mut victim, &town);
        let journal = town.sandbox.journal();
        let deadline = cut + Duration::from_secs(LEASE);
        let late =
            journal.iter().filter(|call| call.key.as_deref() == Some(KEYS[0]) && call.real_at > deadline);
        assert_eq!(late.count(), 0, "calls past the deadline\n{}", town.log());
        assert_eq!(paid(&town, KEYS[0]).len(), 1, "{}", town.log());
        stop(&mut successor);
        town.assert_paid_once_and_delivered(100..120, "cut off from the database").await;
        println!("taken over {took:?} after the cut");
    });
}

/// The record of the call is committed, and the worker hears of it only when its lease has run out.
#[test]
fn a_worker_that_hears_of_its_commit_past_its_deadline_does_not_send_the_call() {
    alone("cut::a_worker_that_hears_of_its_commit_past_its_deadline_does_not_send_the_call", async {
        let Some(town) = town("").await else { return };
        let mut network = Network::new(2);
        let (mut victim, mut successor) = start_both(&town, &network).await;
        let gate = with_gate(&town, "deferrable initially deferred", 0).await;
        town.insert(100..110).await;
        town.until(AT_GATE, 1).await;
        network.cut_answers(0, town.server_port());
        open(gate).await;
        town.until("select count(*) from jobs where state = 'submitting'", 1).await;
        taken_over(&town, Instant::now()).await;
        // The server's system sends the answer again, at the latest after as long as it has tried by now.
        network.heal(0);
        ends_as_replaced(&mut victim, &town);
        assert!(!town.log().contains("COMMIT was not answered in time"), "it was too late\n{}", town.log());
        assert_eq!(paid(&town, KEYS[0]).len(), 0, "sent past the deadline\n{}", town.log());
        town.until(OPEN, 0).await;
        stop(&mut successor);
        town.assert_paid_once_and_delivered(100..110, "a late answer to COMMIT").await;
    });
}

/// The server keeps the locks of a transaction whose client says nothing more, or does not take what it is told.
#[test]
fn a_host_that_is_cut_off_within_a_transaction_is_replaced_in_time() {
    alone("cut::a_host_that_is_cut_off_within_a_transaction_is_replaced_in_time", async {
        let mut network = Network::new(2);
        for bytes in [0, 20_000_000] {
            let Some(town) = town("").await else { return };
            let (mut victim, mut successor) = start_both(&town, &network).await;
            let gate = with_gate(&town, "", bytes).await;
            town.insert(100..110).await;
            town.until(AT_GATE, 1).await;
            network.cut(0, town.server_port());
            let cut = Instant::now();
            open(gate).await;
            let took = taken_over(&town, cut).await;
            town.until(OPEN, 0).await;
            network.heal(0);
            ends_as_replaced(&mut victim, &town);
            assert_eq!(paid(&town, KEYS[0]).len(), 0, "{}", town.log());
            stop(&mut successor);
            town.assert_paid_once_and_delivered(100..110, "cut off within a transaction").await;
            println!("told {bytes} bytes: taken over {took:?} after the cut");
        }
    });
}

#[test]
fn a_host_that_loses_the_api_in_the_middle_of_a_paid_call_looks_before_it_or_its_successor_buys() {
    let name =
        "cut::a_host_that_loses_the_api_in_the_middle_of_a_paid_call_looks_before_it_or_its_successor_buys";
    alone(name, async {
        let mut network = Network::new(2);
        for is_handed_over in [false, true] {
            let Some(town) = town("").await else { return };
            let mut victim = town.start_on((&network, 0), KEYS[0], None);
            town.until(UNSERVED, 0).await;
            town.sandbox.inject("slow=1500ms@unlock".parse::<Fault>().expect("a fault"));
            town.insert(100..110).await;
            until("no paid call", &town, || paid(&town, KEYS[0]).len() == 1).await;
            network.cut(0, town.sandbox.address().port());
            town.until("select count(*) from jobs where state = 'in_doubt'", 1).await;
            let mut worker = if is_handed_over {
                stop(&mut victim);
                town.start_on((&network, 1), KEYS[1], None)
            } else {
                network.heal(0);
                victim
            };
            town.until(OPEN, 0).await;
            stop(&mut worker);
            town.assert_paid_once_and_delivered(100..110, "cut off from the API").await;
        }
    });
}

/// A path that takes no large packets lets a connection be made, and then takes the call. The system goes on trying to
/// deliver it, also when the worker has given it up and closed the connection.
#[test]
fn what_the_network_did_not_take_of_a_paid_call_is_not_delivered_once_it_is_given_up() {
    let name = "cut::what_the_network_did_not_take_of_a_paid_call_is_not_delivered_once_it_is_given_up";
    alone(name, async {
        let Some(town) = town("").await else { return };
        let mut network = Network::new(1);
        let mut worker = town.start_on((&network, 0), KEYS[0], Some("after_intent:1:stop"));
        town.insert(100..110).await;
        until("it did not stop", &town, || is_stopped(&worker)).await;
        let port = town.sandbox.address().port();
        network.lose_larger_than(200, 0, port);
        signal(&worker, Signal::CONT);
        until("nothing was sent", &town, || network.delivers(0, port)).await;
        town.until("select count(*) from jobs where state = 'in_doubt'", 1).await;
        let given_up = Instant::now();
        until("it is still being delivered", &town, || {
            assert!(
                given_up.elapsed() < Duration::from_secs(2),
                "the system still tries to deliver the call"
            );
            !network.delivers(0, port)
        })
        .await;
        assert_eq!(town.sandbox.accounting().charges.len(), 0, "{}", town.log());
        network.heal(0);
        town.until(OPEN, 0).await;
        stop(&mut worker);
        town.assert_paid_once_and_delivered(100..110, "a path that takes no large packets").await;
    });
}

/// What a firewall forgets: neither end is told, and notifications go nowhere.
#[test]
fn a_listening_connection_that_is_lost_in_silence_is_replaced() {
    alone("cut::a_listening_connection_that_is_lost_in_silence_is_replaced", async {
        let Some(town) = Town::on_server_with(hostile(), "").await else { return };
        let config = std::fs::read_to_string(town.path("unlockd.toml")).expect("the configuration");
        let slow = config.replace("interval = \"20ms\"", "interval = \"10m\"");
        std::fs::write(town.path("unlockd.toml"), slow).expect("written");
        let mut network = Network::new(1);
        let mut worker = town.start_on((&network, 0), KEYS[0], None);
        let listening = "select count(*) from pg_stat_activity where datname = current_database() and query ilike 'listen%'";
        town.until(listening, 2).await;
        let ports = "select client_port::bigint from pg_stat_activity where datname = current_database() and query ilike 'listen%'";
        for from in town.numbers(ports).await {
            network.forget(0, town.server_port(), u16::try_from(from).expect("a port"));
        }
        let cut = Instant::now();
        let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                   where datname = current_database() and query ilike 'listen%'";
        assert_eq!(town.number(end).await, 2);
        town.until(listening, 2).await;
        let deaf = cut.elapsed();
        assert!(deaf < Duration::from_secs(20), "{deaf:?}");
        town.insert(100..110).await;
        town.until(OPEN, 0).await;
        network.heal(0);
        stop(&mut worker);
        town.assert_paid_once_and_delivered(100..110, "a deaf worker").await;
        println!("it heard nothing for {deaf:?}");
    });
}
