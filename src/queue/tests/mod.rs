//! Tests of the queue as a whole, from outside: rules one by one, and random histories against a model.

mod clock;
mod dead_letters;
mod harness;
mod history;
mod masses;
mod memory;
mod oracle;
mod quorum;
mod retries;
mod rules;
mod scheduling;
mod store;
pub(super) mod support;
mod waits;
