//! Waiting items → a batch.
//!
//! Contacts with the same account, action and event may go into one call. One request leads the batch: its contacts go
//! in first, and those of other requests fill the batch up. The leading request is alternately the one with the oldest
//! item and the next one ([`Turn`]).
//!
//! A contact whose value is stored is served from this database. A contact that is being bought joins that job. Only the
//! rest goes into the batch. A batch that was not sent yet is filled up before a new one is made.

use std::collections::HashSet;

use crate::domain::submission::Turn;
use crate::domain::{AccountId, Action, Millis, PersonnelId};
use crate::store::items::lead::{self, Lead};
use crate::store::items::paid;
use crate::store::items::waiting::{self, Group};
use crate::store::jobs::{Job, due};
use crate::store::{StoreError, Tx, direct, jobs, requests};
use crate::worker::deps::memory::BatchTurn;
use crate::worker::{Deps, Report};

/// Puts waiting items of an action into a new job, first those of the request of the item `lead`. Contacts beyond
/// `fits` join a job of their group that already waits for credits, so that one call buys all of them later.
pub(in crate::worker) async fn form(
    deps: &Deps,
    account: &AccountId,
    (action, lead): (Action, i64),
    (most, fits): (u32, u32),
) -> Result<Report, StoreError> {
    let (of, account, now) = (account, account.clone(), deps.clock.now());
    let led = deps
        .store
        .write(move |tx| {
            Box::pin(async move {
                let Some(lead) = lead::lead_of(&mut *tx, action, lead).await? else {
                    return Ok(None);
                };
                let (group, led_up_to) = (&lead.group, lead.last);
                if action.channel().is_none() {
                    form_direct(tx, &account, &lead, now).await?;
                    return Ok(Some(led_up_to));
                }
                let contacts = to_buy(&mut *tx, &account, group, Some(&lead), most, now).await?;
                if contacts.is_empty() {
                    return Ok(None);
                }
                let waits = match contacts.len() > fits as usize {
                    true => due::waiting_with_room(&mut *tx, &account, group, most).await?,
                    false => None,
                };
                let job = match waits {
                    Some(job) => job,
                    None => {
                        let event_id = group.event_id.as_ref();
                        jobs::insert_queued(&mut *tx, &account, action, event_id, now).await?
                    }
                };
                add(tx, job, contacts, most, now).await?;
                Ok(Some(led_up_to))
            })
        })
        .await?;
    if let Some(led_up_to) = led {
        deps.batch_turns().entry(of.clone()).or_default().was_taken(led_up_to);
    }
    Ok(Report::did(1))
}

impl BatchTurn {
    /// A batch was formed whose leading request has waiting items up to this one.
    fn was_taken(&mut self, led_up_to: i64) {
        self.led_up_to = match self.turn {
            Turn::OfTheNextRequest => led_up_to,
            Turn::OfTheOldest => led_up_to.max(self.led_up_to),
        };
        self.turn = self.turn.other();
    }
}

/// Puts waiting items of its group into a job that was not sent yet.
pub(in crate::worker) async fn fill(deps: &Deps, job: Job, most: u32) -> Result<Report, StoreError> {
    let now = deps.clock.now();
    deps.store
        .write(move |tx| {
            Box::pin(async move {
                let group = Group { action: job.action, event_id: job.event_id.clone() };
                let contacts = to_buy(&mut *tx, &job.account, &group, None, most, now).await?;
                match contacts.is_empty() {
                    true => Ok(()),
                    false => add(tx, job, contacts, most, now).await,
                }
            })
        })
        .await?;
    Ok(Report::did(1))
}

/// The contacts of a group that must be bought: stored ones are served, those being bought are joined.
async fn to_buy(
    tx: &mut Tx,
    account: &AccountId,
    group: &Group,
    lead: Option<&Lead>,
    most: u32,
    now: Millis,
) -> Result<Vec<PersonnelId>, StoreError> {
    let waiting = in_turn(&mut *tx, account, group, lead, 2 * most).await?;
    serve_contacts(&mut *tx, account, group.action, &waiting, now).await?;
    let mut contacts = in_turn(&mut *tx, account, group, lead, 2 * most).await?;
    // Items that came into reach meanwhile were not compared above: they may be stored, or being bought.
    let mut looked_up: HashSet<PersonnelId> = waiting.into_iter().collect();
    contacts.retain(|id| looked_up.remove(id));
    Ok(contacts)
}

/// Waiting contacts of a group: those of the request that leads, then the oldest.
async fn in_turn(
    tx: &mut Tx,
    account: &AccountId,
    group: &Group,
    lead: Option<&Lead>,
    limit: u32,
) -> Result<Vec<PersonnelId>, StoreError> {
    let mut contacts = match lead {
        Some(lead) => lead::contacts(&mut *tx, account, lead, limit).await?,
        None => Vec::new(),
    };
    if contacts.len() < limit as usize {
        contacts.extend(waiting::waiting_contacts(tx, account, group, limit).await?);
    }
    Ok(contacts)
}

async fn serve_contacts(
    tx: &mut Tx,
    account: &AccountId,
    action: Action,
    contacts: &[PersonnelId],
    now: Millis,
) -> Result<(), StoreError> {
    if let Some(channel) = action.channel() {
        let done = waiting::serve_from_store(&mut *tx, account, channel, contacts, now).await?;
        requests::finish_complete(&mut *tx, &done, now).await?;
    }
    waiting::join_in_flight(tx, account, action, contacts, now).await?;
    Ok(())
}

async fn add(
    tx: &mut Tx,
    mut job: Job,
    mut contacts: Vec<PersonnelId>,
    most: u32,
    now: Millis,
) -> Result<(), StoreError> {
    contacts.truncate((most - job.contacts.min(most)) as usize);
    waiting::assign(&mut *tx, &job.account, job.action, &contacts, job.id, now).await?;
    job.contacts += contacts.len() as u32;
    // Nobody has asked about these: they may cost the full price.
    let more = job.price.map(|price| price.times(contacts.len()));
    job.quoted_credits = job.quoted_credits.zip(more).map(|(quoted, more)| quoted + more);
    jobs::save(tx, &job).await
}

/// Makes a job of one paid call of a direct action. Other requests for an event that is being bought join it.
async fn form_direct(tx: &mut Tx, account: &AccountId, lead: &Lead, now: Millis) -> Result<(), StoreError> {
    let action = lead.group.action;
    let event_id = lead.group.event_id.as_ref().filter(|_| !action.is_search());
    let event: Vec<PersonnelId> = event_id.iter().map(|id| PersonnelId::trusted(id.as_str())).collect();
    if waiting::join_in_flight(&mut *tx, account, action, &event, now).await? > 0 {
        return Ok(());
    }
    let mut job = jobs::insert_queued(&mut *tx, account, action, event_id, now).await?;
    if action.is_search() {
        direct::assign_page(&mut *tx, lead.first, job.id, now).await?;
    } else {
        waiting::assign(&mut *tx, account, action, &event, job.id, now).await?;
    }
    job.contacts = 1;
    jobs::save(tx, &job).await
}

/// Items compared at once while nothing can be bought.
const LOOK_UP_AT_ONCE: u32 = 500;

/// Serves waiting items from stored values, or lets them join running jobs: a pause or missing credits stop
/// only purchases. Each item is compared once; a value bought later serves all items of its contact.
pub(in crate::worker) async fn serve(
    deps: &Deps,
    account: &AccountId,
    action: Action,
) -> Result<Report, StoreError> {
    let key = (account.clone(), action);
    let above = deps.looked_up().get(&key).copied().unwrap_or_default();
    let readers = deps.store.readers();
    let found = waiting::contacts_above(readers, account, action, above, LOOK_UP_AT_ONCE).await?;
    let Some((contacts, last)) = found else { return Ok(Report::did(1)) };
    let known = paid::had_or_in_flight(readers, account, action, &contacts).await?;
    if !known.is_empty() {
        let known: Vec<_> = known.into_iter().map(|known| PersonnelId::trusted(known.personnel_id)).collect();
        let (account, now) = (account.clone(), deps.clock.now());
        deps.store
            .write(move |tx| Box::pin(async move { serve_contacts(tx, &account, action, &known, now).await }))
            .await?;
    }
    deps.looked_up().insert(key, last);
    Ok(Report::did(1))
}
