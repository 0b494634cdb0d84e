//! What is SQLite and not SQL: `open` (files, pragmas, migrations), `writer` (one connection, group commit),
//! [`dialect`] and `pairs` (the words that SQLite says
//! otherwise), [`lease`] (one worker for one database), [`disk`] (room for what was paid for), [`backup`], [`erase`].

pub mod backup;
pub mod dialect;
pub mod disk;
pub mod erase;
pub mod lease;
pub(in crate::store) mod open;
pub(in crate::store) mod pairs;
pub(in crate::store) mod writer;
