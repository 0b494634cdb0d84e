//! Faults as text: `--fault lost-answer@unlock`.
//!
//! `grammar.rs` describes the whole syntax, for `--help`; `spoken.rs` writes a fault back as text.

use std::str::FromStr;
use std::time::Duration;

use jiff::{SpanRelativeTo, fmt::friendly::SpanParser};

use super::kinds::{Fault, FaultKind, Loss, RetryAfter};
use super::spoken::{BREAKAGES, RATE_HEADERS};
use crate::sandbox::words::route::Endpoint;

/// Why a text is not a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a fault: {why}")]
pub struct FaultError {
    text: String,
    why: String,
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        parse(text.trim()).map_err(|why| FaultError { text: text.to_owned(), why })
    }
}

fn parse(text: &str) -> Result<Fault, String> {
    let (count, rest) = split_count(text)?;
    let (what, endpoint) =
        match rest.rsplit_once('@') {
            Some((what, "any")) => (what, None),
            Some((what, name)) => (
                what,
                Some(Endpoint::from_name(name).ok_or_else(|| {
                    format!("there is no endpoint `{name}`; there are {}", Endpoint::names())
                })?),
            ),
            None => (rest, None),
        };
    let (name, argument) = match what.split_once('=') {
        Some((name, argument)) => (name, Some(argument)),
        None => (what, None),
    };
    let kind = parse_kind(name, argument)?;
    Ok(Fault { kind, endpoint, count })
}

fn split_count(text: &str) -> Result<(Option<u32>, &str), String> {
    let Some((first, rest)) = text.split_once(':') else {
        return Ok((Some(1), text));
    };
    if first == "always" {
        return Ok((None, rest));
    }
    match first.strip_suffix('x') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => match digits.parse() {
            Ok(count) if count > 0 => Ok((Some(count), rest)),
            _ => Err(format!("`{first}` is not a number of times")),
        },
        // The colon belongs to the argument: a URL, an error key, a date.
        _ => Ok((Some(1), text)),
    }
}

fn parse_kind(name: &str, argument: Option<&str>) -> Result<FaultKind, String> {
    match (name, argument) {
        ("pass", None) => Ok(FaultKind::Pass),
        ("drip", None) => Ok(FaultKind::Drip),
        ("429", None) | ("status", Some("429")) => Ok(FaultKind::RateLimited(RetryAfter::WindowEnd)),
        ("429", Some("none")) => Ok(FaultKind::RateLimited(RetryAfter::Absent)),
        ("429", Some(value)) => {
            header_text(value).map(|value| FaultKind::RateLimited(RetryAfter::Verbatim(value)))
        }
        ("status", Some(code)) => parse_status(code),
        ("200-error", Some(value)) => parse_200_error(value),
        ("redirect", Some(url)) => header_text(url).map(FaultKind::Redirect),
        ("lost-request", None | Some("close")) => Ok(FaultKind::LostRequest { reset: false }),
        ("lost-request", Some("reset")) => Ok(FaultKind::LostRequest { reset: true }),
        ("lost-answer", how) => parse_loss(how.unwrap_or("close")).map(FaultKind::LostAnswer),
        ("slow", Some(length)) => parse_duration(length).map(FaultKind::Slow),
        ("late", Some(length)) => parse_duration(length).map(FaultKind::Late),
        ("broken", Some(how)) => {
            listed(&BREAKAGES, how, "a body is broken as", "not as").map(FaultKind::Broken)
        }
        ("error", Some(value)) => parse_named(value),
        ("gateway", Some(code)) => parse_code(code, 400..=599).map(FaultKind::Gateway),
        ("names-task", Some(code)) => parse_code(code, 400..=599).map(FaultKind::NamesTask),
        ("refuse-id", Some(id)) if !id.is_empty() => Ok(FaultKind::RefuseId(id.to_owned())),
        ("lagging", Some(length)) => parse_duration(length).map(FaultKind::Lagging),
        ("accepted", Some(how)) => {
            let (status, name) = how.split_once(':').unwrap_or((how, "task_id"));
            let status = parse_code(status, 200..=299)?;
            Ok(FaultKind::Accepted { status, name: name.to_owned() })
        }
        ("task", Some(word)) if !word.is_empty() => Ok(FaultKind::TaskWord(word.to_owned())),
        ("rate", Some(how)) => listed(&RATE_HEADERS, how, "rate headers are", "not").map(FaultKind::Rate),
        (
            "status" | "error" | "gateway" | "200-error" | "redirect" | "refuse-id" | "lagging" | "slow"
            | "late" | "broken" | "accepted" | "names-task" | "task" | "rate",
            None,
        ) => Err(format!("`{name}` needs an argument, as in `{name}=…`")),
        (code, None) if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit()) => {
            parse_status(code)
        }
        (_, Some(argument)) => Err(format!("there is no `{name}` with `{argument}`")),
        (_, None) => Err(format!("there is no kind `{name}`")),
    }
}

fn parse_status(text: &str) -> Result<FaultKind, String> {
    let (code, retry_after) = match text.split_once(':') {
        Some((code, value)) => (code, Some(header_text(value)?)),
        None => (text, None),
    };
    match code.parse() {
        Ok(code @ 300..=599) => Ok(match retry_after {
            Some(value) if code == 429 => FaultKind::RateLimited(RetryAfter::Verbatim(value)),
            Some(retry_after) => FaultKind::StatusWithRetryAfter { code, retry_after },
            None => FaultKind::Status(code),
        }),
        _ => Err(format!("`{code}` is not a status from 300 to 599")),
    }
}

fn parse_200_error(value: &str) -> Result<FaultKind, String> {
    let parts = value.split_once(':');
    let (code, error_key) = parts.ok_or("200-error is written 200-error=CODE:ERRORKEY")?;
    let code = code.parse().map_err(|_| format!("`{code}` is not a whole number"))?;
    Ok(FaultKind::ErrorWith200 { code, error_key: error_key.to_owned() })
}

fn parse_loss(how: &str) -> Result<Loss, String> {
    match how {
        "close" => Ok(Loss::Close),
        "reset" => Ok(Loss::Reset),
        "truncate" => Ok(Loss::Truncate),
        "500" => Ok(Loss::Page(500)),
        "502" => Ok(Loss::Page(502)),
        "timeout" => Ok(Loss::Timeout),
        _ => match how.strip_prefix("cut:").map(str::parse) {
            Some(Ok(bytes)) => Ok(Loss::Cut(bytes)),
            Some(Err(_)) => Err(format!("`{how}` does not say how many bytes")),
            None => Err(format!(
                "an answer is lost by close, reset, truncate, cut:BYTES, 500, 502 or timeout, \
                 not by `{how}`"
            )),
        },
    }
}

/// The entry with this name.
fn listed<T: Copy>(known: &[(&str, T)], name: &str, are: &str, not: &str) -> Result<T, String> {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let found = known.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value).ok_or_else(|| format!("{are} {}, {not} `{name}`", names.join(", ")))
}

fn parse_code(text: &str, allowed: std::ops::RangeInclusive<u16>) -> Result<u16, String> {
    let (first, last) = (*allowed.start(), *allowed.end());
    text.parse()
        .ok()
        .filter(|code| allowed.contains(code))
        .ok_or_else(|| format!("`{text}` is not a status from {first} to {last}"))
}

fn parse_named(value: &str) -> Result<FaultKind, String> {
    let parts = value.split_once(':');
    let (code, error_key) = parts.ok_or("error is written error=CODE:ERRORKEY")?;
    Ok(FaultKind::Named { code: parse_code(code, 400..=599)?, error_key: error_key.to_owned() })
}

fn header_text(value: &str) -> Result<String, String> {
    axum::http::HeaderValue::from_str(value)
        .map(|_| value.to_owned())
        .map_err(|_| format!("`{value}` cannot stand in a header"))
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let span = SpanParser::new().parse_span(text);
    let length = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    let length = length.ok().and_then(|length| Duration::try_from(length).ok());
    length.ok_or_else(|| format!("`{text}` is not a duration: write 250ms, 3s, 5m or 24h"))
}
