//! Handles a paid call whose answer was lost: checks whether it took effect, and never resends without
//! checking first.
//!
//! [`verify`] checks contacts (`named_task` first, if an error named a task), and [`verify_direct`] events
//! and searches; both use `evidence`. [`unanswered`] books a lost submission that took effect after all.

pub(in crate::worker) mod evidence;
mod named_task;
pub mod unanswered;
pub mod verify;
pub mod verify_direct;
