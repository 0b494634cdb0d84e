//! The pure core: values in, decisions out.
//!
//! Nothing here does IO, reads a clock, draws a random number or logs; clippy refuses the usual functions for
//! these in this module (see `.clippy.toml`), and a test in `tests/it` refuses imports from the shell. Time
//! comes in as [`Millis`], randomness as a number between 0 and 1.
//!
//! In the order in which one inbox row meets them:
//!
//! - [`request`] reads the row and [`id_list`] the ids in it, each by [`id_text`]; [`rounded`] finds
//!   those that a float may have changed, and [`same_request`] compares two rows with one dedupe key.
//! - [`credits`] says what it may cost and whether that may be spent now; [`submission`] says what an account
//!   does next.
//! - [`request_state`], [`item`] and [`job`] own the states of a request, of its contacts and of a remote
//!   task (drawn in [`moves`]).
//! - [`failure`] says what a failed call means. [`pacing`] says when the next call is due, [`rate`] and
//!   [`address`] whether the limits allow it, and [`turns`] which call goes first.
//! - [`division`], [`task`] and [`outcome`] read what the API says about each contact. [`profile_wait`] says
//!   how long a profile is waited for, and [`bulk`] whether values are read from lists instead.
//! - [`doubt`] judges the evidence about a submission whose answer was lost.
//! - [`sorting`] finds the contacts that need not be paid for.
//! - [`direct`] is about the actions without contacts; [`listing`] reads an event's people page by page.
//! - [`booking`] says what each result means in credits, and [`reconcile`] compares credits expected with
//!   credits gone, unless granted credits lapsed in between ([`granted`]). [`claims`] says whether something that
//!   brought no value was charged. [`one_pool`] notices two accounts of one owner.
//! - [`durability`] says whether a paid call may rest on a server's commits, and whether another server may lack some.
//!   [`share`] says which owners of accounts a worker serves.
//! - [`key_retry`] says when a refused key is tried again, and [`needs`] lists what waits for a person.
//! - [`action`], [`ids`], [`contact_value`] and [`layers`] are the types that all of them use.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod action;
pub mod address;
pub mod booking;
pub mod budget;
pub mod bulk;
pub mod claims;
pub mod contact_value;
pub mod credits;
pub mod direct;
pub mod division;
pub mod doubt;
pub mod durability;
pub mod failure;
pub mod granted;
pub mod id_list;
pub mod id_text;
pub mod ids;
pub mod item;
pub mod job;
pub mod key_retry;
pub mod layers;
pub mod listing;
pub mod moment;
pub mod moves;
pub mod natural;
pub mod needs;
pub mod one_pool;
pub mod outcome;
pub mod pacing;
pub mod pause;
pub mod profile_wait;
pub mod rate;
pub mod reconcile;
pub mod rejected;
pub mod request;
pub mod request_state;
pub mod rounded;
pub mod same_request;
pub mod share;
pub mod sorting;
pub mod submission;
pub mod task;
pub mod turns;
pub mod usage;
pub mod window;
mod words;

pub use action::{Action, Channel, Layers};
pub use contact_value::ContactValue;
pub use credits::Credits;
pub use ids::{AccountId, EventId, JobId, Millis, PersonnelId, RequestId, TaskId};
