//! The checks on every request, and the headers on every answer.
//!
//! A page of another site can make a browser send requests here, and by DNS rebinding even read the answers
//! under its own name. So the `Host` must be this server on every route, and headers tell browsers to run,
//! frame and store nothing of the answers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::uri::Authority;
use axum::http::{HeaderName, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Site;
use super::api::Problem;

/// For everything that browsers might take for a page. Styles and the script come from this server.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
     img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Refuses requests that no route may get, and adds the security headers to every answer.
pub(super) async fn guard(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let mut response = match judge(&request, site.address(), &site.config.http.allowed_hosts) {
        Ok(()) => next.run(request).await,
        Err(Refusal::ForeignHost) if is_api(&request) => Problem::foreign_host(FOREIGN_HOST).into_response(),
        Err(refusal) => refusal.into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Answers a request for a page, if there is a place for it: those for health and metrics need none.
pub(super) async fn page_place(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let Ok(_place) = site.pages.try_acquire() else {
        let text = "too many requests at the same time; try again\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], text).into_response();
    };
    next.run(request).await
}

/// Why no route may see a request.
enum Refusal {
    ForeignHost,
    Method,
}

const FOREIGN_HOST: &str =
    "this server answers to its own address, to localhost and to the names in http.allowed_hosts only";

const ALLOW: [(HeaderName, &str); 1] = [(header::ALLOW, "GET, HEAD, POST")];

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Refusal::ForeignHost => (StatusCode::FORBIDDEN, format!("{FOREIGN_HOST}\n")).into_response(),
            Refusal::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, ALLOW, "method not allowed\n").into_response()
            }
        }
    }
}

fn is_api(request: &Request) -> bool {
    request.uri().path().starts_with("/api/") || request.uri().path() == "/mcp"
}

fn judge(request: &Request, address: Option<SocketAddr>, allowed: &[String]) -> Result<(), Refusal> {
    let address = address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    if !names_us(request.headers(), request.uri(), (address.ip(), allowed)) {
        return Err(Refusal::ForeignHost);
    }
    // The HTTP API says for each of its addresses which methods it has.
    if !is_api(request) && ![Method::GET, Method::HEAD, Method::POST].contains(request.method()) {
        return Err(Refusal::Method);
    }
    Ok(())
}

/// Whether a request is meant for this server: one `Host`, and it and the target's own authority,
/// if there is one, are ours.
fn names_us(headers: &HeaderMap, uri: &Uri, (listen, allowed): (IpAddr, &[String])) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Some(host) = host.to_str().ok().and_then(|text| text.parse::<Authority>().ok()) else { return false };
    let is_ours = |host: &Authority| is_ours(host, listen, allowed);
    is_ours(&host) && uri.authority().is_none_or(is_ours)
}

/// A loopback name, the listen address, or one of the names in `allowed`. Of all addresses (`0.0.0.0`) each is ours: an address,
/// other than a name, cannot be rebound. The port is left out, since tunnels change it.
fn is_ours(host: &Authority, listen: IpAddr, allowed: &[String]) -> bool {
    // The parser takes user names; no honest client sends one.
    if host.as_str().contains('@') {
        return false;
    }
    let is_allowed = |name: &str| allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name));
    match address_of(host.host()) {
        Some(address) => {
            address.is_loopback()
                || address == listen
                || listen.is_unspecified()
                || is_allowed(&address.to_string())
        }
        None => host.host().eq_ignore_ascii_case("localhost") || is_allowed(host.host()),
    }
}

/// Whether an `Origin` is this server's, by the rules of the `Host`.
pub(super) fn is_own_origin(origin: &HeaderValue, site: &Site) -> bool {
    let listen = site.address().map_or(IpAddr::from([127, 0, 0, 1]), |address| address.ip());
    let origin = origin.to_str().ok().and_then(|text| text.parse::<Uri>().ok());
    let of_web = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    origin
        .filter(of_web)
        .and_then(|uri| uri.authority().cloned())
        .is_some_and(|authority| is_ours(&authority, listen, &site.config.http.allowed_hosts))
}

fn address_of(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether the name in `Host` is this machine itself: only then may a cookie travel without TLS.
pub(super) fn is_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.and_then(|host| host.parse::<Authority>().ok()).is_some_and(|host| {
        host.host().eq_ignore_ascii_case("localhost")
            || address_of(host.host()).is_some_and(|address| address.is_loopback())
    })
}

/// Whether the browser says that a request comes from our own page. A page cannot forge `Sec-Fetch-Site`;
/// browsers without it send `Origin` with each POST; a browser that sends neither is refused.
pub(super) fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if headers.contains_key("sec-fetch-site") {
        return text(&HeaderName::from_static("sec-fetch-site")) == Some("same-origin");
    }
    let (Some(origin), Some(host)) = (text(&header::ORIGIN), text(&header::HOST)) else { return false };
    let of_origin = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    of_origin.is_some_and(|of_origin| of_origin.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(host: &str, listen: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).expect("a header"));
        let allowed = ["unlockd.example".to_owned(), "192.0.2.99".to_owned()];
        names_us(&headers, &Uri::from_static("/"), (listen.parse().expect("an address"), &allowed))
    }

    #[test]
    fn only_loopback_names_and_the_listen_address_are_ours() {
        for host in [
            "localhost",
            "LOCALHOST:8787",
            "127.0.0.1:8787",
            "127.9.9.9",
            "[::1]:8787",
            "192.0.2.7:9000",
            "unlockd.example",
            "Unlockd.Example:8787",
            "192.0.2.99",
        ] {
            assert!(ours(host, "192.0.2.7"), "{host}");
        }
        for host in [
            "evil.example",
            "x.unlockd.example",
            "unlockd.example.evil.example",
            "unlockd.example@evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.0.2.8",
            "localhost@evil.example",
            "evil.example@localhost",
            "localhost.",
            "0.0.0.0",
            "",
            "127.1",
        ] {
            assert!(!ours(host, "192.0.2.7"), "{host}");
        }
        assert!(ours("198.51.100.3:8787", "0.0.0.0") && !ours("evil.example", "0.0.0.0"));
    }

    #[test]
    fn two_hosts_or_a_foreign_target_are_refused() {
        let mut headers = HeaderMap::new();
        let listen: (IpAddr, &[String]) = (IpAddr::from([127, 0, 0, 1]), &[]);
        assert!(!names_us(&headers, &Uri::from_static("/"), listen), "no Host");
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        assert!(!names_us(&headers, &Uri::from_static("http://evil.example/"), listen));
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        assert!(!names_us(&headers, &Uri::from_static("/"), listen), "two of them");
    }

    #[test]
    fn only_a_page_of_the_same_origin_may_post() {
        let from = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("localhost:8787"));
            for (name, value) in pairs {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            is_same_origin(&headers)
        };
        assert!(from(&[("sec-fetch-site", "same-origin")]));
        assert!(from(&[("origin", "http://localhost:8787")]));
        let (origin, site) = (("origin", "http://localhost:8787"), "sec-fetch-site");
        for site_says in ["cross-site", "same-site", "none", "", "same-origin, cross-site"] {
            assert!(!from(&[(site, site_says), origin]), "{site_says}");
        }
        for origin in
            ["null", "http://localhost:3000", "http://evil.example", "http://localhost", "localhost:8787"]
        {
            assert!(!from(&[("origin", origin)]), "{origin}");
        }
        assert!(!from(&[]));
    }
}
