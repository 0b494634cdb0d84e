//! The outcome of a contact, and what its profile says about it.
//!
//! Tasks are read by [`super::task`], the groups of a submission by [`super::division`]. A contact counts
//! as delivered only when it is unlocked and the email (or phone) is there.

mod kind;

pub use kind::{Kind, PENDING, Set};

use super::contact_value::ContactValue;

/// The outcome of an item. The words are those of `contact_outcomes.outcome`; `pending` means that there is
/// none yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered { value: ContactValue, source: Source },
    NoValue,
    Failed { error_code: Option<String> },
    Unresolved,
    NotReturned,
    Invalid,
    Missing,
    Unlinked,
    Rejected { error_code: Option<String> },
    Cancelled,
    Lost,
    Expired,
}

/// The source of a delivered value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Task,
    Profile,
    Store,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Task => "task",
            Source::Profile => "profile",
            Source::Store => "store",
        }
    }
}

impl Outcome {
    /// The words of `action_results.outcome` that contacts do not have.
    pub const DIRECT_NAMES: [&'static str; 4] = ["unlocked", "already_unlocked", "found", "nothing_found"];

    /// Every word of `contact_outcomes.outcome`, `pending` first.
    pub const NAMES: [&'static str; 1 + Kind::ALL.len()] = {
        let mut names = [PENDING; 1 + Kind::ALL.len()];
        let mut at = 0;
        while at < Kind::ALL.len() {
            names[at + 1] = Kind::ALL[at].as_str();
            at += 1;
        }
        names
    };

    pub fn kind(&self) -> Kind {
        match self {
            Outcome::Delivered { .. } => Kind::Delivered,
            Outcome::NoValue => Kind::NoValue,
            Outcome::Failed { .. } => Kind::Failed,
            Outcome::Unresolved => Kind::Unresolved,
            Outcome::NotReturned => Kind::NotReturned,
            Outcome::Invalid => Kind::Invalid,
            Outcome::Missing => Kind::Missing,
            Outcome::Unlinked => Kind::Unlinked,
            Outcome::Rejected { .. } => Kind::Rejected,
            Outcome::Cancelled => Kind::Cancelled,
            Outcome::Lost => Kind::Lost,
            Outcome::Expired => Kind::Expired,
        }
    }

    pub fn name(&self) -> &'static str {
        self.kind().as_str()
    }

    /// The API's own code for a failure, as sent.
    pub fn error_code(&self) -> Option<&str> {
        match self {
            Outcome::Failed { error_code } | Outcome::Rejected { error_code } => error_code.as_deref(),
            _ => None,
        }
    }

    /// Whether the outcome is valid for the contact with every event. `unlinked` is not: the contact may well
    /// belong to another event.
    pub fn holds_for_other_events(&self) -> bool {
        !matches!(self, Outcome::Unlinked | Outcome::Rejected { .. } | Outcome::Cancelled)
    }
}

/// A contact's profile, for one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileView {
    pub access: Access,
    pub value: Option<ContactValue>,
    /// The company that the contact works for, in the API's words.
    pub company: Option<String>,
}

/// Whether this key has access to a contact's value. The vendor documents only `locked` for emails, and
/// `ready`, `processing`, `failed` or null for phones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Locked,
    /// The documented null: the status of a phone that nobody has unlocked. By the vendor's page it does not prove that the
    /// phone is locked.
    NotSaid,
    InProgress,
    Unlocked,
    Failed,
    /// An undocumented word.
    Unclear,
    /// No word, where one is documented.
    Missing,
}

impl Access {
    pub fn from_word(word: Option<&str>) -> Access {
        match word {
            None => Access::NotSaid,
            Some("locked") => Access::Locked,
            Some("pending" | "processing" | "unlocking") => Access::InProgress,
            Some("unlocked" | "ready") => Access::Unlocked,
            Some("failed") => Access::Failed,
            Some(_) => Access::Unclear,
        }
    }

    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Access::Locked => "locked",
            Access::NotSaid => "no status",
            Access::InProgress => "being unlocked",
            Access::Unlocked => "unlocked",
            Access::Failed => "failed",
            Access::Unclear => "unknown status",
            Access::Missing => "status missing",
        }
    }

    /// Whether the value counts as locked for all decisions but one: whether a paid call took effect.
    pub fn is_locked(self) -> bool {
        matches!(self, Access::Locked | Access::NotSaid)
    }
}

/// What a profile says about a contact whose value is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileReading {
    Ended(Outcome),
    /// No answer yet.
    NotYet,
}

/// Reads a profile. `looks` counts the earlier reads without a result: an unlocked contact without a value is
/// read once more, since the value may come later than the status.
pub fn read_profile(view: &ProfileView, looks: u32) -> ProfileReading {
    match (view.access, &view.value) {
        (Access::Locked | Access::NotSaid, _) => ProfileReading::NotYet,
        (_, Some(value)) => {
            ProfileReading::Ended(Outcome::Delivered { value: value.clone(), source: Source::Profile })
        }
        (Access::Unlocked, None) if looks >= 1 => ProfileReading::Ended(Outcome::NoValue),
        (Access::Failed, None) => ProfileReading::Ended(Outcome::Failed { error_code: None }),
        (Access::Unlocked | Access::InProgress | Access::Unclear | Access::Missing, None) => {
            ProfileReading::NotYet
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn email(text: &str) -> Option<ContactValue> {
        ContactValue::parse(text)
    }

    #[test]
    fn only_a_failure_has_an_error_code_and_only_some_outcomes_hold_for_other_events() {
        let code = || Some("NO_EMAIL_FOUND".to_owned());
        let value = email("a@b.example").expect("usable");
        let table = [
            (Outcome::Delivered { value, source: Source::Store }, None, true),
            (Outcome::NoValue, None, true),
            (Outcome::Failed { error_code: code() }, code(), true),
            (Outcome::Missing, None, true),
            (Outcome::Unlinked, None, false),
            (Outcome::Rejected { error_code: code() }, code(), false),
            (Outcome::Cancelled, None, false),
        ];
        for (outcome, code, elsewhere) in table {
            assert_eq!(outcome.error_code(), code.as_deref(), "{outcome:?}");
            assert_eq!(outcome.holds_for_other_events(), elsewhere, "{outcome:?}");
        }
        let sources = [Source::Task, Source::Profile, Source::Store];
        assert_eq!(sources.map(Source::as_str), ["task", "profile", "store"]);
    }

    #[test]
    fn a_locked_profile_delivers_nothing_whatever_it_shows() {
        let teaser = ProfileView { access: Access::Locked, value: email("j@acme.example"), company: None };
        assert_eq!(read_profile(&teaser, 9), ProfileReading::NotYet);
        let open = ProfileView { access: Access::Unclear, ..teaser.clone() };
        assert!(matches!(read_profile(&open, 0), ProfileReading::Ended(Outcome::Delivered { .. })));
        let bare = ProfileView { access: Access::Unlocked, value: None, company: None };
        assert_eq!(read_profile(&bare, 0), ProfileReading::NotYet);
        assert_eq!(read_profile(&bare, 1), ProfileReading::Ended(Outcome::NoValue));
    }
}
