//! Emails and phones are erased after their time, or on a person's command; outcomes stay.

use std::cell::Cell;

use unlockd::domain::PersonnelId;
use unlockd::sandbox::Billing;
use unlockd::store::erase::Which;
use unlockd::worker::erase::{self, Erased, VALUES_AT_ONCE};
use unlockd::worker::run::driver::{self, End};
use unlockd::worker::run::signals::Signals;

use crate::support::{Setup, Town, good_ids, is_on_postgres, refs};

const HOUR_MS: i64 = 3_600_000;
const REST: &str = "select id, state, outcome, source, job_id, resolved_at from items order by id";
type Rest = (i64, String, String, Option<String>, Option<i64>, Option<i64>);

async fn town_that_keeps_for_a_day() -> Town {
    Setup::default().config("RETENTION__CONTACTS", "24h").build().await
}

/// Whether an email is found in the files of the database. On PostgreSQL freed rows stay in files, logs and standbys for
/// a while: `purge` says so.
fn on_disk(town: &Town, id: &str) -> bool {
    let email = format!("contact-{id}@example.com");
    ["unlockd.db", "unlockd.db-wal"].into_iter().any(|name| {
        let bytes = std::fs::read(town.dir.path().join(name)).expect("readable");
        bytes.windows(email.len()).any(|window| window == email.as_bytes())
    })
}

fn allow(town: &mut Town, ids: &[&str]) {
    town.allowed.erased.extend(ids.iter().map(|id| (*id).to_owned()));
}

async fn kept(town: &mut Town) -> Vec<String> {
    let sql = "select value from contact_values where is_erased = 0 order by item_id";
    town.all::<(String,)>(sql).await.into_iter().map(|(value,)| value).collect()
}

async fn purge(town: &Town, id: &str) -> Erased {
    let which = Which::Of(PersonnelId::trusted(id));
    erase::values(town.store(), &which, || false).await.expect("the database is well")
}

#[tokio::test]
async fn older_values_go_and_younger_ones_and_all_outcomes_stay() {
    if is_on_postgres() {
        return;
    }
    let mut town = town_that_keeps_for_a_day().await;
    town.insert(Some("7"), &["101", "102", "197"]).await;
    town.insert_row("action, personnel_ids", "'unlock_contact_phones', '[101]'").await;
    town.finish_all().await;
    town.tick(23 * HOUR_MS).await;
    town.insert(Some("7"), &["201"]).await;
    town.finish_all().await;
    town.tick(2 * HOUR_MS).await;
    let before: Vec<Rest> = town.all(REST).await;
    assert!(["101", "102", "201"].into_iter().all(|id| on_disk(&town, id)));

    let report = erase::run(town.deps(), || false).await.expect("the database is well");
    let now = town.clock.now();
    assert_eq!((report.did, report.next_at), (3, Some(now.plus(HOUR_MS))));
    assert_eq!(kept(&mut town).await, ["contact-201@example.com"]);
    assert_eq!(town.all::<Rest>(REST).await, before);
    let found = ["101", "102", "201"].map(|id| on_disk(&town, id));
    assert_eq!(found, [false, false, true], "in unlockd.db or unlockd.db-wal");
    assert_eq!(erase::run(town.deps(), || false).await.expect("well").did, 0);
    allow(&mut town, &["101", "102"]);
    town.check().await;
}

#[tokio::test]
async fn without_a_retention_every_value_stays() {
    let mut town = Town::new().await;
    town.insert(None, &["101"]).await;
    town.finish_all().await;
    town.tick(90_000 * HOUR_MS).await;
    let report = erase::run(town.deps(), || false).await.expect("the database is well");
    assert_eq!((report.did, report.next_at), (0, None));
    assert_eq!(kept(&mut town).await, ["contact-101@example.com"]);
    town.check().await;
}

#[tokio::test]
async fn many_values_are_erased_in_many_transactions() {
    let mut town = town_that_keeps_for_a_day().await;
    let at_once = VALUES_AT_ONCE as usize;
    let ids = good_ids(1_000, 2 * at_once + 70);
    town.insert(None, &refs(&ids)).await;
    town.finish_all().await;
    town.tick(25 * HOUR_MS).await;

    // Stopped before the third step: the first two are committed, and nothing else is erased.
    let steps = Cell::new(0);
    let stopping = || steps.replace(steps.get() + 1) == 2;
    let which = Which::DeliveredBefore(town.clock.now());
    let erased = erase::values(town.store(), &which, stopping).await.expect("the database is well");
    assert_eq!(erased, Erased { values: 2 * u64::from(VALUES_AT_ONCE), complete: false });
    assert_eq!(kept(&mut town).await.len(), 70);
    let report = erase::run(town.deps(), || false).await.expect("the database is well");
    assert_eq!(report.did, 70);
    let is_on_disk = !is_on_postgres() && ids.iter().any(|id| on_disk(&town, id));
    assert!(!is_on_disk, "values that arrived in the order of their rows");
    allow(&mut town, &refs(&ids));
    town.check().await;
}

#[tokio::test]
async fn a_log_that_somebody_reads_is_emptied_later() {
    if is_on_postgres() {
        return;
    }
    let mut town = town_that_keeps_for_a_day().await;
    town.insert(None, &["101"]).await;
    town.finish_all().await;
    town.tick(25 * HOUR_MS).await;
    // A program with a read transaction: a backup, or a long export.
    town.all::<(i64,)>("begin").await;
    town.number("select count(*) from items").await;
    let report = erase::run(town.deps(), || false).await.expect("the database is well");
    let now = town.clock.now();
    assert_eq!((report.did, report.next_at), (1, Some(now.plus(60_000))));
    assert!(on_disk(&town, "101"));
    town.all::<(i64,)>("commit").await;
    let report = erase::run(town.deps(), || false).await.expect("the database is well");
    assert_eq!((report.did, report.next_at), (0, Some(now.plus(HOUR_MS))));
    assert!(!on_disk(&town, "101"));
    allow(&mut town, &["101"]);
    town.check().await;
}

#[tokio::test]
async fn an_erased_contact_that_is_asked_for_again_is_read_and_not_paid_for() {
    // With an API that charges every submission, and without the prechecks that are not needed.
    for precheck in ["true", "false"] {
        let setup = Setup::default().config("SUBMIT__PRECHECK", precheck);
        let town = setup.sandbox(|options| options.billing = Billing::Repeats).build().await;
        erased_and_asked_for_again(town).await;
    }
}

async fn erased_and_asked_for_again(mut town: Town) {
    town.insert(Some("7"), &["101", "102"]).await;
    town.insert(None, &["101"]).await;
    town.insert_row("action, personnel_ids", "'unlock_contact_phones', '[101, 102]'").await;
    town.finish_all().await;
    let (posts, charged) = (town.posts().len(), town.sandbox.accounting().charged_total);
    assert_eq!(purge(&town, "101").await, Erased { values: 3, complete: true });
    assert_eq!(kept(&mut town).await, ["contact-102@example.com", "+1-555-01102"]);
    assert_eq!(purge(&town, "101").await.values, 0);

    let again = town.insert(Some("7"), &["101"]).await;
    let phone = town.insert_row("action, personnel_ids", "'unlock_contact_phones', '[101]'").await;
    town.finish_all().await;
    let read = ("delivered".to_owned(), Some("profile".to_owned()));
    assert_eq!((town.outcome(again, "101").await, town.outcome(phone, "101").await), (read.clone(), read));
    assert_eq!((town.posts().len(), town.sandbox.accounting().charged_total), (posts, charged));
    allow(&mut town, &["101"]);
    town.check().await;
}

/// Found by the soak: without a helpful answer the price list was used, and the contact was paid for a second
/// time.
#[tokio::test]
async fn an_erased_contact_is_not_bought_again_when_the_precheck_does_not_tell() {
    for fault in ["broken=types@precheck", "broken=html@precheck", "400@precheck", "5x:500@precheck"] {
        let setup = Setup::default().sandbox(|options| options.billing = Billing::Repeats);
        let mut town = setup.build().await;
        town.insert(Some("7"), &["101"]).await;
        town.finish_all().await;
        purge(&town, "101").await;
        town.fault(fault);
        let again = town.insert(Some("7"), &["101"]).await;
        town.finish_all().await;
        let read = ("delivered".to_owned(), Some("profile".to_owned()));
        assert_eq!(town.outcome(again, "101").await, read, "{fault}");
        assert_eq!(town.posts().len(), 1, "{fault}");
        allow(&mut town, &["101"]);
        town.check().await;
    }
}

/// Found in review: the precheck was repeated for ever, and everything behind it waited.
#[tokio::test]
async fn a_precheck_that_keeps_failing_holds_up_nobody() {
    for fault in ["always:status=500@precheck", "always:status=418@precheck"] {
        let mut town = Setup::default().config("SUBMIT__BATCH_SIZE", "1").build().await;
        town.insert(Some("7"), &["101"]).await;
        town.finish_all().await;
        purge(&town, "101").await;
        town.fault(fault);
        let again = town.insert(Some("7"), &["101"]).await;
        let other = town.insert(Some("7"), &["201"]).await;
        town.finish_all().await;
        assert_eq!(town.outcome(again, "101").await.1.as_deref(), Some("profile"), "{fault}");
        assert_eq!(town.outcome(other, "201").await.1.as_deref(), Some("task"), "{fault}");
        allow(&mut town, &["101"]);
        town.check().await;
    }
}

/// Then nothing confirms a restored copy: a person is asked.
#[tokio::test]
async fn a_precheck_that_keeps_failing_pauses_a_restored_account_with_its_reason() {
    let mut town = Town::new().await;
    town.distrust().await;
    town.fault("always:status=500@precheck");
    let request = town.insert(Some("7"), &["101"]).await;
    let unlockd::worker::run::driver::End::WaitsForPerson(waits) = town.finish().await else {
        panic!("{}", town.dump().await)
    };
    assert!(waits.iter().any(|wait| wait.contains("unlockd resume")), "{waits:?}");
    assert_eq!((town.posts().len(), town.status(request).await.as_str()), (0, "accepted"));
    town.check().await;
}

/// `not_found` is about the group; only reading the profiles shows the state of each contact in it.
#[tokio::test]
async fn a_contact_that_was_paid_for_is_read_although_its_group_is_not_found() {
    for restored in [false, true] {
        let mut town = Town::new().await;
        town.insert(Some("7"), &["101"]).await;
        town.finish_all().await;
        if restored {
            // The copy does not know of 101.
            town.meddle("update items set personnel_id = '1' where personnel_id = '101'")
                .await
                .expect("older");
            town.distrust().await;
            town.allowed.erased.push("1".to_owned());
        }
        purge(&town, if restored { "1" } else { "101" }).await;
        let again = town.insert(Some("99404"), &["101", "102"]).await;
        town.finish_all().await;
        let read = ("delivered".to_owned(), Some("profile".to_owned()));
        assert_eq!(town.outcome(again, "101").await, read, "restored: {restored}");
        assert_eq!(town.outcome(again, "102").await.0, "rejected", "the event does not exist");
        let sent: Vec<_> = town.posts().iter().map(Town::sent).collect();
        assert_eq!(sent, [["101"], ["102"]], "restored: {restored}");
        allow(&mut town, &["101"]);
        town.check().await;
    }
}

/// Found in review: 30 credits for a contact without an email that was requested twice.
#[tokio::test]
async fn a_contact_that_was_paid_for_and_brought_nothing_is_asked_about_and_not_bought_unread() {
    let untold = ["", "always:status=400@precheck", "always:status=500@precheck"];
    for (precheck, fault) in [("false", untold[0]), ("true", untold[1]), ("true", untold[2])] {
        let setup =
            Setup::default().config("SUBMIT__PRECHECK", precheck).config("POLLING__GIVE_UP_AFTER", "1h");
        let mut town = setup.sandbox(|options| options.billing = Billing::Repeats).build().await;
        town.fault("2x:pass@unlock");
        town.fault("lost-answer=reset@unlock");
        let ids = ["199", "198"];
        let first = town.insert(Some("7"), &ids).await;
        town.insert(Some("999"), &["201"]).await;
        town.finish_all().await;
        // Written off while its effect is not known.
        town.insert(Some("7"), &["301"]).await;
        town.settle().await;
        town.write_off(3).await;
        town.tick(20_000).await;
        if !fault.is_empty() {
            town.fault(fault);
        }
        let ids_again = ["199", "198", "201", "301"];
        let again = town.insert(Some("7"), &ids_again).await;
        town.finish_all().await;
        assert_eq!(town.posts().len(), 3, "{precheck} {fault}");
        assert_eq!(town.outcome(first, "199").await.0, "no_value");
        let found = town.outcomes(again).await;
        let outcomes = ids_again.map(|id| found[id].as_str());
        let expected = ["no_value", "unresolved", "unresolved", "delivered"];
        assert_eq!(outcomes, expected, "{precheck} {fault}");
        town.check().await;
    }
}

/// Found by an outside tester: an API that shows no profile of a contact that it reports as unlocked caused a
/// second purchase.
#[tokio::test]
async fn a_contact_that_is_paid_for_is_not_bought_again_because_its_profile_is_gone() {
    for (status, first_fault) in [(404, "pass"), (400, "pass"), (404, "always:status=404@poll")] {
        let setup = Setup::default().config("SUBMIT__PRECHECK", "false");
        let mut town = setup.sandbox(|options| options.billing = Billing::Repeats).build().await;
        town.fault(first_fault);
        town.insert(None, &["101"]).await;
        town.finish_all().await;
        if first_fault == "pass" {
            purge(&town, "101").await;
        }
        town.sandbox.clear_faults();
        town.fault(&format!("always:status={status}@profile"));
        let before = town.calls("/profile").len();
        let again = town.insert(None, &["101"]).await;
        town.finish_all().await;
        assert_eq!(town.outcome(again, "101").await.0, "missing", "{status} {first_fault}");
        assert_eq!(town.posts().len(), 1, "{status} {first_fault}");
        let asked = town.calls("/profile").len() - before;
        assert!((1..=8).contains(&asked), "{asked} profiles");
        assert_eq!(town.number("select count(*) from jobs").await, 2, "{status} {first_fault}");
        allow(&mut town, &["101"]);
        town.check().await;
    }
}

#[tokio::test]
async fn a_worker_erases_also_when_it_only_runs_until_idle() {
    for until_idle in [true, false] {
        let mut town = town_that_keeps_for_a_day().await;
        town.insert(None, &["101"]).await;
        town.finish_all().await;
        town.tick(25 * HOUR_MS).await;
        let signals = Signals::default();
        let worker = tokio::spawn(driver::run(town.deps().clone(), signals.clone(), until_idle));
        while if is_on_postgres() { !kept(&mut town).await.is_empty() } else { on_disk(&town, "101") } {
            tokio::task::yield_now().await;
        }
        if !until_idle {
            signals.stop();
        }
        let end = worker.await.expect("no panic").expect("the database is well");
        assert_eq!(end, if until_idle { End::Idle } else { End::Stopped });
        allow(&mut town, &["101"]);
        town.check().await;
    }
}
