//! What of a conversation must survive: the notes in a session's record, and the packet identifiers of deliveries.
//!
//! | note | value | meaning |
//! |---|---|---|
//! | `r` + packet identifier | – | a QoS 2 PUBLISH was received and its identifier not yet released [MQTT-4.3.3-10] |
//! | `p` + sequence | – | PUBREC came for this delivery: PUBREL is what is to be sent again [MQTT-4.3.3-5] |
//!
//! An outbound packet identifier from the session's own queue is a function of the queue's sequence, so it is the same
//! after a crash; these are the lower half of the numbers. The upper half is for deliveries from queues that others
//! consume from too, which after a break may go to somebody else.

use crate::packet::PacketIdentifier;
use bytes::Bytes;
use std::collections::HashSet;

/// How many packet identifiers the session's own queue has: from 1.
pub(crate) const OWN_IDENTIFIERS: u16 = 32_767;
/// Packet identifiers of deliveries from queues that others consume from too.
pub(crate) const SHARED_IDENTIFIERS: std::ops::RangeInclusive<u16> = OWN_IDENTIFIERS + 1..=u16::MAX;

/// The packet identifier that a delivery of this sequence has, now and after a restart.
pub(crate) fn identifier_of(seq: u64) -> PacketIdentifier {
    let number = u16::try_from((seq.wrapping_sub(1)) % u64::from(OWN_IDENTIFIERS) + 1).expect("a remainder fits");
    PacketIdentifier::new(number).expect("is at least one")
}

/// Note: this identifier of the client is in use.
pub(crate) fn received_key(identifier: PacketIdentifier) -> [u8; 3] {
    let [a, b] = identifier.get().to_be_bytes();
    [b'r', a, b]
}

/// Note: PUBREC has come for this delivery.
pub(crate) fn pubrec_key(seq: u64) -> [u8; 9] {
    let mut key = [b'p'; 9];
    key[1..].copy_from_slice(&seq.to_be_bytes());
    key
}

/// The notes of a session that is resumed.
#[derive(Debug, Default)]
pub(crate) struct Resumed {
    /// QoS 2 identifiers of the client that are in use.
    pub(crate) received: HashSet<u16>,
    /// Sequences whose PUBREC has come.
    pub(crate) pubrec: HashSet<u64>,
}

impl Resumed {
    pub(crate) fn from_record(record: &[(Bytes, Bytes)]) -> Self {
        let mut resumed = Resumed::default();
        for (key, _) in record {
            match key.as_ref() {
                [b'r', a, b] => {
                    resumed.received.insert(u16::from_be_bytes([*a, *b]));
                }
                [b'p', seq @ ..] => {
                    if let Ok(seq) = <[u8; 8]>::try_from(seq) {
                        resumed.pubrec.insert(u64::from_be_bytes(seq));
                    }
                }
                // A note of a later release is none of ours.
                _ => {}
            }
        }
        resumed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_follow_the_sequence_and_skip_zero() {
        assert_eq!(identifier_of(1).get(), 1);
        assert_eq!(identifier_of(32_767).get(), 32_767);
        assert_eq!(identifier_of(32_768).get(), 1);
        assert_eq!(identifier_of(65_535).get(), 1);
    }

    #[test]
    fn notes_come_back() {
        let id = PacketIdentifier::new(0x0102).expect("not zero");
        let record = [
            (Bytes::copy_from_slice(&received_key(id)), Bytes::new()),
            (Bytes::copy_from_slice(&pubrec_key(77)), Bytes::new()),
            (Bytes::from_static(b"future"), Bytes::new()),
        ];
        let resumed = Resumed::from_record(&record);
        assert!(resumed.received.contains(&0x0102) && resumed.pubrec.contains(&77));
        assert_eq!((resumed.received.len(), resumed.pubrec.len()), (1, 1));
    }
}
