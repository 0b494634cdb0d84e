//! The workers that share the database, and which owners of accounts each serves.

use maud::{Markup, html};

use super::Look;
use super::words::{moment, visible};
use crate::store::postgres::members::{Members, Served};
use crate::store::report::Time;

/// One worker for itself needs no table.
pub(super) fn section(look: &Look<'_>, members: Option<&Members>) -> Markup {
    html! {
        @if let Some(members) = members.filter(|members| is_worth_a_table(members)) {
            section #workers aria-labelledby="workers-title" {
                h2 #workers-title { "Workers" }
                div .scroll role="group" aria-labelledby="workers-title" tabindex="0" {
                    table {
                        caption .visually-hidden { "Each owner of accounts, and the worker that serves it" }
                        thead { tr {
                            th scope="col" { "Owner" } th scope="col" { "Host" } th scope="col" { "Process" }
                            th scope="col" { "Since" } th scope="col" .n { "Lease left" }
                        } }
                        tbody { @for row in &members.owners { (owner(look, members, row)) } }
                    }
                }
                @for gone in &members.gone {
                    p .hint { "The worker on " (visible(&gone.host)) " (process " (gone.pid) ") is gone: last seen " (moment(gone.seen_at, look.now)) "." }
                }
            }
        }
    }
}

fn is_worth_a_table(members: &Members) -> bool {
    members.workers.len() + members.gone.len() > 1 || members.owners.iter().any(is_unserved)
}

fn is_unserved(row: &Served) -> bool {
    row.worker.is_none()
}

fn owner(look: &Look<'_>, members: &Members, row: &Served) -> Markup {
    let pid = members.worker_of(row).map(|worker| worker.pid);
    html! {
        tr {
            th scope="row" { (visible(&row.title())) }
            @match &row.host {
                Some(host) => {
                    td { (visible(host)) }
                    td { @if let Some(pid) = pid { (pid) } }
                    td { @if let Some(at) = row.taken_at { (moment(Time(at), look.now)) } }
                    td .n { (row.left_ms.max(0) / 1_000) " s" }
                }
                None => td colspan="4" { strong { "no worker serves it" } ": nothing of it is bought or polled" },
            }
        }
    }
}
