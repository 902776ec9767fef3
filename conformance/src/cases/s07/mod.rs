//! Section 7: declaring queues. What is declared and compared is apart from the arguments and what they may be, and
//! from exclusive queues.

pub(super) mod arguments;
pub(super) mod declare;
pub(super) mod exclusive;
