//! How the API is reached: the base URL, time limits, redirects, certificates and the proxy.

use std::time::Duration;

use reqwest::Url;

use super::ApiBuildError;

/// A connection that takes longer than this is given up, whatever the overall timeout is.
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

/// The settings for reaching the API.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `api.base_url`: `https://HOST`, or `http://` with a loopback address.
    pub base_url: String,
    /// `api.call_source`: `api` or `agent`.
    pub call_source: &'static str,
    /// `api.timeout`: one whole call, from the name lookup to the last byte of the answer.
    pub timeout: Duration,
    /// `api.proxy`: `http://host:port`. Only asked for tunnels, and only for a base URL with https.
    pub proxy: Option<String>,
}

pub(super) fn base_url(text: &str) -> Result<Url, ApiBuildError> {
    let url = Url::parse(text).map_err(|_| ApiBuildError::BaseUrl)?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    match url.scheme() {
        "https" if plain => Ok(url),
        "http" if plain && is_loopback(&url) => Ok(url),
        "http" if plain => Err(ApiBuildError::NotLoopback),
        _ => Err(ApiBuildError::BaseUrl),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

pub(super) fn http(settings: &Settings, base: &Url) -> Result<reqwest::ClientBuilder, ApiBuildError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("unlockd/", env!("CARGO_PKG_VERSION")))
        .timeout(settings.timeout)
        .connect_timeout(settings.timeout.min(LONGEST_CONNECT))
        // The system goes on trying to deliver what the network did not take, even when the call was given up and the
        // connection is closed: a paid call would arrive when it has been looked up, and sent again.
        .tcp_user_timeout(settings.timeout)
        // A redirected POST would be sent twice, and a redirected key would go to another server.
        .redirect(reqwest::redirect::Policy::none())
        // By default some requests are sent again if the server closes the connection early.
        .retry(reqwest::retry::never())
        .http1_only()
        // A proxy from `http_proxy` in the environment would get the key.
        .no_proxy();
    if let Some(proxy) = &settings.proxy {
        // `https`: only what goes by CONNECT. Plain http through a proxy would show it the key.
        builder = builder.proxy(reqwest::Proxy::https(proxy).map_err(ApiBuildError::Client)?);
    }
    Ok(if base.scheme() == "https" {
        builder.https_only(true)
    } else {
        // Plain http (loopback) needs no certificates, and must work where none are installed.
        builder.tls_certs_only(std::iter::empty())
    })
}
