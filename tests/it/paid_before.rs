//! A contact that was paid for is not paid for again before a precheck names a price, or a person says so.

use unlockd::domain::{Credits, JobId, Millis};
use unlockd::sandbox::Billing;
use unlockd::store::jobs;
use unlockd::store::report::claims::unfulfilled;
use unlockd::worker::people::decide::{self, Refusal};

use crate::support::{Setup, Town};

/// Every repeated POST is charged again, and a profile says `locked` while its contact is being unlocked.
fn hostile() -> Setup {
    Setup::default().config("POLLING__GIVE_UP_AFTER", "1h").sandbox(|options| {
        (options.billing, options.terse_profiles) = (Billing::Repeats, true);
    })
}

/// A town with a contact that was charged: its task never ends and is forgotten (404), and no precheck answers.
async fn forgotten() -> (Town, i64) {
    let mut town = hostile().build().await;
    town.fault("always:status=404@poll");
    let first = town.insert(Some("999"), &["101"]).await;
    town.finish_all().await;
    assert_eq!(town.outcome(first, "101").await.0, "lost");
    town.sandbox.clear_faults();
    town.fault("always:status=400@precheck");
    let again = town.insert(Some("7"), &["101", "102"]).await;
    town.tick(300_000).await;
    (town, again)
}

/// Found by the simulation, seed 182: it was charged twice.
#[tokio::test]
async fn a_contact_whose_task_never_ended_is_not_paid_for_again_because_its_profile_is_locked() {
    let (mut town, again) = forgotten().await;
    assert_eq!(town.outcome(again, "102").await.0, "delivered", "nobody else waits for it");
    let waits = town.explained(again).await.waits;
    let [wait] = &waits[..] else { panic!("{}", waits.len()) };
    assert_eq!((wait.reason.as_str(), wait.job_id), ("paid_before", Some(1)));
    assert!(wait.what.starts_with("1 contact is not bought: paid for before in job 1"), "{}", wait.what);
    assert!(wait.unblock.as_deref().is_some_and(|text| text.starts_with("unlockd resolve 1 --resubmit")));
    let (since, gives_up) = (wait.since.expect("since when").0, wait.gives_up_at.expect("until when").0);
    assert_eq!(gives_up, since + 3_600_000);
    town.finish_all().await;
    assert_eq!(town.outcome(again, "101").await.0, "unresolved");
    let sent: Vec<_> = town.posts().iter().map(Town::sent).collect();
    assert_eq!(sent, [["101"], ["102"]]);
    // It ended in job 2, too, which was charged for 102 alone.
    assert_eq!(
        town.number("select job_id from items where request_id = 2 and personnel_id = '101'").await,
        2
    );
    let ever = (Millis(0), Millis(i64::MAX));
    let claims = unfulfilled(town.store(), None, ever, (0, 100)).await.expect("readable");
    let claims: Vec<_> = claims.iter().map(|claim| (claim.job_id, claim.personnel_id.as_str())).collect();
    assert_eq!(claims, [(1, "101")], "what was not sent is nothing to claim");
    town.check().await;
}

#[tokio::test]
async fn it_is_paid_for_again_when_a_person_says_so_for_the_cost_that_was_shown() {
    let (mut town, again) = forgotten().await;
    let job = |town: &Town, id| {
        let store = town.store().clone();
        async move { jobs::read(store.readers(), JobId(id)).await.expect("readable").expect("the job") }
    };
    let (lost, bought) = (job(&town, 1).await, job(&town, 2).await);
    let now = town.clock.now();
    assert_eq!(decide::cost_again(town.store(), &lost).await.expect("readable"), (1, Credits(15)));
    let refused = decide::buy_again(town.store(), lost.clone(), Credits(14), now).await;
    assert!(matches!(refused, Err(Refusal::AnotherCost { cost: Credits(15), .. })), "{refused:?}");
    let refused = decide::buy_again(town.store(), bought, Credits(0), now).await;
    assert!(matches!(refused, Err(Refusal::NothingToBuyAgain { job: JobId(2) })), "{refused:?}");
    assert_eq!(town.posts().len(), 2);
    assert_eq!(decide::buy_again(town.store(), lost, Credits(15), now).await.expect("decided"), 1);
    // The API still works on it, and sends it with the new task.
    town.allowed.charged_again.push("101".to_owned());
    town.finish_all().await;
    assert_eq!(town.posts().len(), 3);
    assert_eq!(town.outcome(again, "101").await.0, "delivered");
    assert!(town.timeline(1).await.contains(&"bought_again".to_owned()));
    town.check().await;
}

/// A phone's profile gives no status before it is ready. Here the precheck and the balance show an effect only after
/// five minutes, longer than the three looks that prove no effect for an email take.
#[tokio::test]
async fn a_phone_without_a_status_is_not_sent_again_while_an_effect_may_show_late() {
    let setup = Setup::default().sandbox(|options| {
        options.billing = Billing::Repeats;
        options.charge_lag = std::time::Duration::from_secs(300);
    });
    let mut town = setup.build().await;
    town.fault("lost-answer=reset@unlock-phone");
    let request = town.insert_row("action, personnel_ids", "'unlock_contact_phones', '[101]'").await;
    town.finish_all().await;
    assert_eq!(town.posts().len(), 1, "{}", town.dump().await);
    assert_eq!(town.outcome(request, "101").await, ("delivered".into(), Some("profile".into())));
    town.check().await;
}

#[tokio::test]
async fn a_phone_whose_call_never_arrived_goes_out_again_without_a_person() {
    let mut town = Setup::default().sandbox(|options| options.billing = Billing::Repeats).build().await;
    town.fault("lost-request@unlock-phone");
    let request = town.insert_row("action, personnel_ids", "'unlock_contact_phones', '[101]'").await;
    town.tick(899_000).await;
    assert_eq!(town.posts().len(), 1);
    town.finish_all().await;
    assert_eq!(town.posts().len(), 2);
    assert_eq!(town.outcome(request, "101").await, ("delivered".into(), Some("task".into())));
    town.check().await;
}
