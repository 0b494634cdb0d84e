//! Writes the requests of taken rows, with everything that follows at once, in one transaction.

use crate::domain::request::{UnlockRequest, Wish};
use crate::domain::request_state::State;
use crate::domain::{AccountId, Action, Channel, Millis, PersonnelId, RequestId, TaskId};
use crate::store::items::waiting;
use crate::store::requests::NewRequest;
use crate::store::{StoreError, Tx, inbox, items, jobs, requests, timeline};
use crate::worker::Deps;
use crate::worker::intake::quote::CONTACTS_AT_ONCE;
use crate::worker::intake::taken::Taken;

/// A task to follow for a request.
pub(super) struct Adoption {
    request: UnlockRequest,
    request_id: RequestId,
    channel: Channel,
    task_id: TaskId,
    contacts: Vec<PersonnelId>,
}

/// A request to be written, and the task that it adopts.
pub(super) struct Decided {
    request: NewRequest,
    adoption: Option<Adoption>,
    /// What its timeline says about ids that look rounded.
    rounded: Option<String>,
}

impl Decided {
    pub(super) fn without_task(request: NewRequest) -> Decided {
        Decided { request, adoption: None, rounded: None }
    }

    pub(super) fn of(request: NewRequest, taken: Taken) -> Decided {
        let contacts = taken.wish.as_ref().ok().map(UnlockRequest::contacts);
        let rounded = contacts.and_then(|contacts| contacts.rounded.found()).map(|(ids, at)| {
            format!("{ids}, the first at place {at}: they may be other contacts; compare with the source")
        });
        let adoption = match (request.state, taken.wish) {
            (State::Accepted, Ok(parsed)) => adoption(request.id, parsed),
            _ => None,
        };
        Decided { request, adoption, rounded }
    }
}

fn adoption(request_id: RequestId, request: UnlockRequest) -> Option<Adoption> {
    let Wish::Adopt { channel, task_id, contacts } = &request.wish else { return None };
    let (channel, task_id, contacts) = (*channel, task_id.clone(), contacts.valid.clone());
    Some(Adoption { request, request_id, channel, task_id, contacts })
}

/// Writes requests. `had`: contacts of theirs that need not be bought.
pub(super) async fn record(
    deps: &Deps,
    decided: Vec<Decided>,
    had: Vec<(AccountId, Action, Vec<PersonnelId>)>,
    now: Millis,
) -> Result<(), StoreError> {
    let (mut new, mut adoptions, mut rounded) = (Vec::with_capacity(decided.len()), Vec::new(), Vec::new());
    for one in decided {
        rounded.extend(one.rounded.map(|detail| (one.request.id, detail)));
        new.push(one.request);
        adoptions.extend(one.adoption);
    }
    let first_poll = deps.ladder().next_poll(0, now);
    let may_show = !deps.store.has_inbox_file();
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                // Another program's trigger may fail. That must delay the inbox only, so showing has a transaction of its own.
                let shows = may_show && !inbox::has_other_triggers(&mut *connection).await?;
                let ids = requests::insert(&mut *connection, &new, !shows, now).await?;
                drop(new);
                for (id, detail) in rounded.iter().filter(|(id, _)| ids.contains(&id.0)) {
                    timeline::of_request(&mut *connection, now, *id, "ids_look_rounded", detail).await?;
                }
                for adoption in adoptions {
                    adopt(&mut *connection, &adoption, first_poll, now).await?;
                }
                for (account, action, contacts) in &had {
                    serve(&mut *connection, account, *action, contacts, now).await?;
                }
                if shows && !inbox::show_at_once(&mut *connection, &ids).await? {
                    requests::show_later(connection, &ids).await?;
                }
                Ok(())
            })
        })
        .await
}

/// Serves stored contacts, and lets those that are being bought join. Contacts that became either a moment ago are
/// found before they are put into a batch.
async fn serve(
    connection: &mut Tx,
    account: &AccountId,
    action: Action,
    contacts: &[PersonnelId],
    now: Millis,
) -> Result<(), StoreError> {
    let Some(channel) = action.channel() else { return Ok(()) };
    for part in contacts.chunks(CONTACTS_AT_ONCE) {
        let done = waiting::serve_from_store(&mut *connection, account, channel, part, now).await?;
        waiting::join_in_flight(&mut *connection, account, action, part, now).await?;
        requests::finish_complete(&mut *connection, &done, now).await?;
    }
    Ok(())
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
    timeline::of_job(connection, now, job_id, "adopted", "").await
}
