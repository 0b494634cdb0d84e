//! `/metrics`, in the text format of Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Site;
use crate::store::StoreError;
use crate::worker::Deps;

/// The classic text format.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn answer(State(site): State<Arc<Site>>) -> Response {
    let Some(deps) = site.worker() else {
        let text = "this process waits to take over; the worker that has the database knows the figures\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    match render(deps).await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => super::unreadable(&error),
    }
}

/// All metrics as they are now.
async fn render(_deps: &Deps) -> Result<String, StoreError> {
    Ok(format!(
        "# HELP unlockd_build_info The version of the running program.\n\
         # TYPE unlockd_build_info gauge\n\
         unlockd_build_info{{version=\"{}\"}} 1\n",
        env!("CARGO_PKG_VERSION")
    ))
}
