//! Rules for every request to every route.

use reqwest::Method;

use crate::place::{Place, read};
use crate::support::Setup;

const PATHS: [&str; 4] = ["/healthz", "/readyz", "/metrics", "/no/such/page"];

#[tokio::test]
async fn a_foreign_host_is_refused_on_every_route() {
    let place = Place::new().await;
    for path in PATHS {
        for method in [Method::GET, Method::POST, Method::HEAD, Method::OPTIONS] {
            for host in ["evil.example", "evil.example:8787", "127.0.0.1.evil.example", "192.0.2.1"] {
                let answer = read(place.request(method.clone(), path).header("host", host)).await;
                assert_eq!(answer.status, 403, "{method} {path} of {host}");
            }
        }
        for host in ["localhost", "localhost:9999", "[::1]:8787", "127.0.0.1"] {
            let answer = read(place.request(Method::GET, path).header("host", host)).await;
            assert_ne!(answer.status, 403, "{path} of {host}");
        }
    }
    place.end().await;
}

/// Prometheus by service name, a reverse proxy.
#[tokio::test]
async fn a_host_that_the_configuration_names_is_served() {
    let place =
        Place::of(Setup::default().config("HTTP__ALLOWED_HOSTS", r#"["unlockd", "Page.example"]"#)).await;
    for (host, status) in [
        ("unlockd:8787", 200),
        ("page.EXAMPLE", 200),
        ("localhost", 200),
        ("other", 403),
        ("x.unlockd", 403),
        ("unlockd.evil.example", 403),
    ] {
        for path in ["/healthz", "/metrics"] {
            let answer = read(place.request(Method::GET, path).header("host", host)).await;
            assert_eq!(answer.status, status, "{path} of {host}");
        }
    }
    place.end().await;
}

#[tokio::test]
async fn every_answer_tells_browsers_to_run_frame_and_keep_nothing() {
    let place = Place::new().await;
    for path in PATHS {
        for host in ["localhost", "evil.example"] {
            let answer = read(place.request(Method::GET, path).header("host", host)).await;
            let policy = answer.header("content-security-policy");
            assert!(policy.starts_with("default-src 'none';"), "{path}: {policy}");
            assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
            assert!(!policy.contains("unsafe") && !policy.contains('*'), "{path}: {policy}");
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cache-control", "no-store"),
            ] {
                assert_eq!(answer.header(name), value, "{path}: {name}");
            }
            let allows_others = answer.headers.keys().any(|name| name.as_str().starts_with("access-control"));
            assert!(!allows_others, "{path}: {:?}", answer.headers);
        }
    }
    place.end().await;
}

#[tokio::test]
async fn methods_that_have_no_meaning_are_refused() {
    let place = Place::new().await;
    for path in PATHS {
        for method in [Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE, Method::PATCH] {
            let answer = read(place.request(method.clone(), path)).await;
            assert_eq!(answer.status, 405, "{method} {path}");
        }
    }
    place.end().await;
}
