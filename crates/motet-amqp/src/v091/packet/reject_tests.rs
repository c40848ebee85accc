//! What is no method, no header, no table: refused with the error that names it, and never a panic.

use super::*;
use crate::v091::error::{Failure, ReplyCode, Scope};

fn refused(payload: &[u8], error: PacketError) {
    assert_eq!(Method::decode(payload), Err(error), "{}", payload.escape_ascii());
}

#[test]
fn unknown_classes_and_methods_are_named() {
    refused(&[0, 99, 0, 1], PacketError::UnknownMethod { class: 99, method: 1 });
    refused(&[0, 60, 0, 99], PacketError::UnknownMethod { class: 60, method: 99 });
    refused(&[0, 10, 0, 12], PacketError::UnknownMethod { class: 10, method: 12 });
    refused(&[0, 60, 0], PacketError::Truncated);
    refused(&[], PacketError::Truncated);
}

#[test]
fn fields_that_end_early_or_late_are_refused() {
    refused(b"\0\x32\0\x1e\0\0\x05abc", PacketError::Truncated); // queue.purge with a name of five bytes
    refused(b"\0\x3c\0\x50\0\0\0\0\0\0\0\x01", PacketError::Truncated); // basic.ack without its bits
    refused(b"\0\x5a\0\x0a\0", PacketError::Trailing); // tx.select with a field
}

#[test]
fn names_that_are_no_text_are_refused_and_keys_are_not() {
    refused(b"\0\x32\0\x1e\0\0\x01\xff\0", PacketError::Utf8);
    assert!(Method::decode(b"\0\x3c\0\x28\0\0\x01x\x01\xff\0").is_ok());
}

#[test]
fn tables_in_methods_are_judged() {
    let declare = |table: &[u8]| {
        let mut payload = b"\0\x32\0\x0a\0\0\x01q\0".to_vec();
        payload.extend_from_slice(&(table.len() as u32).to_be_bytes());
        payload.extend_from_slice(table);
        payload
    };
    assert!(Method::decode(&declare(b"\x01at\x01")).is_ok());
    refused(&declare(b"\x01aS\0\0\0\x09abc"), PacketError::TableLength);
    refused(&declare(b"\x01a\x00"), PacketError::TableType(0));
    let mut lies = declare(b"\x01at\x01");
    lies[9..13].copy_from_slice(&u32::MAX.to_be_bytes());
    refused(&lies, PacketError::Truncated);
}

#[test]
fn each_error_has_its_reply_code_and_ends_the_connection() {
    for (error, code) in [
        (PacketError::Truncated, ReplyCode::FrameError),
        (PacketError::Utf8, ReplyCode::FrameError),
        (PacketError::UnknownMethod { class: 1, method: 2 }, ReplyCode::CommandInvalid),
        (PacketError::TableNesting, ReplyCode::SyntaxError),
        (PacketError::PropertyFlags, ReplyCode::SyntaxError),
    ] {
        let failure = Failure::from(error);
        assert_eq!((failure.code, failure.scope), (code, Scope::Connection));
    }
}

/// xorshift: seeded, so that a failing run repeats.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

#[test]
fn noise_never_panics() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..30_000 {
        let data = (0..random.next(40)).map(|_| random.next(256) as u8).collect::<Vec<_>>();
        fuzz_decode(&data);
        let _ = Method::decode(&data);
        let _ = Properties::decode(&data);
    }
}

#[test]
fn mutated_frames_never_panic_and_what_is_accepted_survives() {
    let seeds = round_trip_tests::frames();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..100_000 {
        let mut data = seeds[random.next(seeds.len())].clone();
        for _ in 0..=random.next(3) {
            let at = random.next(data.len() - 1);
            match random.next(4) {
                0 => data[at] = random.next(256) as u8,
                1 => data[at] ^= 1 << random.next(8),
                // A byte less or more, with the frame's size kept true.
                2 if data.len() > 9 => {
                    data.remove(at);
                    data[6] = data[6].wrapping_sub(1);
                }
                _ => {
                    data.insert(at, random.next(256) as u8);
                    data[6] = data[6].wrapping_add(1);
                }
            }
        }
        fuzz_decode(&data);
    }
}
