//! See `motet_test::feeds::stored_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| motet_test::feeds::stored_message(data));
