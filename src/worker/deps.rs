//! The parameters of every pass: database, clock, configuration, and a gate to the API for each account.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::api::{Client, Settings};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::domain::credits::Prices;
use crate::domain::doubt::Patience;
use crate::domain::pacing::{self, Ladder};
use crate::domain::sorting::Sorting;
use crate::domain::{AccountId, Action, Credits, JobId};
use crate::store::credits::ledger;
use crate::store::{Store, StoreError};
use crate::worker::doubt::verify;
use crate::worker::gate::host::Host;
use crate::worker::gate::{Gate, Key};
use crate::worker::notify;
use crate::worker::run::heartbeat::Heartbeat;

/// Everything a pass needs.
pub struct Deps {
    pub store: Store,
    pub clock: Clock,
    pub lease_token: i64,
    pub gates: BTreeMap<AccountId, Gate>,
    pub heartbeat: Arc<Heartbeat>,
    /// Absent without `notify.url`.
    pub(in crate::worker) notifier: Option<notify::Notifier>,
    config: RwLock<Arc<Config>>,
    /// Batches whose contacts are being sorted by prechecks: by job and version. Lost on a
    /// restart, and made again with free calls.
    sortings: Mutex<HashMap<(JobId, i64), Sorting>>,
    /// Up to which item those that wait were looked up among what is stored or on its way. Lost on a restart, and then
    /// looked up again.
    looked_up: Mutex<HashMap<(AccountId, Action), i64>>,
    /// Looks at in-doubt jobs that are not complete yet: by job and version, since what was seen
    /// before a submission says nothing about a later one.
    looks: Mutex<HashMap<(JobId, i64), verify::PartialLook>>,
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
            looked_up: Mutex::default(),
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

    pub(in crate::worker) fn patience(&self) -> Patience {
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

    pub(in crate::worker) fn sortings(&self) -> std::sync::MutexGuard<'_, HashMap<(JobId, i64), Sorting>> {
        self.sortings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::worker) fn looked_up(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<(AccountId, Action), i64>> {
        self.looked_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::worker) fn looks(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<(JobId, i64), verify::PartialLook>> {
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
