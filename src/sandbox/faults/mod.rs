//! Scripted trouble: what there is, how it is written, and what it does to a body.

pub(in crate::sandbox) mod alter;
pub(in crate::sandbox) mod breakage;
pub(in crate::sandbox) mod grammar;
pub(in crate::sandbox) mod kinds;
mod spoken;
pub(in crate::sandbox) mod text;
