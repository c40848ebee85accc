//! See `motet_test::feeds::amqp_clients`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| motet_test::feeds::amqp_clients(data));
