//! `requests` and `request`: what was asked for, and one of them in full.
//!
//! Neither shows a contact's id, email or phone: only `export` does.

use std::io::{self, Write};

use clap::builder::PossibleValuesParser;
use serde::Serialize;

use super::show::{self, Columns, cell, grouped};
use super::{Context, Failure, Outcome, existing};
use crate::domain::outcome::Kind;
use crate::domain::request_state::State;
use crate::store::Store;
use crate::store::report::direct::ActionResult;
use crate::store::report::jobs::Job;
use crate::store::report::progress::{self, Entry};
use crate::store::report::requests::{Filter, Request};
use crate::store::report::{OutcomeCount, direct, jobs, requests};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  unlockd requests --status awaiting_approval\n  unlockd requests --reference crm-export-17"
)]
pub(super) struct Listed {
    /// Only those with this status
    #[arg(long, value_name = "S", value_parser = PossibleValuesParser::new(State::NAMES))]
    status: Option<String>,
    /// Only those with exactly this reference
    #[arg(long, value_name = "R")]
    reference: Option<String>,
    /// At most this many, the newest
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// For programs: a JSON array
    #[arg(long)]
    json: bool,
}

pub(super) async fn list(context: Context, args: Listed) -> Outcome {
    let config = context.load_in_part()?;
    let store = existing(&config).await?;
    let filter = Filter { status: args.status.as_deref(), reference: args.reference.as_deref() };
    let rows = requests::list(&store, filter, args.limit).await?;
    let empty = match args.status {
        _ if args.reference.is_some() => "no request has this reference, or not this status".to_owned(),
        Some(status) => format!("no request has the status {status}"),
        None => "no requests yet; enqueue one: unlockd enqueue --event 139574 789 790".to_owned(),
    };
    Ok(show::listing(args.json, &rows, &COLUMNS, cells, &empty)?)
}

const COLUMNS: Columns<9> = Columns {
    names: [
        "id",
        "status",
        "action",
        "reference",
        "contacts",
        "delivered",
        "pending",
        "quoted",
        "created at",
    ],
    may_go: &["created at", "action", "quoted", "reference"],
};

fn cells(request: &Request) -> [String; 9] {
    [
        request.id.to_string(),
        request.status.clone(),
        request.action.clone(),
        cell(&request.reference),
        request.contacts.to_string(),
        request.delivered.to_string(),
        request.pending.to_string(),
        cell(&request.quoted_credits),
        cell(&request.created_at),
    ]
}

#[derive(clap::Args)]
#[command(after_help = "Example:\n  unlockd request 12")]
pub(super) struct One {
    /// The request's id
    #[arg(value_name = "ID", allow_negative_numbers = true)]
    id: i64,
    /// For programs: a JSON object
    #[arg(long)]
    json: bool,
}

/// A request in full.
#[derive(Serialize)]
pub(super) struct WholeRequest {
    #[serde(flatten)]
    pub(super) request: Request,
    outcomes: Vec<OutcomeCount>,
    /// The result of an event unlock or a search.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<ActionResult>,
    jobs: Vec<Job>,
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

/// The request in full; exit code 3 and a hint if it does not exist.
pub(super) async fn whole(store: &Store, id: i64) -> Result<WholeRequest, Failure> {
    Ok(WholeRequest {
        request: find(store, id).await?,
        outcomes: requests::outcomes(store, id).await?,
        result: direct::read(store, id).await?,
        jobs: jobs::of_request(store, id).await?,
        timeline: progress::timeline(store, id).await?,
    })
}

/// The request; exit code 3 and a hint if it does not exist.
pub(super) async fn find(store: &Store, id: i64) -> Result<Request, Failure> {
    if let Some(request) = requests::read(store, id).await? {
        return Ok(request);
    }
    Err(Failure::missing(match requests::newest_id(store).await? {
        Some(newest) => format!("there is no request {id}; the newest is {newest}; see: unlockd requests"),
        None => format!("there is no request {id}, and no other yet; enqueue one: unlockd enqueue 789 790"),
    }))
}

/// No request has the reference.
pub(super) fn no_reference(reference: &str) -> Failure {
    let reference = show::plain(reference);
    Failure::missing(format!("there is no request with the reference {reference}; see: unlockd requests"))
}

/// The result of a direct action in a few lines; `export` has all of it.
fn show_result(out: &mut impl Write, result: &ActionResult) -> io::Result<()> {
    let value: serde_json::Value =
        result.result.as_ref().and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let found = value.as_array().map(|items| {
        format!("{} results: unlockd export --format jsonl --request {}", items.len(), result.request_id)
    });
    let text = |name: &str| value.get(name).filter(|value| !value.is_null()).map(ToString::to_string);
    show::facts(
        out,
        &[
            ("outcome", Some(result.outcome.clone())),
            ("credits used", result.credits_used.map(|credits| credits.to_string())),
            ("found", found),
            ("event", text("event")),
            ("access mode", text("accessMode")),
            ("counts", text("counts")),
            ("balance after", text("balanceAfter")),
        ],
    )
}

/// What it has cost: known once it is finished; at most, if the outcome of a contact is not known.
fn cost(request: &Request, outcomes: &[OutcomeCount]) -> (&'static str, Option<String>) {
    const UNKNOWN: [Kind; 3] = [Kind::Unresolved, Kind::Lost, Kind::Expired];
    let credits = grouped(request.committed_credits);
    let is_open = outcomes.iter().any(|count| UNKNOWN.iter().any(|kind| kind.as_str() == count.outcome));
    match (request.is_finished(), is_open) {
        (true, false) => ("cost", Some(format!("{credits} credits"))),
        (true, true) => ("cost", Some(format!("{credits} credits at most"))),
        (false, _) => ("may have cost", Some(format!("{credits} credits so far"))),
    }
}

const OUTCOMES: Columns<3> = Columns { names: ["outcome", "source", "contacts"], may_go: &[] };

/// Writes a request in full, for people.
pub(super) fn write(out: &mut impl Write, whole: &WholeRequest) -> io::Result<()> {
    let request = &whole.request;
    writeln!(out, "request {}: {}", request.id, request.status)?;
    show::facts(
        out,
        &[
            ("reason", request.reason.clone()),
            ("account", Some(request.account.clone())),
            ("action", Some(request.action.clone())),
            ("event_id", request.event_id.clone()),
            ("task_id", request.task_id.clone()),
            ("query", request.query.clone()),
            ("reference", request.reference.clone()),
            ("caller", request.caller.clone()),
            ("agent", request.agent.clone()),
            ("what for", request.purpose.clone()),
            ("quoted", request.quoted_credits.map(|credits| format!("{} credits at most", grouped(credits)))),
            ("approved", request.approved_credits.map(|credits| format!("{} credits", grouped(credits)))),
            cost(request, &whole.outcomes),
            ("max_credits", request.max_credits.map(grouped)),
            ("created", request.created_at.map(|at| at.to_string())),
            ("taken", request.taken_at.map(|at| at.to_string())),
            ("finished", request.finished_at.map(|at| at.to_string())),
        ],
    )?;
    if request.taken_at.is_none() && !request.is_finished() {
        writeln!(out, "  no worker has taken it yet: unlockd explain {}", request.id)?;
        return Ok(());
    }
    if let Some(result) = &whole.result {
        show_result(out, result)?;
        if !whole.jobs.is_empty() {
            super::jobs::table(out, &whole.jobs)?;
        }
        return show::timeline(out, &whole.timeline);
    }
    let outcomes = whole
        .outcomes
        .iter()
        .map(|count| [count.outcome.clone(), cell(&count.source), count.contacts.to_string()])
        .collect();
    show::table(out, &OUTCOMES, outcomes, "  no contacts are known yet")?;
    if !whole.jobs.is_empty() {
        super::jobs::table(out, &whole.jobs)?;
    }
    show::timeline(out, &whole.timeline)
}
