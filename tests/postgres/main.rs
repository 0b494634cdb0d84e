//! PostgreSQL's schema: the same as SQLite's, with the same effects, for the roles that may use it.
//!
//! Without PostgreSQL these tests say that they were skipped.

mod changes;
mod copy;
mod effects;
mod roles;
mod schema;
#[path = "../shared/postgres.rs"]
mod server;
