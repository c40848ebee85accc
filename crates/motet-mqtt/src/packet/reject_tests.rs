//! What must be refused, as data: packet, version, and the statement it violates.

use super::{Packet, Version, frame};
use crate::error::DecodeError;

const V31: Version = Version::V31;
const V311: Version = Version::V311;
const V5: Version = Version::V5;

/// A first byte and a body in pieces; the test adds Remaining Length.
type Case = (Version, u8, &'static [u8], &'static str);

/// Each is well-formed but for one thing.
const REJECTED: &[Case] = &[
    // fixed header
    (V5, 0x00, b"", "2.1.2"),
    (V311, 0xf0, b"", "2.2.1 (3.1.1)"),
    (V5, 0xc1, b"", "MQTT-2.1.3-1"),
    (V5, 0x80, b"\0\x01\0\0\x01a\0", "MQTT-2.1.3-1"),
    (V311, 0x8a, b"\0\x01\0\x01a\0", "MQTT-2.1.3-1"),
    (V5, 0x60, b"\0\x01", "MQTT-2.1.3-1"),
    (V5, 0xc0, b"x", "2.1.4"),
    (V311, 0xd0, b"x", "2.1.4"),
    // PUBLISH
    (V5, 0x36, b"\0\x01a\0\x01\0", "MQTT-3.3.1-4"),
    (V5, 0x38, b"\0\x01a\0", "MQTT-3.3.1-2"),
    (V5, 0x30, b"\0\x03a/+\0", "MQTT-3.3.2-2"),
    (V5, 0x30, b"\0\x03a/#\0", "MQTT-3.3.2-2"),
    (V311, 0x30, b"\0\x03a\0b", "MQTT-1.5.4-2"),
    (V311, 0x30, b"\0\x02\xc3\x28", "MQTT-1.5.4-1"),
    (V5, 0x30, b"\0\x03\xed\xa0\x80\0", "MQTT-1.5.4-1"),
    (V311, 0x30, b"\0\0", "MQTT-4.7.3-1"),
    (V5, 0x30, b"\0\0\0", "MQTT-4.7.3-1"),
    (V311, 0x30, b"\0\x09a", "1.5"),
    (V311, 0x30, b"\0", "1.5"),
    (V311, 0x32, b"\0\x01a", "1.5"),
    (V311, 0x32, b"\0\x01a\0\0", "MQTT-2.2.1-3"),
    (V5, 0x30, b"\0\x01a", "1.5"),
    (V5, 0x30, b"\0\x01a\x05\x01\x00", "1.5"),
    (V5, 0x30, b"\0\x01a\x82\0\x01\x00", "MQTT-1.5.5-1"),
    (V5, 0x30, b"\0\x01a\xff\xff\xff\xff", "1.5.5"),
    (V5, 0x30, b"\0\x01a\x01\x01", "1.5"),
    (V5, 0x30, b"\0\x01a\x02\x01\x02", "2.2.2.2"),
    (V5, 0x30, b"\0\x01a\x04\x01\x00\x01\x00", "2.2.2.2"),
    (V5, 0x30, b"\0\x01a\x02\x7f\x00", "2.2.2.2"),
    (V5, 0x30, b"\0\x01a\x02\x81\x00", "2.2.2.2"),
    (V5, 0x30, b"\0\x01a\x05\x11\0\0\0\x01", "2.2.2.2"),
    (V5, 0x30, b"\0\x01a\x03\x23\0\0", "MQTT-3.3.2-8"),
    (V5, 0x30, b"\0\x01a\x02\x0b\0", "2.2.2.2"),
    (V5, 0x30, b"\0\x01a\x04\x08\0\x01#", "MQTT-3.3.2-2"),
    (V5, 0x30, b"\0\x01a\x03\x08\0\0", "MQTT-4.7.3-1"),
    (V5, 0x30, b"\0\x01a\x04\x03\0\x01\0", "MQTT-1.5.4-2"),
    (V5, 0x30, b"\0\x01a\x07\x26\0\x01k\0\x01\xff", "MQTT-1.5.4-1"),
    (V5, 0x30, b"\0\x01a\x04\x26\0\x01k", "1.5"),
    // acknowledgements
    (V5, 0x40, b"\0\0", "MQTT-2.2.1-3"),
    (V5, 0x40, b"\0", "1.5"),
    (V311, 0x40, b"\0\x01\0", "2.1.4"),
    (V5, 0x40, b"\0\x01\x92", "2.4"),
    (V5, 0x50, b"\0\x01\x11", "2.4"),
    (V5, 0x62, b"\0\x01\x10", "2.4"),
    (V5, 0x70, b"\0\x01\x80", "2.4"),
    (V5, 0x40, b"\0\x01\0\0x", "2.1.4"),
    (V5, 0x40, b"\0\x01\0\x02\x01\0", "2.2.2.2"),
    // SUBSCRIBE, UNSUBSCRIBE and their answers
    (V5, 0x82, b"\0\x01\0", "MQTT-3.8.3-2"),
    (V311, 0x82, b"\0\x01", "MQTT-3.8.3-2"),
    (V5, 0x82, b"\0\0\0\0\x01a\0", "MQTT-2.2.1-3"),
    (V5, 0x82, b"\0\x01\0\0\x01a", "1.5"),
    (V5, 0x82, b"\0\x01\0\0\0\0", "MQTT-4.7.3-1"),
    (V5, 0x82, b"\0\x01\0\0\x02a#\0", "MQTT-4.7.1-1"),
    (V5, 0x82, b"\0\x01\0\0\x03#/a\0", "MQTT-4.7.1-1"),
    (V5, 0x82, b"\0\x01\0\0\x02a+\0", "MQTT-4.7.1-2"),
    (V5, 0x82, b"\0\x01\0\0\x01a\x03", "MQTT-3.3.1-4"),
    (V5, 0x82, b"\0\x01\0\0\x01a\x30", "3.8.3.1"),
    (V5, 0x82, b"\0\x01\0\0\x01a\x40", "MQTT-3.8.3-5"),
    (V311, 0x82, b"\0\x01\0\x01a\x04", "MQTT-3.8.3-5"),
    (V5, 0x82, b"\0\x01\0\0\x0a$share/g/a\x04", "MQTT-3.8.3-4"),
    (V5, 0x82, b"\0\x01\0\0\x09$share//a\0", "MQTT-4.8.2-1"),
    (V5, 0x82, b"\0\x01\0\0\x08$share/g\0", "MQTT-4.8.2-1"),
    (V5, 0x82, b"\0\x01\0\0\x0a$share/+/a\0", "MQTT-4.8.2-2"),
    (V5, 0x82, b"\0\x01\x02\x0b\0\0\x01a\0", "2.2.2.2"),
    (V5, 0x82, b"\0\x01\x04\x0b\x01\x0b\x02\0\x01a\0", "2.2.2.2"),
    (V5, 0xa2, b"\0\x01\0", "MQTT-3.8.3-2"),
    (V311, 0xa2, b"\0\x01\0\x02#a", "MQTT-4.7.1-1"),
    (V5, 0x90, b"\0\x01\0", "MQTT-3.8.3-2"),
    (V5, 0x90, b"\0\x01\0\x03", "2.4"),
    (V311, 0x90, b"\0\x01\x87", "2.4"),
    (V5, 0xb0, b"\0\x01\0", "MQTT-3.8.3-2"),
    (V5, 0xb0, b"\0\x01\0\x01", "2.4"),
    (V311, 0xb0, b"\0\x01\0", "2.1.4"),
    // CONNECT
    (V5, 0x10, b"\0\x04MQTX\x05\x02\0\0\0\0\0", "MQTT-3.1.2-1"),
    (V5, 0x10, b"\0\x04MQTT\x06\x02\0\0\0\0\0", "MQTT-3.1.2-2"),
    (V311, 0x10, b"\0\x04MQTT\x84\x02\0\0\0\0", "MQTT-3.1.2-2"),
    (V31, 0x10, b"\0\x06MQIsdp\x04\x02\0\0\0\x01a", "MQTT-3.1.2-2"),
    (V5, 0x10, b"\0\x04MQTT\x05\x03\0\0\0\0\0", "MQTT-3.1.2-3"),
    (V5, 0x10, b"\0\x04MQTT\x05\x22\0\0\0\0\0", "MQTT-3.1.2-11"),
    (V311, 0x10, b"\0\x04MQTT\x04\x0a\0\0\0\0", "MQTT-3.1.2-11"),
    (V311, 0x10, b"\0\x04MQTT\x04\x1e\0\0\0\0\0\x01w\0\0", "MQTT-3.3.1-4"),
    (V311, 0x10, b"\0\x04MQTT\x04\x42\0\0\0\0\0\x01p", "MQTT-3.1.2-22 (3.1.1)"),
    (V311, 0x10, b"\0\x04MQTT\x04\0\0\0\0\0", "MQTT-3.1.3-8 (3.1.1)"),
    (V31, 0x10, b"\0\x06MQIsdp\x03\x02\0\0\0\0", "MQTT-3.1.3-8 (3.1.1)"),
    (V311, 0x10, b"\0\x04MQTT\x04\x82\0\0\0\x01a", "1.5"),
    (V311, 0x10, b"\0\x04MQTT\x04\x02\0\0\0\x01ax", "2.1.4"),
    (V311, 0x10, b"\0\x04MQTT\x04\x06\0\0\0\x01a\0\x01#\0\0", "MQTT-3.3.2-2"),
    (V311, 0x10, b"\0\x04MQTT\x04\x06\0\0\0\x01a\0\0\0\0", "MQTT-4.7.3-1"),
    (V5, 0x10, b"\0\x04MQTT\x05\x02\0\0\x03\x21\0\0\0\0", "2.2.2.2"),
    (V5, 0x10, b"\0\x04MQTT\x05\x02\0\0\x05\x27\0\0\0\0\0\0", "2.2.2.2"),
    (V5, 0x10, b"\0\x04MQTT\x05\x02\0\0\x02\x17\x02\0\0", "2.2.2.2"),
    (V5, 0x10, b"\0\x04MQTT\x05\x02\0\0\x04\x16\0\x01x\0\0", "3.1.2.11.10"),
    (V5, 0x10, b"\0\x04MQTT\x05\x02\0\0\x05\x18\0\0\0\x01\0\0", "2.2.2.2"),
    // CONNACK, DISCONNECT, AUTH
    (V5, 0x20, b"\x02\0\0", "MQTT-3.2.2-1"),
    (V5, 0x20, b"\x01\x80\0", "MQTT-3.2.2-6"),
    (V311, 0x20, b"\0\x06", "2.4"),
    (V5, 0x20, b"\0\x01\0", "2.4"),
    (V5, 0x20, b"\0\0\x02\x24\x02", "2.2.2.2"),
    (V311, 0x20, b"\0\0\0", "2.1.4"),
    (V311, 0xe0, b"\0", "2.1.4"),
    (V5, 0xe0, b"\x01", "2.4"),
    (V5, 0xe0, b"\0\0x", "2.1.4"),
    (V5, 0xe0, b"\0\x03\x21\0\x01", "2.2.2.2"),
    (V5, 0xf0, b"\x18\0", "3.15.2.2.2"),
    (V5, 0xf0, b"\x80\0", "2.4"),
    (V5, 0xf0, b"\x18", "1.5"),
];

/// Each is well-formed: what the round trips and the mutations start from.
const ACCEPTED: &[(Version, u8, &[u8])] = &[
    (V31, 0x10, b"\0\x06MQIsdp\x03\xc2\0\x3c\0\x01a"), // 3.1 allows flagged but missing credentials
    (V31, 0x10, b"\0\x06MQIsdp\x03\x02\0\x3c\0\x1eabcdefghijklmnopqrstuvwxyz0123"),
    (V311, 0x10, b"\0\x04MQTT\x04\xf6\0\x3c\0\x01a\0\x01w\0\x02hi\0\x01u\0\x01p"),
    (V5, 0x10, b"\0\x04MQTT\x05\x42\0\0\x05\x11\0\0\0\x0a\0\0\0\x01p"),
    (V5, 0x10, b"\0\x04MQTT\x05\x0e\0\0\0\0\x01c\x05\x18\0\0\0\x09\0\x01w\0\0"),
    (V311, 0x20, b"\x01\0"),
    (V311, 0x20, b"\0\x05"),
    (V5, 0x20, b"\0\x87\x09\x1f\0\x02no\x24\x01\x25\0"),
    (V311, 0x3b, b"\0\x03a/b\0\x07hello"),
    (V5, 0x33, b"\0\x01a\0\x01\x13\x01\x01\x02\0\0\0\x09\x0b\x01\x0b\x80\x01\x26\0\x01k\0\x01v"),
    (V5, 0x30, b"\0\0\x03\x23\0\x01x"),
    (V5, 0x40, b"\0\x01"),
    (V5, 0x50, b"\0\x01\x10"),
    (V5, 0x62, b"\0\x01\x92\0"),
    (V5, 0x70, b"\0\x01\0\x04\x1f\0\x01?"),
    (V31, 0x6a, b"\0\x01"),
    (V311, 0x82, b"\0\x01\0\x03a/+\x02\0\x01#\0"),
    (V5, 0x82, b"\0\x01\x02\x0b\x05\0\x0a$share/g/#\x19"),
    (V311, 0x90, b"\0\x01\0\x01\x02\x80"),
    (V5, 0x90, b"\0\x01\0\x8f\xa2"),
    (V311, 0xa2, b"\0\x01\0\x01a\0\x01b"),
    (V5, 0xa2, b"\0\x01\0\0\x01a"),
    (V311, 0xb0, b"\0\x01"),
    (V5, 0xb0, b"\0\x01\0\0\x11"),
    (V5, 0xc0, b""),
    (V5, 0xd0, b""),
    (V311, 0xe0, b""),
    (V5, 0xe0, b""),
    (V5, 0xe0, b"\x04"),
    (V5, 0xe0, b"\x8e\x05\x11\0\0\0\0"),
    (V5, 0xf0, b""),
    (V5, 0xf0, b"\x18\x09\x15\0\x01m\x16\0\x02xy"),
];

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len() < 128);
    [&[first, body.len() as u8], body].concat()
}

/// All of the above as bytes, to mutate.
pub(super) fn packets() -> Vec<Vec<u8>> {
    let rejected = REJECTED.iter().map(|(_, first, body, _)| packet(*first, body));
    rejected.chain(ACCEPTED.iter().map(|(_, first, body)| packet(*first, body))).collect()
}

fn decode(bytes: &[u8], version: Version) -> Result<Packet<'_>, DecodeError> {
    Packet::decode(frame(bytes, 1024)?.expect("complete"), version)
}

#[test]
fn every_violation_is_refused_for_its_own_reason() {
    for &(version, first, body, clause) in REJECTED {
        let bytes = packet(first, body);
        match decode(&bytes, version) {
            Ok(packet) => panic!("{bytes:02x?} violates {clause} and was read as {packet:?}"),
            Err(error) => assert_eq!(error.verdict().clause, clause, "{bytes:02x?}: {error}"),
        }
    }
}

#[test]
fn every_well_formed_packet_is_accepted_and_written_back() {
    for &(version, first, body) in ACCEPTED {
        let bytes = packet(first, body);
        let packet = decode(&bytes, version).unwrap_or_else(|error| panic!("{bytes:02x?}: {error}"));
        let mut out = Vec::new();
        packet.encode(version, &mut out);
        assert_eq!(out.len(), packet.encoded_len(version));
        let again = decode(&out, version).unwrap_or_else(|error| panic!("{out:02x?}: {error}"));
        assert_eq!(format!("{again:?}"), format!("{packet:?}"));
        // Only forms that say the same in fewer bytes, and bits 3.1 gives no meaning, come back changed.
        assert!(out == bytes || out.len() < bytes.len() || version == V31, "{bytes:02x?} became {out:02x?}");
    }
}

#[test]
fn no_prefix_of_a_packet_is_a_packet() {
    for bytes in packets() {
        for cut in 0..bytes.len() {
            assert!(!matches!(frame(&bytes[..cut], 1024), Ok(Some(_))), "{bytes:02x?} cut at {cut}");
        }
    }
}

#[test]
fn a_body_cut_anywhere_is_an_error_or_another_valid_packet_but_never_a_panic() {
    for bytes in packets() {
        for cut in 2..bytes.len() {
            let shorter = packet(bytes[0], &bytes[2..cut]);
            super::fuzz_decode(&shorter);
        }
    }
}

#[test]
fn too_many_topic_filters_are_refused() {
    let mut body = vec![0, 1];
    for _ in 0..=super::SUBSCRIPTIONS_MAX {
        body.extend_from_slice(b"\0\x01a\0");
    }
    let mut bytes = vec![0x82];
    super::wire::put_variable_byte_integer(&mut bytes, body.len() as u32);
    bytes.extend_from_slice(&body);
    let found = frame(&bytes, 1 << 20).unwrap().unwrap();
    assert_eq!(Packet::decode(found, V311), Err(DecodeError::TooManySubscriptions { max: super::SUBSCRIPTIONS_MAX }));
}
