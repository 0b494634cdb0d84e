//! The outcome of a contact: it follows from the last two digits of its id, so anyone can predict it.
//!
//! `rules.rs` says the same in words, for `--help`. `world` decides when it happens.

use std::fmt;

/// One of a contact's two values.
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

    /// Whether a refund would apply.
    pub(in crate::sandbox) fn brings_nothing(self) -> bool {
        matches!(self, Self::NotNamed | Self::Failed | Self::NeverEnds)
    }
}

/// The company that every contact of the sandbox works for.
pub(in crate::sandbox) const COMPANY: &str = "Example Works";
const TITLE: &str = "Head of Examples";

/// The free facts about a person, which follow from the id.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct Person {
    pub(in crate::sandbox) id: String,
    pub(in crate::sandbox) full_name: String,
    pub(in crate::sandbox) title: &'static str,
    pub(in crate::sandbox) department: &'static str,
    pub(in crate::sandbox) level: &'static str,
}

impl Person {
    pub(in crate::sandbox) fn of(id: &str) -> Self {
        let last = id.bytes().last().unwrap_or_default().wrapping_sub(b'0');
        Self {
            id: id.to_owned(),
            full_name: format!("Sandbox Person {id}"),
            title: TITLE,
            department: if last.is_multiple_of(2) { "marketing" } else { "sales" },
            level: if last.is_multiple_of(5) { "vp" } else { "manager" },
        }
    }

    /// Whether the name or the title contains the words, in upper or lower case.
    pub(in crate::sandbox) fn matches(&self, words: &str) -> bool {
        let words = words.to_lowercase();
        [self.full_name.as_str(), self.title].iter().any(|text| text.to_lowercase().contains(&words))
    }
}
