//! Waiting items → a batch.
//!
//! The oldest waiting item names the group: what has the same account, action and event may travel
//! in one call. Contacts that this database has are served from it, contacts that are on their way
//! are joined; only the rest goes into the batch, and a batch that was not sent yet fills up.

use std::collections::HashSet;

use crate::domain::credits::{self, Credits};
use crate::domain::{AccountId, Action, Millis, PersonnelId};
use crate::store::items::waiting;
use crate::store::jobs::Job;
use crate::store::{StoreError, direct, jobs, requests};
use crate::worker::Deps;

/// Puts the oldest waiting items into a batch, or fills up the one that is ready but was not sent
/// yet. Returns whether something changed.
pub(in crate::worker) async fn form(
    deps: &Deps,
    account: &AccountId,
    ready: Option<&Job>,
    now: Millis,
) -> Result<bool, StoreError> {
    let group = match ready {
        // Sorted already: what it costs is known, and stays true only for these contacts.
        Some(job) if deps.sortings().contains_key(&(job.id, job.version)) => return Ok(false),
        // One call, one job: there is nothing to fill up.
        Some(job) if job.channel().is_none() => return Ok(false),
        Some(job) => Some(waiting::Group { action: job.action, event_id: job.event_id.clone() }),
        None => waiting::oldest_waiting_group(deps.store.readers(), account).await?,
    };
    let Some(group) = group else { return Ok(false) };
    let Some(channel) = group.action.channel() else { return form_direct(deps, account, group, now).await };
    let batch_size = batch_size(deps, account, group.action).await?;
    if ready.is_some_and(|job| job.contacts >= batch_size) {
        return Ok(false);
    }
    let (account, ready) = (account.clone(), ready.cloned());
    let changed = deps
        .store
        .write(move |connection| {
            Box::pin(async move {
                let waiting =
                    waiting::waiting_contacts(&mut *connection, &account, &group, 2 * batch_size).await?;
                if waiting.is_empty() {
                    return Ok(false);
                }
                let done =
                    waiting::serve_from_store(&mut *connection, &account, channel, &waiting, now).await?;
                requests::finish_complete(&mut *connection, &done, now).await?;
                waiting::join_in_flight(&mut *connection, &account, group.action, &waiting, now).await?;

                let mut contacts =
                    waiting::waiting_contacts(&mut *connection, &account, &group, 2 * batch_size).await?;
                // What moved up meanwhile was not looked up above: it may be here, or on its way.
                let mut looked_up: HashSet<PersonnelId> = waiting.into_iter().collect();
                contacts.retain(|id| looked_up.remove(id));
                if contacts.is_empty() {
                    return Ok(true);
                }
                let mut job = match ready {
                    Some(job) => job,
                    None => {
                        let event_id = group.event_id.as_ref();
                        jobs::insert_queued(&mut *connection, &account, group.action, event_id, now).await?
                    }
                };
                contacts.truncate((batch_size - job.contacts.min(batch_size)) as usize);
                waiting::assign(&mut *connection, &account, group.action, &contacts, job.id, now).await?;
                job.contacts += contacts.len() as u32;
                jobs::save(connection, &job).await?;
                Ok(true)
            })
        })
        .await?;
    Ok(changed)
}

/// The most contacts of one batch: a larger one than a day's limit pays for would wait for ever.
async fn batch_size(deps: &Deps, account: &AccountId, action: Action) -> Result<u32, StoreError> {
    let config = deps.config();
    let Some(limit) = config.credits.daily_limit else { return Ok(config.submit.batch_size) };
    let price = deps.price(account, action).await?;
    Ok(config.submit.batch_size.min(credits::most_in_a_day(price, Credits(limit))))
}

/// One paid call of a direct action becomes a job. Whoever wants an event that is on its way joins.
async fn form_direct(
    deps: &Deps,
    account: &AccountId,
    group: waiting::Group,
    now: Millis,
) -> Result<bool, StoreError> {
    let account = account.clone();
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                let action = group.action;
                let event_id = group.event_id.as_ref().filter(|_| !action.is_search());
                let event: Vec<PersonnelId> =
                    event_id.iter().map(|id| PersonnelId::trusted(id.as_str())).collect();
                if waiting::join_in_flight(&mut *connection, &account, action, &event, now).await? > 0 {
                    return Ok(true);
                }
                let mut job = jobs::insert_queued(&mut *connection, &account, action, event_id, now).await?;
                if action.is_search() {
                    direct::assign_oldest_page(&mut *connection, &account, action, job.id, now).await?;
                } else {
                    waiting::assign(&mut *connection, &account, action, &event, job.id, now).await?;
                }
                job.contacts = 1;
                jobs::save(connection, &job).await?;
                Ok(true)
            })
        })
        .await
}
