//! What becomes of a call: whether it may pass, and what each endpoint answers.
//!
//! The JSON is written out from the vendor's pages, field by field, and shares nothing with the
//! client that reads it: a misspelt name cannot agree with itself.

mod account;
pub(in crate::sandbox) mod decide;
mod dispatch;
mod events;
mod paging;
mod people;
mod precheck;
mod searches;
mod unlocks;
mod work;
