//! Writes the requests of taken rows, with everything that follows at once, in one transaction.

use std::collections::BTreeSet;

use crate::domain::item;
use crate::domain::request::{UnlockRequest, Wish};
use crate::domain::request_state::State;
use crate::domain::{AccountId, Channel, Millis, PersonnelId, RequestId, TaskId};
use crate::store::items::waiting;
use crate::store::requests::NewRequest;
use crate::store::{StoreError, Tx, items, jobs, requests};
use crate::worker::Deps;
use crate::worker::intake::taken::Taken;

/// A task to follow for a request.
struct Adoption {
    request: UnlockRequest,
    request_id: RequestId,
    channel: Channel,
    task_id: TaskId,
    contacts: Vec<PersonnelId>,
}

pub(super) async fn record(
    deps: &Deps,
    new: Vec<NewRequest>,
    taken: &[Taken],
    now: Millis,
) -> Result<(), StoreError> {
    let mut adoptions = Vec::new();
    let mut served: BTreeSet<(AccountId, Channel)> = BTreeSet::new();
    for (request, taken) in new.iter().zip(taken) {
        let Ok(parsed) = &taken.wish else { continue };
        match &parsed.wish {
            Wish::Adopt { channel, task_id, contacts } if request.state == State::Accepted => {
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
            let waiting = own
                .flat_map(|request| &request.items)
                .filter(|item| matches!(item.state, item::State::Waiting { .. }));
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
                        waiting::serve_from_store(&mut *connection, &account, channel, &ids, now).await?;
                    waiting::join_in_flight(&mut *connection, &account, channel.action(), &ids, now).await?;
                    requests::finish_complete(&mut *connection, &done, now).await?;
                }
                Ok(())
            })
        })
        .await
}

async fn adopt(
    connection: &mut Tx,
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
