//! `/healthz`: the process lives. `/readyz`: it can do its work.
//!
//! The worker stays ready in every business state: 402, a pause, a refused key of one account, work that
//! waits for a person. Restarting it or taking it out of service would fix none of these.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Site;
use crate::store::{disk, lease};
use crate::worker::people::needs;

/// Answers as long as the runtime runs.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// 200, or 503 with a line for each problem.
pub(super) async fn ready(State(site): State<Arc<Site>>) -> Response {
    let problems = problems(&site).await;
    if problems.is_empty() {
        return "ready\n".into_response();
    }
    let lines: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines).into_response()
}

/// The problems that keep this process from working; empty when there are none.
pub(super) async fn problems(site: &Site) -> Vec<String> {
    let mut problems = Vec::new();
    let now = site.clock.now();
    match (lease::read(&site.store).await, site.worker()) {
        (Err(_), _) => problems.push("database: it cannot be read".to_owned()),
        (Ok(row), None) => {
            problems.push(format!("worker: waiting to take over; process {} has the database", row.pid))
        }
        (Ok(row), Some(deps)) if row.token != deps.lease_token => {
            problems.push(format!("worker: process {} has taken over the database", row.pid));
        }
        // Renewed every few seconds through the one writer, so an old lease means that it cannot write.
        (Ok(row), Some(_)) if !row.is_alive(now) => {
            problems.push(
                "database: not written for a while; normally it is written every five seconds".to_owned(),
            );
        }
        (Ok(_), Some(deps)) if !deps.store.ownership().has_time(deps.clock.steady_ms(), 0) => {
            problems.push("worker: its lease has run out; nothing is sent until it is renewed".to_owned());
        }
        (Ok(_), Some(_)) => {}
    }
    if let Some(stalled) = site.worker().and_then(|deps| deps.heartbeat.stalled(deps.config().api.timeout)) {
        let seconds = now.since(stalled.since) / 1_000;
        problems
            .push(format!("scheduler: the pass {} has shown no sign of life for {seconds} s", stalled.pass));
    }
    if disk::free_bytes(&site.store).is_err() {
        problems.push("disk: the free space cannot be read".to_owned());
    }
    let stops = needs::stops(&site.store, &site.config()).await.unwrap_or_default();
    problems
        .extend(stops.iter().map(|stop| format!("{}: {}; {}", stop.subject(), stop.what(), stop.to_do())));
    problems
}
