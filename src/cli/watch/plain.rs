//! The same as plain lines, for pipes, logs and screen readers.
//!
//! A block contains nothing that changes with time alone, so two blocks differ only when something has
//! happened.

use std::fmt::Write;

use super::super::show::plain;
use super::model::{Model, asked_for};
use crate::domain::Action;
use crate::store::report::accounts::Account;

/// The line above a block.
pub(super) fn stamp(model: &Model) -> String {
    model.at.map(|at| format!("-- {at}\n")).unwrap_or_default()
}

/// The state, without times that change by themselves.
pub(super) fn block(model: &Model) -> String {
    let mut text = format!("{}\n", model.health());
    for line in model.accounts.iter().map(account) {
        let _ = writeln!(text, "{line}");
    }
    workers(&mut text, model);
    for need in &model.needs {
        let _ = writeln!(text, "needs you: {}; {}", plain(&need.what), plain(&need.to_do));
    }
    let more = model.needs_total.saturating_sub(model.needs.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "needs you: {more} more");
    }
    for fault in &model.inbox_faults {
        let _ = writeln!(text, "{}", plain(&fault.what()));
    }
    for told in &model.budget_warnings {
        let _ = writeln!(text, "budget: {}", plain(&told.what()));
    }
    if model.inbox_new > 0 {
        let _ = writeln!(text, "inbox: {} new", model.inbox_new);
    }
    for request in &model.requests {
        let settled = request.contacts - request.pending;
        let reference = request.reference.as_deref().map(|words| format!(", reference {:?}", plain(words)));
        let reference = reference.unwrap_or_default();
        let _ = writeln!(
            text,
            "request {}: {}, {}, {settled} settled, {} delivered{reference}",
            request.id,
            request.status,
            asked_for(request),
            request.delivered
        );
    }
    for open in &model.jobs {
        let job = &open.job;
        let reason = job.state_reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let has_contacts = Action::parse(&job.action).is_none_or(|action| action.channel().is_some());
        let what = if has_contacts { "contacts" } else { "paid calls" };
        let _ = writeln!(
            text,
            "job {}: {}{reason}, {} of {} {what} settled, {} delivered",
            job.id,
            job.state,
            open.settled,
            open.whole(),
            open.delivered
        );
    }
    for request in model.ended.iter().take(5) {
        let _ = writeln!(
            text,
            "ended: request {} is {}, {}, {} delivered",
            request.id,
            request.status,
            asked_for(request),
            request.delivered
        );
    }
    text
}

/// Who serves what, where several workers share it, and who has gone.
fn workers(text: &mut String, model: &Model) {
    if model.workers().len() + model.gone.len() > 1 {
        for row in &model.owners {
            let host = row.host.as_deref().unwrap_or("no worker");
            let pid = row.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
            let _ = writeln!(text, "owner {}: {}{pid}", plain(&row.owner), plain(host));
        }
    }
    for gone in &model.gone {
        let host = plain(&gone.host);
        let _ = writeln!(text, "worker on {host}, process {}: gone, last seen at {}", gone.pid, gone.seen_at);
    }
}

fn account(account: &Account) -> String {
    let name = plain(&account.title());
    let mut parts = vec![match (account.balance, account.free) {
        (Some(balance), Some(free)) => format!("balance {balance}, free {free}"),
        _ => "balance not read yet".to_owned(),
    }];
    parts.push(format!("held {}", account.held));
    if account.booked_since != 0 {
        parts.push(format!("booked since that balance {}", account.booked_since));
    }
    parts.push(format!("spent today {}", account.spent_today));
    if account.in_doubt > 0 {
        parts.push(format!("in doubt {}", account.in_doubt));
    }
    if let Some(until) = account.blocked_until {
        parts.push(format!("the API asked to wait until {until}"));
    }
    format!("account {name}: {}", parts.join(", "))
}
