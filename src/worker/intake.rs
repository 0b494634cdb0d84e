//! Inbox rows → requests with items.
//!
//! Rows are taken in chunks and written with statements that work on sets. A row that makes no
//! sense is rejected with a reason and never stops the rows behind it. Taking is idempotent: the
//! request has the row's id, and a row that was taken before, but not marked so, is recognised.

use std::collections::{BTreeSet, HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::{Deps, Report, heed};
use crate::domain::credits::{self, Approval};
use crate::domain::request::{self, Contacts, RawRow, Rejection, UnlockRequest, Wish};
use crate::domain::{AccountId, Action, Channel, Credits, Millis, PersonnelId, RequestId, TaskId};
use crate::guard::{self, Guard};
use crate::store::inbox::{self, InboxRow};
use crate::store::requests::{NewItem, NewRequest};
use crate::store::written::Written;
use crate::store::{StoreError, items, jobs, paid, requests};

/// Rows in one transaction: long enough to share its cost, short enough not to hold up a poll.
const ROWS_AT_ONCE: u32 = 4_000;
/// Content in one transaction, in bytes; bounds memory when rows are huge.
const BYTES_AT_ONCE: usize = 8 << 20;

/// Takes a chunk of new rows and brings the inbox up to date.
pub async fn run(deps: &Deps) -> Result<Report, StoreError> {
    let config = deps.config();
    let mut did = heed::run(deps).await?;
    did += inbox::catch_up(&deps.store, 2 * ROWS_AT_ONCE).await?;
    let now = deps.clock.now();
    if config.inbox.watch {
        let rows = inbox::new_rows(&deps.store, ROWS_AT_ONCE, BYTES_AT_ONCE).await?;
        did += rows.len();
        take(deps, rows, now).await?;
    }
    let interval = crate::domain::pacing::duration_ms(config.inbox.interval);
    Ok(Report { did, next_at: Some(now.plus(interval)) })
}

/// At start: takes rows again whose requests a restored, older database does not have.
pub async fn take_forgotten(deps: &Deps) -> Result<usize, StoreError> {
    heed::run(deps).await?;
    let rows = inbox::forgotten_rows(&deps.store).await?;
    let count = rows.len();
    if count > 0 {
        tracing::warn!(
            rows = count,
            "the database is older than the inbox; taking its unfinished rows again"
        );
        take(deps, rows, deps.clock.now()).await?;
    }
    Ok(count)
}

/// Ends rows that were given a status that is the worker's, and that no worker has taken: one that says
/// `cancelled` is, the others are rejected. Left alone they would be taken for a restored database's.
pub(super) async fn end_untaken(deps: &Deps, written: &[&Written]) -> Result<(), StoreError> {
    let ids: Vec<i64> = written.iter().map(|row| row.id).collect();
    let accounts = deps.accounts();
    let mut ended = Vec::with_capacity(ids.len());
    for row in inbox::rows(&deps.store, &ids).await? {
        if written.iter().any(|written| written.id == row.id && written.says("cancelled")) {
            ended.push(cancelled(row, &accounts));
            continue;
        }
        let (digest, wish) = (digest(&row), Err(Rejection::StatusGiven));
        let taken = Taken { row, digest, wish };
        ended.push(rejected(&taken, &request::named(&raw(&taken.row)), &Rejection::StatusGiven));
    }
    record(deps, ended, &[], deps.clock.now()).await
}

/// A row, what it asks for, and its digest.
struct Taken {
    row: InboxRow,
    digest: String,
    wish: Result<UnlockRequest, Rejection>,
}

async fn take(deps: &Deps, rows: Vec<InboxRow>, now: Millis) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let before: HashMap<i64, String> =
        requests::taken_before(deps.store.readers(), &ids).await?.into_iter().collect();
    let accounts = deps.accounts();
    let mut taken = Vec::with_capacity(rows.len());
    let mut adopted = HashSet::new();
    for row in rows {
        let digest = digest(&row);
        match before.get(&row.id) {
            // Taken before a crash, and not shown yet: the request itself tells the inbox.
            Some(known) if *known == digest => show_again(deps, row.id).await?,
            Some(_) => {
                let reason = Rejection::IdTaken { id: row.id }.to_string();
                inbox::reject(&deps.store, row.id, reason, now).await?;
            }
            None => {
                let wish = request::parse(&raw(&row), &accounts);
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
    for taken in &taken {
        new.push(decide(deps, taken, &known).await?);
    }
    record(deps, new, &taken, now).await
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

fn raw(row: &InboxRow) -> RawRow {
    RawRow {
        account: row.account().unwrap_or_default(),
        action: row.action().unwrap_or_default(),
        event_id: row.event_id(),
        personnel_ids: row.personnel_ids(),
        task_id: row.task_id(),
        query: row.query(),
        max_pages: row.max_pages,
        max_credits: row.max_credits,
        approved: row.approved,
    }
}

/// Tells a row from another one with the same id. Not over `approved`, which a person may set
/// later.
fn digest(row: &InboxRow) -> String {
    let mut hasher = Sha256::new();
    let columns =
        [row.account(), row.action(), row.event_id(), row.personnel_ids(), row.task_id(), row.query()];
    for column in columns {
        hasher.update(column.unwrap_or_default().as_bytes());
        hasher.update([0]);
    }
    hasher.update(row.created_at.to_le_bytes());
    hasher.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is known about the rows of one account and action, read once for all of them.
struct Known {
    /// Contacts that need not be bought.
    had: HashSet<String>,
    price: Credits,
}

type KnownByKind = HashMap<(AccountId, Action), Known>;

async fn known(deps: &Deps, taken: &[Taken]) -> Result<KnownByKind, StoreError> {
    let mut asked: HashMap<(AccountId, Action), Vec<&str>> = HashMap::new();
    for request in taken.iter().filter_map(|taken| taken.wish.as_ref().ok()) {
        if let Wish::Contacts { contacts, .. } = &request.wish {
            let key = (request.account.clone(), request.action);
            asked.entry(key).or_default().extend(contacts.valid.iter().map(PersonnelId::as_str));
        }
    }
    let mut known = KnownByKind::new();
    for ((account, action), ids) in asked {
        let json = serde_json::json!(ids).to_string();
        let had = paid::had_or_in_flight(deps.store.readers(), &account, action, json).await?;
        let had = had.into_iter().map(|contact| contact.personnel_id).collect();
        let price = deps.price(&account, action).await?;
        known.insert((account, action), Known { had, price });
    }
    Ok(known)
}

/// What becomes of a row.
async fn decide(deps: &Deps, taken: &Taken, known: &KnownByKind) -> Result<NewRequest, StoreError> {
    let request = match &taken.wish {
        Ok(request) => request,
        Err(rejection) => return Ok(rejected(taken, &request::named(&raw(&taken.row)), rejection)),
    };
    match &request.wish {
        Wish::Contacts { contacts, .. } => {
            let known = &known[&(request.account.clone(), request.action)];
            let approve_above = Credits(deps.config().credits.approve_above);
            let new = contacts.valid.iter().filter(|id| !known.had.contains(id.as_str())).count();
            let estimate = estimate(request, new, known.price, approve_above);
            Ok(quoted(deps, taken, request, contacts, estimate))
        }
        Wish::Adopt { task_id, contacts, .. } => {
            let following =
                jobs::following(deps.store.readers(), &request.account, request.action, task_id).await?;
            Ok(match following {
                Some(job) => {
                    let rejection = Rejection::TaskKnown { task_id: task_id.clone(), job: job.0 };
                    rejected(taken, contacts, &rejection)
                }
                None => accepted(taken, request, contacts, Credits::ZERO, None, "assigned"),
            })
        }
        Wish::Event | Wish::Search { .. } => {
            let price = deps.price(&request.account, request.action).await?;
            let approve_above = Credits(deps.config().credits.approve_above);
            let estimate = estimate(request, request.wish.calls() as usize, price, approve_above);
            Ok(quoted(deps, taken, request, &request.first_call(), estimate))
        }
    }
}

/// What a request would cost, and whether a person has to confirm that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Estimate {
    pub(crate) quote: Credits,
    pub(crate) approval: Approval,
}

/// Estimates a request. `new` is what it would buy at most: contacts, the event, or pages.
pub(crate) fn estimate(
    request: &UnlockRequest,
    new: usize,
    price: Credits,
    approve_above: Credits,
) -> Estimate {
    let quote = price.times(new);
    let approved = request.approved.then_some(quote);
    let approval = match guard::holds(Guard::Approval) {
        true => credits::approval(quote, approve_above, request.max_credits, approved),
        false => credits::Approval::NotNeeded,
    };
    Estimate { quote, approval }
}

fn quoted(
    deps: &Deps,
    taken: &Taken,
    request: &UnlockRequest,
    contacts: &Contacts,
    estimate: Estimate,
) -> NewRequest {
    let approve_above = Credits(deps.config().credits.approve_above);
    let quote = estimate.quote;
    let approved = request.approved.then_some(quote);
    match estimate.approval {
        Approval::NotNeeded => accepted(taken, request, contacts, quote, approved, "waiting"),
        Approval::Needed => {
            let reason = format!(
                "would cost up to {quote} credits, more than credits.approve_above = {}; \
                 nothing was bought: unlockd approve {id}, or cancel {id}",
                approve_above.0,
                id = taken.row.id
            );
            let waiting = accepted(taken, request, contacts, quote, None, "unapproved");
            NewRequest { status: "awaiting_approval", reason: Some(reason), ..waiting }
        }
        Approval::OverMaxCredits => {
            let max_credits = request.max_credits.unwrap_or_default();
            rejected(taken, contacts, &Rejection::OverMaxCredits { quoted: quote, max_credits })
        }
    }
}

fn accepted(
    taken: &Taken,
    request: &UnlockRequest,
    contacts: &Contacts,
    quote: Credits,
    approved: Option<Credits>,
    state: &'static str,
) -> NewRequest {
    NewRequest {
        quoted_credits: quote,
        approved_credits: approved,
        event_id: request.event_id.as_ref().map(|id| id.as_str().to_owned()),
        items: new_items(contacts, state, "pending"),
        ..blank(taken, "accepted")
    }
}

fn rejected(taken: &Taken, contacts: &Contacts, rejection: &Rejection) -> NewRequest {
    NewRequest {
        reason: Some(rejection.to_string()),
        items: new_items(contacts, "done", "rejected"),
        ..blank(taken, "rejected")
    }
}

/// The request of a row that a person cancels before it is taken.
pub(super) fn cancelled(row: InboxRow, accounts: &[crate::domain::AccountId]) -> NewRequest {
    let (digest, wish) = (digest(&row), request::parse(&raw(&row), accounts));
    let taken = Taken { row, digest, wish };
    let items = match taken.wish.as_ref().map(|request| &request.wish) {
        Ok(Wish::Contacts { contacts, .. } | Wish::Adopt { contacts, .. }) => {
            new_items(contacts, "done", "cancelled")
        }
        _ => Vec::new(),
    };
    NewRequest { items, ..blank(&taken, "cancelled") }
}

fn new_items(contacts: &Contacts, state: &'static str, outcome: &'static str) -> Vec<NewItem> {
    let valid =
        contacts.valid.iter().map(|id| NewItem { personnel_id: id.as_str().to_owned(), state, outcome });
    let invalid = contacts.invalid.iter().map(|text| NewItem {
        personnel_id: text.clone(),
        state: "done",
        outcome: "invalid",
    });
    valid.chain(invalid).collect()
}

fn blank(taken: &Taken, status: &'static str) -> NewRequest {
    let row = &taken.row;
    NewRequest {
        id: RequestId(row.id),
        account: row.account().unwrap_or_default(),
        action: row.action().unwrap_or_default(),
        event_id: row.event_id(),
        task_id: row.task_id().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
        query: row.query(),
        max_pages: row.max_pages,
        reference: row.reference(),
        max_credits: row.max_credits,
        approved_credits: None,
        quoted_credits: Credits::ZERO,
        status,
        reason: None,
        row_digest: taken.digest.clone(),
        created_at: row.created_at,
        items: vec![],
    }
}

/// A task to follow for a request.
struct Adoption {
    request: UnlockRequest,
    request_id: RequestId,
    channel: Channel,
    task_id: TaskId,
    contacts: Vec<PersonnelId>,
}

async fn record(
    deps: &Deps,
    mut new: Vec<NewRequest>,
    taken: &[Taken],
    now: Millis,
) -> Result<(), StoreError> {
    let mut adoptions = Vec::new();
    let mut served: BTreeSet<(AccountId, Channel)> = BTreeSet::new();
    for (request, taken) in new.iter_mut().zip(taken) {
        let Ok(parsed) = &taken.wish else { continue };
        match &parsed.wish {
            Wish::Adopt { channel, task_id, contacts } if request.status == "accepted" => {
                // They enter with their job, which must exist first.
                request.items.retain(|item| item.state == "done");
                adoptions.push(Adoption {
                    request: parsed.clone(),
                    request_id: request.id,
                    channel: *channel,
                    task_id: task_id.clone(),
                    contacts: contacts.valid.clone(),
                });
            }
            Wish::Contacts { channel, .. } => {
                served.insert((parsed.account.clone(), *channel));
            }
            _ => {}
        }
    }
    let contacts = served
        .into_iter()
        .map(|(account, channel)| {
            let own = new.iter().filter(|request| {
                request.account == account.as_str() && request.action == channel.action().as_str()
            });
            let waiting = own.flat_map(|request| &request.items).filter(|item| item.state == "waiting");
            let ids: BTreeSet<PersonnelId> =
                waiting.map(|item| PersonnelId::trusted(item.personnel_id.clone())).collect();
            (account, channel, ids.into_iter().collect::<Vec<_>>())
        })
        .collect::<Vec<_>>();
    let first_poll = deps.ladder().next_poll(0, now);
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                requests::insert(&mut *connection, &new, now).await?;
                for adoption in adoptions {
                    adopt(&mut *connection, &adoption, first_poll, now).await?;
                }
                for (account, channel, ids) in contacts {
                    let done =
                        items::serve_from_store(&mut *connection, &account, channel, &ids, now).await?;
                    items::join_in_flight(&mut *connection, &account, channel.action(), &ids).await?;
                    requests::finish_complete(&mut *connection, &done, now).await?;
                }
                Ok(())
            })
        })
        .await
}

async fn adopt(
    connection: &mut sqlx::SqliteConnection,
    adoption: &Adoption,
    first_poll: Millis,
    now: Millis,
) -> Result<(), StoreError> {
    let request = &adoption.request;
    let job_id = jobs::insert_adopted(
        &mut *connection,
        (&request.account, request.event_id.as_ref()),
        adoption.channel,
        &adoption.task_id,
        first_poll,
        now,
    )
    .await?;
    items::add_named(&mut *connection, job_id, adoption.request_id, &adoption.contacts).await?;
    crate::store::timeline::of_job(connection, now, job_id, "adopted", "").await
}
