//! `unlockd personnel`, and the way from an event to its contacts.

use serde_json::{Value, json};
use unlockd::sandbox::{Call, Options};

use super::{Town, strings, town, town_with};

/// It has 250 people: 139250093 and 139250193 are unlocked, 139250095 and 139250195 are being unlocked.
const EVENT: &str = "139250";
const LIST: [&str; 3] = ["personnel", "--event", EVENT];

async fn town_of_the_event(options: Options) -> Town {
    let town = town_with(Options { task_seconds: 0.2, ..options }, "").await;
    unlock(&town, EVENT).await;
    town
}

/// Another user unlocks the event, for example in the vendor's app.
async fn unlock(town: &Town, event: &str) {
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::builder().no_proxy().build().expect("valid");
    let url = format!("{}/external/events/{event}/unlock", town.sandbox.base_url());
    let answer = client.post(url).bearer_auth("uak_of_the_app").send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
}

fn faults(faults: &[&str]) -> Options {
    let faults = faults.iter().map(|fault| fault.parse().expect("a fault")).collect();
    Options { faults, ..Options::default() }
}

/// The calls for pages, in their order.
fn pages_asked(town: &Town) -> Vec<Call> {
    let mut calls = town.sandbox.journal();
    calls.retain(|call| call.path.starts_with("/external/personnel/list"));
    calls
}

fn statuses(town: &Town) -> Vec<Option<u16>> {
    pages_asked(town).iter().map(|call| call.status).collect()
}

fn asked(arguments: &[&'static str]) -> Vec<&'static str> {
    LIST.iter().chain(arguments).copied().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn personnel_reads_250_people_over_5_pages_under_the_rate_limit() {
    let window = std::time::Duration::from_secs(1);
    let town = town_of_the_event(Options { rate_limit: 1, rate_window: window, ..Options::default() }).await;
    let said = town.ok(&asked(&["--format", "ids"]));
    let ids: std::collections::BTreeSet<&str> = said.out.lines().collect();
    assert_eq!((ids.len(), said.out.lines().count()), (250, 250));
    assert_eq!((ids.first(), ids.last()), (Some(&"139250001"), Some(&"139250250")));
    assert!(said.err.contains("250 people of event 139250; locked: 246 emails, 246 phones"), "{}", said.err);
    assert!(said.err.contains("waiting"), "{}", said.err);
    assert_eq!(statuses(&town), [Some(200); 5], "never sent into a spent window");
    let paths: Vec<String> = pages_asked(&town).into_iter().map(|call| call.path).collect();
    let path = |page| format!("/external/personnel/list?event_id=139250&page={page}&pageSize=50");
    assert_eq!(paths, (1..=5).map(path).collect::<Vec<_>>());
    assert_eq!(town.sandbox.accounting().charged_total, 2_000, "the event's; listing is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_in_the_middle_of_a_list_is_waited_out_and_said() {
    let town = town_of_the_event(faults(&["pass@list", "429=2@list"])).await;
    let said = town.ok(&asked(&["--format", "ids"]));
    assert_eq!(said.out.lines().count(), 250);
    assert!(said.err.contains("the rate limit of account default allows the next call at"), "{}", said.err);
    let calls = pages_asked(&town);
    assert_eq!(statuses(&town), [Some(200), Some(429), Some(200), Some(200), Some(200), Some(200)]);
    assert!(calls[2].at_ms - calls[1].at_ms >= 2_000, "not before Retry-After is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_that_another_program_was_told_holds_for_a_list() {
    let town = town_with(faults(&["429=2@balance"]), "").await;
    town.run(&["balance"]).with_code(1);
    town.ok(&LIST);
    let calls = town.sandbox.journal();
    assert_eq!(calls.len(), 2);
    assert!(calls[1].at_ms - calls[0].at_ms >= 2_000, "not before Retry-After is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_that_another_program_is_told_holds_from_the_next_page_on() {
    let town = town_of_the_event(faults(&["pass@list", "slow=2s@list", "429=3@balance"])).await;
    std::thread::scope(|scope| {
        let listing = scope.spawn(|| town.ok(&asked(&["--format", "ids"])));
        town.until("page 2 is asked for", || pages_asked(&town).len() == 2);
        town.run(&["balance"]).with_code(1);
        assert_eq!(listing.join().expect("it ends").out.lines().count(), 250);
    });
    let refused = town.sandbox.journal().into_iter().find(|call| call.status == Some(429)).expect("429");
    let page_3 = &pages_asked(&town)[2];
    assert!(page_3.at_ms - refused.at_ms >= 3_000, "{} ms", page_3.at_ms - refused.at_ms);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_page_is_read_again_and_a_list_cut_short_says_so() {
    let town = town_of_the_event(faults(&["pass@list", "broken=types@list", "lost-answer@list"])).await;
    let said = town.ok(&asked(&["--format", "ids"]));
    assert_eq!((said.out.lines().count(), pages_asked(&town).len()), (250, 7));
    assert!(said.err.contains("page 2: GET /external/personnel/list"), "{}", said.err);

    town.sandbox.inject("pass@list".parse().expect("a fault"));
    town.sandbox.inject("always:status=503@list".parse().expect("a fault"));
    let said = town.run(&asked(&["--format", "csv"])).with_code(1);
    assert_eq!(said.out.lines().count(), 51, "what was read is there");
    assert!(said.err.contains("the list is not complete: it has 50 people from 1 page"), "{}", said.err);
    assert!(said.err.contains("page 2") && said.err.contains("4 tries"), "{}", said.err);
    assert_eq!(pages_asked(&town).len(), 7 + 1 + 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_named_twice_is_listed_once() {
    let town = town_of_the_event(faults(&["broken=strangers@list"])).await;
    let said = town.ok(&asked(&["--format", "ids"]));
    assert_eq!(said.out.lines().filter(|id| *id == "139250001").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_event_shows_a_preview_and_what_all_of_it_would_cost() {
    let town = town().await;
    let said = town.ok(&LIST);
    assert!(said.out.contains("139250001") && said.out.contains("Example Works"), "{}", said.out);
    assert!(said.err.contains("50 people of event 139250"), "{}", said.err);
    let offer = "200 more can be seen once the event is unlocked, for at most 2,000 credits: \
                 unlockd enqueue --unlock-event 139250";
    assert!(said.err.contains(offer), "{}", said.err);
    unlock(&town, EVENT).await;
    let said = town.ok(&asked(&["--json"]));
    assert_eq!(said.out.lines().count(), 250);
    assert!(!said.err.contains("preview"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_are_passed_on_and_cannot_undo_the_paging() {
    let town = town().await;
    let filters = [
        "--filter",
        "search_query=VP of Sales",
        "--filter",
        "level=a&b",
        "--filter",
        "level=",
        "--page-size",
        "2",
    ];
    town.ok(&asked(&filters));
    let paths: Vec<String> = pages_asked(&town).into_iter().map(|call| call.path).collect();
    assert_eq!(
        paths.first().expect("a call"),
        "/external/personnel/list?event_id=139250&page=1&pageSize=2&search_query=VP+of+Sales&level=a%26b&level="
    );
    assert_eq!(paths.len(), 1, "nobody has such a level");
    for bad in ["page=2", "pageSize=1", "event_id=1", "=x", "title"] {
        town.run(&["personnel", "--event", EVENT, "--filter", bad]).with_code(2);
    }
    // If the API ignored a filter that it does not have, everybody would be listed, and then bought.
    let refused = town.run(&["personnel", "--event", EVENT, "--filter", "title=VP"]).with_code(2).err;
    assert!(refused.contains("exhibitor_id, department, level, search_query, sourceType"), "{refused}");
    town.run(&asked(&["--page-size", "51"])).with_code(2);
    town.run(&["personnel", "--event", "a/b"]).with_code(2);
    assert_eq!(pages_asked(&town).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_an_event_to_its_contacts_by_a_pipe_and_by_a_file() {
    let town = town().await;
    town.ok(&["enqueue", "--unlock-event", "139574", "--approve"]);
    town.work();
    let list = ["personnel", "--event", "139574", "--locked"];
    let people = town.ok(&[&list[..], &["--format", "csv", "-o", "picked.csv"]].concat());
    assert!(people.err.contains("; 43 written"), "{}", people.err);
    let csv = std::fs::read_to_string(town.dir.path().join("picked.csv")).expect("written");
    assert_eq!(
        csv.lines().take(2).collect::<Vec<_>>(),
        [
            "personnel_id,full_name,title,company_name,email_status,phone_status,access",
            "13957455,Sandbox Person 13957455,Head of Examples,Example Works,locked,,locked"
        ]
    );
    let picked: Vec<&str> = csv.lines().take(1 + 10).collect();
    town.file("picked.csv", &picked.join("\n"));
    town.ok(&["enqueue", "--event", "139574", "--file", "picked.csv"]);
    town.work();
    let ids = town.ok(&[&list[..], &["--format", "ids"]].concat()).out;
    town.piped(&["enqueue", "--event", "139574", "-"], &ids).with_code(0);
    town.work();
    let (from_file, piped) = (town.request(2), town.request(3));
    assert_eq!((&from_file["contacts"], &from_file["delivered"]), (&json!(10), &json!(10)));
    assert_eq!((&piped["contacts"], &piped["delivered"]), (&json!(33), &json!(25)));
    assert_eq!(town.sandbox.accounting().charges.values().map(|charge| charge.times).max(), Some(1));

    let said = town.ok(&["personnel", "--event", "139574", "--json"]);
    let people: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let access = strings(&Value::Array(people), "access");
    assert_eq!(access.iter().filter(|word| *word == "email unlocked, phone locked").count(), 37);
    assert!(!said.out.contains('@') && !said.err.contains('@'), "no emails");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_event_is_exit_code_3_and_a_refused_key_is_1() {
    let town = town().await;
    let said = town.run(&["personnel", "--event", "404"]).with_code(3);
    assert!(said.err.contains("there is no event 404"), "{}", said.err);
    town.run(&["personnel", "--event", "1", "--account", "nobody"]).with_code(3);
    town.run(&["personnel", "--event", "1", "--account", "spare"]).with_code(2);
    town.sandbox.set_api_key(Some("uak_other".to_owned()));
    let said = town.run(&LIST).with_code(1);
    assert!(said.err.contains("put a valid key in the configuration"), "{}", said.err);
    let calls = pages_asked(&town).len();
    let said = town.run(&LIST).with_code(1);
    assert!(said.err.contains("unlockd resume"), "{}", said.err);
    assert_eq!(pages_asked(&town).len(), calls, "a refused key is not tried again");
}
