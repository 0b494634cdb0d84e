//! What an answer, or evidence about a lost one, means in credits: for the hold, the charge and the requests
//! that pay.
//!
//! This is the only place that decides it, and it needs no database: [`Books`] is what is booked for a job so
//! far. Each of its methods stands for one possible result of the job's submission, and returns a
//! [`Booking`], which one function of the store writes.
//!
//! Three sums are kept. All may overstate what was spent, and never understate it:
//!
//! - the *hold*, from the intent until the submission's result is known: after that the holds and releases of
//!   a job sum to zero;
//! - the *charge*, which settlements compare with the balance: never above what was held for all calls of the job,
//!   unless the API itself says what it charged;
//! - the *shares*: what each request may have cost so far, checked against its `max_credits` and its approval. The
//!   request that asked first for a contact pays for it.
//!
//! What each request pays of a charge is [`Paid`]. A share may be higher: a hold counts in it, too.
//!
//! Example: 3 contacts at 15. [`Books::sent`] holds 45 and adds 45 to the request's share. The API accepts 2
//! of them: [`Books::accepted`] releases the hold, charges 30 and takes 15 off the share.

use super::credits::Credits;
use super::ids::RequestId;

/// A request that pays for contacts of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payer {
    pub request_id: RequestId,
    pub contacts: usize,
}

/// How many contacts these requests pay for.
pub fn contacts(payers: &[Payer]) -> usize {
    payers.iter().map(|payer| payer.contacts).sum()
}

/// The requests that pay for the contacts that have left: `all` less those that `stay`.
pub fn payers_of_the_rest(all: &[Payer], stay: &[Payer]) -> Vec<Payer> {
    let staying = |payer: &Payer| {
        let same = stay.iter().filter(|other| other.request_id == payer.request_id);
        same.map(|other| other.contacts).sum()
    };
    all.iter()
        .map(|payer| Payer { contacts: payer.contacts.saturating_sub(staying(payer)), ..*payer })
        .filter(|payer| payer.contacts > 0)
        .collect()
}

/// Divides an amount among the requests that pay, by their contacts. The parts sum exactly to the amount: a
/// remainder is paid by the later ones.
pub fn divide(amount: Credits, payers: &[Payer]) -> Vec<(RequestId, Credits)> {
    let (mut contacts_left, mut left) = (contacts(payers), amount);
    let mut shares = Vec::with_capacity(payers.len());
    for payer in payers {
        let part = left.part(payer.contacts, contacts_left);
        shares.push((payer.request_id, part));
        contacts_left -= payer.contacts;
        left = left - part;
    }
    shares
}

/// Credits that a request pays, and for how many contacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paid {
    pub request_id: RequestId,
    pub contacts: usize,
    pub credits: Credits,
}

/// What each request pays of a charge.
fn paid(charge: Credits, payers: &[Payer]) -> Vec<Paid> {
    let shares = divide(charge, payers).into_iter().zip(payers);
    shares
        .map(|((request_id, credits), payer)| Paid { request_id, contacts: payer.contacts, credits })
        .filter(|paid| paid.credits > Credits::ZERO)
        .collect()
}

/// The settlement that a job belongs to from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Settles {
    /// The same as before, if any.
    #[default]
    Unchanged,
    /// The account's open one; if there is none, a new one is opened.
    WithTheOpenOne,
    /// None: there is nothing to settle.
    Nowhere,
}

/// Everything that is to be booked for a job at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Booking {
    /// Reserved before the submission goes out.
    pub hold: Credits,
    /// The part of the hold that is released now.
    pub release: Credits,
    /// Whether everything that is held for the job is released.
    pub release_hold: bool,
    /// Charged now, in addition to earlier charges of the job.
    pub charge: Credits,
    /// What the requests pay of that charge. Less than the charge if it cannot be said who pays.
    pub paid: Vec<Paid>,
    /// Change of each request's possible cost; negative if it becomes less.
    pub shares: Vec<(RequestId, Credits)>,
    pub settles: Settles,
}

/// The bookings of a job so far, and the possible cost of its submission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// The possible cost of the whole submission, as held since its intent.
    pub cost: Credits,
    /// The price of one contact, rounded up.
    pub price: Credits,
    /// Charges so far, for earlier submissions of the job.
    pub charged: Credits,
    /// How many of its submissions were never answered. Searches do not count here: the person who decided
    /// about a lost search has judged it already.
    pub unanswered_calls: u32,
    /// The highest possible cost of one of those. Repeats of one submission count once, since the vendor
    /// documents that a contact that is unlocked, or being unlocked, is not charged again.
    pub unanswered: Credits,
    /// The requests that pay for the contacts that are in it.
    pub payers: Vec<Payer>,
}

/// What the API accepted of a submission, and what its answer shows about earlier ones.
#[derive(Clone, Copy, Debug)]
pub struct Accepted<'a> {
    /// What they cost, by the request that pays: each contact at its own price.
    pub costs: &'a [(RequestId, Credits)],
    /// The requests that pay for the contacts that the API took into the task.
    pub payers: &'a [Payer],
    /// The same, plus those for contacts that are already unlocked or being unlocked. An earlier submission
    /// of the job, never answered, may have unlocked them.
    pub payers_with_unlocked: &'a [Payer],
}

impl Accepted<'_> {
    /// What each request pays of the charge for the contacts that the API took.
    fn paid(&self) -> Vec<Paid> {
        let contacts_of = |request_id| {
            let own = self.payers.iter().filter(|payer| payer.request_id == request_id);
            own.map(|payer| payer.contacts).sum()
        };
        let costs = self.costs.iter().filter(|(_, credits)| *credits > Credits::ZERO);
        costs
            .map(|&(request_id, credits)| Paid { request_id, contacts: contacts_of(request_id), credits })
            .collect()
    }
}

impl Books {
    /// The intent is committed, and the submission goes out: its possible cost is held.
    pub fn sent(&self) -> Booking {
        Booking {
            hold: self.cost,
            shares: divide(self.cost, &self.payers),
            settles: Settles::WithTheOpenOne,
            ..Booking::default()
        }
    }

    /// The answer was lost: everything stays held until its effect is known.
    pub fn lost(&self) -> Booking {
        Booking::default()
    }

    /// The API took some of the contacts into a task, or (if none) found nothing to charge for. Only what it
    /// took is charged. But if an earlier submission was never answered and some contacts are already
    /// unlocked, that submission may have been charged, too ([`Books::found_after_all`]).
    pub fn accepted(&self, accepted: Accepted<'_>) -> Booking {
        let charge: Credits = accepted.costs.iter().map(|(_, credits)| *credits).sum();
        let unlocked = contacts(accepted.payers_with_unlocked) - contacts(accepted.payers);
        let (paying, found) = match unlocked > 0 && self.unanswered > Credits::ZERO {
            true => (accepted.payers_with_unlocked, self.found_after_all(&[])),
            false => (accepted.payers, Booking::default()),
        };
        let shares = match contacts(paying) > contacts(accepted.payers) {
            true => divide(charge + self.price.times(unlocked), paying),
            false => accepted.costs.to_vec(),
        };
        let found_for = payers_of_the_rest(paying, accepted.payers);
        Booking {
            release_hold: true,
            charge: charge + found.charge,
            paid: [accepted.paid(), paid(found.charge, &found_for)].concat(),
            shares: self.shares_become(shares),
            settles: found.settles,
            ..Booking::default()
        }
    }

    /// A direct action was answered. `used` is the charge that the API itself names, which may be above the
    /// hold. If it is below the cost of an earlier call for the event that was never answered, the earlier call
    /// may have been charged, as a whole or (full access) for the other layer. Its cost counts as charged until
    /// the balance shows the truth.
    pub fn answered(&self, used: Credits) -> Booking {
        self.ended_with(match (self.unanswered_calls, used) {
            (0, used) => used,
            (_, Credits::ZERO) => self.cost.max(self.unanswered),
            (_, used) => used.max(self.unanswered),
        })
    }

    /// An event whose unlock was never answered turns out to be unlocked, for `seen` credits as far as the
    /// balance shows. After two such calls the balance shows only the cost of the second one.
    pub fn proven_open(&self, seen: Credits) -> Booking {
        match self.unanswered_calls > 1 {
            true => self.ended_with(self.cost.max(self.unanswered)),
            false => self.ended_with(seen),
        }
    }

    /// Evidence shows that the submission took effect, or no evidence will ever show that it did not (a
    /// person gave it up, or sends it again although it may have been charged). The whole cost counts.
    pub fn carried_out(&self) -> Booking {
        let paid = paid(self.cost, &self.payers);
        Booking { release_hold: true, charge: self.cost, paid, ..Booking::default() }
    }

    /// While a submission is in doubt, some of its contacts turn out to be unlocked, and their values are kept.
    /// Their part of its cost is charged, even if somebody else unlocked them; the rest stays held.
    pub fn shown(&self, shown: &[Payer]) -> Booking {
        let part = self.price.times(contacts(shown)).min(self.cost);
        Booking { release: part, charge: part, paid: paid(part, shown), ..Booking::default() }
    }

    /// It had no effect: it was not sent, it was refused, evidence proves it, or a person says so.
    pub fn took_no_effect(&self) -> Booking {
        let settles = match self.charged == Credits::ZERO {
            true => Settles::Nowhere,
            // The booking of an earlier submission stays in its settlement.
            false => Settles::Unchanged,
        };
        Booking { settles, ..self.ended_with(Credits::ZERO) }
    }

    /// It seems to have had no effect, and is made again: a repeat is free if it had one. That is no proof, so it stays
    /// in its settlement, which began with the balance before it.
    pub fn asked_again(&self) -> Booking {
        self.ended_with(Credits::ZERO)
    }

    /// An earlier submission, never answered and taken back, may have taken effect after all: a contact turns
    /// out to be unlocked, or the job ends without being sent again. Charged once. Until the balance shows
    /// whether it was charged, it counts as charged. `unlocked`: the requests that pay for the contacts that
    /// it has unlocked.
    pub fn found_after_all(&self, unlocked: &[Payer]) -> Booking {
        if self.unanswered == Credits::ZERO {
            return Booking::default();
        }
        let unbooked = (self.unanswered - self.charged).max(Credits::ZERO);
        let settles = match unbooked > Credits::ZERO {
            true => Settles::WithTheOpenOne,
            false => Settles::Unchanged,
        };
        let shares = divide(self.price.times(contacts(unlocked)), unlocked);
        Booking { charge: unbooked, paid: paid(unbooked, unlocked), shares, settles, ..Booking::default() }
    }

    fn ended_with(&self, charge: Credits) -> Booking {
        let shares = self.shares_become(divide(charge, &self.payers));
        let paid = paid(charge, &self.payers);
        Booking { release_hold: true, charge, paid, shares, ..Booking::default() }
    }

    /// The change from the shares committed by the intent to these shares.
    fn shares_become(&self, shares: Vec<(RequestId, Credits)>) -> Vec<(RequestId, Credits)> {
        let mut change: Vec<_> = divide(self.cost, &self.payers)
            .into_iter()
            .map(|(request_id, committed)| (request_id, Credits::ZERO - committed))
            .collect();
        for (request_id, share) in shares {
            match change.iter_mut().find(|(known, _)| *known == request_id) {
                Some((_, credits)) => *credits = *credits + share,
                None => change.push((request_id, share)),
            }
        }
        change.retain(|(_, credits)| *credits != Credits::ZERO);
        change
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn payer(request_id: i64, contacts: usize) -> Payer {
        Payer { request_id: RequestId(request_id), contacts }
    }

    /// A job with contacts at 15: the first request pays for two, the second for one.
    fn books() -> Books {
        Books {
            cost: Credits(45),
            price: Credits(15),
            payers: vec![payer(1, 2), payer(2, 1)],
            ..Books::default()
        }
    }

    #[test]
    fn what_is_shown_of_a_lost_submission_is_charged_and_the_rest_stays_held() {
        let part = |contacts| {
            let booked = books().shown(&[payer(1, contacts)]);
            assert_eq!(paid_sum(&booked), booked.charge);
            (booked.release, booked.charge, booked.release_hold, booked.shares)
        };
        assert_eq!(part(2), (Credits(30), Credits(30), false, vec![]));
        assert_eq!(part(9), (Credits(45), Credits(45), false, vec![]), "no more than was held");
    }

    fn lost_before() -> Books {
        Books { unanswered_calls: 1, unanswered: Credits(60), ..books() }
    }

    fn share(request_id: i64, credits: i64) -> (RequestId, Credits) {
        (RequestId(request_id), Credits(credits))
    }

    /// All contacts have the same price.
    fn accepted(books: &Books, payers: &[Payer], payers_with_unlocked: &[Payer]) -> Booking {
        let part = books.cost.part(contacts(payers), contacts(&books.payers));
        let costs = divide(part, payers);
        books.accepted(Accepted { costs: &costs, payers, payers_with_unlocked })
    }

    /// Every possible result of a submission: held, released, charged, and the shares.
    #[test]
    fn what_each_finding_means_for_hold_charge_and_shares() {
        let (all, one) = (books().payers, [payer(1, 1)]);
        let found = lost_before();
        let taken_back = vec![share(1, -30), share(2, -15)];
        let table = [
            ("sent", books().sent(), (45, false, 0), vec![share(1, 30), share(2, 15)]),
            ("its answer is lost", books().lost(), (0, false, 0), vec![]),
            ("all accepted", accepted(&books(), &all, &all), (0, true, 45), vec![]),
            (
                "one of three accepted",
                accepted(&books(), &one, &one),
                (0, true, 15),
                vec![share(1, -15), share(2, -15)],
            ),
            ("nothing chargeable", accepted(&books(), &[], &all), (0, true, 0), taken_back.clone()),
            ("refused, or not sent", books().took_no_effect(), (0, true, 0), taken_back.clone()),
            ("proven not carried out", found.took_no_effect(), (0, true, 0), taken_back.clone()),
            ("asked again", found.asked_again(), (0, true, 0), taken_back),
            ("proven carried out, or written off", books().carried_out(), (0, true, 45), vec![]),
            ("taken back, then found", found.found_after_all(&one), (0, false, 60), vec![share(1, 15)]),
            ("nothing was lost", books().found_after_all(&one), (0, false, 0), vec![]),
            (
                "accepted, and one was unlocked by the lost one",
                accepted(&found, &one, &[payer(1, 1), payer(2, 1)]),
                (0, true, 75),
                vec![share(1, -15)],
            ),
        ];
        for (name, booking, (hold, release_hold, charge), shares) in table {
            assert_eq!((booking.hold, booking.release_hold), (Credits(hold), release_hold), "{name}");
            assert_eq!((booking.charge, booking.shares), (Credits(charge), shares), "{name}");
        }
    }

    /// Contacts that the lost submission unlocked are paid for by those who asked for them.
    #[test]
    fn each_request_pays_for_its_own_contacts() {
        let paid = |request_id, contacts, credits| Paid {
            request_id: RequestId(request_id),
            contacts,
            credits: Credits(credits),
        };
        let (one, both) = ([payer(1, 1)], [payer(1, 1), payer(2, 1)]);
        assert_eq!(books().carried_out().paid, [paid(1, 2, 30), paid(2, 1, 15)]);
        assert_eq!(accepted(&books(), &one, &both).paid, [paid(1, 1, 15)]);
        assert_eq!(accepted(&lost_before(), &one, &both).paid, [paid(1, 1, 15), paid(2, 1, 60)]);
        assert_eq!(lost_before().found_after_all(&[]).paid, [], "nobody can be named");
    }

    #[test]
    fn a_direct_action_is_charged_by_the_apis_own_word() {
        let held = |unanswered_calls| Books {
            cost: Credits(2_000),
            price: Credits(2_000),
            unanswered_calls,
            payers: vec![payer(1, 1)],
            ..Books::default()
        };
        let booked = |booking: Booking| (booking.charge.0, booking.shares);
        assert_eq!(booked(held(0).answered(Credits(2_500))), (2_500, vec![share(1, 500)]), "above the hold");
        assert_eq!(booked(held(0).answered(Credits(0))), (0, vec![share(1, -2_000)]), "it was open");
        assert_eq!(booked(held(1).answered(Credits(0))), (2_000, vec![]), "perhaps by the call before");
        assert_eq!(booked(held(1).proven_open(Credits(0))), (0, vec![share(1, -2_000)]), "somebody else's");
        assert_eq!(booked(held(2).proven_open(Credits(0))), (2_000, vec![]), "perhaps by the call before");
        // Full access: the lost call was made when both layers were locked, this one when one was.
        let lost_5000 = Books { cost: Credits(3_000), unanswered: Credits(5_000), ..held(1) };
        assert_eq!(lost_5000.answered(Credits(0)).charge, Credits(5_000), "it may have bought both");
        assert_eq!(lost_5000.answered(Credits(3_000)).charge, Credits(5_000), "it may have bought the other");
        assert_eq!(lost_5000.answered(Credits(6_000)).charge, Credits(6_000));
        let twice = Books { unanswered_calls: 2, ..lost_5000 };
        assert_eq!(twice.proven_open(Credits(0)).charge, Credits(5_000));
    }

    #[test]
    fn who_pays_for_what_has_left_is_who_paid_before_and_does_no_more() {
        let all = [payer(1, 3), payer(2, 1), payer(3, 2)];
        assert_eq!(payers_of_the_rest(&all, &[payer(1, 1), payer(3, 2)]), [payer(1, 2), payer(2, 1)]);
        assert_eq!(payers_of_the_rest(&all, &all), []);
    }

    #[test]
    fn what_is_found_after_all_is_charged_once() {
        let first = lost_before().found_after_all(&[]);
        let again = Books { charged: first.charge, ..lost_before() };
        assert_eq!(again.found_after_all(&[]).charge, Credits::ZERO);
        let in_part = Books { charged: Credits(50), ..lost_before() };
        assert_eq!(in_part.found_after_all(&[]).charge, Credits(10));
        let above = Books { charged: Credits(100), ..lost_before() };
        assert_eq!(above.found_after_all(&[]).charge, Credits::ZERO);
    }

    #[test]
    fn a_charge_is_in_the_settlement_that_is_open_when_it_is_booked() {
        let charged = Books { charged: Credits(60), ..lost_before() };
        let table = [
            (books().sent().settles, Settles::WithTheOpenOne),
            (books().carried_out().settles, Settles::Unchanged),
            (books().took_no_effect().settles, Settles::Nowhere),
            (charged.took_no_effect().settles, Settles::Unchanged),
            (lost_before().found_after_all(&[]).settles, Settles::WithTheOpenOne),
            (charged.found_after_all(&[]).settles, Settles::Unchanged),
        ];
        for (at, (found, expected)) in table.into_iter().enumerate() {
            assert_eq!(found, expected, "line {at}");
        }
    }

    #[test]
    fn of_two_prices_that_of_the_accepted_contact_is_charged_and_the_sums_stay_exact() {
        let two = Books {
            cost: Credits(25),
            price: Credits(13),
            payers: vec![payer(1, 1), payer(2, 1)],
            ..Books::default()
        };
        assert_eq!(two.sent().shares, [share(1, 12), share(2, 13)]);
        let one = [payer(2, 1)];
        for (cost, change) in [(10, -3), (15, 2)] {
            let costs = [share(2, cost)];
            let taken = Accepted { costs: &costs, payers: &one, payers_with_unlocked: &one };
            let booking = two.accepted(taken);
            assert_eq!(
                (booking.charge, booking.shares),
                (Credits(cost), vec![share(1, -12), share(2, change)])
            );
        }
    }

    #[test]
    fn absurd_figures_neither_wrap_nor_panic() {
        let most = Credits(i64::MAX);
        let absurd = Books {
            cost: most,
            price: most,
            charged: Credits::ZERO,
            unanswered_calls: 1,
            unanswered: most,
            payers: vec![payer(1, 2_000), payer(2, 1)],
        };
        let bookings = [
            absurd.sent(),
            accepted(&absurd, &[payer(1, 1)], &absurd.payers),
            absurd.answered(most),
            absurd.proven_open(most),
            absurd.carried_out(),
            absurd.took_no_effect(),
            absurd.found_after_all(&absurd.payers),
        ];
        for booking in bookings {
            assert!(booking.hold >= Credits::ZERO && booking.charge >= Credits::ZERO, "{booking:?}");
        }
    }

    fn paid_sum(booking: &Booking) -> Credits {
        booking.paid.iter().map(|paid| paid.credits).sum()
    }

    fn sum(shares: &[(RequestId, Credits)]) -> Credits {
        shares.iter().map(|(_, credits)| *credits).sum()
    }

    fn any_books() -> impl Strategy<Value = Books> {
        let payers = prop::collection::vec(1..40_usize, 1..6);
        (payers, 0..200_i64, 0..200_i64).prop_map(|(payers, lowest, more)| {
            let payers: Vec<_> = (1..).zip(payers).map(|(id, contacts)| payer(id, contacts)).collect();
            let contacts = contacts(&payers) as i64;
            // One contact costs more than the others.
            let cost = lowest * contacts + more;
            let price = (cost + contacts - 1) / contacts;
            Books { cost: Credits(cost), price: Credits(price), payers, ..Books::default() }
        })
    }

    proptest! {
        #[test]
        fn an_amount_is_divided_without_remainder(books in any_books()) {
            let shares = divide(books.cost, &books.payers);
            prop_assert_eq!(sum(&shares), books.cost);
            for ((_, share), payer) in shares.iter().zip(&books.payers) {
                prop_assert!(*share >= Credits::ZERO && *share <= books.price.times(payer.contacts));
            }
        }

        #[test]
        fn what_is_held_is_released_and_the_shares_end_as_the_charge(
            books in any_books(), taken in prop::collection::vec(0..40_usize, 6), used in 0..10_000_i64,
        ) {
            let sent = books.sent();
            prop_assert_eq!((sent.hold, sum(&sent.shares)), (books.cost, books.cost));
            let taken: Vec<_> = books.payers.iter().zip(taken)
                .map(|(payer, taken)| Payer { contacts: taken.min(payer.contacts), ..*payer })
                .filter(|payer| payer.contacts > 0)
                .collect();
            let ends = [
                accepted(&books, &taken, &taken),
                accepted(&books, &[], &taken),
                books.carried_out(),
                books.took_no_effect(),
            ];
            for end in ends {
                prop_assert!(end.release_hold && end.hold == Credits::ZERO);
                prop_assert!(end.charge <= sent.hold);
                prop_assert_eq!(sum(&sent.shares) + sum(&end.shares), end.charge);
                prop_assert_eq!(paid_sum(&end), end.charge);
            }
            // The charge that the API names may be above the hold.
            let end = books.answered(Credits(used));
            prop_assert!(end.release_hold);
            prop_assert_eq!(end.charge, Credits(used));
            prop_assert_eq!(sum(&sent.shares) + sum(&end.shares), end.charge);
        }
    }
}
