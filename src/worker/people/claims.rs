//! What was paid for and brought no value, with what the settlement says about it.

use serde::Serialize;

use crate::domain::claims::{Settled, finding};
use crate::domain::outcome::Kind;
use crate::domain::{Action, Credits};
use crate::store::report::Time;
use crate::store::report::claims::Unfulfilled;

/// What was paid for and brought no value, as a support desk needs it.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Claim {
    pub account: String,
    pub action: String,
    pub personnel_id: Option<String>,
    pub event_id: Option<String>,
    pub request_id: i64,
    pub reference: Option<String>,
    pub job_id: i64,
    pub task_id: Option<String>,
    pub trace_id: Option<String>,
    /// Our X-Request-ID of the paid call.
    pub x_request_id: Option<String>,
    pub submitted_at: Option<Time>,
    pub credits: i64,
    pub outcome: String,
    pub error_code: Option<String>,
    pub balance: &'static str,
    pub expected_min: Option<i64>,
    pub expected_max: Option<i64>,
    pub spent: Option<i64>,
}

impl From<Unfulfilled> for Claim {
    fn from(item: Unfulfilled) -> Claim {
        let settled = item.closed_at.map(|_| Settled {
            expected_min: Credits(item.expected_min.unwrap_or_default()),
            expected_max: Credits(item.expected_max.unwrap_or_default()),
            spent: item.spent.filter(|_| item.proves_nothing != Some(true)).map(Credits),
        });
        let action = Action::parse(&item.action);
        Claim {
            personnel_id: action.and_then(Action::channel).map(|_| item.personnel_id),
            balance: finding(settled, item.outcome == Kind::NoValue.as_str()).as_str(),
            account: item.account,
            action: item.action,
            event_id: item.event_id,
            request_id: item.request_id,
            reference: item.reference,
            job_id: item.job_id,
            task_id: item.task_id,
            trace_id: item.trace_id,
            x_request_id: item.call_id,
            submitted_at: item.submitted_at.map(Time),
            credits: item.credits,
            outcome: item.outcome,
            error_code: item.error_code,
            expected_min: item.expected_min,
            expected_max: item.expected_max,
            spent: item.spent,
        }
    }
}
