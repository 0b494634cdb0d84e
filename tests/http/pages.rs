//! The pages: their content, who sees it, and how values are escaped.

use reqwest::Method;
use unlockd::sandbox::Billing;

use crate::place::{Answer, Place, read};
use crate::support::{Setup, good_ids, refs};

const PATHS: [&str; 9] = [
    "/",
    "/?span=7d",
    "/requests",
    "/requests?status=done",
    "/requests/1",
    "/requests/1?outcome=delivered",
    "/requests/2",
    "/jobs",
    "/jobs/1",
];

/// Requests of all kinds, with marker texts wherever text of other programs is stored.
async fn fill(place: &mut Place) {
    let town = &mut place.town;
    town.insert_row(
        "event_id, personnel_ids, reference",
        "'7', '[8811770001, 8811770093, 8811770099]', '<script>alert(1)</script> jane@canary.example \" '' & \u{1b}[31m'",
    )
    .await;
    town.insert_row("action, personnel_ids", "'unlock_contact_phones', '[8811770002]'").await;
    town.insert_row("personnel_ids, account", "'[1]', 'john@canary.example'").await;
    town.insert_row("personnel_ids, action", "'[1]', 'call +1-555-01-canary'").await;
    town.insert_row("personnel_ids, event_id", "'[\"mail@canary.example\"]', 'jim@canary.example'").await;
    town.finish_all().await;
}

async fn all_pages(place: &Place) -> Vec<(&'static str, Answer)> {
    let mut pages = Vec::new();
    for path in PATHS.into_iter().chain(["/requests/3", "/requests/4", "/requests/5", "/metrics", "/readyz"])
    {
        let answer = place.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        pages.push((path, answer));
    }
    pages
}

#[tokio::test]
async fn without_signing_in_one_sees_counts_and_credits_and_no_personal_data() {
    for configured in [false, true] {
        let mut place = match configured {
            true => Place::with_token(Setup::default()).await,
            false => Place::new().await,
        };
        fill(&mut place).await;
        for (path, answer) in all_pages(&place).await {
            for canary in
                ["canary", "88117700", "contact-", "555-01", "uak_test", "alert(1)", "example.com", "ticket"]
            {
                assert!(!answer.text.contains(canary), "{path} shows {canary}: {}", answer.words());
            }
            assert!(
                !answer.text.contains("<form method=\"post\" action=\"/decisions\""),
                "{path} has a button"
            );
        }
        let page = place.get("/").await;
        for text in ["Balance", "Spent today", "1 delivered", "Nothing needs you."] {
            assert!(page.shows(text), "{text}: {}", page.words());
        }
        place.end().await;
    }
}

#[tokio::test]
async fn values_are_masked_until_one_is_revealed() {
    let mut place = Place::signed_in(Setup::default()).await;
    fill(&mut place).await;
    for (path, answer) in all_pages(&place).await {
        for canary in ["contact-8811770001@", "+1-555-018811770002", "uak_test"] {
            assert!(!answer.text.contains(canary), "{path} shows {canary}");
        }
    }
    let page = place.get("/requests/1").await;
    assert!(page.shows("c\u{2022}\u{2022}\u{2022}@example.com"), "{}", page.words());
    assert!(page.shows("8811770001"), "who it is");
    let shown = place.press(&page, "reveal-3", None).await;
    assert_eq!(shown.status, 200);
    assert!(shown.shows("contact-8811770001@example.com"), "{}", shown.words());
    assert!(!shown.text.contains("data-live"), "it stays until the reader is done");
    assert_eq!(shown.header("cache-control"), "no-store");
    assert!(!place.get("/requests/1").await.text.contains("contact-8811770001@"), "masked again");

    let page = place.get("/requests/2").await;
    assert!(page.shows("\u{2022}\u{2022}\u{2022}\u{2022}02"), "{}", page.words());
    assert!(place.press(&page, "reveal-6", None).await.shows("+1-555-018811770002"));
    place.end().await;
}

#[tokio::test]
async fn a_value_is_revealed_by_its_own_page_and_session_only() {
    let mut place = Place::signed_in(Setup::default()).await;
    fill(&mut place).await;
    let page = place.get("/requests/1").await;
    let ticket = page.ticket("reveal-3");
    let foreign = place.form("/reveal", &[("ticket", &ticket)]).header("sec-fetch-site", "cross-site");
    let foreign = read(foreign).await;
    assert_eq!((foreign.status, foreign.text.contains("contact-")), (403, false));
    let cookie = place.cookie.take();
    let nobody = place.press(&page, "reveal-3", None).await;
    assert_eq!((nobody.status, nobody.text.contains("contact-")), (403, false));
    place.cookie = cookie;
    assert_eq!(place.press(&page, "reveal-3", None).await.status, 200);
    let again = place.press(&page, "reveal-3", None).await;
    assert_eq!((again.status, again.text.contains("contact-")), (409, false));
    place.end().await;
}

#[tokio::test]
async fn words_of_others_are_escaped_and_their_control_characters_shown() {
    let mut place = Place::signed_in(Setup::default()).await;
    fill(&mut place).await;
    for (path, answer) in all_pages(&place).await {
        assert!(!answer.text.contains("<script>"), "{path}");
        assert!(!answer.text.chars().any(|char| char.is_control() && char != '\n'), "{path}");
        assert_eq!(
            answer.text.matches("<script ").count(),
            answer.text.matches("<script src=\"/assets/page.js\"").count()
        );
    }
    let page = place.get("/requests/1").await;
    assert!(page.text.contains("&lt;script&gt;alert(1)&lt;/script&gt; jane@canary.example"), "{}", page.text);
    assert!(page.text.contains("\\x1b[31m"), "{}", page.text);
    place.end().await;
}

#[tokio::test]
async fn nothing_in_a_page_needs_more_than_the_content_policy_allows() {
    let mut place = Place::signed_in(Setup::default()).await;
    fill(&mut place).await;
    for (path, answer) in all_pages(&place).await {
        for word in
            [" style=", "<style", " onclick=", " onload=", "javascript:", "http://", "https://", "data:"]
        {
            assert!(!answer.text.contains(word), "{path} has {word}");
        }
    }
    for (path, kind) in
        [("page.css", "text/css"), ("page.js", "text/javascript"), ("icon.svg", "image/svg+xml")]
    {
        let asset = place.get(&format!("/assets/{path}")).await;
        assert_eq!(asset.status, 200, "{path}");
        assert!(asset.header("content-type").starts_with(kind), "{path}: {}", asset.header("content-type"));
        assert!(!asset.text.contains("https://") && !asset.text.contains("@import"), "{path}");
    }
    place.end().await;
}

#[tokio::test]
async fn counts_add_up_and_lead_to_what_they_count() {
    let mut place = Place::signed_in(Setup::default()).await;
    let ids = ["101", "102", "190", "193", "197", "199"];
    place.town.insert(Some("7"), &ids).await;
    place.town.finish_all().await;
    let page = place.get("/").await;
    assert!(page.shows("6 contacts of the last 1 request:"), "{}", page.words());
    let links: Vec<String> = page
        .text
        .match_indices("href=\"/requests/1?outcome=")
        .map(|(at, _)| page.text[at + 6..].split('"').next().expect("an end").to_owned())
        .collect();
    let mut counted = 0;
    for link in &links {
        let outcome = link.split(['=', '#']).nth(1).expect("an outcome").to_owned();
        let at = page.text.find(link.as_str()).expect("there") + link.len() + 2;
        let count: i64 = page.text[at..].split(' ').next().expect("a count").parse().expect("a number");
        let listed = place.get(link.split('#').next().expect("a path")).await;
        let rows = listed.text.matches("<tr id=\"item-").count() as i64;
        assert_eq!(rows, count, "{outcome}");
        counted += count;
    }
    assert_eq!(counted, 6, "{links:?}");
    place.end().await;
}

#[tokio::test]
async fn many_contacts_come_in_pages() {
    let mut place = Place::signed_in(Setup::default()).await;
    let ids = good_ids(101, 60);
    place.town.insert(Some("7"), &refs(&ids)).await;
    place.town.finish_all().await;
    let (mut path, mut seen) = ("/requests/1".to_owned(), Vec::new());
    loop {
        let page = place.get(&path).await;
        let rows = page
            .text
            .match_indices("<tr id=\"item-")
            .map(|(at, found)| page.text[at + found.len()..].split('"').next().expect("an id").to_owned());
        seen.extend(rows);
        let Some(at) = page.text.find("id=\"next-contacts\" href=\"") else { break };
        let href = page.text[at..].split('"').nth(3).expect("an address");
        path = href.split('#').next().expect("a path").replace("&amp;", "&");
        assert!(seen.len() < 100, "{path}");
    }
    assert_eq!(seen.len(), 60);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 60, "none twice");
    place.end().await;
}

#[tokio::test]
async fn the_overview_says_what_is_unknown_and_what_it_may_cost() {
    let setup = Setup::default()
        .config("API__TIMEOUT", "400ms")
        .sandbox(|options| options.billing = Billing::Repeats);
    let mut place = Place::of(setup).await;
    place.town.fault("lost-answer@unlock");
    place.town.insert(Some("7"), &["101", "102"]).await;
    place.town.settle().await;
    let page = place.get("/").await;
    for text in
        ["the API gives no answer since", "next try at", "\u{2264} 30", "2 contacts", "in doubt: looking"]
    {
        assert!(page.shows(text), "{text}: {}", page.words());
    }
    let timeline = place.get("/jobs/1").await;
    assert!(timeline.shows("from here on, money may have moved"), "{}", timeline.words());
    place.town.finish_all().await;
    // Hours have passed on the test's clock, and no test renews the lease.
    let now = place.town.clock.now();
    place.town.meddle(&format!("update worker_lease set renewed_at = {}", now.0)).await.expect("set");
    let page = place.get("/").await;
    assert!(page.shows("All is well, and nothing is left to do."), "{}", page.words());
    place.end().await;
}

#[tokio::test]
async fn a_refused_key_is_said_with_its_fingerprint_and_what_to_do() {
    let mut place = Place::new().await;
    place.town.sandbox.set_api_key(Some("another".to_owned()));
    place.town.insert(None, &["101"]).await;
    place.town.finish().await;
    let page = place.get("/").await;
    for text in ["The key of account default was refused (401)", "One thing needs you", "Put a valid key"] {
        assert!(page.shows(text), "{text}: {}", page.words());
    }
    assert!(!page.text.contains("uak_test"));
    place.town.sandbox.set_api_key(None);
    place.town.configure("LENSMOR_API_KEY", "uak_other").await;
    place.town.finish_all().await;
    place.end().await;
}

#[tokio::test]
async fn what_is_not_there_is_said_and_nonsense_shows_something() {
    let place = Place::new().await;
    for path in
        ["/requests/9", "/requests/x", "/requests/-1", "/jobs/9", "/jobs/99999999999999999999", "/nothing"]
    {
        assert_eq!(place.get(path).await.status, 404, "{path}");
    }
    for path in
        ["/?span=x", "/requests?status=%00", "/jobs?state='", "/requests?after=x", "/?span=7d&span=24h"]
    {
        assert_eq!(place.get(path).await.status, 200, "{path}");
    }
    place.end().await;
}

#[tokio::test]
async fn each_page_has_landmarks_one_heading_of_the_first_level_and_labels() {
    let mut place = Place::signed_in(Setup::default().config("CREDITS__APPROVE_ABOVE", "15")).await;
    place.town.insert(Some("7"), &["101", "102"]).await;
    place.town.settle().await;
    for path in ["/", "/requests", "/requests/1", "/jobs", "/session"] {
        let page = place.get(path).await;
        assert!(page.text.contains("<html lang=\"en\">"), "{path}");
        for (tag, count) in [("<main ", 1), ("<h1", 1), ("<header", 1), ("<footer", 1)] {
            assert_eq!(page.text.matches(tag).count(), count, "{path}: {tag}");
        }
        let mut level = 0;
        for (at, _) in page.text.match_indices("<h") {
            let Some(next) = page.text[at + 2..].chars().next().and_then(|char| char.to_digit(10)) else {
                continue;
            };
            assert!(next <= level + 1, "{path}: a heading of level {next} after {level}");
            level = next;
        }
        for (at, _) in page.text.match_indices("<input id=\"") {
            let id = page.text[at..].split('"').nth(1).expect("an id");
            assert!(page.text.contains(&format!("<label for=\"{id}\">")), "{path}: {id} has no label");
        }
        let tables = page.text.matches("<table").count();
        assert_eq!(page.text.matches("<caption").count(), tables, "{path}");
        let mut ids: Vec<&str> =
            page.text.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "{path}: an id is there twice");
    }
    assert_eq!(read(place.request(Method::HEAD, "/")).await.text, "");
    place.town.cancel(1).await;
    place.town.finish_all().await;
    place.end().await;
}

#[tokio::test]
async fn the_header_marks_the_page_that_one_is_on() {
    let mut place = Place::signed_in(Setup::default()).await;
    place.town.insert(Some("7"), &["101"]).await;
    place.town.finish_all().await;
    let marked = [
        ("/", Some(("/", "page"))),
        ("/requests", Some(("/requests", "page"))),
        ("/requests?status=done", Some(("/requests", "page"))),
        ("/requests/1", Some(("/requests", "true"))),
        ("/jobs", Some(("/jobs", "page"))),
        ("/jobs/1", Some(("/jobs", "true"))),
        ("/session", None),
        ("/nothing", None),
    ];
    for (path, mark) in marked {
        let page = place.get(path).await;
        let header = page.text.split("<nav ").nth(1).and_then(|rest| rest.split("</nav>").next());
        let header = header.expect("navigation");
        let count = usize::from(mark.is_some());
        assert_eq!(header.matches("aria-current").count(), count, "{path}: {header}");
        if let Some((link, word)) = mark {
            let text = format!("href=\"{link}\" aria-current=\"{word}\"");
            assert!(header.contains(&text), "{path}: {header}");
        }
    }
    place.end().await;
}

#[tokio::test]
async fn an_event_shows_whether_its_whole_list_is_open() {
    let mut place = Place::signed_in(Setup::default().config("CREDITS__APPROVE_ABOVE", "1500")).await;
    place.town.insert_row("action, event_id", "'unlock_event_contacts', '139574'").await;
    place.town.settle().await;
    let page = place.get("/").await;
    assert!(page.shows("asks for base access to event 139574"), "{}", page.words());
    assert_eq!(place.press(&page, "approve-1", Some("2000")).await.status, 303);
    place.town.finish_all().await;
    let page = place.get("/requests/1").await;
    let grouped = [
        "Credits used2,000",
        "at most 2,000 credits",
        "base access to the event is unlocked, 2,000 credits used",
    ];
    for text in grouped.into_iter().chain(["Outcomeunlocked", "Access modefull", "People in its list45"]) {
        assert!(page.shows(text), "{text}: {}", page.words());
    }
    assert!(!page.text.contains("id=\"contacts\""), "{}", page.words());
    assert!(place.get("/").await.shows("unlocked (base access to an event)"));
    place.cookie = None;
    assert!(!place.get("/requests/1").await.shows("139574"), "the event is the caller's own word");
    place.end().await;
}

#[tokio::test]
async fn full_access_and_the_search_for_a_person_are_told_in_words_of_their_own() {
    let mut place = Place::signed_in(Setup::default().config("CREDITS__APPROVE_ABOVE", "10")).await;
    place.town.insert_row("action, event_id", "'unlock_event_full_access', '139575'").await;
    place.town.insert_row("action, event_id", "'unlock_event_visitors', '139577'").await;
    place.town.insert_row("action, query", "'search_personnel_events', 'Ada canary'").await;
    place.town.settle().await;
    let page = place.get("/").await;
    for text in [
        "asks for full access to event 139575",
        "asks for visitor access to event 139577",
        "asks for at most 1 page of a search for events of a person",
    ] {
        assert!(page.shows(text), "{text}: {}", page.words());
    }
    for (request, credits) in [(1, "5000"), (2, "3000"), (3, "50")] {
        let page = place.get("/").await;
        assert_eq!(place.press(&page, &format!("approve-{request}"), Some(credits)).await.status, 303);
    }
    place.town.finish_all().await;
    let page = place.get("/requests/1").await;
    for text in ["Outcomeunlocked", "Credits used5,000", "Access modefull", "Visitor accessopen"] {
        assert!(page.shows(text), "{text}: {}", page.words());
    }
    let page = place.get("/requests/2").await;
    assert!(page.shows("base access to the event comes first"), "{}", page.words());
    assert!(place.get("/requests/3").await.shows("Found45 results"));
    place.cookie = None;
    let page = place.get("/requests/3").await;
    assert!(!page.shows("Ada canary"), "the name is the caller's own word");
    place.end().await;
}

#[tokio::test]
async fn a_search_shows_how_much_it_brought() {
    let mut place = Place::signed_in(Setup::default().config("CREDITS__APPROVE_ABOVE", "10")).await;
    let columns = "action, query, max_pages";
    place.town.insert_row(columns, "'search_exhibitor_companies', 'canary & sons', 2").await;
    place.town.settle().await;
    let page = place.get("/").await;
    assert!(page.shows("asks for at most 2 pages of a search for companies"), "{}", page.words());
    assert_eq!(place.press(&page, "approve-1", Some("100")).await.status, 303);
    place.town.finish_all().await;
    let page = place.get("/requests/1").await;
    for text in ["Result", "Outcomefound", "Credits used50", "Found45 results"] {
        assert!(page.shows(text), "{text}: {}", page.words());
    }
    assert!(!page.text.contains("id=\"contacts\""), "{}", page.words());
    let page = place.get("/").await;
    assert!(page.shows("found: 45 results (a search for companies)"), "{}", page.words());
    assert!(!page.shows("contacts of the last"), "{}", page.words());
    place.cookie = None;
    assert!(!place.get("/requests/1").await.shows("canary"), "the query is the caller's own words");
    place.end().await;
}
