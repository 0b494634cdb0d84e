//! Chooses the next event among several hosts: at random during chaos, in order during calm.

use unlockd::worker::run::driver::End;
use unlockd::worker::run::idle;

use crate::calls::{At, is_paid};
use crate::hosts::Fleet;
use crate::hosts::host::Host;
use crate::hosts::tasks::Task;
use crate::invariants::Checked;
use crate::life::buys;

/// More steps without an end are a loop.
const MOST_CALM_STEPS: u32 = 12_000;
/// By then everything must have finished: a day's limit ends, a task is given up after 5 min.
const LONGEST_CALM_MS: i64 = 4 * 3_600_000;

impl Fleet {
    pub(super) async fn chaos(&mut self) -> Checked {
        for _ in 0..self.on_hosts.steps {
            self.time_out();
            let (tasks, calls) = (self.tasks(), self.world.calls.ids());
            let is_quiet = tasks.is_empty() && calls.is_empty();
            let roll = self.world.rng.u32(..1_000);
            if roll < 10 * self.world.profile.others || (is_quiet && roll < 400) {
                let roll = self.world.rng.u32(..96);
                self.world.others_act(roll).await;
                self.tell_all();
            } else if roll > 999 - self.on_hosts.strikes {
                self.strike();
            } else if roll > 960 - self.on_hosts.strikes {
                let ms = [20, 400, 3_000, 12_000, 45_000][self.world.rng.usize(..5)];
                let ms = self.world.rng.i64(1..ms);
                self.live_through(ms).await?;
            } else if roll > 940 - self.on_hosts.strikes {
                let host = self.world.rng.usize(..self.hosts.len());
                self.pass_to_deadline(host).await?;
            } else if is_quiet {
                let ms = self.next_due(true).unwrap_or(10_000);
                self.live_through(ms.clamp(1, 600_000)).await?;
            } else {
                self.go_on(&tasks, &calls).await?;
            }
        }
        Ok(())
    }

    /// A task or a call. What brings a purchase on is chosen more often than passes that look again.
    async fn go_on(&mut self, tasks: &[(usize, Task)], calls: &[u64]) -> Checked {
        if tasks.is_empty() || !calls.is_empty() && self.world.rng.u8(..5) < 2 {
            let which = self.world.rng.usize(..calls.len());
            return self.move_on(calls[which]).await;
        }
        let matters = |(host, task): &&(usize, Task)| match task {
            Task::Pass(pass) => self.hosts[*host].is_in(*pass) || buys(*pass),
            _ => true,
        };
        let those: Vec<(usize, Task)> = tasks.iter().filter(matters).copied().collect();
        let from = if those.is_empty() || self.world.rng.u8(..4) == 0 { tasks } else { &those };
        let (host, task) = from[self.world.rng.usize(..from.len())];
        self.run(host, task).await
    }

    /// The faults end, and the hosts but one; a person makes all open decisions; everything finishes.
    pub(super) async fn calm(&mut self) -> Checked {
        self.heal_all();
        self.world.say(|| "calm".to_owned());
        let survivor = self.world.rng.usize(..self.hosts.len());
        let now = self.world.now();
        for host in (0..self.hosts.len()).filter(|host| *host != survivor) {
            match self.hosts[host].worker.as_mut().filter(|_| self.world.rng.bool()) {
                Some(worker) => worker.stop(now, false),
                None => self.kill(host),
            }
            self.hosts[host].starts_at = i64::MAX;
        }
        self.hosts[survivor].starts_at = self.hosts[survivor].starts_at.min(now);
        self.lift_limits().await;
        let end_by = self.world.now() + LONGEST_CALM_MS;
        for _ in 0..MOST_CALM_STEPS {
            self.time_out();
            if let Some(call) = self.world.calls.ids().first() {
                self.carry(*call).await?;
                continue;
            }
            if let Some((host, task)) = self.tasks().first().copied() {
                self.run(host, task).await?;
                if host != survivor {
                    self.hosts[host].starts_at = i64::MAX;
                }
                continue;
            }
            // Nobody else would take what it has: its leases may run out meanwhile.
            let due = self.next_due(self.hosts.iter().any(Host::is_stopping)).unwrap_or(10_000);
            let worker = self.hosts[survivor].worker.as_ref();
            let all = self.on_hosts.owners() + 1;
            let Some(worker) = worker.filter(|worker| worker.serves() == all) else {
                self.pass(due.clamp(1, 600_000));
                continue;
            };
            let is_alone = self.hosts.iter().filter(|host| host.worker.is_some()).count() == 1;
            match idle::idle(&worker.life.deps).await {
                // Its connections were cut before the calm, and it has not met that yet.
                Err(error) => self.fail(survivor, Task::Look, error)?,
                Ok(Some(End::Idle)) if is_alone => return Ok(()),
                Ok(Some(End::WaitsForPerson(waits))) => {
                    self.world.decide_everything(&waits).await;
                    self.lift_limits().await;
                    self.pass(1_000);
                }
                _ if self.world.now() > end_by => break,
                _ => self.pass(due.clamp(1, 600_000)),
            }
        }
        let tasks = self.tasks();
        let found = format!("{tasks:?} would go on\n{}", self.world.dump().await);
        Err(self.world.violation("I11 once the faults stop, everything comes to its end in 4 hours", found))
    }

    /// Only decisions of a person are left in the way.
    async fn lift_limits(&mut self) {
        self.world.config.credits.daily_limit = None;
        self.world.sandbox.top_up(10_000_019);
        for host in &mut self.hosts {
            host.config.credits.daily_limit = None;
            if let Some(worker) = host.worker.as_ref().filter(|worker| !worker.is_stopping()) {
                // A worker that cannot is about to end.
                let _ = worker.life.deps.reconfigure(host.config.clone().into()).await;
            }
        }
        self.world.resume().await;
        self.tell_all();
    }

    /// Everybody hears that rows were written, sooner or later.
    pub(super) fn tell_all(&mut self) {
        self.hosts
            .iter_mut()
            .filter_map(|host| host.worker.as_mut())
            .for_each(|worker| worker.is_notified = true);
    }

    fn time_out(&mut self) {
        let asleep: Vec<u32> = self
            .hosts
            .iter()
            .filter(|host| host.frozen_until.is_some())
            .filter_map(|host| host.life())
            .collect();
        self.world.time_out_but(&asleep);
    }

    /// Time passes, and the hosts that are well look after their leases.
    pub(super) async fn live_through(&mut self, ms: i64) -> Checked {
        let end = self.world.now() + ms;
        loop {
            let now = self.world.now();
            let looks = |host: &&Host| host.frozen_until.is_none() && host.stuck_until.is_none();
            let workers = self.hosts.iter().filter(looks).filter_map(|host| host.worker.as_ref());
            let next = workers.filter(|worker| worker.looks()).map(|worker| worker.look_at).min();
            let to = next.map_or(end, |next| next.clamp(now, end));
            self.pass(to - now);
            if to == end {
                self.nobody_waits_long_for_a_worker().await;
                return Ok(());
            }
            for (host, task) in self.tasks().into_iter().filter(|(_, task)| *task == Task::Look) {
                self.run(host, task).await?;
            }
        }
    }

    /// Moves a call one stage on, or lets a fault happen to it.
    async fn move_on(&mut self, id: u64) -> Checked {
        let (at, what) = self.world.calls.look(id);
        let (life, ..) = self.world.calls.caller(id);
        let host = self.hosts.iter().find(|host| host.life() == Some(life));
        let is_frozen = host.is_some_and(|host| host.frozen_until.is_some());
        if host.is_some_and(|host| host.no_api_until.is_some())
            && (at != At::Underway || self.world.rng.bool())
        {
            self.world.calls.lose(id);
            self.world.say(|| format!("{what}: cut off while it is {at:?}"));
            return Ok(());
        }
        // The worst moments are chosen more often: a paid call is to be sent, was sent, or has its answer.
        if let Some(host) =
            host.map(|host| host.number).filter(|_| is_paid(&what) && self.world.rng.u8(..10) == 0)
        {
            self.strike_at(host);
            return Ok(());
        }
        if at != At::Waiting {
            self.world.move_on(id);
            return Ok(());
        }
        if is_frozen {
            return Ok(());
        }
        if is_paid(&what) && self.world.rng.u8(..4) == 0 {
            let ms = self.world.rng.i64(1..1_950);
            self.pass(ms);
        }
        if self.world.rng.u32(..400) < self.world.profile.faults {
            self.world.calls.lose(id);
            self.world.say(|| format!("{what}: no connection"));
            return Ok(());
        }
        self.depart(id).await
    }

    /// Takes a call through all its remaining stages.
    async fn carry(&mut self, id: u64) -> Checked {
        if self.world.calls.look(id).0 == At::Waiting {
            self.depart(id).await?;
        }
        if self.world.calls.ids().contains(&id) {
            self.world.carry(id, None);
        }
        Ok(())
    }
}
