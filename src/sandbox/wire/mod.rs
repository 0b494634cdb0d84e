//! The way in and out: sockets that can be cut, and sending answers.

pub(in crate::sandbox) mod link;
pub(in crate::sandbox) mod serve;
