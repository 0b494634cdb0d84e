//! `POST /requests`: writes an inbox row, in one transaction and by the rules of every other row.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::body::Body;
use super::caller::Caller;
use super::problem::Problem;
use super::wanted::{NewRequest, Understood};
use crate::config::Scope;
use crate::domain::credits::Approval;
use crate::domain::ids::DAY_MS;
use crate::domain::request::Wish;
use crate::domain::{Credits, Millis};
use crate::http::Site;
use crate::store::callers::{self, Reserved};
use crate::store::inbox;
use crate::store::report::Time;
use crate::store::report::requests::Request;
use crate::worker::people::plan;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Asks for something to be bought
///
/// Scope enqueue: under the usual rules. Scope propose: the request always waits for a person. Send an Idempotency-Key,
/// so that the call can be repeated: the same content again is answered with 200 and the request that was written first.
#[utoipa::path(post, path = "/requests", operation_id = "enqueue", request_body = NewRequest,
    params(("Idempotency-Key" = Option<String>, Header, max_length = 200, description = "The dedupe_key of the row")),
    responses(
        (status = 201, body = Request, description = "Written", headers(("Location" = String))),
        (status = 200, body = Request, description = "Written before, with this Idempotency-Key"),
    ))]
pub(super) async fn request(
    State(site): State<Arc<Site>>,
    caller: Caller,
    headers: HeaderMap,
    Body(wanted): Body<NewRequest>,
) -> Result<Response, Problem> {
    caller.needs(&[Scope::Propose, Scope::Enqueue])?;
    let key = idempotency_key(&headers)?;
    match submitted(site, caller, wanted, key).await? {
        Submitted { request, is_new: true, .. } => {
            let location = [(header::LOCATION, format!("/api/v1/requests/{}", request.id))];
            Ok((StatusCode::CREATED, location, Json(request)).into_response())
        }
        Submitted { request, .. } => Ok((StatusCode::OK, Json(request)).into_response()),
    }
}

/// The request that a call has led to.
pub(in crate::http) struct Submitted {
    pub(in crate::http) request: Request,
    /// False: it was written before, with this key.
    pub(in crate::http) is_new: bool,
    /// What it may cost, if it is new and an agent asked.
    pub(in crate::http) quote: Option<i64>,
}

/// Writes the row. The same for every caller.
pub(in crate::http) async fn submitted(
    site: Arc<Site>,
    caller: Caller,
    wanted: NewRequest,
    key: Option<String>,
) -> Result<Submitted, Problem> {
    caller.needs(&[Scope::Propose, Scope::Enqueue])?;
    let understood = wanted.understand(&caller, key, &site.config())?;
    // A task of its own: a caller that goes away does not stop it half way.
    let writing = tokio::spawn(async move { write(&site, &caller, understood).await });
    writing.await.unwrap_or_else(|_| Err(Problem::outcome_unknown()))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return match headers.contains_key(IDEMPOTENCY_KEY) {
            true => Err(Problem::malformed("send one Idempotency-Key")),
            false => Ok(None),
        };
    };
    match key.to_str().map(str::trim) {
        Ok(key) if !key.is_empty() => Ok(Some(key.to_owned())),
        _ => Err(Problem::malformed("Idempotency-Key must be 1 to 200 visible characters of ASCII")),
    }
}

async fn write(site: &Site, caller: &Caller, understood: Understood) -> Result<Submitted, Problem> {
    let before_it = |request| Submitted { request, is_new: false, quote: None };
    let Understood { mut row, request, .. } = understood;
    if let Some(written) = before(site, &row).await? {
        return Ok(before_it(written));
    }
    // Only a limit and an agent ask what it may cost. The worker decides by its own estimate.
    let figures = match caller.daily_credits.is_some() || caller.agent.is_some() {
        true => Some(plan::figures(&site.config(), &site.store, &request).await?),
        false => None,
    };
    let counted = figures.as_ref().filter(|_| caller.daily_credits.is_some());
    // Its cost may have fallen below the limit by the time a worker takes it: then it was not counted.
    row.needs_approval |= counted.is_some_and(|figures| figures.approval == Approval::Needed);
    let may_be_bought = !row.needs_approval && !matches!(request.wish, Wish::Adopt { .. });
    let reserved = match counted {
        Some(figures) if may_be_bought && figures.approval == Approval::NotNeeded => {
            reserve(site, caller, figures.quote).await?
        }
        _ => None,
    };
    let row = Arc::new(row);
    match site.inserts.insert(&site.store, row.clone()).await {
        Ok(Some(request)) => {
            tracing::info!(caller = caller.name, request = request.id, "a request over the HTTP API");
            site.wake().await;
            Ok(Submitted { request, is_new: true, quote: figures.map(|figures| figures.quote.0) })
        }
        // Another call with this key was first.
        Ok(None) => {
            give_back(site, reserved).await?;
            let written = before(site, &row).await?;
            let written = written.ok_or_else(|| {
                let detail = "the request with this key was removed at this moment: ask again";
                Problem::conflict("changed", "Changed in the meantime", detail)
            })?;
            Ok(before_it(written))
        }
        Err(error) => {
            // The row may be there after all when the commit failed: then the credits stay counted.
            if let crate::store::StoreError::Inbox { .. } = error {
                give_back(site, reserved).await?;
            }
            Err(error.into())
        }
    }
}

/// The request that has the row's dedupe key, if it asks for the same.
async fn before(site: &Site, row: &inbox::Enqueue) -> Result<Option<Request>, Problem> {
    let Some(key) = &row.dedupe_key else { return Ok(None) };
    let Some(there) = inbox::find_dedupe_key(&site.store, &row.account, key).await? else { return Ok(None) };
    let (id, differing) = (there.id, inbox::differing(&there, row));
    if differing.is_empty() {
        let request = crate::store::report::requests::read(&site.store, id).await?;
        return request.map(Some).ok_or_else(|| {
            let detail =
                format!("request {id} had this key and was removed (retention.history): use another key");
            Problem::conflict("removed", "Removed", detail)
        });
    }
    let columns = differing.join(", ");
    let detail =
        format!("request {id} has this key and differs in {columns}: use another key, or the same content");
    Err(Problem::conflict("another-content", "Another content", detail))
}

/// Counts credits on the caller's day; the id of the reservation, if the caller has a limit.
pub(super) async fn reserve(site: &Site, caller: &Caller, credits: Credits) -> Result<Option<i64>, Problem> {
    let Some(limit) = caller.daily_credits else { return Ok(None) };
    let now: Millis = site.clock.now();
    match callers::reserve(&site.store, &caller.name, limit, credits, now).await? {
        Reserved::Yes(id) => Ok(Some(id)),
        Reserved::Over { left } => {
            let tomorrow = Time::from(now.start_of_day().plus(DAY_MS));
            Err(Problem::over_daily_credits(format!(
                "this is quoted at {credits} credits, and the token {} may ask for {left} more until {tomorrow} \
                 (http.tokens.{}.daily_credits = {limit})",
                caller.name, caller.name
            )))
        }
    }
}

pub(super) async fn give_back(site: &Site, reserved: Option<i64>) -> Result<(), Problem> {
    match reserved {
        Some(id) => Ok(callers::release(&site.store, id).await?),
        None => Ok(()),
    }
}
