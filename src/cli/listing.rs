//! `requests`, `request`, `jobs` and `job`: what there is, and one of them in full.
//!
//! None of them shows a contact's id, email or phone: those leave by `export` only.

use std::io::Write;

use clap::builder::PossibleValuesParser;
use serde::Serialize;

use super::show::{self, cell, plural};
use super::{Context, Failure, Outcome, existing, if_there};
use crate::store::Store;
use crate::store::report::jobs::{Attempt, Job, LedgerLine};
use crate::store::report::requests::{Entry, Request};
use crate::store::report::{OutcomeCount, jobs, requests};

const STATUSES: [&str; 6] = ["new", "awaiting_approval", "accepted", "done", "rejected", "cancelled"];
const STATES: [&str; 10] = [
    "queued",
    "submitting",
    "in_doubt",
    "polling",
    "completed",
    "failed",
    "lost",
    "expired",
    "rejected",
    "cancelled",
];

#[derive(clap::Args)]
#[command(after_help = "Example:\n  unlockd requests --status awaiting_approval")]
pub(super) struct Requests {
    /// Only those with this status
    #[arg(long, value_name = "S", value_parser = PossibleValuesParser::new(STATUSES))]
    status: Option<String>,
    /// At most this many, the newest
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// For programs: a JSON array
    #[arg(long)]
    json: bool,
}

pub(super) async fn requests(context: Context, args: Requests) -> Outcome {
    let config = context.load()?;
    let rows = match if_there(&config).await? {
        Some(store) => requests::list(&store, args.status.as_deref(), args.limit).await?,
        None => Vec::new(),
    };
    if args.json {
        return Ok(show::json(&rows)?);
    }
    let empty = match args.status {
        Some(status) => format!("no request has the status {status}"),
        None => "no requests yet; enqueue one: unlockd enqueue --event 139574 789 790".to_owned(),
    };
    let rows = rows
        .into_iter()
        .map(|row| {
            [
                row.id.to_string(),
                row.status,
                row.action,
                cell(&row.reference),
                if row.taken_at.is_some() { row.contacts.to_string() } else { String::new() },
                row.delivered.to_string(),
                row.pending.to_string(),
                cell(&row.quoted_credits),
                cell(&row.created_at),
            ]
        })
        .collect();
    let header =
        ["id", "status", "action", "reference", "contacts", "delivered", "pending", "quoted", "created at"];
    Ok(show::table(&mut std::io::stdout().lock(), header, rows, &empty)?)
}

#[derive(clap::Args)]
#[command(after_help = "Example:\n  unlockd request 12")]
pub(super) struct OneRequest {
    /// The request's id
    #[arg(value_name = "ID")]
    id: i64,
    /// For programs: a JSON object
    #[arg(long)]
    json: bool,
}

/// A request in full.
#[derive(Serialize)]
struct WholeRequest {
    #[serde(flatten)]
    request: Request,
    outcomes: Vec<OutcomeCount>,
    jobs: Vec<Job>,
    timeline: Vec<Entry>,
}

pub(super) async fn request(context: Context, args: OneRequest) -> Outcome {
    let config = context.load()?;
    let store = existing(&config).await?;
    let request = find(&store, args.id).await?;
    let whole = WholeRequest {
        request,
        outcomes: requests::outcomes(&store, args.id).await?,
        jobs: jobs::of_request(&store, args.id).await?,
        timeline: requests::timeline(&store, args.id).await?,
    };
    if args.json {
        return Ok(show::json(&whole)?);
    }
    show_request(&whole)
}

/// The request, or exit code 3 with what there is instead.
pub(super) async fn find(store: &Store, id: i64) -> Result<Request, Failure> {
    if let Some(request) = requests::read(store, id).await? {
        return Ok(request);
    }
    Err(Failure::missing(match requests::newest_id(store).await? {
        Some(newest) => format!("there is no request {id}; the newest is {newest}; see: unlockd requests"),
        None => format!("there is no request {id}, and no other yet; enqueue one: unlockd enqueue 789 790"),
    }))
}

fn show_request(whole: &WholeRequest) -> Outcome {
    let mut out = std::io::stdout().lock();
    let request = &whole.request;
    writeln!(out, "request {}: {}", request.id, request.status)?;
    show::facts(
        &mut out,
        &[
            ("reason", request.reason.clone()),
            ("account", Some(request.account.clone())),
            ("action", Some(request.action.clone())),
            ("event_id", request.event_id.clone()),
            ("task_id", request.task_id.clone()),
            ("query", request.query.clone()),
            ("reference", request.reference.clone()),
            ("quoted", request.quoted_credits.map(|credits| format!("{credits} credits at most"))),
            ("approved", request.approved_credits.map(|credits| format!("{credits} credits"))),
            ("may have cost", Some(format!("{} credits so far", request.committed_credits))),
            ("max_credits", request.max_credits.map(|credits| credits.to_string())),
            ("created", request.created_at.map(|at| at.to_string())),
            ("taken", request.taken_at.map(|at| at.to_string())),
            ("finished", request.finished_at.map(|at| at.to_string())),
        ],
    )?;
    if request.taken_at.is_none() && !request.is_finished() {
        writeln!(out, "  no worker has taken it yet: unlockd explain {}", request.id)?;
        return Ok(());
    }
    let outcomes = whole
        .outcomes
        .iter()
        .map(|count| [count.outcome.clone(), cell(&count.source), count.contacts.to_string()])
        .collect();
    show::table(&mut out, ["outcome", "source", "contacts"], outcomes, "  no contacts are known yet")?;
    if !whole.jobs.is_empty() {
        job_table(&mut out, &whole.jobs, "")?;
    }
    show::timeline(&mut out, &whole.timeline)?;
    Ok(())
}

#[derive(clap::Args)]
#[command(after_help = "Example:\n  unlockd jobs --state in_doubt")]
pub(super) struct Jobs {
    /// Only those in this state
    #[arg(long, value_name = "S", value_parser = PossibleValuesParser::new(STATES))]
    state: Option<String>,
    /// At most this many, the newest
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// For programs: a JSON array
    #[arg(long)]
    json: bool,
}

pub(super) async fn jobs(context: Context, args: Jobs) -> Outcome {
    let config = context.load()?;
    let rows = match if_there(&config).await? {
        Some(store) => jobs::list(&store, args.state.as_deref(), args.limit).await?,
        None => Vec::new(),
    };
    if args.json {
        return Ok(show::json(&rows)?);
    }
    let empty = match args.state {
        Some(state) => format!("no job is in the state {state}"),
        None => "no jobs yet; the worker makes them of requests: unlockd requests".to_owned(),
    };
    job_table(&mut std::io::stdout().lock(), &rows, &empty)
}

fn job_table(out: &mut impl Write, jobs: &[Job], empty: &str) -> Outcome {
    let rows = jobs
        .iter()
        .map(|job| {
            [
                job.id.to_string(),
                job.state.clone(),
                cell(&job.state_reason),
                job.action.clone(),
                cell(&job.task_id),
                job.contacts.to_string(),
                cell(&job.cost),
                job.poll_count.to_string(),
                cell(&job.next_poll_at.or(job.due_at.filter(|_| job.finished_at.is_none()))),
            ]
        })
        .collect();
    let header = ["job", "state", "reason", "action", "task", "contacts", "cost at most", "polls", "next at"];
    Ok(show::table(out, header, rows, empty)?)
}

#[derive(clap::Args)]
#[command(after_help = "Example:\n  unlockd job 41")]
pub(super) struct OneJob {
    /// The job's id
    #[arg(value_name = "ID")]
    id: i64,
    /// For programs: a JSON object
    #[arg(long)]
    json: bool,
}

/// A job in full.
#[derive(Serialize)]
struct WholeJob {
    #[serde(flatten)]
    job: Job,
    requests: Vec<i64>,
    outcomes: Vec<OutcomeCount>,
    attempts: Vec<Attempt>,
    ledger: Vec<LedgerLine>,
    timeline: Vec<Entry>,
}

pub(super) async fn job(context: Context, args: OneJob) -> Outcome {
    let config = context.load()?;
    let store = existing(&config).await?;
    let Some(job) = jobs::read(&store, args.id).await? else {
        return Err(no_job(&store, args.id).await?);
    };
    let whole = WholeJob {
        job,
        requests: jobs::requests(&store, args.id).await?,
        outcomes: jobs::outcomes(&store, args.id).await?,
        attempts: jobs::attempts(&store, args.id).await?,
        ledger: jobs::ledger(&store, args.id).await?,
        timeline: jobs::timeline(&store, args.id).await?,
    };
    if args.json {
        return Ok(show::json(&whole)?);
    }
    show_job(&whole)
}

/// Exit code 3, with what there is instead.
pub(super) async fn no_job(store: &Store, id: i64) -> Result<Failure, Failure> {
    Ok(Failure::missing(match jobs::newest_id(store).await? {
        Some(newest) => format!("there is no job {id}; the newest is {newest}; see: unlockd jobs"),
        None => format!("there is no job {id}, and no other yet; see: unlockd requests"),
    }))
}

fn show_job(whole: &WholeJob) -> Outcome {
    let mut out = std::io::stdout().lock();
    let job = &whole.job;
    let reason = job.state_reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    writeln!(out, "job {}: {}{reason}", job.id, job.state)?;
    let requests: Vec<String> = whole.requests.iter().map(i64::to_string).collect();
    show::facts(
        &mut out,
        &[
            ("account", Some(job.account.clone())),
            ("action", Some(job.action.clone())),
            ("event_id", job.event_id.clone()),
            ("task_id", job.task_id.clone()),
            ("adopted", job.adopted.then(|| "yes: something else created the task".to_owned())),
            ("requests", Some(requests.join(", "))),
            ("contacts", Some(show::counts(&whole.outcomes))),
            ("cost", job.cost.map(|credits| format!("{credits} credits at most"))),
            ("in doubt since", job.doubt_since.map(|at| at.to_string())),
            ("evidence", job.evidence.clone().map(|evidence| format!("{evidence} ({} looks)", job.looks))),
            ("polls", Some(job.poll_count.to_string())),
            ("next poll", job.next_poll_at.map(|at| at.to_string())),
            ("created", Some(job.created_at.to_string())),
            ("submitted", job.submitted_at.map(|at| at.to_string())),
            ("finished", job.finished_at.map(|at| at.to_string())),
        ],
    )?;
    if job.state == "in_doubt" && job.state_reason.as_deref() != Some("carried_out") {
        let id = job.id;
        writeln!(out, "  to decide: unlockd resolve {id} --resubmit, or unlockd resolve {id} --write-off")?;
    }
    let attempts = whole
        .attempts
        .iter()
        .map(|attempt| {
            [
                attempt.started_at.to_string(),
                attempt.result.clone().unwrap_or_else(|| "no answer yet".to_owned()),
                cell(&attempt.status),
                cell(&attempt.error_key),
                plural(attempt.contacts, "contact"),
                attempt.cost.to_string(),
                cell(&attempt.balance_before),
                attempt.request_id.clone(),
                cell(&attempt.trace_id),
            ]
        })
        .collect();
    let header = [
        "sent at",
        "result",
        "status",
        "error",
        "contacts",
        "cost at most",
        "balance before",
        "request id",
        "trace id",
    ];
    show::table(&mut out, header, attempts, "  never submitted: nothing of it was paid for here")?;
    let ledger =
        whole.ledger.iter().map(|line| [line.at.to_string(), line.entry.clone(), line.credits.to_string()]);
    show::table(&mut out, ["at", "entry", "credits"], ledger.collect(), "  no ledger lines")?;
    show::timeline(&mut out, &whole.timeline)?;
    Ok(())
}
