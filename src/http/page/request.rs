//! One request: its status and why, its contacts, jobs and timeline.

use maud::{Markup, html};

use super::drawings::bar;
use super::words::{ago, has_contacts, moment, number, plural, state, until, visible};
use super::{Look, Page, Spot, Wanted, contacts, forms, lists, needs, overview, session};
use crate::http::ticket::Act;
use crate::store::StoreError;
use crate::store::report::direct::{self, Summary};
use crate::store::report::progress::{self, Entry};
use crate::store::report::requests::Request;
use crate::store::report::{jobs, requests};
use crate::worker::people::explain::{self, Explanation};

/// Jobs of one request that are shown.
const JOBS_AT_MOST: usize = 50;

/// Events of a timeline that are shown.
const EVENTS_AT_MOST: usize = 200;

/// `None` if there is no such request. `revealed`: the item whose value is shown unmasked.
pub(super) async fn page(
    look: &Look<'_>,
    id: i64,
    wanted: &Wanted,
    revealed: Option<i64>,
) -> Result<Option<Page>, StoreError> {
    let store = &look.site.store;
    let Some(request) = requests::read(store, id).await? else { return Ok(None) };
    let explained = explain::of(store, &look.site.config(), &request, look.now).await?;
    let accounts = overview::read_accounts(look, &needs::works(look).await?).await?;
    let account = accounts.iter().find(|account| account.account == request.account);
    let contents = match direct::summary(store, id).await? {
        Some(summary) => brought(look, &request, &summary),
        None => contacts::section(look, id, &explained.outcomes, wanted, revealed).await?,
    };
    let jobs = jobs::of_request(store, id).await?;
    let timeline = progress::timeline(store, id).await?;
    let body = html! {
        h1 { "Request " (id) ": " (state(&request.status)) }
        @if request.taken_at.is_some() && request.contacts > 0 && has_contacts(&request.action) {
            (bar(request.delivered, request.contacts - request.delivered - request.pending, request.contacts))
            p .counts {
                (number(request.delivered)) " delivered, " (number(request.contacts - request.delivered - request.pending))
                " failed or skipped, " (number(request.pending)) " open, of " (number(request.contacts))
            }
        }
        @if request.status == "awaiting_approval" {
            section #needs aria-labelledby="needs-title" {
                h2 #needs-title { "Needs you" }
                (needs::approval(look, &request, account))
            }
        }
        (session::why_read_only(look))
        (waits(look, &request, &explained))
        (facts(look, &request))
        (contents)
        @if !jobs.is_empty() {
            section #jobs aria-labelledby="jobs-title" {
                h2 #jobs-title { "Jobs" }
                (lists::jobs_table(look, &jobs[jobs.len().saturating_sub(JOBS_AT_MOST)..]))
                @if jobs.len() > JOBS_AT_MOST {
                    p .hint { "The last " (JOBS_AT_MOST) " of " (number(jobs.len() as i64)) ". All of them: " code { "unlockd request " (id) } }
                }
            }
        }
        (timeline_section(look, &timeline))
        @if !request.is_finished() && request.status != "awaiting_approval" {
            (forms::careful(look, Act::Cancel { request: id }, &format!("cancel-{id}"), "Cancel the request",
                "Contacts not sent yet will not be sent for this request. Contacts already sent are followed to the end: \
                 they may be charged."))
        }
    };
    // A page with an unmasked value is not refreshed.
    Ok(Some(Page {
        title: format!("Request {id}"),
        body,
        is_live: revealed.is_none(),
        spot: Spot::Under("/requests"),
    }))
}

fn waits(look: &Look<'_>, request: &Request, explained: &Explanation) -> Markup {
    html! {
        @if !explained.finished {
            section #waits aria-labelledby="waits-title" {
                h2 #waits-title { "Waiting for" }
                @if let Some(said) = explained.no_worker() { p .problem { (needs::sentence_case(&said)) "." } }
                @if explained.waits.is_empty() { p .calm { "Ready; it starts in a moment." } }
                ul { @for wait in &explained.waits { li {
                    (visible(&wait.what))
                    @if let Some(since) = wait.since { ", since " (ago(since, look.now)) }
                    @if let Some(at) = wait.next_try_at { "; next " (until(at, look.now)) }
                    @if let Some(at) = wait.gives_up_at { "; gives up " (until(at, look.now)) }
                    "."
                    @if let Some(unblock) = &wait.unblock { br; span .hint { "To unblock: " (visible(unblock)) } }
                } } }
            }
        } @else if let Some(reason) = &request.reason {
            p .problem { (visible(reason)) }
        }
    }
}

/// The result of an event unlock or a search, as counts; `export` has all of it.
fn brought(look: &Look<'_>, request: &Request, summary: &Summary) -> Markup {
    html! {
        section #result aria-labelledby="result-title" {
            h2 #result-title { "Result" }
            dl .facts {
                dt { "Outcome" } dd { (visible(&state(&summary.outcome))) }
                @if let Some(credits) = summary.credits_used { dt { "Credits used" } dd { (number(credits)) } }
                @if let Some(found) = summary.found { dt { "Found" } dd { (plural(found, "result")) } }
                @if let (Some(name), true) = (&summary.event_name, look.is_trusted()) {
                    dt { "Event" } dd { (visible(name)) }
                }
                @if let Some(mode) = &summary.access_mode { dt { "Access mode" } dd { (visible(mode)) } }
                @if let Some(open) = summary.visitors {
                    dt { "Visitor access" } dd { (if open { "open" } else { "locked" }) }
                }
                @if let Some(people) = summary.people { dt { "People in its list" } dd { (number(people)) } }
            }
            @if summary.found.is_some() || summary.access_mode.is_some() {
                p .hint { "Full result: " code { "unlockd export --format jsonl --request " (request.id) } }
            }
        }
    }
}

fn facts(look: &Look<'_>, request: &Request) -> Markup {
    let own = |text: &Option<String>| text.as_deref().map(visible).filter(|_| look.is_trusted());
    html! {
        section #facts aria-labelledby="facts-title" {
            h2 #facts-title { "Details" }
            dl .facts {
                dt { "Account" } dd { (look.account(&request.account)) }
                dt { "Action" } dd { (look.action(&request.action)) }
                @if let Some(event) = own(&request.event_id) { dt { "Event" } dd { (event) } }
                @if let Some(task) = own(&request.task_id) { dt { "Adopted task" } dd { (task) } }
                @if let Some(query) = own(&request.query) { dt { "Query" } dd { (query) } }
                @if let Some(reference) = own(&request.reference) { dt { "Reference" } dd #reference { (reference) } }
                @if let Some(caller) = own(&request.caller) { dt { "Asked for by" } dd #caller { (caller) } }
                @if request.agent.is_some() {
                    dt { "Asked for by an agent" } dd #agent { (own(&request.agent).unwrap_or_else(|| "yes".to_owned())) }
                }
                @if let Some(purpose) = own(&request.purpose) { dt { "What for" } dd #purpose { (purpose) } }
                @if let Some(quoted) = request.quoted_credits { dt { "Quoted" } dd { (number(quoted)) " credits at most" } }
                @if let Some(approved) = request.approved_credits { dt { "Approved" } dd #approved { (number(approved)) " credits" } }
                dt { "May have cost" } dd { (number(request.committed_credits)) " credits so far" }
                @if let Some(max) = request.max_credits { dt { "Limit (max_credits)" } dd { (number(max)) " credits" } }
                @if let Some(at) = request.created_at { dt { "Created" } dd { (moment(at, look.now)) } }
                @if let Some(at) = request.taken_at { dt { "Taken" } dd { (moment(at, look.now)) } }
                @if let Some(at) = request.finished_at { dt { "Finished" } dd { (moment(at, look.now)) } }
            }
        }
    }
}

/// The timeline, oldest first. From a marked event on, credits may have been spent.
pub(super) fn timeline_section(look: &Look<'_>, entries: &[Entry]) -> Markup {
    let earlier = entries.len().saturating_sub(EVENTS_AT_MOST);
    html! {
        section #timeline aria-labelledby="timeline-title" {
            h2 #timeline-title { "Timeline" }
            @if entries.is_empty() { p .calm { "Nothing happened yet." } }
            @if earlier > 0 { p .hint { (number(earlier as i64)) " earlier events: " code { "unlockd request" } ", " code { "unlockd job" } } }
            ol .timeline { @for entry in &entries[earlier..] { li {
                (moment(entry.at, look.now)) " "
                @if let Some(job) = entry.job_id { a href=(format!("/jobs/{job}")) { "job " (job) } " " }
                strong { (visible(&state(&entry.event))) }
                @if let Some(detail) = &entry.detail { ": " (visible(detail)) }
                @if entry.event == "send_started" { " " span .money-moves { "from here on, money may have moved" } }
            } } }
        }
    }
}
