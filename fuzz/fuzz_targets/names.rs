//! See `motet_test::feeds::names`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| motet_test::feeds::names(data));
