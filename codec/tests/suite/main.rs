//! What holds for all bytes and all values: agreement with amq-protocol's own codec, and no panic on anything.

#![allow(clippy::expect_used)]

mod agreement;
mod arbitrary;
mod common;
