//! The operations of a log record, as the store reads them back after a kill.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| leveret::store::fuzzing::log_record(input));
