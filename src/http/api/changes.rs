//! `GET /changes`: the feed of settled outcomes, with long polling.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::body::Asked;
use super::caller::Caller;
use super::lists::limit;
use super::problem::Problem;
use crate::config::Scope;
use crate::http::Site;
use crate::store::report::changes::{self, Change};

const LONGEST_WAIT: u64 = 60;

/// Another process's commits tell nobody here, so the feed is looked at this often.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// From where on, and how long to wait for something.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct From {
    /// `next_after` of the answer before; 0 for all
    #[param(minimum = 0)]
    pub(in crate::http) after: Option<i64>,
    /// Seconds to wait while there is none; 0 unless given
    #[param(minimum = 0, maximum = 60)]
    pub(in crate::http) wait: Option<u64>,
    /// Changes in one answer, at most; 100 unless given
    #[param(minimum = 1, maximum = 1000)]
    pub(in crate::http) limit: Option<u32>,
}

/// Changes in their order.
#[derive(Serialize, schemars::JsonSchema, utoipa::ToSchema)]
pub(in crate::http) struct Changes {
    pub(in crate::http) changes: Vec<Change>,
    /// Where to go on, also when there was none.
    pub(in crate::http) next_after: i64,
}

/// Follows settled outcomes
///
/// With `wait` it answers as soon as there is a change, at the latest after so many seconds. Scope read.
#[utoipa::path(get, path = "/changes", params(From), responses((status = 200, body = Changes)))]
pub(super) async fn changes(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Asked(from): Asked<From>,
) -> Result<Json<Changes>, Problem> {
    Ok(Json(followed(&site, &caller, &from).await?))
}

pub(in crate::http) async fn followed(site: &Site, caller: &Caller, from: &From) -> Result<Changes, Problem> {
    caller.needs(&[Scope::Read])?;
    let limit = limit(from.limit)?;
    let mut after = from.after.unwrap_or(0);
    if after < 0 {
        return Err(Problem::malformed("after must be 0 or more"));
    }
    let wait = from.wait.unwrap_or(0);
    if wait > LONGEST_WAIT {
        return Err(Problem::malformed(format!("wait must be 0 to {LONGEST_WAIT} seconds")));
    }
    // Without a place it does not wait: an answer without changes is no error.
    let place = site.waiting.try_acquire();
    let until = Instant::now() + Duration::from_secs(if place.is_ok() { wait } else { 0 });
    let accounts = caller.accounts_json();
    let mut commits = site.store.commits();
    loop {
        commits.mark_unchanged();
        let newest = changes::newest(&site.store).await?;
        if newest > after {
            let found = changes::after(&site.store, accounts.as_deref(), (after, newest), limit).await?;
            after = match found.last() {
                Some(last) if found.len() == limit as usize => last.seq,
                _ => newest,
            };
            if !found.is_empty() {
                return Ok(Changes { changes: found, next_after: after });
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || site.signals.is_stopping() {
            return Ok(Changes { changes: vec![], next_after: after });
        }
        tokio::select! {
            _ = commits.changed() => {}
            () = tokio::time::sleep(left.min(LOOK_AGAIN_AFTER)) => {}
            () = site.signals.stopping() => {}
        }
    }
}
