//! What happens to hosts.

use std::sync::atomic::Ordering;

use unlockd::domain::pacing;

use crate::crash::Blow;
use crate::hosts::Fleet;
use crate::hosts::door::shut;
use crate::invariants::Checked;

/// What happens at a commit or a call of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strike {
    /// Its process is killed.
    Kill,
    /// Its connections with the database end. `shuts`: no new one is made for a while.
    Cut { shuts: bool },
    /// The same, once the server has done what it is asked next.
    Lose { shuts: bool },
    /// Its process stops for a while.
    Freeze,
}

impl Fleet {
    /// Something happens to one of the hosts.
    pub(super) fn strike(&mut self) {
        let host = self.world.rng.usize(..self.hosts.len());
        self.strike_at(host)
    }

    pub(super) fn strike_at(&mut self, host: usize) {
        let name = self.hosts[host].name.clone();
        let now = self.world.now();
        match self.world.rng.u32(..100) {
            0..30 => self.plan(host),
            30..40 => self.cut(host, true),
            40..50 => self.freeze(host),
            50..58 => self.kill(host),
            58..68 => {
                let until = now + self.world.rng.i64(1..120_000);
                self.hosts[host].no_api_until = Some(until);
                self.world.say(|| format!("{name} is cut off from the API"));
            }
            68..86 => {
                let until = now + self.world.rng.i64(1..100_000);
                self.hosts[host].stuck_until = Some(until);
                self.hosts[host].well_since = i64::MAX;
                if let Some(worker) = &mut self.hosts[host].worker {
                    worker.was_stalled = true;
                    self.world.say(|| format!("{name} does not look after its leases"));
                }
            }
            86..94 => {
                if let Some(worker) = &mut self.hosts[host].worker {
                    worker.stop(now, false);
                    self.world.say(|| format!("{name} is told to stop"));
                }
            }
            _ => {
                let ms = self.world.rng.i64(-300_000..300_000);
                self.hosts[host].clock.set_by(ms);
                self.world.say(|| format!("{name}: its clock is set by {ms} ms"));
            }
        }
    }

    /// Soon, at a commit or a call.
    fn plan(&mut self, host: usize) {
        let shuts = self.world.rng.bool();
        let strikes = [Strike::Kill, Strike::Cut { shuts }, Strike::Freeze, Strike::Lose { shuts }];
        let strike = strikes[self.world.rng.usize(..if self.on_hosts.is_proxied { 4 } else { 3 })];
        let within = [6, 20, 60][self.world.rng.usize(..3)];
        let left = self.world.rng.u64(..within);
        let server = self.server.clone();
        let door = &self.hosts[host].door;
        let (link, loses) = (door.link().to_owned(), door.loses());
        self.planned = Some((host, strike));
        self.crash.plan(Some(left), move || match strike {
            Strike::Kill => {
                server.end_connections_of(host);
                Blow::Kills
            }
            Strike::Cut { shuts } => {
                if shuts {
                    shut(&link);
                }
                server.end_connections_of(host);
                Blow::Spares
            }
            Strike::Lose { shuts } => {
                if shuts {
                    shut(&link);
                }
                loses.store(true, Ordering::SeqCst);
                Blow::Spares
            }
            Strike::Freeze => Blow::Freezes,
        });
    }

    /// Carries out what was planned, once its place was passed.
    pub(super) fn carry_out(&mut self) {
        let Some((place, _)) = self.crash.struck() else { return };
        let Some((host, strike)) = self.planned.take() else { return };
        self.crash.plan(None, || Blow::Spares);
        self.world.say(|| format!("at {place:?}:"));
        match strike {
            Strike::Kill => self.kill(host),
            Strike::Cut { shuts } | Strike::Lose { shuts } => self.cut(host, shuts),
            Strike::Freeze => self.freeze(host),
        }
    }

    /// `shuts`: no new connection is made for a while.
    fn cut(&mut self, host: usize, shuts: bool) {
        let until = self.world.now() + if shuts { self.world.rng.i64(1..150_000) } else { 0 };
        self.hosts[host].door.set_open(false);
        self.hosts[host].door.loses().store(false, Ordering::SeqCst);
        self.server.end_connections_of(host);
        self.hosts[host].no_database_until = Some(until);
        self.hosts[host].well_since = i64::MAX;
        if let Some(worker) = &mut self.hosts[host].worker {
            (worker.was_cut, worker.was_stalled) = (true, true);
        }
        let name = self.hosts[host].name.clone();
        self.world.say(|| format!("{name} is cut off from the database"));
        self.heal();
    }

    fn freeze(&mut self, host: usize) {
        let until = self.world.now() + self.world.rng.i64(1..180_000);
        let Some(worker) = &mut self.hosts[host].worker else { return };
        worker.was_stalled = true;
        self.hosts[host].frozen_until = Some(until);
        self.hosts[host].well_since = i64::MAX;
        let name = self.hosts[host].name.clone();
        self.world.say(|| format!("{name} stands still"));
    }

    /// `kill -9`; systemd, or a person, starts it again.
    pub(super) fn kill(&mut self, host: usize) {
        self.server.end_connections_of(host);
        let starts_at = self.world.now() + self.starts_again_after();
        self.hosts[host].end(&self.world.calls, starts_at);
        let name = self.hosts[host].name.clone();
        self.world.say(|| format!("{name} is killed"));
    }

    /// In milliseconds.
    pub(super) fn starts_again_after(&mut self) -> i64 {
        let most = [2_000, 6_000, 150_000][self.world.rng.usize(..3)];
        self.world.rng.i64(..most)
    }

    /// What ends by time ends.
    pub(super) fn heal(&mut self) {
        let now = self.world.now();
        let is_over = |until: &mut i64| *until <= now;
        for host in &mut self.hosts {
            if host.no_database_until.take_if(is_over).is_some() {
                host.door.set_open(true);
            }
            host.no_api_until.take_if(is_over);
            host.stuck_until.take_if(is_over);
            if host.frozen_until.take_if(is_over).is_some()
                && let Some(worker) = &host.worker
            {
                worker.life.ring();
                for pass in worker.life.running() {
                    self.world.calls.woke(worker.life.number, pass);
                }
            }
            let is_well =
                [host.no_database_until, host.stuck_until, host.frozen_until].iter().all(Option::is_none);
            if is_well && host.well_since == i64::MAX {
                host.well_since = now;
            }
        }
    }

    /// All of it.
    pub(super) fn heal_all(&mut self) {
        self.planned = None;
        self.crash.plan(None, || Blow::Spares);
        for host in &mut self.hosts {
            for until in [
                &mut host.no_database_until,
                &mut host.no_api_until,
                &mut host.stuck_until,
                &mut host.frozen_until,
            ] {
                until.iter_mut().for_each(|until| *until = i64::MIN);
            }
        }
        self.heal();
    }

    /// The time moves to where a paid call of a host whose leases are not looked after would just be allowed, or just not.
    pub(super) async fn pass_to_deadline(&mut self, host: usize) -> Checked {
        let host = &self.hosts[host];
        let Some(worker) = host.worker.as_ref().filter(|_| host.stuck_until.is_some()) else { return Ok(()) };
        let deps = &worker.life.deps;
        let left_ms = deps.store.ownership().left_ms(host.clock.steady_ms());
        let timeout_ms = pacing::duration_ms(deps.config().api.timeout);
        let ms = left_ms.saturating_sub(timeout_ms + self.world.rng.i64(-300..2_000));
        if (1..120_000).contains(&ms) { self.live_through(ms).await } else { Ok(()) }
    }
}
