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
use crate::worker::bulk::Lists;
use crate::worker::doubt::evidence::PartialLook;
use crate::worker::gate::host::Host;
use crate::worker::gate::{Gate, Key};
use crate::worker::intake::availability::Availability;
use crate::worker::notify;
use crate::worker::owners;
use crate::worker::run::heartbeat::Heartbeat;

/// Everything a pass needs.
pub struct Deps {
    pub store: Store,
    pub clock: Clock,
    pub lease_token: i64,
    pub gates: BTreeMap<AccountId, Gate>,
    /// What all gates share.
    host: Host,
    pub heartbeat: Arc<Heartbeat>,
    /// Absent without `notify.url`.
    pub(in crate::worker) notifier: Option<notify::Notifier>,
    config: RwLock<Arc<Config>>,
    /// Batches whose contacts prechecks are sorting, by job and version. Lost on a restart, and made again
    /// with free calls.
    sortings: Mutex<HashMap<(JobId, i64), Sorting>>,
    /// The newest waiting item that was already compared with stored and running contacts. Lost on a restart;
    /// then the comparison is made again.
    looked_up: Mutex<HashMap<(AccountId, Action), i64>>,
    /// Unfinished checks of in-doubt jobs, by job and version: what was seen before a submission says nothing
    /// about a later one.
    looks: Mutex<HashMap<(JobId, i64), PartialLook>>,
    /// Lists from which values are read. Lost on a restart, and then read again.
    lists: Mutex<HashMap<(AccountId, Action), Lists>>,
    /// Whether the inbox can be read and written.
    availability: Mutex<Availability>,
}

/// The token without a lease: the command line writes as any other program.
pub const NO_LEASE: i64 = 0;

/// Why the worker could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Api(#[from] crate::api::ApiBuildError),
}

impl Deps {
    /// Opens a gate for each configured account. A key that cannot be read is logged, and the account waits
    /// for it: a worker needs neither key nor network to start.
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

    /// The same, with a client that the caller has made.
    pub async fn with_client(
        store: Store,
        clock: Clock,
        lease_token: i64,
        config: Arc<Config>,
        client: Client,
    ) -> Result<Deps, SetupError> {
        owners::take_configured(&store, &config, lease_token != NO_LEASE, true).await?;
        let host = Host::open(client, config.rate_limit.per_address, store.readers()).await?;
        let mut gates = BTreeMap::new();
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
            host,
            config: RwLock::new(config),
            sortings: Mutex::default(),
            looked_up: Mutex::default(),
            looks: Mutex::default(),
            lists: Mutex::default(),
            availability: Mutex::default(),
        })
    }

    /// The configuration in use.
    pub fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the configuration, keys included: an account that it no longer names has no key. A new
    /// account needs a restart; the caller says so.
    pub async fn reconfigure(&self, config: Arc<Config>) -> Result<(), StoreError> {
        self.host.set_per_address(config.rate_limit.per_address);
        for (id, gate) in &self.gates {
            gate.set_per_minute(config.rate_limit.per_minute);
            let account = config.accounts.get(id.as_str());
            gate.set_key(account.and_then(|account| read_key(id, account))).await?;
        }
        let old = self.config();
        let is_news = config.accounts.keys().any(|name| config.owner_of(name) != old.owner_of(name));
        owners::take_configured(&self.store, &config, true, is_news).await?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    pub fn accounts(&self) -> Vec<AccountId> {
        self.gates.keys().cloned().collect()
    }

    /// The accounts whose rows are taken: those that are served, and those that the configuration has named since
    /// the start. Rows of these wait; a refusal would be final.
    pub fn known_accounts(&self) -> Vec<AccountId> {
        let configured = self.config().accounts.keys().map(AccountId::trusted).collect::<Vec<_>>();
        let mut known = self.accounts();
        known.extend(configured.into_iter().filter(|account| !self.gates.contains_key(account)));
        known
    }

    /// When to poll, and when to give up.
    pub fn ladder(&self) -> Ladder {
        ladder(&self.config())
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

    /// The price of one unit of an action: as last seen, else as configured.
    pub async fn price(&self, account: &AccountId, action: Action) -> Result<Credits, StoreError> {
        price(&self.store, &self.config(), account, action).await
    }

    pub(in crate::worker) fn sortings(&self) -> std::sync::MutexGuard<'_, HashMap<(JobId, i64), Sorting>> {
        self.sortings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::worker) fn looked_up(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<(AccountId, Action), i64>> {
        self.looked_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::worker) fn availability(&self) -> std::sync::MutexGuard<'_, Availability> {
        self.availability.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::worker) fn looks(&self) -> std::sync::MutexGuard<'_, HashMap<(JobId, i64), PartialLook>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::worker) fn lists(&self) -> std::sync::MutexGuard<'_, HashMap<(AccountId, Action), Lists>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The configured poll steps, and when to give up.
pub(crate) fn ladder(config: &Config) -> Ladder {
    Ladder::new(&config.polling.steps, config.polling.give_up_after)
}

/// The price of one unit of an action: as last seen, else as configured.
pub(crate) async fn price(
    store: &Store,
    config: &Config,
    account: &AccountId,
    action: Action,
) -> Result<Credits, StoreError> {
    let seen = ledger::seen_price(store.readers(), account, action).await?;
    Ok(seen.unwrap_or_else(|| prices(config).of(action)))
}

/// The prices as configured.
fn prices(config: &Config) -> Prices {
    let price = &config.credits.price;
    Prices {
        email: Credits(price.email),
        phone: Credits(price.phone),
        event: Credits(price.event),
        visitors: Credits(price.visitors),
        full_access: Credits(price.full_access),
        search: Credits(price.search),
    }
}

/// What one unit of an action costs at least, as configured. Only a precheck shows that it costs less than its price.
pub(in crate::worker) fn least_price(config: &Config, action: Action) -> Credits {
    match config.submit.precheck {
        true => prices(config).least(action),
        false => prices(config).of(action),
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
