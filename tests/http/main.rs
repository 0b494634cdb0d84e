//! The HTTP server over real sockets: a real database, a sandbox, and a clock that moves only on command.

mod api;
#[allow(dead_code, unreachable_pub, reason = "not every suite needs all of it")]
#[path = "../shared/db.rs"]
mod db;
mod decisions;
mod guard;
mod health;
mod mcp;
mod pages;
mod place;
#[allow(dead_code, unreachable_pub, reason = "not every suite needs all of it")]
#[path = "../shared/postgres.rs"]
mod postgres;
mod session;
mod trouble;
// Shared with tests/it, which uses the rest.
#[allow(dead_code)]
#[path = "../it/support/mod.rs"]
mod support;
