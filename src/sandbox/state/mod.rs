//! The state of the imitation: unlocks, credits, calls. Contains no HTTP.

mod access;
pub(in crate::sandbox) mod accounting;
pub(in crate::sandbox) mod clock;
pub(in crate::sandbox) mod credits;
pub(in crate::sandbox) mod journal;
pub(in crate::sandbox) mod limits;
pub(in crate::sandbox) mod owners;
pub(in crate::sandbox) mod shared;
pub(in crate::sandbox) mod slots;
pub(in crate::sandbox) mod tasks;
pub(in crate::sandbox) mod work;
pub(in crate::sandbox) mod world;
