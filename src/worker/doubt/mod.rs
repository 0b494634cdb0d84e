//! Handles a paid call whose answer was lost: checks whether it took effect, and never resends without checking
//! first.
//!
//! [`verify`] looks for contacts (`named_task` first, where an error named one), [`verify_direct`] for events and searches, [`unanswered`] books a lost
//! submission that took effect after all.

mod named_task;
pub mod unanswered;
pub mod verify;
pub mod verify_direct;
