//! Everything around the workers: the vendor and the network, the people, other programs, and the time.

use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use unlockd::clock::Clock;
use unlockd::config::Config;
use unlockd::domain::AccountId;
use unlockd::sandbox::Sandbox;
use unlockd::store::Store;

use crate::calls::Calls;
use crate::db::Db;
use crate::invariants::Allowed;
use crate::profile::Profile;
use crate::run::START_MS;
use crate::server::Server;
use crate::setup::others;
use crate::trace::Trace;

pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) profile: Profile,
    pub(crate) clock: Clock,
    pub(crate) sandbox: Sandbox,
    pub(crate) calls: Calls,
    pub(crate) trace: Trace,
    pub(crate) allowed: Allowed,
    /// Other programs: they write like the command line, and like a user's program.
    pub(crate) outside: Store,
    pub(crate) user: Db,
    /// Who looks at the rows of the workers.
    pub(crate) state: Db,
    /// Rows were changed from outside, which no worker has noticed yet.
    pub(crate) outside_wrote: bool,
    pub(crate) config: Config,
    /// The database, when the suite runs on PostgreSQL.
    pub(crate) server: Option<Rc<Server>>,
}

impl World {
    /// Before any worker. What the people and other programs see is opened as the configuration says.
    pub(crate) async fn new(
        rng: Rng,
        profile: Profile,
        (clock, sandbox, calls): (Clock, Sandbox, Calls),
        trace: Trace,
        config: Config,
        server: Option<Rc<Server>>,
    ) -> World {
        let (outside, user, state) = others(&config).await;
        World {
            rng,
            profile,
            clock,
            sandbox,
            calls,
            trace,
            // A call that takes long may arrive in the vendor's next window.
            allowed: Allowed { turned_away: true, ..Allowed::default() },
            outside,
            user,
            state,
            outside_wrote: false,
            config,
            server,
        }
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now().0
    }

    pub(crate) fn say(&mut self, what: impl FnOnce() -> String) {
        let at = self.clock.now().0 - START_MS;
        self.trace.say(at, what);
    }

    /// Time passes for everybody.
    pub(crate) fn pass(&mut self, ms: i64) {
        let by = Duration::from_millis(ms.max(0).unsigned_abs());
        self.clock.advance(by);
        self.sandbox.advance(by);
        if let Some(server) = &self.server {
            server.set_clock(self.now());
        }
    }

    /// The configured accounts, in the order of a worker's own list.
    pub(crate) fn accounts(&self) -> Vec<AccountId> {
        self.config.accounts.keys().map(|name| AccountId::trusted(name.clone())).collect()
    }

    /// The number of the owner of an account: its contacts are its own.
    pub(crate) fn owner_number(&self, account: &AccountId) -> u32 {
        let owner = self.config.owner_of(account.as_str());
        let owners: std::collections::BTreeSet<&str> =
            self.config.accounts.keys().map(|name| self.config.owner_of(name)).collect();
        owners.into_iter().position(|other| other == owner).and_then(|at| u32::try_from(at).ok()).unwrap_or(0)
    }
}
