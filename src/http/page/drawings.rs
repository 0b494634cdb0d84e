//! Charts: balance and use of the rate limit over time, as SVG and in words.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::Look;
use super::words::{number, visible};
use crate::domain::usage::{STEP_MS, STEPS};
use crate::domain::{AccountId, Millis};
use crate::store::StoreError;
use crate::store::report::{Time, overview};

const DAY_MS: i64 = 86_400_000;
const WIDTH: i64 = 600;
const HEIGHT: i64 = 120;

/// Space above the highest point, for its figure.
const TOP: i64 = 24;

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

/// Both charts of each account.
pub(super) async fn section(look: &Look<'_>, span: Option<&str>) -> Result<Markup, StoreError> {
    let (span_ms, words, is_week) = match span {
        Some("7d") => (7 * DAY_MS, "the last 7 days", true),
        _ => (DAY_MS, "the last 24 hours", false),
    };
    let since = look.now.plus(-span_ms);
    let mut drawn = Vec::new();
    for name in look.site.config().accounts.keys() {
        let account = AccountId::trusted(name.clone());
        let balances = overview::balances(&look.site.store, &account, since, SNAPSHOTS_AT_MOST).await?;
        drawn.push((name.clone(), balances, usage(look, &account)));
    }
    Ok(html! {
        section #over-time aria-labelledby="over-time-title" {
            h2 #over-time-title { "Over time" }
            nav .filters aria-label="Span of the balance" {
                a href="/?span=24h#over-time" aria-current=[(!is_week).then_some("true")] { "24 hours" }
                a href="/?span=7d#over-time" aria-current=[is_week.then_some("true")] { "7 days" }
            }
            div .drawings {
                @for (name, balances, usage) in &drawn {
                    (balance(name, balances, since, look.now, words))
                    @if let Some(usage) = usage { (rate(name, usage, look.now)) }
                }
            }
        }
    })
}

/// Calls of the last hour, and how many the limit allows in an hour.
struct Used {
    calls: Vec<(Millis, u32)>,
    allowed: f64,
    limit: u32,
    window_ms: i64,
}

fn usage(look: &Look<'_>, account: &AccountId) -> Option<Used> {
    let (calls, limit, window_ms) = look.site.worker()?.gates().get(account)?.usage();
    let allowed = f64::from(limit) * STEP_MS as f64 / window_ms.max(1) as f64;
    Some(Used { calls, allowed, limit, window_ms })
}

fn balance(account: &str, balances: &[(Time, i64)], since: Millis, now: Millis, words: &str) -> Markup {
    let figures = || balances.iter().map(|(_, total)| *total);
    let (Some(least), Some(most), Some((_, last)), Some((_, first))) =
        (figures().min(), figures().max(), balances.last(), balances.first())
    else {
        return html! {
            figure { figcaption { strong { "Balance" } ", account " (visible(account)) ": none was read in " (words) "." } }
        };
    };
    // A short history fills the chart, too.
    let since = balances.first().map_or(since, |(at, _)| since.max(Millis(at.0)));
    let id = format!("balance-{account}");
    let text = format!(
        "first {}, last {}, lowest {}, highest {}, in {words}.",
        number(*first),
        number(*last),
        number(least),
        number(most)
    );
    html! {
        figure {
            figcaption #(format!("{id}-text")) { strong { "Balance" } ", account " (visible(account)) ": " (text) }
            svg .drawing #(id) viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-labelledby=(format!("{id}-title {id}-desc")) {
                title #(format!("{id}-title")) { "Balance of account " (account) }
                desc #(format!("{id}-desc")) { (text) }
                (frame(&number(most), if least == most { "" } else { "0" }))
                path .line d=(steps(balances, most, since, now)) {}
            }
        }
    }
}

/// A line that keeps its height until the next reading, since nothing is known in between.
fn steps(balances: &[(Time, i64)], most: i64, since: Millis, now: Millis) -> String {
    let across = now.since(since).max(1);
    let x = |at: Time| Millis(at.0).since(since).min(across) * WIDTH / across;
    let y = |total: i64| HEIGHT - total.max(0) * (HEIGHT - TOP) / most.max(1);
    let mut path = String::new();
    for (at, total) in balances {
        // Writing to a String cannot fail.
        let _ = match path.is_empty() {
            true => write!(path, "M{} {}", x(*at), y(*total)),
            false => write!(path, "H{}V{}", x(*at), y(*total)),
        };
    }
    let _ = write!(path, "H{WIDTH}");
    path
}

fn rate(account: &str, used: &Used, now: Millis) -> Markup {
    let id = format!("rate-{account}");
    let total: u32 = used.calls.iter().map(|(_, calls)| calls).sum();
    let most = used.calls.iter().map(|(_, calls)| *calls).max().unwrap_or(0);
    let top = f64::from(most).max(used.allowed).max(1.0);
    let text = format!(
        "{total} calls in the last hour, at most {most} in 10 seconds; the limit is {} in {} seconds.",
        used.limit,
        used.window_ms / 1_000
    );
    let height = |calls: f64| (calls / top * (HEIGHT - TOP) as f64).round() as i64;
    let since = now.plus(-(STEPS as i64) * STEP_MS);
    let step_width = WIDTH as f64 / STEPS as f64;
    html! {
        figure {
            figcaption #(format!("{id}-text")) { strong { "Rate limit" } ", account " (visible(account)) ": " (text) }
            svg .drawing #(id) viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-labelledby=(format!("{id}-title {id}-desc")) {
                title #(format!("{id}-title")) { "Calls of account " (account) " in each 10 seconds" }
                desc #(format!("{id}-desc")) { (text) }
                (frame(&format!("{top:.0}"), "0"))
                @for (at, calls) in &used.calls {
                    @let x = at.since(since) as f64 / STEP_MS as f64 * step_width;
                    @let tall = height(f64::from(*calls));
                    rect .call x=(format!("{x:.1}")) y=(HEIGHT - tall) width=(format!("{step_width:.2}")) height=(tall) {}
                }
                text .label x="40" y=(HEIGHT - height(used.allowed) - 4) { "limit" }
                line .limit x1="0" x2=(WIDTH) y1=(HEIGHT - height(used.allowed)) y2=(HEIGHT - height(used.allowed)) {}
            }
        }
    }
}

fn frame(top: &str, bottom: &str) -> Markup {
    html! {
        line .axis x1="0" x2=(WIDTH) y1=(HEIGHT) y2=(HEIGHT) {}
        text .label x="4" y="18" { (top) }
        text .label x="4" y=(HEIGHT - 4) { (bottom) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balance_keeps_its_height_until_the_next_reading() {
        let balances = [(Time(0), 1_000), (Time(500), 250)];
        assert_eq!(steps(&balances, 1_000, Millis(0), Millis(1_000)), "M0 24H300V96H600");
    }

    #[test]
    fn nothing_is_drawn_outside_of_the_frame() {
        let balances = [(Time(-5), -70), (Time(5_000), i64::MAX / 200)];
        let path = steps(&balances, i64::MAX / 200, Millis(0), Millis(1_000));
        assert_eq!(path, "M0 120H600V24H600");
    }

    #[test]
    fn a_bar_is_never_longer_than_whole() {
        let cases = [(3, 1, 4), (0, 0, 0), (9, 9, 4), (-1, 2, 4), (1, 1, 3)];
        let drawn = cases.map(|(delivered, otherwise, all)| shares(delivered, otherwise, all));
        assert_eq!(drawn, [(750, 250), (0, 0), (1_000, 0), (0, 500), (333, 333)]);
    }
}
