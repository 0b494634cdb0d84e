//! unlockd

pub mod sandbox;
