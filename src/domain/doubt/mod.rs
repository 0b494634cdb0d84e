//! Weighs the evidence about a submission whose answer was lost.
//!
//! The POST may have taken effect or not, and the API has no idempotency key to ask with. Three things can be
//! read: what a precheck would charge for the batch now, which credits left the balance without another
//! explanation, and a sample of profiles. One immediate check proves nothing, since an effect may show late.
//! So the proof of *no* effect needs several checks over some time that all agree. A sign of an effect needs
//! one check.
//!
//! The costly mistake is to send again what was paid for, so any unclear evidence counts against sending.

mod event;
mod evidence;

use super::credits::Credits;
use super::ids::Millis;

pub use event::{EventVerdict, weigh_contradiction, weigh_event, weigh_full_access};
pub use evidence::{Gone, Profiles, in_words};

/// The evidence of one check. A part is `None` if it could not be read or did not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The price of the whole batch by the precheck before the submission. `None`: nobody asked, or it did not help.
    pub quoted_before: Option<Credits>,
    /// The present price of the whole batch, by a precheck.
    pub quote: Option<Credits>,
    /// Credits gone since before the submission that the account's other jobs do not explain: at least and at
    /// most.
    pub unexplained: Option<(Credits, Credits)>,
    pub profiles: Profiles,
    /// Whether the values of all contacts were read from profiles: nothing is left that could be bought.
    pub all_shown: bool,
}

/// What one check says on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    TookEffect,
    NoEffect,
    /// The precheck and the balance show no effect, and no profile that was read says `locked`. So it is for phones: a
    /// profile gives no status before one is ready. Both may show an effect late, so this has to hold for longer.
    NoEffectInFigures,
    Unclear,
}

impl Sign {
    pub fn is_no_effect(self) -> bool {
        matches!(self, Sign::NoEffect | Sign::NoEffectInFigures)
    }
}

/// Judges one check. `cost` is the highest possible charge of the whole submission: contacts that the task
/// skipped make the charge smaller.
pub fn read_look(look: &Look, cost: Credits) -> Sign {
    if look.quote == Some(Credits::ZERO) {
        return Sign::TookEffect;
    }
    if took_no_effect(look, cost) {
        let is_shown = look.profiles.locked > 0 || look.all_shown;
        return if is_shown { Sign::NoEffect } else { Sign::NoEffectInFigures };
    }
    let all_open = look.profiles.read() > 0 && look.profiles.open() == look.profiles.read();
    // A quarter may have failed.
    let most_of_it = look.quoted_before.unwrap_or(cost).part(3, 4);
    if look.all_shown
        || (look.quote.is_none() && all_open && !shows_too_little(look, most_of_it))
        || is_mostly_unlocked(look)
        || charge_explains_it(look, cost)
    {
        return Sign::TookEffect;
    }
    Sign::Unclear
}

/// Whether a precheck would charge for a quarter at most of what it would have charged before the submission, the profiles
/// say the same, and the balance does not show that the others were paid for by somebody else. While many submissions
/// are in doubt at once, it shows nothing: each of them may explain what is gone.
///
/// Example: 100 contacts at 15, of which 2 have failed. The precheck said 1,500 before and says 30 now, and three of
/// three profiles are unlocked. If it is wrong, nothing is paid twice: each contact's profile is read, and what stays
/// locked ends `unresolved`, and is bought by the next request for it.
fn is_mostly_unlocked(look: &Look) -> bool {
    let (Some(before), Some(now)) = (look.quoted_before, look.quote) else { return false };
    is_a_quarter_at_most(now, before)
        && most_are_open(&look.profiles)
        && !shows_too_little(look, before - now)
}

fn is_a_quarter_at_most(part: Credits, whole: Credits) -> bool {
    part.0.saturating_mul(4) <= whole.0
}

/// Whether three quarters of the profiles that were read are unlocked.
fn most_are_open(profiles: &Profiles) -> bool {
    profiles.open() > 0 && profiles.open() * 4 >= profiles.read() * 3
}

/// Whether the balance shows that less is gone than this charge. One that has grown could hide any charge.
fn shows_too_little(look: &Look, charge: Credits) -> bool {
    look.unexplained.is_some_and(|(_, most)| most >= Credits::ZERO && most < charge)
}

/// Whether no charge for this batch, however small, fits the evidence.
///
/// Contacts that a precheck would charge for now, a task would have charged for then, even if it failed
/// later. So if more is left to charge than is gone, there was no task. Contacts that are unlocked anyway
/// were unlocked by another program or person, and the next precheck removes them before the batch is sent
/// again. A balance that has grown could hide any charge, and proves nothing.
///
/// A contact that is being unlocked may be ours, and be charged when its task ends. And a precheck that would charge
/// for a contact which is unlocked does not see what happened; it may not see a task of ours either. That shows when
/// it charges for all of them, or when no profile that was read is locked.
fn took_no_effect(look: &Look, cost: Credits) -> bool {
    let profiles = &look.profiles;
    let charges_for_all =
        look.quote.is_some_and(|quote| quote >= cost) || (profiles.locked == 0 && !look.all_shown);
    let is_blind = charges_for_all && profiles.unlocked > 0;
    if profiles.under_way > 0 || is_blind {
        return false;
    }
    match (look.quote, look.unexplained) {
        (_, Some((_, most))) if most < Credits::ZERO => false,
        // Less left to charge, and credits certainly gone: this looks like a charge that a smaller top-up
        // hides.
        (Some(quote), Some((least, _))) if quote < cost && least > Credits::ZERO => false,
        (Some(quote), Some((_, most))) => quote > most,
        (None, Some((_, most))) => {
            most == Credits::ZERO && profiles.locked > 0 && profiles.locked == profiles.read()
        }
        (_, None) => false,
    }
}

/// Whether a charge for this batch explains the missing credits: the whole cost is gone, and part of the batch is
/// unlocked. Or a part of the cost is gone, a precheck would still charge for a quarter at most, and so say the profiles.
///
/// Example of what it must not be: a call that was lost on its way, and a colleague who bought ten of its twenty contacts
/// in the vendor's app. Half the cost is gone, and half is still to be charged.
fn charge_explains_it(look: &Look, cost: Credits) -> bool {
    let Some((least, most)) = look.unexplained else { return false };
    // A contact that can never be charged also makes the quote smaller, so profiles must agree.
    let none_read = look.profiles.read() == 0 && look.quote.is_some_and(|quote| quote < cost);
    let some_open = look.profiles.open() > 0 || none_read;
    let all_gone = least >= cost && some_open;
    let is_little = |quote: Credits| quote <= least && is_a_quarter_at_most(quote, cost);
    let part_gone = look.quote.is_some_and(is_little) && most <= cost && most_are_open(&look.profiles);
    all_gone || part_gone
}

/// Judges a check of a search whose answer was lost. Only the balance can show whether it was charged, and
/// its results cannot be read again. So a person decides whether to pay (again), once the balance has shown
/// what it can.
pub fn weigh_search(
    unexplained: Option<(Credits, Credits)>,
    cost: Credits,
    looks: u32,
    since: Millis,
    now: Millis,
    patience: Patience,
) -> Verdict {
    let waited = now.since(since);
    let charged = unexplained.is_some_and(|(least, _)| least >= cost);
    // A charge may show late; see `weigh`.
    let quiet = looks >= LOOKS_TO_PROVE_NO_EFFECT
        && waited >= patience.lag_ms()
        && unexplained == Some((Credits::ZERO, Credits::ZERO));
    if charged || quiet || waited >= patience.decide_after_ms {
        return Verdict::NeedsDecision;
    }
    Verdict::LookAgainAt(now.plus(pause_ms(looks, patience)))
}

/// How long to check, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// `submit.verify_after`, in milliseconds: the time to the first check, and the unit of the pauses.
    pub verify_after_ms: i64,
    /// `submit.decide_after`, in milliseconds.
    pub decide_after_ms: i64,
}

impl Patience {
    /// The longest delay of an effect that the checks can notice, in milliseconds: four times the first wait,
    /// because of the pauses between the checks.
    pub fn lag_ms(self) -> i64 {
        self.verify_after_ms.saturating_mul(4)
    }

    /// Whether a person is asked by now, if reading can settle it at all.
    pub fn is_over(self, since: Millis, now: Millis) -> bool {
        now.since(since) >= self.decide_after_ms
    }
}

/// The conclusion from the checks so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    CarriedOut,
    NotCarriedOut,
    LookAgainAt(Millis),
    NeedsDecision,
}

/// This many checks without contradiction prove that there was no effect.
const LOOKS_TO_PROVE_NO_EFFECT: u32 = 3;

/// Judges the newest sign. `no_effect_in_a_row` counts the signs of no effect in a row up to this one;
/// `looks` counts all checks that could be read.
pub fn weigh(
    sign: Sign,
    no_effect_in_a_row: u32,
    looks: u32,
    since: Millis,
    now: Millis,
    patience: Patience,
) -> Verdict {
    let proof_ms = match sign {
        Sign::NoEffectInFigures => patience.decide_after_ms.max(patience.lag_ms()),
        _ => patience.lag_ms(),
    };
    let long_enough = now.since(since) >= proof_ms;
    match sign {
        Sign::TookEffect => Verdict::CarriedOut,
        _ if sign.is_no_effect() && no_effect_in_a_row >= LOOKS_TO_PROVE_NO_EFFECT && long_enough => {
            Verdict::NotCarriedOut
        }
        // A proof that has begun takes a few more checks, and no person.
        Sign::NoEffect | Sign::NoEffectInFigures => Verdict::LookAgainAt(now.plus(pause_ms(looks, patience))),
        Sign::Unclear if asks_a_person(looks, since, now, patience) => Verdict::NeedsDecision,
        Sign::Unclear => Verdict::LookAgainAt(now.plus(pause_ms(looks, patience))),
    }
}

/// Whether a person is asked if check number `looks`, which ends now, does not settle it.
pub fn asks_a_person(looks: u32, since: Millis, now: Millis, patience: Patience) -> bool {
    patience.is_over(since, now) && looks >= LOOKS_TO_PROVE_NO_EFFECT
}

/// The evidence when a person is asked although no check could be read. The checks go on: that the API cannot be read
/// says nothing about the submission, and it may be read in a minute.
pub const NOTHING_READ: &str = "nothing could be read: the API gave no answer that can be used to any question; it is \
     looked up as soon as the API answers, and goes on by itself when that settles it";

/// Checks again after 1, 2, 4, … times the first wait, but not so late that the decision would be delayed.
fn pause_ms(looks: u32, patience: Patience) -> i64 {
    let grown = patience.verify_after_ms.saturating_mul(1 << looks.saturating_sub(1).min(20));
    grown.clamp(1, (patience.decide_after_ms / 3).max(1))
}

#[cfg(test)]
mod tests {
    use super::super::outcome::Access;
    use super::*;

    const COST: Credits = Credits(1_500);
    const PATIENCE: Patience = Patience { verify_after_ms: 30_000, decide_after_ms: 900_000 };

    fn look(quote: Option<i64>, unexplained: Option<(i64, i64)>, open: u32, read: u32) -> Look {
        Look {
            quoted_before: Some(COST),
            quote: quote.map(Credits),
            unexplained: unexplained.map(|(least, most)| (Credits(least), Credits(most))),
            profiles: Profiles { locked: read - open, unlocked: open, ..Profiles::default() },
            all_shown: false,
        }
    }

    fn with(profiles: Profiles, quote: Option<i64>, unexplained: Option<(i64, i64)>) -> Look {
        Look { profiles, ..look(quote, unexplained, 0, 0) }
    }

    /// Found by a stranger: ten of twenty contacts ended `unresolved` that nobody had bought.
    #[test]
    fn a_colleague_who_bought_half_of_a_lost_batch_does_not_make_it_carried_out() {
        for (open, read) in [(1, 3), (2, 3), (3, 3)] {
            for (left, gone) in [(750, 750), (600, 900), (450, 1_050)] {
                let sign = read_look(&look(Some(left), Some((gone, gone)), open, read), COST);
                assert_eq!(sign, Sign::Unclear, "{left} {gone} {open} of {read}");
            }
        }
        let nearly_all = |open| read_look(&look(Some(300), Some((900, 900)), open, 3), COST);
        assert_eq!((nearly_all(3), nearly_all(2)), (Sign::TookEffect, Sign::Unclear));
    }

    #[test]
    fn a_profile_that_says_failed_or_nothing_speaks_for_neither() {
        let neither = [
            Profiles { failed: 3, ..Profiles::default() },
            Profiles { silent: 3, ..Profiles::default() },
            Profiles { silent: 1, locked: 2, ..Profiles::default() },
        ];
        for profiles in neither {
            let said = |quote, unexplained| read_look(&with(profiles, quote, unexplained), COST);
            assert_eq!(said(None, Some((0, 0))), Sign::Unclear, "{profiles:?}");
            assert_eq!(said(None, Some((1_500, 1_500))), Sign::Unclear, "{profiles:?}");
            let by_figures = match profiles.locked {
                0 => Sign::NoEffectInFigures,
                _ => Sign::NoEffect,
            };
            assert_eq!(said(Some(1_500), Some((0, 0))), by_figures, "the precheck tells: {profiles:?}");
            assert_eq!(said(Some(1_500), None), Sign::Unclear, "{profiles:?}");
        }
    }

    #[test]
    fn a_profile_that_says_under_way_is_never_evidence_of_no_effect() {
        for locked in [0, 2] {
            let profiles = Profiles { under_way: 1, locked, ..Profiles::default() };
            for quote in [None, Some(1_485), Some(1_500), Some(9_000)] {
                for unexplained in [None, Some((0, 0)), Some((0, 15)), Some((1_500, 1_500))] {
                    let sign = read_look(&with(profiles, quote, unexplained), COST);
                    assert_ne!(sign, Sign::NoEffect, "{quote:?} {unexplained:?} {locked}");
                }
            }
        }
        let all = Profiles { under_way: 3, ..Profiles::default() };
        assert_eq!(
            read_look(&with(all, Some(1_500), Some((0, 0))), COST),
            Sign::Unclear,
            "charged at its end"
        );
        assert_eq!(read_look(&with(all, Some(1_500), Some((1_500, 1_500))), COST), Sign::TookEffect);
        assert_eq!(read_look(&with(all, None, None), COST), Sign::TookEffect);
    }

    #[test]
    fn a_submission_of_which_every_value_was_read_leaves_nothing_to_decide() {
        let shown = |quote, unexplained| Look { all_shown: true, ..look(quote, unexplained, 2, 2) };
        assert_eq!(read_look(&shown(Some(1_500), None), COST), Sign::TookEffect, "whatever the rest says");
        assert_eq!(read_look(&shown(Some(15), Some((0, 0))), COST), Sign::NoEffect, "it was somebody else");
    }

    #[test]
    fn each_word_of_a_profile_counts_once() {
        let mut profiles = Profiles::default();
        let words = ["locked", "unlocked", "ready", "processing", "unlocking", "unheard_of", "failed"];
        words.into_iter().for_each(|word| profiles.add(Access::from_word(Some(word))));
        profiles.add(Access::from_word(None));
        profiles.add(Access::Missing);
        let expected = Profiles { locked: 1, unlocked: 2, under_way: 3, failed: 1, silent: 2 };
        assert_eq!((profiles, profiles.read()), (expected, 9));
    }

    #[test]
    fn a_balance_over_a_lapse_is_as_good_as_none() {
        assert_eq!(Gone::Unexplained(Credits(1), Credits(2)).unexplained(), Some((Credits(1), Credits(2))));
        assert_eq!([Gone::Moved, Gone::NotKnown, Gone::NotRead].map(Gone::unexplained), [None; 3]);
    }

    #[test]
    fn what_a_look_says() {
        let table = [
            ("full price, nothing gone, all locked", look(Some(1_500), Some((0, 0)), 0, 3), Sign::NoEffect),
            ("a charge that a smaller top-up hides", look(Some(750), Some((500, 500)), 2, 3), Sign::Unclear),
            ("nothing left to pay", look(Some(0), Some((1_500, 1_500)), 3, 3), Sign::TookEffect),
            ("nothing left, balance not read", look(Some(0), None, 0, 0), Sign::TookEffect),
            (
                "full price, somebody else spent a little",
                look(Some(1_500), Some((15, 15)), 0, 3),
                Sign::NoEffect,
            ),
            ("nothing gone, no profile read", look(Some(1_500), Some((0, 0)), 0, 0), Sign::NoEffectInFigures),
            ("exactly what is left is gone", look(Some(900), Some((0, 900)), 1, 3), Sign::Unclear),
            ("charged, no profile read", look(Some(900), Some((1_500, 1_500)), 0, 0), Sign::TookEffect),
            (
                "charged, no profile read, full price",
                look(Some(1_500), Some((1_500, 1_500)), 0, 0),
                Sign::Unclear,
            ),
            ("charged and more, some open", look(Some(900), Some((2_000, 2_000)), 1, 3), Sign::TookEffect),
            ("charged, some open", look(Some(900), Some((1_500, 1_500)), 1, 3), Sign::TookEffect),
            (
                "charged, but all locked and at full price",
                look(Some(1_500), Some((1_500, 1_500)), 0, 3),
                Sign::Unclear,
            ),
            (
                "somebody else opened some, nothing charged",
                look(Some(900), Some((0, 600)), 1, 3),
                Sign::NoEffect,
            ),
            ("full price, balance not read", look(Some(1_500), None, 0, 3), Sign::Unclear),
            ("others may explain the charge", look(Some(1_500), Some((0, 1_500)), 0, 3), Sign::Unclear),
            ("full price, and one is unlocked", look(Some(1_500), Some((0, 0)), 1, 3), Sign::Unclear),
            ("no precheck, all sampled open", look(None, Some((1_500, 1_500)), 3, 3), Sign::TookEffect),
            ("no precheck, all locked, nothing gone", look(None, Some((0, 0)), 0, 3), Sign::NoEffect),
            ("no precheck, one open, nothing gone", look(None, Some((0, 0)), 1, 3), Sign::Unclear),
            ("no precheck, a part is gone", look(None, Some((15, 15)), 0, 3), Sign::Unclear),
            (
                "some were skipped, one has failed",
                look(Some(15), Some((1_440, 1_440)), 3, 3),
                Sign::TookEffect,
            ),
            ("some were skipped, none seen open", look(Some(15), Some((1_440, 1_440)), 0, 3), Sign::Unclear),
            ("failed ones can be bought again", look(Some(30), Some((30, 30)), 0, 3), Sign::Unclear),
            (
                "one can never be charged, and somebody else spent as much",
                look(Some(1_485), Some((2_000, 2_000)), 0, 3),
                Sign::Unclear,
            ),
            ("others spent much more", look(Some(900), Some((0, 9_000)), 1, 3), Sign::Unclear),
            ("a top-up hides what was charged", look(Some(15), Some((-970, -970)), 1, 3), Sign::Unclear),
            ("no precheck and no balance, all sampled open", look(None, None, 3, 3), Sign::TookEffect),
            ("only a balance", look(None, Some((0, 0)), 0, 0), Sign::Unclear),
            ("nothing could be read", look(None, None, 0, 0), Sign::Unclear),
        ];
        for (name, look, expected) in table {
            assert_eq!(read_look(&look, COST), expected, "{name}");
        }
    }

    #[test]
    fn a_batch_of_which_nearly_everything_is_unlocked_was_carried_out() {
        let table = [
            ("many in doubt", look(Some(15), Some((-72_900, 80_760)), 3, 3), Sign::TookEffect),
            ("balance not read", look(Some(15), None, 3, 3), Sign::TookEffect),
            ("a top-up", look(Some(375), Some((-970, -970)), 3, 3), Sign::TookEffect),
            ("more than a quarter", look(Some(390), Some((-970, -970)), 3, 3), Sign::Unclear),
            ("one not sampled as such", look(Some(15), None, 2, 3), Sign::Unclear),
            ("all were read", look(Some(15), None, 99, 100), Sign::TookEffect),
            ("none read", look(Some(15), None, 0, 0), Sign::Unclear),
            ("nearly all unlocked by others", look(Some(15), Some((0, 30)), 3, 3), Sign::Unclear),
            ("no precheck, and too little gone", look(None, Some((45, 45)), 3, 3), Sign::Unclear),
            ("no precheck, and most of it gone", look(None, Some((1_125, 1_125)), 3, 3), Sign::TookEffect),
        ];
        for (name, look, expected) in table {
            assert_eq!(read_look(&look, COST), expected, "{name}");
        }
    }

    /// Found by a stranger: 98 of 100 were unlocked before it was sent, and nothing has changed since.
    #[test]
    fn what_the_precheck_said_before_the_submission_is_no_sign_of_an_effect() {
        for quoted_before in [Some(Credits(30)), Some(Credits(60)), None] {
            let same = Look { quoted_before, ..look(Some(30), None, 3, 3) };
            assert_eq!(read_look(&same, COST), Sign::Unclear, "{quoted_before:?}");
        }
        let changed = Look { quoted_before: Some(Credits(120)), ..look(Some(30), None, 3, 3) };
        assert_eq!(read_look(&changed, COST), Sign::TookEffect);
    }

    #[test]
    fn one_immediate_look_proves_nothing() {
        let verdict = weigh(Sign::NoEffect, 1, 1, Millis(0), Millis(30_000), PATIENCE);
        assert_eq!(verdict, Verdict::LookAgainAt(Millis(60_000)));
    }

    #[test]
    fn no_effect_is_proven_by_three_looks_over_four_waits() {
        let (mut now, mut looks) = (Millis(30_000), 1);
        let proven_at = loop {
            match weigh(Sign::NoEffect, looks, looks, Millis(0), now, PATIENCE) {
                Verdict::LookAgainAt(at) => (now, looks) = (at, looks + 1),
                Verdict::NotCarriedOut => break now,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((proven_at, looks), (Millis(120_000), 3));
    }

    /// Phones: nothing but the precheck and the balance tells, and both may show an effect late.
    #[test]
    fn without_a_locked_profile_the_proof_takes_as_long_as_a_person_would_be_waited_for() {
        let figures = Sign::NoEffectInFigures;
        let verdict = weigh(figures, 9, 9, Millis(0), Millis(899_999), PATIENCE);
        assert!(matches!(verdict, Verdict::LookAgainAt(_)), "{verdict:?}");
        assert_eq!(weigh(figures, 9, 9, Millis(0), Millis(900_000), PATIENCE), Verdict::NotCarriedOut);
        let verdict = weigh(figures, 2, 9, Millis(0), Millis(900_000), PATIENCE);
        assert!(matches!(verdict, Verdict::LookAgainAt(_)), "{verdict:?}");
    }

    #[test]
    fn a_contradiction_starts_the_count_again() {
        let verdict = weigh(Sign::NoEffect, 1, 9, Millis(0), Millis(500_000), PATIENCE);
        assert!(matches!(verdict, Verdict::LookAgainAt(_)), "{verdict:?}");
    }

    #[test]
    fn what_stays_unclear_waits_for_a_person() {
        let verdict = |looks| weigh(Sign::Unclear, 0, looks, Millis(0), Millis(900_000), PATIENCE);
        assert_eq!(verdict(3), Verdict::NeedsDecision);
        assert!(matches!(verdict(2), Verdict::LookAgainAt(_)), "an API that was down is no evidence");
    }

    /// As after an outage: the first check that can be read is late.
    #[test]
    fn a_proof_that_has_begun_is_completed_before_a_person_is_asked() {
        let verdict = |row| weigh(Sign::NoEffect, row, 3 + row, Millis(0), Millis(3_600_000), PATIENCE);
        assert!(matches!([1, 2].map(verdict), [Verdict::LookAgainAt(_), Verdict::LookAgainAt(_)]));
        assert_eq!(verdict(3), Verdict::NotCarriedOut);
    }

    #[test]
    fn no_pause_is_longer_than_a_third_of_the_time_to_a_decision() {
        let after = |looks| match weigh(Sign::Unclear, 0, looks, Millis(0), Millis(1_000), PATIENCE) {
            Verdict::LookAgainAt(at) => at.since(Millis(1_000)),
            other => panic!("{other:?}"),
        };
        assert_eq!([1, 2, 3, 4, 5, 40].map(after), [30_000, 60_000, 120_000, 240_000, 300_000, 300_000]);
    }

    #[test]
    fn a_lost_search_waits_for_a_person_and_never_goes_out_by_itself() {
        let cost = Credits(50);
        let weigh = |least, most, looks, now| {
            let gone = Some((Credits(least), Credits(most)));
            weigh_search(gone, cost, looks, Millis(0), Millis(now), PATIENCE)
        };
        assert_eq!(weigh(50, 50, 1, 30_000), Verdict::NeedsDecision, "charged: no need to wait");
        assert!(matches!(weigh(0, 0, 1, 30_000), Verdict::LookAgainAt(_)), "a charge may show late");
        assert!(matches!(weigh(0, 0, 3, 119_999), Verdict::LookAgainAt(_)));
        assert_eq!(weigh(0, 0, 3, 120_000), Verdict::NeedsDecision, "nothing was charged");
        assert!(matches!(weigh(0, 50, 3, 120_000), Verdict::LookAgainAt(_)), "others may explain it");
        assert_eq!(weigh(0, 50, 9, 900_000), Verdict::NeedsDecision);
        for (least, most, looks, now) in [(0, 0, 3, 120_000), (50, 50, 9, 900_000), (-9, -9, 99, i64::MAX)] {
            assert_ne!(weigh(least, most, looks, now), Verdict::NotCarriedOut);
        }
    }

    #[test]
    fn a_sign_of_an_effect_is_taken_at_once() {
        assert_eq!(weigh(Sign::TookEffect, 0, 1, Millis(0), Millis(1), PATIENCE), Verdict::CarriedOut);
    }
}
