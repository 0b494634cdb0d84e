//! The length of a rate window, as answers show it.
//!
//! A header gives the end of a window and never its length. Two consecutive ends show the length; one alone
//! does not, since the beginning is unknown. Without headers, a 429 shows how many calls were allowed, and
//! its `Retry-After` when the next ones are.

use super::ids::Millis;

/// The rate headers of one answer, converted to our clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateHeaders {
    pub limit: u32,
    pub remaining: u32,
    pub resets_at: Millis,
    /// The time left in the window when the API answered, by the API's own clock, in milliseconds.
    pub left_ms: i64,
    /// How long the call took, in milliseconds: the window may end earlier than `resets_at` by this time.
    pub took_ms: i64,
}

impl RateHeaders {
    /// Whether they may be about the window with that end. The API sends whole seconds, and a slow answer
    /// gives the end too late.
    pub(super) fn may_tell_of(&self, known_reset: Millis) -> bool {
        let late_ms = self.resets_at.since(known_reset);
        (-HEADER_ERROR_MS..=self.took_ms.saturating_add(HEADER_ERROR_MS)).contains(&late_ms)
    }
}

/// The window until the API shows its own: a minute, as documented.
pub const DOCUMENTED_WINDOW_MS: i64 = 60_000;

/// The API sends the end of a window and its own time in whole seconds, one rounded up and the other down:
/// the time left may seem longer by up to this, in milliseconds.
pub(super) const HEADER_ERROR_MS: i64 = 2_050;

/// The length of a window that seems to be `left_ms` long: the shortest usual length within the error of the
/// headers. Too long wastes calls, too short exceeds the limit.
pub(super) fn window_of(left_ms: i64) -> i64 {
    const USUAL_SECONDS: [i64; 10] = [5, 10, 15, 20, 30, 60, 120, 300, 900, 3_600];
    let shortest = left_ms - HEADER_ERROR_MS;
    let usual = USUAL_SECONDS.into_iter().map(|seconds| seconds * 1_000).find(|length| *length >= shortest);
    usual.unwrap_or(left_ms)
}

/// The limit that a 429 shows if no header gives it: `sent` calls were sent from `first` on before one was
/// refused at `now`, and the next is allowed `pause_ms` later. Returns the calls in a window, and its length.
pub(super) fn of_burst(sent: usize, first: Millis, now: Millis, pause_ms: i64) -> (u32, i64) {
    let length = now.since(first).saturating_add(pause_ms).max(1_000);
    (u32::try_from(sent).unwrap_or(u32::MAX).max(1), window_of(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_that_ends_in_a_429_shows_limit_and_window() {
        let seen = |sent, took, pause| of_burst(sent, Millis(0), Millis(took), pause);
        assert_eq!(seen(20, 2_000, 8_000), (20, 10_000));
        assert_eq!(seen(20, 9_900, 1_000), (20, 10_000), "a Retry-After is in whole seconds");
        assert_eq!(seen(120, 30_000, 30_000), (120, 60_000));
        assert_eq!(seen(0, 0, 0), (1, 5_000), "never none");
    }
}
