//! Headers, as they are read from a request and put on an answer.

use axum::http::response::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub(in crate::sandbox) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// The key of an `Authorization: Bearer` header, if there is one.
pub(in crate::sandbox) fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = header(headers, "authorization")?;
    let key = value.strip_prefix("Bearer ")?.trim();
    (!key.is_empty()).then(|| key.to_owned())
}

pub(in crate::sandbox) fn set(head: &mut Parts, name: &'static str, value: &str) {
    // What a fault puts here was checked when the fault was read.
    if let Ok(value) = HeaderValue::from_str(value) {
        head.headers.insert(HeaderName::from_static(name), value);
    }
}
