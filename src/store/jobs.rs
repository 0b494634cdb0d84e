//! The `jobs` table: reading what is due, and one guarded statement that writes a job back.
//!
//! [`Job`] is a row with its state as the domain's [`State`]; a row that cannot be read as one is
//! an error that names it. [`save`] writes every column that can change and expects the version
//! that was read, so a decision made on an older row changes nothing.

use sqlx::{FromRow, SqliteConnection, SqliteExecutor, SqlitePool};

use super::StoreError;
use super::error::exactly_one;
use crate::domain::job::{self, Doubt, Event, State, WaitReason};
use crate::domain::{AccountId, Action, Channel, Credits, EventId, JobId, Millis, PersonnelId, TaskId};

/// A job as the worker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    pub account: AccountId,
    pub action: Action,
    pub event_id: Option<EventId>,
    pub state: State,
    /// The task's id, once known; stays when the task has ended.
    pub task_id: Option<TaskId>,
    pub poll_count: u32,
    pub created_at: Millis,
    /// When the API accepted it, or when it was sent while that is not known.
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
    pub cost: Option<Credits>,
    pub window_id: Option<i64>,
}

impl Job {
    /// Moves the job by [`job::next`], and keeps the columns that follow from the state in step.
    pub fn apply(&mut self, event: Event, now: Millis) -> Result<(), StoreError> {
        let state = job::next(&self.state, event)?;
        match &state {
            State::Submitting => self.submitted_at = Some(now),
            State::Queued { .. } => self.submitted_at = None,
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

    /// A parked job that waits for nothing any more.
    pub fn released(mut self, now: Millis) -> Result<Job, StoreError> {
        self.apply(Event::Released, now)?;
        (self.due_at, self.parked_balance) = (None, None);
        Ok(self)
    }

    /// What is bought of each contact; `None` for a direct action, which has no contacts.
    pub fn channel(&self) -> Option<Channel> {
        self.action.channel()
    }
}

#[derive(FromRow)]
struct Row {
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
    cost: Option<i64>,
    window_id: Option<i64>,
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
            cost: row.cost.map(Credits),
            window_id: row.window_id,
        })
    }
}

fn state(row: &Row) -> Option<State> {
    let reason = row.state_reason.as_deref();
    Some(match row.state.as_str() {
        "queued" => State::Queued {
            waits_for: match reason {
                None => None,
                Some(word) => Some(WaitReason::ALL.into_iter().find(|known| known.as_str() == word)?),
            },
        },
        "submitting" => State::Submitting,
        "in_doubt" => {
            State::InDoubt { doubt: Doubt::ALL.into_iter().find(|known| Some(known.as_str()) == reason)? }
        }
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
             created_at, submitted_at, finished_at, version, adopted, contacts, due_at, failures, looks, \
             no_effect_looks, evidence, doubt_since, parked_balance, price, cost, window_id from jobs ",
            $rest
        )
    };
}

fn jobs(rows: Vec<Row>) -> Result<Vec<Job>, StoreError> {
    rows.into_iter().map(Job::try_from).collect()
}

/// One job, or `None`.
pub async fn read(readers: &SqlitePool, id: JobId) -> Result<Option<Job>, StoreError> {
    let row: Option<Row> =
        sqlx::query_as(select_jobs!("where id = ?1")).bind(id.0).fetch_optional(readers).await?;
    row.map(Job::try_from).transpose()
}

/// Tasks whose poll is due, oldest due first.
pub async fn to_poll(
    readers: &SqlitePool,
    account: &AccountId,
    now: Millis,
    limit: u32,
) -> Result<Vec<Job>, StoreError> {
    let rows = sqlx::query_as(select_jobs!(
        "where state = 'polling' and account = ?1 and next_poll_at <= ?2 order by next_poll_at limit ?3"
    ))
    .bind(account.as_str())
    .bind(now.0)
    .bind(limit)
    .fetch_all(readers)
    .await?;
    jobs(rows)
}

/// How many tasks are polled, counted up to `at_most`.
pub async fn polling(readers: &SqlitePool, account: &AccountId, at_most: u32) -> Result<u32, StoreError> {
    Ok(sqlx::query_scalar(
        "select count(*) from (select 1 from jobs where state = 'polling' and account = ?1 limit ?2)",
    )
    .bind(account.as_str())
    .bind(at_most)
    .fetch_one(readers)
    .await?)
}

/// When the next poll is due.
pub async fn next_poll(readers: &SqlitePool, account: &AccountId) -> Result<Option<Millis>, StoreError> {
    let at: Option<i64> =
        sqlx::query_scalar("select min(next_poll_at) from jobs where state = 'polling' and account = ?1")
            .bind(account.as_str())
            .fetch_one(readers)
            .await?;
    Ok(at.map(Millis))
}

/// The next queued job that waits for nothing: one that is due before one that waits to be tried again,
/// one that was refused less often before the others, then the oldest.
pub async fn ready(
    readers: &SqlitePool,
    account: &AccountId,
    now: Millis,
) -> Result<Option<Job>, StoreError> {
    let row: Option<Row> = sqlx::query_as(select_jobs!(
        "where state = 'queued' and account = ?1 and state_reason is null
         order by max(coalesce(due_at, 0), ?2), failures, id limit 1"
    ))
    .bind(account.as_str())
    .bind(now.0)
    .fetch_optional(readers)
    .await?;
    row.map(Job::try_from).transpose()
}

/// A queued job that every request has left, whatever it waited for.
pub async fn emptied(readers: &SqlitePool, account: &AccountId) -> Result<Option<Job>, StoreError> {
    let row: Option<Row> = sqlx::query_as(select_jobs!(
        "where state = 'queued' and account = ?1 and contacts = 0 order by id limit 1"
    ))
    .bind(account.as_str())
    .fetch_optional(readers)
    .await?;
    row.map(Job::try_from).transpose()
}

/// Queued jobs that wait for something, oldest first; those that wait for credits, of which there may
/// be many, last.
pub async fn parked(
    executor: impl SqliteExecutor<'_>,
    account: &AccountId,
    limit: u32,
) -> Result<Vec<Job>, StoreError> {
    let rows = sqlx::query_as(select_jobs!(
        "where state = 'queued' and account = ?1 and state_reason is not null
         order by state_reason in ('insufficient_credits', 'budget'), id limit ?2"
    ))
    .bind(account.as_str())
    .bind(limit)
    .fetch_all(executor)
    .await?;
    jobs(rows)
}

/// In-doubt jobs that are still being looked at, by when they are due.
pub async fn in_doubt(readers: &SqlitePool, account: &AccountId) -> Result<Vec<Job>, StoreError> {
    let rows = sqlx::query_as(select_jobs!(
        "where state = 'in_doubt' and account = ?1 and state_reason = 'looking' order by due_at limit 64"
    ))
    .bind(account.as_str())
    .fetch_all(readers)
    .await?;
    jobs(rows)
}

/// Jobs that an earlier process was sending when it ended.
pub async fn submitting(readers: &SqlitePool) -> Result<Vec<Job>, StoreError> {
    jobs(sqlx::query_as(select_jobs!("where state = 'submitting' order by id")).fetch_all(readers).await?)
}

/// Jobs that gave up on their task.
pub async fn expired(executor: impl SqliteExecutor<'_>, account: &AccountId) -> Result<Vec<Job>, StoreError> {
    let rows = sqlx::query_as(select_jobs!("where state = 'expired' and account = ?1 order by id"))
        .bind(account.as_str())
        .fetch_all(executor)
        .await?;
    jobs(rows)
}

/// The job that follows a task, if one does.
pub async fn following(
    readers: &SqlitePool,
    account: &AccountId,
    action: Action,
    task_id: &TaskId,
) -> Result<Option<JobId>, StoreError> {
    let id: Option<i64> =
        sqlx::query_scalar("select id from jobs where task_id = ?1 and account = ?2 and action = ?3 limit 1")
            .bind(task_id.as_str())
            .bind(account.as_str())
            .bind(action.as_str())
            .fetch_optional(readers)
            .await?;
    Ok(id.map(JobId))
}

/// Writes a new queued job and returns it.
pub async fn insert_queued(
    connection: &mut SqliteConnection,
    account: &AccountId,
    action: Action,
    event_id: Option<&EventId>,
    now: Millis,
) -> Result<Job, StoreError> {
    let id: i64 = sqlx::query_scalar(
        "insert into jobs (account, action, event_id, state, created_at) values (?1, ?2, ?3, 'queued', ?4)
         returning id",
    )
    .bind(account.as_str())
    .bind(action.as_str())
    .bind(event_id.map(EventId::as_str))
    .bind(now.0)
    .fetch_one(&mut *connection)
    .await?;
    let row: Row = sqlx::query_as(select_jobs!("where id = ?1")).bind(id).fetch_one(connection).await?;
    row.try_into()
}

/// Writes a job that follows a task which something else created.
pub async fn insert_adopted(
    connection: &mut SqliteConnection,
    (account, event_id): (&AccountId, Option<&EventId>),
    channel: Channel,
    task_id: &TaskId,
    next_poll_at: Millis,
    now: Millis,
) -> Result<JobId, StoreError> {
    let id = sqlx::query_scalar(
        "insert into jobs (account, action, event_id, task_id, state, adopted, created_at, submitted_at,
                           next_poll_at)
         values (?1, ?2, ?3, ?4, 'polling', 1, ?5, ?5, ?6) returning id",
    )
    .bind(account.as_str())
    .bind(channel.action().as_str())
    .bind(event_id.map(EventId::as_str))
    .bind(task_id.as_str())
    .bind(now.0)
    .bind(next_poll_at.0)
    .fetch_one(connection)
    .await?;
    Ok(JobId(id))
}

/// Writes a job back, if its row still has the version that was read.
pub async fn save(connection: &mut SqliteConnection, job: &Job) -> Result<(), StoreError> {
    let next_poll_at = match &job.state {
        State::Polling { next_poll_at, .. } => Some(next_poll_at.0),
        _ => None,
    };
    let result = sqlx::query(
        "update jobs set task_id = ?3, state = ?4, state_reason = ?5, poll_count = ?6, next_poll_at = ?7,
                submitted_at = ?8, finished_at = ?9, contacts = ?10, due_at = ?11, failures = ?12, looks = ?13,
                no_effect_looks = ?14, evidence = ?15, doubt_since = ?16, parked_balance = ?17, price = ?18,
                cost = ?19, window_id = ?20, version = version + 1
         where id = ?1 and version = ?2",
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
    .execute(connection)
    .await?;
    exactly_one(&result, "the job")
}

/// The version of a job's row inside a transaction that has changed it.
pub async fn version(connection: &mut SqliteConnection, id: JobId) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("select version from jobs where id = ?1").bind(id.0).fetch_one(connection).await?)
}

/// The distinct contacts of a job that are still to be settled, in a stable order.
pub async fn contacts(readers: &SqlitePool, id: JobId) -> Result<Vec<PersonnelId>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "select personnel_id from items where job_id = ?1 and state = 'assigned' group by personnel_id order by min(id)",
    )
    .bind(id.0)
    .fetch_all(readers)
    .await?;
    Ok(ids.into_iter().map(PersonnelId::trusted).collect())
}

/// The contacts of a job whose profile was seen locked since `since`: no precheck need ask again.
pub async fn checked_contacts(
    readers: &SqlitePool,
    id: JobId,
    since: Millis,
) -> Result<Vec<PersonnelId>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "select distinct personnel_id from items where job_id = ?1 and state = 'assigned' and checked_at >= ?2",
    )
    .bind(id.0)
    .bind(since.0)
    .fetch_all(readers)
    .await?;
    Ok(ids.into_iter().map(PersonnelId::trusted).collect())
}

/// Whether exactly these contacts are in a job, inside the transaction that commits to send them.
pub async fn holds_exactly(
    connection: &mut SqliteConnection,
    id: JobId,
    contacts: &[PersonnelId],
) -> Result<bool, StoreError> {
    let (all, among): (i64, i64) = sqlx::query_as(
        "select count(*), coalesce(sum(personnel_id in (select value from json_each(?2))), 0)
         from (select distinct personnel_id from items where job_id = ?1 and state = 'assigned')",
    )
    .bind(id.0)
    .bind(super::items::json_ids(contacts))
    .fetch_one(connection)
    .await?;
    Ok(all == among && all == contacts.len() as i64)
}
