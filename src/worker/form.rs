//! Waiting items → a batch.
//!
//! The oldest waiting item names the group: what has the same account, action and event may travel
//! in one call. Contacts that this database has are served from it, contacts that are on their way
//! are joined; only the rest goes into the batch, and a batch that was not sent yet fills up.

use super::Deps;
use crate::domain::{AccountId, Millis};
use crate::store::jobs::Job;
use crate::store::{StoreError, items, jobs, requests};

/// Puts the oldest waiting items into a batch, or fills up the one that is ready but was not sent
/// yet. Returns whether something changed.
pub(super) async fn form(
    deps: &Deps,
    account: &AccountId,
    ready: Option<&Job>,
    now: Millis,
) -> Result<bool, StoreError> {
    let batch_size = deps.config().submit.batch_size;
    let group = match ready {
        // Sorted already: what it costs is known, and stays true only for these contacts.
        Some(job) if deps.sortings().contains_key(&(job.id, job.version)) => return Ok(false),
        Some(job) if job.contacts >= batch_size => return Ok(false),
        Some(job) => Some(items::Group { channel: job.channel, event_id: job.event_id.clone() }),
        None => items::oldest_waiting_group(deps.store.readers(), account).await?,
    };
    let Some(group) = group else { return Ok(false) };
    let (account, ready) = (account.clone(), ready.cloned());
    let changed = deps
        .store
        .write(move |connection| {
            Box::pin(async move {
                let waiting =
                    items::waiting_contacts(&mut *connection, &account, &group, 2 * batch_size).await?;
                if waiting.is_empty() {
                    return Ok(false);
                }
                let channel = group.channel;
                let done =
                    items::serve_from_store(&mut *connection, &account, channel, &waiting, now).await?;
                requests::finish_complete(&mut *connection, &done, now).await?;
                items::join_in_flight(&mut *connection, &account, channel, &waiting).await?;

                let mut contacts =
                    items::waiting_contacts(&mut *connection, &account, &group, 2 * batch_size).await?;
                if contacts.is_empty() {
                    return Ok(true);
                }
                let mut seen = std::collections::HashSet::new();
                contacts.retain(|id| seen.insert(id.clone()));
                let mut job = match ready {
                    Some(job) => job,
                    None => {
                        let event_id = group.event_id.as_ref();
                        jobs::insert_queued(&mut *connection, &account, channel.action(), event_id, now)
                            .await?
                    }
                };
                contacts.truncate((batch_size - job.contacts.min(batch_size)) as usize);
                items::assign(&mut *connection, &account, channel, &contacts, job.id).await?;
                job.contacts += contacts.len() as u32;
                jobs::save(connection, &job).await?;
                Ok(true)
            })
        })
        .await?;
    Ok(changed)
}
