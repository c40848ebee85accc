//! SUBACK [3.9]: a grant or a refusal per topic filter.

use bytes::BufMut;
use smallvec::SmallVec;

use super::wire::Reader;
use super::{Encode, Frame, PacketIdentifier, PacketKind, Place, Properties, ReasonCode, Version};
use crate::error::DecodeError;

/// Reason codes in the order of the topic filters they answer.
pub type ReasonCodes = SmallVec<[ReasonCode; 8]>;

/// The answer to SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suback<'a> {
    /// That of the SUBSCRIBE.
    pub packet_identifier: PacketIdentifier,
    /// Reason string and user properties.
    pub properties: Properties<'a>,
    /// One per topic filter [MQTT-3.8.4-6]. Before MQTT 5 every refusal is written as 0x80.
    pub reason_codes: ReasonCodes,
}

impl<'a> Suback<'a> {
    /// Decodes a frame whose kind is SUBACK.
    pub fn decode(frame: Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        frame.check_version(version)?;
        let mut reader = Reader::new(frame.body);
        let packet_identifier = reader.packet_identifier()?;
        let properties = Properties::read(&mut reader, version, Place::Suback)?;
        if reader.is_empty() {
            return Err(DecodeError::EmptyPayload { kind: frame.kind });
        }
        let codes = reader.rest().iter().map(|&code| ReasonCode::decode_suback(version, code));
        Ok(Self { packet_identifier, properties, reason_codes: codes.collect::<Result<_, _>>()? })
    }
}

impl Encode for Suback<'_> {
    const DROPS_PROPERTIES: bool = true;

    fn first_byte(&self) -> u8 {
        (PacketKind::Suback as u8) << 4
    }

    fn properties(&self) -> Properties<'_> {
        self.properties
    }

    fn body_len(&self, version: Version, properties: Properties<'_>) -> usize {
        2 + properties.encoded_len(version) + self.reason_codes.len()
    }

    fn encode_body(&self, version: Version, properties: Properties<'_>, out: &mut impl BufMut) {
        out.put_u16(self.packet_identifier.get());
        properties.encode(version, out);
        for code in &self.reason_codes {
            debug_assert!(code.is_valid_in(PacketKind::Suback));
            out.put_u8(code.suback_byte(version));
        }
    }
}
