//! See `lastgreen::fuzzing::image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lastgreen::fuzzing::image(data));
