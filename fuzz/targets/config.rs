//! See `lastgreen::fuzzing::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lastgreen::fuzzing::config(data));
