//! The rows of the live view: one account, need, request or job, as styled pieces of text.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::super::show::{clipped, grouped, plain, span};
use super::model::{Model, Need, asked_for};
use crate::domain::Millis;
use crate::domain::job::{Doubt, WaitReason};
use crate::store::report::Time;
use crate::store::report::accounts::Account;
use crate::store::report::jobs::OpenJob;
use crate::store::report::requests::Request;

/// Cells of a bar on a narrow screen.
pub(super) const BAR: usize = 10;

/// Colours, or none.
#[derive(Clone, Copy)]
pub(super) struct Palette {
    pub(super) colour: bool,
}

impl Palette {
    fn of(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    pub(super) fn good(self) -> Style {
        self.of(Color::Green)
    }

    pub(super) fn attention(self) -> Style {
        self.of(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    pub(super) fn bad(self) -> Style {
        self.of(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(super) fn quiet(self) -> Style {
        if self.colour { Style::new().fg(Color::DarkGray) } else { Style::new() }
    }
}

/// The credits and the gauge of the rate limit: two lines.
pub(super) fn account(account: &Account, model: &Model, palette: Palette) -> [Line<'static>; 2] {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut money = vec![Span::styled(format!("{:8} ", short(&plain(&account.title()), 24)), bold)];
    match (account.balance, account.balance_at) {
        (Some(balance), Some(at)) => {
            money.push(Span::raw(format!("balance {} ({} ago)", grouped(balance), ago(at, model))));
            let free = account.free.unwrap_or(0);
            let style = if free > 0 { palette.good() } else { palette.attention() };
            money.push(Span::styled(format!("  free {}", grouped(free)), style));
        }
        _ => money.push(Span::raw("balance not read yet")),
    }
    money.push(Span::raw(format!("  held {}", grouped(account.held))));
    if account.booked_since != 0 {
        money.push(Span::raw(format!("  booked since {}", grouped(account.booked_since))));
    }
    let limit = account.daily_limit.map(|limit| format!(" of {}", grouped(limit))).unwrap_or_default();
    money.push(Span::raw(format!("  today {}{limit}", grouped(account.spent_today))));
    if let Some(limit) = account.monthly_limit {
        let spent = grouped(account.spent_this_month);
        money.push(Span::raw(format!("  this month {spent} of {}", grouped(limit))));
    }
    let (used, limit) = (i64::from(account.rate_used), i64::from(account.rate_limit));
    let mut calls = vec![
        Span::raw(format!("{:9}", "calls")),
        Span::raw(bar(used, limit, 2 * BAR)),
        Span::raw(format!(" {used} of {limit} a window")),
    ];
    if account.in_doubt > 0 {
        calls.push(Span::styled(format!("  in doubt {}", grouped(account.in_doubt)), palette.attention()));
    }
    if let Some(until) = account.blocked_until {
        let wait = format!("  the API asked to wait {}", until_text(until, model));
        calls.push(Span::styled(wait, palette.attention()));
    }
    if account.paused_at.is_some() {
        calls.push(Span::styled("  PAUSED", palette.attention()));
    }
    [Line::from(money), Line::from(calls)]
}

pub(super) fn need_row(need: &Need, palette: Palette) -> [Span<'static>; 2] {
    let style = if need.reason == "needs_decision" { palette.bad() } else { palette.attention() };
    [Span::styled(plain(&need.what), style), Span::raw(need.keys.clone())]
}

pub(super) fn request_row(request: &Request, bar_width: usize, palette: Palette) -> [Span<'static>; 6] {
    let settled = request.contacts - request.pending;
    let waits = request.status == "awaiting_approval";
    let status = Span::styled(
        request.status.replace('_', " "),
        if waits { palette.attention() } else { Style::new() },
    );
    let cost = match waits {
        true => format!("≤ {}", grouped(request.quoted_credits.unwrap_or(0))),
        false => format!("{} booked", grouped(request.committed_credits)),
    };
    [
        Span::raw(format!("{:>4}", request.id)),
        status,
        Span::raw(bar(settled, request.contacts, bar_width)),
        Span::raw(match request.contacts {
            0 => asked_for(request),
            all => format!("{settled}/{all}, {} ok", request.delivered),
        }),
        Span::raw(cost),
        Span::styled(plain(request.reference.as_deref().unwrap_or_default()), palette.quiet()),
    ]
}

pub(super) fn job_row(
    open: &OpenJob,
    model: &Model,
    bar_width: usize,
    palette: Palette,
) -> [Span<'static>; 6] {
    let job = &open.job;
    let state = match (job.doubt(), job.waits_for()) {
        (Some(Doubt::CarriedOut), _) => "being read",
        (Some(Doubt::Looking | Doubt::NeedsDecision), _) => "IN DOUBT",
        (None, Some(WaitReason::InsufficientCredits)) => "no credits",
        (None, Some(WaitReason::InvalidApiKey)) => "key refused",
        (None, Some(reason @ (WaitReason::Budget | WaitReason::Conflict))) => reason.as_str(),
        (None, None) => &job.state,
    };
    let style = match job.state.as_str() {
        "in_doubt" => palette.bad(),
        "queued" if job.state_reason.is_some() => palette.attention(),
        _ => Style::new(),
    };
    let next = match (job.next_poll_at, job.due_at, job.doubt()) {
        (Some(at), ..) => format!("poll {}", until_text(at, model)),
        (_, _, Some(Doubt::NeedsDecision)) => "waits for you".to_owned(),
        (_, Some(at), Some(Doubt::Looking)) => format!("look {}", until_text(at, model)),
        (_, Some(at), _) => format!("next {}", until_text(at, model)),
        _ => String::new(),
    };
    let task = job.task_id.as_ref().map(|id| format!("task {}", plain(id))).unwrap_or_default();
    [
        Span::raw(format!("{:>4}", job.id)),
        Span::styled(state.to_owned(), style),
        Span::raw(bar(open.settled, open.whole(), bar_width)),
        Span::raw(format!("{}/{}, {} ok", open.settled, open.whole(), open.delivered)),
        Span::raw(job.cost.map(|cost| format!("≤ {}", grouped(cost))).unwrap_or_default()),
        Span::styled(
            [next, task].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", "),
            palette.quiet(),
        ),
    ]
}

pub(super) fn ended_row(request: &Request, model: &Model, palette: Palette) -> [Span<'static>; 5] {
    let style = if request.status == "done" { palette.good() } else { palette.quiet() };
    let when = request.finished_at.map(|at| format!("{} ago", ago(at, model))).unwrap_or_default();
    let words = request.reason.as_deref().or(request.reference.as_deref()).unwrap_or_default();
    [
        Span::raw(format!("{:>4}", request.id)),
        Span::styled(request.status.clone(), style),
        Span::raw(match request.contacts {
            0 => asked_for(request),
            all => format!("{} of {all} ok", request.delivered),
        }),
        Span::raw(format!("{} booked", grouped(request.committed_credits))),
        Span::styled(format!("{when}  {}", plain(words)), palette.quiet()),
    ]
}

/// A bar of `width` cells.
fn bar(done: i64, of: i64, width: usize) -> String {
    let filled = match of {
        of if of > 0 => (done.clamp(0, of) as usize * width) / of as usize,
        _ => 0,
    };
    "█".repeat(filled) + &"░".repeat(width - filled)
}

fn short(text: &str, at_most: usize) -> String {
    clipped(text, at_most).to_owned()
}

fn now(model: &Model) -> Millis {
    Millis(model.at.map_or(0, |at| at.0))
}

pub(super) fn ago(at: Time, model: &Model) -> String {
    span(now(model).since(Millis(at.0)))
}

fn until_text(at: Time, model: &Model) -> String {
    match Millis(at.0).since(now(model)) {
        0 => "now".to_owned(),
        ms => format!("in {}", span(ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_full_only_when_all_is_done() {
        assert_eq!(bar(0, 0, 4), "░░░░");
        assert_eq!(bar(99, 100, 4), "███░");
        assert_eq!(bar(100, 100, 4), "████");
    }

    #[test]
    fn no_more_contacts_are_settled_than_there_are() {
        let mut open = super::super::model::tests::job(6, "polling", None);
        // The API has taken two of three.
        (open.job.contacts, open.asked, open.settled) = (2, 3, 3);
        let row = job_row(&open, &Model::default(), BAR, Palette { colour: false });
        assert!(row[3].content.starts_with("3/3"), "{}", row[3].content);
        // An adopted task: nobody asked for its contacts here.
        (open.job.contacts, open.asked, open.settled) = (2, 0, 0);
        assert_eq!(open.whole(), 2);
    }
}
