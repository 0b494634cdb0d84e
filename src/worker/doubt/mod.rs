//! What is done about a paid call whose answer was lost: its effect is looked up, never bought again unread.
//!
//! [`verify`] looks for contacts (`named_task` first, where an error named one), [`verify_direct`] for events and searches, [`unanswered`] books a lost
//! submission that took effect after all.

mod named_task;
pub mod unanswered;
pub mod verify;
pub mod verify_direct;
