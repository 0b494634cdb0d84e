//! Decides about calls, and answers each endpoint.
//!
//! The JSON is written from the vendor's pages, field by field, and shares nothing with the client that reads
//! it: so the same misspelt name cannot be on both sides.

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
