//! What a caller of the HTTP API may do, as its token says.

use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Everything but emails and phones.
    Read,
    /// Emails and phones.
    Values,
    /// Requests that always wait for a person.
    Propose,
    /// Requests under the usual rules.
    Enqueue,
    /// Decides on requests, and writes approved ones.
    Approve,
}

impl Scope {
    pub const ALL: [Scope; 5] = [Scope::Read, Scope::Values, Scope::Propose, Scope::Enqueue, Scope::Approve];

    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Values => "values",
            Scope::Propose => "propose",
            Scope::Enqueue => "enqueue",
            Scope::Approve => "approve",
        }
    }
}
