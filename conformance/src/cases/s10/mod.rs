//! Section 10: starting and ending consumers, what they are sent, and basic.get. Settling is section 11.

pub(super) mod consume;
pub(super) mod delivering;
pub(super) mod get;
