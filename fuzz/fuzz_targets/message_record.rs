//! A message's record in a blob.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| leveret::store::fuzzing::message_record(input));
