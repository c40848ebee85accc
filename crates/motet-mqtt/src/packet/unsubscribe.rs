//! UNSUBSCRIBE [3.10].

use bytes::BufMut;
use smallvec::SmallVec;

use super::wire::{self, Reader};
use super::{Encode, Frame, PacketIdentifier, PacketKind, Place, Properties, SUBSCRIPTIONS_MAX, Version};
use super::{SharedSubscription, check_topic_filter};
use crate::error::DecodeError;

/// The client takes subscriptions back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// Names this exchange.
    pub packet_identifier: PacketIdentifier,
    /// User properties.
    pub properties: Properties<'a>,
    /// The filters as they were subscribed, 1 to `SUBSCRIPTIONS_MAX`.
    pub topic_filters: SmallVec<[&'a str; 4]>,
}

impl<'a> Unsubscribe<'a> {
    /// Decodes a frame whose kind is UNSUBSCRIBE.
    pub fn decode(frame: Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        frame.check_version(version)?;
        let mut reader = Reader::new(frame.body);
        let packet_identifier = reader.packet_identifier()?;
        let properties = Properties::read(&mut reader, version, Place::Unsubscribe)?;
        if reader.is_empty() {
            return Err(DecodeError::EmptyPayload { kind: frame.kind }); // [MQTT-3.10.3-2]
        }
        let mut topic_filters = SmallVec::new();
        while !reader.is_empty() {
            if topic_filters.len() == SUBSCRIPTIONS_MAX {
                return Err(DecodeError::TooManySubscriptions { max: SUBSCRIPTIONS_MAX });
            }
            let filter = wire::utf8(reader.binary()?)?;
            check_topic_filter(filter)?;
            if version == Version::V5 {
                SharedSubscription::parse(filter)?;
            }
            topic_filters.push(filter);
        }
        Ok(Self { packet_identifier, properties, topic_filters })
    }
}

impl Encode for Unsubscribe<'_> {
    fn first_byte(&self) -> u8 {
        (PacketKind::Unsubscribe as u8) << 4 | PacketKind::Unsubscribe.flags()
    }

    fn properties(&self) -> Properties<'_> {
        self.properties
    }

    fn body_len(&self, version: Version, properties: Properties<'_>) -> usize {
        let filters_len = self.topic_filters.iter().map(|filter| 2 + filter.len()).sum::<usize>();
        2 + properties.encoded_len(version) + filters_len
    }

    fn encode_body(&self, version: Version, properties: Properties<'_>, out: &mut impl BufMut) {
        out.put_u16(self.packet_identifier.get());
        properties.encode(version, out);
        for filter in &self.topic_filters {
            wire::put_binary(out, filter.as_bytes());
        }
    }
}
