//! PUBLISH for many subscribers: the head is written per subscriber (or once and patched), the payload is shared.

use std::num::NonZeroU16;

use bytes::BufMut;

use super::encode::packet_len;
use super::publish::first_byte;
use super::wire;
use super::{PacketIdentifier, Property, PropertyIdentifier, PropertySet, PublishProperties, QoS};
use super::{SubscriptionIdentifier, Version};

/// Everything of a PUBLISH before its payload. What differs between subscribers has a field of its own; `properties`
/// are those passed on unchanged, to be made once per message by `forwarded.without(PublishHead::PER_SUBSCRIBER)`.
#[derive(Debug, Clone, Copy)]
pub struct PublishHead<'a> {
    /// This may be sent again.
    pub dup: bool,
    /// The quality of service of this hop.
    pub qos: QoS,
    /// Retained, or Retain As Published.
    pub retain: bool,
    /// The topic name, or empty where `topic_alias` stands for it.
    pub topic: &'a str,
    /// With QoS 1 and 2, `None` leaves a hole for `patch_packet_identifier`.
    pub packet_identifier: Option<PacketIdentifier>,
    /// Our alias towards this subscriber.
    pub topic_alias: Option<NonZeroU16>,
    /// Seconds left when the message leaves [MQTT-3.3.2-6].
    pub message_expiry_interval: Option<u32>,
    /// Those of all subscriptions that matched [MQTT-3.3.4-3].
    pub subscription_identifiers: &'a [SubscriptionIdentifier],
    /// The rest, unchanged and in order [MQTT-3.3.2-17, MQTT-3.3.2-18].
    pub properties: PublishProperties<'a>,
    /// Bytes of the payload that will follow.
    pub payload_len: usize,
}

impl PublishHead<'_> {
    /// The properties which have a field of their own here.
    pub const PER_SUBSCRIBER: PropertySet = PropertySet::NONE
        .with(PropertyIdentifier::TopicAlias)
        .with(PropertyIdentifier::MessageExpiryInterval)
        .with(PropertyIdentifier::SubscriptionIdentifier);

    /// Bytes of the whole packet, payload included: what counts against the subscriber's Maximum Packet Size.
    pub fn encoded_len(&self, version: Version) -> usize {
        packet_len(self.body_len(version))
    }

    /// Appends the head; the caller appends `payload_len` bytes of payload. Returns where, counted from the head's
    /// first byte, the packet identifier is (`None` with QoS 0).
    ///
    /// # Panics
    /// If `encoded_len` exceeds what MQTT can say, or the topic 65535 bytes.
    pub fn encode(&self, version: Version, out: &mut impl BufMut) -> Option<usize> {
        debug_assert!(!self.properties.present().intersects(Self::PER_SUBSCRIBER), "they have fields of their own");
        let body_len = self.body_len(version);
        let fixed_len = packet_len(body_len) - body_len;
        out.put_u8(first_byte(self.dup, self.qos, self.retain));
        wire::put_variable_byte_integer(out, wire::length(body_len));
        wire::put_binary(out, self.topic.as_bytes());
        let identifier_at = (self.qos != QoS::AtMostOnce).then(|| {
            out.put_u16(self.packet_identifier.map_or(0, PacketIdentifier::get));
            fixed_len + 2 + self.topic.len()
        });
        if version == Version::V5 {
            self.encode_properties(out);
        }
        identifier_at
    }

    fn encode_properties(&self, out: &mut impl BufMut) {
        wire::put_variable_byte_integer(out, wire::length(self.properties_len()));
        if let Some(alias) = self.topic_alias {
            Property::TopicAlias(alias).write(out);
        }
        if let Some(interval) = self.message_expiry_interval {
            Property::MessageExpiryInterval(interval).write(out);
        }
        for &identifier in self.subscription_identifiers {
            Property::SubscriptionIdentifier(identifier).write(out);
        }
        out.put_slice(self.properties.raw());
    }

    fn body_len(&self, version: Version) -> usize {
        let identifier_len = if self.qos == QoS::AtMostOnce { 0 } else { 2 };
        let properties_len = match version {
            Version::V5 => {
                let len = self.properties_len();
                wire::variable_byte_integer_len(wire::length(len)) + len
            }
            Version::V31 | Version::V311 => 0,
        };
        2 + self.topic.len() + identifier_len + properties_len + self.payload_len
    }

    fn properties_len(&self) -> usize {
        let alias_len = if self.topic_alias.is_some() { 3 } else { 0 };
        let interval_len = if self.message_expiry_interval.is_some() { 5 } else { 0 };
        let identifiers = self.subscription_identifiers.iter();
        let identifiers_len = identifiers.map(|id| 1 + wire::variable_byte_integer_len(id.get())).sum::<usize>();
        alias_len + interval_len + identifiers_len + self.properties.raw().len()
    }
}

/// Writes the packet identifier into a head at the place `PublishHead::encode` returned.
///
/// # Panics
/// If `at` is not inside `head`.
#[inline]
pub fn patch_packet_identifier(head: &mut [u8], at: usize, identifier: PacketIdentifier) {
    head[at..at + 2].copy_from_slice(&identifier.get().to_be_bytes());
}
