//! Changes of other programs to rows that were taken.
//!
//! Two changes count. Writing `approved = 1` over a row that awaits approval approves the quote that the row shows, as
//! `unlockd approve` does. It never covers a higher quote: with a new quote the worker writes `approved = 0`. A program
//! that may write here could insert approved rows anyway, so this gives it no new right;
//! `credits.approve_from_inbox = false` forbids both. Writing `status = 'cancelled'` cancels the request.
//!
//! Any other change to the worker's columns is overwritten with the worker's values.

use crate::domain::request_state::State;
use crate::domain::{Credits, RequestId};
use crate::store::inbox::overrides::{self, Written};
use crate::store::requests::unsent;
use crate::store::{StoreError, requests, timeline};
use crate::worker::{Deps, intake};

/// Rows read in one run.
const AT_ONCE: u32 = 1_000;

/// Applies changes to rows that were taken; returns how many there were.
pub(in crate::worker) async fn run(deps: &Deps) -> Result<usize, StoreError> {
    let written = overrides::by_others(&deps.store, AT_ONCE).await?;
    if written.is_empty() {
        return Ok(0);
    }
    let mut untaken = Vec::new();
    for row in &written {
        if !apply(deps, row.clone()).await? && row.was_given_a_status() {
            untaken.push(row);
        }
    }
    intake::end_untaken(deps, &untaken).await?;
    overrides::looked_at(&deps.store, &written).await?;
    Ok(written.len())
}

/// Applies the change to one row. False: there is no request of the row.
async fn apply(deps: &Deps, row: Written) -> Result<bool, StoreError> {
    let (id, now) = (RequestId(row.id), deps.clock.now());
    let hears_approvals = deps.config().credits.approve_from_inbox;
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                let Some(request) = requests::state_and_quote(&mut *connection, id).await? else {
                    return Ok(false);
                };
                let quote = request.quoted_credits;
                if row.says(State::Cancelled.name()) && !request.state.is_end() {
                    let detail = "status = 'cancelled' was written over its row";
                    timeline::of_request(&mut *connection, now, id, "row_cancelled", detail).await?;
                    unsent::cancel(&mut *connection, id, now).await?;
                } else if request.state == State::AwaitingApproval
                    && approves(&row, quote)
                    && !hears_approvals
                {
                    let detail = "approved = 1 was written over its row, which credits.approve_from_inbox = false ignores";
                    timeline::of_request(&mut *connection, now, id, "row_approval_ignored", detail).await?;
                } else if request.state == State::AwaitingApproval && approves(&row, quote) {
                    let detail =
                        format!("approved = 1 was written over its row, which showed {quote} credits");
                    timeline::of_request(&mut *connection, now, id, "row_approved", &detail).await?;
                    unsent::approve(&mut *connection, id, quote, now).await?;
                } else if let Some(written) = row.status.as_ref().filter(|status| **status != row.was) {
                    let truth = request.state.name();
                    tracing::warn!(
                        request = id.0,
                        "another program wrote status = '{written}' over a row that is {truth}; written back"
                    );
                    let detail = format!("status = '{written}' was written over its row, and it is {truth}");
                    timeline::of_request(&mut *connection, now, id, "row_corrected", &detail).await?;
                }
                // Writes the worker's values over any other.
                requests::show_again(connection, id).await?;
                Ok(true)
            })
        })
        .await
}

/// Whether the row says that a person has approved this quote: the one that the row shows, or the first
/// quote, if `approved` was set before any was shown.
fn approves(row: &Written, quote: Credits) -> bool {
    row.approved == Some(1) && row.quoted_credits.is_none_or(|shown| shown == quote.0)
}
