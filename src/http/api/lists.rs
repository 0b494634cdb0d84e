//! Requests, their contacts and their timeline, page by page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::body::{Asked, Id};
use super::caller::Caller;
use super::problem::Problem;
use crate::config::Scope;
use crate::domain::outcome::Outcome;
use crate::http::Site;
use crate::store::report::export::{self, Wanted};
use crate::store::report::progress::{self, Entry};
use crate::store::report::requests::{self, Request};
use crate::store::report::{Time, direct};

const LIMIT: u32 = 100;
const MOST: u32 = 1_000;

/// Which part of a list.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Part {
    /// `next_cursor` of the page before
    #[param(minimum = 0)]
    pub(in crate::http) cursor: Option<i64>,
    /// Rows in one page, at most; 100 unless given
    #[param(minimum = 1, maximum = 1000)]
    pub(in crate::http) limit: Option<u32>,
}

impl Part {
    /// The cursor, and the number of rows.
    pub(super) fn checked(&self) -> Result<(Option<i64>, u32), Problem> {
        if self.cursor.is_some_and(|cursor| cursor < 0) {
            return Err(Problem::malformed("cursor must be the next_cursor of an earlier answer"));
        }
        Ok((self.cursor, limit(self.limit)?))
    }
}

pub(super) fn limit(limit: Option<u32>) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(LIMIT);
    match (1..=MOST).contains(&limit) {
        true => Ok(limit),
        false => Err(Problem::malformed(format!("limit must be 1 to {MOST}"))),
    }
}

/// The request, if the caller may see it.
pub(in crate::http) async fn visible(site: &Site, caller: &Caller, id: i64) -> Result<Request, Problem> {
    let request = requests::read(&site.store, id).await?;
    request
        .filter(|request| caller.may_use(&request.account))
        .ok_or_else(|| Problem::not_found(format!("there is no request {id}")))
}

/// Requests, newest first.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Requests {
    pub(in crate::http) requests: Vec<Request>,
    /// Of the next page; null after the last one.
    pub(in crate::http) next_cursor: Option<i64>,
}

/// Lists requests, newest first
///
/// Scope read.
#[utoipa::path(get, path = "/requests", params(Part), responses((status = 200, body = Requests)))]
pub(super) async fn requests(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Asked(part): Asked<Part>,
) -> Result<Json<Requests>, Problem> {
    Ok(Json(listed(&site, &caller, &part).await?))
}

pub(in crate::http) async fn listed(site: &Site, caller: &Caller, part: &Part) -> Result<Requests, Problem> {
    caller.needs(&[Scope::Read])?;
    let (cursor, limit) = part.checked()?;
    let before = cursor.unwrap_or(i64::MAX);
    let accounts = caller.accounts_json();
    let requests = requests::page(&site.store, accounts.as_deref(), before, limit).await?;
    let next_cursor = requests.last().filter(|_| requests.len() == limit as usize).map(|request| request.id);
    Ok(Requests { requests, next_cursor })
}

/// Shows one request
///
/// Scope read.
#[utoipa::path(get, path = "/requests/{id}", params(("id" = i64, Path)), responses((status = 200, body = Request)))]
pub(super) async fn request(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<Request>, Problem> {
    caller.needs(&[Scope::Read])?;
    Ok(Json(visible(&site, &caller, id).await?))
}

/// A contact of a request. `email` and `phone` are there with the scope values only.
#[derive(Serialize, schemars::JsonSchema, utoipa::ToSchema)]
pub(in crate::http) struct Contact {
    request_id: i64,
    reference: Option<String>,
    account: String,
    action: String,
    event_id: Option<String>,
    personnel_id: String,
    /// `pending` while it is not known yet.
    outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    error_code: Option<String>,
    source: Option<String>,
    job_id: Option<i64>,
    task_id: Option<String>,
    resolved_at: Option<Time>,
    /// When the value was read; earlier than `resolved_at` for the source store. Keep the newest by this.
    obtained_at: Option<Time>,
}

/// Contacts, in the order in which they were asked for.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Contacts {
    pub(in crate::http) contacts: Vec<Contact>,
    /// Of the next page; null after the last one.
    pub(in crate::http) next_cursor: Option<i64>,
}

/// Lists the contacts of a request
///
/// Scope read, or values for emails and phones.
#[utoipa::path(get, path = "/requests/{id}/contacts", params(("id" = i64, Path), Part),
    responses((status = 200, body = Contacts)))]
pub(super) async fn contacts(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Id(id): Id,
    Asked(part): Asked<Part>,
) -> Result<Json<Contacts>, Problem> {
    Ok(Json(contacts_of(&site, &caller, id, &part).await?))
}

pub(in crate::http) async fn contacts_of(
    site: &Site,
    caller: &Caller,
    id: i64,
    part: &Part,
) -> Result<Contacts, Problem> {
    caller.needs(&[Scope::Read, Scope::Values])?;
    visible(site, caller, id).await?;
    let (cursor, limit) = part.checked()?;
    let wanted = Wanted {
        request_id: Some(id),
        outcomes: Some(serde_json::json!(Outcome::NAMES).to_string()),
        ..Wanted::default()
    };
    let found = export::page(&site.store, &wanted, cursor.unwrap_or(0), limit).await?;
    let next_cursor = found.last().filter(|_| found.len() == limit as usize).map(|contact| contact.item_id);
    let shows_values = caller.has(Scope::Values);
    let contacts = found.into_iter().map(|contact| Contact {
        request_id: contact.request_id,
        reference: contact.reference,
        account: contact.account,
        action: contact.action,
        event_id: contact.event_id,
        personnel_id: contact.personnel_id,
        outcome: contact.outcome,
        email: contact.email.filter(|_| shows_values),
        phone: contact.phone.filter(|_| shows_values),
        error_code: contact.error_code,
        source: contact.source,
        job_id: contact.job_id,
        task_id: contact.task_id,
        resolved_at: contact.resolved_at,
        obtained_at: contact.obtained_at,
    });
    Ok(Contacts { contacts: contacts.collect(), next_cursor })
}

/// The timeline, oldest first.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Events {
    events: Vec<Entry>,
    /// Of the next page; null after the last one.
    next_cursor: Option<i64>,
}

/// Shows what happened to a request
///
/// Scope read.
#[utoipa::path(get, path = "/requests/{id}/events", params(("id" = i64, Path), Part),
    responses((status = 200, body = Events)))]
pub(super) async fn events(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Id(id): Id,
    Asked(part): Asked<Part>,
) -> Result<Json<Events>, Problem> {
    caller.needs(&[Scope::Read])?;
    visible(&site, &caller, id).await?;
    let (cursor, limit) = part.checked()?;
    let skipped = cursor.unwrap_or(0);
    let events = progress::timeline_page(&site.store, id, skipped, limit).await?;
    let next_cursor = (events.len() == limit as usize).then(|| skipped.saturating_add(i64::from(limit)));
    Ok(Json(Events { events, next_cursor }))
}

/// Shows the result of an event unlock or a search
///
/// A request for contacts has none: its contacts are its result. Scope read, and values for what a search has found.
#[utoipa::path(get, path = "/requests/{id}/result", params(("id" = i64, Path)),
    responses((status = 200, body = direct::ActionResult)))]
pub(super) async fn result(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<direct::ActionResult>, Problem> {
    caller.needs(&[Scope::Read])?;
    visible(&site, &caller, id).await?;
    let found = direct::read(&site.store, id).await?;
    let found = found.ok_or_else(|| Problem::not_found(format!("request {id} has no result of its own")))?;
    // People's names, with some addresses.
    let result = found.result.filter(|_| caller.has(Scope::Values));
    Ok(Json(direct::ActionResult { result, ..found }))
}
