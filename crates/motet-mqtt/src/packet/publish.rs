//! PUBLISH [3.3]: the hot path. Everything is checked, nothing is copied.

use bytes::BufMut;

use super::wire::{self, Reader};
use super::{
    Encode, Frame, PacketIdentifier, PacketKind, Place, Properties, PropertyIdentifier, PublishProperties, QoS,
    Version, topic,
};
use crate::error::DecodeError;

/// A message between two peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// This may be sent again; never with QoS 0.
    pub dup: bool,
    /// The quality of service of this hop.
    pub qos: QoS,
    /// Towards the server: keep it as the topic's last value. From it: this is one (or Retain As Published).
    pub retain: bool,
    /// Topic name without wildcards; empty only where a topic alias stands for it.
    pub topic: &'a str,
    /// There exactly if the QoS is 1 or 2.
    pub packet_identifier: Option<PacketIdentifier>,
    /// Always empty before MQTT 5.
    pub properties: PublishProperties<'a>,
    /// The application's bytes.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// Decodes a frame whose kind is PUBLISH.
    #[inline]
    pub fn decode(frame: Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        debug_assert_eq!(frame.kind, PacketKind::Publish);
        frame.check_version(version)?;
        let qos = frame.qos()?;
        let mut reader = Reader::new(frame.body);
        let topic = wire::utf8(reader.binary()?)?;
        topic::check_name_or_empty(topic)?;
        let packet_identifier = match qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce | QoS::ExactlyOnce => Some(reader.packet_identifier()?),
        };
        let properties = Properties::read(&mut reader, version, Place::Publish)?;
        if topic.is_empty() && !properties.has(PropertyIdentifier::TopicAlias) {
            return Err(DecodeError::TopicNameEmpty); // 3.3.2.1
        }
        Ok(Self {
            dup: frame.flags & 0b1000 != 0,
            qos,
            retain: frame.flags & 0b0001 != 0,
            topic,
            packet_identifier,
            properties,
            payload: reader.rest(),
        })
    }
}

impl Encode for Publish<'_> {
    fn first_byte(&self) -> u8 {
        first_byte(self.dup, self.qos, self.retain)
    }

    fn properties(&self) -> Properties<'_> {
        self.properties
    }

    fn body_len(&self, version: Version, properties: Properties<'_>) -> usize {
        let identifier_len = if self.qos == QoS::AtMostOnce { 0 } else { 2 };
        2 + self.topic.len() + identifier_len + properties.encoded_len(version) + self.payload.len()
    }

    fn encode_body(&self, version: Version, properties: Properties<'_>, out: &mut impl BufMut) {
        debug_assert_eq!(self.packet_identifier.is_some(), self.qos != QoS::AtMostOnce, "[MQTT-2.2.1-2]");
        wire::put_binary(out, self.topic.as_bytes());
        if self.qos != QoS::AtMostOnce {
            out.put_u16(self.packet_identifier.map_or(0, PacketIdentifier::get));
        }
        properties.encode(version, out);
        out.put_slice(self.payload);
    }
}

pub(super) fn first_byte(dup: bool, qos: QoS, retain: bool) -> u8 {
    debug_assert!(!dup || qos != QoS::AtMostOnce, "[MQTT-3.3.1-2]");
    (PacketKind::Publish as u8) << 4 | u8::from(dup) << 3 | (qos as u8) << 1 | u8::from(retain)
}
