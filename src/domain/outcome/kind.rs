//! The outcomes of items, by name.

/// The name of an outcome, without its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Delivered,
    NoValue,
    Failed,
    Unresolved,
    NotReturned,
    Invalid,
    Missing,
    Unlinked,
    Rejected,
    Cancelled,
    Lost,
    Expired,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Delivered => "delivered",
            Kind::NoValue => "no_value",
            Kind::Failed => "failed",
            Kind::Unresolved => "unresolved",
            Kind::NotReturned => "not_returned",
            Kind::Invalid => "invalid",
            Kind::Missing => "missing",
            Kind::Unlinked => "unlinked",
            Kind::Rejected => "rejected",
            Kind::Cancelled => "cancelled",
            Kind::Lost => "lost",
            Kind::Expired => "expired",
        }
    }
}
