//! Charts: balance and use of the rate limit over time, as SVG and in words.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::Look;
use super::words::{number, visible};
use crate::domain::ids::DAY_MS;
use crate::domain::usage::{STEP_MS, STEPS};
use crate::domain::{AccountId, Millis};
use crate::store::StoreError;
use crate::store::report::accounts::Account;
use crate::store::report::{Time, overview};

const WIDTH: i64 = 600;
const HEIGHT: i64 = 120;

/// Space above the highest point, for its figure.
const TOP: i64 = 24;

/// Space below the axis, for its times.
const BELOW: i64 = 20;

/// The most snapshots that are drawn; a busy account has thousands a day.
const SNAPSHOTS_AT_MOST: u32 = 5_000;

/// The progress of a request: delivered, failed or skipped, open. The words next to it say the same.
pub(super) fn bar(delivered: i64, otherwise: i64, all: i64) -> Markup {
    let (first, second) = shares(delivered, otherwise, all);
    html! {
        svg .bar viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
            rect .bar-open x="0" y="0" width="1000" height="10" {}
            rect .bar-delivered x="0" y="0" width=(first) height="10" {}
            rect .bar-otherwise x=(first) y="0" width=(second) height="10" {}
        }
    }
}

/// Two parts of a whole in thousandths; together never more than all of it.
fn shares(first: i64, second: i64, all: i64) -> (i64, i64) {
    let share = |part: i64| part.clamp(0, all.max(0)).saturating_mul(1_000).checked_div(all).unwrap_or(0);
    let first = share(first);
    (first, share(second).min(1_000 - first))
}

/// Accounts whose charts are open from the beginning.
const OPEN_CHARTS: usize = 3;

/// Both charts of each account.
pub(super) async fn section<'f>(
    look: &Look<'_>,
    accounts: impl Iterator<Item = &'f Account>,
    span: Option<&str>,
) -> Result<Markup, StoreError> {
    let (span_ms, words, is_week) = match span {
        Some("7d") => (7 * DAY_MS, "the last 7 days", true),
        _ => (DAY_MS, "the last 24 hours", false),
    };
    let range = Range { since: look.now.plus(-span_ms), now: look.now };
    let mut drawn = Vec::new();
    for account in accounts {
        let id = AccountId::trusted(account.account.clone());
        let balances = overview::balances(&look.site.store, &id, range.since, SNAPSHOTS_AT_MOST).await?;
        drawn.push((account.account.clone(), balances, usage(look, &id)));
    }
    let charts = |name: &str, balances: &[(Time, i64)], used: &Option<Used>| {
        html! {
            div .drawings {
                (balance(name, balances, range, words))
                @if let Some(used) = used { (rate(name, used, look.now)) }
            }
        }
    };
    Ok(html! {
        section #over-time aria-labelledby="over-time-title" {
            h2 #over-time-title { "Over time" }
            nav .filters aria-label="Span of the balance" {
                a href="/?span=24h#over-time" aria-current=[(!is_week).then_some("true")] { "24 hours" }
                a href="/?span=7d#over-time" aria-current=[is_week.then_some("true")] { "7 days" }
            }
            @for (at, (name, balances, used)) in drawn.iter().enumerate() {
                @if drawn.len() > OPEN_CHARTS {
                    details .charts open[at == 0] {
                        summary { "Account " (visible(name)) }
                        (charts(name, balances, used))
                    }
                } @else {
                    (charts(name, balances, used))
                }
            }
        }
    })
}

/// The time that a chart spans; the whole of it is drawn, however little is known of it.
#[derive(Clone, Copy)]
struct Range {
    since: Millis,
    now: Millis,
}

impl Range {
    fn x(self, at: Millis) -> i64 {
        let across = self.now.since(self.since).max(1);
        at.since(self.since).min(across) * WIDTH / across
    }
}

/// Calls of the last hour, and the limit: calls in a window of so many milliseconds.
struct Used {
    calls: Vec<(Millis, u32)>,
    limit: u32,
    window_ms: i64,
}

fn usage(look: &Look<'_>, account: &AccountId) -> Option<Used> {
    let (calls, limit, window_ms) = look.site.worker()?.gates().get(account)?.usage();
    Some(Used { calls, limit, window_ms })
}

fn balance(account: &str, balances: &[(Time, i64)], range: Range, words: &str) -> Markup {
    let figures = || balances.iter().map(|(_, total)| *total);
    let (Some(least), Some(most), Some((_, last)), Some((first_at, first))) =
        (figures().min(), figures().max(), balances.last(), balances.first())
    else {
        return html! {
            figure { figcaption { strong { "Balance" } ", account " (visible(account)) ": none was read in " (words) "." } }
        };
    };
    let id = format!("balance-{account}");
    let text = format!(
        "first {} at {}, last {}, lowest {}, highest {}, in {words}.",
        number(*first),
        clock(Millis(first_at.0), range),
        number(*last),
        number(least),
        number(most)
    );
    html! {
        figure {
            figcaption #(format!("{id}-text")) { strong { "Balance" } ", account " (visible(account)) ": " (text) }
            svg .drawing #(id) viewBox=(format!("0 0 {WIDTH} {}", HEIGHT + BELOW)) role="img" aria-labelledby=(format!("{id}-title {id}-desc")) {
                title #(format!("{id}-title")) { "Balance of account " (account) }
                desc #(format!("{id}-desc")) { (text) }
                (frame(&number(most), "0"))
                (times(range))
                path .line d=(steps(balances, most, range)) {}
            }
        }
    }
}

/// A line that keeps its height until the next reading, since nothing is known in between.
fn steps(balances: &[(Time, i64)], most: i64, range: Range) -> String {
    let y = |total: i64| HEIGHT - total.max(0) * (HEIGHT - TOP) / most.max(1);
    let mut path = String::new();
    for (at, total) in balances {
        let x = range.x(Millis(at.0));
        // Writing to a String cannot fail.
        let _ = match path.is_empty() {
            true => write!(path, "M{x} {}", y(*total)),
            false => write!(path, "H{x}V{}", y(*total)),
        };
    }
    let _ = write!(path, "H{WIDTH}");
    path
}

fn rate(account: &str, used: &Used, now: Millis) -> Markup {
    let id = format!("rate-{account}");
    let range = Range { since: now.plus(-(STEPS as i64) * STEP_MS), now };
    let bars = Bars::of(used, range);
    let total: u32 = used.calls.iter().map(|(_, calls)| calls).sum();
    let most = bars.calls.iter().map(|(_, calls)| *calls).max().unwrap_or(0);
    let top = f64::from(most).max(bars.allowed).max(1.0);
    let (seconds, window) = (bars.step_ms / 1_000, used.window_ms / 1_000);
    let text = format!(
        "{total} calls in the last hour, at most {most} in {seconds} seconds; the limit is {} in {window} seconds.",
        used.limit
    );
    let height = |calls: f64| (calls / top * (HEIGHT - TOP) as f64).round() as i64;
    let width = (bars.step_ms * WIDTH) as f64 / ((STEPS as i64) * STEP_MS) as f64;
    let limit_y = HEIGHT - height(bars.allowed);
    html! {
        figure {
            figcaption #(format!("{id}-text")) { strong { "Rate limit" } ", account " (visible(account)) ": " (text) }
            svg .drawing #(id) viewBox=(format!("0 0 {WIDTH} {}", HEIGHT + BELOW)) role="img" aria-labelledby=(format!("{id}-title {id}-desc")) {
                title #(format!("{id}-title")) { "Calls of account " (account) " in each " (seconds) " seconds" }
                desc #(format!("{id}-desc")) { (text) }
                (frame(&format!("{top:.0}"), "0"))
                (times(range))
                @for (at, calls) in &bars.calls {
                    @let tall = height(f64::from(*calls));
                    rect .call x=(range.x(*at)) y=(HEIGHT - tall) width=(format!("{width:.2}")) height=(tall) {}
                }
                text .label x="60" y=(limit_y - 4) { "limit " (format!("{:.0}", bars.allowed)) " in " (seconds) " s" }
                line .limit x1="0" x2=(WIDTH) y1=(limit_y) y2=(limit_y) {}
            }
        }
    }
}

/// Calls in steps of one window each, so that the limit is a height of the same scale: it holds for a whole window, and
/// all of its calls may come in a few seconds.
struct Bars {
    step_ms: i64,
    /// Calls that the limit allows in a step.
    allowed: f64,
    calls: Vec<(Millis, u32)>,
}

impl Bars {
    fn of(used: &Used, range: Range) -> Bars {
        let step_ms = (used.window_ms.max(1) + STEP_MS - 1) / STEP_MS * STEP_MS;
        let mut calls: Vec<(Millis, u32)> = Vec::new();
        for (at, count) in &used.calls {
            let start = range.since.plus(at.since(range.since) / step_ms * step_ms);
            match calls.last_mut() {
                Some((last, sum)) if *last == start => *sum += count,
                _ => calls.push((start, *count)),
            }
        }
        let allowed = f64::from(used.limit) * step_ms as f64 / used.window_ms.max(1) as f64;
        Bars { step_ms, allowed, calls }
    }
}

fn frame(top: &str, bottom: &str) -> Markup {
    html! {
        line .axis x1="0" x2=(WIDTH) y1=(HEIGHT) y2=(HEIGHT) {}
        text .label x="4" y="18" { (top) }
        text .label x="4" y=(HEIGHT - 4) { (bottom) }
    }
}

/// The axis below: when the chart begins, its quarters, and that it ends now.
fn times(range: Range) -> Markup {
    let quarter_ms = range.now.since(range.since) / 4;
    html! {
        @for quarter in 0..4_i64 {
            @let at = range.since.plus(quarter * quarter_ms);
            @let x = range.x(at);
            line .axis x1=(x) x2=(x) y1=(HEIGHT) y2=(HEIGHT + 4) {}
            text .label .time x=(x + 2) y=(HEIGHT + BELOW - 4) { (clock(at, range)) }
        }
        text .label .time .now x=(WIDTH - 2) y=(HEIGHT + BELOW - 4) text-anchor="end" { "now" }
    }
}

/// The time of day in a chart; with its date in one of several days.
fn clock(at: Millis, range: Range) -> String {
    let text = Time::from(at).to_string();
    match range.now.since(range.since) > DAY_MS {
        true => text.get(5..16).unwrap_or_default().replace('T', " "),
        false => text.get(11..16).unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balance_keeps_its_height_until_the_next_reading() {
        let balances = [(Time(0), 1_000), (Time(500), 250)];
        assert_eq!(
            steps(&balances, 1_000, Range { since: Millis(0), now: Millis(1_000) }),
            "M0 24H300V96H600"
        );
    }

    #[test]
    fn nothing_is_drawn_outside_of_the_frame() {
        let balances = [(Time(-5), -70), (Time(5_000), i64::MAX / 200)];
        let path = steps(&balances, i64::MAX / 200, Range { since: Millis(0), now: Millis(1_000) });
        assert_eq!(path, "M0 120H600V24H600");
    }

    #[test]
    fn a_bar_is_never_longer_than_whole() {
        let cases = [(3, 1, 4), (0, 0, 0), (9, 9, 4), (-1, 2, 4), (1, 1, 3)];
        let drawn = cases.map(|(delivered, otherwise, all)| shares(delivered, otherwise, all));
        assert_eq!(drawn, [(750, 250), (0, 0), (1_000, 0), (0, 500), (333, 333)]);
    }

    #[test]
    fn a_short_history_keeps_its_place_in_the_range_that_is_named() {
        let range = Range { since: Millis(0), now: Millis(DAY_MS) };
        let path = steps(&[(Time(DAY_MS - 13_000), 1_000)], 1_000, range);
        assert_eq!(path, "M599 24H600", "13 seconds do not fill a day");
        let drawn = times(range).into_string();
        for time in ["00:00", "06:00", "12:00", "18:00", "now"] {
            assert!(drawn.contains(&format!(">{time}<")), "{time}: {drawn}");
        }
        let week = Range { since: Millis(0), now: Millis(7 * DAY_MS) };
        assert_eq!(clock(Millis(DAY_MS), week), "01-02 00:00");
    }

    #[test]
    fn calls_are_drawn_in_windows_so_that_the_limit_is_where_it_is() {
        let calls = vec![(Millis(0), 100), (Millis(10_000), 20), (Millis(60_000), 30)];
        let used = Used { calls, limit: 120, window_ms: 60_000 };
        let bars = Bars::of(&used, Range { since: Millis(0), now: Millis(3_600_000) });
        assert_eq!((bars.step_ms, bars.allowed), (60_000, 120.0));
        assert_eq!(bars.calls, [(Millis(0), 120), (Millis(60_000), 30)], "full, and not six times too much");
        let short = Used { calls: vec![], limit: 20, window_ms: 4_000 };
        let bars = Bars::of(&short, Range { since: Millis(0), now: Millis(3_600_000) });
        assert_eq!((bars.step_ms, bars.allowed), (10_000, 50.0));
    }
}
