//! unlockd
pub mod domain;
pub mod store;
