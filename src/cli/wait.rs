//! `enqueue --wait`: the progress of one request until it is finished.
//!
//! It only watches; the worker does its work either way.

use std::io::{self, Write};
use std::time::Duration;

use super::bars::{Bars, Progress};
use super::{Failure, Outcome, account, explain, show};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::job::WaitReason;
use crate::store::report::jobs::Job;
use crate::store::report::requests::{self, Request};
use crate::store::report::{self, direct, jobs};
use crate::store::{Store, StoreError};
use crate::worker;
use crate::worker::people::explain::Explanation;
use crate::worker::people::needs;
use crate::worker::people::wait::Wait;

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// It reports that a person is needed only after this many checks in a row: a job may be held briefly
/// while a balance is read.
const LOOKS_TO_CALL: u32 = 8;

/// How many times to look for the settlement after the request has ended.
const LOOKS_FOR_AUDIT: u32 = 12;

pub(super) async fn until_finished(store: &Store, config: &Config, id: i64, json: bool) -> Outcome {
    let stop = super::stop::stop_signals()?;
    tokio::pin!(stop);
    let mut bars = Bars::new();
    let mut calls = 0;
    let ended = loop {
        let request = requests::read(store, id)
            .await?
            .ok_or_else(|| {
                anyhow::anyhow!(
                    "request {id} is not in the inbox any more, so it cannot be followed; what was bought for it is in \
                     the database: unlockd requests"
                )
            })?;
        if request.is_finished() {
            break Ok(request);
        }
        let explained = worker::people::explain::of(store, config, &request, Clock::real().now()).await?;
        show_progress(&mut bars, store, &request, &explain::line(&explained)).await?;
        calls = if explained.needs_person() { calls + 1 } else { 0 };
        if calls >= LOOKS_TO_CALL || request.status == "awaiting_approval" {
            break Err(explained);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = &mut stop => {
                bars.clear();
                return Err(left(&request, explained.worker_running));
            }
        }
    };
    bars.clear();
    match ended {
        Ok(request) => finished(store, &request, json).await,
        Err(explained) => {
            if json {
                show::json(&explained)?;
            }
            let waits = what_for(&explained, config);
            Err(Failure::refused(format!("request {id} waits for {waits}:\n{}", explain::lines(&explained))))
        }
    }
}

/// A limit of ours ends with its day or month, by itself.
fn what_for(explained: &Explanation, config: &Config) -> String {
    let is_limit = |wait: &Wait| wait.reason == WaitReason::Budget.as_str();
    match !explained.waits.is_empty() && explained.waits.iter().all(is_limit) {
        true => format!("another {}", needs::limits(config).period()),
        false => "a person".to_owned(),
    }
}

/// One line for the request, and one bar for each batch that is under way.
async fn show_progress(
    bars: &mut Bars,
    store: &Store,
    request: &Request,
    waits: &str,
) -> Result<(), StoreError> {
    let what = if request.is_direct() { "answered" } else { "delivered" };
    let mut line = format!("{} {what}", request.delivered);
    if request.committed_credits > 0 {
        line += &format!(", up to {} credits spent or held", show::grouped(request.committed_credits));
    }
    if !waits.is_empty() {
        line += &format!("; {waits}");
    }
    let (name, settled) = (format!("request {}", request.id), request.contacts - request.pending);
    let whole = Progress { name, settled, of: request.contacts, line };
    let batches: Vec<Progress> =
        jobs::open_of_request(store, request.id).await?.iter().map(Progress::of_job).collect();
    bars.show(&whole, &batches);
    Ok(())
}

/// The message when the user stops watching: the credits first.
fn left(request: &Request, worker_running: bool) -> Failure {
    let (id, credits) = (request.id, request.committed_credits);
    let spent = match (credits, request.taken_at) {
        (0, _) => "nothing was submitted for it yet, so nothing is spent".to_owned(),
        (credits, _) => {
            format!("up to {} credits were spent or are held for what was submitted", show::grouped(credits))
        }
    };
    let goes_on = match worker_running {
        true => "the daemon continues with it",
        false => "it continues when a worker runs (unlockd run)",
    };
    anyhow::anyhow!(
        "stopped watching request {id}: {spent}; {goes_on}. To see it: unlockd request {id}; to cancel the contacts not sent yet: \
         unlockd cancel {id}"
    )
    .into()
}

/// The settlements that cover its jobs. A settlement is made shortly after the last job has ended, or later
/// if other jobs are still running.
async fn reconciliation(out: &mut impl Write, store: &Store, request: &Request) -> Result<(), Failure> {
    let jobs: Vec<Job> = jobs::of_request(store, request.id).await?;
    let ids: Vec<i64> = jobs.iter().map(|job| job.id).collect();
    let mut audits = report::audits_of(store, &ids).await?;
    for _ in 0..LOOKS_FOR_AUDIT {
        if !audits.is_empty() || ids.is_empty() {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        audits = report::audits_of(store, &ids).await?;
    }
    if !audits.is_empty() {
        show::table(out, &account::AUDIT, audits.iter().map(account::audit_cells).collect(), "")?;
    } else if jobs.iter().any(|job| job.cost.is_some()) {
        writeln!(out, "the balance is compared when no job of the account is running: unlockd audit")?;
    }
    Ok(())
}

async fn finished(store: &Store, request: &Request, json: bool) -> Outcome {
    if json {
        show::json(request)?;
    } else {
        let counts = match direct::read(store, request.id).await? {
            Some(result) => result.outcome.replace('_', " "),
            None => show::counts(&requests::outcomes(store, request.id).await?),
        };
        let mut out = io::stdout().lock();
        writeln!(out, "request {}: {}: {counts}", request.id, request.status)?;
        reconciliation(&mut out, store, request).await?;
    }
    match (request.status.as_str(), &request.reason) {
        ("done", None) => Ok(()),
        // All of it was rejected.
        ("done", Some(reason)) => {
            Err(anyhow::anyhow!("request {} delivered nothing: {}", request.id, show::plain(reason)).into())
        }
        (status, None) => {
            let message = format!("request {} is {status}; nothing more is bought for it", request.id);
            Err(anyhow::Error::msg(message).into())
        }
        (status, Some(reason)) => {
            Err(anyhow::anyhow!("request {} is {status}: {}", request.id, show::plain(reason)).into())
        }
    }
}
