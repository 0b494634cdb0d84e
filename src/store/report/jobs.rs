//! Jobs as people read them, with the submissions and the cost.

use serde::Serialize;
use sqlx::FromRow;

use crate::domain::AccountId;
use crate::domain::job::{Doubt, WaitReason};
use crate::store::report::progress::Entry;
use crate::store::report::{OutcomeCount, Time};
use crate::store::{Store, StoreError, sql};

/// A job, without its contacts.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize)]
pub struct Job {
    pub id: i64,
    pub account: String,
    pub action: String,
    pub event_id: Option<String>,
    pub task_id: Option<String>,
    pub state: String,
    pub state_reason: Option<String>,
    pub contacts: i64,
    pub cost: Option<i64>,
    pub adopted: bool,
    pub poll_count: i64,
    pub next_poll_at: Option<Time>,
    pub due_at: Option<Time>,
    pub failures: i64,
    pub looks: i64,
    pub evidence: Option<String>,
    pub doubt_since: Option<Time>,
    pub created_at: Time,
    pub submitted_at: Option<Time>,
    pub finished_at: Option<Time>,
}

impl Job {
    /// Why it is queued and not sent; `None`: it only waits for its turn, or is not queued.
    pub fn waits_for(&self) -> Option<WaitReason> {
        self.state_reason.as_deref().filter(|_| self.state == "queued").and_then(WaitReason::parse)
    }

    /// What is known about it while it is in doubt.
    pub fn doubt(&self) -> Option<Doubt> {
        self.state_reason.as_deref().filter(|_| self.state == "in_doubt").and_then(Doubt::parse)
    }

    /// Whether a person may decide about its submission.
    pub fn is_decidable(&self) -> bool {
        matches!(self.doubt(), Some(Doubt::Looking | Doubt::NeedsDecision))
    }
}

macro_rules! select_jobs {
    ($rest:literal) => {
        concat!(
            "select id, account, action, event_id, task_id, state, state_reason, contacts, cost, adopted = 1 as adopted, poll_count, \
             next_poll_at, due_at, failures, looks, evidence, doubt_since, created_at, submitted_at, finished_at \
             from jobs ",
            $rest
        )
    };
}

/// The newest jobs, newest first; with `state`, only those in that state.
pub async fn list(store: &Store, state: Option<&str>, limit: u32) -> Result<Vec<Job>, StoreError> {
    // Open jobs and ended jobs each have an index.
    let newest = match state {
        None => sql::query_as(select_jobs!("order by id desc limit $1")),
        Some(state) => sql::query_as(select_jobs!(
            "where id in (select id from (select id from jobs where state = $1 and finished_at is null
                                          order by id desc limit $2) as open_ones
                          union all
                          select id from (select id from jobs where state = $1 and finished_at is not null
                                          order by id desc limit $2) as ended)
             order by id desc limit $2"
        ))
        .bind(state),
    };
    Ok(newest.bind(limit).fetch_all(store.readers()).await?)
}

/// An unfinished job, with the progress of its contacts.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize)]
pub struct OpenJob {
    #[sqlx(flatten)]
    #[serde(flatten)]
    pub job: Job,
    pub settled: i64,
    pub delivered: i64,
    /// Contacts that it was asked for; the API may have taken fewer, and the others are settled, too.
    #[serde(skip)]
    pub asked: i64,
}

impl OpenJob {
    /// How many of its contacts are to be settled. An adopted task has contacts that nobody asked for here.
    pub fn whole(&self) -> i64 {
        self.job.contacts.max(self.asked)
    }
}

macro_rules! select_open_jobs {
    ($rest:literal) => {
        concat!(
            "select id, account, action, event_id, task_id, state, state_reason, contacts, cost, adopted = 1 as adopted, poll_count, \
             next_poll_at, due_at, failures, looks, evidence, doubt_since, created_at, submitted_at, finished_at, \
             (select count(distinct personnel_id) from items where job_id = jobs.id and state = 'done') as settled, \
             (select count(distinct personnel_id) from items where job_id = jobs.id and outcome = 'delivered') \
             as delivered, \
             (select count(distinct personnel_id) from items where job_id = jobs.id) as asked from jobs ",
            $rest
        )
    };
}

/// Unfinished jobs, oldest first; those that wait for a person's decision come first.
pub async fn open(store: &Store, limit: u32) -> Result<Vec<OpenJob>, StoreError> {
    // The oldest of each state, however many there are.
    Ok(sql::query_as(select_open_jobs!(
        "where id in (select id from jobs where state = 'in_doubt' union all
                      select id from jobs where state = 'submitting' union all
                      select id from (select id from jobs where state = 'polling' and finished_at is null
                                      order by id limit $1) as polled union all
                      select id from (select id from jobs where state = 'queued' and finished_at is null
                                      order by id limit $1) as queued)
         order by coalesce(state_reason, '') <> 'needs_decision', state = 'queued', id limit $1"
    ))
    .bind(limit)
    .fetch_all(store.readers())
    .await?)
}

/// The unfinished jobs that carry a request's contacts, oldest first.
pub async fn open_of_request(store: &Store, request_id: i64) -> Result<Vec<OpenJob>, StoreError> {
    Ok(sql::query_as(select_open_jobs!(
        "where finished_at is null
           and id in (select job_id from items where request_id = $1 and job_id is not null) order by id"
    ))
    .bind(request_id)
    .fetch_all(store.readers())
    .await?)
}

/// The tasks that have been polled longest, at most three.
pub async fn longest_polled(store: &Store, account: &AccountId) -> Result<Vec<Job>, StoreError> {
    Ok(sql::query_as(select_jobs!(
        "where state = 'polling' and account = $1 order by submitted_at, id limit 3"
    ))
    .bind(account.as_str())
    .fetch_all(store.readers())
    .await?)
}

/// One job, or `None`.
pub async fn read(store: &Store, id: i64) -> Result<Option<Job>, StoreError> {
    Ok(sql::query_as(select_jobs!("where id = $1")).bind(id).fetch_optional(store.readers()).await?)
}

/// The jobs that carried, or carry, a request's contacts, oldest first.
pub async fn of_request(store: &Store, request_id: i64) -> Result<Vec<Job>, StoreError> {
    Ok(sql::query_as(select_jobs!(
        "where id in (select job_id from items where request_id = $1 and job_id is not null
                      union select j.id from jobs j join requests r
                      on r.task_id = j.task_id and r.account = j.account and r.action = j.action
                      where r.id = $1) order by id"
    ))
    .bind(request_id)
    .fetch_all(store.readers())
    .await?)
}

/// The highest job id; `None` when there is no job.
pub async fn newest_id(store: &Store) -> Result<Option<i64>, StoreError> {
    Ok(sql::query_scalar("select max(id) from jobs").fetch_one(store.readers()).await?)
}

/// A submission.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize)]
pub struct Attempt {
    pub request_id: String,
    pub contacts: i64,
    pub cost: i64,
    pub balance_before: Option<i64>,
    pub started_at: Time,
    pub finished_at: Option<Time>,
    pub result: Option<String>,
    pub status: Option<i64>,
    pub error_key: Option<String>,
    pub trace_id: Option<String>,
}

/// The submissions of a job, oldest first.
pub async fn attempts(store: &Store, id: i64) -> Result<Vec<Attempt>, StoreError> {
    Ok(sql::query_as(
        "select request_id, contacts, cost, balance_before, started_at, finished_at, result, status, error_key,
                trace_id
         from attempts where job_id = $1 order by id",
    )
    .bind(id)
    .fetch_all(store.readers())
    .await?)
}

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize)]
pub struct LedgerLine {
    pub at: Time,
    pub entry: String,
    pub credits: i64,
}

/// The credits held, released and charged for a job.
pub async fn ledger(store: &Store, id: i64) -> Result<Vec<LedgerLine>, StoreError> {
    Ok(sql::query_as("select at, entry, credits from ledger where job_id = $1 order by id")
        .bind(id)
        .fetch_all(store.readers())
        .await?)
}

/// The number of distinct contacts of a job, by outcome.
pub async fn outcomes(store: &Store, id: i64) -> Result<Vec<OutcomeCount>, StoreError> {
    Ok(sql::query_as(
        "select outcome, source, count(distinct personnel_id) as contacts from items where job_id = $1
         group by outcome, source order by contacts desc, outcome",
    )
    .bind(id)
    .fetch_all(store.readers())
    .await?)
}

/// The requests whose contacts a job carried.
pub async fn requests(store: &Store, id: i64) -> Result<Vec<i64>, StoreError> {
    Ok(sql::query_scalar("select distinct request_id from items where job_id = $1 order by request_id")
        .bind(id)
        .fetch_all(store.readers())
        .await?)
}

/// The timeline of a job, as it was written: the clock may have been set in between.
pub async fn timeline(store: &Store, id: i64) -> Result<Vec<Entry>, StoreError> {
    Ok(sql::query_as(
        "select at, request_id, job_id, event, detail from request_events where job_id = $1 order by id",
    )
    .bind(id)
    .fetch_all(store.readers())
    .await?)
}
