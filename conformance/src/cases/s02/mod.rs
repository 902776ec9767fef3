//! Section 2, in parts: `frames` around everything, `content` of a message, `tables` and what else is in a method.

pub(super) mod content;
pub(super) mod frames;
pub(super) mod tables;
