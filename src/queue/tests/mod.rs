//! Tests of the queue as a whole, from outside: rules one by one, and random histories against a model.

mod desk;
mod history;
mod judge;
mod letters;
mod masses;
mod memory;
mod quorum;
mod rules;
mod store;
pub(super) mod support;
