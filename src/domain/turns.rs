//! Which call goes next when few calls are left: the classes of calls, and their turns.
//!
//! [`super::rate`] decides how many calls may go out, and when.

/// The kind of work that makes a call, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A submission, and the precheck it needs.
    Paid,
    /// A task whose poll is due.
    Poll,
    /// A check of a submission that is in doubt.
    Verify,
    /// The balance.
    Balance,
    /// A profile whose value is expected.
    Background,
}

impl Class {
    pub const ALL: [Class; 5] = [Class::Paid, Class::Poll, Class::Verify, Class::Balance, Class::Background];

    /// The share of calls while all classes compete.
    fn weight(self) -> u64 {
        match self {
            Class::Paid | Class::Poll => 8,
            Class::Verify | Class::Balance => 2,
            Class::Background => 1,
        }
    }
}

/// Shares scarce calls between classes: by weight, the higher class first, and every class gets calls.
///
/// The turns of a class are divided by its weight, and the competing class with the smallest result is next. A class that
/// does not compete for a while gains no turns by that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    taken: [u64; Class::ALL.len()],
}

impl Turns {
    /// The class whose turn it is among the competing ones; `None` if there are none.
    pub fn next(&self, competing: &[Class]) -> Option<Class> {
        competing.iter().copied().min_by_key(|class| (self.progress(*class), *class))
    }

    /// Counts a turn. `competing` are the classes that wanted it, including this one.
    pub fn take(&mut self, class: Class, competing: &[Class]) {
        self.taken[class as usize] += 1;
        let behind = competing.iter().map(|class| self.progress(*class)).min().unwrap_or_default();
        for idle in Class::ALL.into_iter().filter(|class| !competing.contains(class)) {
            let caught_up = behind * idle.weight() / SCALE;
            self.taken[idle as usize] = self.taken[idle as usize].max(caught_up);
        }
    }

    fn progress(&self, class: Class) -> u64 {
        self.taken[class as usize] * SCALE / class.weight()
    }
}

/// Turns are counted in fractions of this.
const SCALE: u64 = 1_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_class_that_competes_gets_its_share_and_nobody_starves(
            rounds in prop::collection::vec(prop::collection::btree_set(0..5_usize, 1..=5), 1..300),
        ) {
            let (mut turns, mut waited) = (Turns::default(), [0_u32; 5]);
            for competing in rounds {
                let competing: Vec<Class> = competing.into_iter().map(|index| Class::ALL[index]).collect();
                let next = turns.next(&competing).expect("somebody competes");
                prop_assert!(competing.contains(&next));
                turns.take(next, &competing);
                for class in Class::ALL {
                    let index = class as usize;
                    waited[index] = if class == next || !competing.contains(&class) { 0 } else { waited[index] + 1 };
                    // All weights together are 21: no class waits longer than about two rounds of all.
                    prop_assert!(waited[index] <= 45, "{class:?} waited {} turns", waited[index]);
                }
            }
        }
    }

    #[test]
    fn under_full_competition_calls_are_shared_by_weight_and_paid_ones_come_first() {
        let (mut turns, mut counts) = (Turns::default(), [0; 5]);
        assert_eq!(turns.next(&Class::ALL), Some(Class::Paid));
        for _ in 0..2_100 {
            let next = turns.next(&Class::ALL).expect("all compete");
            turns.take(next, &Class::ALL);
            counts[next as usize] += 1;
        }
        assert_eq!(counts, [800, 800, 200, 200, 100]);
    }

    #[test]
    fn a_class_that_did_not_compete_saves_up_no_turns() {
        let mut turns = Turns::default();
        for _ in 0..800 {
            turns.take(Class::Poll, &[Class::Poll]);
        }
        let mut counts = [0; 5];
        for _ in 0..21 {
            let next = turns.next(&Class::ALL).expect("all compete");
            turns.take(next, &Class::ALL);
            counts[next as usize] += 1;
        }
        assert_eq!(counts, [8, 8, 2, 2, 1], "their shares, as if nothing had been before");
    }
}
