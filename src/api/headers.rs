//! What an answer's headers say: the rate limit, and how long to wait.
//!
//! The API's times are brought to our clock with the answer's own `Date`, since the two clocks may
//! differ by more than a rate window. Values that make no sense are treated as absent: a limit that
//! is learned wrongly would stop an account, or let a burst through.
//!
//! Source: the vendor's rate-limit page (`X-RateLimit-*` "when available", `Retry-After` in
//! seconds); RFC 9110 also allows an HTTP date there.

use std::time::UNIX_EPOCH;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::domain::Millis;
use crate::domain::rate::{DOCUMENTED_WINDOW_MS, RateHeaders};

/// A window that ends further away than this is a mistake, in milliseconds.
const A_DAY_MS: i64 = 86_400_000;

/// The rate headers, on our clock; `None` when one is missing or makes no sense. `now` is our clock
/// when the answer came, after `took_ms`.
pub(super) fn rate(headers: &HeaderMap, now: Millis, took_ms: i64) -> Option<RateHeaders> {
    let limit: u32 = text(headers, "x-ratelimit-limit")?.parse().ok()?;
    let remaining: u32 = text(headers, "x-ratelimit-remaining")?.parse().ok()?;
    let reset: i64 = text(headers, "x-ratelimit-reset")?.parse().ok()?;
    let left = match date(headers) {
        Some(theirs) => reset.checked_mul(1_000)?.checked_sub(theirs.0)?,
        // Without their time a clock that is off would stop the account for as long.
        None => reset.checked_mul(1_000)?.checked_sub(now.0)?.min(DOCUMENTED_WINDOW_MS),
    };
    let sensible = limit > 0 && remaining <= limit && (-A_DAY_MS..=A_DAY_MS).contains(&left);
    sensible.then(|| RateHeaders { limit, remaining, resets_at: now.plus(left), left_ms: left, took_ms })
}

/// `Retry-After` in milliseconds, never negative; `None` when it is absent or unreadable. A number
/// of seconds that no integer holds counts as the longest wait there is; of several the longest does.
pub(super) fn retry_after_ms(headers: &HeaderMap, now: Millis) -> Option<i64> {
    let dated = date(headers).unwrap_or(now);
    let values = headers.get_all(RETRY_AFTER).iter().filter_map(|value| value.to_str().ok());
    values.filter_map(|value| wait_ms(value.trim(), dated)).max()
}

/// One `Retry-After`; a date there is counted from `dated`, the answer's own.
fn wait_ms(value: &str, dated: Millis) -> Option<i64> {
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = if value.starts_with('-') { 0 } else { digits.parse().unwrap_or(i64::MAX) };
        return Some(seconds.saturating_mul(1_000));
    }
    Some(http_date(value)?.since(dated))
}

/// How far the API's clock is ahead of ours, in milliseconds, as its `Date` says; to the second, and
/// no better than the answer's way here took.
pub(super) fn ahead_ms(headers: &HeaderMap, now: Millis) -> Option<i64> {
    Some(date(headers)?.0.saturating_sub(now.0))
}

fn date(headers: &HeaderMap) -> Option<Millis> {
    http_date(text(headers, DATE.as_str())?)
}

fn http_date(value: &str) -> Option<Millis> {
    let moment = httpdate::parse_http_date(value).ok()?;
    let since_epoch = moment.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since_epoch.as_millis()).ok().map(Millis)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    /// Thu, 01 Jan 2026 00:00:00 GMT
    const THEIR_NOW: i64 = 1_767_225_600_000;
    const DATE_LINE: (&str, &str) = ("date", "Thu, 01 Jan 2026 00:00:00 GMT");

    fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header value"))
        };
        lines.iter().map(pair).collect()
    }

    fn limits<'a>(limit: &'a str, remaining: &'a str, reset: &'a str) -> Vec<(&'static str, &'a str)> {
        vec![("x-ratelimit-limit", limit), ("x-ratelimit-remaining", remaining), ("x-ratelimit-reset", reset)]
    }

    #[test]
    fn the_reset_is_brought_to_our_clock_by_the_answers_date() {
        let mut lines = limits("120", "7", "1767225630");
        lines.push(DATE_LINE);
        let expected =
            RateHeaders { limit: 120, remaining: 7, resets_at: Millis(35_000), left_ms: 30_000, took_ms: 0 };
        assert_eq!(rate(&map(&lines), Millis(5_000), 0), Some(expected), "our clock is decades behind");
    }

    #[test]
    fn without_a_date_the_reset_is_taken_as_it_is() {
        let ours = Millis(THEIR_NOW);
        let found = rate(&map(&limits("120", "119", "1767225660")), ours, 0).expect("sensible");
        assert_eq!(found.resets_at, Millis(THEIR_NOW + 60_000));
    }

    #[test]
    fn rate_headers_that_make_no_sense_are_no_rate_headers() {
        let table = [
            ("0", "0", "1767225630"),
            ("120", "121", "1767225630"),
            ("-1", "0", "1767225630"),
            ("120", "x", "1767225630"),
            ("120", "1", "1.5"),
            ("120", "1", "60"),
            ("120", "1", "1767312001"),
            ("120", "1", "9223372036854775807"),
            ("120", "1", "-9223372036854775808"),
            ("99999999999", "1", "1767225630"),
            ("", "", ""),
        ];
        for (limit, remaining, reset) in table {
            let mut lines = limits(limit, remaining, reset);
            lines.push(DATE_LINE);
            assert_eq!(rate(&map(&lines), Millis(THEIR_NOW), 0), None, "{limit} {remaining} {reset}");
        }
        assert_eq!(rate(&map(&limits("120", "1", "1")[..2]), Millis(0), 0), None, "one is missing");
    }

    #[test]
    fn a_retry_after_is_seconds_or_a_date() {
        let table = [
            ("32", Some(32_000)),
            (" 0 ", Some(0)),
            ("-5", Some(0)),
            ("99999999999999999999999", Some(i64::MAX)),
            ("9223372036854775807", Some(i64::MAX)),
            ("Thu, 01 Jan 2026 00:00:32 GMT", Some(32_000)),
            ("Wed, 31 Dec 2025 23:00:00 GMT", Some(0)),
            ("soon", None),
            ("1.5", None),
            ("", None),
            ("-", None),
        ];
        for (value, expected) in table {
            let found = retry_after_ms(&map(&[("retry-after", value), DATE_LINE]), Millis(0));
            assert_eq!(found, expected, "{value:?}");
        }
        assert_eq!(retry_after_ms(&map(&[DATE_LINE]), Millis(0)), None, "absent");
        let both = map(&[("retry-after", "4"), ("retry-after", "32"), ("retry-after", "soon"), DATE_LINE]);
        assert_eq!(retry_after_ms(&both, Millis(0)), Some(32_000), "the longest of several");
        let undated = map(&[("retry-after", "Thu, 01 Jan 2026 00:00:32 GMT")]);
        assert_eq!(retry_after_ms(&undated, Millis(THEIR_NOW)), Some(32_000), "by our own clock");
    }
}
