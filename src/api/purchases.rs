//! The paid calls: the unlocks of contacts, which answer with a task, and the unlocks of an event and the searches, which
//! answer with their result.
//!
//! One search is a GET, and it is paid all the same, so it must not be repeated as other GETs may be. It is sent like the
//! paid POSTs: once, over a connection of its own, and without following redirects. Its headers forbid caches to answer
//! instead of the vendor.

use std::time::Duration;

use reqwest::{Method, Url};

use super::endpoint::Endpoint;
use super::error::ApiError;
use super::gate::Gate;
use super::transport::{Call, Exchange, exchange};
use super::{Answer, Caller, Client, UnlockBody, call, direct, wire};
use crate::domain::direct::Delivery;
use crate::domain::division::Submission;
use crate::domain::failure::Failure;
use crate::domain::{Action, Channel, EventId, Layers, Millis};

const UNLOCK_EMAILS: Endpoint =
    Endpoint { name: "POST /external/contacts/unlock", method: &Method::POST, paid: true };
const UNLOCK_PHONES: Endpoint =
    Endpoint { name: "POST /external/contacts/unlock-phone", method: &Method::POST, paid: true };
const UNLOCK_EVENT: Endpoint =
    Endpoint { name: "POST /external/events/{id}/unlock", method: &Method::POST, paid: true };
const UNLOCK_VISITORS: Endpoint =
    Endpoint { name: "POST /external/events/{id}/visitors/unlock", method: &Method::POST, paid: true };
const UNLOCK_FULL_ACCESS: Endpoint =
    Endpoint { name: "POST /external/events/{id}/full-access/unlock", method: &Method::POST, paid: true };
const SEARCH_COMPANIES: Endpoint =
    Endpoint { name: "POST /external/exhibitors/search-by-company-name", method: &Method::POST, paid: true };
const SEARCH_EVENTS: Endpoint =
    Endpoint { name: "POST /external/exhibitors/search-events", method: &Method::POST, paid: true };
const EVENTS_BY_NAME: Endpoint =
    Endpoint { name: "GET /external/personnel/events/by-name", method: &Method::GET, paid: true };

impl Client {
    /// Buys: unlocks the contacts of `body`. **Paid, and without an idempotency key**: after
    /// `Failure::Unknown` it may have taken effect, and must not be resent without checking first.
    ///
    /// `proceed` is called at the last moment before the body is sent. If it says no, or if the call fails
    /// before that, the API got nothing that it could carry out, and the error is `Failure::NotSent`.
    pub async fn submit_unlock(
        &self,
        caller: Caller<'_>,
        now: Millis,
        channel: Channel,
        body: &UnlockBody,
        proceed: impl FnOnce() -> bool + Send + Sync + 'static,
    ) -> Answer<Submission> {
        let (endpoint, last) = match channel {
            Channel::Email => (UNLOCK_EMAILS, "unlock"),
            Channel::Phone => (UNLOCK_PHONES, "unlock-phone"),
        };
        let url = self.url(&["external", "contacts", last]);
        let call = self.paid(call(endpoint, url, caller, now), body, proceed);
        exchange(&self.payments, call).await.conclude(wire::submission, |submission| match submission {
            Submission::Accepted { task_id, .. } => Some(task_id),
            Submission::NothingChargeable { .. } => None,
        })
    }

    /// Opens layers of an event. **Paid** for what is locked of them; the vendor documents that a repeat charges
    /// nothing for what is open. It has no body, so `proceed` is asked right before the call.
    pub async fn unlock_event(
        &self,
        caller: Caller<'_>,
        now: Millis,
        layers: Layers,
        event_id: &EventId,
        proceed: impl FnOnce() -> bool,
    ) -> Answer<Delivery> {
        let (endpoint, rest): (_, &[&str]) = match layers {
            Layers::Base => (UNLOCK_EVENT, &["unlock"]),
            Layers::Visitors => (UNLOCK_VISITORS, &["visitors", "unlock"]),
            Layers::Both => (UNLOCK_FULL_ACCESS, &["full-access", "unlock"]),
        };
        let url = self.url(&[&["external", "events", event_id.as_str()], rest].concat());
        match self.bodiless(call(endpoint, url, caller, now), proceed).await {
            Ok(exchange) => exchange
                .conclude(|bytes| direct::event_unlock(bytes, event_id).map(Delivery::Event), |_| None),
            Err(withheld) => withheld,
        }
    }

    /// Buys a page of a search: `body` is that of [`super::direct_body`]. **Paid when it finds something, and
    /// without an idempotency key**; `proceed` as with [`Client::submit_unlock`], but for the search for a person,
    /// which is a GET: there it is asked right before the call.
    pub async fn search(
        &self,
        caller: Caller<'_>,
        now: Millis,
        action: Action,
        body: &UnlockBody,
        proceed: impl FnOnce() -> bool + Send + Sync + 'static,
    ) -> Answer<Delivery> {
        let exchange = match action {
            Action::SearchPersonnelEvents => {
                let url = self.with_query(&["external", "personnel", "events", "by-name"], body);
                match self.bodiless(call(EVENTS_BY_NAME, url, caller, now), proceed).await {
                    Ok(exchange) => exchange,
                    Err(withheld) => return withheld,
                }
            }
            action => {
                let (endpoint, last) = match action {
                    Action::SearchExhibitorEvents => (SEARCH_EVENTS, "search-events"),
                    _ => (SEARCH_COMPANIES, "search-by-company-name"),
                };
                let url = self.url(&["external", "exhibitors", last]);
                exchange(&self.payments, self.paid(call(endpoint, url, caller, now), body, proceed)).await
            }
        };
        exchange.conclude(|bytes| direct::search_page(bytes).map(Delivery::Page), |_| None)
    }

    /// Puts the body of a paid call behind its gate.
    fn paid<'a>(
        &self,
        call: Call<'a>,
        body: &UnlockBody,
        proceed: impl FnOnce() -> bool + Send + Sync + 'static,
    ) -> Call<'a> {
        let (gate, gated) = Gate::new(body.bytes().to_vec(), proceed);
        Call { body: Some(gated), gate: Some(gate), call_source: Some(self.call_source), ..call }
    }

    /// The URL with a query that was made, and digested, before.
    fn with_query(&self, segments: &[&str], query: &UnlockBody) -> Url {
        let mut url = self.url(segments);
        url.set_query(std::str::from_utf8(query.bytes()).ok());
        url
    }

    /// Sends a paid call without a body, if `proceed` still says so; otherwise nothing is sent.
    async fn bodiless<'a, T>(
        &self,
        call: Call<'a>,
        proceed: impl FnOnce() -> bool,
    ) -> Result<Exchange<'a>, Answer<T>> {
        if proceed() {
            let call = Call { call_source: Some(self.call_source), ..call };
            return Ok(exchange(&self.payments, call).await);
        }
        Err(Answer {
            result: Err(ApiError::new(call.endpoint, Failure::NotSent)),
            rate: None,
            ahead_ms: None,
            retry_after_ms: None,
            endpoint: call.endpoint.name,
            status: None,
            took: Duration::ZERO,
        })
    }
}
