//! What people may do to requests and jobs ([`decide`], [`pause`]), and the texts for them: [`explain`] says why
//! a request is not finished, from [`waits`], `item_waits` (its items in no job) and [`job_waits`] (its jobs). [`needs`]
//! lists what waits for a person. [`plan`] says what a request would cost, and [`claims`] what was paid for and brought
//! no value.

pub mod claims;
pub mod decide;
pub mod explain;
mod item_waits;
pub mod job_waits;
mod lack;
pub mod needs;
pub mod pause;
pub mod plan;
pub mod wait;
pub mod waits;
