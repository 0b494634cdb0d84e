//! Scripted faults: their kinds, their text form, and how they change a body.

pub(in crate::sandbox) mod alter;
pub(in crate::sandbox) mod breakage;
pub(in crate::sandbox) mod grammar;
pub(in crate::sandbox) mod kinds;
mod spoken;
pub(in crate::sandbox) mod text;
