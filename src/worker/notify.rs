//! Sends events to `notify.url`: signed as Standard Webhooks requires, at least once, in any order.
//!
//! Messages come from the outbox; each is written in the transaction of the change that it reports. A message
//! that was delivered, but not marked so before a crash, is delivered again with the same `webhook-id`. A
//! failed delivery is retried with growing pauses for about three days; after 410 Gone nothing more is sent
//! until the next start. Webhooks do not count against the API's limit, and no pass waits for them. The
//! address and the secret are never logged.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::StreamExt;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::Sha256;

use crate::api::ApiBuildError;
use crate::config::{self, KeyError};
use crate::domain::{Millis, pacing};
use crate::store::outbox::{self, Message};
use crate::store::report::Time;
use crate::store::{Store, StoreError};
use crate::worker::{Deps, Report};

/// One delivery, from the name lookup to the answer's headers.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Deliveries at once: a slow receiver delays only a few, and is not flooded.
const AT_ONCE: usize = 8;
/// How long messages are kept after delivery or the last attempt, in milliseconds.
const KEPT_FOR_MS: i64 = 7 * 24 * 3_600_000;
/// The pause before an unreadable secret is read again, in milliseconds.
const SECRET_AGAIN_MS: i64 = 30_000;

/// The receiver, and how to reach it.
pub struct Notifier {
    http: reqwest::Client,
    url: String,
    secret_file: PathBuf,
    /// So that an outage is logged once, not for each message.
    is_failing: AtomicBool,
    lacks_secret: AtomicBool,
}

/// The result of a delivery.
enum Delivery {
    Delivered,
    /// 410: the receiver wants no more messages.
    Gone,
    Failed(String),
}

impl Notifier {
    /// `None` without `notify.url`.
    pub(super) fn new(config: &config::Notify) -> Result<Option<Notifier>, ApiBuildError> {
        let (Some(url), Some(secret_file)) = (&config.url, &config.secret_file) else { return Ok(None) };
        let builder = reqwest::Client::builder()
            .user_agent(concat!("unlockd/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            // A message is only for the configured address, not for another one that it redirects to.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .http1_only();
        let builder = match url.starts_with("https:") {
            true => builder.https_only(true),
            // A loopback address needs no certificates, and must work where none are installed.
            false => builder.tls_certs_only(std::iter::empty()),
        };
        Ok(Some(Notifier {
            http: builder.build().map_err(ApiBuildError::of)?,
            url: url.clone(),
            secret_file: secret_file.clone(),
            is_failing: AtomicBool::new(false),
            lacks_secret: AtomicBool::new(false),
        }))
    }

    /// Read again each time, so that it can be changed while the program runs.
    fn secrets(&self) -> Result<Vec<SecretSlice<u8>>, KeyError> {
        let secrets = config::read_signing_secrets(&self.secret_file);
        let lacked = self.lacks_secret.swap(secrets.is_err(), Ordering::Relaxed);
        if let Err(error) = &secrets
            && !lacked
        {
            tracing::error!(error = %error, "webhook messages wait: they cannot be signed");
        }
        secrets
    }

    async fn post(&self, message: &Message, secrets: &[SecretSlice<u8>], now: Millis) -> Delivery {
        let (body, timestamp) = (body(message), (now.0 / 1_000).to_string());
        let request = self
            .http
            .post(&self.url)
            .header("content-type", "application/json")
            .header("webhook-id", &message.message_id)
            .header("webhook-timestamp", &timestamp)
            .header("webhook-signature", signatures(secrets, &message.message_id, &timestamp, &body))
            .body(body);
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Delivery::Delivered,
            Ok(answer) if answer.status().as_u16() == 410 => Delivery::Gone,
            Ok(answer) => Delivery::Failed(format!("status {}", answer.status().as_u16())),
            Err(error) if error.is_timeout() => Delivery::Failed("no answer in time".to_owned()),
            Err(error) if error.is_connect() => Delivery::Failed("no connection".to_owned()),
            Err(error) => Delivery::Failed(error.without_url().to_string()),
        }
    }

    fn note(&self, delivery: &Delivery, message: &Message) {
        let (message_id, kind) = (message.message_id.as_str(), message.kind.as_str());
        let fails = matches!(delivery, Delivery::Failed(_));
        let failed = self.is_failing.swap(fails, Ordering::Relaxed);
        match delivery {
            Delivery::Failed(why) if !failed => tracing::warn!(
                message_id,
                kind,
                why,
                "notify.url does not take webhook messages; they are kept and tried again"
            ),
            Delivery::Failed(why) => {
                tracing::debug!(message_id, kind, why, "a webhook message was not taken")
            }
            Delivery::Delivered if failed => tracing::info!("notify.url takes webhook messages again"),
            Delivery::Delivered => tracing::debug!(message_id, kind, "a webhook message was delivered"),
            Delivery::Gone => tracing::error!(
                message_id,
                kind,
                "notify.url answered 410 Gone: nobody is told anything \
                until the next start; remove notify.url, or set another one"
            ),
        }
    }
}

/// Whether a receiver is configured.
pub fn is_wanted(deps: &Deps) -> bool {
    deps.notifier.is_some()
}

/// At start: opens the outbox if a receiver is configured, and closes it otherwise, so that a receiver that
/// is configured later gets no old messages.
pub async fn begin(deps: &Deps) -> Result<(), StoreError> {
    if is_wanted(deps) {
        let events = deps.config().notify.events.clone();
        let open = deps
            .store
            .write(move |connection| Box::pin(async move { outbox::open(connection, &events).await }));
        return open.await;
    }
    close(&deps.store, deps.clock.now()).await
}

async fn close(store: &Store, now: Millis) -> Result<(), StoreError> {
    let given_up = store.write(move |connection| Box::pin(outbox::close(connection, now))).await?;
    if given_up > 0 {
        tracing::warn!(messages = given_up, "webhook messages that were not delivered yet are given up");
    }
    Ok(())
}

/// Whether a message waits for its first attempt and can be sent.
pub async fn has_news(deps: &Deps) -> Result<bool, StoreError> {
    let can_tell =
        deps.notifier.as_ref().is_some_and(|notifier| !notifier.lacks_secret.load(Ordering::Relaxed));
    Ok(can_tell && outbox::has_untried(deps.store.readers()).await?)
}

/// Delivers the messages that are due, a few at once.
pub async fn run(deps: &Deps) -> Result<Report, StoreError> {
    let Some(notifier) = &deps.notifier else { return Ok(Report::idle()) };
    let now = deps.clock.now();
    let due = outbox::due(deps.store.readers(), now, AT_ONCE as u32).await?;
    if due.is_empty() {
        prune(deps, now).await?;
        let next = outbox::next_due(deps.store.readers()).await?;
        return Ok(Report::idle().no_later_than(next));
    }
    let Ok(secrets) = notifier.secrets() else { return Ok(Report::at(now.plus(SECRET_AGAIN_MS))) };
    let mut report = Report::idle();
    let secrets = &secrets;
    let mut ended = futures_util::stream::iter(due)
        .map(|message| deliver(deps, notifier, secrets, message))
        .buffer_unordered(AT_ONCE);
    while let Some(one) = ended.next().await {
        one?;
        report.did += 1;
    }
    Ok(report)
}

async fn deliver(
    deps: &Deps,
    notifier: &Notifier,
    secrets: &[SecretSlice<u8>],
    message: Message,
) -> Result<(), StoreError> {
    let delivery = notifier.post(&message, secrets, deps.clock.now()).await;
    notifier.note(&delivery, &message);
    let (id, now, attempts) = (message.id, deps.clock.now(), message.attempts + 1);
    let metrics = deps.store.metrics();
    match delivery {
        Delivery::Delivered => {
            metrics.notified("delivered");
            deps.store.write(move |connection| Box::pin(outbox::delivered(connection, id, now))).await
        }
        Delivery::Gone => {
            metrics.notified("given_up");
            close(&deps.store, now).await
        }
        Delivery::Failed(why) => match pacing::redelivery_delay_ms(attempts, fastrand::f64()) {
            Some(delay) => {
                metrics.notified("failed");
                let due_at = now.plus(delay);
                deps.store.write(move |connection| Box::pin(outbox::retry(connection, id, due_at))).await
            }
            None => {
                metrics.notified("given_up");
                let (message_id, kind) = (message.message_id.as_str(), message.kind.as_str());
                tracing::error!(
                    message_id,
                    kind,
                    attempts,
                    why,
                    "a webhook message is given up: it was never taken"
                );
                deps.store.write(move |connection| Box::pin(outbox::give_up(connection, id, now))).await
            }
        },
    }
}

/// Messages in one transaction: a worker writes between two of them.
const REPLAYED_AT_ONCE: u32 = 1_000;

/// Lets the messages of changes since a time be delivered once more. Returns how many. A receiver tells those that it
/// has by their `webhook-id`.
pub async fn replay(store: &Store, since: Millis) -> Result<usize, StoreError> {
    let (mut count, mut after) = (0, 0);
    let up_to = outbox::newest(store.readers()).await?;
    loop {
        let replayed = store
            .write(move |connection| {
                Box::pin(outbox::replay(connection, since, (after, up_to), REPLAYED_AT_ONCE))
            })
            .await?;
        let Some(last) = replayed.last() else { return Ok(count) };
        (count, after) = (count + replayed.len(), *last);
    }
}

async fn prune(deps: &Deps, now: Millis) -> Result<(), StoreError> {
    let before = now.plus(-KEPT_FOR_MS);
    if !outbox::has_ended(deps.store.readers(), before).await? {
        return Ok(());
    }
    deps.store.write(move |connection| Box::pin(outbox::prune(connection, before, 1_000))).await
}

#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'a str,
    timestamp: Time,
    data: &'a RawValue,
}

/// The body: the same at every attempt.
fn body(message: &Message) -> String {
    let data = RawValue::from_string(message.data.clone()).unwrap_or_else(|_| RawValue::NULL.to_owned());
    let payload = Payload { r#type: &message.kind, timestamp: Time(message.at), data: &data };
    serde_json::to_string(&payload).expect("text, a time and JSON")
}

/// One signature for each secret, as Standard Webhooks writes them: over id, time and body.
fn signatures(secrets: &[SecretSlice<u8>], message_id: &str, timestamp: &str, body: &str) -> String {
    let sign = |secret: &SecretSlice<u8>| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret()).expect("any length is a key");
        for part in [message_id, ".", timestamp, ".", body] {
            mac.update(part.as_bytes());
        }
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    };
    secrets.iter().map(sign).collect::<Vec<_>>().join(" ")
}
