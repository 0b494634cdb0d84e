//! The parameters of every pass: database, clock, configuration, and a gate to the API for each account.

mod again;
pub(crate) mod files;
pub(in crate::worker) mod memory;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::api::{Client, Settings};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::domain::doubt::Patience;
use crate::domain::pacing::{self, Ladder};
use crate::domain::{AccountId, Action, Credits};
use crate::store::{Store, StoreError, accounts};
use crate::worker::deps::files::Files;
use crate::worker::deps::memory::Memory;
use crate::worker::gate::host::Host;
use crate::worker::gate::{Gate, Key};
use crate::worker::notify;
use crate::worker::owners;
use crate::worker::prices::price;
use crate::worker::run::heartbeat::Heartbeat;
use crate::worker::run::shares::Shares;

/// Everything a pass needs.
pub struct Deps {
    pub store: Store,
    pub clock: Clock,
    pub lease_token: i64,
    /// One for each account that the configuration has named since the start. None is taken out again: what an
    /// account has running when the configuration drops it is still polled and settled.
    gates: RwLock<BTreeMap<AccountId, Arc<Gate>>>,
    /// Tells the driver that an account was added.
    added: watch::Sender<()>,
    /// What all gates share.
    host: Host,
    pub heartbeat: Arc<Heartbeat>,
    /// What it serves when it shares the database.
    pub shares: Shares,
    /// Absent without `notify.url`.
    pub(in crate::worker) notifier: Option<notify::Notifier>,
    config: RwLock<Arc<Config>>,
    /// Where the configuration comes from.
    pub files: Files,
    memory: Memory,
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
            proxy: config.api.proxy.clone(),
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
        let host = Host::open(client, config.rate_limit.per_address, &store, clock.now()).await?;
        let mut gates = BTreeMap::new();
        for (name, account) in &config.accounts {
            let id = AccountId::trusted(name.clone());
            let key = read_key(&id, account);
            let gate = open_gate(&id, key, (&host, config.rate_limit.per_minute), &store, &clock).await?;
            gates.insert(id, gate);
        }
        let notifier = notify::Notifier::new(&config.notify)?;
        Ok(Deps {
            notifier,
            heartbeat: Arc::new(Heartbeat::new(clock.clone())),
            shares: Shares::default(),
            store,
            clock,
            lease_token,
            gates: RwLock::new(gates),
            added: watch::Sender::new(()),
            host,
            config: RwLock::new(config),
            files: Files::default(),
            memory: Memory::default(),
        })
    }

    /// The configuration in use.
    pub fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the configuration, keys included. A new account is served from now on; one that it no longer names
    /// keeps its last key for what it has running, and buys nothing.
    pub async fn reconfigure(&self, config: Arc<Config>) -> Result<(), StoreError> {
        self.host.set_per_address(config.rate_limit.per_address);
        let old = self.config();
        let is_news = config.accounts.keys().any(|name| config.owner_of(name) != old.owner_of(name));
        // First: no call of a new account is without its owner.
        owners::take_configured(&self.store, &config, true, is_news).await?;
        let (per_minute, gates) = (config.rate_limit.per_minute, self.gates());
        gates.values().for_each(|gate| gate.set_per_minute(per_minute));
        let owners = accounts::owners(self.store.readers()).await?;
        let mut new = Vec::new();
        for (name, account) in &config.accounts {
            let id = AccountId::trusted(name.clone());
            let key = read_key(&id, account);
            if let Some(gate) = gates.get(&id) {
                // Its running tasks and its balance are those of its old owner. The new key may belong to another one.
                let waits = owners::waits_for_owner(&config, &id, owners.get(&id).map(String::as_str));
                if !(waits && gate.has_usable_key()) {
                    gate.set_key(key).await?;
                }
                continue;
            }
            let gate = open_gate(&id, key, (&self.host, per_minute), &self.store, &self.clock).await?;
            new.push((id, gate));
        }
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        if !new.is_empty() {
            self.gates.write().unwrap_or_else(PoisonError::into_inner).extend(new);
            self.added.send_replace(());
        }
        Ok(())
    }

    /// The gates of all accounts that the configuration has named since the start.
    pub fn gates(&self) -> BTreeMap<AccountId, Arc<Gate>> {
        self.gates.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives an account its configured key.
    pub(in crate::worker) async fn take_key(&self, gate: &Gate) -> Result<(), StoreError> {
        gate.set_key(self.configured_key(gate)).await
    }

    fn configured_key(&self, gate: &Gate) -> Option<Key> {
        let config = self.config();
        let account = config.accounts.get(gate.account.as_str());
        account.and_then(|account| read_key(&gate.account, account))
    }

    /// Whether the configuration has another key for an account than the one that it uses.
    pub(in crate::worker) fn has_other_key(&self, gate: &Gate) -> bool {
        self.configured_key(gate).map(|key| key.fingerprint) != gate.key_fingerprint()
    }

    /// The gate of an account.
    ///
    /// # Panics
    /// If the configuration never named the account: passes run for accounts with a gate only.
    pub fn gate(&self, account: &AccountId) -> Arc<Gate> {
        let gates = self.gates.read().unwrap_or_else(PoisonError::into_inner);
        gates.get(account).cloned().expect("every account that is served has a gate")
    }

    /// The accounts that the configuration has named since the start. Rows of an account that was removed are still
    /// taken, since a rejection would be final and the account may come back.
    pub fn accounts(&self) -> Vec<AccountId> {
        self.gates.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Changes when an account was added.
    pub(in crate::worker) fn added(&self) -> watch::Receiver<()> {
        self.added.subscribe()
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

    /// The price of one unit of an action: as last seen, else as configured.
    pub async fn price(&self, account: &AccountId, action: Action) -> Result<Credits, StoreError> {
        price(&self.store, &self.config(), account, action).await
    }
}

/// The gate of an account, with its key.
async fn open_gate(
    id: &AccountId,
    key: Option<Key>,
    (host, per_minute): (&Host, u32),
    store: &Store,
    clock: &Clock,
) -> Result<Arc<Gate>, StoreError> {
    let gate = Gate::open(id.clone(), host.clone(), None, per_minute, store.clone(), clock.clone()).await?;
    gate.set_key(key).await?;
    Ok(Arc::new(gate))
}

/// The configured poll steps, and when to give up.
pub(crate) fn ladder(config: &Config) -> Ladder {
    Ladder::new(&config.polling.steps, config.polling.give_up_after)
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
