//! The answers of `world`: the state of a contact, why a call is refused, the parts of a submission.

/// The state of a contact's email or phone; a later variant counts more than an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sandbox) enum ContactState {
    Locked,
    Failed,
    Processing,
    Unlocked(Option<String>),
}

/// Why a call is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Refusal {
    EventNotFound,
    /// The basic unlock of an event without people.
    NothingToUnlock,
    /// Visitors before the event itself.
    EventNotUnlocked,
    NoVisitorData,
    NoSubscription,
    InsufficientCredits,
    /// Another paid call of this owner is running.
    CreditsInUse,
    /// This owner already runs as many calls of this kind as are allowed.
    TooManyAtOnce,
    /// Another batch of drafts for this event is being prepared.
    BeingPrepared,
}

/// The contacts of a submission, sorted by what will happen to them.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Sorted {
    pub(in crate::sandbox) chargeable: Vec<String>,
    pub(in crate::sandbox) invalid: Vec<String>,
    pub(in crate::sandbox) missing: Vec<String>,
    pub(in crate::sandbox) unlinked: Vec<String>,
    pub(in crate::sandbox) already_unlocked: Vec<String>,
    pub(in crate::sandbox) unlocking: Vec<String>,
}

/// The layers of an event that a call has opened, and their cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::sandbox) struct Opened {
    pub(in crate::sandbox) base: bool,
    pub(in crate::sandbox) visitors: bool,
    pub(in crate::sandbox) credits: i64,
}
