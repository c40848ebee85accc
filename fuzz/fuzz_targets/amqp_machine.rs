//! See `motet_test::feeds::amqp_machine`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| motet_test::feeds::amqp_machine(data));
