//! Lists: requests by status, jobs by state, and the tables of the overview.

use maud::{Markup, html};

use super::askers;
use super::drawings::bar;
use super::words::{ago, brought, has_contacts, moment, number, plural, state, until, visible};
use super::{Look, Page, Spot, Wanted};
use crate::domain::{job, request_state};
use crate::store::StoreError;
use crate::store::report::direct::Summary;
use crate::store::report::jobs::{Job, OpenJob};
use crate::store::report::requests::{Filter, Request};
use crate::store::report::{OutcomeCount, jobs as job_reports, requests as request_reports};

/// Rows of a list.
const ROWS: u32 = 100;

/// A table that, on a narrow screen, scrolls sideways while the page stays.
fn table(label: &str, caption: &str, inside: Markup) -> Markup {
    html! {
        div .scroll role="group" aria-label=(label) tabindex="0" {
            table {
                caption .visually-hidden { (caption) }
                (inside)
            }
        }
    }
}

fn filters(path: &str, key: &str, all: &[&str], chosen: Option<&str>) -> Markup {
    html! {
        nav .filters aria-label="Filter" {
            a href=(path) aria-current=[chosen.is_none().then_some("true")] { "all" }
            @for one in all {
                a href=(format!("{path}?{key}={one}")) aria-current=[(chosen == Some(one)).then_some("true")] { (state(one)) }
            }
        }
    }
}

/// The reference, or a placeholder for people who may not see it.
fn reference(look: &Look<'_>, request: &Request) -> Markup {
    html! {
        @match &request.reference {
            None => {}
            Some(reference) if look.is_trusted() => (visible(reference)),
            Some(_) => span .hint { "sign in to see it" },
        }
    }
}

/// The newest requests, of one status or of all.
pub(super) async fn requests(look: &Look<'_>, wanted: &Wanted) -> Result<Page, StoreError> {
    let status = wanted.status.as_deref().filter(|status| request_state::State::NAMES.contains(status));
    let rows = request_reports::list(&look.site.store, Filter { status, ..Filter::default() }, ROWS).await?;
    let body = html! {
        h1 { "Requests" @if let Some(status) = status { ": " (state(status)) } }
        (filters("/requests", "status", &request_state::State::NAMES, status))
        @if rows.is_empty() { p .calm { "None." } } @else {
            (table("Requests", "Requests, the newest first", html! {
                thead { tr {
                    th scope="col" { "Request" } th scope="col" { "Status" } th scope="col" { "Asks for" }
                    th scope="col" .n { "Contacts" } th scope="col" .n { "Delivered" } th scope="col" .n { "Open" }
                    th scope="col" .n { "Quoted" } th scope="col" { "Reference" } th scope="col" { "Asked by" }
                    th scope="col" { "Created" }
                } }
                tbody { @for row in &rows { tr {
                    th scope="row" { a href=(format!("/requests/{}", row.id)) { (row.id) } }
                    td { (state(&row.status)) }
                    td { (look.action(&row.action)) }
                    @let counted = row.taken_at.is_some() && has_contacts(&row.action);
                    td .n { @if counted { (number(row.contacts)) } }
                    td .n { @if counted { (number(row.delivered)) } }
                    td .n { @if counted { (number(row.pending)) } }
                    td .n { @if let Some(quoted) = row.quoted_credits { (number(quoted)) } }
                    td { (reference(look, row)) }
                    td { (askers::short(look, row)) }
                    td { @if let Some(at) = row.created_at { (moment(at, look.now)) } }
                } } }
            }))
            (end_of_list(rows.len()))
        }
    };
    Ok(Page { title: "Requests".to_owned(), body, is_live: true, spot: Spot::At("/requests") })
}

fn end_of_list(rows: usize) -> Markup {
    html! {
        @if rows >= ROWS as usize {
            p .hint { "The newest " (ROWS) ". For the others: " code { "unlockd requests --limit N" } ", " code { "unlockd export" } "." }
        }
    }
}

/// The newest jobs, in one state or in all.
pub(super) async fn jobs(look: &Look<'_>, wanted: &Wanted) -> Result<Page, StoreError> {
    let chosen = wanted.state.as_deref().filter(|state| job::State::NAMES.contains(state));
    let rows = job_reports::list(&look.site.store, chosen, ROWS).await?;
    let body = html! {
        h1 { "Jobs" @if let Some(chosen) = chosen { ": " (state(chosen)) } }
        (filters("/jobs", "state", &job::State::NAMES, chosen))
        @if rows.is_empty() { p .calm { "None." } } @else { (jobs_table(look, &rows)) (end_of_list(rows.len())) }
    };
    Ok(Page { title: "Jobs".to_owned(), body, is_live: true, spot: Spot::At("/jobs") })
}

/// Jobs and their state.
pub(super) fn jobs_table(look: &Look<'_>, rows: &[Job]) -> Markup {
    table(
        "Jobs",
        "Jobs and their state",
        html! {
            thead { tr {
                th scope="col" { "Job" } th scope="col" { "State" } th scope="col" { "Task" } th scope="col" .n { "Contacts" }
                th scope="col" .n { "Cost, at most" } th scope="col" .n { "Polls" } th scope="col" { "Sent" } th scope="col" { "Ended" }
            } }
            tbody { @for row in rows { tr {
                th scope="row" { a href=(format!("/jobs/{}", row.id)) { (row.id) } }
                td { (job_state(row)) }
                td { @if let Some(task) = &row.task_id { (visible(task)) } }
                td .n { @if has_contacts(&row.action) { (number(row.contacts)) } }
                td .n { @if let Some(cost) = row.cost { (number(cost)) } }
                td .n { (number(row.poll_count)) }
                td { @if let Some(at) = row.submitted_at { (moment(at, look.now)) } }
                td { @if let Some(at) = row.finished_at { (moment(at, look.now)) } }
            } } }
        },
    )
}

/// A job's state with its reason.
pub(super) fn job_state(job: &Job) -> Markup {
    html! {
        (state(&job.state))
        @if let Some(reason) = &job.state_reason { ": " (visible(&state(reason))) }
    }
}

/// Open requests and their progress.
pub(super) fn progress_table(look: &Look<'_>, rows: &[Request]) -> Markup {
    table(
        "Open requests",
        "Open requests and their progress",
        html! {
            thead { tr {
                th scope="col" { "Request" } th scope="col" .wide { "Progress" } th scope="col" .n { "Delivered" }
                th scope="col" .n { "Failed or skipped" } th scope="col" .n { "Open" } th scope="col" { "Reference" } th scope="col" { "Taken" }
            } }
            tbody { @for row in rows {
                @let otherwise = row.contacts - row.delivered - row.pending;
                tr {
                    th scope="row" { a href=(format!("/requests/{}", row.id)) { (row.id) } }
                    @if has_contacts(&row.action) {
                        td .wide { (bar(row.delivered, otherwise, row.contacts)) }
                        td .n { (number(row.delivered)) }
                        td .n { (number(otherwise)) }
                        td .n { (number(row.pending)) }
                    } @else {
                        td .wide colspan="4" { (look.wish(row)) }
                    }
                    td { (reference(look, row)) }
                    td { @if let Some(at) = row.taken_at { (ago(at, look.now)) } }
                }
            } }
        },
    )
}

/// Open jobs and their next step.
pub(super) fn open_jobs_table(look: &Look<'_>, rows: &[OpenJob]) -> Markup {
    table(
        "Open jobs",
        "Open jobs and their next step",
        html! {
            thead { tr {
                th scope="col" { "Job" } th scope="col" { "State" } th scope="col" { "Task" } th scope="col" .n { "Contacts" }
                th scope="col" .n { "Settled" } th scope="col" .n { "Cost, at most" } th scope="col" .n { "Polls" } th scope="col" { "Next check" }
            } }
            tbody { @for OpenJob { job, settled, .. } in rows { tr {
                th scope="row" { a href=(format!("/jobs/{}", job.id)) { (job.id) } }
                td { (job_state(job)) }
                td { @if let Some(task) = &job.task_id { (visible(task)) } }
                td .n { @if has_contacts(&job.action) { (number(job.contacts)) } }
                td .n { @if has_contacts(&job.action) { (number(*settled)) } }
                td .n { @if let Some(cost) = job.cost { (number(cost)) } }
                td .n { (number(job.poll_count)) }
                td { @if let Some(at) = job.next_poll_at.or(job.due_at) { (until(at, look.now)) } }
            } } }
        },
    )
}

/// How a request ended.
pub(super) enum Ended {
    Contacts(Vec<OutcomeCount>),
    Direct(Summary),
}

impl Ended {
    /// Its contacts by outcome.
    pub(super) fn counts(&self) -> &[OutcomeCount] {
        match self {
            Ended::Contacts(counts) => counts,
            Ended::Direct(_) => &[],
        }
    }
}

/// Requests that ended, with their outcomes in words.
pub(super) fn ended_table(look: &Look<'_>, rows: &[(Request, Ended)]) -> Markup {
    table(
        "Ended requests",
        "Requests that ended, the last one first",
        html! {
            thead { tr {
                th scope="col" { "Request" } th scope="col" { "Status" } th scope="col" .n { "Contacts" }
                th scope="col" .outcomes { "Outcomes" } th scope="col" { "Reference" } th scope="col" { "Ended" }
            } }
            tbody { @for (row, how) in rows { tr {
                th scope="row" { a href=(format!("/requests/{}", row.id)) { (row.id) } }
                td { (state(&row.status)) }
                td .n { @if has_contacts(&row.action) { (number(row.contacts)) } }
                td .outcomes { @match how {
                    Ended::Contacts(outcomes) => (outcome_links(row.id, outcomes)),
                    Ended::Direct(summary) => {
                        a href=(format!("/requests/{}#result", row.id)) { (brought(summary)) }
                        span .hint { " (" (look.action(&row.action)) ")" }
                    }
                } }
                td { (reference(look, row)) }
                td { @if let Some(at) = row.finished_at { (moment(at, look.now)) } }
            } } }
        },
    )
}

/// Counts by outcome, for every source.
pub(super) fn by_outcome<'c>(counts: impl IntoIterator<Item = &'c OutcomeCount>) -> Vec<(&'c str, i64)> {
    let mut totals: Vec<(&str, i64)> = Vec::new();
    for count in counts {
        match totals.iter_mut().find(|(outcome, _)| *outcome == count.outcome) {
            Some((_, contacts)) => *contacts += count.contacts,
            None => totals.push((&count.outcome, count.contacts)),
        }
    }
    totals
}

/// Counts by outcome; each links to its contacts.
pub(super) fn outcome_links(request: i64, outcomes: &[OutcomeCount]) -> Markup {
    let counts = by_outcome(outcomes);
    html! {
        @if counts.is_empty() { "no contacts" }
        @for (at, (outcome, contacts)) in counts.iter().enumerate() {
            @if at > 0 { ", " }
            a href=(format!("/requests/{request}?outcome={outcome}#contacts")) { (number(*contacts)) " " (state(outcome)) }
        }
    }
}

/// How many rows of how many are shown.
pub(super) fn of_all(shown: usize, all: i64) -> String {
    format!("{} of {}", number(shown as i64), plural(all, "contact"))
}
