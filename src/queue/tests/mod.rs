//! Tests of the queue as a whole, from outside: rules one by one, and random histories against a model.

pub(super) mod support;
