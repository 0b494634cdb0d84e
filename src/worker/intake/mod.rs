//! Inbox rows → requests with items.
//!
//! Rows are taken in chunks and written with statements that work on sets. An invalid row is rejected with a
//! reason and never stops the rows behind it. Taking is idempotent: the request has the row's id, so a row
//! that was taken but not marked so is recognised. `chunk` reads rows, [`crate::worker::intake::quote`] decides about
//! one, [`crate::worker::intake::taken`] builds its request, and `record` writes it.

pub(in crate::worker) mod availability;
mod chunk;
pub mod overrides;
pub mod quote;
mod record;
pub(in crate::worker) mod requote;
pub mod taken;

use std::collections::HashSet;

use crate::domain::request::{self, Rejection};
use crate::domain::{Millis, pacing};
use crate::store::inbox;
use crate::store::inbox::fault::Part;
use crate::store::inbox::overrides::Written;
use crate::store::{StoreError, requests};
use crate::worker::intake::chunk::{ROWS_AT_ONCE, decide_all, decide_new, served_somewhere};
use crate::worker::intake::record::{Decided, record};
use crate::worker::intake::taken::{Taken, cancelled, digest, raw, rejected};
use crate::worker::run::heartbeat;
use crate::worker::{Deps, Report};

/// Chunks in one run: the passes hear of them at its end.
const CHUNKS_AT_ONCE: u32 = 6;
/// Rows that are brought up to date in one run.
const SHOWN_AT_ONCE: u32 = 4 * ROWS_AT_ONCE;
/// A chunk of fewer rows, none of them large, is the last one.
const MANY_ROWS: usize = 8;
/// Rows that are taken again in one transaction, of any size.
const FORGOTTEN_AT_ONCE: usize = 8;

/// A row with an id above the bound shows `rejected` for this long before its id changes.
const SHOWN_MS: i64 = 250;

/// Takes a chunk of new rows and brings the inbox up to date. What is wrong with the inbox holds up nothing else: see
/// `availability`.
pub async fn run(deps: &Deps) -> Result<Report, StoreError> {
    // Needs no inbox, and is the news that `bring_up_to_date` shows.
    let mut did = requote::run(deps).await?;
    if let Some(at) = availability::next_try(deps, Part::Intake).await? {
        return Ok(Report { did, next_at: Some(at) });
    }
    if let Err(StoreError::Inbox { problem, .. }) = inbox::probe(&deps.store).await {
        let next_at = availability::failed(deps, Part::Intake, &problem).await?;
        return Ok(Report { did, next_at: Some(next_at) });
    }
    if availability::next_try(deps, Part::Status).await?.is_none() {
        heartbeat::beat();
        did += bring_up_to_date(deps).await?;
    }
    heartbeat::beat();
    let interval = pacing::duration_ms(deps.config().inbox.interval);
    let mut next_at = deps.clock.now().plus(interval);
    match take_new(deps).await {
        Ok((taken, soon)) => {
            did += taken;
            if soon {
                next_at = next_at.min(deps.clock.now().plus(SHOWN_MS));
            }
            availability::works(deps, Part::Intake).await?;
        }
        Err(StoreError::Inbox { problem, .. }) => {
            next_at = availability::failed(deps, Part::Intake, &problem).await?;
        }
        Err(error) => return Err(error),
    }
    Ok(Report { did, next_at: Some(next_at) })
}

/// Applies other programs' changes, and shows the news of requests.
async fn bring_up_to_date(deps: &Deps) -> Result<usize, StoreError> {
    let (mut did, mut wrong) = (0, None);
    match overrides::run(deps).await {
        Ok(count) => did += count,
        Err(StoreError::Inbox { problem, .. }) => wrong = Some(problem),
        Err(error) => return Err(error),
    }
    let caught_up = inbox::catch_up(&deps.store, SHOWN_AT_ONCE).await?;
    did += caught_up.shown;
    if let Some(StoreError::Inbox { problem, .. }) = caught_up.problem {
        wrong = Some(problem);
    }
    match wrong {
        None => availability::works(deps, Part::Status).await?,
        Some(problem) => drop(availability::failed(deps, Part::Status, &problem).await?),
    }
    Ok(did)
}

/// Takes new rows in chunks; returns how many, and whether a row's id is still to be changed.
async fn take_new(deps: &Deps) -> Result<(usize, bool), StoreError> {
    if !deps.config().inbox.watch {
        return Ok((0, false));
    }
    let now = deps.clock.now();
    let (mut taken, mut adopted) = (0, HashSet::new());
    let mut next = decide_new(deps, availability::taken_up_to(deps), &mut adopted).await?;
    for left in (0..CHUNKS_AT_ONCE).rev() {
        let Some((last, decided)) = next.take() else { break };
        taken += decided.taken;
        let has_more = left > 0 && decided.rows >= MANY_ROWS;
        let following =
            async { if has_more { decide_new(deps, last, &mut adopted).await } else { Ok(None) } };
        // The next rows are read and decided about while these are written.
        let (written, following) =
            tokio::join!(record(deps, decided.new, decided.had, deps.clock.now()), following);
        written?;
        if availability::shows_old(deps) {
            availability::note_taken(deps, last);
        }
        heartbeat::beat();
        // These rows count; an error of the inbox is met by the next run.
        next = following.unwrap_or_default();
    }
    let floor = requests::highest_id(deps.store.readers(), request::LARGEST_ID).await?;
    let before = Millis(now.0 - SHOWN_MS);
    let soon = match inbox::keep_counter(&deps.store, floor, before).await {
        Err(StoreError::Inbox { problem, .. }) => {
            availability::failed(deps, Part::Status, &problem).await?;
            false
        }
        kept => kept?,
    };
    Ok((taken, soon))
}

/// At start: takes rows again that an older, restored database does not know.
pub async fn take_forgotten(deps: &Deps) -> Result<usize, StoreError> {
    match take_forgotten_rows(deps).await {
        // Intake finds out and says so. An older copy is noticed at the next start.
        Err(StoreError::Inbox { .. }) => Ok(0),
        taken => taken,
    }
}

async fn take_forgotten_rows(deps: &Deps) -> Result<usize, StoreError> {
    overrides::run(deps).await?;
    let (mut count, mut after) = (0, i64::MIN);
    loop {
        let (ids, last) = inbox::forgotten_ids(&deps.store, after, ROWS_AT_ONCE).await?;
        for part in ids.chunks(FORGOTTEN_AT_ONCE) {
            heartbeat::beat();
            let rows = inbox::rows(&deps.store, part).await?;
            count += rows.len();
            let decided = decide_all(deps, rows, &mut HashSet::new()).await?;
            record(deps, decided.new, decided.had, deps.clock.now()).await?;
        }
        match last {
            Some(last) => after = last,
            None => break,
        }
    }
    if count > 0 {
        tracing::warn!(rows = count, "the database was older than the inbox; took its unfinished rows again");
    }
    Ok(count)
}

/// Ends rows that no worker has taken and that were inserted with a status of the worker. `cancelled` is
/// cancelled, the others are rejected. Otherwise they would look like rows that a restored database has
/// forgotten.
pub(in crate::worker) async fn end_untaken(deps: &Deps, written: &[&Written]) -> Result<(), StoreError> {
    let ids: Vec<i64> = written.iter().map(|row| row.id).collect();
    let accounts = served_somewhere(deps).await?;
    let mut ended = Vec::with_capacity(ids.len());
    for row in inbox::rows(&deps.store, &ids).await? {
        if written.iter().any(|written| written.id == row.id && written.says("cancelled")) {
            ended.push(cancelled(row, &accounts)?);
            continue;
        }
        let (digest, wish) = (digest(&row), Err(Rejection::StatusGiven));
        let taken = Taken { row, digest, wish };
        ended.push(rejected(&taken, &request::named(&raw(&taken.row)), &Rejection::StatusGiven)?);
    }
    let new = ended.into_iter().map(Decided::without_task).collect();
    record(deps, new, Vec::new(), deps.clock.now()).await
}
