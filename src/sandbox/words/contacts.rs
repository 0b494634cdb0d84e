//! What becomes of a contact: by the last two digits of its id, so that anyone can foretell it.
//!
//! This file is the rule; [`RULES`] is the same in words, for `--help`. The world decides when.

use std::fmt;

/// What `--help` says about ids.
pub const RULES: &str = "\
What becomes of a contact follows from the last two digits of its id:
  90  the task ends without naming it
  91  skipped: missing_personnel_ids (its profile is 404)
  92  skipped: unlinked_personnel_ids when an event_id is sent; else unlocked
  93  was unlocked before: skipped, already_unlocked_personnel_ids; its value is in the profile
  94  skipped: invalid_personnel_ids (so is an id that is not 1 to 20 digits)
  95  is being unlocked by somebody else: skipped, unlocking_personnel_ids; its value
      appears in the profile 10 s after any call first named it
  96  unlocked, with a blank email or phone
  97  failed, with errorCode NO_EMAIL_FOUND or NO_PHONE_FOUND
  98  still processing when the task ends, and ever after
  99  unlocked, without an email or phone
  any other: unlocked, with contact-<id>@example.com or +1-555-01<id>
Accepted contacts are charged when the task is accepted: email 15, phone 150. 90, 97 and 98
are charged like any other and not refunded, unless the sandbox is told to refund failures.
After the task, 90 and 97 can be bought again.

What becomes of an event follows from the end of its id:
  404  not found
  500  tasks submitted with it end as failed, every item with errorCode TASK_FAILED
  999  tasks submitted with it never end
  250  found; it has 250 people, <id>001 to <id>250: three pages of 100
  any other: found; it has 45 people, <id>55 to <id>99
Unlocking an event costs 2,000 credits once; until then a list shows its first 5 people.

Searches find 45 items and cost 50 credits for each page that is not empty. A company name
with \"many\" in it finds 250, which are three pages of 100; one with \"nobody\" in it finds
nothing; one with \"concurrent\" in it makes search-events answer HTTP 200 with the error body
USER_CONCURRENCY_LIMIT_EXCEEDED.
";

/// Which of a contact's two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    Email,
    Phone,
}

impl Channel {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
        }
    }

    pub(in crate::sandbox) fn value_of(self, id: &str) -> String {
        match self {
            Self::Email => format!("contact-{id}@example.com"),
            Self::Phone => format!("+1-555-01{id}"),
        }
    }

    pub(in crate::sandbox) fn not_found_code(self) -> &'static str {
        match self {
            Self::Email => "NO_EMAIL_FOUND",
            Self::Phone => "NO_PHONE_FOUND",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Fate {
    NotNamed,
    Missing,
    Unlinked,
    UnlockedBefore,
    Invalid,
    BeingUnlocked,
    Blank,
    Failed,
    NeverEnds,
    NoValue,
    Delivered,
}

impl Fate {
    pub(in crate::sandbox) fn of(id: &str) -> Self {
        if id.is_empty() || id.len() > 20 || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::Invalid;
        }
        match &id[id.len().saturating_sub(2)..] {
            "90" => Self::NotNamed,
            "91" => Self::Missing,
            "92" => Self::Unlinked,
            "93" => Self::UnlockedBefore,
            "94" => Self::Invalid,
            "95" => Self::BeingUnlocked,
            "96" => Self::Blank,
            "97" => Self::Failed,
            "98" => Self::NeverEnds,
            "99" => Self::NoValue,
            _ => Self::Delivered,
        }
    }

    /// What a refund would be for.
    pub(in crate::sandbox) fn brings_nothing(self) -> bool {
        matches!(self, Self::NotNamed | Self::Failed | Self::NeverEnds)
    }
}

/// How a task ends, by the event it was submitted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum TaskEnd {
    Completes,
    Fails,
    Never,
}

impl TaskEnd {
    pub(in crate::sandbox) fn of(event_id: Option<&str>) -> Self {
        match event_id {
            Some(id) if id.ends_with("500") => Self::Fails,
            Some(id) if id.ends_with("999") => Self::Never,
            _ => Self::Completes,
        }
    }
}

pub(in crate::sandbox) fn event_exists(event_id: &str) -> bool {
    !event_id.ends_with("404")
}

/// The people of an event: as many of each kind as the rules have, and ordinary ones.
pub(in crate::sandbox) fn people_of(event_id: &str) -> Vec<String> {
    if event_id.ends_with("250") {
        let stem = stem(event_id, 17);
        return (1..=250).map(|number| format!("{stem}{number:03}")).collect();
    }
    let stem = stem(event_id, 18);
    (55..=99).map(|ending| format!("{stem}{ending}")).collect()
}

/// The last digits of an event's id, as many as leave room in a contact's.
fn stem(event_id: &str, most: usize) -> String {
    let digits: String = event_id.chars().filter(char::is_ascii_digit).collect();
    digits[digits.len().saturating_sub(most)..].to_owned()
}

/// How many items a search for this company finds.
pub(in crate::sandbox) fn found_by(company_name: &str) -> i64 {
    match company_name {
        name if name.contains("nobody") => 0,
        name if name.contains("many") => 250,
        _ => 45,
    }
}
