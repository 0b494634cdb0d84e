//! `jobs` and `job`: the remote tasks, and one of them in full: what was sent, what it cost.
//!
//! Neither shows a contact's id, email or phone: only `export` does.

use std::io::{self, Write};

use clap::builder::PossibleValuesParser;
use serde::Serialize;

use super::show::{self, Columns, cell, grouped};
use super::{Context, Failure, Outcome, existing};
use crate::clock::Clock;
use crate::domain::job;
use crate::store::Store;
use crate::store::report::jobs::{Attempt, Job, LedgerLine};
use crate::store::report::progress::Entry;
use crate::store::report::{OutcomeCount, jobs};

#[derive(clap::Args)]
#[command(after_help = "Example:\n  unlockd jobs --state in_doubt")]
pub(super) struct Listed {
    /// Only those in this state
    #[arg(long, value_name = "S", value_parser = PossibleValuesParser::new(job::State::NAMES))]
    state: Option<String>,
    /// At most this many, the newest
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// For programs: a JSON array
    #[arg(long)]
    json: bool,
}

pub(super) async fn list(context: Context, args: Listed) -> Outcome {
    let config = context.load_in_part()?;
    let rows = jobs::list(&existing(&config).await?, args.state.as_deref(), args.limit).await?;
    let empty = match args.state {
        Some(state) => format!("no job is in the state {state}"),
        None => "no jobs yet; the worker makes jobs from requests: unlockd requests".to_owned(),
    };
    Ok(show::listing(args.json, &rows, &COLUMNS, cells, &empty)?)
}

const COLUMNS: Columns<9> = Columns {
    names: ["job", "state", "reason", "action", "task", "contacts", "cost at most", "polls", "next at"],
    may_go: &["next at", "task", "polls", "action"],
};

fn cells(job: &Job) -> [String; 9] {
    [
        job.id.to_string(),
        job.state.clone(),
        cell(&job.state_reason),
        job.action.clone(),
        cell(&job.task_id),
        job.contacts.to_string(),
        cell(&job.cost),
        job.poll_count.to_string(),
        cell(&next(job)),
    ]
}

/// When it is polled or looked up next. A time that has passed would be no promise.
fn next(job: &Job) -> Option<String> {
    let at = job.next_poll_at.or(job.due_at.filter(|_| job.finished_at.is_none()))?;
    Some(if at.0 > Clock::real().now().0 { at.to_string() } else { "now".to_owned() })
}

/// The jobs of a request, as a table.
pub(super) fn table(out: &mut impl Write, jobs: &[Job]) -> io::Result<()> {
    show::table(out, &COLUMNS, jobs.iter().map(cells).collect(), "")
}

#[derive(clap::Args)]
#[command(after_help = "Example:\n  unlockd job 41")]
pub(super) struct One {
    /// The job's id
    #[arg(value_name = "ID")]
    id: i64,
    /// For programs: a JSON object
    #[arg(long)]
    json: bool,
}

/// A job in full.
#[derive(Serialize)]
pub(super) struct WholeJob {
    #[serde(flatten)]
    job: Job,
    requests: Vec<i64>,
    outcomes: Vec<OutcomeCount>,
    attempts: Vec<Attempt>,
    ledger: Vec<LedgerLine>,
    timeline: Vec<Entry>,
}

pub(super) async fn one(context: Context, args: One) -> Outcome {
    let config = context.load_in_part()?;
    let store = existing(&config).await?;
    let whole = whole(&store, args.id).await?;
    if args.json {
        return Ok(show::json(&whole)?);
    }
    Ok(write(&mut std::io::stdout().lock(), &whole)?)
}

/// The job in full; exit code 3 and a hint if it does not exist.
pub(super) async fn whole(store: &Store, id: i64) -> Result<WholeJob, Failure> {
    let Some(job) = jobs::read(store, id).await? else {
        return Err(missing(store, id).await?);
    };
    Ok(WholeJob {
        job,
        requests: jobs::requests(store, id).await?,
        outcomes: jobs::outcomes(store, id).await?,
        attempts: jobs::attempts(store, id).await?,
        ledger: jobs::ledger(store, id).await?,
        timeline: jobs::timeline(store, id).await?,
    })
}

/// Exit code 3 and a hint where to look.
pub(super) async fn missing(store: &Store, id: i64) -> Result<Failure, Failure> {
    Ok(Failure::missing(match jobs::newest_id(store).await? {
        Some(newest) => format!("there is no job {id}; the newest is {newest}; see: unlockd jobs"),
        None => format!("there is no job {id}, and no other yet; see: unlockd requests"),
    }))
}

/// Writes a job in full, for people.
pub(super) fn write(out: &mut impl Write, whole: &WholeJob) -> io::Result<()> {
    let job = &whole.job;
    let reason = job.state_reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    writeln!(out, "job {}: {}{reason}", job.id, job.state)?;
    let requests: Vec<String> = whole.requests.iter().map(i64::to_string).collect();
    show::facts(
        out,
        &[
            ("account", Some(job.account.clone())),
            ("action", Some(job.action.clone())),
            ("event_id", job.event_id.clone()),
            ("task_id", job.task_id.clone()),
            ("adopted", job.adopted.then(|| "yes: another program created the task".to_owned())),
            ("requests", Some(requests.join(", "))),
            ("contacts", Some(show::counts(&whole.outcomes))),
            ("cost", job.cost.map(|credits| format!("{} credits at most", grouped(credits)))),
            ("in doubt since", job.doubt_since.map(|at| at.to_string())),
            (
                "evidence",
                job.evidence
                    .clone()
                    .map(|evidence| format!("{evidence} ({})", show::plural(job.looks, "look"))),
            ),
            ("polls", Some(job.poll_count.to_string())),
            (if job.next_poll_at.is_some() { "next poll" } else { "next check" }, next(job)),
            ("created", Some(job.created_at.to_string())),
            ("submitted", job.submitted_at.map(|at| at.to_string())),
            ("finished", job.finished_at.map(|at| at.to_string())),
        ],
    )?;
    if job.is_decidable() {
        let id = job.id;
        let cost = job.cost.unwrap_or_default();
        writeln!(
            out,
            "  to decide: unlockd resolve {id} --resubmit --credits {cost}, or unlockd resolve {id} --write-off"
        )?;
    }
    attempt_table(out, &whole.attempts)?;
    let ledger =
        whole.ledger.iter().map(|line| [line.at.to_string(), line.entry.clone(), line.credits.to_string()]);
    show::table(out, &LEDGER, ledger.collect(), "  no ledger lines")?;
    show::timeline(out, &whole.timeline)
}

const LEDGER: Columns<3> = Columns { names: ["at", "entry", "credits"], may_go: &[] };

const ATTEMPTS: Columns<9> = Columns {
    names: [
        "sent at",
        "result",
        "status",
        "error",
        "contacts",
        "cost at most",
        "balance before",
        "request id",
        "trace id",
    ],
    may_go: &["request id", "trace id", "balance before", "contacts"],
};

fn attempt_table(out: &mut impl Write, attempts: &[Attempt]) -> io::Result<()> {
    let rows = attempts
        .iter()
        .map(|attempt| {
            [
                attempt.started_at.to_string(),
                attempt.result.clone().unwrap_or_else(|| "no answer yet".to_owned()),
                cell(&attempt.status),
                cell(&attempt.error_key),
                attempt.contacts.to_string(),
                attempt.cost.to_string(),
                cell(&attempt.balance_before),
                attempt.request_id.clone(),
                cell(&attempt.trace_id),
            ]
        })
        .collect();
    show::table(out, &ATTEMPTS, rows, "  never submitted, so nothing was paid for it here")
}
