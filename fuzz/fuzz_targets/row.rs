//! Rows of a journal and of a catalog.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| leveret::store::fuzzing::row(input));
