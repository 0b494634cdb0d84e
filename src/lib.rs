//! unlockd

pub mod config;
