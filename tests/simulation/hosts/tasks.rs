//! What hosts do next, and what becomes of it.

use unlockd::store::StoreError;

use crate::hosts::Fleet;
use crate::invariants::{Checked, none};
use crate::life::{INTAKE, Progress, name};

/// What a host can do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Start,
    /// Look after the leases.
    Look,
    /// Begin and end parts.
    Adjust,
    /// Hear that rows were written.
    Listen,
    Pass(usize),
    /// Its passes have ended: leave.
    Leave,
}

impl Fleet {
    /// What each host can do now, the most urgent of each first.
    pub(super) fn tasks(&self) -> Vec<(usize, Task)> {
        let now = self.world.now();
        let mut tasks = Vec::new();
        for host in self.hosts.iter().filter(|host| host.frozen_until.is_none()) {
            let Some(worker) = &host.worker else {
                tasks.extend((host.starts_at <= now).then_some((host.number, Task::Start)));
                continue;
            };
            let looks = worker.looks() && worker.look_at <= now && host.stuck_until.is_none();
            let mut can = |is_so: bool, task: Task| tasks.extend(is_so.then_some((host.number, task)));
            can(looks, Task::Look);
            can(worker.must_adjust(), Task::Adjust);
            can(worker.is_notified, Task::Listen);
            can(worker.has_ended(now), Task::Leave);
            let runnable = worker.life.runnable(host.clock.now());
            runnable.into_iter().for_each(|pass| can(true, Task::Pass(pass)));
        }
        tasks
    }

    /// How long until a host has something to do by time. `looks`: its leases count, too.
    pub(super) fn next_due(&self, looks: bool) -> Option<i64> {
        let now = self.world.now();
        let mut due = Vec::new();
        for host in &self.hosts {
            if let Some(until) = host.frozen_until {
                due.push(until);
                continue;
            }
            due.extend([host.no_database_until, host.no_api_until, host.stuck_until].into_iter().flatten());
            let Some(worker) = &host.worker else {
                due.push(host.starts_at);
                continue;
            };
            due.extend(worker.life.next_due().map(|at| now + at.since(host.clock.now())));
            due.extend((looks && worker.looks() && host.stuck_until.is_none()).then_some(worker.look_at));
            due.extend(worker.stops_by);
        }
        due.into_iter().map(|at| (at - now).max(1)).min()
    }

    pub(super) async fn run(&mut self, host: usize, task: Task) -> Checked {
        let now = self.world.now();
        self.crash.arm(self.planned.is_some_and(|(of, _)| of == host));
        let done = self.do_task(host, task, now).await;
        self.crash.arm(false);
        let was_killed = self.crash.happened().is_some();
        self.carry_out();
        match done {
            _ if was_killed => Ok(()),
            Err(error) => self.fail(host, task, error),
            Ok(()) => Ok(()),
        }
    }

    async fn do_task(&mut self, host: usize, task: Task, now: i64) -> Result<(), StoreError> {
        let title = self.hosts[host].name.clone();
        if task == Task::Start {
            self.start(host, now).await;
            return Ok(());
        }
        let Some(worker) = &mut self.hosts[host].worker else { return Ok(()) };
        match task {
            Task::Start => {}
            Task::Look => worker.look(now).await?,
            Task::Adjust => {
                worker.adjust(now).await?;
                let serves = worker.serves();
                self.world.say(|| format!("{title} serves {serves}"));
            }
            Task::Listen => {
                worker.is_notified = false;
                worker.life.wake();
            }
            Task::Leave => {
                let left = worker.leave(now, &self.world.calls).await;
                let starts_at = now + self.starts_again_after();
                self.hosts[host].end(&self.world.calls, starts_at);
                self.world.say(|| format!("{title} has ended: {left:?}"));
                left?;
            }
            Task::Pass(pass) => {
                let progress = worker.life.advance(pass, &self.world.calls, &self.crash).await;
                self.after(host, pass, progress)?;
            }
        }
        Ok(())
    }

    async fn start(&mut self, host: usize, now: i64) {
        let name = self.hosts[host].name.clone();
        self.lives += 1;
        let started = self.hosts[host].start(self.lives, &self.client, now).await;
        if let Err(problem) = &started {
            self.hosts[host].starts_at = now + self.starts_again_after().max(1);
            if self.hosts[host].no_database_until.is_none() && self.crash.struck().is_none() {
                self.watch.did_not_start(format!("{name} at {now}: {problem}"));
            }
        }
        // The problem names a folder that differs from run to run.
        let (life, how) = (self.lives, if started.is_ok() { "starts" } else { "cannot start" });
        self.world.say(|| format!("{name} {how} as life {life}"));
    }

    /// What a pass has come to.
    fn after(&mut self, host: usize, pass: usize, progress: Progress) -> Result<(), StoreError> {
        let title = format!("{} {}", self.hosts[host].name, name(pass));
        match progress {
            Progress::Waits => self.world.say(|| format!("{title} waits for an answer")),
            Progress::Crashed | Progress::Frozen => {}
            Progress::Ended(Ok(report)) => {
                match report.did {
                    0 => self.world.trace.note(self.world.now(), &title),
                    did => self.world.say(|| format!("{title} did {did}")),
                }
                if report.did > 0 {
                    self.wake(host, pass);
                }
            }
            Progress::Ended(Err(StoreError::Stale { what })) => {
                self.world.say(|| format!("{title} was late: {what}"));
                self.wake(host, pass);
            }
            Progress::Ended(Err(error)) => {
                if let Some(life) = self.hosts[host].life() {
                    self.world.calls.unrecorded(life, pass);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Rows were changed: what concerns them looks at them. A driver wakes all passes; those of other owners would find
    /// nothing.
    fn wake(&mut self, host: usize, by: usize) {
        if by == INTAKE {
            self.tell_all();
        } else if let Some(worker) = &mut self.hosts[host].worker {
            worker.wake_owner_of(by);
        }
    }

    /// An error ends a worker: its present steps may still record their answers.
    pub(super) fn fail(&mut self, host: usize, task: Task, error: StoreError) -> Checked {
        let (title, now) = (self.hosts[host].name.clone(), self.world.now());
        self.world.say(|| format!("{title}, {task:?}: {error:?}"));
        let Some(worker) = &mut self.hosts[host].worker else { return Ok(()) };
        let has_cause = match &error {
            StoreError::Fenced => worker.was_stalled,
            StoreError::Stopped => worker.was_stalled || worker.has_failed,
            StoreError::Database { .. } | StoreError::Open { .. } => worker.was_cut,
            _ => false,
        };
        worker.stop(now, true);
        if has_cause {
            Ok(())
        } else {
            none("no worker fails for a reason of its own", &[format!("{title}: {error:?}")])
        }
    }
}
