//! The body of a request to the management API.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| leveret::manage::fuzzing::body(input));
