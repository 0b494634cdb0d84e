//! What a person does on the page: signing in and out, decisions, and revealing a value.
//!
//! Each passes the same steps: from a page of ours, by a session of ours, with a ticket that is
//! good. Then it is decided where the command line decides, so both refuse the same.

use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::page::{self, Look, number};
use super::session::{SessionId, SignInError};
use super::ticket::Act;
use super::{Site, guard};
use crate::domain::pacing::Ladder;
use crate::domain::{AccountId, Credits, JobId, RequestId};
use crate::store::jobs::{self, Job};
use crate::store::report::requests;
use crate::store::{StoreError, accounts};
use crate::worker::decide;

#[derive(Deserialize)]
pub(super) struct SignIn {
    token: String,
}

pub(super) async fn sign_in_form(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let look = Look::new(&site, &headers);
    let page = page::sign_in_page(&look, guard::is_loopback(&headers), None);
    page::whole(&look, StatusCode::OK, page)
}

pub(super) async fn sign_in(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    form: Result<Form<SignIn>, FormRejection>,
) -> Response {
    let look = Look::new(&site, &headers);
    if let Err(refusal) = of_our_page(&look, &headers) {
        return refusal;
    }
    let Ok(Form(form)) = form else { return not_understood(&look) };
    let is_private = guard::is_loopback(&headers);
    match site.sessions.sign_in(&form.token, look.now) {
        Ok(value) => {
            tracing::info!("somebody signed in to the status page");
            with_cookie(&site, Some(&value), !is_private)
        }
        Err(error) => {
            tracing::warn!(%error, "somebody tried to sign in to the status page");
            let status = match error {
                SignInError::LockedOut { .. } => StatusCode::TOO_MANY_REQUESTS,
                _ => StatusCode::FORBIDDEN,
            };
            let page = page::sign_in_page(&look, is_private, Some(&error.to_string()));
            page::whole(&look, status, page)
        }
    }
}

pub(super) async fn sign_out(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let look = Look::new(&site, &headers);
    if let Err(refusal) = of_our_page(&look, &headers) {
        return refusal;
    }
    if let Some(session) = look.visitor.session() {
        site.sessions.sign_out(session);
    }
    with_cookie(&site, None, !guard::is_loopback(&headers))
}

fn with_cookie(site: &Site, value: Option<&str>, secure: bool) -> Response {
    let cookie = super::session::set_cookie(value, site.port(), secure);
    let mut response = Redirect::to("/").into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

#[derive(Deserialize)]
pub(super) struct Pressed {
    ticket: String,
    /// What was typed beside a button that may spend.
    credits: Option<String>,
}

type PressedForm = Result<Form<Pressed>, FormRejection>;

/// Carries out a decision and shows what it is about.
pub(super) async fn decisions(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    form: PressedForm,
) -> Response {
    let look = Look::new(&site, &headers);
    let (session, pressed) = match pressed(&look, &headers, form) {
        Ok(pressed) => pressed,
        Err(refusal) => return refusal,
    };
    if let Err(refusal) = typed_right(&look, session, &pressed) {
        return refusal;
    }
    let act = match site.tickets.take(session, &pressed.ticket, look.now) {
        Ok(act) => act,
        Err(error) => return stale(&look, &error.to_string()),
    };
    match carry_out(&look, &act).await {
        Ok(Done { notice, then }) => {
            tracing::info!(decision = ?act, "decided on the status page");
            // What this process writes itself is no change to its own connection.
            site.signals.wake();
            site.sessions.tell(session, notice);
            Redirect::to(&then).into_response()
        }
        Err(Refused::Changed(what)) => stale(&look, &what),
        Err(Refused::Store(StoreError::Stale { what })) => {
            stale(&look, &format!("{what} was changed by somebody else in the meantime"))
        }
        Err(Refused::Store(error)) => super::unreadable(&error),
    }
}

/// Shows one contact's value.
pub(super) async fn reveal(State(site): State<Arc<Site>>, headers: HeaderMap, form: PressedForm) -> Response {
    let look = Look::new(&site, &headers);
    let (session, pressed) = match pressed(&look, &headers, form) {
        Ok(pressed) => pressed,
        Err(refusal) => return refusal,
    };
    match site.tickets.take(session, &pressed.ticket, look.now) {
        Ok(Act::Reveal { request, item }) => {
            tracing::info!(
                request_id = request,
                item_id = item,
                "a contact's value was revealed on the status page"
            );
            page::revealed(&look, request, item).await
        }
        Ok(_) => not_understood(&look),
        Err(error) => stale(&look, &error.to_string()),
    }
}

/// A form of a signed-in person, from a page of ours.
fn pressed(
    look: &Look<'_>,
    headers: &HeaderMap,
    form: PressedForm,
) -> Result<(SessionId, Pressed), Response> {
    of_our_page(look, headers)?;
    let Some(session) = look.visitor.session() else {
        let text =
            "You are not signed in, or your session has ended. Nothing was changed, and nothing is spent.";
        return Err(page::says(look, StatusCode::FORBIDDEN, "Sign in first", text));
    };
    let Ok(Form(pressed)) = form else { return Err(not_understood(look)) };
    Ok((session, pressed))
}

fn of_our_page(look: &Look<'_>, headers: &HeaderMap) -> Result<(), Response> {
    if guard::is_same_origin(headers) {
        return Ok(());
    }
    let text =
        "The request did not come from a page of this server. Nothing was changed, and nothing is spent.";
    Err(page::says(look, StatusCode::FORBIDDEN, "Refused", text))
}

fn not_understood(look: &Look<'_>) -> Response {
    let text = "The form was not understood. Nothing was changed, and nothing is spent.";
    page::says(look, StatusCode::BAD_REQUEST, "Not understood", text)
}

fn stale(look: &Look<'_>, what: &str) -> Response {
    let text = format!(
        "Nothing was changed, and nothing is spent: {what}. Look at it again, and decide on what you see."
    );
    page::says(look, StatusCode::CONFLICT, "That is out of date", &text)
}

/// A figure that was typed wrong uses no ticket up.
fn typed_right(look: &Look<'_>, session: SessionId, pressed: &Pressed) -> Result<(), Response> {
    let expected = match look.site.tickets.read(session, &pressed.ticket, look.now) {
        Ok(Act::Approve { quoted, .. }) => quoted,
        Ok(Act::Resubmit { cost, .. }) => cost,
        Ok(_) => return Ok(()),
        Err(error) => return Err(stale(look, &error.to_string())),
    };
    let typed: String =
        pressed.credits.iter().flat_map(|typed| typed.chars()).filter(|char| !is_grouping(*char)).collect();
    if typed.parse() == Ok(expected) {
        return Ok(());
    }
    let text = format!(
        "To confirm, type the figure that is shown: {}. Nothing was changed, and nothing is spent. Go back to try again.",
        number(expected)
    );
    Err(page::says(look, StatusCode::UNPROCESSABLE_ENTITY, "Another figure", &text))
}

/// What people put between digits.
fn is_grouping(char: char) -> bool {
    char.is_whitespace() || matches!(char, ',' | '.' | '\'' | '_' | '\u{2019}')
}

struct Done {
    notice: String,
    then: String,
}

enum Refused {
    /// What is otherwise than shown, in words.
    Changed(String),
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Refused {
        Refused::Store(error)
    }
}

impl From<decide::Refusal> for Refused {
    fn from(refusal: decide::Refusal) -> Refused {
        match refusal {
            decide::Refusal::Store(error) => Refused::Store(error),
            other => Refused::Changed(other.to_string()),
        }
    }
}

async fn carry_out(look: &Look<'_>, act: &Act) -> Result<Done, Refused> {
    let (store, now) = (&look.site.store, look.now);
    match act {
        Act::Approve { request, .. } => approve(look, *request, act).await,
        Act::Cancel { request } => {
            let known: Vec<AccountId> = look.site.config().accounts.keys().map(AccountId::trusted).collect();
            let cancelled = decide::cancel(store, &known, RequestId(*request), now).await?;
            let notice = format!(
                "Request {request}: {} contacts not sent. It is {} now.",
                number(cancelled.contacts as i64),
                cancelled.status
            );
            Ok(Done { notice, then: format!("/requests/{request}") })
        }
        Act::Resubmit { job, version, cost } => {
            let row = unchanged(look, *job, *version).await?;
            decide::resubmit(store, row, now).await?;
            let notice =
                format!("Job {job} is sent again after a precheck, for up to {} credits.", number(*cost));
            Ok(Done { notice, then: format!("/jobs/{job}") })
        }
        Act::WriteOff { job, version, cost } => {
            let row = unchanged(look, *job, *version).await?;
            decide::write_off(store, row, now).await?;
            let notice =
                format!("Job {job} is written off; {} credits stay booked as perhaps spent.", number(*cost));
            Ok(Done { notice, then: format!("/jobs/{job}") })
        }
        Act::Pause { account } => {
            decide::pause(store, &AccountId::trusted(account.clone()), now).await?;
            let notice = format!("Account {account} is paused: nothing new is submitted.");
            Ok(Done { notice, then: "/".to_owned() })
        }
        Act::Resume { account } => resume(look, account).await,
        Act::Reveal { .. } => Err(Refused::Changed("this is no decision".to_owned())),
    }
}

/// Approves exactly what was shown: the figure is compared once more inside the transaction.
async fn approve(look: &Look<'_>, id: i64, shown: &Act) -> Result<Done, Refused> {
    let store = &look.site.store;
    let request = requests::read(store, id).await?;
    let Some(request) = request else { return Err(Refused::Changed(format!("there is no request {id}"))) };
    let Act::Approve { action, contacts, quoted, committed, .. } = shown else {
        return Err(Refused::Changed("this is no approval".to_owned()));
    };
    for (what, then, now) in [
        ("contacts", *contacts, request.contacts),
        ("credits that may be spent already", *committed, request.committed_credits),
    ] {
        if then != now {
            let (then, now) = (number(then), number(now));
            return Err(Refused::Changed(format!(
                "it was shown with {then} {what}, and there are {now} by now"
            )));
        }
    }
    if *action != request.action {
        return Err(Refused::Changed("it asks for something else by now".to_owned()));
    }
    decide::approve(store, RequestId(id), Credits(*quoted), look.now).await?;
    let notice = format!("Request {id} is approved for up to {} credits.", number(*quoted));
    Ok(Done { notice, then: format!("/requests/{id}") })
}

/// The job's row, if nothing happened to it since it was shown.
async fn unchanged(look: &Look<'_>, id: i64, version: i64) -> Result<Job, Refused> {
    match jobs::read(look.site.store.readers(), JobId(id)).await? {
        Some(job) if job.version == version => Ok(job),
        Some(job) => Err(Refused::Changed(format!("job {id} has moved on and is {} by now", job.state))),
        None => Err(Refused::Changed(format!("there is no job {id}"))),
    }
}

async fn resume(look: &Look<'_>, account: &str) -> Result<Done, Refused> {
    let config = look.site.config();
    let ladder = Ladder::new(&config.polling.steps, config.polling.give_up_after);
    let id = AccountId::trusted(account);
    let resumed = decide::resume(&look.site.store, &id, &ladder, look.now).await?;
    let still_paused = accounts::read(look.site.store.readers(), &id).await?.paused_at.is_some();
    let notice = format!(
        "Account {account} {}: {} waiting and {} expired jobs are tried again.",
        if still_paused { "was paused again by somebody" } else { "goes on" },
        resumed.parked_jobs,
        resumed.expired_jobs
    );
    Ok(Done { notice, then: "/".to_owned() })
}
