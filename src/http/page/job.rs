//! One job: its status, submissions, cost and timeline.

use maud::{Markup, html};

use super::words::{has_contacts, moment, number, plural, state, until, visible};
use super::{Look, Page, Spot, doubt, lists, request, session};
use crate::store::StoreError;
use crate::store::report::OutcomeCount;
use crate::store::report::jobs::{self, Attempt, Job, LedgerLine};

/// `None` when there is no such job.
pub(super) async fn page(look: &Look<'_>, id: i64) -> Result<Option<Page>, StoreError> {
    let store = &look.site.store;
    let Some(job) = jobs::read(store, id).await? else { return Ok(None) };
    let doubtful = doubt::read(look, id).await?;
    let (attempts, ledger) = (jobs::attempts(store, id).await?, jobs::ledger(store, id).await?);
    let (outcomes, of) = (jobs::outcomes(store, id).await?, jobs::requests(store, id).await?);
    let timeline = jobs::timeline(store, id).await?;
    let body = html! {
        h1 { "Job " (id) ": " (lists::job_state(&job)) }
        @if let Some(doubtful) = &doubtful {
            section #needs aria-labelledby="needs-title" {
                h2 #needs-title { "In doubt" }
                (doubt::decision(look, doubtful))
                (session::why_read_only(look))
            }
        }
        (facts(look, &job, &of, &outcomes))
        (attempts_section(look, &job, &attempts))
        (ledger_section(look, &ledger))
        (request::timeline_section(look, &timeline))
    };
    Ok(Some(Page { title: format!("Job {id}"), body, is_live: true, spot: Spot::Under("/jobs") }))
}

fn facts(look: &Look<'_>, job: &Job, requests: &[i64], outcomes: &[OutcomeCount]) -> Markup {
    html! {
        section #facts aria-labelledby="facts-title" {
            h2 #facts-title { "Status" }
            dl .facts {
                dt { "Account" } dd { (look.account(&job.account)) }
                dt { "Action" } dd { (look.action(&job.action)) }
                @if let Some(task) = &job.task_id { dt { "Task at Lensmor" } dd { code { (visible(task)) } @if job.adopted { " (adopted)" } } }
                dt { "Requests" } dd { @for (at, id) in requests.iter().enumerate() {
                    @if at > 0 { ", " } a href=(format!("/requests/{id}")) { (id) }
                } }
                @if has_contacts(&job.action) { dt { "Contacts" } dd { (contacts(job, outcomes)) } }
                @if let Some(cost) = job.cost { dt { "Cost, at most" } dd { (number(cost)) " credits" } }
                dt { "Polled" } dd { (plural(job.poll_count, "time")) @if let Some(at) = job.next_poll_at { "; next " (until(at, look.now)) } }
                @if let Some(evidence) = &job.evidence { dt { "Evidence" } dd { (visible(evidence)) " (" (plural(job.looks, "check")) ")" } }
                @if let Some(at) = job.due_at { dt { "Next check" } dd { (until(at, look.now)) } }
                dt { "Created" } dd { (moment(job.created_at, look.now)) }
                @if let Some(at) = job.submitted_at { dt { "Sent" } dd { (moment(at, look.now)) } }
                @if let Some(at) = job.finished_at { dt { "Ended" } dd { (moment(at, look.now)) } }
            }
        }
    }
}

/// The number of contacts by outcome, including those that the API skipped.
fn contacts(job: &Job, outcomes: &[OutcomeCount]) -> Markup {
    let all: i64 = outcomes.iter().map(|count| count.contacts).sum();
    html! {
        (number(all.max(job.contacts)))
        @for (at, (outcome, contacts)) in lists::by_outcome(outcomes).into_iter().enumerate() {
            @if at == 0 { ": " } @else { ", " } (number(contacts)) " " (state(outcome))
        }
    }
}

fn attempts_section(look: &Look<'_>, job: &Job, attempts: &[Attempt]) -> Markup {
    html! {
        @if !attempts.is_empty() {
            section #attempts aria-labelledby="attempts-title" {
                h2 #attempts-title { "Submissions" }
                div .scroll role="group" aria-labelledby="attempts-title" tabindex="0" {
                    table {
                        caption .visually-hidden { "Each submission, with the ids that the vendor's support asks for" }
                        thead { tr {
                            th scope="col" { "Sent" } th scope="col" { "Result" } th scope="col" .n { "Contacts" }
                            th scope="col" .n { "Cost, at most" } th scope="col" { "Our request id" } th scope="col" { "Lensmor trace id" }
                        } }
                        tbody { @for one in attempts { tr {
                            th scope="row" { (moment(one.started_at, look.now)) }
                            td {
                                (one.result.as_deref().map_or_else(|| "no answer yet".to_owned(), state))
                                @if let Some(status) = one.status { " (" (status) ")" }
                                @if let Some(key) = &one.error_key { " " code { (visible(key)) } }
                            }
                            td .n { @if has_contacts(&job.action) { (number(one.contacts)) } }
                            td .n { (number(one.cost)) }
                            td { code { (visible(&one.request_id)) } }
                            td { @if let Some(trace) = &one.trace_id { code { (visible(trace)) } } }
                        } } }
                    }
                }
            }
        }
    }
}

fn ledger_section(look: &Look<'_>, ledger: &[LedgerLine]) -> Markup {
    html! {
        @if !ledger.is_empty() {
            section #ledger aria-labelledby="ledger-title" {
                h2 #ledger-title { "Ledger" }
                div .scroll role="group" aria-labelledby="ledger-title" tabindex="0" {
                    table {
                        caption .visually-hidden { "Credits held, released and charged for this job" }
                        thead { tr { th scope="col" { "At" } th scope="col" { "Entry" } th scope="col" .n { "Credits" } } }
                        tbody { @for line in ledger { tr {
                            th scope="row" { (moment(line.at, look.now)) }
                            td { (line.entry) }
                            td .n { (number(line.credits)) }
                        } } }
                    }
                }
            }
        }
    }
}
