//! The worker: passes that carry rows from one state to the next.
//!
//! Each pass reads rows, lets `domain` decide, acts through the [`gate`], and records in one transaction.
//! Passes share rows and do not call each other: a wake-up carries no data, so a restart and a normal run
//! take the same path. In the order in which a request meets them:
//!
//! - [`intake`] takes rows from the inbox and makes requests and items of them.
//! - [`submit`] forms batches, prechecks them, commits the intent and sends the paid POST.
//! - [`poll`] polls tasks; [`profile`] reads values that no task will deliver, from
//!   lists ([`bulk`]) where that is fewer calls.
//! - [`doubt`] checks whether a POST whose answer was lost took effect.
//! - [`direct`] is what differs for event unlocks and searches. [`balance`] reads the balance, [`settle`]
//!   compares it with what was expected. `prices`: what one unit costs.
//! - `task_end`: the end of a task; `read_again`: what follows from a profile.
//! - [`durability`]: whether a paid call may rest on what a PostgreSQL server has committed.
//! - `owners`: which accounts share one pool of credits.
//! - [`notify`] sends webhooks, [`erase`] removes old values, [`history`] old timelines and requests.
//! - [`people`]: what people may do to the rows, and what they are shown. [`run`]: the process around the
//!   passes.

pub mod balance;
pub mod budget;
pub mod bulk;
mod deps;
pub mod direct;
pub mod doubt;
pub mod durability;
pub mod erase;
mod event_access;
pub mod gate;
pub mod history;
pub mod intake;
pub mod notify;
mod owners;
pub mod people;
pub mod poll;
mod prices;
pub mod profile;
mod read_again;
mod report;
pub mod run;
pub mod settle;
pub mod submit;
mod task_end;

use crate::api::ApiError;
use crate::domain::Millis;
use crate::domain::failure::{self, ReadFailure};
use crate::domain::pacing;

pub(crate) use deps::ladder;
pub use deps::{Deps, NO_LEASE, SetupError};
use prices::least_price;
pub(crate) use prices::price;
pub use report::Report;

/// When to retry something that failed `failures` times in a row.
fn retry_at(now: Millis, failures: u32) -> Millis {
    now.plus(pacing::retry_delay_ms(failures, 1_000, 60_000, fastrand::f64()))
}

/// How to handle a failed read: the gate has already learned from it.
fn read_failure(error: &ApiError) -> ReadFailure {
    failure::read(error.failure)
}
