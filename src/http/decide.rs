//! The actions of a signed-in person on the page: decisions, and revealing a value.
//!
//! Each must come from our own page, in a signed-in session, with its proof and a valid ticket. Then the same code as
//! on the command line carries it out, so both refuse the same decisions.

use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::page::{self, Look, number};
use super::refused::Refused;
use super::session::SessionId;
use super::ticket::Act;
use super::{Site, guard};
use crate::domain::{AccountId, Credits, JobId, RequestId};
use crate::store::accounts;
use crate::store::jobs::{self, Job};
use crate::store::report::requests;
use crate::worker::balance::{self, Asked};
use crate::worker::ladder;
use crate::worker::people::{decide, pause};

#[derive(Deserialize)]
pub(super) struct Pressed {
    ticket: String,
    /// The amount typed next to a button that may spend.
    credits: Option<String>,
    /// The session's second secret, which no cookie carries; or the token instead.
    proof: Option<String>,
    token: Option<String>,
}

type PressedForm = Result<Form<Pressed>, FormRejection>;

/// Carries out a decision and shows the page of its object.
pub(super) async fn decisions(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    form: PressedForm,
) -> Response {
    // A separate task: a browser that disconnects must not stop a decision half way.
    let decision = tokio::spawn(async move {
        let look = Look::new(&site, &headers);
        match decided(&look, &headers, form).await {
            Ok(then) => Redirect::to(&then).into_response(),
            Err(refused) => refused.page(&look),
        }
    });
    decision.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// The address of the page to show next.
async fn decided(look: &Look<'_>, headers: &HeaderMap, form: PressedForm) -> Result<String, Refused> {
    let (session, pressed) = pressed(look, headers, form)?;
    // A wrong amount does not use up the ticket.
    typed_right(&look.site.tickets.read(session, &pressed.ticket, look.now)?, &pressed)?;
    let act = look.site.tickets.take(session, &pressed.ticket, look.now)?;
    let Done { notice, then } = carry_out(look, &act).await?;
    tracing::info!(decision = ?act, "decided on the status page");
    look.site.wake().await;
    look.site.sessions.tell(session, notice);
    Ok(then)
}

/// Shows one contact's value.
pub(super) async fn reveal(State(site): State<Arc<Site>>, headers: HeaderMap, form: PressedForm) -> Response {
    let look = Look::new(&site, &headers);
    let taken = pressed(&look, &headers, form)
        .and_then(|(session, pressed)| Ok(site.tickets.take(session, &pressed.ticket, look.now)?));
    match taken {
        Ok(Act::Reveal { request, item }) => {
            tracing::info!(
                request_id = request,
                item_id = item,
                "a contact's value was revealed on the status page"
            );
            page::revealed(&look, request, item).await
        }
        Ok(_) => Refused::NotUnderstood.page(&look),
        Err(refused) => refused.page(&look),
    }
}

/// A form from a signed-in person and from our own page.
fn pressed(look: &Look<'_>, headers: &HeaderMap, form: PressedForm) -> Result<(SessionId, Pressed), Refused> {
    if !guard::is_same_origin(headers) {
        return Err(Refused::NotOurPage);
    }
    let session = look.visitor.session().ok_or(Refused::NotSignedIn)?;
    let Form(pressed) = form.map_err(|_| Refused::NotUnderstood)?;
    let proofs = (pressed.proof.as_deref(), pressed.token.as_deref());
    look.site.sessions.confirms(session, proofs, look.now).map_err(Refused::NotProven)?;
    Ok((session, pressed))
}

fn typed_right(act: &Act, pressed: &Pressed) -> Result<(), Refused> {
    let expected = match act {
        Act::Approve { quoted, .. } => *quoted,
        Act::Resubmit { cost, .. } => *cost,
        _ => return Ok(()),
    };
    let typed = pressed.credits.as_deref().and_then(Credits::typed);
    if typed == Some(Credits(expected)) { Ok(()) } else { Err(Refused::AnotherFigure(expected)) }
}

struct Done {
    notice: String,
    then: String,
}

async fn carry_out(look: &Look<'_>, act: &Act) -> Result<Done, Refused> {
    let (store, now) = (&look.site.store, look.now);
    match act {
        Act::Approve { request, .. } => approve(look, *request, act).await,
        Act::Cancel { request } => {
            let known: Vec<AccountId> = look.site.config().accounts.keys().map(AccountId::trusted).collect();
            let cancelled = decide::cancel(store, &known, RequestId(*request), now).await?;
            let notice = match cancelled.contacts {
                0 => format!("Request {request}: all of it was sent; nothing of it will be sent again."),
                contacts => format!(
                    "Request {request}: {} contacts not sent. It is {} now.",
                    number(contacts as i64),
                    cancelled.status
                ),
            };
            Ok(Done { notice, then: format!("/requests/{request}") })
        }
        Act::Resubmit { job, version, cost } => {
            let row = unchanged(look, *job, *version).await?;
            decide::resubmit(store, row, Credits(*cost), now).await?;
            let notice =
                format!("Job {job} is sent again after a precheck, for up to {} credits.", number(*cost));
            Ok(Done { notice, then: format!("/jobs/{job}") })
        }
        Act::WriteOff { job, version, cost } => {
            let row = unchanged(look, *job, *version).await?;
            decide::write_off(store, row, now).await?;
            let notice =
                format!("Job {job} is written off; {} credits stay booked as possibly spent.", number(*cost));
            Ok(Done { notice, then: format!("/jobs/{job}") })
        }
        Act::Pause { account } => {
            pause::pause(store, &AccountId::trusted(account.clone()), now).await?;
            let notice = format!("Account {account} is paused: nothing new is submitted.");
            Ok(Done { notice, then: "/".to_owned() })
        }
        Act::Resume { account } => resume(look, account, true).await,
        Act::TryAgain { account } => resume(look, account, false).await,
        Act::ReadBalance { account } => read_balance(look, account).await,
        Act::Reveal { .. } => Err(Refused::Changed("this is not a decision".to_owned())),
    }
}

/// Approves exactly what was shown: the figure is compared once more inside the transaction.
async fn approve(look: &Look<'_>, id: i64, shown: &Act) -> Result<Done, Refused> {
    let store = &look.site.store;
    let request = requests::read(store, id).await?;
    let Some(request) = request else { return Err(Refused::Changed(format!("there is no request {id}"))) };
    let Act::Approve { action, contacts, quoted, committed, .. } = shown else {
        return Err(Refused::Changed("this is not an approval".to_owned()));
    };
    for (what, then, now) in [
        ("contacts", *contacts, request.contacts),
        ("credits that may be spent already", *committed, request.committed_credits),
    ] {
        if then != now {
            let (then, now) = (number(then), number(now));
            return Err(Refused::Changed(format!("the page showed {then} {what}, and now there are {now}")));
        }
    }
    if *action != request.action {
        return Err(Refused::Changed("it asks for something else now".to_owned()));
    }
    decide::approve(store, RequestId(id), Credits(*quoted), look.now).await?;
    let notice = format!("Request {id} is approved for up to {} credits.", number(*quoted));
    Ok(Done { notice, then: format!("/requests/{id}") })
}

/// The job's row, if it has not changed since it was shown.
async fn unchanged(look: &Look<'_>, id: i64, version: i64) -> Result<Job, Refused> {
    match jobs::read(look.site.store.readers(), JobId(id)).await? {
        Some(job) if job.version == version => Ok(job),
        Some(job) => Err(Refused::Changed(format!("job {id} has changed and is {} now", job.state))),
        None => Err(Refused::Changed(format!("there is no job {id}"))),
    }
}

async fn resume(look: &Look<'_>, account: &str, lifts_pause: bool) -> Result<Done, Refused> {
    let config = look.site.config();
    let ladder = ladder(&config);
    let id = AccountId::trusted(account);
    let store = &look.site.store;
    let resumed = match lifts_pause {
        true => pause::resume(store, &id, &ladder, look.now).await?,
        false => pause::try_again(store, &id, &ladder, look.now).await?,
    };
    let still_paused = accounts::read(look.site.store.readers(), &id).await?.paused_at.is_some();
    let notice = format!(
        "Account {account} {}: {} waiting and {} expired jobs are tried again.",
        if still_paused { "stays paused" } else { "is active" },
        resumed.parked_jobs,
        resumed.expired_jobs
    );
    Ok(Done { notice, then: "/".to_owned() })
}

/// Calls the API, which costs only one of the calls that the rate limit allows.
async fn read_balance(look: &Look<'_>, account: &str) -> Result<Done, Refused> {
    let Some(deps) = look.site.worker() else {
        return Err(Refused::Changed(
            "Another process has the database lock, and only that one calls the API".to_owned(),
        ));
    };
    let Some(gate) = deps.gates().remove(&AccountId::trusted(account)) else {
        return Err(Refused::Changed("There is no such account any more".to_owned()));
    };
    let row = accounts::read(look.site.store.readers(), &gate.account).await?;
    if row.owner.is_some_and(|owner| !deps.store.ownership().holds(&owner)) {
        return Err(Refused::Changed(
            "Another worker serves this account, and only that one calls the API".to_owned(),
        ));
    }
    let notice = match balance::ask_balance(&deps, &gate, "page").await? {
        Asked::Recorded(balance) => format!("Account {account} has {} credits.", number(balance.total.0)),
        Asked::At(_) => "The rate limit allows no call at this moment; try again in a minute.".to_owned(),
        Asked::NoKey => format!("Account {account} has no key that the API accepts."),
        Asked::Failed(error) => format!("The balance could not be read: {error}."),
    };
    Ok(Done { notice, then: "/".to_owned() })
}
