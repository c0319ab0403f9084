//! See `lastgreen::fuzzing::github`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lastgreen::fuzzing::github(data));
