//! The headers of an answer: the rate limit, and how long to wait.
//!
//! The API's times are converted to our clock with the answer's own `Date`, since the two clocks may differ
//! by more than a rate window. Servers and gateways write the same thing in many ways (fractions, lists,
//! milliseconds, seconds from now); a value with only one possible meaning is accepted. An invalid value is
//! ignored, since a wrong limit would stop an account, or let a burst through.
//!
//! Source: the vendor's rate-limit page (`X-RateLimit-*` "when available", `Retry-After` in
//! seconds); RFC 9110 also allows an HTTP date there.

use std::time::UNIX_EPOCH;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::domain::Millis;
use crate::domain::rate::{DOCUMENTED_WINDOW_MS, RateHeaders};

/// A window that ends more than a day from now is a mistake of the header, in milliseconds.
const A_DAY_MS: i64 = 86_400_000;
/// The most seconds until a reset that are believed: an hour; the documented window is a minute.
const LONGEST_SECONDS_LEFT: f64 = 3_600.0;
/// From here on a number is a time and not a duration: 1985 in seconds.
const FIRST_EPOCH: f64 = 500_000_000.0;

/// The rate limit in the headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// No figures.
    Untold,
    Told(RateHeaders),
    /// Invalid figures.
    Odd,
}

/// The rate headers, converted to our clock. `now` is our clock when the answer came, after `took_ms`.
pub(super) fn rate(headers: &HeaderMap, now: Millis, took_ms: i64) -> Limit {
    const NAMES: [&str; 3] = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
    if NAMES.iter().all(|name| !headers.contains_key(*name)) {
        return Limit::Untold;
    }
    let smallest = |name| numbers(headers, name).into_iter().flatten().reduce(f64::min);
    let told = || {
        let limit = whole(smallest(NAMES[0])?)?;
        let remaining = whole(smallest(NAMES[1])?.max(0.0))?;
        let left_ms = left_ms(headers, NAMES[2], now)?;
        let sensible = limit > 0 && remaining <= limit && (-A_DAY_MS..=A_DAY_MS).contains(&left_ms);
        sensible.then(|| RateHeaders { limit, remaining, resets_at: now.plus(left_ms), left_ms, took_ms })
    };
    told().map_or(Limit::Odd, Limit::Told)
}

fn whole(number: f64) -> Option<u32> {
    (0.0..=f64::from(u32::MAX)).contains(&number).then_some(number as u32)
}

/// The time until the window ends, in milliseconds; if there are several, the longest.
fn left_ms(headers: &HeaderMap, name: &str, now: Millis) -> Option<i64> {
    let theirs = date(headers);
    let from_moment = |moment: Millis| match theirs {
        Some(theirs) => moment.0.saturating_sub(theirs.0),
        // Without the API's time, a wrong clock would stop the account for the difference.
        None => moment.0.saturating_sub(now.0).min(DOCUMENTED_WINDOW_MS),
    };
    let from_number = |number: f64| match epoch(number) {
        Some(moment) => Some(from_moment(moment)),
        None if (0.0..=LONGEST_SECONDS_LEFT).contains(&number) => Some((number * 1_000.0).ceil() as i64),
        None => None,
    };
    let dated = lines(headers, name).filter_map(moment).map(from_moment).max();
    dated.or_else(|| {
        let lefts = numbers(headers, name).into_iter().map(|number| number.and_then(from_number));
        lefts.collect::<Option<Vec<i64>>>()?.into_iter().max()
    })
}

/// A number that is too large for a duration, as a time: in seconds since 1970, or in milliseconds,
/// microseconds or nanoseconds.
fn epoch(number: f64) -> Option<Millis> {
    let seconds = match number {
        _ if number >= FIRST_EPOCH * 1e9 => number / 1e9,
        _ if number >= FIRST_EPOCH * 1e6 => number / 1e6,
        _ if number >= FIRST_EPOCH * 1e3 => number / 1e3,
        _ if number >= FIRST_EPOCH => number,
        _ => return None,
    };
    Some(Millis((seconds * 1_000.0).round() as i64))
}

/// The numbers of a header that may appear twice and may be a list, with additional parameters (`120,
/// 120;w=60`); `None` for a part that is not a number.
fn numbers(headers: &HeaderMap, name: &str) -> Vec<Option<f64>> {
    let parts = lines(headers, name).flat_map(|line| line.split(','));
    parts.map(|part| number(part.split(';').next().unwrap_or_default())).collect()
}

fn number(text: &str) -> Option<f64> {
    let text = text.trim_matches(|char: char| char.is_ascii_whitespace() || char == '"');
    // The standard library would also read `inf` and `nan` as numbers.
    let is_numeral = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte));
    if is_numeral { text.parse().ok() } else { None }
}

/// `Retry-After` in milliseconds, never negative; `None` if it is missing or unreadable. Fractions of a
/// second are rounded up, and the longest of several waits counts. A number of seconds above every integer
/// counts as the longest possible wait.
pub(super) fn retry_after_ms(headers: &HeaderMap, now: Millis) -> Option<i64> {
    let dated = date(headers).unwrap_or(now);
    lines(headers, RETRY_AFTER.as_str()).filter_map(|line| longest_wait_ms(line, dated)).max()
}

/// The longest wait of one line; a date in it is compared with `dated`, the answer's own date.
fn longest_wait_ms(line: &str, dated: Millis) -> Option<i64> {
    if let Some(moment) = moment(line) {
        return Some(moment.since(dated));
    }
    line.split(',').filter_map(|part| wait_ms(part, dated)).max()
}

fn wait_ms(part: &str, dated: Millis) -> Option<i64> {
    let part = part.trim_matches(|char: char| char.is_ascii_whitespace() || char == '"');
    let split = part.find(|char: char| char.is_ascii_alphabetic()).unwrap_or(part.len());
    let (number, unit) = (number(&part[..split])?, part[split..].to_ascii_lowercase());
    let seconds = match unit.as_str() {
        "ms" => number / 1_000.0,
        "" | "s" | "sec" | "secs" | "second" | "seconds" => number,
        _ => return None,
    };
    let until = epoch(seconds).filter(|_| unit.is_empty());
    let is_near = |moment: &Millis| moment.0.saturating_sub(dated.0).saturating_abs() <= A_DAY_MS;
    Some(match until.filter(is_near) {
        Some(moment) => moment.since(dated),
        // The code that waits limits a value that is too large.
        None => (seconds.max(0.0).ceil() * 1_000.0) as i64,
    })
}

/// How far the API's clock is ahead of ours by its `Date`, in milliseconds; accurate to a second, plus the
/// time of the answer's way.
pub(super) fn ahead_ms(headers: &HeaderMap, now: Millis) -> Option<i64> {
    Some(date(headers)?.0.saturating_sub(now.0))
}

fn date(headers: &HeaderMap) -> Option<Millis> {
    lines(headers, DATE.as_str()).find_map(http_date)
}

/// A date in the format of HTTP or of RFC 3339.
fn moment(value: &str) -> Option<Millis> {
    let stamp = || value.parse::<jiff::Timestamp>().ok().map(|stamp| Millis(stamp.as_millisecond()));
    http_date(value).or_else(stamp)
}

fn http_date(value: &str) -> Option<Millis> {
    let moment = httpdate::parse_http_date(value).ok()?;
    let since_epoch = moment.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since_epoch.as_millis()).ok().map(Millis)
}

fn lines<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok().map(str::trim))
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
        assert_eq!(
            rate(&map(&lines), Millis(5_000), 0),
            Limit::Told(expected),
            "our clock is decades behind"
        );
    }

    #[test]
    fn without_a_date_the_reset_is_taken_as_it_is() {
        let ours = Millis(THEIR_NOW);
        let Limit::Told(found) = rate(&map(&limits("120", "119", "1767225660")), ours, 0) else {
            panic!("sensible");
        };
        assert_eq!(found.resets_at, Millis(THEIR_NOW + 60_000));
    }

    #[test]
    fn rate_headers_are_understood_in_the_ways_in_which_servers_write_them() {
        for (limit, remaining, reset) in [
            ("120", "7", "1767225630"),
            ("120", "7", "1767225630000"),
            ("120", "7", "1767225630000000"),
            ("120", "7", "1767225630000000000"),
            ("120", "7", "1767225629.9999"),
            ("120", "7", "30"),
            ("120", "7", "29.9995"),
            ("120.0", "7.0", " 30 "),
            ("120, 120", "7, 7", "30, 30"),
            ("120, 5000;w=3600", "7", "12, 30"),
            ("120;w=60", "7.9", "\"30\""),
            ("120", "7", "Thu, 01 Jan 2026 00:00:30 GMT"),
            ("120", "7", "2026-01-01T00:00:30Z"),
        ] {
            let mut lines = limits(limit, remaining, reset);
            lines.push(DATE_LINE);
            let Limit::Told(found) = rate(&map(&lines), Millis(THEIR_NOW), 0) else {
                panic!("{limit} {remaining} {reset}");
            };
            let RateHeaders { limit, remaining, left_ms, .. } = found;
            assert_eq!((limit, remaining, left_ms), (120, 7, 30_000), "{reset}");
        }
        let twice: Vec<_> = [limits("120", "9", "10"), limits("120", "7", "30"), vec![DATE_LINE]]
            .into_iter()
            .flatten()
            .collect();
        let Limit::Told(found) = rate(&map(&twice), Millis(THEIR_NOW), 0) else { panic!("sensible") };
        assert_eq!((found.limit, found.remaining, found.left_ms), (120, 7, 30_000), "what allows less");
        let spent = rate(&map(&limits("120", "-1", "30")), Millis(THEIR_NOW), 0);
        assert!(matches!(spent, Limit::Told(RateHeaders { remaining: 0, .. })), "{spent:?}");
    }

    #[test]
    fn no_rate_headers_are_told_from_odd_ones() {
        assert_eq!(rate(&map(&[DATE_LINE]), Millis(0), 0), Limit::Untold);
        assert_eq!(rate(&map(&limits("120", "1", "soon")), Millis(0), 0), Limit::Odd);
    }

    #[test]
    fn rate_headers_that_make_no_sense_are_no_rate_headers() {
        let table = [
            ("0", "0", "1767225630"),
            ("120", "121", "1767225630"),
            ("-1", "0", "1767225630"),
            ("120", "x", "1767225630"),
            ("120", "1", "3601"),
            ("120", "1", "-60"),
            ("120", "1", "30, soon"),
            ("120", "nan", "30"),
            ("inf", "1", "30"),
            ("120", "1", "1767312001"),
            ("120", "1", "9223372036854775807"),
            ("120", "1", "-9223372036854775808"),
            ("99999999999", "1", "1767225630"),
            ("", "", ""),
        ];
        for (limit, remaining, reset) in table {
            let mut lines = limits(limit, remaining, reset);
            lines.push(DATE_LINE);
            assert_eq!(rate(&map(&lines), Millis(THEIR_NOW), 0), Limit::Odd, "{limit} {remaining} {reset}");
        }
        assert_eq!(rate(&map(&limits("120", "1", "1")[..2]), Millis(0), 0), Limit::Odd, "one is missing");
    }

    #[test]
    fn a_retry_after_is_seconds_or_a_date() {
        let table = [
            ("32", Some(32_000)),
            (" 0 ", Some(0)),
            ("-5", Some(0)),
            ("99999999999999999999999", Some(i64::MAX)),
            ("9223372036854775807", Some(i64::MAX)),
            ("999999999999", Some(999_999_999_999_000)),
            ("Thu, 01 Jan 2026 00:00:32 GMT", Some(32_000)),
            ("Wed, 31 Dec 2025 23:00:00 GMT", Some(0)),
            ("45.5", Some(46_000)),
            ("60.0", Some(60_000)),
            ("0.129", Some(1_000)),
            ("292.052427053", Some(293_000)),
            ("-1.5", Some(0)),
            (" 4 , 32", Some(32_000)),
            ("2814, 2", Some(2_814_000)),
            ("900000", Some(900_000_000)),
            ("\"32\"", Some(32_000)),
            ("32s", Some(32_000)),
            ("32 seconds", Some(32_000)),
            ("1500ms", Some(2_000)),
            ("1767225632", Some(32_000)),
            ("1767225632000", Some(32_000)),
            ("2026-01-01T00:00:32Z", Some(32_000)),
            ("1e400", None),
            ("soon", None),
            ("inf", None),
            ("nan", None),
            ("2 minutes", None),
            ("1.2.3", None),
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
