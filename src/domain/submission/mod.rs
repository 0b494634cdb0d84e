//! What the submit pass does next on an account: facts in, one step out.
//!
//! The pass reads [`Facts`] once, asks [`plan()`] for the next step, takes it, and starts again: the next run
//! continues from the rows that a step leaves. No batch is formed before it can be bought: while the account
//! has no usable key, no credits, is paused, or as many tasks run as the rate limit can poll, contacts stay
//! items, and go out later in full batches. After the free precheck, [`after_precheck`] decides once more.

mod facts;
mod plan;
mod verdict;

pub use facts::{Facts, Parked, Ready, Turn, Waiting, waits_for};
pub use plan::{Cause, Plan, plan};
pub use verdict::{Circumstances, NO_BASE_ACCESS, Verdict, after_precheck};
