//! `retention.history`: what is old goes, and what keeps a contact from being bought twice stays.

use std::time::Duration;

use unlockd::store::report::requests::{self, Filter};
use unlockd::worker::history;

use crate::support::{Setup, Town, good_ids, is_on_postgres, refs};

const DAY: Duration = Duration::from_secs(24 * 3_600);

async fn listed(town: &Town) -> Vec<i64> {
    let all = requests::list(town.store(), Filter::default(), 100).await.expect("readable");
    all.iter().map(|request| request.id).collect()
}

async fn prune(town: &Town) {
    history::run(town.deps(), || false).await.expect("removed");
}

/// `fresh`: a request whose contact was bought; contact 101 was bought 91 days before.
async fn copies_tell_when_their_value_was_read(town: &mut Town, fresh: i64) {
    let stubs = "select count(*) from contact_outcomes where request_id <= 2";
    assert_eq!(town.number(stubs).await, 0, "what was removed is in no view");
    // A reader who keeps the newest by `obtained_at` is not misled by a copy.
    let days = match is_on_postgres() {
        true => "trunc(extract(epoch from resolved_at::timestamptz - obtained_at::timestamptz) / 86400)",
        false => "julianday(resolved_at) - julianday(obtained_at)",
    };
    let age = format!("select cast({days} as bigint) from contact_outcomes where personnel_id = '101'");
    assert_eq!(town.number(&age).await, 91);
    let third = town.insert(None, &["101"]).await;
    town.finish().await;
    let of_copy = format!("{age} and request_id = {third}");
    assert_eq!(town.number(&of_copy).await, 91, "a copy of a copy");
    let fresh_one = format!(
        "select count(*) from contact_outcomes where request_id = {fresh} and obtained_at = resolved_at"
    );
    assert_eq!(town.number(&fresh_one).await, 1);
}

#[tokio::test]
async fn old_requests_timelines_and_snapshots_go_and_nothing_is_bought_twice() {
    let setup = Setup::default().config("RETENTION__HISTORY", "90d").config("CREDITS__APPROVE_ABOVE", "1000");
    let mut town = setup.build().await;
    let bought = town.insert_row("personnel_ids, reference", "'[101, 102, \"x y\"]', 'call Anna'").await;
    let rejected = town.insert_row("personnel_ids, action", "'[1]', 'nonsense'").await;
    let search = town.insert_row("action, query", "'search_exhibitor_companies', 'Acme'").await;
    town.finish_all().await;
    let waits = town.insert(None, &refs(&good_ids(30_000, 70))).await;
    town.settle().await;
    assert_eq!(town.status(waits).await, "awaiting_approval");
    let (ledger, events) = ("select sum(credits) from ledger", "select count(*) from request_events");
    let (booked, before) = (town.number(ledger).await, town.number(events).await);
    prune(&town).await;
    assert_eq!((town.number(events).await, listed(&town).await.len()), (before, 4), "nothing is old");

    town.clock.advance(91 * DAY);
    town.sandbox.advance(91 * DAY);
    let fresh = town.insert(None, &["201"]).await;
    town.settle().await;
    town.finish().await;
    prune(&town).await;
    assert_eq!(listed(&town).await, [fresh, waits], "what is open or new stays");
    for id in [bought, rejected, search] {
        assert!(requests::read(town.store(), id).await.expect("readable").is_none(), "{id}");
        let own = format!("select count(*) from request_events where request_id = {id}");
        assert_eq!(town.number(&own).await, 0, "{id}");
    }
    assert!(town.number("select count(*) from request_events where request_id = 4").await > 0);
    assert_eq!(town.number("select count(*) from requests where reference is not null").await, 0);
    assert_eq!(
        town.number("select count(*) from items where request_id = 2").await,
        0,
        "nothing was bought for it"
    );
    assert_eq!(town.number("select count(*) from items where personnel_id = 'x y'").await, 0);
    let old = format!(
        "select count(*) from balance_snapshots where taken_at < {}",
        town.clock.now().0 - 86_400_000
    );
    assert!(town.number(&old).await <= 1);
    assert_eq!(town.number("select sum(credits) from ledger where job_id <= 2").await, booked);

    // The same contacts again: they are here.
    let posts = town.posts().len();
    let again = town.insert(None, &["101", "102"]).await;
    town.settle().await;
    assert_eq!(town.status(again).await, "done");
    assert_eq!(town.outcome(again, "101").await, ("delivered".to_owned(), Some("store".to_owned())));
    assert_eq!(town.posts().len(), posts);
    copies_tell_when_their_value_was_read(&mut town, fresh).await;
    // The next start knows its own database.
    town.restart().await;
    town.cancel(waits).await;
    town.finish_all().await;
    assert_eq!(town.number("select count(*) from accounts where restored_at is not null").await, 0);
    town.check().await;
}

/// The newest event tells the next start that this is the database it knows.
#[tokio::test]
async fn the_newest_event_stays_however_old_it_is() {
    let mut town = Setup::default().config("RETENTION__HISTORY", "30d").build().await;
    town.insert(None, &["101"]).await;
    town.finish_all().await;
    let newest = town.number("select max(id) from request_events").await;
    town.clock.advance(400 * DAY);
    prune(&town).await;
    assert_eq!(town.number("select count(*) from request_events").await, 1);
    assert_eq!(town.number("select max(id) from request_events").await, newest);
    assert_eq!(
        town.number("select count(*) from requests where removed_at is not null").await,
        0,
        "the last one"
    );
    town.check().await;
}
