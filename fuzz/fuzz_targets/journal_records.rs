//! See `motet_test::feeds::journal_records`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| motet_test::feeds::journal_records(data));
