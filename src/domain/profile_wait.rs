//! When a contact's profile is read again, and what follows if it stays locked.
//!
//! Each read costs a call of the rate limit, so the pauses between them grow.

use super::ids::Millis;
use super::item::Why;

/// The pause after `reads` reads without a result: 5 s, 10 s, 20 s and so on, at most ten minutes. A contact
/// that stays "processing" needs about 150 calls in the day until it is given up.
pub fn pause_ms(reads: u32) -> i64 {
    (5_000 << reads.min(7)).min(600_000)
}

/// The sum of the pauses of this many reads.
fn waited_ms(reads: u32) -> i64 {
    let growing: i64 = (0..reads.min(8)).map(pause_ms).sum();
    growing + i64::from(reads.saturating_sub(8)) * pause_ms(8)
}

/// A contact that was set aside, and whose profile is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locked {
    pub why: Why,
    /// Since when its reason applies; for `unlocking` since the first precheck that said so.
    pub since: Millis,
    pub reads: u32,
    /// It was paid for a short time ago: the charge, and the unlocked value, may show late.
    pub was_paid: bool,
    /// A job was charged for it and brought no value, and no person has said that it may be paid for once more.
    pub brought_nothing: bool,
    /// The profile gives no status. The vendor documents that for phones that nobody unlocked, and that it proves no
    /// lock.
    pub is_silent: bool,
    /// The database is an older copy, so an unlock of ours may be running that it does not know.
    pub is_restored: bool,
}

/// How long to wait for a locked profile, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How late an effect may show.
    pub lag_ms: i64,
    /// How long a task may take before it is given up.
    pub give_up_ms: i64,
}

/// The conclusion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    LookAgain,
    /// That it is locked does not show that it may be paid for: it is sent only if a precheck names a price for it.
    Ask,
    /// It is not unlocked: it is sent after all.
    Send,
    /// It was waited for too long.
    GiveUp,
}

impl Locked {
    /// Whether to wait longer. A contact that is being unlocked is waited for as long again as it was before.
    /// Example: prechecks have said so for two minutes; if its profile stays locked for another two minutes,
    /// it is sent (after one more precheck).
    ///
    /// A contact that was paid for and brought nothing may still be at work in a task that the API has forgotten.
    /// Example: job 1 was charged for contact 101, its task is gone (404), and no precheck answers. The profile stays
    /// locked for a day; the contact is not paid for again, and ends `unresolved`.
    pub fn judge(self, limits: Limits, now: Millis) -> Verdict {
        let in_all_ms = now.since(self.since);
        let is_unlocking = self.why == Why::Unlocking;
        let proves_nothing = self.brought_nothing || self.is_silent;
        if (is_unlocking || proves_nothing) && in_all_ms >= limits.give_up_ms {
            return Verdict::GiveUp;
        }
        let (waited_ms, patience_ms) = match is_unlocking {
            // `since` counts from the first precheck, so the number of reads shows how long this wait is.
            true => (waited_ms(self.reads), limits.lag_ms.max(in_all_ms - waited_ms(self.reads))),
            false => (in_all_ms, if self.is_restored || self.brought_nothing { limits.lag_ms } else { 0 }),
        };
        match self.was_paid || waited_ms < patience_ms {
            true => Verdict::LookAgain,
            // One that is being unlocked is prechecked again in its next batch.
            false if proves_nothing && !is_unlocking => Verdict::Ask,
            false => Verdict::Send,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { lag_ms: 120_000, give_up_ms: 3_600_000 };

    fn locked(why: Why, reads: u32) -> Locked {
        let (was_paid, brought_nothing, is_silent, is_restored) = (false, false, false, false);
        Locked { why, since: Millis(0), reads, was_paid, brought_nothing, is_silent, is_restored }
    }

    #[test]
    fn the_pauses_double_up_to_ten_minutes() {
        let pauses: Vec<i64> = (0..10).map(|reads| pause_ms(reads) / 1_000).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert_eq!(pause_ms(u32::MAX), 600_000);
        let waited: Vec<i64> = [0, 1, 2, 7, 8, 9, 11].map(|reads| waited_ms(reads) / 1_000).into();
        assert_eq!(waited, [0, 5, 15, 635, 1_235, 1_835, 3_035]);
    }

    #[test]
    fn one_that_was_called_unlocked_is_sent_at_once_if_it_is_locked() {
        for why in [Why::AlreadyUnlocked, Why::PaidBefore] {
            assert_eq!(locked(why, 0).judge(LIMITS, Millis(0)), Verdict::Send);
        }
        let paid = Locked { was_paid: true, ..locked(Why::PaidBefore, 3) };
        assert_eq!(paid.judge(LIMITS, Millis(9_000_000)), Verdict::LookAgain);
    }

    #[test]
    fn one_that_was_paid_for_and_brought_nothing_is_sent_only_if_a_precheck_names_a_price() {
        let lost = Locked { brought_nothing: true, ..locked(Why::PaidBefore, 3) };
        let at = |ms| lost.judge(LIMITS, Millis(ms));
        assert_eq!([at(0), at(119_999)], [Verdict::LookAgain; 2], "the charge may show late");
        assert_eq!([at(120_000), at(3_599_999)], [Verdict::Ask; 2]);
        assert_eq!(at(3_600_000), Verdict::GiveUp);
        let unlocking = Locked { why: Why::Unlocking, reads: 5, ..lost };
        assert_eq!(unlocking.judge(LIMITS, Millis(155_000)), Verdict::Send, "its next batch is prechecked");
    }

    #[test]
    fn a_phone_without_a_status_is_sent_only_if_a_precheck_names_a_price() {
        let silent = Locked { is_silent: true, ..locked(Why::AlreadyUnlocked, 0) };
        assert_eq!(silent.judge(LIMITS, Millis(0)), Verdict::Ask);
        assert_eq!(silent.judge(LIMITS, Millis(3_600_000)), Verdict::GiveUp);
    }

    #[test]
    fn in_an_older_copy_it_is_waited_for_as_long_as_an_effect_may_take_to_show() {
        let restored = Locked { is_restored: true, ..locked(Why::AlreadyUnlocked, 0) };
        assert_eq!(restored.judge(LIMITS, Millis(119_999)), Verdict::LookAgain);
        assert_eq!(restored.judge(LIMITS, Millis(120_000)), Verdict::Send);
    }

    #[test]
    fn one_that_is_being_unlocked_is_waited_for_as_long_again_as_before() {
        // The first time: reads at 0, 5, 15, 35, 75 and 155 s.
        let first = |reads: u32, at_s: i64| locked(Why::Unlocking, reads).judge(LIMITS, Millis(at_s * 1_000));
        assert_eq!([first(0, 0), first(4, 75)], [Verdict::LookAgain; 2]);
        assert_eq!(first(5, 155), Verdict::Send);
        // The second time: prechecks have said so for 155 s before.
        assert_eq!([first(0, 155), first(5, 310)], [Verdict::LookAgain, Verdict::Send]);
        assert_eq!(first(5, 311), Verdict::LookAgain, "one second more than before");
        assert_eq!([first(8, 3_599), first(8, 3_600)], [Verdict::LookAgain, Verdict::GiveUp]);
    }

    #[test]
    fn one_that_is_being_unlocked_for_too_long_is_given_up_even_if_it_was_paid_for() {
        let paid = Locked { was_paid: true, ..locked(Why::Unlocking, 0) };
        assert_eq!(paid.judge(LIMITS, Millis(3_600_000)), Verdict::GiveUp);
        let other = Locked { was_paid: true, ..locked(Why::AlreadyUnlocked, 0) };
        assert_eq!(other.judge(LIMITS, Millis(3_600_000)), Verdict::LookAgain);
    }
}
