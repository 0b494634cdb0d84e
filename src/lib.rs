//! unlockd
pub mod domain;
