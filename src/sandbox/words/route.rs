//! The endpoints: which one a path means, and the name under which a fault is set for it.

use std::fmt;

use axum::http::Method;

use super::contact::Channel;

/// The endpoints that a fault can be set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Unlock,
    UnlockPhone,
    Poll,
    Balance,
    Precheck,
    Profile,
    Event,
    Visitors,
    FullAccess,
    Search,
    ByName,
    List,
    Contacts,
    Linkedin,
    Outreach,
}

const NAMES: [(&str, Endpoint); 15] = [
    ("unlock", Endpoint::Unlock),
    ("unlock-phone", Endpoint::UnlockPhone),
    ("poll", Endpoint::Poll),
    ("balance", Endpoint::Balance),
    ("precheck", Endpoint::Precheck),
    ("profile", Endpoint::Profile),
    ("event", Endpoint::Event),
    ("visitors", Endpoint::Visitors),
    ("full-access", Endpoint::FullAccess),
    ("search", Endpoint::Search),
    ("by-name", Endpoint::ByName),
    ("list", Endpoint::List),
    ("contacts", Endpoint::Contacts),
    ("linkedin", Endpoint::Linkedin),
    ("outreach", Endpoint::Outreach),
];

impl Endpoint {
    pub(in crate::sandbox) fn from_name(name: &str) -> Option<Self> {
        let found = NAMES.iter().find(|(known, _)| *known == name)?;
        Some(found.1)
    }

    pub(in crate::sandbox) fn names() -> String {
        let names = NAMES.map(|(name, _)| name);
        format!("{}, any", names.join(", "))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = NAMES.iter().find(|(_, endpoint)| endpoint == self);
        f.write_str(found.map_or("any", |(name, _)| name))
    }
}

/// One call, with the ids from its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) enum Route {
    Unlock(Channel),
    Task(Channel, String),
    Balance,
    Precheck,
    Profile,
    UnlockEvent(String),
    UnlockVisitors(String),
    UnlockFullAccess(String),
    List,
    SearchCompanies,
    SearchEvents,
    EventsByName,
    SearchContacts,
    UnlockLinkedin,
    WriteOutreach,
}

impl Route {
    pub(in crate::sandbox) fn of(method: &Method, path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix("/external/")?.split('/').collect();
        let owned = |id: &str| id.to_owned();
        Some(match (method.as_str(), parts.as_slice()) {
            ("POST", ["contacts", "unlock"]) => Self::Unlock(Channel::Email),
            ("POST", ["contacts", "unlock-phone"]) => Self::Unlock(Channel::Phone),
            ("GET", ["contacts", "unlock-tasks", id]) => Self::Task(Channel::Email, owned(id)),
            ("GET", ["contacts", "unlock-phone-tasks", id]) => Self::Task(Channel::Phone, owned(id)),
            ("GET", ["contacts", "search"]) => Self::SearchContacts,
            ("GET", ["credits", "balance"]) => Self::Balance,
            ("POST", ["actions", "precheck"]) => Self::Precheck,
            ("GET", ["personnel", "profile"]) => Self::Profile,
            ("GET", ["personnel", "list"]) => Self::List,
            ("GET", ["personnel", "events", "by-name"]) => Self::EventsByName,
            ("POST", ["personnel", "unlock-linkedin-activity"]) => Self::UnlockLinkedin,
            ("POST", ["personnel", "generate-outreach-message"]) => Self::WriteOutreach,
            ("POST", ["events", id, "unlock"]) => Self::UnlockEvent(owned(id)),
            ("POST", ["events", id, "visitors", "unlock"]) => Self::UnlockVisitors(owned(id)),
            ("POST", ["events", id, "full-access", "unlock"]) => Self::UnlockFullAccess(owned(id)),
            ("POST", ["exhibitors", "search-by-company-name"]) => Self::SearchCompanies,
            ("POST", ["exhibitors", "search-events"]) => Self::SearchEvents,
            _ => return None,
        })
    }

    pub(in crate::sandbox) fn endpoint(&self) -> Endpoint {
        match self {
            Self::Unlock(Channel::Email) => Endpoint::Unlock,
            Self::Unlock(Channel::Phone) => Endpoint::UnlockPhone,
            Self::Task(..) => Endpoint::Poll,
            Self::Balance => Endpoint::Balance,
            Self::Precheck => Endpoint::Precheck,
            Self::Profile => Endpoint::Profile,
            Self::UnlockEvent(_) => Endpoint::Event,
            Self::UnlockVisitors(_) => Endpoint::Visitors,
            Self::UnlockFullAccess(_) => Endpoint::FullAccess,
            Self::List => Endpoint::List,
            Self::SearchCompanies | Self::SearchEvents => Endpoint::Search,
            Self::EventsByName => Endpoint::ByName,
            Self::SearchContacts => Endpoint::Contacts,
            Self::UnlockLinkedin => Endpoint::Linkedin,
            Self::WriteOutreach => Endpoint::Outreach,
        }
    }

    /// Whether it is refused while another paid call of its owner is running.
    pub(in crate::sandbox) fn is_unlock(&self) -> bool {
        matches!(
            self,
            Self::Unlock(_) | Self::UnlockEvent(_) | Self::UnlockVisitors(_) | Self::UnlockFullAccess(_)
        )
    }

    /// Whether it may be charged.
    pub(in crate::sandbox) fn is_paid(&self) -> bool {
        self.is_unlock() || matches!(self, Self::SearchCompanies | Self::SearchEvents | Self::EventsByName)
    }
}
