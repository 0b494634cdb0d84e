//! unlockd

pub mod config;
pub mod logs;
