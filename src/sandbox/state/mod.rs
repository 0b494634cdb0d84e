//! What is so: who was unlocked, what is left, who has called. It speaks no HTTP.

pub(in crate::sandbox) mod clock;
pub(in crate::sandbox) mod credits;
pub(in crate::sandbox) mod journal;
pub(in crate::sandbox) mod limits;
pub(in crate::sandbox) mod shared;
pub(in crate::sandbox) mod tasks;
pub(in crate::sandbox) mod world;
