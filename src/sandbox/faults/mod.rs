//! Scripted trouble: what there is, how it is written, and what it does to a body.

pub(in crate::sandbox) mod breakage;
pub(in crate::sandbox) mod kinds;
pub(in crate::sandbox) mod text;
