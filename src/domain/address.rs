//! The rate limit of an address (IP): one bucket for the calls of all keys of one machine.
//!
//! No header gives this limit. It starts as configured (`rate_limit.per_address`). A 429 to a key that has
//! calls left shows it, and lowers it to the calls that were sent in its window. The window is as long as
//! that of the keys, unless a `Retry-After` shows a longer one. After six windows without such a 429 a higher
//! limit is tried: by a tenth, then by three tenths, and so on, since the 429 may have been temporary, or
//! others may have used the address.
//!
//! Example: keys have 20 calls in 10 s each, the address has 40, and 600 a minute are configured, which are
//! 100 in 10 s. Call 41 ends in a 429 with `Retry-After: 9`, although its key has 11 calls left. All keys
//! wait 9 s; from then on 40 calls are sent in any 10 s. A minute later 44 are tried, the 41st is refused,
//! and the limit is 40 again.
//!
//! Source: the vendor's rate-limit page (600 requests a minute for each IP; "a 429 while the key has calls left").

use std::collections::VecDeque;

use super::ids::Millis;
use super::pause::Pause;
use super::rate::{FEWEST_IN_A_BURST, Permission};
use super::window::{DOCUMENTED_WINDOW_MS, window_of};

/// What is known about the limit of this machine's address. Kept in the database, so that a restart brings no burst.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    per_minute: u32,
    /// The shortest window of the keys.
    keys_window_ms: i64,
    /// When the calls of all keys were sent, oldest first, without those refused because of the address.
    sent: VecDeque<Millis>,
    lowered: Option<Lowered>,
    /// No call of any key before its end.
    pause: Option<Pause>,
}

/// A limit that a 429 has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lowered {
    pub limit: u32,
    /// The longest `Retry-After` of the address, in milliseconds: no window is shorter.
    pub pause_ms: i64,
    pub at: Millis,
}

impl Address {
    /// Restores what was known before a restart. What has happened happened by now, even if a clock that was set back
    /// since says something else.
    pub fn restored(
        per_minute: u32,
        sent: impl IntoIterator<Item = Millis>,
        lowered: Option<Lowered>,
        pause: Option<Pause>,
        now: Millis,
    ) -> Address {
        let mut sent: Vec<Millis> = sent.into_iter().map(|at| at.min(now)).collect();
        let lowered = lowered.map(|lowered| Lowered { at: lowered.at.min(now), ..lowered });
        sent.sort_unstable();
        Address {
            per_minute: per_minute.max(1),
            keys_window_ms: DOCUMENTED_WINDOW_MS,
            sent: sent.into(),
            lowered,
            pause,
        }
    }

    /// When the next call of a key may be sent. `next_window`: when the key may look for its next window
    /// ([`super::rate::Rate::first_of_next_window`]).
    pub fn permission(&self, now: Millis, next_window: Option<Millis>) -> Permission {
        let mut earliest = self.held_until().map_or(now, |until| until.max(now));
        let (limit, window_ms) = (self.limit(now) as usize, self.window_ms());
        if self.sent.len() >= limit {
            // One hundredth more: the arrival counts, and not every call takes equally long.
            let leaves = self.sent[self.sent.len() - limit].plus(window_ms + window_ms / 100);
            let first =
                [self.first_after_hold(), self.looks_for_window(next_window)].into_iter().flatten().min();
            earliest = earliest.max(first.map_or(leaves, |first| first.min(leaves)));
        }
        if earliest > now { Permission::At(earliest) } else { Permission::Now }
    }

    /// The end of the last pause, if nothing was sent since. One call may be sent then, even if our count
    /// allows none: it shows a key its next window, and so how long windows are.
    fn first_after_hold(&self) -> Option<Millis> {
        let (until, newest) = (self.held_until()?, self.sent.back()?);
        (*newest < until).then_some(until)
    }

    /// While no key knows how long its windows are, one whose window has ended may send a call beyond a limit that a 429
    /// has shown, if nobody has sent one since: otherwise the calls of a window would be spread over a minute, and never
    /// show that it is shorter.
    fn looks_for_window(&self, next_window: Option<Millis>) -> Option<Millis> {
        let (first, newest) = (next_window?, self.sent.back()?);
        let is_learned = self.lowered.is_some() && self.keys_window_ms >= DOCUMENTED_WINDOW_MS;
        (is_learned && *newest < first).then_some(first)
    }

    /// Counts a call of any key that is about to be sent.
    pub fn book(&mut self, now: Millis) {
        let kept_ms = 2 * self.window_ms();
        while self.sent.front().is_some_and(|at| now.since(*at) >= kept_ms) {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
    }

    /// Takes over the calls of all workers on this machine; the newest is the call that is about to be sent. `Some`: it must
    /// wait until then, since the others have used up the limit.
    pub fn takes_over(&mut self, mut sent: Vec<Millis>, now: Millis) -> Option<Millis> {
        sent.sort_unstable();
        self.sent = sent.into();
        let before = self.sent.len().checked_sub(self.limit(now) as usize + 1)?;
        let leaves = self.sent[before].plus(self.window_ms() + self.window_ms() / 100);
        (leaves > now).then_some(leaves)
    }

    /// Learns from a 429 to a key that has calls left. The call was sent at `sent_at`, and the next is
    /// allowed in `pause_ms`. Returns whether the limit has changed.
    pub fn refused(&mut self, sent_at: Millis, pause_ms: i64, now: Millis) -> bool {
        let pause = Pause::new(now, pause_ms);
        self.pause = Some(pause.or(self.pause));
        if let Some(index) = self.sent.iter().rposition(|at| *at == sent_at) {
            // A refused call uses nothing.
            self.sent.remove(index);
        }
        let known = self.lowered;
        let pause_ms = known.map_or(pause_ms, |known| known.pause_ms.max(pause_ms));
        let window_ms = self.keys_window_ms.max(window_of(pause_ms));
        // The window may have begun a second sooner: a Retry-After is in whole seconds, rounded up.
        let began = pause.until().plus(-window_ms - 1_000);
        let sent = self.sent.iter().filter(|at| **at > began && **at <= sent_at).count();
        if sent < FEWEST_IN_A_BURST {
            return false;
        }
        let sent = u32::try_from(sent).unwrap_or(u32::MAX);
        let limit = match known.filter(|known| sent_at <= known.at) {
            // Sent before the last 429 was known, so it belongs to the same window.
            Some(known) => sent.min(known.limit),
            // The limit that we respected was too high.
            None => sent.min(self.limit(now) - 1).max(1),
        };
        self.lowered = Some(Lowered { limit, pause_ms, at: now });
        known.is_none_or(|known| known.limit != limit)
    }

    /// Takes the shortest window that the keys know, in milliseconds.
    pub fn measure(&mut self, keys_window_ms: i64) {
        // A window of an hour belongs to a single endpoint.
        self.keys_window_ms = keys_window_ms.min(DOCUMENTED_WINDOW_MS);
    }

    /// Sets the configured limit. A changed one applies at once, whatever was learned.
    pub fn configure(&mut self, per_minute: u32) {
        if per_minute.max(1) != self.per_minute {
            (self.per_minute, self.lowered) = (per_minute.max(1), None);
        }
    }

    /// The calls allowed in a window, as configured or as a 429 has shown.
    pub fn limit(&self, now: Millis) -> u32 {
        let configured = (i64::from(self.per_minute) * self.window_ms() / DOCUMENTED_WINDOW_MS).max(1);
        let limit = match self.lowered {
            Some(lowered) => configured.min(self.tried(lowered, now)),
            None => configured,
        };
        u32::try_from(limit).unwrap_or(u32::MAX)
    }

    /// The limit that is tried now, after it was lowered.
    fn tried(&self, lowered: Lowered, now: Millis) -> i64 {
        let steps = now.since(lowered.at).max(0) / (WINDOWS_BEFORE_A_STEP * self.window_ms());
        // After sixteen steps it is already thousands of times as large.
        let tenths = 9 + (1_i64 << steps.min(16));
        (i64::from(lowered.limit) * tenths / 10).max(1)
    }

    /// How long a window is, as far as it is known, in milliseconds.
    pub fn window_ms(&self) -> i64 {
        let shown = self.lowered.map_or(0, |lowered| window_of(lowered.pause_ms));
        self.keys_window_ms.max(shown).max(1_000)
    }

    pub fn lowered(&self) -> Option<Lowered> {
        self.lowered
    }

    /// The last pause that the API has asked all keys for.
    pub fn pause(&self) -> Option<Pause> {
        self.pause
    }

    pub fn held_until(&self) -> Option<Millis> {
        self.pause.map(Pause::until)
    }
}

/// Windows without a 429 before a higher limit is tried. Each try may cost a 429, or one for each call in flight: fewer
/// than one in fifty at a limit of 20.
const WINDOWS_BEFORE_A_STEP: i64 = 6;

#[cfg(test)]
mod tests;
