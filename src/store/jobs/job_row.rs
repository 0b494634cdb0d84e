//! A row of the `jobs` table → a [`Job`].
//!
//! The state's words and columns become the domain's [`State`]; a row that cannot be read as a job is an
//! error that names the row.

use sqlx::FromRow;

use crate::domain::job::{Doubt, State, WaitReason};
use crate::domain::{AccountId, Action, Credits, EventId, JobId, Millis, TaskId};
use crate::store::StoreError;
use crate::store::jobs::Job;

#[derive(FromRow)]
pub(in crate::store) struct Row {
    id: i64,
    account: String,
    action: String,
    event_id: Option<String>,
    task_id: Option<String>,
    state: String,
    state_reason: Option<String>,
    poll_count: i64,
    next_poll_at: Option<i64>,
    created_at: i64,
    submitted_at: Option<i64>,
    finished_at: Option<i64>,
    version: i64,
    adopted: bool,
    contacts: i64,
    due_at: Option<i64>,
    failures: i64,
    looks: i64,
    no_effect_looks: i64,
    evidence: Option<String>,
    doubt_since: Option<i64>,
    parked_balance: Option<i64>,
    price: Option<i64>,
    lowest_price: Option<i64>,
    cost: Option<i64>,
    confirmed_credits: Option<i64>,
    quoted_credits: Option<i64>,
    window_id: Option<i64>,
    divided_from: Option<i64>,
}

impl TryFrom<Row> for Job {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Job, StoreError> {
        let unreadable =
            |problem: &str| StoreError::Unreadable { table: "jobs", id: row.id, problem: problem.to_owned() };
        let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        let action = Action::parse(&row.action).ok_or_else(|| unreadable("its action"))?;
        Ok(Job {
            state: state(&row).ok_or_else(|| unreadable("its state"))?,
            id: JobId(row.id),
            account: AccountId::trusted(row.account),
            action,
            event_id: row.event_id.map(EventId::trusted),
            task_id: row.task_id.map(TaskId::trusted),
            poll_count: count(row.poll_count),
            created_at: Millis(row.created_at),
            submitted_at: row.submitted_at.map(Millis),
            finished_at: row.finished_at.map(Millis),
            version: row.version,
            adopted: row.adopted,
            contacts: count(row.contacts),
            due_at: row.due_at.map(Millis),
            failures: count(row.failures),
            looks: count(row.looks),
            no_effect_looks: count(row.no_effect_looks),
            evidence: row.evidence,
            doubt_since: row.doubt_since.map(Millis),
            parked_balance: row.parked_balance.map(Credits),
            price: row.price.map(Credits),
            lowest_price: row.lowest_price.map(Credits),
            cost: row.cost.map(Credits),
            confirmed_credits: row.confirmed_credits.map(Credits),
            quoted_credits: row.quoted_credits.map(Credits),
            window_id: row.window_id,
            divided_from: row.divided_from.map(JobId),
        })
    }
}

fn state(row: &Row) -> Option<State> {
    let reason = row.state_reason.as_deref();
    Some(match row.state.as_str() {
        "queued" => State::Queued {
            waits_for: match reason {
                None => None,
                Some(word) => Some(WaitReason::parse(word)?),
            },
        },
        "submitting" => State::Submitting,
        "in_doubt" => State::InDoubt { doubt: Doubt::parse(reason?)? },
        "polling" => State::Polling {
            task_id: TaskId::trusted(row.task_id.clone()?),
            poll_count: u32::try_from(row.poll_count).ok()?,
            next_poll_at: Millis(row.next_poll_at?),
        },
        "completed" => State::Completed,
        "failed" => State::Failed,
        "lost" => State::Lost,
        "expired" => State::Expired,
        "rejected" => State::Rejected,
        "cancelled" => State::Cancelled,
        _ => return None,
    })
}

macro_rules! select_jobs {
    ($rest:literal) => {
        concat!(
            "select id, account, action, event_id, task_id, state, state_reason, poll_count, next_poll_at, \
             created_at, submitted_at, finished_at, version, adopted = 1 as adopted, contacts, due_at, failures, looks, \
              no_effect_looks, evidence, doubt_since, parked_balance, price, lowest_price, cost, confirmed_credits, \
              quoted_credits, window_id, divided_from \
             from jobs ",
            $rest
        )
    };
}

pub(super) use select_jobs;

pub(in crate::store) fn jobs(rows: Vec<Row>) -> Result<Vec<Job>, StoreError> {
    rows.into_iter().map(Job::try_from).collect()
}
