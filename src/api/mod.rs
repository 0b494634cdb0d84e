//! The client of the vendor's HTTP API: one method for each endpoint, nothing else.
//!
//! Each method sends one request, once, and returns the result in domain types; nothing here retries, waits,
//! decides or keeps state. [`ApiError`] distinguishes calls that were certainly not sent, calls that the API
//! refused, and calls that may have taken effect.
//!
//! The free calls are here, and the paid ones in `purchases`. Inside: `connect` says how the server is reached. `body`
//! builds the JSON that is sent, and `gate` guards that of a paid POST. `transport` sends a call over its `line`;
//! `headers` reads the rate limit, `encoding` unpacks, and `classify` reads error answers. `wire`, `task`, `people` and
//! `direct` read the JSON of the other answers, with the help of `fields` and `json`. `error` holds what may be logged.
//!
//! Source: the vendor's OpenAPI description, version 0.27.0.

mod body;
mod classify;
mod connect;
mod direct;
mod encoding;
mod endpoint;
mod error;
mod fields;
#[cfg(test)]
mod fuzz;
mod gate;
mod headers;
mod json;
mod line;
mod people;
mod precheck;
mod purchases;
mod task;
mod transport;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, Url};
use secrecy::SecretString;

pub use self::body::{Subject, UnlockBody, direct_body, unlock_body};
pub use self::connect::Settings;
use self::connect::{base_url, http};
use self::endpoint::Endpoint;
pub use self::error::{ApiBuildError, ApiError};
use self::line::Line;
pub use self::line::{Carried, Lost, Wire};
use self::transport::{Call, Exchange, exchange};
use crate::domain::bulk::{List, ListPage};
use crate::domain::credits::Balance;
use crate::domain::direct::{Direct, PersonnelPage};
use crate::domain::layers::OpenLayers;
use crate::domain::outcome::ProfileView;
use crate::domain::rate::RateHeaders;
use crate::domain::sorting::Quote;
use crate::domain::task::TaskView;
use crate::domain::{AccountId, Channel, EventId, JobId, Layers, Millis, PersonnelId, TaskId};
pub(crate) use classify::SLOT_TAKEN;

const BALANCE: Endpoint =
    Endpoint { name: "GET /external/credits/balance", method: &Method::GET, paid: false };
const PRECHECK: Endpoint =
    Endpoint { name: "POST /external/actions/precheck", method: &Method::POST, paid: false };
const PROFILE: Endpoint =
    Endpoint { name: "GET /external/personnel/profile", method: &Method::GET, paid: false };
const EMAIL_TASK: Endpoint =
    Endpoint { name: "GET /external/contacts/unlock-tasks/{taskId}", method: &Method::GET, paid: false };
const PHONE_TASK: Endpoint = Endpoint {
    name: "GET /external/contacts/unlock-phone-tasks/{taskId}",
    method: &Method::GET,
    paid: false,
};
const PERSONNEL: Endpoint =
    Endpoint { name: "GET /external/personnel/list", method: &Method::GET, paid: false };
const CONTACTS: Endpoint =
    Endpoint { name: "GET /external/contacts/search", method: &Method::GET, paid: false };

/// Who makes the call and why: logged, never sent (except the key and the request id).
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    pub account: &'a AccountId,
    pub key: &'a SecretString,
    /// `X-Request-ID`: new for each call.
    pub request_id: uuid::Uuid,
    pub job_id: Option<JobId>,
    /// The event of the contacts; a precheck sends it, too.
    pub event_id: Option<&'a EventId>,
}

/// The result of a call.
#[derive(Debug)]
pub struct Answer<T> {
    pub result: Result<T, ApiError>,
    /// The rate headers, converted to our clock; failures have them, too.
    pub rate: Option<RateHeaders>,
    /// How far the API's clock is ahead of ours, in milliseconds, if the answer had a date.
    pub ahead_ms: Option<i64>,
    /// How long a failed answer of any status asked to wait before the next call (`Retry-After`), in
    /// milliseconds.
    pub retry_after_ms: Option<i64>,
    /// Method and path pattern of the endpoint that was called.
    pub endpoint: &'static str,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    pub took: Duration,
}

/// The client; cheap to clone.
///
/// Every method takes `now`, the caller's clock at the start of the call: it is used only to convert the
/// API's times to that clock.
#[derive(Clone, Debug)]
pub struct Client {
    base: Url,
    call_source: &'static str,
    /// For all free calls.
    reads: Line,
    /// For paid calls: each uses a new connection, since a pooled one may already be dead, and then nobody
    /// knows whether the server has read the request. A GET might even be sent again then.
    payments: Line,
}

impl Client {
    /// Creates a client; makes no call.
    pub fn new(settings: &Settings) -> Result<Client, ApiBuildError> {
        let base = base_url(&settings.base_url)?;
        // Fails if another provider is already installed, which is fine.
        rustls::crypto::ring::default_provider().install_default().ok();
        let build =
            |builder: reqwest::ClientBuilder| builder.build().map(Line::new).map_err(ApiBuildError::of);
        Ok(Client {
            reads: build(http(settings, &base)?)?,
            payments: build(http(settings, &base)?.pool_max_idle_per_host(0))?,
            call_source: settings.call_source,
            base,
        })
    }

    /// The same client with its calls carried by `wire`. For tests: no configuration leads here.
    pub fn over(self, wire: Arc<dyn Wire>) -> Client {
        Client { reads: self.reads.over(wire.clone()), payments: self.payments.over(wire), ..self }
    }

    /// Reads the account's credits. Free.
    pub async fn balance(&self, caller: Caller<'_>, now: Millis) -> Answer<Balance> {
        let url = self.url(&["external", "credits", "balance"]);
        exchange(&self.reads, call(BALANCE, url, caller, now)).await.conclude(wire::balance, |_| None)
    }

    /// Asks what something would cost. Free, and only advice: an answer without a clear result is
    /// [`Quote::Unhelpful`].
    pub async fn precheck(&self, caller: Caller<'_>, now: Millis, subject: Subject<'_>) -> Answer<Quote> {
        self.ask_precheck(caller, now, subject).await.conclude(precheck::quote, |_| None)
    }

    /// Asks which layers of an event are open, by the precheck of their unlock. Free.
    pub async fn open_layers(
        &self,
        caller: Caller<'_>,
        now: Millis,
        layers: Layers,
        event_id: &EventId,
    ) -> Answer<OpenLayers> {
        let event = Direct::Event { layers, event_id: event_id.clone() };
        let answer = self.ask_precheck(caller, now, Subject::Direct(&event)).await;
        answer.conclude(|bytes| precheck::open_layers(bytes, layers), |_| None)
    }

    async fn ask_precheck<'a>(&self, caller: Caller<'a>, now: Millis, subject: Subject<'_>) -> Exchange<'a> {
        let url = self.url(&["external", "actions", "precheck"]);
        let body = body::precheck_body(subject, self.call_source, (caller.job_id, caller.event_id));
        exchange(&self.reads, Call { body: Some(body.into()), ..call(PRECHECK, url, caller, now) }).await
    }

    /// Reads a task. Free. An answer about another task is an error.
    pub async fn task(
        &self,
        caller: Caller<'_>,
        now: Millis,
        channel: Channel,
        task_id: &TaskId,
    ) -> Answer<TaskView> {
        let (endpoint, folder) = match channel {
            Channel::Email => (EMAIL_TASK, "unlock-tasks"),
            Channel::Phone => (PHONE_TASK, "unlock-phone-tasks"),
        };
        let url = self.url(&["external", "contacts", folder, task_id.as_str()]);
        let call = Call { task_id: Some(task_id), ..call(endpoint, url, caller, now) };
        exchange(&self.reads, call).await.conclude(|bytes| task::read(bytes, channel, task_id), |_| None)
    }

    /// Reads a contact, for one channel. Free. An answer about another contact is an error.
    pub async fn profile(
        &self,
        caller: Caller<'_>,
        now: Millis,
        channel: Channel,
        personnel_id: &PersonnelId,
    ) -> Answer<ProfileView> {
        let mut url = self.url(&["external", "personnel", "profile"]);
        url.query_pairs_mut().append_pair("personnel_id", personnel_id.as_str());
        exchange(&self.reads, call(PROFILE, url, caller, now))
            .await
            .conclude(|bytes| wire::profile(bytes, channel, personnel_id), |_| None)
    }

    /// Reads a page of an event's people. Free. `filters` are sent unchanged.
    pub async fn personnel(
        &self,
        caller: Caller<'_>,
        now: Millis,
        event_id: &EventId,
        (page, page_size): (u32, u32),
        filters: &[(String, String)],
    ) -> Answer<PersonnelPage> {
        let mut url = self.url(&["external", "personnel", "list"]);
        url.query_pairs_mut()
            .append_pair("event_id", event_id.as_str())
            .append_pair("page", &page.to_string())
            .append_pair("pageSize", &page_size.to_string())
            .extend_pairs(filters);
        exchange(&self.reads, call(PERSONNEL, url, caller, now))
            .await
            .conclude(direct::personnel_page, |_| None)
    }

    /// Reads a page of people with their unlocked values of `channel`. Free.
    pub async fn people(
        &self,
        caller: Caller<'_>,
        now: Millis,
        channel: Channel,
        list: &List,
        page: u32,
    ) -> Answer<ListPage> {
        let (endpoint, path, name, value) = match list {
            List::Event(event_id) => {
                (PERSONNEL, ["external", "personnel", "list"], "event_id", event_id.as_str())
            }
            List::Company(company) => {
                (CONTACTS, ["external", "contacts", "search"], "company_name", company.as_str())
            }
        };
        let mut url = self.url(&path);
        url.query_pairs_mut()
            .append_pair(name, value)
            .append_pair("page", &page.to_string())
            .append_pair("pageSize", &list.page_size().to_string());
        exchange(&self.reads, call(endpoint, url, caller, now))
            .await
            .conclude(|bytes| people::page(bytes, channel), |_| None)
    }

    /// The base URL with these path segments, each percent-encoded.
    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("http URLs have a path").pop_if_empty().extend(segments);
        url
    }
}

/// A call without a body.
fn call(endpoint: Endpoint, url: Url, caller: Caller<'_>, now: Millis) -> Call<'_> {
    Call { endpoint, url, caller, now, task_id: None, call_source: None, body: None, gate: None }
}
