//! What holds for all bytes and all values: agreement with amq-protocol's own codec, and no panic on anything.

mod agreement;
mod arbitrary;
mod common;
