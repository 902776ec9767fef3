//! The path of a request to the management API.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|path: &str| leveret::manage::fuzzing::segments(path));
