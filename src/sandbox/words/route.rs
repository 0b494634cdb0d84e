//! The calls that there are: which one a path means, and by which name a fault is aimed at it.

use std::fmt;

use axum::http::Method;

use super::contacts::Channel;

/// The calls that a fault can be aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Unlock,
    UnlockPhone,
    Poll,
    Balance,
    Precheck,
    Profile,
    Event,
    Search,
    List,
}

const NAMES: [(&str, Endpoint); 9] = [
    ("unlock", Endpoint::Unlock),
    ("unlock-phone", Endpoint::UnlockPhone),
    ("poll", Endpoint::Poll),
    ("balance", Endpoint::Balance),
    ("precheck", Endpoint::Precheck),
    ("profile", Endpoint::Profile),
    ("event", Endpoint::Event),
    ("search", Endpoint::Search),
    ("list", Endpoint::List),
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

/// One call with what its path says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) enum Route {
    Unlock(Channel),
    Task(Channel, String),
    Balance,
    Precheck,
    Profile,
    UnlockEvent(String),
    List,
    SearchCompanies,
    SearchEvents,
}

impl Route {
    pub(in crate::sandbox) fn of(method: &Method, path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix("/external/")?.split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            ("POST", ["contacts", "unlock"]) => Some(Self::Unlock(Channel::Email)),
            ("POST", ["contacts", "unlock-phone"]) => Some(Self::Unlock(Channel::Phone)),
            ("GET", ["contacts", "unlock-tasks", id]) => Some(Self::Task(Channel::Email, (*id).to_owned())),
            ("GET", ["contacts", "unlock-phone-tasks", id]) => {
                Some(Self::Task(Channel::Phone, (*id).to_owned()))
            }
            ("GET", ["credits", "balance"]) => Some(Self::Balance),
            ("POST", ["actions", "precheck"]) => Some(Self::Precheck),
            ("GET", ["personnel", "profile"]) => Some(Self::Profile),
            ("GET", ["personnel", "list"]) => Some(Self::List),
            ("POST", ["events", id, "unlock"]) => Some(Self::UnlockEvent((*id).to_owned())),
            ("POST", ["exhibitors", "search-by-company-name"]) => Some(Self::SearchCompanies),
            ("POST", ["exhibitors", "search-events"]) => Some(Self::SearchEvents),
            _ => None,
        }
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
            Self::List => Endpoint::List,
            Self::SearchCompanies | Self::SearchEvents => Endpoint::Search,
        }
    }
}
