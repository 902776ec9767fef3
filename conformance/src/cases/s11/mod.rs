//! Section 11: settling what was delivered, and what becomes of what is not settled. What a dead letter looks like is
//! section 12.

pub(super) mod counting;
pub(super) mod requeue;
pub(super) mod retries;
pub(super) mod retry_delays;
pub(super) mod tags;
pub(super) mod waiting;
