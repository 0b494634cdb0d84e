//! Handles a paid call whose answer was lost: checks whether it took effect, and never resends without
//! checking first.
//!
//! [`verify`] checks contacts (`named_task` first, if an error named a task), and [`verify_direct`] events
//! and searches; both use `evidence`. [`unanswered`] releases the hold of a lost submission, or books its cost if it
//! took effect after all. `unread` asks a person when no check could be read for long. [`unfinished`] puts the calls in
//! doubt that were being sent when the last process ended.

pub(in crate::worker) mod evidence;
mod named_task;
pub mod unanswered;
pub mod unfinished;
mod unread;
pub mod verify;
pub mod verify_direct;
