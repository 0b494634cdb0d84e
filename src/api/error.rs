//! [`ApiError`]: a failed call, and what that means.
//!
//! It holds the details that a person needs to ask the vendor about the call (status, error key, trace id)
//! and the [`Failure`] that the program acts on. Its `Debug`, its `Display` and its chain of causes may be
//! logged: URLs are removed from the causes, and texts of the API pass through [`scrub`], since an error text
//! may contain the key, an email or a phone number.

use std::fmt;
use std::num::NonZeroU16;

use crate::domain::TaskId;
use crate::domain::failure::{Failure, Refusal};

/// The longest text of the API that is stored, in characters.
const LONGEST_MESSAGE: usize = 200;
/// The longest error key or trace id that is stored, in bytes.
const LONGEST_WORD: usize = 64;
/// A text with fewer digits than this is no phone number (the shortest national numbers have seven).
const FEWEST_PHONE_DIGITS: usize = 7;

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub struct ApiError {
    /// Method and path pattern, for example `GET /external/credits/balance`.
    pub endpoint: &'static str,
    /// How the program reacts: see [`crate::domain::failure`].
    pub failure: Failure,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The API's `errorKey`, for example `INSUFFICIENT_CREDITS`.
    pub error_key: Option<String>,
    /// The API's own id of the call; its support asks for it.
    pub trace_id: Option<String>,
    /// The task named in an error answer to a paid POST: evidence that the call may have taken effect.
    pub task_id: Option<Box<TaskId>>,
    /// The most contacts of one call, when more were sent than the API allows.
    pub most_contacts: Option<NonZeroU16>,
    /// The problem: the API's text, scrubbed, or ours if the answer was broken.
    pub message: Option<Box<str>>,
    /// Whether the answer names a figure of credits that makes no sense: nothing may be bought on it.
    pub absurd: bool,
    /// Whether the call was a paid POST, so that a lost answer may have cost credits.
    pub paid: bool,
    #[source]
    pub(super) source: Option<reqwest::Error>,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.endpoint, self.meaning())?;
        if self.paid && self.failure == Failure::Unknown {
            f.write_str("; the request may have taken effect")?;
        }
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        let facts = [
            self.status.map(|status| format!("status {status}")),
            self.error_key.clone(),
            self.trace_id.as_ref().map(|id| format!("trace id {id}")),
            self.task_id.as_ref().map(|id| format!("task {id}")),
        ];
        let facts: Vec<String> = facts.into_iter().flatten().collect();
        if facts.is_empty() { Ok(()) } else { write!(f, " ({})", facts.join(", ")) }
    }
}

impl ApiError {
    /// What the API does instead of answering, in a few words that may be shown to everybody.
    pub fn in_short(&self) -> String {
        match (self.failure, self.status) {
            (Failure::NotSent, None) => "cannot be reached".to_owned(),
            (_, None) => "gives no answer".to_owned(),
            (_, Some(status @ 200..=299)) => format!("gives an answer that cannot be read (status {status})"),
            (_, Some(status)) => format!("answers {status}"),
        }
    }

    fn meaning(&self) -> &'static str {
        match self.failure {
            Failure::NotSent => "was not sent",
            Failure::Refused(refusal) => match refusal {
                Refusal::Invalid => "was refused as invalid",
                Refusal::Unauthorized => "was refused: the API key is not accepted",
                Refusal::PaymentRequired => "was refused for lack of credits",
                Refusal::Forbidden => "was refused: the owner of the API key may not do this",
                Refusal::NotFound => "was refused: not found, or not visible to this key",
                Refusal::Conflict => "was refused: the API's state conflicts with it",
                Refusal::RateLimited { .. } => "was refused by the rate limit",
                Refusal::SlotTaken => "was refused: as many of these calls are running as are allowed",
            },
            Failure::Unknown if self.status.is_some() => "gave an answer that cannot be relied on",
            Failure::Unknown => "gave no answer",
        }
    }
}

/// Why a client could not be created: always a problem of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ApiBuildError {
    /// Not an absolute `https://` or `http://` URL, or one with a user, query or fragment. The URL
    /// itself is not repeated, since it may hold a password.
    #[error("the base URL must be https://HOST, without user, query or fragment")]
    BaseUrl,
    #[error(
        "a plain http base URL is accepted for loopback addresses only: it would send the key unencrypted"
    )]
    NotLoopback,
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
    #[error(
        "this machine has no certificates of authorities, so it cannot verify any server: install them (apt-get install \
         ca-certificates), or set SSL_CERT_FILE to a file that holds them"
    )]
    NoCertificates(#[source] reqwest::Error),
}

impl ApiBuildError {
    /// Why no client was built.
    pub(crate) fn of(error: reqwest::Error) -> ApiBuildError {
        // The library has no other sign of it.
        let names_certificates =
            |cause: &dyn std::error::Error| cause.to_string().contains("No CA certificates");
        let first: Option<&dyn std::error::Error> = Some(&error);
        match std::iter::successors(first, |cause| cause.source()).any(names_certificates) {
            true => ApiBuildError::NoCertificates(error),
            false => ApiBuildError::Client(error),
        }
    }
}

/// The API's free text, made safe for logs: without emails, phone numbers, keys and control characters, and
/// at most 200 characters. `None` if nothing is left.
pub(super) fn scrub(text: &str) -> Option<String> {
    let printable: String =
        text.chars().map(|char| if char.is_control() { ' ' } else { char }).take(4_096).collect();
    let tokens: Vec<&str> = printable.split_whitespace().collect();
    let mut kept: Vec<&str> = Vec::new();
    let mut rest = tokens.as_slice();
    while let Some(first) = rest.first() {
        // `+1 415 555 0100` is four tokens and one number.
        let run = rest.iter().take_while(|token| is_numeral(token)).count().max(1);
        let (numerals, after) = rest.split_at(run);
        let digits: usize = numerals.iter().map(|token| count_digits(token)).sum();
        if digits < FEWEST_PHONE_DIGITS && !first.contains('+') && !is_secret(first) {
            kept.extend(numerals);
        }
        rest = after;
    }
    let text: String = kept.join(" ").chars().take(LONGEST_MESSAGE).collect();
    (!text.is_empty()).then_some(text)
}

fn count_digits(token: &str) -> usize {
    token.chars().filter(|char| char.is_numeric()).count()
}

fn is_numeral(token: &str) -> bool {
    count_digits(token) > 0 && token.chars().all(|char| char.is_numeric() || "+-().,/:;".contains(char))
}

fn is_secret(token: &str) -> bool {
    let token = token.to_ascii_lowercase();
    ["@", "＠", "%40", "uak_", "sk_"].iter().any(|mark| token.contains(mark))
}

/// The API's error key, if it looks like one (`[A-Z0-9_]{1,64}`): anything else may be free text.
pub(super) fn error_key(text: &str) -> Option<String> {
    word(text, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The API's trace id, if it looks like one (`[A-Za-z0-9_-]{1,64}`) and not like a key.
pub(super) fn trace_id(text: &str) -> Option<String> {
    word(text, |byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        .filter(|word| !is_secret(word))
}

fn word(text: &str, allowed: impl Fn(u8) -> bool) -> Option<String> {
    ((1..=LONGEST_WORD).contains(&text.len()) && text.bytes().all(allowed)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_says_is_scrubbed() {
        let table = [
            ("Invalid request", Some("Invalid request")),
            ("contact jane@acme.example is locked", Some("contact is locked")),
            ("mail=jane%40acme.example", None),
            ("call +1 415 555 0100 now", Some("call now")),
            ("call (415) 555-0100, please", Some("call please")),
            ("call 4155550100", Some("call")),
            ("phone:+14155550100;", None),
            ("key uak_live_123 is revoked", Some("key is revoked")),
            ("\"Bearer SK_abc\"", Some("\"Bearer")),
            ("at most 2000 ids", Some("at most 2000 ids")),
            ("a\r\nb\u{1b}[31mc", Some("a b [31mc")),
            ("", None),
            (" \n ", None),
        ];
        for (text, expected) in table {
            assert_eq!(scrub(text).as_deref(), expected, "{text:?}");
        }
        assert_eq!(scrub(&"é".repeat(9_000)).expect("text").chars().count(), 200);
    }

    #[test]
    fn an_error_key_or_trace_id_of_another_shape_is_dropped() {
        assert_eq!(error_key("RATE_LIMIT_EXCEEDED").as_deref(), Some("RATE_LIMIT_EXCEEDED"));
        for bad in ["", "jane@acme.example", "lower", "A B", &"A".repeat(65)] {
            assert_eq!(error_key(bad), None, "{bad:?}");
        }
        assert!(trace_id("2be6d7f4-3b2d-4d11-8e2d-7a2e4c3e9a10").is_some());
        for bad in ["", "a b", "a\r\nb", "uak_live_1", "sk_live_1", &"a".repeat(65)] {
            assert_eq!(trace_id(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_error_says_what_it_means() {
        let mut error = ApiError {
            endpoint: "POST /external/contacts/unlock",
            failure: Failure::Unknown,
            status: None,
            error_key: None,
            trace_id: None,
            task_id: None,
            most_contacts: None,
            message: None,
            absurd: false,
            paid: true,
            source: None,
        };
        assert_eq!(
            error.to_string(),
            "POST /external/contacts/unlock gave no answer; the request may have taken effect"
        );
        error.failure = Failure::Refused(Refusal::PaymentRequired);
        error.status = Some(402);
        error.error_key = Some("INSUFFICIENT_CREDITS".into());
        error.message = Some("Insufficient credits".into());
        error.trace_id = Some("abc".into());
        assert_eq!(
            error.to_string(),
            "POST /external/contacts/unlock was refused for lack of credits: Insufficient credits \
             (status 402, INSUFFICIENT_CREDITS, trace id abc)"
        );
    }
}
