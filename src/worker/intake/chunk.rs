//! Reads new rows and decides about them, all in a few statements.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::domain::request::{self, Rejection, UnlockRequest, Wish};
use crate::domain::{AccountId, Action, Millis, PersonnelId, RequestId, TaskId};
use crate::store::inbox::fault::Part;
use crate::store::inbox::{self, InboxRow};
use crate::store::{StoreError, accounts, requests};
use crate::worker::Deps;
use crate::worker::intake::availability;
use crate::worker::intake::quote::{decide, had, known};
use crate::worker::intake::record::Decided;
use crate::worker::intake::taken::{Taken, digest, raw};

/// Rows in one transaction: enough to share its cost, few enough not to delay a poll.
pub(super) const ROWS_AT_ONCE: u32 = 4_000;
/// Content in one transaction, in bytes: limits memory if rows are huge. An id takes about a hundred times the memory
/// of its text while its row is taken.
const BYTES_AT_ONCE: u32 = 1 << 20;

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
pub(super) async fn served_somewhere(deps: &Deps) -> Result<Vec<AccountId>, StoreError> {
    let mut served: BTreeSet<AccountId> = deps.accounts().into_iter().collect();
    if deps.store.ownership().is_shared() {
        served.extend(accounts::owners(deps.store.readers()).await?.into_keys());
    }
    Ok(served.into_iter().collect())
}

/// Rows that were decided about, to be written.
pub(super) struct Chunk {
    pub(super) rows: usize,
    /// Those of them that do not stay new for now.
    pub(super) taken: usize,
    pub(super) new: Vec<Decided>,
    pub(super) had: Vec<(AccountId, Action, Vec<PersonnelId>)>,
}

/// Decides about the next rows above `after`; with the last one's id. `None`: there are none.
pub(super) async fn decide_new(
    deps: &Deps,
    after: i64,
    adopted: &mut HashSet<Adopted>,
) -> Result<Option<(i64, Chunk)>, StoreError> {
    let rows = inbox::new_rows(&deps.store, after, ROWS_AT_ONCE, BYTES_AT_ONCE).await?;
    let Some(last) = rows.last().map(|row| row.id) else { return Ok(None) };
    Ok(Some((last, decide_all(deps, rows, adopted).await?)))
}

/// Decides about these rows. `adopted`: the tasks of rows that are about to be written.
pub(super) async fn decide_all(
    deps: &Deps,
    rows: Vec<InboxRow>,
    adopted: &mut HashSet<Adopted>,
) -> Result<Chunk, StoreError> {
    let (count, now) = (rows.len(), deps.clock.now());
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let before: HashMap<i64, String> =
        requests::taken_before(deps.store.readers(), &ids).await?.into_iter().collect();
    let accounts = served_somewhere(deps).await?;
    let (mut taken, mut early) = (Vec::with_capacity(count), 0);
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
                // Two rows may name one task. The second one waits for the next run, which finds the job that follows it.
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
    Ok(Chunk { rows: count, taken: count - early, new, had: had(known) })
}

/// The row is taken as it is: such ids may be true ones.
fn warn_of_rounded(Taken { row, wish, .. }: &Taken) {
    let rounded = wish.as_ref().ok().and_then(|request| request.contacts().rounded.found());
    if let Some((ids, at)) = rounded {
        tracing::warn!(
            request = row.id,
            ids,
            first_at = at,
            "ids of this row look rounded by a spreadsheet or by a program that computes with floats, and may be other \
             contacts: compare with the source, and write ids as texts, [\"789\"]"
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
pub(super) type Adopted = (AccountId, Action, TaskId);

fn adopts(wish: &Result<UnlockRequest, Rejection>) -> Option<Adopted> {
    let request = wish.as_ref().ok()?;
    match &request.wish {
        Wish::Adopt { task_id, .. } => Some((request.account.clone(), request.action, task_id.clone())),
        _ => None,
    }
}

async fn show_again(deps: &Deps, id: i64) -> Result<(), StoreError> {
    deps.store.write(move |connection| Box::pin(requests::show_again(connection, RequestId(id)))).await
}
