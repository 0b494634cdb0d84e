//! Signing in and out, as requests and answers; the sessions decide who is let in.

use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::page::{self, Look};
use super::refused::Refused;
use super::session::{SignInError, set_cookie};
use super::{Site, guard};

#[derive(Deserialize)]
pub(super) struct SignIn {
    token: String,
}

pub(super) async fn form(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let look = Look::new(&site, &headers);
    let page = page::sign_in_page(&look, guard::is_loopback(&headers), None);
    page::whole(&look, StatusCode::OK, page)
}

pub(super) async fn sign_in(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    given: Result<Form<SignIn>, FormRejection>,
) -> Response {
    let look = Look::new(&site, &headers);
    if !guard::is_same_origin(&headers) {
        return Refused::NotOurPage.page(&look);
    }
    let Ok(Form(given)) = given else { return Refused::NotUnderstood.page(&look) };
    let is_private = guard::is_loopback(&headers);
    match site.sessions.sign_in(&given.token, look.now) {
        Ok(opened) => {
            tracing::info!("sign-in to the status page");
            // Browsers send nothing behind the # to anybody; the script keeps it and takes it out of the address.
            let then = format!("/#proof={}", opened.proof);
            with_cookie(&site, Some(&opened.cookie), !is_private, &then)
        }
        Err(error) => {
            tracing::warn!(%error, "failed sign-in to the status page");
            let status = match error {
                SignInError::LockedOut { .. } => StatusCode::TOO_MANY_REQUESTS,
                _ => StatusCode::FORBIDDEN,
            };
            let page = page::sign_in_page(&look, is_private, Some(&error.to_string()));
            page::whole(&look, status, page)
        }
    }
}

pub(super) async fn sign_out(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let look = Look::new(&site, &headers);
    if !guard::is_same_origin(&headers) {
        return Refused::NotOurPage.page(&look);
    }
    if let Some(session) = look.visitor.session() {
        site.sessions.sign_out(session);
    }
    with_cookie(&site, None, !guard::is_loopback(&headers), "/")
}

fn with_cookie(site: &Site, value: Option<&str>, secure: bool, then: &str) -> Response {
    let cookie = set_cookie(value, site.port(), secure);
    let mut response = Redirect::to(then).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
