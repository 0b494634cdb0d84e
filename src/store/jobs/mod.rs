//! The `jobs` table: a job, and one guarded statement that writes a job back. Its [`contacts`] are rows of `items`.
//!
//! [`Job`] is a row with its state as the domain's [`State`], which `job_row` reads.
//! [`crate::store::jobs::due`] finds the next jobs for a pass. [`save`] writes every column that can change
//! and expects the version that was read, so a decision made on an older row changes nothing.

pub mod attempts;
pub mod contacts;
pub mod due;
pub mod facts;
pub(in crate::store) mod job_row;

use crate::store::{On, Reads, StoreError, Tx, sql};

use crate::domain::job::{self, Doubt, Event, State};
use crate::domain::{AccountId, Action, Channel, Credits, EventId, JobId, Millis, TaskId};
use crate::store::jobs::job_row::{Row, select_jobs};

/// A job as the worker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    pub account: AccountId,
    pub action: Action,
    pub event_id: Option<EventId>,
    pub state: State,
    /// The task's id, once known; it stays after the task has ended.
    pub task_id: Option<TaskId>,
    pub poll_count: u32,
    pub created_at: Millis,
    /// When the API accepted it; while that is not known, when it was sent.
    pub submitted_at: Option<Millis>,
    pub finished_at: Option<Millis>,
    pub version: i64,
    pub adopted: bool,
    pub contacts: u32,
    pub due_at: Option<Millis>,
    pub failures: u32,
    pub looks: u32,
    pub no_effect_looks: u32,
    pub evidence: Option<String>,
    pub doubt_since: Option<Millis>,
    pub parked_balance: Option<Credits>,
    pub price: Option<Credits>,
    /// The price of its cheapest contact.
    pub lowest_price: Option<Credits>,
    pub cost: Option<Credits>,
    /// The cost that a person confirmed when the job was to be sent again: it never goes out for more.
    pub confirmed_credits: Option<Credits>,
    /// What its contacts will be charged by a precheck, if that was too much for the balance when it was asked.
    pub quoted_credits: Option<Credits>,
    pub window_id: Option<i64>,
    /// It is a part of this job's call, which was refused and divided; the first part names itself.
    pub divided_from: Option<JobId>,
}

impl Job {
    /// Changes the job by [`job::next`], and updates the columns that depend on the state.
    pub fn apply(&mut self, event: Event, now: Millis) -> Result<(), StoreError> {
        let state = job::next(&self.state, event)?;
        match &state {
            State::Submitting => self.submitted_at = Some(now),
            // The task that an error named does not belong to this job.
            State::Queued { .. } => {
                (self.submitted_at, self.task_id) = (None, None);
                if !matches!(self.state, State::Queued { .. }) {
                    self.quoted_credits = None;
                }
            }
            State::InDoubt { doubt: Doubt::Looking } => self.doubt_since = Some(now),
            State::Polling { task_id, poll_count, .. } => {
                self.task_id = Some(task_id.clone());
                self.poll_count = *poll_count;
            }
            _ => {}
        }
        self.finished_at = state.is_end().then_some(now);
        self.state = state;
        Ok(())
    }

    /// Its paid call was sent, or may have been, and no answer to it can be used: in doubt, first looked up at
    /// `first_look`.
    pub fn answer_lost(&mut self, first_look: Millis, now: Millis) -> Result<(), StoreError> {
        self.apply(Event::AnswerLost, now)?;
        (self.looks, self.no_effect_looks, self.evidence) = (0, 0, None);
        self.due_at = Some(first_look);
        Ok(())
    }

    /// The job, no longer parked.
    pub fn released(mut self, now: Millis) -> Result<Job, StoreError> {
        self.apply(Event::Released, now)?;
        (self.due_at, self.parked_balance) = (None, None);
        Ok(self)
    }

    /// The value that is bought for each contact; `None` for a direct action, which has no contacts.
    pub fn channel(&self) -> Option<Channel> {
        self.action.channel()
    }
}

/// One job, or `None`.
pub async fn read(readers: &Reads, id: JobId) -> Result<Option<Job>, StoreError> {
    let row: Option<Row> =
        sql::query_as(select_jobs!("where id = $1")).bind(id.0).fetch_optional(readers).await?;
    row.map(Job::try_from).transpose()
}

/// The job that follows a task, if there is one.
pub async fn following(
    readers: &Reads,
    account: &AccountId,
    action: Action,
    task_id: &TaskId,
) -> Result<Option<JobId>, StoreError> {
    let id: Option<i64> =
        sql::query_scalar("select id from jobs where task_id = $1 and account = $2 and action = $3 limit 1")
            .bind(task_id.as_str())
            .bind(account.as_str())
            .bind(action.as_str())
            .fetch_optional(readers)
            .await?;
    Ok(id.map(JobId))
}

/// The other job of the same owner that has this task, if there is one. A task belongs to one paid call. A job in
/// doubt has none yet: an error named the task, which is no more than evidence.
pub async fn with_task(
    on: impl Into<On<'_>>,
    job: &Job,
    task_id: &TaskId,
) -> Result<Option<JobId>, StoreError> {
    let id: Option<i64> = sql::query_scalar(
        "select id from jobs
         where task_id = $1 and action = $3 and id <> $4 and state <> 'in_doubt'
           and (account = $2 or account in (select member from pools where account = $2))
         order by id limit 1",
    )
    .bind(task_id.as_str())
    .bind(job.account.as_str())
    .bind(job.action.as_str())
    .bind(job.id.0)
    .fetch_optional(on)
    .await?;
    Ok(id.map(JobId))
}

/// Writes a new queued job and returns it.
pub async fn insert_queued(
    connection: &mut Tx,
    account: &AccountId,
    action: Action,
    event_id: Option<&EventId>,
    now: Millis,
) -> Result<Job, StoreError> {
    let id: i64 = sql::query_scalar(
        "insert into jobs (account, action, event_id, state, created_at) values ($1, $2, $3, $4, $5) returning id",
    )
    .bind(account.as_str())
    .bind(action.as_str())
    .bind(event_id.map(EventId::as_str))
    .bind(State::Queued { waits_for: None }.name())
    .bind(now.0)
    .fetch_one(&mut *connection)
    .await?;
    let row: Row = sql::query_as(select_jobs!("where id = $1")).bind(id).fetch_one(connection).await?;
    row.try_into()
}

/// Writes a job for a task that another program created.
pub async fn insert_adopted(
    connection: &mut Tx,
    (account, event_id): (&AccountId, Option<&EventId>),
    channel: Channel,
    task_id: &TaskId,
    next_poll_at: Millis,
    now: Millis,
) -> Result<JobId, StoreError> {
    let id = sql::query_scalar(
        "insert into jobs (account, action, event_id, task_id, state, adopted, created_at, submitted_at,
                           next_poll_at)
         values ($1, $2, $3, $4, $7, 1, $5, $5, $6) returning id",
    )
    .bind(account.as_str())
    .bind(channel.action().as_str())
    .bind(event_id.map(EventId::as_str))
    .bind(task_id.as_str())
    .bind(now.0)
    .bind(next_poll_at.0)
    .bind(State::Polling { task_id: task_id.clone(), poll_count: 0, next_poll_at }.name())
    .fetch_one(connection)
    .await?;
    Ok(JobId(id))
}

/// Writes a job back, if its row still has the version that was read.
pub async fn save(connection: &mut Tx, job: &Job) -> Result<(), StoreError> {
    let next_poll_at = match &job.state {
        State::Polling { next_poll_at, .. } => Some(next_poll_at.0),
        _ => None,
    };
    let result = sql::query(
        "update jobs set task_id = $3, state = $4, state_reason = $5, poll_count = $6, next_poll_at = $7,
                submitted_at = $8, finished_at = $9, contacts = $10, due_at = $11, failures = $12, looks = $13,
                no_effect_looks = $14, evidence = $15, doubt_since = $16, parked_balance = $17, price = $18,
                cost = $19, window_id = $20, lowest_price = $21, divided_from = $22, confirmed_credits = $23,
                quoted_credits = $24, version = version + 1
         where id = $1 and version = $2",
    )
    .bind(job.id.0)
    .bind(job.version)
    .bind(job.task_id.as_ref().map(TaskId::as_str))
    .bind(job.state.name())
    .bind(job.state.reason())
    .bind(job.poll_count)
    .bind(next_poll_at)
    .bind(job.submitted_at.map(|at| at.0))
    .bind(job.finished_at.map(|at| at.0))
    .bind(job.contacts)
    .bind(job.due_at.map(|at| at.0))
    .bind(job.failures)
    .bind(job.looks)
    .bind(job.no_effect_looks)
    .bind(job.evidence.as_deref())
    .bind(job.doubt_since.map(|at| at.0))
    .bind(job.parked_balance.map(|credits| credits.0))
    .bind(job.price.map(|credits| credits.0))
    .bind(job.cost.map(|credits| credits.0))
    .bind(job.window_id)
    .bind(job.lowest_price.map(|credits| credits.0))
    .bind(job.divided_from.map(|id| id.0))
    .bind(job.confirmed_credits.map(|credits| credits.0))
    .bind(job.quoted_credits.map(|credits| credits.0))
    .execute(connection)
    .await?;
    result.exactly_one("the job")
}

/// Of the jobs that one refused call was divided into: those of one contact that were refused, and those that were
/// accepted.
pub async fn refused_alone_and_accepted(connection: &mut Tx, first: JobId) -> Result<(u32, u32), StoreError> {
    let (refused, accepted): (i64, i64) = sql::query_as(
        "select count(*) filter (where state = 'rejected' and contacts = 1),
                count(*) filter (where submitted_at is not null and state not in ('submitting', 'rejected'))
         from jobs where divided_from = $1",
    )
    .bind(first.0)
    .fetch_one(connection)
    .await?;
    let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    Ok((count(refused), count(accepted)))
}

/// The version of a job's row, inside a transaction that has changed it.
pub async fn version(connection: &mut Tx, id: JobId) -> Result<i64, StoreError> {
    Ok(sql::query_scalar("select version from jobs where id = $1").bind(id.0).fetch_one(connection).await?)
}
