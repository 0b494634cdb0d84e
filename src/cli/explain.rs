//! `unlockd explain`: why a request is not finished.
//!
//! For each thing that the request waits for, it prints since when, when it is tried next, and what would
//! unblock it. It reads the database only, so it also works while the worker is stopped; the first line
//! says whether a worker runs.

use std::io::{self, Write};

use super::show;
use super::{Context, Outcome, existing};
use crate::clock::Clock;
use crate::store::report::Time;
use crate::store::report::direct;
use crate::store::report::requests::Request;
use crate::worker::people::explain::{self, Explanation, OwnerServed};

#[derive(clap::Args)]
#[command(after_help = "Example:\n  unlockd explain 12")]
pub(super) struct Args {
    /// The request's id
    #[arg(value_name = "ID", allow_negative_numbers = true)]
    id: i64,
    /// For programs: a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let config = context.load_in_part()?;
    let store = existing(&config).await?;
    let request = super::requests::find(&store, args.id).await?;
    let explained = explain::of(&store, &config, &request, Clock::real().now()).await?;
    if args.json {
        return Ok(show::json(&explained)?);
    }
    let result = match explained.finished && request.is_direct() {
        true => direct::read(&store, args.id).await?.map(|result| result.outcome),
        false => None,
    };
    Ok(write(&mut std::io::stdout().lock(), &request, &explained, result.as_deref())?)
}

/// Writes it for people. `result`: the outcome of an event's unlock or a search.
pub(super) fn write(
    out: &mut impl Write,
    request: &Request,
    explained: &Explanation,
    result: Option<&str>,
) -> io::Result<()> {
    let (id, status) = (request.id, &request.status);
    if explained.finished {
        writeln!(out, "request {id} is finished: {status} at {}", show::cell(&request.finished_at))?;
        if let Some(reason) = &request.reason {
            writeln!(out, "  {}", show::plain(reason))?;
        }
        if status == "rejected" {
            writeln!(
                out,
                "  a corrected request may have the same dedupe key, if it had one: a rejected one has freed it"
            )?;
        }
        return match request.is_direct() {
            true => match (result, request.committed_credits) {
                (Some("cancelled"), spent @ 1..) => {
                    writeln!(
                        out,
                        "  given up: no result, and up to {spent} credits may be spent; unlockd request {id}"
                    )
                }
                (Some(result), _) => {
                    writeln!(out, "  result: {}; unlockd request {id}", result.replace('_', " "))
                }
                (None, _) => writeln!(out, "  result: unlockd request {id}"),
            },
            false => writeln!(out, "  {}", show::counts(&explained.outcomes)),
        };
    }
    let (open, all) = (request.pending, request.contacts);
    let what = if request.is_direct() { "paid calls" } else { "contacts" };
    match request.taken_at {
        Some(_) => writeln!(out, "request {id} is {status}: {open} of {all} {what} are open")?,
        None => writeln!(out, "request {id} is {status}")?,
    }
    writeln!(out, "{}", lines(explained))
}

/// The whole explanation, a few lines for each wait.
pub(super) fn lines(explained: &Explanation) -> String {
    let mut lines: Vec<String> =
        explained.no_worker().map(|said| format!("  ! {said}")).into_iter().collect();
    match &explained.owner {
        Some(owner) if owner.silent_since.is_some() => {
            lines.extend(owner.silence().map(|silence| format!("  ! {}", show::plain(&silence))));
        }
        Some(OwnerServed { owner, host: Some(host), pid, since, .. }) => {
            let pid = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            let since = since.map(|at| format!(", since {at}")).unwrap_or_default();
            lines.push(format!("  served by the worker on {host}{pid}{since}: owner {}", show::plain(owner)));
        }
        Some(OwnerServed { owner, host: None, .. }) if explained.worker_running => lines.push(format!(
            "  ! no worker serves owner {}: another takes it once its lease has run out, if it has the key",
            show::plain(owner)
        )),
        _ => {}
    }
    // What a worker that does not answer was about to do then, it did not do.
    let is_silent = explained.is_silent();
    let next = |at: Time| match (is_silent, at.0 <= explained.now.0) {
        (true, _) => format!("; was due at {at}"),
        (false, true) => "; due now".to_owned(),
        (false, false) => format!("; next at {at}"),
    };
    for wait in &explained.waits {
        let since = wait.since.map(|at| format!(", since {at}")).unwrap_or_default();
        let next = wait.next_try_at.map(next).unwrap_or_default();
        let end = wait.gives_up_at.map(|at| format!("; given up at {at}")).unwrap_or_default();
        lines.push(format!("  - {}{since}{next}{end}", show::plain(&wait.what)));
        if let Some(unblock) = &wait.unblock {
            lines.push(format!("    to unblock: {unblock}"));
        }
    }
    if explained.waits.is_empty() && !explained.finished {
        lines.push("  - ready; starts in a moment".to_owned());
    }
    lines.join("\n")
}

/// The first thing it waits for, in short.
pub(super) fn line(explained: &Explanation) -> String {
    if !explained.worker_running && !explained.hides_workers {
        return explain::no_worker_in_short(explained.worker_held).to_owned();
    }
    explained.waits.first().map(|wait| show::plain(&wait.what)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Millis;
    use crate::worker::people::wait::Wait;

    #[test]
    fn a_wait_says_since_when_when_next_and_until_when() {
        let wait = Wait {
            what: "it waits".to_owned(),
            since: Some(Time(0)),
            next_try_at: Some(Time(1_000)),
            gives_up_at: Some(Time(2_000)),
            ..Wait::default()
        };
        let mut explained = Explanation {
            id: 1,
            status: "accepted".to_owned(),
            reason: None,
            finished: false,
            finished_at: None,
            worker_running: true,
            worker_seen_at: None,
            hides_workers: false,
            now: Millis(500),
            worker_held: true,
            owner: None,
            waits: vec![wait],
            outcomes: Vec::new(),
        };
        let said = "  - it waits, since 1970-01-01T00:00:00.000Z; next at 1970-01-01T00:00:01.000Z; \
                    given up at 1970-01-01T00:00:02.000Z";
        assert_eq!(lines(&explained), said);
        explained.now = Millis(1_000);
        assert!(lines(&explained).contains("Z; due now; given up at"), "{}", lines(&explained));
        explained.owner = Some(OwnerServed {
            owner: "crm".to_owned(),
            host: Some("worker-2".to_owned()),
            pid: Some(7),
            since: None,
            silent_since: Some(Time(5_000)),
            lease_ends_at: Some(Time(65_000)),
        });
        let said = lines(&explained);
        let silent = "! the worker on worker-2 (process 7) does not answer since 1970-01-01T00:00:05.000Z; another may \
                      take owner crm when its lease ends, at 1970-01-01T00:01:05.000Z";
        assert!(said.contains(silent) && said.contains("; was due at 1970-01-01T00:00:01.000Z"), "{said}");
        assert!(!said.contains("served by"), "{said}");
    }
}
