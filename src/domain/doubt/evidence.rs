//! The parts of the evidence of one check: the profiles that were read, and what left the balance.

use super::{Look, Sign};
use crate::domain::credits::Credits;
use crate::domain::outcome::Access;

/// The profiles that were read, by what they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Profiles {
    pub locked: u32,
    pub unlocked: u32,
    /// Being unlocked, by us or by somebody else, or in a state that nobody documented.
    pub under_way: u32,
    /// An unlock was tried once, by us or by somebody else. They are evidence for neither side.
    pub failed: u32,
    /// They have no status. The vendor documents that for phones that nobody unlocked, and also says that it proves no
    /// lock. They are evidence for neither side, so the precheck decides.
    pub silent: u32,
}

impl Profiles {
    /// Counts one more profile.
    pub fn add(&mut self, access: Access) {
        let count = match access {
            Access::Locked => &mut self.locked,
            Access::Unlocked => &mut self.unlocked,
            Access::InProgress | Access::Unclear => &mut self.under_way,
            Access::Failed => &mut self.failed,
            Access::NotSaid | Access::Missing => &mut self.silent,
        };
        *count += 1;
    }

    pub fn read(&self) -> u32 {
        self.locked + self.unlocked + self.under_way + self.failed + self.silent
    }

    fn in_words(&self) -> String {
        let mut words = format!("{} of {} sampled profiles are unlocked", self.unlocked, self.read());
        let others =
            [(self.under_way, "being unlocked"), (self.failed, "failed"), (self.silent, "without a status")];
        for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
            words.push_str(&format!(", {count} {what}"));
        }
        words
    }

    /// Those that show that somebody unlocks, or has unlocked.
    pub(super) fn open(&self) -> u32 {
        self.unlocked + self.under_way
    }
}

/// What left the balance since before a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Credits that the account's other jobs do not explain: at least and at most.
    Unexplained(Credits, Credits),
    /// Credits were granted or have lapsed in between: what is gone, or is not, proves nothing.
    Moved,
    /// No balance was read before.
    NotKnown,
    /// The balance cannot be read now.
    NotRead,
}

impl Gone {
    pub fn unexplained(self) -> Option<(Credits, Credits)> {
        match self {
            Gone::Unexplained(least, most) => Some((least, most)),
            Gone::Moved | Gone::NotKnown | Gone::NotRead => None,
        }
    }
}

/// The evidence in words, for the timeline and for the person who decides.
pub fn in_words(look: &Look, gone: Gone, cost: Credits, sign: Sign) -> String {
    let quote = match look.quote {
        Some(quote) => format!("a precheck would charge {quote} of {cost}"),
        None => "the precheck did not help".to_owned(),
    };
    let balance = match gone {
        Gone::Unexplained(least, most) if least == most => {
            format!("the balance dropped by {most} credits that no other job explains")
        }
        Gone::Unexplained(least, most) => {
            format!("the balance dropped by {least} to {most} credits that no other job explains")
        }
        Gone::Moved => "credits were granted or lapsed meanwhile, so the balance proves nothing".to_owned(),
        Gone::NotKnown => "no balance from before".to_owned(),
        Gone::NotRead => "the balance cannot be read".to_owned(),
    };
    let meaning = match sign {
        Sign::TookEffect => "it took effect",
        Sign::NoEffect => "no sign of an effect",
        Sign::NoEffectInFigures => "no sign of an effect, and no profile confirms it",
        Sign::Unclear => "not clear",
    };
    format!("{meaning}: {quote}; {balance}; {}", look.profiles.in_words())
}
