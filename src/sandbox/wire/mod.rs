//! The way in and out: sockets that can be cut, and answers on their way to them.

pub(in crate::sandbox) mod link;
pub(in crate::sandbox) mod serve;
