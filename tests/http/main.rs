//! The HTTP server over real sockets: a real database, a sandbox, and a clock that moves only on command.

mod api;
mod decisions;
mod guard;
mod health;
mod mcp;
mod pages;
mod place;
mod session;
mod trouble;
// Shared with tests/it, which uses the rest.
#[allow(dead_code)]
#[path = "../it/support/mod.rs"]
mod support;
