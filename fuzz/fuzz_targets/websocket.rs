//! See `motet_test::feeds::websocket`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| motet_test::feeds::websocket(data));
