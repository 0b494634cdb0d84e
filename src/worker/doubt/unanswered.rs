//! Submissions that nobody answered for: what they may have cost is taken back when it is proven, or said,
//! that they took no effect, and booked when their effect shows all the same.

use crate::domain::{Credits, Millis};
use crate::store::credits::{ledger, settlements};
use crate::store::jobs::Job;
use crate::store::jobs::attempts;
use crate::store::{StoreError, Tx, requests};

/// A submission certainly took no effect: its hold is released, and nobody pays for it.
pub(in crate::worker) async fn take_back(
    connection: &mut Tx,
    job: &mut Job,
    now: Millis,
) -> Result<(), StoreError> {
    // What an earlier one is booked with stays in the window that settles it.
    if ledger::charged(&mut *connection, job.id).await? == Credits::ZERO {
        job.window_id = None;
    }
    let shares = requests::shares(&mut *connection, job.id).await?;
    let price = job.price.unwrap_or_default();
    requests::commit_shares(&mut *connection, &shares, Credits(-price.0)).await?;
    ledger::release(connection, &job.account, job.id, now).await
}

/// Books, once, what the submissions of a job that were taken back may have cost, when something of it shows
/// that one took effect after all, or when the API refused it at last. The balance tells whether it was
/// charged; until then, and if it cannot, it counts. Returns whether there was such a submission.
///
/// Repeats of one submission count as one, since the vendor documents that what is unlocked, or being
/// unlocked, is not charged again. A lost search was weighed when a person decided on it.
pub(in crate::worker) async fn book_unanswered(
    connection: &mut Tx,
    job: &mut Job,
    now: Millis,
) -> Result<bool, StoreError> {
    let lost = attempts::unanswered_cost(&mut *connection, job.id).await?;
    if job.action.is_search() || lost == Credits::ZERO {
        return Ok(false);
    }
    let unbooked = lost - ledger::charged(&mut *connection, job.id).await?;
    if unbooked > Credits::ZERO {
        job.window_id = Some(settlements::open_window(&mut *connection, &job.account, now).await?);
        ledger::charge(connection, &job.account, job.id, unbooked, now).await?;
    }
    Ok(true)
}

/// The same for a job that ends without being sent again: nothing will show any more whether it took
/// effect, so it is booked unless reading has shown that it did not.
pub(in crate::worker) async fn book_unread(
    connection: &mut Tx,
    job: &mut Job,
    now: Millis,
) -> Result<(), StoreError> {
    if job.looks == 0 {
        book_unanswered(connection, job, now).await?;
    }
    Ok(())
}
