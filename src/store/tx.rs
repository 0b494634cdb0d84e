//! The two ways to the database that other modules know: a transaction that writes, and reads.
//!
//! Nobody outside of the store names a driver. What stands behind these two names is the engine's.

/// Inside a write transaction: see [`super::Store::write`].
pub type Tx = sqlx::SqliteConnection;

/// Reads, each of which sees what was committed when it began: see [`super::Store::readers`].
pub type Reads = sqlx::SqlitePool;
