//! Books money: the only code that writes the ledger and the committed credits of requests.
//!
//! [`crate::domain::booking`] decides the bookings: [`read`] gives it the bookings so far, and [`write()`]
//! writes its result in the same transaction as the answer or the evidence behind it. The entries are private
//! to this file, so no other code can move credits. No figure is above [`Credits::MOST`], even if a row of an
//! older version holds one: an overflow in a sum would stop every later booking.

use serde_json::json;

use crate::domain::booking::{Booking, Books, Payer, Settles};
use crate::domain::{Credits, JobId, Millis, RequestId};
use crate::store::credits::{ledger, settlements};
use crate::store::jobs::{Job, attempts};
use crate::store::{StoreError, Tx, requests, sql};

/// The bookings of a job so far, and the requests that pay for its present contacts.
pub async fn read(connection: &mut Tx, job: &Job) -> Result<Books, StoreError> {
    let price = job.price.unwrap_or_default();
    let (unanswered_calls, unanswered) = match job.action.is_search() {
        true => (0, Credits::ZERO),
        false => (
            attempts::unanswered(&mut *connection, job.id).await?,
            attempts::unanswered_cost(&mut *connection, job.id).await?,
        ),
    };
    Ok(Books {
        cost: job.cost.unwrap_or_default(),
        price,
        charged: ledger::charged(&mut *connection, job.id).await?,
        unanswered_calls,
        unanswered,
        payers: payers(connection, job.id).await?,
    })
}

/// The requests that pay for the present contacts of a job.
pub async fn payers(connection: &mut Tx, job_id: JobId) -> Result<Vec<Payer>, StoreError> {
    let shares = requests::shares(connection, job_id).await?;
    let payer = |share: requests::Share| Payer {
        request_id: RequestId(share.request_id),
        contacts: usize::try_from(share.contacts).unwrap_or_default(),
    };
    Ok(shares.into_iter().map(payer).collect())
}

/// Writes a booking. Sets the job's settlement in `job`, which the caller saves.
pub async fn write(
    connection: &mut Tx,
    job: &mut Job,
    booking: &Booking,
    now: Millis,
) -> Result<(), StoreError> {
    match booking.settles {
        Settles::Unchanged => {}
        Settles::WithTheOpenOne => {
            job.window_id = Some(settlements::open_window(&mut *connection, &job.account, now).await?);
        }
        Settles::Nowhere => job.window_id = None,
    }
    if booking.hold > Credits::ZERO {
        add(&mut *connection, job, "hold", booking.hold.bookable(), now).await?;
    }
    if booking.release > Credits::ZERO {
        add(&mut *connection, job, "release", Credits(-booking.release.bookable().0), now).await?;
    }
    if booking.release_hold {
        release(&mut *connection, job, now).await?;
    }
    if booking.charge > Credits::ZERO {
        let entry = add(&mut *connection, job, "charge", booking.charge.bookable(), now).await?;
        add_payers(&mut *connection, entry, booking).await?;
    }
    add_to_shares(connection, &booking.shares).await
}

/// Releases everything that is still held for a job, once.
async fn release(connection: &mut Tx, job: &Job, now: Millis) -> Result<(), StoreError> {
    let held: i64 = sql::query_scalar(
        "select cast(coalesce(sum(credits), 0) as bigint) from ledger where job_id = $1 and entry <> 'charge'",
    )
    .bind(job.id.0)
    .fetch_one(&mut *connection)
    .await?;
    if held == 0 {
        return Ok(());
    }
    add(connection, job, "release", Credits(-held), now).await?;
    Ok(())
}

async fn add(
    connection: &mut Tx,
    job: &Job,
    entry: &str,
    credits: Credits,
    now: Millis,
) -> Result<i64, StoreError> {
    Ok(sql::query_scalar(
        "insert into ledger (at, account, job_id, entry, credits) values ($1, $2, $3, $4, $5) returning id",
    )
    .bind(now.0)
    .bind(job.account.as_str())
    .bind(job.id.0)
    .bind(entry)
    .bind(credits.0)
    .fetch_one(connection)
    .await?)
}

/// Writes which requests pay a charge. What nobody can be named for is written without a request, so that the
/// parts sum to the charge.
async fn add_payers(connection: &mut Tx, entry: i64, booking: &Booking) -> Result<(), StoreError> {
    let mut left = booking.charge.bookable();
    let mut parts = Vec::with_capacity(booking.paid.len() + 1);
    for paid in &booking.paid {
        let credits = paid.credits.bookable().min(left);
        left = left - credits;
        parts.push((Some(paid.request_id), paid.contacts, credits));
    }
    if left > Credits::ZERO {
        parts.push((None, 0, left));
    }
    sql::query(
        "insert into charge_parts (ledger_id, request_id, contacts, credits)
         select $1, json_number(value, 0), json_number(value, 1), json_number(value, 2) from json_rows($2)",
    )
    .bind(entry)
    .bind(json!(parts).to_string())
    .execute(connection)
    .await?;
    Ok(())
}

async fn add_to_shares(connection: &mut Tx, shares: &[(RequestId, Credits)]) -> Result<(), StoreError> {
    if shares.is_empty() {
        return Ok(());
    }
    let shares: Vec<_> =
        shares.iter().map(|(request_id, credits)| (request_id, credits.bookable())).collect();
    sql::query(
        "update requests set committed_credits = committed_credits + paid.credits
         from (select json_number(value, 0) as id, json_number(value, 1) as credits from json_rows($1)) as paid
         where requests.id = paid.id",
    )
    .bind(json!(shares).to_string())
    .execute(connection)
    .await?;
    Ok(())
}
