//! Keys, emails and phones appear only where they should.

use unlockd::domain::Millis;
use unlockd::http::metrics::render;
use unlockd::worker::notify;
use unlockd::worker::run::idle;

use crate::support::receiver::{Answer, Receiver};
use crate::support::{Setup, Town, capture};

const KEY: &str = "uak_canary_4711_0815";
const WEBHOOK_SECRET: &str = "whsec_Y2FuYXJ5X29mX3RoZV93ZWJob29rcw==";
const NEXT_KEY: &str = "uak_canary_second_4712";

/// Stored texts, other than the values themselves.
const COLUMNS: [&str; 8] = [
    "select coalesce(event, '') || coalesce(detail, '') from request_events",
    "select coalesce(evidence, '') || coalesce(state_reason, '') from jobs",
    "select coalesce(reason, '') from requests",
    "select coalesce(error_key, '') || coalesce(trace_id, '') || body_digest from attempts",
    "select coalesce(refused_key, '') || coalesce(refused_error_key, '') from accounts",
    "select cause from balance_snapshots",
    "select data from outbox",
    "select coalesce(reason, '') from inbox",
];

#[test]
fn no_key_email_or_phone_in_logs_timelines_evidence_or_reasons() {
    // In a separate process: the database logs on its own threads, so the capture is global, and would slow
    // down every other test.
    let this = std::env::current_exe().expect("this very binary");
    let arguments = ["--ignored", "--exact", "privacy::a_journey_with_canaries"];
    let run = std::process::Command::new(this).args(arguments).output().expect("runs");
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
    for canary in ["canary_4711", "canary_of", "88117700@", "555-0188"] {
        assert!(!said.contains(canary), "{canary} was printed");
    }
}

/// Keys, a webhook's address and its secret: words that must not appear anywhere.
async fn a_town_with_canaries() -> (Town, Receiver, tempfile::TempPath) {
    let mut setup = Setup::default();
    setup.env.insert("LENSMOR_API_KEY".to_owned(), KEY.to_owned());
    let receiver = Receiver::start().await;
    let secret = tempfile::NamedTempFile::new().expect("a file").into_temp_path();
    std::fs::write(&secret, WEBHOOK_SECRET).expect("written");
    let setup = setup.config("NOTIFY__URL", &receiver.url);
    let mut town = setup.config("NOTIFY__SECRET_FILE", &secret.display().to_string()).build().await;
    town.restart().await;
    (town, receiver, secret)
}

#[ignore = "run by the test above, in a process of its own"]
#[tokio::test]
async fn a_journey_with_canaries() {
    let log = capture::everything();
    let (mut town, receiver, _secret) = a_town_with_canaries().await;
    receiver.answers([Answer::Status(500)]);
    let emails = ["8811770001", "8811770093", "8811770099", "8811770197"];
    town.insert(Some("7"), &emails).await;
    town.insert_row("action, personnel_ids", "'unlock_contact_phones', '[8811770001, 8811770095]'").await;
    town.insert_row("personnel_ids, reference", "'contact-8811770001@example.com', 'a reference'").await;
    town.insert_row("personnel_ids, account", "'[1]', 'contact-8811770002@example.com'").await;
    // The name stands in the URL of a GET.
    town.insert_row("action, query", "'search_personnel_events', 'Ada canary'").await;
    for fault in [
        "broken=types@poll",
        "broken=truncated@poll",
        "broken=strangers@poll",
        "lost-answer=truncate@profile",
        "broken=types@profile",
        "lost-answer=truncate@unlock-phone",
        "status=500@balance",
    ] {
        town.fault(fault);
    }
    town.finish().await;
    town.sandbox.set_api_key(Some(NEXT_KEY.to_owned()));
    town.insert(None, &["8811770003"]).await;
    town.finish().await;
    town.configure("LENSMOR_API_KEY", NEXT_KEY).await;
    town.finish_all().await;
    while notify::run(town.deps()).await.expect("the database is well").did > 0 {}
    assert!(receiver.all().len() >= 5, "others were told");
    let mut debug = format!("{:?}", town.deps().config());
    debug.extend(receiver.all().into_iter().map(|told| format!("{:?} {}", told.headers, told.body)));
    debug += &render(town.store(), Some(town.deps()), Millis(0)).await.expect("readable");

    let mut kept = debug;
    for sql in COLUMNS {
        kept.extend(town.all::<(String,)>(sql).await.into_iter().map(|(text,)| text + "\n"));
    }
    let logged = log.text();
    assert!(logged.contains("sqlx"), "TRACE is captured, the database's own lines as well");
    assert!(logged.contains("/external/contacts/unlock"), "calls are logged");
    assert!(logged.contains("/external/personnel/events/by-name"), "the paid GET, too");
    for canary in [
        KEY,
        NEXT_KEY,
        WEBHOOK_SECRET,
        "canary",
        "contact-88117700",
        "88117700@",
        "+1-555-0188117700",
        "555-0188",
    ] {
        assert!(!kept.contains(canary), "{canary} is kept");
        let at = logged.find(canary).map(|at| logged[at.saturating_sub(300)..at].to_owned());
        assert!(at.is_none(), "{canary} is logged after: {at:?}");
    }
    let delivered = town.number("select count(*) from contact_outcomes where outcome = 'delivered'").await;
    assert_eq!(delivered, 5, "{}", town.dump().await);
    assert!(idle::idle(town.deps()).await.expect("readable").is_some());
    town.check().await;
}
