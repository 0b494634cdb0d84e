//! The vocabulary: types and words that every other module of the sandbox uses. It uses none of them.

pub(in crate::sandbox) mod answer;
pub(in crate::sandbox) mod asked;
pub(in crate::sandbox) mod contact;
pub(in crate::sandbox) mod event;
pub(in crate::sandbox) mod headers;
pub(in crate::sandbox) mod results;
pub(in crate::sandbox) mod route;
pub(in crate::sandbox) mod rules;
