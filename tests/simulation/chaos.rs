//! Chooses the next event: at random during chaos, in order during calm.

use unlockd::domain::Millis;
use unlockd::sandbox::Fault;
use unlockd::worker::run::driver::End;
use unlockd::worker::run::idle;

use crate::calls::{At, is_paid};
use crate::invariants::Checked;
use crate::life::PASSES;
use crate::run::Run;

/// `api.timeout`.
const PATIENCE_MS: i64 = 30_000;
/// How long a request may be under way: after a longer time, no check could know that it will not arrive.
const LIFETIME_MS: i64 = 60_000;
/// More steps without an end are a loop.
const MOST_CALM_STEPS: u32 = 8_000;
/// By then everything must have finished: a day's limit ends, a task is given up after 5 min.
const LONGEST_CALM_MS: i64 = 4 * 3_600_000;

/// What happens to a call instead of a plain answer, with its weight.
const FAULTS: [(u32, &str); 22] = [
    (6, "lost-answer"),
    (4, "lost-answer=500"),
    (3, "lost-answer=truncate"),
    (6, "lost-request"),
    (6, "500"),
    (4, "503"),
    (2, "429"),
    (2, "429=75"),
    (2, "429=none"),
    (3, "409"),
    (2, "402"),
    (1, "401"),
    (2, "404"),
    (1, "400"),
    (1, "422"),
    (2, "200-error=429:USER_CONCURRENCY_LIMIT_EXCEEDED"),
    (3, "broken=html"),
    (3, "broken=types"),
    (2, "broken=unknown"),
    (2, "broken=strangers"),
    (1, "broken=odd"),
    (1, "status=503:40"),
];

impl Run {
    pub(crate) async fn chaos(&mut self) -> Checked {
        for _ in 0..self.profile.steps {
            self.time_out();
            let runnable = self.life.runnable(self.clock.now());
            let calls = self.calls.ids();
            let roll = self.rng.u32(..100);
            if roll < self.profile.others || (runnable.is_empty() && calls.is_empty() && roll < 40) {
                self.others_act().await?;
            } else if roll > 95 {
                let ms = [20, 400, 3_000, 12_000, 45_000][self.rng.usize(..5)];
                let ms = self.rng.i64(1..ms);
                self.pass(ms);
            } else if roll > 91 && self.replaced.is_some() {
                self.advance_replaced().await?;
            } else if runnable.is_empty() && calls.is_empty() {
                self.jump(self.life.next_due().unwrap_or_else(|| self.clock.now().plus(10_000)));
            } else {
                let choice = self.rng.usize(..runnable.len() + calls.len());
                match runnable.get(choice) {
                    Some(pass) => self.advance(*pass).await?,
                    None => {
                        let id = calls[choice - runnable.len()];
                        if self.dies_while_paying(id) {
                            self.kill().await?;
                        } else {
                            self.move_on(id);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The worst moment to die is chosen more often: a paid call was sent, and its answer is not recorded.
    fn dies_while_paying(&mut self, id: u64) -> bool {
        let (at, what) = self.calls.look(id);
        is_paid(&what) && at != At::Waiting && self.profile.crashes > 0 && self.rng.u8(..8) == 0
    }

    /// The faults end; a person makes all open decisions; everything finishes.
    pub(crate) async fn calm(&mut self) -> Checked {
        self.no_more_crashes();
        self.replaced = None;
        self.calls.bury();
        self.say(|| "calm".to_owned());
        self.lift_limits().await;
        let end_by = self.now() + LONGEST_CALM_MS;
        for _ in 0..MOST_CALM_STEPS {
            self.time_out();
            if let Some(call) = self.calls.ids().first() {
                self.carry(*call, None);
                continue;
            }
            let now = self.clock.now();
            if let Some(pass) = self.life.runnable(now).first() {
                self.advance(*pass).await?;
                continue;
            }
            let due = self.life.next_due();
            match idle::idle(&self.life.deps).await.expect("readable") {
                Some(End::Idle) => return Ok(()),
                Some(End::WaitsForPerson(waits)) => self.decide_everything(&waits).await,
                _ if self.now() > end_by => break,
                _ => self.jump(due.unwrap_or_else(|| now.plus(10_000))),
            }
        }
        let runnable = self.life.runnable(self.clock.now());
        let runnable: Vec<_> = runnable.iter().map(|pass| PASSES[*pass]).collect();
        let found = format!("{runnable:?} would go on\n{}", self.dump().await);
        Err(self.violation("I11 once the faults stop, everything comes to its end in 4 hours", found))
    }

    fn jump(&mut self, to: Millis) {
        // Sometimes a pass runs a little late, as in reality.
        let late = if self.rng.u8(..4) == 0 { self.rng.i64(0..900) } else { 0 };
        self.pass(to.since(self.clock.now()).clamp(1, 600_000) + late);
    }

    fn time_out(&mut self) {
        for what in self.calls.time_out(PATIENCE_MS, LIFETIME_MS) {
            self.say(|| what);
        }
    }

    /// Moves a call one stage on, or lets a fault happen to it.
    fn move_on(&mut self, id: u64) {
        let faulty = self.rng.u32(..100) < self.profile.faults;
        let (at, what) = self.calls.look(id);
        match at {
            _ if faulty && self.rng.u8(..4) == 0 => {
                self.calls.lose(id);
                self.say(|| format!("{what}: the connection ends while it is {at:?}"));
            }
            At::Waiting => {
                let sent = self.calls.depart(id);
                let what = if sent { self.calls.look(id).1 } else { what };
                self.say(|| format!("{what}: {}", if sent { "sent" } else { "withheld" }));
            }
            At::Underway => {
                let fault = faulty.then(|| self.fault());
                let text = fault.as_ref().map(ToString::to_string).unwrap_or_default();
                let status = self.calls.arrive(id, &self.sandbox, fault.or_else(|| self.always()));
                self.say(|| format!("{what}: arrives, {status:?} {text}"));
            }
            At::Answered => {
                self.calls.deliver(id);
                self.say(|| format!("{what}: answered"));
            }
        }
    }

    /// Takes a call through all its remaining stages.
    fn carry(&mut self, id: u64, fault: Option<Fault>) {
        let (at, what) = self.calls.look(id);
        if at == At::Waiting && !self.calls.depart(id) {
            return self.say(|| format!("{what}: withheld"));
        }
        if at != At::Answered {
            let (_, what) = self.calls.look(id);
            let status = self.calls.arrive(id, &self.sandbox, fault.or_else(|| self.always()));
            self.say(|| format!("{what}: {status:?}"));
        }
        self.calls.deliver(id);
    }

    fn always(&self) -> Option<Fault> {
        self.profile.always.map(|text| text.parse().expect("a fault"))
    }

    fn fault(&mut self) -> Fault {
        let all: u32 = FAULTS.iter().map(|(weight, _)| weight).sum();
        let mut left = self.rng.u32(..all);
        for (weight, text) in FAULTS {
            if left < weight {
                return text.parse().expect("a fault");
            }
            left -= weight;
        }
        unreachable!("the weights add up")
    }
}
