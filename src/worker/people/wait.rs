//! One reason why a request waits, with what would unblock it.

use serde::Serialize;

use crate::domain::needs::Need;
use crate::store::report::Time;

/// One thing that a request waits for.
#[derive(Default, Serialize, schemars::JsonSchema)]
pub struct Wait {
    /// A fixed word, for programs.
    pub reason: String,
    pub what: String,
    pub since: Option<Time>,
    pub next_try_at: Option<Time>,
    /// When the worker stops waiting for it.
    pub gives_up_at: Option<Time>,
    pub unblock: Option<String>,
    pub needs_person: bool,
    pub job_id: Option<i64>,
}

impl Wait {
    /// A wait for a person, in the same words as every other place that reports it.
    pub(in crate::worker) fn for_person(need: &Need) -> Wait {
        Wait {
            reason: need.reason().to_owned(),
            what: need.what(),
            since: need.since().map(Time::from),
            unblock: Some(need.to_do()),
            needs_person: true,
            job_id: need.job().map(|job| job.0),
            ..Wait::default()
        }
    }
}

pub(in crate::worker) fn contacts(count: i64) -> String {
    if count == 1 { "1 contact is".to_owned() } else { format!("{count} contacts are") }
}
