//! See `lastgreen::fuzzing::question`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lastgreen::fuzzing::question(data));
