//! `unlockd run`: the daemon.
//!
//! Waits for its turn when another worker has the database, then runs the passes until SIGTERM or
//! SIGINT. Tells systemd when it is ready, and that it is alive, when systemd asks for it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sd_notify::NotifyState;

use super::standby::{Waiting, wait_for_lease};
use super::stop::{self, Doing, GivesBack, Step, stop_on_signals};
use super::{Context, Failure, Outcome, leases, open_as_it_is, place};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::http::{self, Site};
use crate::logs::{self, LogHandle};
use crate::store::inbox::served;
use crate::store::lease::{self, Lease};
use crate::store::place::Place;
use crate::store::schema::Schema;
use crate::store::{Store, StoreError};
use crate::worker::people::pause;
use crate::worker::run::driver::{self, End};
use crate::worker::run::signals::Signals;
use crate::worker::{Deps, SetupError, durability};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  unlockd run
  unlockd run --until-idle --config /etc/unlockd/unlockd.toml

SIGTERM and SIGINT stop it within 10 s; nothing is lost. SIGHUP reads configuration and keys again.
A wrong configuration ends it with exit code 2. A key that is missing or cannot be read does not: its account waits.")]
pub(super) struct Args {
    /// Exit when nothing is left to do: with 0, or with 4 if the rest waits for a person or another day's limit
    #[arg(long)]
    until_idle: bool,
}

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let config = Arc::new(context.load()?);
    let log = logs::init(&config.log);
    let (stop, doing) = (Signals::default(), Doing::default());
    stop_on_signals(&stop)?;
    let whole = live(context, args, (config, log), (stop.clone(), doing.clone()));
    tokio::select! {
        ended = whole => ended,
        cut_off = stop::overdue(&stop, &doing, Step::ends_within) => cut_off,
    }
}

/// The whole life of the process.
async fn live(
    context: Context,
    args: Args,
    (config, log): (Arc<Config>, LogHandle),
    (stop, doing): (Signals, Doing),
) -> Outcome {
    let (store, clock) = (open_as_it_is(&config).await?, Clock::real());
    tokio::spawn(leases::tell_of_locks(store.clone()));
    let taken = match store.schema().await? {
        Schema::Current => None,
        schema => match upgrade(&store, &clock, (&stop, &doing), (schema, &leases::host(&config))).await? {
            Some(lease) if Place::is_server(&config.database) => {
                // Others may work now, too.
                lease.release(&store, clock.now()).await?;
                None
            }
            Some(lease) => Some(lease),
            None => return Ok(()),
        },
    };
    say_unusable_tokens(&config);
    let site = Site::open(&store, clock.clone(), config.clone(), stop.clone()).await?;
    // Before the lease is taken: a process on standby also answers.
    let serving = config.http.address().map(|listen| tokio::spawn(http::serve(site.clone(), listen)));
    let daemon =
        Daemon { context, log, config, store, clock, site, stop: stop.clone(), doing: doing.clone() };
    let ended = daemon.run(taken, args.until_idle).await;
    doing.now(Step::Serve);
    stop.stop();
    if let Some(serving) = serving {
        // The server limits its own shutdown time.
        let _ = serving.await;
    }
    ended
}

/// Callers are only told that their token is wrong. The worker starts: a file may come, or be mended, while it runs.
fn say_unusable_tokens(config: &Config) {
    if config.http.address().is_none() {
        return;
    }
    let page = config.http.token_file.iter().map(|file| ("http.token_file".to_owned(), file));
    let tokens =
        config.http.tokens.iter().map(|(name, token)| (format!("http.tokens.{name}"), &token.token_file));
    for (key, file) in page.chain(tokens) {
        if let Err(error) = config::read_token(file) {
            tracing::error!(key, %error, "a token cannot be used: every call that sends it is refused");
        }
    }
}

struct Daemon {
    context: Context,
    log: LogHandle,
    config: Arc<Config>,
    store: Store,
    clock: Clock,
    site: Arc<Site>,
    stop: Signals,
    doing: Doing,
}

impl Daemon {
    /// `taken`: the lease, when it was needed for an upgrade.
    async fn run(self, taken: Option<Lease>, until_idle: bool) -> Outcome {
        let lease = match taken {
            Some(lease) => Some(lease),
            None => {
                self.doing.now(Step::Wait);
                let terms = leases::terms(&self.config);
                wait_for_lease(&self.store, &self.clock, &self.stop, Waiting::ToWork(&terms)).await?
            }
        };
        let Some(lease) = lease else { return Ok(()) };
        self.doing.now(Step::Prepare);
        if lease.member.is_some() {
            self.clock.refer(lease::read(&self.store).await?.clock(self.clock.now()));
        }
        // A standby of an older version may find that the one it takes over from was newer.
        self.store.expect_current().await?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), database = %self.config.database.display(),
            base_url = self.config.api.base_url, "started; database lock acquired");
        for (problem, fix) in place::problems(&self.config.database) {
            tracing::warn!(fix, "{problem}");
        }
        let deps = Arc::new(Deps::new(self.store, self.clock, lease.token, self.config).await?);
        if lease.restored {
            tracing::warn!(
                "this database is an older copy, or came from elsewhere: it does not hold the decisions and purchases \
                 made after the copy. Every batch is prechecked before it is bought, and work that no precheck can \
                 clear waits for a person. Make sure that no other worker uses another copy"
            );
            pause::distrust_restored(&deps.store, deps.accounts(), deps.clock.now()).await?;
        }
        durability::at_start(&deps).await?;
        lease.note(&deps.store).await?;
        served::record(&deps.store).await?;
        let life = Life {
            context: self.context,
            log: self.log,
            site: self.site,
            signals: self.stop,
            doing: self.doing,
        };
        let ended = life.work(deps, lease, until_idle).await;
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        match ended.context("the database failed; nothing more was spent")? {
            End::WaitsForPerson(waits) => Err(Failure::refused(format!(
                "everything left waits for a person, or for another day or month:\n  {}",
                waits.join("\n  ")
            ))),
            End::Stopped | End::Idle => {
                tracing::info!("unlockd has stopped");
                Ok(())
            }
        }
    }
}

/// What lasts as long as the process works.
struct Life {
    context: Context,
    log: LogHandle,
    site: Arc<Site>,
    signals: Signals,
    doing: Doing,
}

impl Life {
    /// Works until it is told to stop, or idle. When the wall clock was set, the passes end and start again by the new
    /// time, as after a restart: times of before cannot be compared with it.
    async fn work(self, mut deps: Arc<Deps>, mut lease: Lease, until_idle: bool) -> Result<End, SetupError> {
        let (store, clock) = (deps.store.clone(), deps.clock.clone());
        loop {
            self.site.set_worker(deps.clone());
            let (ended, kept, giving) = self.until_clock_is_set(deps.clone(), lease, until_idle).await?;
            let step_ms = clock.step_ms();
            let ends = self.signals.is_stopping() || ended != End::Stopped || step_ms == 0;
            lease = match kept {
                Some(lease) if ends => {
                    giving.release(lease, &store, clock.now()).await?;
                    return Ok(ended);
                }
                Some(lease) => lease,
                None if ends => return Ok(ended),
                None => return Err(StoreError::Stopped.into()),
            };
            tracing::warn!(
                seconds = step_ms / 1_000,
                "the clock of this machine was set; going on by its new time"
            );
            driver::follow_clock(&store, &clock).await?;
            lease.renew(&store, clock.now()).await?;
            deps = Arc::new(Deps::new(store.clone(), clock.clone(), lease.token, deps.config()).await?);
        }
    }

    /// Runs the passes until the process is to stop, or the wall clock was set. Returns no lease when the database does
    /// not answer any more.
    async fn until_clock_is_set(
        &self,
        deps: Arc<Deps>,
        lease: Lease,
        until_idle: bool,
    ) -> Result<(End, Option<Lease>, GivesBack), StoreError> {
        self.doing.now(Step::Work);
        let signals = self.signals.of_a_part();
        let renewing = tokio::spawn(leases::keep_lease(deps.clone(), lease, signals.clone()));
        // Before the first row is looked at, which may be newer than the files that this process has read.
        deps.files.will_be_read();
        let reload =
            super::reload::watch(self.context.clone(), self.log.clone(), deps.clone(), signals.clone());
        let reloading = tokio::spawn(reload);
        let watching = tokio::spawn(watch_clock(deps.clock.clone(), signals.clone()));
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        let ended = driver::run(deps.clone(), signals.clone(), until_idle).await;
        signals.stop();
        deps.shares.finish();
        reloading.abort();
        watching.abort();
        self.doing.now(Step::GiveBack);
        let giving = GivesBack::within(stop::GIVES_BACK_WITHIN);
        // A lost lease is why the passes ended; it explains more than their own error.
        match (giving.take(renewing).await, ended) {
            (Err(error), Ok(_) | Err(StoreError::Stopped)) => Err(error),
            (Ok(lease), Ok(ended)) => Ok((ended, lease, giving)),
            (_, Err(error)) => Err(error),
        }
    }
}

/// Ends this part of the process's life when the wall clock was set.
async fn watch_clock(clock: Clock, signals: Signals) {
    while clock.step_ms() == 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    signals.stop();
}

/// Brings an older database to this version's schema, once this process is its one worker: a worker of the older
/// version that still runs could not record what it pays for. `None`: told to stop.
async fn upgrade(
    store: &Store,
    clock: &Clock,
    (signals, doing): (&Signals, &Doing),
    (schema, host): (Schema, &str),
) -> Result<Option<Lease>, StoreError> {
    let (from, to) = match schema {
        Schema::Older { at, needs } => (Some(at), Some(needs)),
        _ => (None, None),
    };
    tracing::info!(from, to, "the database has an older schema; it is upgraded under the database lock");
    doing.now(Step::Wait);
    let Some(lease) = wait_for_lease(store, clock, signals, Waiting::ToUpgrade { host }).await? else {
        return Ok(None);
    };
    doing.now(Step::Upgrade);
    migrate(store).await?;
    tracing::info!("the database has this version's schema now");
    Ok(Some(lease))
}

/// Upgrades, and asks systemd for patience meanwhile: a large database takes its time.
async fn migrate(store: &Store) -> Result<(), StoreError> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let migrating = store.migrate();
    tokio::pin!(migrating);
    loop {
        let _ = sd_notify::notify(&[NotifyState::ExtendTimeoutUsec(4 * PATIENCE.as_micros() as u32)]);
        let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        tokio::select! {
            done = &mut migrating => return done,
            () = tokio::time::sleep(PATIENCE) => {}
        }
    }
}
