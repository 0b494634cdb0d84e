//! Chooses the next event: at random during chaos, in order during calm.

use unlockd::domain::Millis;
use unlockd::worker::run::driver::End;
use unlockd::worker::run::idle;

use crate::calls::{At, is_paid};
use crate::invariants::Checked;
use crate::life::name;
use crate::run::Run;

/// More steps without an end are a loop.
const MOST_CALM_STEPS: u32 = 8_000;
/// By then everything must have finished: a day's limit ends, a task is given up after 5 min.
const LONGEST_CALM_MS: i64 = 4 * 3_600_000;

impl Run {
    pub(crate) async fn chaos(&mut self) -> Checked {
        for _ in 0..self.world.profile.steps {
            self.world.time_out();
            let runnable = self.life.runnable(self.world.clock.now());
            let calls = self.world.calls.ids();
            let roll = self.world.rng.u32(..100);
            if roll < self.world.profile.others || (runnable.is_empty() && calls.is_empty() && roll < 40) {
                self.others_act().await?;
            } else if roll > 95 {
                let ms = [20, 400, 3_000, 12_000, 45_000][self.world.rng.usize(..5)];
                let ms = self.world.rng.i64(1..ms);
                self.world.pass(ms);
            } else if roll > 91 && self.replaced.is_some() {
                self.advance_replaced().await?;
            } else if runnable.is_empty() && calls.is_empty() {
                self.jump(self.life.next_due().unwrap_or_else(|| self.world.clock.now().plus(10_000)));
            } else {
                let choice = self.world.rng.usize(..runnable.len() + calls.len());
                match runnable.get(choice) {
                    Some(pass) => self.advance(*pass).await?,
                    None => {
                        let id = calls[choice - runnable.len()];
                        if self.dies_while_paying(id) {
                            self.kill().await?;
                        } else {
                            self.world.move_on(id);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The worst moment to die is chosen more often: a paid call was sent, and its answer is not recorded.
    fn dies_while_paying(&mut self, id: u64) -> bool {
        let (at, what) = self.world.calls.look(id);
        is_paid(&what) && at != At::Waiting && self.world.profile.crashes > 0 && self.world.rng.u8(..8) == 0
    }

    /// The faults end; a person makes all open decisions; everything finishes.
    pub(crate) async fn calm(&mut self) -> Checked {
        self.no_more_crashes();
        self.replaced = None;
        self.world.calls.bury();
        self.world.say(|| "calm".to_owned());
        self.lift_limits().await;
        let end_by = self.world.now() + LONGEST_CALM_MS;
        for _ in 0..MOST_CALM_STEPS {
            self.world.time_out();
            if let Some(call) = self.world.calls.ids().first() {
                self.world.carry(*call, None);
                continue;
            }
            let now = self.world.clock.now();
            if let Some(pass) = self.life.runnable(now).first() {
                self.advance(*pass).await?;
                continue;
            }
            let due = self.life.next_due();
            match idle::idle(&self.life.deps).await.expect("readable") {
                Some(End::Idle) => return Ok(()),
                Some(End::WaitsForPerson(waits)) => {
                    self.world.decide_everything(&waits).await;
                    self.world.pass(1_000);
                    self.life.wake();
                }
                _ if self.world.now() > end_by => break,
                _ => self.jump(due.unwrap_or_else(|| now.plus(10_000))),
            }
        }
        let runnable = self.life.runnable(self.world.clock.now());
        let runnable: Vec<_> = runnable.iter().map(|pass| name(*pass)).collect();
        let found = format!("{runnable:?} would go on\n{}", self.world.dump().await);
        Err(self.world.violation("I11 once the faults stop, everything comes to its end in 4 hours", found))
    }

    /// One of the others does something, or something happens to the worker.
    async fn others_act(&mut self) -> Checked {
        match self.world.rng.u32(..100) {
            92..94 => self.kill().await,
            94..96 if self.replaced.is_none() => self.replace().await,
            roll => {
                self.world.others_act(roll).await;
                Ok(())
            }
        }
    }

    /// Only decisions of a person are left in the way.
    async fn lift_limits(&mut self) {
        self.world.config.credits.daily_limit = None;
        self.world.sandbox.top_up(10_000_019);
        self.life.deps.reconfigure(self.world.config.clone().into()).await.expect("reconfigured");
        self.world.resume().await;
        self.life.wake();
    }

    fn jump(&mut self, to: Millis) {
        // Sometimes a pass runs a little late, as in reality.
        let late = if self.world.rng.u8(..4) == 0 { self.world.rng.i64(0..900) } else { 0 };
        self.world.pass(to.since(self.world.clock.now()).clamp(1, 600_000) + late);
    }
}
