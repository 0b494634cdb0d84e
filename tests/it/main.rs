//! Integration tests: a real database file, real HTTP to the sandbox, a clock that moves only on command.
//!
//! One binary, so that it is linked once. Every test uses a [`support::Town`]; the invariants of
//! `tests/shared/invariants.rs` must be true after every test.

mod accounts;
mod actions;
mod architecture;
mod batching;
mod bulk;
mod bytes;
mod clocks;
mod contract;
mod crash;
#[path = "../shared/db.rs"]
mod db;
mod deployment;
mod division;
mod doubt;
mod editions;
mod erase;
mod errors;
mod evidence;
mod history;
mod inbox;
mod input;
mod inventory;
mod journey;
mod layers;
mod limits;
mod metrics;
mod odd_answers;
mod outcomes;
mod overwritten;
mod owners;
mod paid_before;
mod person_search;
#[path = "../shared/postgres.rs"]
#[allow(dead_code, unreachable_pub, reason = "not every suite needs all of it")]
mod postgres;
mod prechecks;
mod privacy;
mod settlement;
mod spend;
mod spending;
mod statements;
mod store;
mod submission;
mod support;
mod webhooks;
