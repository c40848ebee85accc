//! UNSUBACK [3.11].

use bytes::BufMut;

use super::wire::Reader;
use super::{Encode, Frame, PacketIdentifier, PacketKind, Place, Properties, ReasonCode, ReasonCodes, Version};
use crate::error::DecodeError;

/// The answer to UNSUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsuback<'a> {
    /// That of the UNSUBSCRIBE.
    pub packet_identifier: PacketIdentifier,
    /// Reason string and user properties.
    pub properties: Properties<'a>,
    /// One per topic filter [MQTT-3.11.3-1]; not written before MQTT 5.
    pub reason_codes: ReasonCodes,
}

impl<'a> Unsuback<'a> {
    /// Decodes a frame whose kind is UNSUBACK.
    pub fn decode(frame: Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        frame.check_version(version)?;
        let mut reader = Reader::new(frame.body);
        let packet_identifier = reader.packet_identifier()?;
        let properties = Properties::read(&mut reader, version, Place::Unsuback)?;
        if version != Version::V5 {
            reader.finish()?;
            return Ok(Self { packet_identifier, properties, reason_codes: ReasonCodes::new() });
        }
        if reader.is_empty() {
            return Err(DecodeError::EmptyPayload { kind: frame.kind });
        }
        let codes = reader.rest().iter().map(|&code| ReasonCode::decode(frame.kind, code));
        Ok(Self { packet_identifier, properties, reason_codes: codes.collect::<Result<_, _>>()? })
    }
}

impl Encode for Unsuback<'_> {
    const DROPS_PROPERTIES: bool = true;

    fn first_byte(&self) -> u8 {
        (PacketKind::Unsuback as u8) << 4
    }

    fn properties(&self) -> Properties<'_> {
        self.properties
    }

    fn body_len(&self, version: Version, properties: Properties<'_>) -> usize {
        let codes_len = if version == Version::V5 { self.reason_codes.len() } else { 0 };
        2 + properties.encoded_len(version) + codes_len
    }

    fn encode_body(&self, version: Version, properties: Properties<'_>, out: &mut impl BufMut) {
        out.put_u16(self.packet_identifier.get());
        properties.encode(version, out);
        if version == Version::V5 {
            for &code in &self.reason_codes {
                debug_assert!(code.is_valid_in(PacketKind::Unsuback));
                out.put_u8(code as u8);
            }
        }
    }
}
