//! See `motet_test::feeds::journal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| motet_test::feeds::journal(data));
