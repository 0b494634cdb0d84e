//! `unlockd explain`: why a request is not finished.
//!
//! Each thing that it waits for says since when, when it is tried next, and what would unblock it.
//! Everything is read from the database, so it is as true with the worker stopped as with it
//! running; whether one runs is said first.

use std::io::Write;

use serde::Serialize;

use super::show;
use super::waits::{self, Wait};
use super::{Context, Outcome, existing};
use crate::clock::Clock;
use crate::domain::Millis;
use crate::store::report::requests::{self, Request};
use crate::store::report::{OutcomeCount, Time};
use crate::store::{Store, StoreError, lease};

#[derive(clap::Args)]
#[command(after_help = "Example:\n  unlockd explain 12")]
pub(super) struct Args {
    /// The request's id
    #[arg(value_name = "ID")]
    id: i64,
    /// For programs: a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let config = context.load()?;
    let store = existing(&config).await?;
    let request = super::requests::find(&store, args.id).await?;
    let explained = of(&store, &request).await?;
    if args.json {
        return Ok(show::json(&explained)?);
    }
    let mut out = std::io::stdout().lock();
    if explained.finished {
        let at = show::cell(&request.finished_at);
        writeln!(out, "request {} is finished: {} at {at}", request.id, request.status)?;
        if let Some(reason) = &request.reason {
            writeln!(out, "  {}", show::plain(reason))?;
        }
        writeln!(out, "  {}", show::counts(&explained.outcomes))?;
        return Ok(());
    }
    let (open, all) = (request.pending, request.contacts);
    match request.taken_at {
        Some(_) => {
            writeln!(out, "request {} is {}: {open} of {all} contacts are open", args.id, request.status)?
        }
        None => writeln!(out, "request {} is {}", args.id, request.status)?,
    }
    writeln!(out, "{}", explained.lines())?;
    Ok(())
}

/// Why a request is not finished, or how it ended.
#[derive(Serialize)]
pub(super) struct Explanation {
    id: i64,
    status: String,
    reason: Option<String>,
    finished: bool,
    finished_at: Option<Time>,
    /// A worker has renewed its lease lately.
    worker_running: bool,
    worker_seen_at: Option<Time>,
    waits: Vec<Wait>,
    outcomes: Vec<OutcomeCount>,
}

impl Explanation {
    /// Whether nothing goes on before a person does something.
    pub(super) fn needs_person(&self) -> bool {
        !self.waits.is_empty() && self.waits.iter().all(|wait| wait.needs_person)
    }

    /// Everything, a few lines for each wait.
    pub(super) fn lines(&self) -> String {
        let mut lines = Vec::new();
        if !self.worker_running {
            let seen = self.worker_seen_at.map(|at| format!(" since {at}")).unwrap_or_default();
            lines
                .push(format!("  ! no worker is running{seen}: nothing goes on until one does: unlockd run"));
        }
        for wait in &self.waits {
            let since = wait.since.map(|at| format!(", since {at}")).unwrap_or_default();
            let next = wait.next_try_at.map(|at| format!("; next at {at}")).unwrap_or_default();
            lines.push(format!("  - {}{since}{next}", show::plain(&wait.what)));
            if let Some(unblock) = &wait.unblock {
                lines.push(format!("    to go on: {unblock}"));
            }
        }
        if self.waits.is_empty() && !self.finished {
            lines.push("  - nothing holds it up; it is about to move".to_owned());
        }
        lines.join("\n")
    }

    /// The first thing it waits for, in short.
    pub(super) fn line(&self) -> String {
        if !self.worker_running {
            return "no worker is running: unlockd run".to_owned();
        }
        self.waits.first().map(|wait| show::plain(&wait.what)).unwrap_or_default()
    }
}

/// Explains a request.
pub(super) async fn of(store: &Store, request: &Request) -> Result<Explanation, StoreError> {
    let now = Clock::real().now();
    let lease = lease::read(store).await?;
    let mut explained = Explanation {
        id: request.id,
        status: request.status.clone(),
        reason: request.reason.clone(),
        finished: request.is_finished(),
        finished_at: request.finished_at,
        worker_running: now.since(Millis(lease.renewed_at)) < lease::EXPIRES_AFTER_MS,
        worker_seen_at: Some(Time(lease.renewed_at)).filter(|at| at.0 > 0),
        waits: Vec::new(),
        outcomes: requests::outcomes(store, request.id).await?,
    };
    if explained.finished {
        return Ok(explained);
    }
    explained.waits = match request.status.as_str() {
        "new" => vec![Wait {
            reason: "not_taken".to_owned(),
            what: "the worker has not taken it from the inbox yet".to_owned(),
            since: request.created_at,
            unblock: Some("a running worker (unlockd run) with inbox.watch = true".to_owned()),
            ..Wait::default()
        }],
        "awaiting_approval" => vec![waits::approval(store, request).await?],
        _ => waits::accepted(store, request, now).await?,
    };
    Ok(explained)
}
