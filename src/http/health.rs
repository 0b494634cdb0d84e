//! `/healthz`: the process lives. `/readyz`: it can do its work.
//!
//! A business state is no illness: 402, a pause, a refused key of one account and whatever waits for
//! a person leave the worker ready, since restarting it or taking it out of service mends none.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Site;
use crate::store::sqlite::{disk, lease};

/// Answers as long as the runtime runs.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// 200, or 503 with a line for each part that is not well.
pub(super) async fn ready(State(site): State<Arc<Site>>) -> Response {
    let ills = ills(&site).await;
    if ills.is_empty() {
        return "ready\n".into_response();
    }
    let lines: String = ills.iter().map(|ill| format!("{ill}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines).into_response()
}

/// What keeps this process from working, in words; empty when all is well.
pub(super) async fn ills(site: &Site) -> Vec<String> {
    let mut ills = Vec::new();
    let now = site.clock.now();
    match (lease::read(&site.store).await, site.worker()) {
        (Err(_), _) => ills.push("database: it cannot be read".to_owned()),
        (Ok(row), None) => {
            ills.push(format!("worker: waiting to take over; process {} has the database", row.pid))
        }
        (Ok(row), Some(deps)) if row.token != deps.lease_token => {
            ills.push(format!("worker: process {} has taken the database over", row.pid));
        }
        // Renewed every few seconds through the one writer, so an old one means that it cannot write.
        (Ok(row), Some(_)) if !row.is_alive(now) => {
            ills.push(
                "database: it was not written for a while, although it is every five seconds".to_owned(),
            );
        }
        (Ok(_), Some(_)) => {}
    }
    if let Some(stalled) = site.worker().and_then(|deps| deps.heartbeat.stalled(deps.config().api.timeout)) {
        let seconds = now.since(stalled.since) / 1_000;
        ills.push(format!("scheduler: the pass {} has shown no life for {seconds} s", stalled.pass));
    }
    match disk::free_bytes(&site.store) {
        Ok(free) if free < disk::NEEDED_BYTES => ills
            .push(format!("disk: {free} bytes are free, and nothing is bought below {}", disk::NEEDED_BYTES)),
        Ok(_) => {}
        Err(_) => ills.push("disk: how much is free cannot be told".to_owned()),
    }
    ills
}
