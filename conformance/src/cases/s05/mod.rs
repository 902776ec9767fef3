//! Section 5: exchanges. Declaring and deleting them, the way of a message through them, and what each type matches.
//! The types that plugins bring are elsewhere.

pub(super) mod declare;
pub(super) mod matching;
pub(super) mod routing;
