//! What calls send: a JSON body, a query, an id. Everything that cannot be read is a problem that says so.

use std::sync::Arc;

use axum::RequestPartsExt;
use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::problem::Problem;
use super::unread::{Noun, plain};
use crate::http::Site;

/// Room for 100,000 ids of 20 digits.
pub(in crate::http) const LARGEST_BODY: usize = 4 << 20;

/// A JSON body without unknown fields.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Site>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<Site>) -> Result<Body<T>, Problem> {
        let (parts, body) = request.into_parts();
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let kind = text(header::CONTENT_TYPE).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            return Err(Problem::not_json());
        }
        let length = text(header::CONTENT_LENGTH).and_then(|text| text.parse::<usize>().ok());
        if length.is_some_and(|length| length > LARGEST_BODY) {
            return Err(Problem::too_large(LARGEST_BODY));
        }
        let bytes = to_bytes(body, LARGEST_BODY).await;
        let bytes = bytes.map_err(|error| match is_too_long(&error) {
            true => Problem::too_large(LARGEST_BODY),
            false => Problem::malformed("the body ended before its end"),
        })?;
        let mut body = serde_json::Deserializer::from_slice(&bytes);
        let read = serde_path_to_error::deserialize(&mut body);
        let path = read.as_ref().err().map(|error| error.path().to_string()).unwrap_or_default();
        let read = read.map_err(serde_path_to_error::Error::into_inner);
        let read = read.and_then(|read| body.end().map(|()| Body(read)));
        read.map_err(|error| match error.classify() {
            // Of the right form, and not what is expected here.
            Category::Data => Problem::invalid(plain(Noun::Field, &path, &error.to_string())),
            _ => {
                let (line, column) = (error.line(), error.column());
                Problem::malformed(format!("the body is no valid JSON at line {line} column {column}"))
            }
        })
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.to_string().contains("length limit"))
}

/// Query parameters without unknown ones.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned + Send + 'static> FromRequestParts<Arc<Site>> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Site>) -> Result<Asked<T>, Problem> {
        match parts.extract::<Query<T>>().await {
            Ok(Query(asked)) => Ok(Asked(asked)),
            Err(error) => {
                let text = error.body_text();
                let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                // The name of the parameter comes first, if it is known.
                let named = text.split_once(": ").filter(|(name, _)| !name.contains(' '));
                let (name, message) = named.unwrap_or((".", text));
                Err(Problem::malformed(plain(Noun::Parameter, name, message)))
            }
        }
    }
}

/// The id of a request, from the path.
pub(super) struct Id(pub(super) i64);

impl FromRequestParts<Arc<Site>> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Site>) -> Result<Id, Problem> {
        match parts.extract::<Path<i64>>().await {
            Ok(Path(id)) => Ok(Id(id)),
            Err(_) => Err(Problem::not_found("there is no request with this id")),
        }
    }
}
