//! unlockd
pub mod api;
pub mod domain;
