//! What the world says: how a contact stands, why a call is refused, what a submission holds.

/// What a contact's email or phone is at some moment; the later variant wins over the earlier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sandbox) enum Standing {
    Locked,
    Failed,
    Processing,
    Unlocked(Option<String>),
}

/// Why a call is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Refusal {
    EventNotFound,
    /// The base unlock of an event without people.
    NothingToUnlock,
    /// Visitors before the event itself.
    EventNotUnlocked,
    NoVisitorData,
    NoSubscription,
    InsufficientCredits,
    /// Another paid call of this owner is under way.
    CreditsInUse,
    /// As many calls of this kind are under way as this owner may have.
    TooManyAtOnce,
    /// Another batch of drafts for this event is being prepared.
    BeingPrepared,
}

/// The contacts of a submission by what is to become of them.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Sorted {
    pub(in crate::sandbox) chargeable: Vec<String>,
    pub(in crate::sandbox) invalid: Vec<String>,
    pub(in crate::sandbox) missing: Vec<String>,
    pub(in crate::sandbox) unlinked: Vec<String>,
    pub(in crate::sandbox) already_unlocked: Vec<String>,
    pub(in crate::sandbox) unlocking: Vec<String>,
}

/// Which layers of an event a call has opened, and what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::sandbox) struct Opened {
    pub(in crate::sandbox) base: bool,
    pub(in crate::sandbox) visitors: bool,
    pub(in crate::sandbox) credits: i64,
}
