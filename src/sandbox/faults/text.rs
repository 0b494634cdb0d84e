//! Faults as text: `--fault lost-answer@unlock`.
//!
//! [`GRAMMAR`] is the whole language, for `--help`. A fault is written back as it was read, so the
//! journal speaks the same language as the command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SpanRelativeTo, fmt::friendly::SpanParser};

use super::kinds::{Breakage, Fault, FaultKind, Loss, RetryAfter};
use crate::sandbox::words::route::Endpoint;

/// What `--help` says about faults.
pub const GRAMMAR: &str = "\
A fault is [COUNTx: | always:]KIND[=ARGUMENT][@ENDPOINT], for example `lost-answer@unlock`,
`3x:status=503@poll` or `always:slow=2s`. COUNT is 1 unless given, ENDPOINT is any.
ENDPOINT: unlock, unlock-phone, poll, balance, precheck, profile, event, search, list, any.
KIND, where nothing is carried out:
  status=CODE (or just 500, 401, 404 …)  an error of that status, in the API's shape
  status=CODE:RETRY-AFTER    the same, with that Retry-After as written
  429[=RETRY-AFTER | =none]  the Retry-After as written, or none; else the window's end
  200-error=CODE:ERRORKEY    HTTP 200 with that error in its body
  redirect=URL               307
  lost-request[=reset]       the connection closes (is reset) without an answer
KIND, where the call is carried out first:
  lost-answer[=close]        then the connection closes without an answer
  lost-answer=reset          then it is reset
  lost-answer=truncate       then it closes after half of the body
  lost-answer=cut:BYTES      then it closes after that many bytes of the answer, head included
  lost-answer=500 (or 502)   then an HTML error page
  lost-answer=timeout        then nothing, for as long as the client waits
  slow=DURATION              the answer comes that late (real time)
  late=DURATION              the call itself is carried out that late (the sandbox's time), and
                             even when the client has gone
  drip                       the body comes at one byte a second
  broken=HOW                 the status is right, the body is not: html (a page), empty, types
                             (every value of another type), truncated (half of the JSON),
                             strangers (items twice, and one not asked for), odd (items that
                             are none), unlisted (no items at all), unknown (words and fields
                             never heard of), deep (nested), huge (200 MiB)
  pass                       nothing goes wrong: lets calls through before the next fault
DURATION is written 250ms, 3s, 5m or 24h.";

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
        ("broken", Some(how)) => parse_breakage(how).map(FaultKind::Broken),
        ("status" | "200-error" | "redirect" | "slow" | "late" | "broken", None) => {
            Err(format!("`{name}` needs an argument, as in `{name}=…`"))
        }
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

fn parse_breakage(how: &str) -> Result<Breakage, String> {
    match how {
        "html" => Ok(Breakage::Html),
        "empty" => Ok(Breakage::Empty),
        "types" => Ok(Breakage::Types),
        "truncated" => Ok(Breakage::Truncated),
        "strangers" => Ok(Breakage::Strangers),
        "odd" => Ok(Breakage::Odd),
        "unlisted" => Ok(Breakage::Unlisted),
        "unknown" => Ok(Breakage::Unknown),
        "deep" => Ok(Breakage::Deep),
        "huge" => Ok(Breakage::Huge),
        _ => Err(format!(
            "a body is broken as html, empty, types, truncated, strangers, odd, unlisted, unknown, \
             deep or huge, not as `{how}`"
        )),
    }
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

/// The kind as it is written in [`GRAMMAR`], for the journal.
impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => write!(f, "status={code}"),
            Self::StatusWithRetryAfter { code, retry_after } => write!(f, "status={code}:{retry_after}"),
            Self::RateLimited(RetryAfter::WindowEnd) => f.write_str("429"),
            Self::RateLimited(RetryAfter::Absent) => f.write_str("429=none"),
            Self::RateLimited(RetryAfter::Verbatim(value)) => write!(f, "429={value}"),
            Self::ErrorWith200 { code, error_key } => write!(f, "200-error={code}:{error_key}"),
            Self::Redirect(url) => write!(f, "redirect={url}"),
            Self::LostRequest { reset: false } => f.write_str("lost-request"),
            Self::LostRequest { reset: true } => f.write_str("lost-request=reset"),
            Self::LostAnswer(loss) => write!(f, "lost-answer={loss}"),
            Self::Slow(length) => write!(f, "slow={}ms", length.as_millis()),
            Self::Late(length) => write!(f, "late={}ms", length.as_millis()),
            Self::Drip => f.write_str("drip"),
            Self::Broken(breakage) => write!(f, "broken={breakage}"),
            Self::Pass => f.write_str("pass"),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Close => f.write_str("close"),
            Self::Reset => f.write_str("reset"),
            Self::Truncate => f.write_str("truncate"),
            Self::Cut(bytes) => write!(f, "cut:{bytes}"),
            Self::Page(status) => write!(f, "{status}"),
            Self::Timeout => f.write_str("timeout"),
        }
    }
}

impl fmt::Display for Breakage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Html => "html",
            Self::Empty => "empty",
            Self::Types => "types",
            Self::Truncated => "truncated",
            Self::Strangers => "strangers",
            Self::Odd => "odd",
            Self::Unlisted => "unlisted",
            Self::Unknown => "unknown",
            Self::Deep => "deep",
            Self::Huge => "huge",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            None => f.write_str("always:")?,
            Some(1) => {}
            Some(count) => write!(f, "{count}x:")?,
        }
        self.kind.fmt(f)?;
        match self.endpoint {
            None => Ok(()),
            Some(endpoint) => write!(f, "@{endpoint}"),
        }
    }
}
