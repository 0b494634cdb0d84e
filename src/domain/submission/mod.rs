//! What the submit pass does next on an account: facts in, one step out.
//!
//! The pass reads [`Facts`] once, asks [`plan()`] for the next step, takes it, and begins anew: every step leaves
//! rows from which the next run goes on. Nothing is formed into a batch before it can be bought: while the account
//! has no usable key, no credits, is paused, or as many tasks run as the rate limit can poll, contacts stay items,
//! and travel in full batches afterwards. After the free precheck, [`after_precheck`] decides once more.

mod facts;
mod plan;
mod verdict;

pub use facts::{Facts, Parked, Ready, Waiting, waits_for};
pub use plan::{Cause, Plan, plan};
pub use verdict::{Verdict, after_precheck};
