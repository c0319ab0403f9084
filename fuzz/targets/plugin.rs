//! See `lastgreen::fuzzing::plugin`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lastgreen::fuzzing::plugin(data));
