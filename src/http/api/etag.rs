//! `ETag` and `If-None-Match`: who asks again and again gets 304 without a body while nothing has changed.
//!
//! The tag is a digest of the body, so it also differs for callers that see more or less. The answer costs the database
//! the same, and the network and the caller less. Answers still say `no-store`: the caller keeps the tag, and no cache
//! between keeps the body.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::problem::Problem;

/// More than any answer: the lists are limited.
const LARGEST_ANSWER: usize = 64 << 20;

pub(super) async fn etag(request: Request, next: Next) -> Response {
    let known = request.headers().clone();
    let is_read = request.method() == Method::GET;
    let response = next.run(request).await;
    if !is_read || response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, LARGEST_ANSWER).await else { return Problem::busy().into_response() };
    let digest: [u8; 32] = Sha256::digest(&bytes).into();
    let tag = format!("\"{}\"", hex::encode(&digest[..16]));
    if let Ok(value) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, value);
    }
    if !names(&known, &tag) {
        return Response::from_parts(parts, Body::from(bytes));
    }
    parts.status = StatusCode::NOT_MODIFIED;
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::empty())
}

/// Whether `If-None-Match` names this tag, by the weak comparison.
fn names(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_by_any_of_the_ways_to_name_it() {
        let names = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_str(value).expect("a header"));
            names(&headers, "\"ab\"")
        };
        for known in ["\"ab\"", "W/\"ab\"", "*", "\"x\", \"ab\"", "\"x\",W/\"ab\""] {
            assert!(names(known), "{known}");
        }
        for other in ["\"abc\"", "ab", "", "W/", "\"a\", \"b\""] {
            assert!(!names(other), "{other}");
        }
        assert!(!super::names(&HeaderMap::new(), "\"ab\""));
    }
}
