//! The rules for single values: durations, addresses, names, log levels, keys.
//!
//! Pure functions from text to value. An `Err` is the end of a sentence that begins with the key: it says
//! which form is right and never repeats the value, which may be a secret.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{SpanRelativeTo, fmt::friendly::SpanParser};
use reqwest::Url;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Ten years: far beyond any use, and small enough that adding it to a time in milliseconds cannot overflow.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A duration as people write it: `250ms`, `3s`, `5m`, `24h`, `90d`, also `1h30m` and `30 sec`, as the handbook says
/// (`unlockd help configuration`). `None` for anything else,
/// such as a bare number, a negative one, or months and years, whose length depends on the date.
pub fn duration(text: &str) -> Option<Duration> {
    let span = SpanParser::new().parse_span(text).ok()?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    // Nothing here is more exact than milliseconds.
    let ms = u64::try_from(length.as_millis()).ok()?;
    (!length.is_negative()).then_some(Duration::from_millis(ms))
}

/// A duration that something can last or wait.
pub(super) fn length(text: &str) -> Result<Duration, String> {
    let length = duration(text).ok_or(
        "must be a duration with a unit (ms, s, m, h or d), such as \"250ms\", \"3s\", \"5m\", \"24h\" or \"90d\"",
    )?;
    if length.is_zero() {
        return Err("must be longer than zero".to_owned());
    }
    if length > LONGEST {
        return Err("must be at most 3650d (ten years)".to_owned());
    }
    Ok(length)
}

/// The name of a machine, as tables and metrics show it.
pub(super) fn host_name(text: &str) -> Result<(), String> {
    let is_name = |char: char| char.is_ascii_alphanumeric() || "-._".contains(char);
    match !text.is_empty() && text.len() <= 253 && text.chars().all(is_name) {
        true => Ok(()),
        false => Err("must be 1 to 253 letters, digits, \"-\", \".\" or \"_\"".to_owned()),
    }
}

/// The base of all API addresses, without a trailing slash.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    let url = safe_url(text)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must have no query and no fragment".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// https or http: [`is_open_http`] says whether `notify.allow_http` is needed.
pub(super) fn webhook_url(text: &str) -> Result<String, String> {
    let url = url(
        text,
        "must be an https:// address, or http:// to a loopback host (127.0.0.1, [::1], localhost)",
    )?;
    Ok(url.as_str().to_owned())
}

/// Whether messages to this address cross a network unencrypted.
pub(super) fn is_open_http(text: &str) -> bool {
    Url::parse(text)
        .is_ok_and(|url| url.scheme() == "http" && !is_loopback(url.host_str().unwrap_or_default()))
}

/// Types of messages, in the order of the contract.
pub(super) const MESSAGES: [&str; 6] = [
    "request.finished",
    "request.awaiting_approval",
    "job.in_doubt",
    "account.paused",
    "budget.warning",
    "contact.resolved",
];

/// A proxy that is asked for a tunnel (CONNECT): it sees the name of the API's host, and no call.
pub(super) fn proxy_url(text: &str) -> Result<String, String> {
    const FORM: &str = "must be http://host:port, without user, path or query";
    let url = Url::parse(text).map_err(|_| FORM.to_owned())?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    let is_clean = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    match (url.host_str(), url.port_or_known_default()) {
        (Some(host), Some(port)) if url.scheme() == "http" && is_bare && is_anonymous && is_clean => {
            Ok(format!("http://{host}:{port}"))
        }
        _ => Err(FORM.to_owned()),
    }
}

/// A path of a file, or a URL of PostgreSQL. A password would stand in logs, messages and lists of processes.
pub(super) fn database(text: &str) -> Result<(), String> {
    const PARAMETERS: [&str; 8] =
        ["sslmode", "sslrootcert", "sslcert", "sslkey", "host", "port", "application_name", "options"];
    let scheme = text.split("://").next().filter(|scheme| scheme.len() < text.len()).unwrap_or_default();
    if !["postgres", "postgresql"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    let is_plain =
        !text.chars().any(|c| c.is_whitespace() || c.is_control()) && scheme == scheme.to_lowercase();
    let url = Url::parse(text).ok().filter(|_| is_plain).ok_or("must be postgres://user@host:5432/name")?;
    let names: Vec<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    if url.password().is_some() || names.iter().any(|name| name.contains("pass")) {
        return Err(
            "must not contain the password: put it into a file and name that in database_password_file, or \
                    use PGPASSWORD or PGPASSFILE"
                .to_owned(),
        );
    }
    if url.path().trim_matches('/').is_empty() {
        return Err("must name a database: postgres://user@host:5432/name".to_owned());
    }
    match names.iter().find(|name| !PARAMETERS.contains(&name.as_str())) {
        Some(_) => Err(format!("has a parameter that is not known; these are: {}", PARAMETERS.join(", "))),
        None => Ok(()),
    }
}

/// Whether the database is one of PostgreSQL.
pub(super) fn is_postgres(database: &std::path::Path) -> bool {
    let text = database.to_string_lossy();
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// The password of a database's role: one line.
pub(super) fn password(text: &str) -> Result<(), &'static str> {
    match text.is_empty() || text.chars().any(char::is_control) {
        true => Err("it must hold the password and nothing else"),
        false => Ok(()),
    }
}

/// https, or http on this machine: nothing crosses a network unencrypted.
fn safe_url(text: &str) -> Result<Url, String> {
    const FORM: &str =
        "must be an https:// address, or http:// to a loopback host (127.0.0.1, [::1], localhost)";
    let url = url(text, FORM)?;
    match is_open_http(text) {
        false => Ok(url),
        true => Err(FORM.to_owned()),
    }
}

fn url(text: &str, form: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| form.to_owned())?;
    // Url accepts blanks and line breaks, but they are always a mistake.
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(form.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain a user name or password".to_owned());
    }
    let host = url.host_str().unwrap_or_default();
    match url.scheme() {
        "https" if !host.is_empty() => Ok(url),
        "http" if !host.is_empty() => Ok(url),
        _ => Err(form.to_owned()),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// `None` for "", which turns the server off.
pub(super) fn listen(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        "must be an IP address and a port such as \"127.0.0.1:8787\" or \"[::1]:8787\", or \"\" to turn it off".to_owned()
    })
}

/// The name of a host, or an address, in small letters. No pattern: a name that anybody can register under it would
/// let every page of that name in.
pub(super) fn host(text: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_name = |name: &str| {
        (1..=253).contains(&name.len())
            && name.chars().all(fits)
            && name.split('.').all(|label| (1..=63).contains(&label.len()))
    };
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => Some(address.to_string()),
        Err(_) => is_name(text).then(|| text.to_ascii_lowercase()),
    }
}

pub(super) fn account_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if (1..=64).contains(&name.len()) && name.chars().all(fits) {
        return Ok(());
    }
    Err("an account name must be 1 to 64 letters, digits, \"_\" or \"-\"".to_owned())
}

/// A level, or directives as RUST_LOG takes them.
///
/// [`EnvFilter`] alone is not enough: it reads a misspelt level such as `inof` as the name of a module, and
/// then logs nothing. So a part without `=` must be a level.
pub(super) fn log_level(text: &str) -> Result<(), String> {
    const FORM: &str = "must be error, warn, info, debug, trace or off, or directives such as \"info,unlockd::worker=debug\"";
    // An empty text parses as the level error.
    let is_level = |part: &str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
    let mut parts = text.split(',');
    if !parts.all(|part| part.contains('=') || is_level(part)) || EnvFilter::builder().parse(text).is_err() {
        return Err(FORM.to_owned());
    }
    Ok(())
}

/// An API key must be valid as the value of an HTTP header.
pub(super) fn api_key(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("the key is empty");
    }
    if text.len() > 4096 {
        return Err("the key is longer than 4096 characters");
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("the key contains a blank, a control character or a character outside of ASCII");
    }
    Ok(())
}

/// The page's token: it lets its holder spend credits, so it must be hard to guess.
pub(super) fn token(text: &str) -> Result<(), &'static str> {
    if text.len() < 16 {
        return Err("it holds less than 16 characters; make one: head -c 24 /dev/urandom | base64");
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("it contains a blank, a control character or a character outside of ASCII");
    }
    Ok(())
}

/// The bytes of one webhook secret.
pub(super) fn signing_secret(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.strip_prefix("whsec_")?).ok().filter(|bytes| bytes.len() >= 16)
}

/// Secrets as Standard Webhooks writes them, blanks or line breaks in between.
pub(super) fn signing_secrets(text: &str) -> Result<(), &'static str> {
    let mut secrets = text.split_ascii_whitespace().peekable();
    if secrets.peek().is_some() && secrets.all(|secret| signing_secret(secret).is_some()) {
        return Ok(());
    }
    Err(
        "it must hold whsec_ and the base64 of at least 16 bytes; make one: echo whsec_$(head -c 32 /dev/urandom | base64)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, ms) in [
            ("250ms", 250),
            ("3s", 3_000),
            ("5m", 300_000),
            ("24h", 86_400_000),
            ("90d", 7_776_000_000),
            ("2w", 1_209_600_000),
            ("0s", 0),
            ("007s", 7_000),
            ("1h30m", 5_400_000),
            ("1.5s", 1_500),
            ("3 s", 3_000),
            ("5 minutes", 300_000),
            ("30 sec", 30_000),
            ("30 secs", 30_000),
            ("1.5h", 5_400_000),
            ("1 hour, 30 minutes", 5_400_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "3",
            "-3s",
            " 3s",
            "s",
            "3S",
            "1mo",
            "1y",
            "3s ago",
            "PT3S",
            "٣s",
            "1e3s",
            "0x1s",
            "３s",
            "3M",
            "3H",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_length_is_longer_than_zero_and_at_most_ten_years() {
        assert_eq!(length("3650d"), Ok(LONGEST));
        assert_eq!(length("1ms"), Ok(Duration::from_millis(1)));
        for (text, said) in [
            ("3", "such as \"250ms\""),
            ("0s", "longer than zero"),
            ("100us", "longer than zero"),
            ("87601h", "at most 3650d"),
        ] {
            let error = length(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn a_database_is_a_path_or_a_url_without_a_password() {
        for right in [
            "unlockd.db",
            "/var/lib/unlockd/a://b.db",
            "postgres://unlockd@db.example.com/unlockd",
            "postgresql://unlockd@[::1]:5433/unlockd?sslmode=verify-full&sslrootcert=/etc/ssl/ca.pem",
            "postgres:///unlockd?host=/run/postgresql",
        ] {
            assert_eq!(database(right), Ok(()), "{right}");
        }
        for wrong in [
            "postgres://unlockd:secret@db/unlockd",
            "postgres://unlockd@db/unlockd?password=secret",
            "postgres://unlockd@db/unlockd?sslpassword=secret",
            "postgres://unlockd@db/unlockd?ssl=true",
            "postgres://unlockd@db/",
            "postgres://unlockd@db/a b",
            "POSTGRES://unlockd@db/unlockd",
            "postgres://",
        ] {
            let problem = database(wrong).expect_err(wrong);
            assert!(!problem.contains("secret"), "{problem}");
        }
    }

    #[test]
    fn a_proxy_is_a_host_and_a_port() {
        assert_eq!(
            proxy_url("http://proxy.example.com:3128/"),
            Ok("http://proxy.example.com:3128".to_owned())
        );
        assert_eq!(proxy_url("http://[::1]:80"), Ok("http://[::1]:80".to_owned()));
        for text in [
            "proxy:3128",
            "https://proxy:3128",
            "http://u@proxy:1",
            "http://proxy:1/x",
            "http://proxy:1?x",
            "",
        ] {
            assert!(proxy_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn messages_to_another_machine_by_plain_http_are_noticed() {
        for (text, open) in [
            ("https://hooks.example.com/x", false),
            ("http://127.0.0.1:9/x", false),
            ("http://localhost/x", false),
            ("http://10.0.0.7/x", true),
            ("http://hooks.internal/x", true),
        ] {
            assert!(webhook_url(text).is_ok(), "{text}");
            assert_eq!(is_open_http(text), open, "{text}");
        }
        assert!(webhook_url("ftp://127.0.0.1/x").is_err());
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for (text, kept) in [
            ("https://platform.lensmor.com", "https://platform.lensmor.com"),
            ("https://proxy.example/lensmor/", "https://proxy.example/lensmor"),
            ("http://127.0.0.1:9000/", "http://127.0.0.1:9000"),
            ("http://127.9.9.9", "http://127.9.9.9"),
            ("http://[::1]:9000", "http://[::1]:9000"),
            ("http://localhost:9000//", "http://localhost:9000"),
        ] {
            assert_eq!(base_url(text), Ok(kept.to_owned()), "{text}");
        }
        for text in [
            "",
            "platform.lensmor.com",
            "ftp://127.0.0.1",
            "http://platform.lensmor.com",
            "http://128.0.0.1",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://0.0.0.0",
            "http://[::]",
            "https://user@host",
            "https://:secret@host",
            "http://localhost@evil.example",
            "https://host?x=1",
            "https://host/#x",
            "https://",
            "file:///etc/passwd",
            "https://ho st",
            "https://host\n",
        ] {
            assert!(base_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_misspelt_level_is_not_taken_for_a_module() {
        for text in [
            "info",
            "WARN",
            "off",
            "info,unlockd=debug",
            "unlockd::api[call{job_id=1}]=trace",
            "warn,sqlx=off",
        ] {
            assert_eq!(log_level(text), Ok(()), "{text}");
        }
        for text in ["", " ", "inof", "info,unlockd", "unlockd=loud", "info,,debug", "warn, sqlx=off"] {
            assert!(log_level(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_without_a_port() {
        for (text, kept) in [
            ("unlockd", "unlockd"),
            ("Unlockd.Example.COM", "unlockd.example.com"),
            ("unlockd_worker", "unlockd_worker"),
            ("192.0.2.7", "192.0.2.7"),
            ("[2001:db8::1]", "2001:db8::1"),
        ] {
            assert_eq!(host(text).as_deref(), Some(kept), "{text}");
        }
        for text in [
            "",
            "*",
            "*.example.com",
            "unlockd:8787",
            "http://unlockd",
            "a b",
            "a..b",
            ".a",
            "a.",
            "a/b",
            "a@b",
        ] {
            assert_eq!(host(text), None, "{text}");
        }
    }

    #[test]
    fn listen_takes_an_address_and_a_port() {
        assert_eq!(listen(""), Ok(None));
        assert!(listen("127.0.0.1:0").is_ok());
        assert!(listen("[::]:8787").is_ok());
        for text in ["8787", ":8787", "localhost", "127.0.0.1", "127.0.0.1:70000", " 127.0.0.1:1"] {
            assert!(listen(text).is_err(), "{text}");
        }
    }
}
