//! Buttons: a person's decisions, and everything that is refused.

use std::time::Duration;

use reqwest::Method;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use unlockd::sandbox::Billing;
use unlockd::worker::run::driver;
use unlockd::worker::run::signals::Signals;

use crate::place::{Answer, Place, TOKEN, read};
use crate::support::Setup;

/// Each request of more than one contact awaits approval.
fn careful() -> Setup {
    Setup::default().config("CREDITS__APPROVE_ABOVE", "15")
}

async fn with_request() -> (Place, i64) {
    let mut place = Place::signed_in(careful()).await;
    let id = place.town.insert(None, &["101", "102", "103"]).await;
    place.town.settle().await;
    assert_eq!(place.town.status(id).await, "awaiting_approval");
    (place, id)
}

async fn assert_untouched(place: &mut Place, id: i64) {
    place.town.settle().await;
    assert_eq!(place.town.status(id).await, "awaiting_approval");
    assert_eq!(place.town.posts().len(), 0, "nothing is spent");
}

fn refused(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.words());
    assert!(answer.shows("nothing is spent"), "{}", answer.words());
}

#[tokio::test]
async fn an_approval_buys_what_was_shown_and_no_more() {
    let (mut place, id) = with_request().await;
    let other = place.town.insert(None, &["201", "202"]).await;
    place.town.settle().await;
    let page = place.get("/").await;
    for text in ["up to 45 credits", "Nothing of it was bought", "Type 45 to approve"] {
        assert!(page.shows(text), "{text}: {}", page.words());
    }
    let answer = place.press(&page, "approve-1", Some("45")).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/requests/1"));
    assert!(place.get("/requests/1").await.shows("approved for up to 45 credits"));
    assert_eq!(place.town.number("select approved_credits from requests where id = 1").await, 45);
    place.town.finish().await;
    assert_eq!(place.town.status(id).await, "done");
    assert_eq!(place.town.status(other).await, "awaiting_approval", "the innocent one");
    assert_eq!(place.town.sandbox.accounting().charged_total, 45);
    place.end().await;
}

#[tokio::test]
async fn a_replayed_approval_is_refused() {
    let (mut place, id) = with_request().await;
    let page = place.get("/").await;
    assert_eq!(place.press(&page, "approve-1", Some("45")).await.status, 303);
    // The same request asks again, with the same figures: the old approval must not count.
    place
        .town
        .meddle("update requests set status = 'awaiting_approval', reason = 'again'")
        .await
        .expect("set");
    place.town.meddle("update items set state = 'unapproved', job_id = null").await.expect("set");
    let again = place.press(&page, "approve-1", Some("45")).await;
    refused(&again, 409);
    assert!(again.shows("used already"), "{}", again.words());
    assert_untouched(&mut place, id).await;
    place.end().await;
}

#[tokio::test]
async fn of_two_that_press_at_once_one_is_first() {
    let (place, _) = with_request().await;
    let page = place.get("/").await;
    let press = || place.press(&page, "approve-1", Some("45"));
    let (one, two, three) = tokio::join!(press(), press(), press());
    let mut statuses = [one.status, two.status, three.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 409, 409]);
    let mut place = place;
    place.town.finish_all().await;
    let approvals = place.town.number("select count(*) from request_events where event = 'approved'").await;
    assert_eq!(approvals, 1);
    place.end().await;
}

#[tokio::test]
async fn an_approval_of_a_quote_that_grew_is_refused_and_says_what_changed() {
    let (mut place, id) = with_request().await;
    let page = place.get("/").await;
    place.town.meddle("update requests set quoted_credits = 60").await.expect("set");
    let answer = place.press(&page, "approve-1", Some("45")).await;
    refused(&answer, 409);
    assert!(answer.shows("60") && answer.shows("45"), "{}", answer.words());
    assert_untouched(&mut place, id).await;

    let page = place.get("/").await;
    place.town.meddle("update requests set committed_credits = 15").await.expect("set");
    let answer = place.press(&page, "approve-1", Some("60")).await;
    refused(&answer, 409);
    assert!(
        answer.shows("the page showed 0 credits that may be spent already, and now there are 15"),
        "{}",
        answer.words()
    );
    place.town.meddle("update requests set committed_credits = 0").await.expect("set");

    let page = place.get("/").await;
    place.town.meddle("delete from items where personnel_id = '103'").await.expect("set");
    let answer = place.press(&page, "approve-1", Some("60")).await;
    refused(&answer, 409);
    assert!(answer.shows("the page showed 3 contacts, and now there are 2"), "{}", answer.words());
    assert_untouched(&mut place, id).await;
    place.end().await;
}

#[tokio::test]
async fn an_approval_that_was_shown_too_long_ago_is_refused() {
    let (mut place, id) = with_request().await;
    let page = place.get("/").await;
    place.town.clock.advance(Duration::from_secs(15 * 60));
    let answer = place.press(&page, "approve-1", Some("45")).await;
    refused(&answer, 409);
    assert!(answer.shows("more than 15 minutes ago"), "{}", answer.words());
    assert_untouched(&mut place, id).await;
    let page = place.get("/").await;
    place.town.clock.advance(Duration::from_secs(15 * 60 - 1));
    assert_eq!(place.press(&page, "approve-1", Some("45")).await.status, 303);
    place.town.finish_all().await;
    place.end().await;
}

#[tokio::test]
async fn the_figure_has_to_be_typed_and_a_slip_can_be_corrected() {
    let (mut place, id) = with_request().await;
    let page = place.get("/").await;
    for typed in
        [None, Some(""), Some("44"), Some("450"), Some("-45"), Some("4,5"), Some("45.0"), Some("0x2d")]
    {
        refused(&place.press(&page, "approve-1", typed).await, 422);
    }
    assert_untouched(&mut place, id).await;
    assert_eq!(place.press(&page, "approve-1", Some(" 45 ")).await.status, 303);
    place.town.finish_all().await;
    place.end().await;
}

#[tokio::test]
async fn a_post_from_another_site_or_from_nowhere_is_refused() {
    let (mut place, id) = with_request().await;
    let page = place.get("/").await;
    let ticket = page.ticket("approve-1");
    let form = [("ticket", ticket.as_str()), ("credits", "45")];
    for site in ["cross-site", "same-site", "none"] {
        let own = format!("http://{}", place.address);
        let request = place.form("/decisions", &form).header("sec-fetch-site", site).header("origin", own);
        refused(&read(request).await, 403);
    }
    for origin in ["http://evil.example", "null", "http://localhost:3000"] {
        refused(&read(place.form("/decisions", &form).header("origin", origin)).await, 403);
    }
    refused(&read(place.form("/decisions", &form)).await, 403);
    assert_untouched(&mut place, id).await;
    // A browser that does not send Sec-Fetch-Site sends Origin.
    let own = format!("http://{}", place.address);
    assert_eq!(read(place.form("/decisions", &form).header("origin", own)).await.status, 303);
    place.town.finish_all().await;
    place.end().await;
}

#[tokio::test]
async fn a_post_without_a_session_is_refused() {
    let (mut place, id) = with_request().await;
    let page = place.get("/").await;
    let cookie = place.cookie.take();
    refused(&place.press(&page, "approve-1", Some("45")).await, 403);
    place.cookie = cookie;
    place.post("/session/end", &[]).await;
    refused(&place.press(&page, "approve-1", Some("45")).await, 403);
    assert_untouched(&mut place, id).await;
    place.end().await;
}

/// A server of another user of this machine is sent the cookie: cookies know no ports.
#[tokio::test]
async fn the_cookie_alone_decides_nothing_and_reveals_nothing() {
    let (mut place, id) = with_request().await;
    let free = place.town.insert(None, &["301"]).await;
    place.town.finish().await;
    let proof = place.proof.take().expect("signed in");
    let (page, of_free) = (place.get("/").await, place.get(&format!("/requests/{free}")).await);
    assert!(!page.text.contains(&proof), "no page says it");
    let ticket = page.ticket("approve-1");
    for more in [vec![], vec![("proof", "")], vec![("token", "")], vec![("proof", &proof[1..])]] {
        let form = [vec![("ticket", ticket.as_str()), ("credits", "45")], more].concat();
        let answer = place.post("/decisions", &form).await;
        refused(&answer, 403);
        assert!(answer.shows("type the token to confirm"), "{}", answer.words());
    }
    refused(&place.press(&of_free, "reveal-4", None).await, 403);
    // Guessing the token here counts as guessing it at the sign-in.
    for _ in 0..10 {
        refused(
            &place.post("/decisions", &[("ticket", &ticket), ("credits", "45"), ("token", "x")]).await,
            403,
        );
    }
    let right = [("ticket", ticket.as_str()), ("credits", "45"), ("token", TOKEN)];
    refused(&place.post("/decisions", &right).await, 429);
    place.town.settle().await;
    assert_eq!((place.town.status(id).await.as_str(), place.town.posts().len()), ("awaiting_approval", 1));
    // Without a script the person types the token.
    place.town.clock.advance(Duration::from_secs(10 * 60));
    assert_eq!(place.post("/decisions", &right).await.status, 303);
    place.town.finish_all().await;
    place.end().await;
}

#[tokio::test]
async fn a_ticket_of_another_session_or_one_that_was_changed_is_refused() {
    let (mut place, id) = with_request().await;
    let page = place.get("/").await;
    place.sign_in().await;
    refused(&place.press(&page, "approve-1", Some("45")).await, 409);
    let ticket = place.get("/").await.ticket("approve-1");
    let (text, seal) = ticket.split_once('.').expect("two parts");
    for forged in [
        "".to_owned(),
        ".".to_owned(),
        format!("{text}."),
        format!("{text}x.{seal}"),
        format!("{seal}.{text}"),
    ] {
        refused(&place.post("/decisions", &[("ticket", &forged), ("credits", "45")]).await, 409);
    }
    refused(&place.post("/decisions", &[("credits", "45")]).await, 400);
    assert_untouched(&mut place, id).await;
    place.end().await;
}

#[tokio::test]
async fn a_reveal_ticket_decides_nothing_and_a_decision_ticket_reveals_nothing() {
    let (mut place, id) = with_request().await;
    let free = place.town.insert(None, &["301"]).await;
    place.town.finish().await;
    let page = place.get(&format!("/requests/{free}")).await;
    let reveal = page.ticket("reveal-4");
    refused(&place.post("/decisions", &[("ticket", &reveal)]).await, 409);
    let approve = place.get("/").await.ticket("approve-1");
    refused(&place.post("/reveal", &[("ticket", &approve), ("credits", "45")]).await, 400);
    assert_eq!(place.town.status(id).await, "awaiting_approval");
    place.end().await;
}

#[tokio::test]
async fn a_get_changes_nothing() {
    let (mut place, id) = with_request().await;
    let before: Vec<(i64, String, i64)> =
        place.town.all("select id, status, quoted_credits from requests order by id").await;
    let ticket = place.get("/").await.ticket("approve-1");
    for path in ["/decisions", "/reveal", "/session/end"] {
        let answer = place.get(&format!("{path}?ticket={ticket}&credits=45")).await;
        assert_eq!(answer.status, 405, "{path}");
    }
    for path in ["/", "/requests", "/requests/1", "/jobs", "/session", "/metrics"] {
        assert_eq!(place.get(path).await.status, 200, "{path}");
        assert_eq!(read(place.request(Method::HEAD, path)).await.status, 200, "{path}");
    }
    let after: Vec<(i64, String, i64)> =
        place.town.all("select id, status, quoted_credits from requests order by id").await;
    assert_eq!(before, after);
    assert!(place.get("/").await.has_button("sign-out"), "signed in still");
    assert_untouched(&mut place, id).await;
    place.end().await;
}

#[tokio::test]
async fn a_cancelled_request_is_never_sent() {
    let (mut place, id) = with_request().await;
    let page = place.get("/").await;
    let answer = place.press(&page, "cancel-1", None).await;
    assert_eq!(answer.status, 303);
    assert!(place.get("/requests/1").await.shows("3 contacts not sent"));
    place.town.finish_all().await;
    assert_eq!(place.town.status(id).await, "cancelled");
    assert_eq!(place.town.posts().len(), 0);
    // The page was loaded before another person cancelled: a late approval changes nothing.
    let late = place.press(&page, "approve-1", Some("45")).await;
    refused(&late, 409);
    assert!(late.shows("cancelled"), "{}", late.words());
    place.end().await;
}

#[tokio::test]
async fn an_account_is_paused_and_continued() {
    let mut place = Place::signed_in(Setup::default()).await;
    let page = place.get("/").await;
    assert_eq!(place.press(&page, "pause-default", None).await.status, 303);
    let request = place.town.insert(None, &["101"]).await;
    place.town.settle().await;
    assert_eq!(place.town.posts().len(), 0);
    let page = place.get("/").await;
    assert!(page.shows("Account default is paused"), "{}", page.words());
    assert_eq!(place.press(&page, "resume-default", None).await.status, 303);
    place.town.finish_all().await;
    assert_eq!(place.town.status(request).await, "done");
    place.end().await;
}

/// A job that was sent, whose answer was lost, and which the checks could not settle.
async fn undecided() -> Place {
    let setup = Setup::default()
        .config("API__TIMEOUT", "400ms")
        .sandbox(|options| options.billing = Billing::Repeats);
    let mut place = Place::signed_in(setup).await;
    place.town.fault("lost-request@unlock");
    place.town.insert(None, &["101"]).await;
    place.town.settle().await;
    place.town.sandbox.spend(500);
    place.town.finish().await;
    assert_eq!(place.town.job_state(1).await, "in_doubt (needs_decision)");
    place
}

#[tokio::test]
async fn a_job_in_doubt_is_sent_again_or_written_off_as_a_person_says() {
    for (button, typed, state, posts) in
        [("resubmit-1", Some("15"), "completed", 2), ("write-off-1", None, "lost", 1)]
    {
        let mut place = undecided().await;
        let page = place.get("/").await;
        for text in ["Decide on job 1", "dropped by 500 credits that no other job explains", "paid for twice"]
        {
            assert!(page.shows(text), "{text}: {}", page.words());
        }
        let answer = place.press(&page, button, typed).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/jobs/1"), "{}", answer.words());
        place.town.finish_all().await;
        assert_eq!(place.town.job_state(1).await, state);
        assert_eq!(place.town.posts().len(), posts, "{button}");
        place.end().await;
    }
}

#[tokio::test]
async fn a_decision_on_a_job_that_has_moved_on_is_refused() {
    let mut place = undecided().await;
    let page = place.get("/jobs/1").await;
    refused(&place.press(&page, "resubmit-1", Some("150")).await, 422);
    place.town.meddle("update jobs set version = version + 1").await.expect("set");
    for (button, typed) in [("resubmit-1", Some("15")), ("write-off-1", None)] {
        let answer = place.press(&page, button, typed).await;
        refused(&answer, 409);
        assert!(answer.shows("has changed and is"), "{}", answer.words());
    }
    place.town.settle().await;
    assert_eq!(place.town.job_state(1).await, "in_doubt (needs_decision)");
    assert_eq!(place.town.posts().len(), 1);
    place.end().await;
}

#[tokio::test]
async fn a_refused_key_is_tried_again_when_a_person_says_so() {
    let mut place = Place::signed_in(Setup::default()).await;
    place.town.sandbox.set_api_key(Some("another".to_owned()));
    let request = place.town.insert(None, &["101"]).await;
    place.town.finish().await;
    place.town.sandbox.set_api_key(None);
    place.town.clock.advance(Duration::from_millis(1));
    let page = place.get("/").await;
    assert_eq!(place.press(&page, "retry-key-default", None).await.status, 303);
    place.town.finish_all().await;
    assert_eq!(place.town.status(request).await, "done");
    place.end().await;
}

#[tokio::test]
async fn the_balance_is_read_when_a_person_asks_for_it() {
    let mut place = Place::signed_in(careful()).await;
    place.town.insert(None, &["101", "102"]).await;
    place.town.settle().await;
    let page = place.get("/").await;
    assert!(page.shows("not read yet") && page.shows("Free nowunknown"), "{}", page.words());
    let answer = place.press(&page, "read-balance-default", None).await;
    assert_eq!(answer.status, 303, "{}", answer.words());
    let page = place.get("/").await;
    for text in ["Account default has 100,000 credits", "Free now100,000", "Free after, at least99,970"] {
        assert!(page.shows(text), "{text}: {}", page.words());
    }
    place.town.fault("broken=html@balance");
    assert_eq!(place.press(&page, "read-balance-default", None).await.status, 303);
    assert!(place.get("/").await.shows("The balance could not be read"));
    place.town.cancel(1).await;
    place.town.finish_all().await;
    place.end().await;
}

#[tokio::test]
async fn a_browser_that_goes_away_leaves_no_call_half_done() {
    let mut place = Place::signed_in(Setup::default()).await;
    let page = place.get("/").await;
    place.town.fault("slow=500ms@balance");
    let (ticket, cookie) = (page.ticket("read-balance-default"), place.cookie.clone().expect("signed in"));
    let body = format!("ticket={ticket}&proof={}", place.proof.clone().expect("signed in"));
    let request = format!(
        "POST /decisions HTTP/1.1\r\nhost: localhost\r\nsec-fetch-site: same-origin\r\ncookie: {cookie}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut browser = TcpStream::connect(place.address).await.expect("connected");
    browser.write_all(request.as_bytes()).await.expect("sent");
    let gate = place.town.deps().gates().pop_first().expect("an account").1;
    until(|| gate.is_calling()).await;
    drop(browser);
    until(|| !gate.is_calling()).await;
    let recorded = async {
        while place.town.number("select count(*) from balance_snapshots").await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), recorded).await.expect("the answer is kept");
    place.end().await;
}

/// Waits for something that another task does.
async fn until(is_so: impl Fn() -> bool) {
    let waits = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waits).await.expect("it becomes so");
}

#[tokio::test]
async fn the_running_worker_notices_a_decision_of_the_page() {
    // The site's own connection writes it, so the database's version does not change; and inbox.interval is
    // too long to help.
    let setup = careful().config("INBOX__INTERVAL", "1h").config("RATE_LIMIT__PER_MINUTE", "1000");
    let mut place = Place::signed_in(setup).await;
    place.town.insert(None, &["101", "102"]).await;
    place.town.settle().await;
    let nonsense = place.town.insert_row("personnel_ids", "'nonsense'").await;
    let (deps, signals): (_, Signals) = (place.town.deps().clone(), place.signals.clone());
    let worker = tokio::spawn(driver::run(deps, signals, false));
    let page = place.get("/").await;
    // Once this shows, the passes have found nothing else to do, or are about to.
    let rejected = async {
        while place.town.status(nonsense).await != "rejected" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), rejected).await.expect("the worker has looked");
    assert_eq!(place.press(&page, "approve-1", Some("30")).await.status, 303);
    until(|| !place.town.posts().is_empty()).await;
    place.signals.stop();
    worker.await.expect("no panic").expect("ended well");
    place.town.finish().await;
    place.end().await;
}
