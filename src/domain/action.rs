//! What can be bought: the eight actions, the layers of an event, and the channels of a contact.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a request asks for. The words are those of the inbox table's `action` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    UnlockContactEmails,
    UnlockContactPhones,
    UnlockEventContacts,
    UnlockEventVisitors,
    UnlockEventFullAccess,
    SearchExhibitorCompanies,
    SearchExhibitorEvents,
    SearchPersonnelEvents,
}

impl Action {
    pub const ALL: [Action; 8] = [
        Action::UnlockContactEmails,
        Action::UnlockContactPhones,
        Action::UnlockEventContacts,
        Action::UnlockEventVisitors,
        Action::UnlockEventFullAccess,
        Action::SearchExhibitorCompanies,
        Action::SearchExhibitorEvents,
        Action::SearchPersonnelEvents,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Action::UnlockContactEmails => "unlock_contact_emails",
            Action::UnlockContactPhones => "unlock_contact_phones",
            Action::UnlockEventContacts => "unlock_event_contacts",
            Action::UnlockEventVisitors => "unlock_event_visitors",
            Action::UnlockEventFullAccess => "unlock_event_full_access",
            Action::SearchExhibitorCompanies => "search_exhibitor_companies",
            Action::SearchExhibitorEvents => "search_exhibitor_events",
            Action::SearchPersonnelEvents => "search_personnel_events",
        }
    }

    pub fn parse(text: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.as_str() == text)
    }

    /// Whether every call is paid, even for something bought before.
    pub fn is_search(self) -> bool {
        matches!(
            self,
            Action::SearchExhibitorCompanies | Action::SearchExhibitorEvents | Action::SearchPersonnelEvents
        )
    }

    /// What the action opens of an event; `None` for the actions that open none.
    pub fn layers(self) -> Option<Layers> {
        match self {
            Action::UnlockEventContacts => Some(Layers::Base),
            Action::UnlockEventVisitors => Some(Layers::Visitors),
            Action::UnlockEventFullAccess => Some(Layers::Both),
            _ => None,
        }
    }

    /// The value that the action buys for each contact; `None` for actions without contacts.
    pub fn channel(self) -> Option<Channel> {
        match self {
            Action::UnlockContactEmails => Some(Channel::Email),
            Action::UnlockContactPhones => Some(Channel::Phone),
            _ => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an unlock opens of an event. The vendor keeps two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layers {
    /// Exhibitors and their staff.
    Base,
    /// Registered attendees. Only some events have any, and the base comes first.
    Visitors,
    /// Both, of which only those that are still locked are charged.
    Both,
}

impl Layers {
    pub const ALL: [Layers; 3] = [Layers::Base, Layers::Visitors, Layers::Both];

    /// The action that opens them.
    pub fn action(self) -> Action {
        match self {
            Layers::Base => Action::UnlockEventContacts,
            Layers::Visitors => Action::UnlockEventVisitors,
            Layers::Both => Action::UnlockEventFullAccess,
        }
    }
}

/// The value bought for a contact: its email or its phone number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    Email,
    Phone,
}

impl Channel {
    /// The action that buys it.
    pub fn action(self) -> Action {
        match self {
            Channel::Email => Action::UnlockContactEmails,
            Channel::Phone => Action::UnlockContactPhones,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_knows_what_it_buys() {
        let kinds = [
            ("unlock_contact_emails", Some(Channel::Email), false),
            ("unlock_contact_phones", Some(Channel::Phone), false),
            ("unlock_event_contacts", None, false),
            ("unlock_event_visitors", None, false),
            ("unlock_event_full_access", None, false),
            ("search_exhibitor_companies", None, true),
            ("search_exhibitor_events", None, true),
            ("search_personnel_events", None, true),
        ];
        for (name, channel, is_search) in kinds {
            let action = Action::parse(name).expect("an action");
            assert_eq!((action.channel(), action.is_search()), (channel, is_search), "{name}");
            assert_eq!(action.to_string(), name);
            let kinds = [action.channel().is_some(), action.is_search(), action.layers().is_some()];
            assert_eq!(kinds.iter().filter(|is_one| **is_one).count(), 1, "{name} is of one kind");
        }
        assert_eq!(kinds.map(|(name, ..)| Action::parse(name)), Action::ALL.map(Some));
        for layers in Layers::ALL {
            assert_eq!(layers.action().layers(), Some(layers));
        }
        assert_eq!(Action::parse("unlock"), None);
    }
}
