//! See `lastgreen::fuzzing::service`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lastgreen::fuzzing::service(data));
