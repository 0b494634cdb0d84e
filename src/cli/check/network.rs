//! The status page and the receiver of messages.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::super::findings::Findings;
use super::super::show;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::store::{Store, lease};

/// An address of this machine or its network answers at once, or not at all.
const CONNECTS_WITHIN: Duration = Duration::from_secs(3);

/// The status page's address and token.
pub(super) async fn http(findings: &mut Findings, config: &Config, store: Option<&Store>) {
    let Some(listen) = config.http.address() else {
        return findings.ok("http", "off (http.listen is empty)");
    };
    let buttons = match &config.http.token_file {
        None => "; without http.token_file it shows counts and has no buttons".to_owned(),
        Some(path) => match config::read_token(path) {
            Ok(_) => format!("; the token in {} is readable", path.display()),
            Err(error) => return findings.problem("http", error.to_string(), 2),
        },
    };
    let connecting = tokio::time::timeout(CONNECTS_WITHIN, TcpStream::connect(listen));
    let answers = connecting.await.is_ok_and(|connected| connected.is_ok());
    let Some(store) = store else {
        let whose = "perhaps the worker: the database would say";
        return match answers {
            true => findings.ok("http", format!("something answers at {listen}, {whose}{buttons}")),
            false => findings.ok("http", format!("nothing answers at {listen}{buttons}")),
        };
    };
    let row = lease::read(store).await.ok();
    let is_alive = row.is_some_and(|row| row.is_alive(Clock::real().now()));
    match (is_alive, answers) {
        (true, true) if !is_ours(listen).await => {
            let detail = format!(
                "another program answers at {listen}: the worker has no status page, health or metrics"
            );
            findings.warn("http", detail, "choose another http.listen, or stop that program");
        }
        (true, true) => findings.ok("http", format!("something answers at {listen}{buttons}")),
        (true, false) => {
            let detail = format!("a worker is running, but nothing answers at {listen}");
            findings.warn("http", detail, "see the worker's log for the reason");
        }
        // It holds the lease and does not renew it.
        (false, true) if row.is_some_and(|row| row.is_held()) => {
            let detail = format!(
                "something answers at {listen}: the worker, most likely, which cannot renew its lease"
            );
            findings.warn("http", detail, "see the worker's log, and /readyz there");
        }
        (false, true) => {
            let detail = format!("another program listens at {listen}, so the status page cannot");
            findings.warn("http", detail, "choose another http.listen, or stop that program");
        }
        (false, false) => findings.ok("http", format!("{listen} is free{buttons}")),
    }
}

/// Whether what answers there has `/healthz` as a worker has it.
async fn is_ours(listen: SocketAddr) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(listen).await?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.take(16 << 10).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(CONNECTS_WITHIN, asked).await;
    answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.ends_with(b"\r\n\r\nok\n")))
}

/// Sends nothing: the receiver would take a test message for a real one.
pub(super) fn webhook(findings: &mut Findings, config: &Config) {
    let (Some(url), Some(secret_file)) = (&config.notify.url, &config.notify.secret_file) else { return };
    // The path may be a secret of the receiver's.
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let host = host.unwrap_or_default();
    match config::read_signing_secrets(secret_file) {
        Ok(secrets) => {
            let signed = show::plural(secrets.len() as i64, "secret");
            findings.ok(
                "webhook",
                format!("messages go to {host}, signed with {signed}; no test message is sent"),
            );
        }
        Err(error) => findings.problem("webhook", error.to_string(), 2),
    }
}

/// Variables that other programs take a proxy from.
const PROXY_VARIABLES: [&str; 6] =
    ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

/// A proxy is used only if the configuration names it: one of the environment could be meant for another program.
pub(super) fn proxy(findings: &mut Findings, config: &Config) {
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let set: Vec<&str> = PROXY_VARIABLES.into_iter().filter(is_set).collect();
    match (&config.api.proxy, set.is_empty()) {
        (None, true) => {}
        (Some(proxy), _) => {
            findings.ok("proxy", format!("calls to the API go through a tunnel (CONNECT) of {proxy}"));
        }
        (None, false) => findings.warn(
            "proxy",
            format!(
                "the environment sets {}, which unlockd does not use: calls go out directly",
                set.join(", ")
            ),
            "if calls need a proxy: api.proxy = \"http://host:port\" in the configuration",
        ),
    }
}

/// The callers of the HTTP API: names and scopes, never a token.
pub(super) fn tokens(findings: &mut Findings, config: &Config) {
    for (name, token) in &config.http.tokens {
        let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
        match config::read_token(&token.token_file) {
            Ok(_) => findings.ok("token", format!("{name}: {}", scopes.join(", "))),
            Err(error) => findings.problem("token", format!("{name}: {error}"), 2),
        }
        for account in token.accounts.iter().flatten().filter(|name| !config.accounts.contains_key(*name)) {
            let detail = format!("{name}: the account {account} is not configured");
            findings.warn("token", detail, format!("configure it, or correct http.tokens.{name}.accounts"));
        }
    }
}
