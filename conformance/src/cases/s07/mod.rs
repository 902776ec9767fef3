//! Section 7: declaring queues. What is declared and compared is apart from the arguments and what they may be.

pub(super) mod arguments;
pub(super) mod declare;
