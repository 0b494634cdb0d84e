//! PostgreSQL's schema: the same as SQLite's, with the same effects, for the roles that may use it. And what becomes of
//! paid calls when its servers fail.
//!
//! Without PostgreSQL these tests say that they were skipped.

mod changes;
#[path = "../shared/cluster.rs"]
mod cluster;
mod copy;
mod effects;
mod failover;
mod members;
mod model;
mod roles;
mod schema;
#[allow(dead_code, reason = "not every suite needs all of it")]
#[path = "../shared/postgres.rs"]
mod server;
mod statistics;
mod tls;
