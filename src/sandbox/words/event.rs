//! The properties of an event: they follow from the end of its public id, so anyone can predict them.

use super::contact::Person;

/// In front of the public id, it makes the other id of the same event.
const INTERNAL: &str = "88";

/// An event, by its public id (`eventId`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::sandbox) struct Event(String);

/// Where a person of an event comes from (`sourceType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Source {
    Exhibitor,
    Visitor,
}

impl Source {
    pub(in crate::sandbox) fn as_str(self) -> &'static str {
        match self {
            Self::Exhibitor => "exhibitor",
            Self::Visitor => "visitors",
        }
    }
}

impl Event {
    /// The event with this id; either of its two ids may be used.
    pub(in crate::sandbox) fn named(id: &str) -> Self {
        let public = id.strip_prefix(INTERNAL).filter(|rest| !rest.is_empty());
        Self(public.unwrap_or(id).to_owned())
    }

    /// The public id.
    pub(in crate::sandbox) fn event_id(&self) -> &str {
        &self.0
    }

    /// The vendor's own id of the event: another number.
    pub(in crate::sandbox) fn id(&self) -> String {
        format!("{INTERNAL}{}", self.0)
    }

    pub(in crate::sandbox) fn name(&self) -> String {
        format!("Sandbox Event {}", self.0)
    }

    pub(in crate::sandbox) fn exists(&self) -> bool {
        !self.0.ends_with("404")
    }

    pub(in crate::sandbox) fn has_people(&self) -> bool {
        !self.0.ends_with("000")
    }

    /// Registered attendees are known for some events only.
    pub(in crate::sandbox) fn has_visitors(&self) -> bool {
        let last = self.0.bytes().rfind(u8::is_ascii_digit);
        self.has_people() && last.is_some_and(|digit| digit % 2 == 1)
    }

    /// Its exhibitors' staff: some of each kind in the rules, and ordinary ones.
    pub(in crate::sandbox) fn people(&self) -> Vec<Person> {
        let ids: Vec<String> = match self.0.as_str() {
            _ if !self.has_people() => Vec::new(),
            id if id.ends_with("250") || id.ends_with("350") => {
                let stem = stem(id, 17);
                let count = if id.ends_with("250") { 250 } else { 350 };
                (1..=count).map(|number| format!("{stem}{number:03}")).collect()
            }
            id => {
                let stem = stem(id, 18);
                (55..=99).map(|ending| format!("{stem}{ending}")).collect()
            }
        };
        ids.iter().map(|id| Person::of(id)).collect()
    }

    /// Its visitors; only owners who have unlocked them see them.
    pub(in crate::sandbox) fn visitors(&self) -> Vec<Person> {
        let stem = stem(&self.0, 18);
        let ids = (10..=19).map(|ending| format!("{stem}{ending}"));
        if self.has_visitors() { ids.map(|id| Person::of(&id)).collect() } else { Vec::new() }
    }
}

/// The last digits of an event's id, as many as fit into a contact's id.
fn stem(event_id: &str, most: usize) -> String {
    let digits: String = event_id.chars().filter(char::is_ascii_digit).collect();
    digits[digits.len().saturating_sub(most)..].to_owned()
}

/// How a task ends; it follows from the event it was submitted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum TaskEnd {
    Completes,
    Fails,
    Never,
}

impl TaskEnd {
    pub(in crate::sandbox) fn of(event: Option<&Event>) -> Self {
        match event.map(Event::event_id) {
            Some(id) if id.ends_with("500") => Self::Fails,
            Some(id) if id.ends_with("999") => Self::Never,
            _ => Self::Completes,
        }
    }
}
