//! See `lastgreen::fuzzing::tag`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lastgreen::fuzzing::tag(data));
