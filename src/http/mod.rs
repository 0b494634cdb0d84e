//! The HTTP server.

pub mod metrics;
