//! PUBACK, PUBREC, PUBREL, PUBCOMP [3.4 to 3.7]: one form, four meanings.

use bytes::BufMut;

use super::wire::Reader;
use super::{Encode, Frame, PacketIdentifier, PacketKind, Place, Properties, ReasonCode, Version};
use crate::error::DecodeError;

macro_rules! ack {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name<'a> {
            /// Of the PUBLISH it belongs to.
            pub packet_identifier: PacketIdentifier,
            /// Always `Success` before MQTT 5.
            pub reason_code: ReasonCode,
            /// Reason string and user properties.
            pub properties: Properties<'a>,
        }

        impl<'a> $name<'a> {
            /// The short form.
            pub const fn new(packet_identifier: PacketIdentifier, reason_code: ReasonCode) -> Self {
                Self { packet_identifier, reason_code, properties: Properties::EMPTY }
            }

            /// Decodes a frame of this kind.
            pub fn decode(frame: Frame<'a>, version: Version) -> Result<Self, DecodeError> {
                let (packet_identifier, reason_code, properties) = decode(frame, version, Place::$name)?;
                Ok(Self { packet_identifier, reason_code, properties })
            }
        }

        impl Encode for $name<'_> {
            const DROPS_PROPERTIES: bool = true;

            fn first_byte(&self) -> u8 {
                (PacketKind::$name as u8) << 4 | PacketKind::$name.flags()
            }

            fn properties(&self) -> Properties<'_> {
                self.properties
            }

            fn body_len(&self, version: Version, properties: Properties<'_>) -> usize {
                2 + tail_len(version, self.reason_code, properties)
            }

            fn encode_body(&self, version: Version, properties: Properties<'_>, out: &mut impl BufMut) {
                debug_assert!(self.reason_code.is_valid_in(PacketKind::$name));
                out.put_u16(self.packet_identifier.get());
                encode_tail(version, self.reason_code, properties, out);
            }
        }
    };
}

ack! {
    /// QoS 1: received and taken.
    Puback
}
ack! {
    /// QoS 2, second step: received.
    Pubrec
}
ack! {
    /// QoS 2, third step: the identifier may be forgotten.
    Pubrel
}
ack! {
    /// QoS 2, fourth step: forgotten.
    Pubcomp
}

fn decode(
    frame: Frame<'_>,
    version: Version,
    place: Place,
) -> Result<(PacketIdentifier, ReasonCode, Properties<'_>), DecodeError> {
    frame.check_version(version)?;
    let mut reader = Reader::new(frame.body);
    let packet_identifier = reader.packet_identifier()?;
    let (reason_code, properties) = decode_tail(reader, frame.kind, version, place)?;
    Ok((packet_identifier, reason_code, properties))
}

/// Reason code and properties at the end of a packet, either of which may be left out [3.4.2.1, 3.14.2.1].
pub(super) fn decode_tail(
    mut reader: Reader<'_>,
    kind: PacketKind,
    version: Version,
    place: Place,
) -> Result<(ReasonCode, Properties<'_>), DecodeError> {
    if version != Version::V5 || reader.is_empty() {
        reader.finish()?;
        return Ok((ReasonCode::Success, Properties::EMPTY));
    }
    let reason_code = ReasonCode::decode(kind, reader.u8()?)?;
    if reader.is_empty() {
        return Ok((reason_code, Properties::EMPTY));
    }
    let properties = Properties::read(&mut reader, version, place)?;
    reader.finish()?;
    Ok((reason_code, properties))
}

pub(super) fn tail_len(version: Version, reason_code: ReasonCode, properties: Properties<'_>) -> usize {
    match (version, properties.is_empty()) {
        (Version::V31 | Version::V311, _) => 0,
        (Version::V5, false) => 1 + properties.encoded_len(version),
        (Version::V5, true) if reason_code == ReasonCode::Success => 0,
        (Version::V5, true) => 1,
    }
}

pub(super) fn encode_tail(
    version: Version,
    reason_code: ReasonCode,
    properties: Properties<'_>,
    out: &mut impl BufMut,
) {
    if tail_len(version, reason_code, properties) > 0 {
        out.put_u8(reason_code as u8);
        if !properties.is_empty() {
            properties.encode(version, out);
        }
    }
}
