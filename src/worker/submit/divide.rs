//! A call that the API refused as a whole: it is divided, and each part becomes a job of its own.
//!
//! Only a call that certainly had no effect comes here. Its hold is released and nobody pays for it. The first part
//! stays in the job, and the others become new jobs. All of them are queued, and each is sent with an intent of its own.
//! The last precheck still counts for them, so a division needs no new prechecks. If an earlier call of the job was lost
//! and then proven to have had no effect, its possible cost stays with the first part.
//!
//! [`crate::domain::division`] decides whether a call is divided, and how.

use crate::api::ApiError;
use crate::domain::division::{RefusedCall, after_refusal};
use crate::domain::job::Event;
use crate::domain::sorting::Sorting;
use crate::domain::{JobId, Millis, PersonnelId};
use crate::store::credits::booking;
use crate::store::items::waiting;
use crate::store::jobs::attempts::AttemptEnd;
use crate::store::jobs::{Job, attempts};
use crate::store::{StoreError, Tx, jobs, timeline};
use crate::worker::Deps;
use crate::worker::gate::Gate;

/// A refused call, and what is recorded of it.
pub(super) struct Refused<'a> {
    pub job: &'a Job,
    pub sorting: &'a Sorting,
    pub error: &'a ApiError,
    pub end: &'a AttemptEnd,
    /// The refusal in words, for the timeline.
    pub detail: &'a str,
}

/// Divides a refused call. `false`: it is to be rejected.
pub(super) async fn divide(
    deps: &Deps,
    gate: &Gate,
    refused: Refused<'_>,
    now: Millis,
) -> Result<bool, StoreError> {
    let most_contacts = refused.error.most_contacts.map(|most| u32::from(most.get()));
    if let Some(most) = most_contacts {
        gate.learn_most_contacts(most).await?;
    }
    let (job, end, detail) = (refused.job.clone(), refused.end.clone(), refused.detail.to_owned());
    let contacts = refused.sorting.chargeable.clone();
    let error_key = refused.error.error_key.clone();
    let divided = deps
        .store
        .write(move |tx| {
            Box::pin(async move {
                let first = job.divided_from.unwrap_or(job.id);
                let (refused_alone, accepted) = jobs::refused_alone_and_accepted(&mut *tx, first).await?;
                let sizes = after_refusal(RefusedCall {
                    contacts: contacts.len(),
                    error_key: error_key.as_deref(),
                    most_contacts,
                    refused_alone,
                    accepted,
                });
                if sizes.is_empty() {
                    return Ok(Vec::new());
                }
                record(tx, (job, first), parts(&contacts, &sizes), (&end, &detail), now).await
            })
        })
        .await?;
    // If somebody else has unlocked some of the contacts, each part is prechecked again: a call with nothing but these
    // contacts may be refused, and their values are read for free.
    if refused.sorting.unlocked_elsewhere == 0 {
        let mut sortings = deps.sortings();
        for (key, contacts) in &divided {
            sortings.insert(*key, refused.sorting.part(contacts));
        }
    }
    Ok(!divided.is_empty())
}

fn parts(contacts: &[PersonnelId], sizes: &[usize]) -> Vec<Vec<PersonnelId>> {
    let mut left = contacts;
    let part = |size: &usize| {
        let (part, rest) = left.split_at((*size).min(left.len()));
        left = rest;
        part.to_vec()
    };
    sizes.iter().map(part).collect()
}

/// A job, by id and version, and its contacts.
type Part = ((JobId, i64), Vec<PersonnelId>);

async fn record(
    tx: &mut Tx,
    (mut job, first): (Job, JobId),
    parts: Vec<Vec<PersonnelId>>,
    (end, detail): (&AttemptEnd, &str),
    now: Millis,
) -> Result<Vec<Part>, StoreError> {
    // Who pays is read while all contacts are in the job that was sent.
    let books = booking::read(&mut *tx, &job).await?;
    booking::write(&mut *tx, &mut job, &books.took_no_effect(), now).await?;
    attempts::end_attempt(&mut *tx, job.id, end, now).await?;
    job.apply(Event::TookNoEffect { waits_for: None }, now)?;
    (job.due_at, job.failures, job.divided_from) = (None, 0, Some(first));
    let whole: usize = parts.iter().map(Vec::len).sum();
    let mut divided: Vec<Part> = Vec::with_capacity(parts.len());
    for contacts in parts {
        if divided.is_empty() {
            job.contacts = contacts.len() as u32;
            jobs::save(&mut *tx, &job).await?;
            divided.push(((job.id, job.version + 1), contacts));
            continue;
        }
        let event_id = job.event_id.as_ref();
        let mut part = jobs::insert_queued(&mut *tx, &job.account, job.action, event_id, now).await?;
        (part.contacts, part.divided_from) = (contacts.len() as u32, Some(first));
        waiting::divide(&mut *tx, (job.id, part.id), &contacts, now).await?;
        jobs::save(&mut *tx, &part).await?;
        let told = format!("{} contacts of job {}, whose call was refused", contacts.len(), job.id);
        timeline::of_job(&mut *tx, now, part.id, "divided", &told).await?;
        divided.push(((part.id, part.version + 1), contacts));
    }
    let told = format!("{detail}; the call with {whole} contacts is divided into {}", divided.len());
    timeline::of_job(&mut *tx, now, job.id, "divided", &told).await?;
    Ok(divided)
}
