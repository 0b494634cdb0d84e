//! Inbox rows → requests with items.
//!
//! Rows are taken in chunks and written with statements that work on sets. An invalid row is rejected with a
//! reason and never stops the rows behind it. Taking is idempotent: the request has the row's id, so a row
//! that was taken but not marked so is recognised. [`crate::worker::intake::quote`] decides about a row,
//! [`crate::worker::intake::taken`] builds its request, and `record` writes it.

pub(in crate::worker) mod availability;
pub mod overrides;
pub mod quote;
mod record;
pub(in crate::worker) mod requote;
pub mod taken;

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::domain::request::{self, Rejection, UnlockRequest, Wish};
use crate::domain::{AccountId, Action, Millis, RequestId, TaskId, pacing};
use crate::store::inbox::fault::Part;
use crate::store::inbox::overrides::Written;
use crate::store::inbox::{self, InboxRow};
use crate::store::{StoreError, accounts, requests};
use crate::worker::intake::quote::{decide, had, known};
use crate::worker::intake::record::{Decided, record};
use crate::worker::intake::taken::{Taken, cancelled, digest, raw, rejected};
use crate::worker::run::heartbeat;
use crate::worker::{Deps, Report};

/// Rows in one transaction: enough to share its cost, few enough not to delay a poll.
const ROWS_AT_ONCE: u32 = 4_000;
/// Content in one transaction, in bytes: limits memory if rows are huge. An id takes about a hundred times the memory
/// of its text while its row is taken.
const BYTES_AT_ONCE: u32 = 1 << 20;
/// Chunks in one run: the passes hear of them at its end.
const CHUNKS_AT_ONCE: u32 = 3;
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
    let caught_up = inbox::catch_up(&deps.store, (CHUNKS_AT_ONCE + 1) * ROWS_AT_ONCE).await?;
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

async fn new_rows(deps: &Deps, after: i64) -> Result<Vec<InboxRow>, StoreError> {
    inbox::new_rows(&deps.store, after, ROWS_AT_ONCE, BYTES_AT_ONCE).await
}

/// Takes new rows in chunks; returns how many, and whether a row's id is still to be changed.
async fn take_new(deps: &Deps) -> Result<(usize, bool), StoreError> {
    if !deps.config().inbox.watch {
        return Ok((0, false));
    }
    let now = deps.clock.now();
    let after = availability::taken_up_to(deps);
    let (mut taken, mut rows) = (0, new_rows(deps, after).await?);
    for left in (0..CHUNKS_AT_ONCE).rev() {
        let Some(last) = rows.last().map(|row| row.id) else { break };
        taken += rows.len();
        let has_more = left > 0 && rows.len() >= MANY_ROWS;
        let next = async { if has_more { new_rows(deps, last).await } else { Ok(Vec::new()) } };
        // The next rows are read while these are written.
        let (written, next) = tokio::join!(take(deps, rows, deps.clock.now()), next);
        taken -= written?;
        if availability::shows_old(deps) {
            availability::note_taken(deps, last);
        }
        heartbeat::beat();
        // These rows count; an error of the inbox is met by the next run.
        rows = next.unwrap_or_default();
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
            take(deps, rows, deps.clock.now()).await?;
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

/// Whether a row names an account that was perhaps added to the configuration a moment ago. It stays new until the files
/// have been read again: a rejection would be final.
fn is_too_early(deps: &Deps, wish: &Result<UnlockRequest, Rejection>, row: &InboxRow) -> bool {
    let is_unknown = matches!(wish, Err(Rejection::UnknownAccount { .. }));
    // One that is passed over while the inbox cannot be written would not be seen again.
    let waits = is_unknown
        && !availability::shows_old(deps)
        && !deps.files.are_newer_than(Millis(row.created_at), deps.clock.now());
    if waits {
        deps.files.want();
    }
    waits
}

/// The accounts whose rows are taken: those of other workers on the same database, too.
async fn served_somewhere(deps: &Deps) -> Result<Vec<AccountId>, StoreError> {
    let mut served: BTreeSet<AccountId> = deps.accounts().into_iter().collect();
    if deps.store.ownership().is_shared() {
        served.extend(accounts::owners(deps.store.readers()).await?.into_keys());
    }
    Ok(served.into_iter().collect())
}

/// Takes these rows. Returns how many of them stay new for now.
async fn take(deps: &Deps, rows: Vec<InboxRow>, now: Millis) -> Result<usize, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let before: HashMap<i64, String> =
        requests::taken_before(deps.store.readers(), &ids).await?.into_iter().collect();
    let accounts = served_somewhere(deps).await?;
    let mut taken = Vec::with_capacity(rows.len());
    let (mut adopted, mut early) = (HashSet::new(), 0);
    for row in rows {
        let digest = digest(&row);
        match before.get(&row.id) {
            // Taken before a crash, but not shown yet: the request updates the inbox row.
            Some(known) if *known == digest => show_again(deps, row.id).await?,
            Some(_) => refuse(deps, row.id, &Rejection::IdTaken { id: row.id }, now).await?,
            None if row.id > request::LARGEST_ID => {
                refuse(deps, row.id, &Rejection::IdTooLarge { id: row.id }, now).await?;
            }
            None => {
                let mut wish = request::parse(&raw(&row), &accounts);
                if is_too_early(deps, &wish, &row) {
                    early += 1;
                    continue;
                }
                if let Ok(request) = &mut wish {
                    request.approved &= deps.config().credits.approve_from_inbox;
                }
                // Two rows may name one task. The second one waits for the next chunk, which finds
                // the job that follows it.
                if adopts(&wish).is_none_or(|task| adopted.insert(task)) {
                    taken.push(Taken { row, digest, wish });
                }
            }
        }
    }
    let known = known(deps, &taken).await?;
    let mut new = Vec::with_capacity(taken.len());
    // Each row is dropped as soon as its request is there: both may be large.
    for taken in taken {
        let request = decide(deps, &taken, &known).await?;
        warn_of_rounded(&taken);
        new.push(Decided::of(request, taken));
    }
    record(deps, new, had(known), now).await?;
    Ok(early)
}

/// The row is taken as it is: such ids may be true ones.
fn warn_of_rounded(Taken { row, wish, .. }: &Taken) {
    let rounded = wish.as_ref().ok().and_then(|request| request.contacts().rounded.found());
    if let Some((ids, at)) = rounded {
        tracing::warn!(
            request = row.id,
            ids,
            first_at = at,
            "ids of this row are JSON numbers that look rounded by a program that computes with floats, and may be \
             other contacts: write ids as texts, [\"789\"]"
        );
    }
}

/// Rejects a row for which there is no request. If the inbox cannot be written, it is tried again.
async fn refuse(deps: &Deps, id: i64, why: &Rejection, now: Millis) -> Result<(), StoreError> {
    match inbox::reject(&deps.store, id, why.to_string(), now).await {
        Err(StoreError::Inbox { problem, .. }) => {
            availability::failed(deps, Part::Status, &problem).await.map(drop)
        }
        rejected => rejected,
    }
}

/// The task that a row wants to adopt.
fn adopts(wish: &Result<UnlockRequest, Rejection>) -> Option<(AccountId, Action, TaskId)> {
    let request = wish.as_ref().ok()?;
    match &request.wish {
        Wish::Adopt { task_id, .. } => Some((request.account.clone(), request.action, task_id.clone())),
        _ => None,
    }
}

async fn show_again(deps: &Deps, id: i64) -> Result<(), StoreError> {
    deps.store.write(move |connection| Box::pin(requests::show_again(connection, RequestId(id)))).await
}
