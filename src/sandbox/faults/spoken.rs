//! Faults written back as text, so that the journal uses the syntax of the command line.

use std::fmt;

use super::kinds::{Breakage, Fault, FaultKind, Loss, RateHeaders, RetryAfter};

/// The ways to break a body, by name.
pub(super) const BREAKAGES: [(&str, Breakage); 17] = [
    ("html", Breakage::Html),
    ("empty", Breakage::Empty),
    ("types", Breakage::Types),
    ("truncated", Breakage::Truncated),
    ("strangers", Breakage::Strangers),
    ("odd", Breakage::Odd),
    ("unlisted", Breakage::Unlisted),
    ("null-items", Breakage::NullItems),
    ("unknown", Breakage::Unknown),
    ("groups", Breakage::Groups),
    ("word-id", Breakage::WordId),
    ("twice", Breakage::Twice),
    ("bom", Breakage::Bom),
    ("gzip", Breakage::Gzip),
    ("deflate", Breakage::Deflate),
    ("deep", Breakage::Deep),
    ("huge", Breakage::Huge),
];

/// The oddities of rate headers, by name.
pub(super) const RATE_HEADERS: [(&str, RateHeaders); 6] = [
    ("absent", RateHeaders::Absent),
    ("milliseconds", RateHeaders::Milliseconds),
    ("from-now", RateHeaders::FromNow),
    ("fraction", RateHeaders::Fraction),
    ("twice", RateHeaders::Twice),
    ("contrary", RateHeaders::Contrary),
];

/// The kind in the syntax of the command line.
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
            Self::Named { code, error_key } => write!(f, "error={code}:{error_key}"),
            Self::Gateway(code) => write!(f, "gateway={code}"),
            Self::RefuseId(id) => write!(f, "refuse-id={id}"),
            Self::Lagging(length) => write!(f, "lagging={}ms", length.as_millis()),
            Self::Accepted { status, name } if name == "task_id" => write!(f, "accepted={status}"),
            Self::Accepted { status, name } => write!(f, "accepted={status}:{name}"),
            Self::NamesTask(code) => write!(f, "names-task={code}"),
            Self::TaskWord(word) => write!(f, "task={word}"),
            Self::Rate(odd) => write!(f, "rate={odd}"),
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

fn name_of<'a, T: PartialEq>(names: &[(&'a str, T)], value: &T) -> &'a str {
    names.iter().find(|(_, known)| known == value).map_or("", |(name, _)| name)
}

impl fmt::Display for Breakage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&BREAKAGES, self))
    }
}

impl fmt::Display for RateHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&RATE_HEADERS, self))
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
