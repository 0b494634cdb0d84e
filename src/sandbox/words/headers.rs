//! Reads headers of a request, and writes headers of an answer.

use axum::http::response::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub(in crate::sandbox) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// The key of an `Authorization: Bearer` header, if there is one. The word may be in upper or lower case.
pub(in crate::sandbox) fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = header(headers, "authorization")?;
    let (scheme, key) = value.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then(|| key.to_owned())
}

/// Sets a header on an answer; replaces one with the same name.
pub(in crate::sandbox) fn set(head: &mut Parts, name: &'static str, value: &str) {
    // The value from a fault was checked when the fault was read.
    if let Ok(value) = HeaderValue::from_str(value) {
        head.headers.insert(HeaderName::from_static(name), value);
    }
}

/// Adds a header to an answer; keeps others with the same name.
pub(in crate::sandbox) fn add(head: &mut Parts, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        head.headers.append(HeaderName::from_static(name), value);
    }
}
