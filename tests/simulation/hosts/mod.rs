//! Two or three hosts, each with one worker, share a database of PostgreSQL: they are cut off from it or from the API,
//! stopped, killed, closed and started again, at random from the seed.
//!
//! As in the histories of one worker, the passes, the store, the leases and the server are the real ones, time is the
//! simulation's, and one thing happens at a time. What the driver does with its tasks is done by [`host::Worker`].
//!
//! All that is chosen comes from the seed. Not determined by it: the random ids of calls, and which of two connections the
//! server answers first. So a seed repeats its faults, and nearly always its whole history.
//!
//! Not in these histories: a network that swallows everything in silence (each wait for the server has a limit in real
//! time), a host that stands still in the middle of a COMMIT, and a failover. `tests/process/fleet.rs` and
//! `tests/postgres/failover.rs` have those.

mod chaos;
mod door;
mod faults;
mod host;
mod proxy;
mod tasks;
mod watch;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use unlockd::api::Client;
use unlockd::clock::Clock;
use unlockd::config::Config;
use unlockd::domain::Millis;
use unlockd::sandbox;

use crate::calls::Calls;
use crate::crash::Crash;
use crate::hosts::door::Door;
use crate::hosts::faults::Strike;
use crate::hosts::host::Host;
use crate::hosts::watch::Watch;
use crate::invariants::Checked;
use crate::profile::{OnHosts, Profile};
use crate::run::START_MS;
use crate::seeds::History;
use crate::server::Server;
use crate::setup::{self, configure, vendor};
use crate::trace::Trace;
use crate::world::World;

pub(crate) use door::is_possible;

/// Everybody in a history of several hosts.
pub(crate) struct Fleet {
    pub(crate) world: World,
    hosts: Vec<Host>,
    on_hosts: OnHosts,
    watch: Watch,
    client: Client,
    crash: Crash,
    /// What is planned for a place, and for which host.
    planned: Option<(usize, Strike)>,
    lives: u32,
    server: Rc<Server>,
}

impl History for Fleet {
    const TEST: &str = "hosts";

    async fn new(seed: u64, home: PathBuf, loud: bool) -> Fleet {
        let mut rng = Rng::with_seed(seed);
        fastrand::seed(rng.u64(..));
        let clock = Clock::test_at(Millis(START_MS));
        let server = Rc::new(Server::for_hosts().await.expect("PostgreSQL is here"));
        let profile = Profile::choose(&mut rng, true);
        let on_hosts = OnHosts::choose(&mut rng);
        let mut options = vendor(&mut rng);
        // Only the first owner's pool can be filled again.
        options.balance = 1_000_000;
        let sandbox = sandbox::without_socket(options);
        if rng.u8(..4) == 0 {
            sandbox.spend(999_700);
        }
        std::fs::create_dir_all(&home).expect("a folder");
        let mut config = configure(&mut rng, &home, &profile, &on_hosts.keys());
        config.database = server.url().into();
        config.fleet.lease = Duration::from_secs(on_hosts.lease_s);
        let owners = owners(&config);
        let calls = Calls::new(clock.clone(), owners);
        let client = setup::client(&config, &calls);
        let mut trace = Trace::new(loud);
        trace.say(0, || format!("seed {seed}: {profile:?}, {on_hosts:?}"));
        let world =
            World::new(rng, profile, (clock, sandbox, calls), trace, config, Some(server.clone())).await;
        let mut hosts = Vec::new();
        for (number, skew_ms) in on_hosts.skews_ms.iter().enumerate() {
            let door = Door::open(&server, &home, number, on_hosts.is_proxied).await;
            hosts.push(Host::new(number, *skew_ms, door, &world.config));
        }
        let (crash, watch) = (Crash::watch(), Watch::default());
        Fleet { world, hosts, on_hosts, watch, client, crash, planned: None, lives: 0, server }
    }

    async fn live(&mut self) -> Checked {
        self.chaos().await?;
        self.calm().await?;
        self.watch.check()?;
        self.each_owner_books_what_it_was_charged().await?;
        self.world.check().await
    }

    fn world(&mut self) -> &mut World {
        &mut self.world
    }
}

impl Fleet {
    /// Time passes for everybody, and what ends by time ends.
    fn pass(&mut self, ms: i64) {
        self.world.pass(ms);
        let by = Duration::from_millis(ms.max(0).unsigned_abs());
        self.hosts.iter().for_each(|host| host.clock.advance(by));
        self.heal();
    }
}

/// The number of the owner of each account.
fn owners(config: &Config) -> Vec<usize> {
    let names: Vec<&str> = config.accounts.keys().map(|name| config.owner_of(name)).collect();
    let mut all = names.clone();
    all.sort_unstable();
    all.dedup();
    names.iter().filter_map(|name| all.iter().position(|other| other == name)).collect()
}
