//! The HTTP server, spoken to over real sockets: a real database, a sandbox, and a clock that moves
//! when told.

mod guard;
mod health;
mod place;
#[allow(dead_code)]
#[path = "../it/support/mod.rs"]
mod support;
