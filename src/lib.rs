//! unlockd
pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod failpoint;
pub mod logs;
pub mod sandbox;
pub mod store;
pub mod worker;
