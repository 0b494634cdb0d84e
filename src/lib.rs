//! unlockd
