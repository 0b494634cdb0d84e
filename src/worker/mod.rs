//! The worker: passes that carry rows from one state to the next.
//!
//! Each pass reads rows, lets `domain` decide, acts through the [`gate`] (with [`host`]), and records
//! in one transaction. Passes meet in rows, not in calls: a wake-up carries no data, so a restart and a
//! normal run take the same path. In the order in which a request meets them: [`intake`] (with
//! [`quote`] and [`taken`], and with [`heed`] for what is written over rows that were taken),
//! [`submit`] (with [`form`], [`release`], [`sort`], [`intent`], [`submitted`] and [`unanswered`]),
//! [`poll`], [`verify`], [`profile`], [`settle`]; [`direct`] (with [`verify_direct`]) is what event
//! unlocks and searches do otherwise. [`driver`] runs them all (with [`signals`], and [`idle`] for the
//! end), [`erase`] once in a while, and [`notify`], which tells others; [`heartbeat`] tells whether
//! they move. [`decide`] (with [`pause`]) is what people may do to the rows in between, and [`explain`]
//! (with [`waits`], [`job_waits`] and [`unconfigured`]) tells them what a request waits for.

pub mod balance;
pub mod direct;
pub mod doubt;
pub mod erase;
pub mod gate;
pub mod intake;
pub mod notify;
pub mod people;
pub mod poll;
pub mod profile;
pub mod run;
pub mod settle;
pub mod submit;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::api::{ApiError, Client, Settings};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::domain::credits::Prices;
use crate::domain::doubt::Patience;
use crate::domain::failure::{self, ReadFailure};
use crate::domain::pacing::{self, Ladder};
use crate::domain::sorting::Sorting;
use crate::domain::{AccountId, Action, Credits, JobId, Millis};
use crate::store::credits::ledger;
use crate::store::{Store, StoreError};
use gate::host::Host;
use gate::{Gate, Key};
use run::heartbeat::Heartbeat;

/// What a pass did, and when it wants to run next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Steps taken; a pass that did something is run again at once.
    pub did: usize,
    /// When there is something to do by time; `None`: only when a row changes.
    pub next_at: Option<Millis>,
}

impl Report {
    pub fn did(count: usize) -> Report {
        Report { did: count, next_at: None }
    }

    pub fn idle() -> Report {
        Report::default()
    }

    pub fn at(next_at: Millis) -> Report {
        Report { did: 0, next_at: Some(next_at) }
    }

    /// This report, and not later than `next_at`.
    pub fn no_later_than(self, next_at: Option<Millis>) -> Report {
        let earliest = [self.next_at, next_at].into_iter().flatten().min();
        Report { next_at: earliest, ..self }
    }
}

/// Everything a pass needs.
pub struct Deps {
    pub store: Store,
    pub clock: Clock,
    pub lease_token: i64,
    pub gates: BTreeMap<AccountId, Gate>,
    pub heartbeat: Arc<Heartbeat>,
    /// Absent without `notify.url`.
    notifier: Option<notify::Notifier>,
    config: RwLock<Arc<Config>>,
    /// Batches whose contacts are being sorted by prechecks: by job and version. Lost on a
    /// restart, and made again with free calls.
    sortings: Mutex<HashMap<(JobId, i64), Sorting>>,
    /// Looks at in-doubt jobs that are not complete yet: by job and version, since what was seen
    /// before a submission says nothing about a later one.
    looks: Mutex<HashMap<(JobId, i64), doubt::verify::PartialLook>>,
}

/// Why the worker could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Api(#[from] crate::api::ApiBuildError),
}

impl Deps {
    /// Opens a gate for each configured account. A key that cannot be read is said and waited for:
    /// a worker needs neither key nor network to start.
    pub async fn new(
        store: Store,
        clock: Clock,
        lease_token: i64,
        config: Arc<Config>,
    ) -> Result<Deps, SetupError> {
        let settings = Settings {
            base_url: config.api.base_url.clone(),
            call_source: config.api.call_source.as_str(),
            timeout: config.api.timeout,
        };
        let client = Client::new(&settings)?;
        Deps::with_client(store, clock, lease_token, config, client).await
    }

    /// The same over a client that the caller has made.
    pub async fn with_client(
        store: Store,
        clock: Clock,
        lease_token: i64,
        config: Arc<Config>,
        client: Client,
    ) -> Result<Deps, SetupError> {
        let (mut gates, host) = (BTreeMap::new(), Host::open(client, &store).await?);
        for (name, account) in &config.accounts {
            let id = AccountId::trusted(name.clone());
            let key = read_key(&id, account);
            let gate = Gate::open(
                id.clone(),
                host.clone(),
                None,
                config.rate_limit.per_minute,
                store.clone(),
                clock.clone(),
            )
            .await?;
            gate.set_key(key).await?;
            gates.insert(id, gate);
        }
        let notifier = notify::Notifier::new(&config.notify)?;
        Ok(Deps {
            notifier,
            heartbeat: Arc::new(Heartbeat::new(clock.clone())),
            store,
            clock,
            lease_token,
            gates,
            config: RwLock::new(config),
            sortings: Mutex::default(),
            looks: Mutex::default(),
        })
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another configuration in force, keys included: an account that it does not name any more
    /// has none. Accounts that are new in it need a restart, which the caller says.
    pub async fn reconfigure(&self, config: Arc<Config>) -> Result<(), StoreError> {
        for (id, gate) in &self.gates {
            gate.set_per_minute(config.rate_limit.per_minute);
            let account = config.accounts.get(id.as_str());
            gate.set_key(account.and_then(|account| read_key(id, account))).await?;
        }
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    pub fn accounts(&self) -> Vec<AccountId> {
        self.gates.keys().cloned().collect()
    }

    /// When to poll, and when to give up.
    pub fn ladder(&self) -> Ladder {
        let config = self.config();
        Ladder::new(&config.polling.steps, config.polling.give_up_after)
    }

    fn patience(&self) -> Patience {
        let config = self.config();
        Patience {
            verify_after_ms: pacing::duration_ms(config.submit.verify_after),
            decide_after_ms: pacing::duration_ms(config.submit.decide_after),
        }
    }

    /// The configured prices.
    pub fn prices(&self) -> Prices {
        prices(&self.config())
    }

    /// What one unit of an action costs: as last seen, else as configured.
    pub async fn price(&self, account: &AccountId, action: Action) -> Result<Credits, StoreError> {
        let seen = ledger::seen_price(self.store.readers(), account, action).await?;
        Ok(seen.unwrap_or_else(|| self.prices().of(action)))
    }

    fn sortings(&self) -> std::sync::MutexGuard<'_, HashMap<(JobId, i64), Sorting>> {
        self.sortings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looks(&self) -> std::sync::MutexGuard<'_, HashMap<(JobId, i64), doubt::verify::PartialLook>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The prices as configured.
pub(crate) fn prices(config: &Config) -> Prices {
    let price = &config.credits.price;
    Prices {
        email: Credits(price.email),
        phone: Credits(price.phone),
        event: Credits(price.event),
        search: Credits(price.search),
    }
}

fn read_key(id: &AccountId, account: &config::Account) -> Option<Key> {
    match config::read_key(account) {
        Ok(key) => key.map(Key::new),
        Err(error) => {
            tracing::error!(account = %id, error = %error, "the account's key cannot be read; it waits for one");
            None
        }
    }
}

/// A pause before the next try of something that failed `failures` times in a row.
fn retry_at(now: Millis, failures: u32) -> Millis {
    now.plus(pacing::retry_delay_ms(failures, 1_000, 60_000, fastrand::f64()))
}

/// What to do about a failed read: the gate has already learned from it.
fn read_failure(error: &ApiError) -> ReadFailure {
    failure::read(error.failure)
}
