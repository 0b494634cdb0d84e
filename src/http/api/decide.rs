//! Decisions: the same as `unlockd approve` and `unlockd cancel`, refused in the same words.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::body::{Body, Id};
use super::caller::Caller;
use super::lists;
use super::plans::quoted;
use super::problem::Problem;
use super::submit::{give_back, reserve};
use super::unread::whole;
use crate::config::Scope;
use crate::domain::request::RawRow;
use crate::domain::{AccountId, Credits, RequestId};
use crate::http::Site;
use crate::store::report::requests::Request;
use crate::store::{StoreError, inbox, timeline};
use crate::worker::people::decide;

/// The figure that the person saw.
// `untagged` is for the description; it is read as `Given`, which can say what is wrong.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(untagged, try_from = "Given")]
pub(super) enum Figure {
    Credits(OfCredits),
    Quote(OfQuote),
}

/// The figure itself: `quoted_credits` of the request.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OfCredits {
    #[schema(minimum = 0)]
    credits: i64,
}

/// The quote id of a plan for the same contents.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OfQuote {
    quote: String,
}

/// Both, as they are sent: one of them is there.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Given {
    #[serde(deserialize_with = "whole")]
    credits: Option<i64>,
    quote: Option<String>,
}

impl TryFrom<Given> for Figure {
    type Error = &'static str;

    fn try_from(given: Given) -> Result<Figure, &'static str> {
        match (given.credits, given.quote) {
            (Some(credits), None) => Ok(Figure::Credits(OfCredits { credits })),
            (None, Some(quote)) => Ok(Figure::Quote(OfQuote { quote })),
            _ => Err(
                "name the figure that was seen, in one way: {\"credits\": 1950}, or {\"quote\": \"ID\"} of a plan",
            ),
        }
    }
}

/// Approves a request that awaits approval
///
/// The approval covers exactly this figure: when the quote is another by now, it is refused with 409. Scope approve.
#[utoipa::path(post, path = "/requests/{id}/approve", request_body = Figure, params(("id" = i64, Path)),
    responses((status = 200, body = Request, description = "Approved")))]
pub(super) async fn approve(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Id(id): Id,
    Body(figure): Body<Figure>,
) -> Result<Json<Request>, Problem> {
    caller.needs(&[Scope::Approve])?;
    // A task of its own: a caller that goes away does not stop it half way.
    let deciding = tokio::spawn(async move {
        lists::visible(&site, &caller, id).await?;
        let shown = match figure {
            Figure::Credits(figure) if figure.credits < 0 => {
                return Err(Problem::invalid("credits must be 0 or more"));
            }
            Figure::Credits(figure) => Credits(figure.credits),
            Figure::Quote(OfQuote { quote }) => {
                let row = inbox::rows(&site.store, &[id]).await?;
                let row = row.first().ok_or_else(|| {
                    Problem::conflict("no-row", "No row", "the inbox row is gone: approve the figure itself")
                })?;
                quoted(&site, &quote, &RawRow::from(row))?
            }
        };
        let reserved = reserve(&site, &caller, shown).await?;
        if let Err(refusal) = decide::approve(&site.store, RequestId(id), shown, site.clock.now()).await {
            if !matches!(
                refusal,
                decide::Refusal::Store(
                    StoreError::Stopped | StoreError::Unconfirmed | StoreError::Database { .. }
                )
            ) {
                give_back(&site, reserved).await?;
            }
            return Err(refusal.into());
        }
        note(&site, &caller, id, "approved_by").await;
        site.wake().await;
        Ok(Json(lists::visible(&site, &caller, id).await?))
    });
    deciding.await.unwrap_or_else(|_| Err(Problem::outcome_unknown()))
}

/// What a cancellation did.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Cancelled {
    id: i64,
    /// Contacts that will not be sent.
    contacts: u64,
    /// `accepted` while sent contacts are still followed.
    status: String,
}

/// Cancels what was not sent yet
///
/// What was sent is followed to its end, since it may be paid for. With scope propose or enqueue the token's own
/// requests; with scope approve any of its accounts.
#[utoipa::path(post, path = "/requests/{id}/cancel", params(("id" = i64, Path)),
    responses((status = 200, body = Cancelled)))]
pub(super) async fn cancel(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<Cancelled>, Problem> {
    caller.needs(&[Scope::Propose, Scope::Enqueue, Scope::Approve])?;
    let deciding = tokio::spawn(async move {
        let request = lists::visible(&site, &caller, id).await?;
        if !caller.has(Scope::Approve) && request.caller.as_ref() != Some(&caller.name) {
            let detail = format!(
                "request {id} was not asked for with this token: cancelling it needs the scope approve"
            );
            return Err(Problem::missing_scope(detail));
        }
        let accounts: Vec<AccountId> = site.config().accounts.keys().map(AccountId::trusted).collect();
        let cancelled = decide::cancel(&site.store, &accounts, RequestId(id), site.clock.now()).await?;
        note(&site, &caller, id, "cancelled_by").await;
        site.wake().await;
        Ok(Json(Cancelled { id, contacts: cancelled.contacts, status: cancelled.status }))
    });
    deciding.await.unwrap_or_else(|_| Err(Problem::outcome_unknown()))
}

/// The timeline says whose token it was. The decision is made already: without the note it counts as well.
async fn note(site: &Site, caller: &Caller, id: i64, event: &'static str) {
    tracing::info!(caller = caller.name, request = id, event, "decided over the HTTP API");
    let (now, name) = (site.clock.now(), caller.name.clone());
    let noted = site.store.write(move |connection| {
        Box::pin(async move { timeline::of_request(connection, now, RequestId(id), event, &name).await })
    });
    if let Err(error) = noted.await {
        tracing::warn!(%error, "the timeline does not say who decided");
    }
}
