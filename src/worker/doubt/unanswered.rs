//! Submissions without an answer: their possible cost is released when evidence or a person says that they had
//! no effect, and booked if it later turns out that they had.

use crate::domain::Millis;
use crate::domain::booking::Payer;
use crate::store::credits::booking;
use crate::store::jobs::Job;
use crate::store::{StoreError, Tx};

/// A submission certainly had no effect: releases its hold, and nobody pays for it.
pub(in crate::worker) async fn take_back(
    connection: &mut Tx,
    job: &mut Job,
    now: Millis,
) -> Result<(), StoreError> {
    let books = booking::read(&mut *connection, job).await?;
    booking::write(connection, job, &books.took_no_effect(), now).await
}

/// The unlock of an event is made again, which is free if the lost one took effect: releases its hold.
pub(super) async fn ask_again(connection: &mut Tx, job: &mut Job, now: Millis) -> Result<(), StoreError> {
    let books = booking::read(&mut *connection, job).await?;
    booking::write(connection, job, &books.asked_again(), now).await
}

/// Books, once, the possible cost of a job's submissions that were taken back, if later evidence shows that
/// one took effect, or if the API refused the job in the end. `unlocked`: the requests that pay for the
/// contacts it has unlocked.
pub(in crate::worker) async fn book_unanswered(
    connection: &mut Tx,
    job: &mut Job,
    unlocked: &[Payer],
    now: Millis,
) -> Result<(), StoreError> {
    let books = booking::read(&mut *connection, job).await?;
    booking::write(connection, job, &books.found_after_all(unlocked), now).await
}

/// The same for a job that ends without being sent again: no later evidence can come, so the cost is booked
/// unless a check has shown that there was no effect.
pub(in crate::worker) async fn book_unread(
    connection: &mut Tx,
    job: &mut Job,
    now: Millis,
) -> Result<(), StoreError> {
    if job.looks == 0 {
        book_unanswered(connection, job, &[], now).await?;
    }
    Ok(())
}
