//! What happens to a call on its way: it moves on, its connection ends, or the vendor answers oddly.

use unlockd::sandbox::Fault;

use crate::calls::At;
use crate::world::World;

/// `api.timeout`.
pub(crate) const PATIENCE_MS: i64 = 30_000;
/// How long a request may be under way: after a longer time, no check could know that it will not arrive.
const LIFETIME_MS: i64 = 60_000;
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

impl World {
    pub(crate) fn time_out(&mut self) {
        self.time_out_but(&[]);
    }

    /// The same; these workers do not notice.
    pub(crate) fn time_out_but(&mut self, asleep: &[u32]) {
        for what in self.calls.time_out(PATIENCE_MS, LIFETIME_MS, asleep) {
            self.say(|| what);
        }
    }

    /// Moves a call one stage on, or lets a fault happen to it.
    pub(crate) fn move_on(&mut self, id: u64) {
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
    pub(crate) fn carry(&mut self, id: u64, fault: Option<Fault>) {
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
