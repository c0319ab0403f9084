//! See `lastgreen::fuzzing::credentials`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lastgreen::fuzzing::credentials(data));
