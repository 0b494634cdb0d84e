//! The only way to the API for one account: key, rate limit and calls in flight. The gates of all accounts share
//! one limit for their address ([`Host`]).
//!
//! A pass calls [`Gate::enter`] and gets a [`Permit`], a time to try again, or the reason why no call is
//! allowed. A call is recorded in the database before it is sent, so that a crash loop cannot exceed the
//! limit. No pass sleeps here: the driver waits.
//!
//! As many free calls are in flight as the limit needs with the answers that the API gives: two while it answers
//! quickly, so that a refused key is noticed after at most one more call, and more while it is slow
//! ([`Gate::worth_in_flight`]). Paid calls go out one at a time.
//!
//! Its files: `call` (a whole free call), `entry` (whether a call may be made now), `permit` (one call, and what
//! its answer says), `key` (only a key that was not refused is used), `backoff` (failures in a row, and the pause
//! after them), [`host`] (the calls of all accounts together).

mod backoff;
mod call;
pub(in crate::worker) mod entry;
pub mod host;
mod key;
mod permit;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::api::Client;
use crate::clock::Clock;
use crate::domain::key_retry::RefusedKey;
use crate::domain::pacing::{self, Ladder};
use crate::domain::rate::{MOST_IN_FLIGHT, Rate};
use crate::domain::turns::{Class, Turns};
use crate::domain::usage::Usage;
use crate::domain::{AccountId, Millis};
use crate::store::{Store, StoreError, accounts, address, rate};
use crate::worker::gate::host::Host;
use backoff::Backoff;
pub use call::Called;
pub use entry::Entry;
pub use key::Key;
pub use permit::{Lesson, Permit};

/// What the gate knows. The database has what the next start needs of it: the limit, the calls of the last window, a
/// refused key, trouble, and the most contacts of one call.
struct Knowledge {
    key: Option<Key>,
    /// The key that was refused.
    refused: Option<RefusedKey>,
    /// When the refused key was last tried again.
    key_tried_at: Option<Millis>,
    /// The last resume that this gate knows of.
    resumed_at: Option<i64>,
    rate: Rate,
    /// The rate has changed since it was last stored.
    is_rate_unstored: bool,
    in_flight: u32,
    usage: Usage,
    /// Failed calls in a row that show that the API is unhealthy: no new work is sent for a while.
    trouble: Backoff,
    /// Failed balance reads in a row, for any reason.
    balance: Backoff,
    /// How far the API's clock was ahead of ours at the last dated answer, in milliseconds.
    ahead_ms: Option<i64>,
    turns: Turns,
    /// The most contacts of one call, if the API has said so.
    most_contacts: Option<u32>,
    /// For each class that was refused a call: until when it may come back first.
    expected: [Millis; Class::ALL.len()],
}

impl Knowledge {
    /// What is to be stored of the rate limit.
    fn take_unstored(&mut self) -> Option<Rate> {
        std::mem::take(&mut self.is_rate_unstored).then(|| self.rate.clone())
    }
}

pub struct Gate {
    pub account: AccountId,
    pub client: Client,
    host: Host,
    store: Store,
    clock: Clock,
    slots: Arc<Semaphore>,
    knowledge: Mutex<Knowledge>,
}

impl Gate {
    /// Opens a gate with what was known before the restart.
    pub async fn open(
        account: AccountId,
        host: Host,
        key: Option<Key>,
        per_minute: u32,
        store: Store,
        clock: Clock,
    ) -> Result<Gate, StoreError> {
        let rate = rate::read_rate(store.readers(), &account, per_minute, clock.now()).await?;
        let row = accounts::read(store.readers(), &account).await?;
        let resumed_at = row.resumed_at;
        let refused = row.refused();
        let knowledge = Knowledge {
            key,
            refused,
            // A restart is no reason to try a refused key: a worker in a restart loop would never stop
            // trying.
            key_tried_at: Some(clock.now()),
            resumed_at,
            rate,
            is_rate_unstored: false,
            in_flight: 0,
            usage: Usage::default(),
            trouble: Backoff::before_start(row.trouble_since.map(Millis)),
            balance: Backoff::default(),
            ahead_ms: None,
            turns: Turns::default(),
            most_contacts: row.most_contacts(),
            expected: Default::default(),
        };
        store.metrics().account_opened(&account);
        let slots = Arc::new(Semaphore::new(MOST_IN_FLIGHT));
        let client = host.client.clone();
        Ok(Gate { account, client, host, store, clock, slots, knowledge: Mutex::new(knowledge) })
    }

    fn knowledge(&self) -> std::sync::MutexGuard<'_, Knowledge> {
        // A panic elsewhere ends the process, and the figures are never half written.
        self.knowledge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls of the last hour, and the limit: calls in a window of so many milliseconds.
    pub fn usage(&self) -> (Vec<(Millis, u32)>, u32, i64) {
        let knowledge = self.knowledge();
        let (limit, window_ms) = (knowledge.rate.limit(), knowledge.rate.window_ms());
        (knowledge.usage.last_hour(self.clock.now()), limit, window_ms)
    }

    /// Whether a call is in flight.
    pub fn is_calling(&self) -> bool {
        self.knowledge().in_flight > 0
    }

    /// Whether all allowed calls are in flight: the next one waits for one of them.
    pub fn is_full(&self) -> bool {
        self.slots.available_permits() == 0
    }

    /// Sets the configured limit.
    pub fn set_per_minute(&self, per_minute: u32) {
        self.knowledge().rate.configure(per_minute);
    }

    /// New work waits until this time because the API is unhealthy.
    pub fn trouble_until(&self) -> Millis {
        self.knowledge().trouble.until
    }

    /// No pass reads the balance before this time, because the last read failed.
    pub fn no_balance_until(&self) -> Millis {
        self.knowledge().balance.until
    }

    /// Since when no read of the balance succeeds, as far as this process has tried.
    pub fn no_balance_since(&self) -> Option<Millis> {
        self.knowledge().balance.since
    }

    /// Learns whether the balance could be read. A refused read does not mean that the API is unhealthy, so
    /// nothing else would slow down the retries.
    pub fn note_balance(&self, is_read: bool) {
        let (now, mut knowledge) = (self.clock.now(), self.knowledge());
        match is_read {
            true => knowledge.balance.over(),
            false => knowledge.balance.failed(now),
        }
    }

    /// The calls allowed in a window, and how many are left now.
    pub fn calls_left(&self, now: Millis) -> (u32, u32) {
        let knowledge = self.knowledge();
        (knowledge.rate.limit(), knowledge.rate.left(now))
    }

    /// The most contacts of one call, if the API has said so.
    pub fn most_contacts(&self) -> Option<u32> {
        self.knowledge().most_contacts
    }

    /// Learns that the API refused a call with more contacts than this. Kept, since each refusal costs a call.
    pub async fn learn_most_contacts(&self, most: u32) -> Result<(), StoreError> {
        let (account, most) = (self.account.clone(), most.max(1));
        self.knowledge().most_contacts = Some(most);
        self.store
            .write(move |tx| Box::pin(async move { accounts::set_most_contacts(tx, &account, most).await }))
            .await
    }

    /// How far the API's clock was ahead of ours at the last dated answer, in milliseconds.
    pub fn ahead_ms(&self) -> Option<i64> {
        self.knowledge().ahead_ms
    }

    /// The time until which the API has asked to wait (`Retry-After`): this key, or every key of this machine.
    pub fn blocked_until(&self) -> Option<Millis> {
        let of_all = self.host.calls().address.held_until();
        of_all.max(self.knowledge().rate.blocked_until())
    }

    /// How many free calls a pass may have in flight.
    pub fn worth_in_flight(&self) -> usize {
        let part = self.host.calls().part(self.clock.now());
        self.knowledge().rate.worth_in_flight(part)
    }

    /// How many tasks may run at once with these poll steps.
    pub fn tasks_in_flight(&self, ladder: &Ladder) -> u32 {
        let (part, window_ms) = self.host.calls().part(self.clock.now());
        let knowledge = self.knowledge();
        let (rate, latency_ms) = (&knowledge.rate, knowledge.rate.latency_ms());
        let of_part = pacing::tasks_in_flight(part, window_ms, latency_ms, ladder);
        let tasks = pacing::tasks_in_flight(rate.limit(), rate.window_ms(), latency_ms, ladder).min(of_part);
        // One more may be sent when a window has ended unseen: its answer shows how long windows are.
        let ended = rate.first_of_next_window().is_some_and(|at| at <= self.clock.now());
        tasks.saturating_add(u32::from(ended))
    }

    /// When one task more may be sent, since the window has ended and no call has seen the next one.
    pub fn next_window_at(&self) -> Option<Millis> {
        self.knowledge().rate.first_of_next_window()
    }

    /// Stores in the database what a call's answer said.
    pub async fn keep(&self, lesson: Lesson) -> Result<(), StoreError> {
        if let Some(learned) = lesson.rate {
            let account = self.account.clone();
            self.store
                .write(move |connection| {
                    Box::pin(async move { rate::save_rate(connection, &account, &learned).await })
                })
                .await?;
        }
        if let Some(address) = lesson.address {
            let host = self.store.ownership().host();
            self.store
                .write(move |tx| Box::pin(async move { address::save(tx, &address, host.as_deref()).await }))
                .await?;
        }
        if let Some(trouble) = lesson.trouble {
            let account = self.account.clone();
            self.store
                .write(move |connection| {
                    Box::pin(
                        async move { accounts::set_trouble(connection, &account, trouble.as_ref()).await },
                    )
                })
                .await?;
        }
        match lesson.refused {
            Some(refused) => self.save_refused(refused).await,
            None => Ok(()),
        }
    }
}
