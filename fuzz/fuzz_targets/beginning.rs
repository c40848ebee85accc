//! See `motet_test::feeds::beginning`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| motet_test::feeds::beginning(data));
