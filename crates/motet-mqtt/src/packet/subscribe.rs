//! SUBSCRIBE [3.8].

use bytes::BufMut;
use smallvec::SmallVec;

use super::wire::{self, Reader};
use super::{Encode, Frame, PacketIdentifier, PacketKind, Place, Properties, QoS, Version};
use super::{SharedSubscription, check_topic_filter};
use crate::error::DecodeError;

/// Topic filters in one SUBSCRIBE or UNSUBSCRIBE; more are refused with "quota exceeded". Bounds what one packet
/// makes us remember; the largest bridges known send a few hundred.
pub const SUBSCRIPTIONS_MAX: usize = 8192;

/// The client asks for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Names this exchange.
    pub packet_identifier: PacketIdentifier,
    /// Subscription identifier and user properties.
    pub properties: Properties<'a>,
    /// What is asked for, 1 to `SUBSCRIPTIONS_MAX`.
    pub subscriptions: SmallVec<[Subscription<'a>; 4]>,
}

/// One topic filter with its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// Well-formed; with `$share/` still in front if shared.
    pub topic_filter: &'a str,
    /// How to deliver.
    pub options: SubscriptionOptions,
}

/// Subscription options [3.8.3.1]; before MQTT 5 there is the QoS alone and the rest has its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SubscriptionOptions {
    /// The highest QoS to deliver with.
    pub maximum_qos: QoS,
    /// Not what this client published itself.
    pub no_local: bool,
    /// Keep the publisher's retain flag.
    pub retain_as_published: bool,
    /// When to send retained messages.
    pub retain_handling: RetainHandling,
}

/// When a subscription brings retained messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum RetainHandling {
    /// At every SUBSCRIBE.
    #[default]
    Send = 0,
    /// Only if the subscription is new.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

impl SubscriptionOptions {
    fn from_byte(byte: u8, version: Version) -> Result<Self, DecodeError> {
        let reserved = if version == Version::V5 { 0b1100_0000 } else { 0b1111_1100 };
        if byte & reserved != 0 {
            return Err(DecodeError::SubscriptionOptionsReserved); // [MQTT-3.8.3-5]
        }
        let retain_handling = match byte >> 4 & 0b11 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(DecodeError::RetainHandling3),
        };
        Ok(Self {
            maximum_qos: QoS::from_bits(byte & 0b11).ok_or(DecodeError::QoS3)?,
            no_local: byte & 0b0100 != 0,
            retain_as_published: byte & 0b1000 != 0,
            retain_handling,
        })
    }

    fn byte(self, version: Version) -> u8 {
        match version {
            Version::V31 | Version::V311 => self.maximum_qos as u8,
            Version::V5 => {
                self.maximum_qos as u8
                    | u8::from(self.no_local) << 2
                    | u8::from(self.retain_as_published) << 3
                    | (self.retain_handling as u8) << 4
            }
        }
    }
}

impl<'a> Subscription<'a> {
    fn read(reader: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let topic_filter = wire::utf8(reader.binary()?)?;
        check_topic_filter(topic_filter)?;
        let options = SubscriptionOptions::from_byte(reader.u8()?, version)?;
        // Before MQTT 5 `$share/` is a filter like any other; whether it shares there is for the machine.
        if version == Version::V5 && SharedSubscription::parse(topic_filter)?.is_some() && options.no_local {
            return Err(DecodeError::NoLocalOnShared); // [MQTT-3.8.3-4]
        }
        Ok(Self { topic_filter, options })
    }
}

impl<'a> Subscribe<'a> {
    /// Decodes a frame whose kind is SUBSCRIBE.
    pub fn decode(frame: Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        frame.check_version(version)?;
        let mut reader = Reader::new(frame.body);
        let packet_identifier = reader.packet_identifier()?;
        let properties = Properties::read(&mut reader, version, Place::Subscribe)?;
        if reader.is_empty() {
            return Err(DecodeError::EmptyPayload { kind: frame.kind }); // [MQTT-3.8.3-2]
        }
        let mut subscriptions = SmallVec::new();
        while !reader.is_empty() {
            if subscriptions.len() == SUBSCRIPTIONS_MAX {
                return Err(DecodeError::TooManySubscriptions { max: SUBSCRIPTIONS_MAX });
            }
            subscriptions.push(Subscription::read(&mut reader, version)?);
        }
        Ok(Self { packet_identifier, properties, subscriptions })
    }
}

impl Encode for Subscribe<'_> {
    fn first_byte(&self) -> u8 {
        (PacketKind::Subscribe as u8) << 4 | PacketKind::Subscribe.flags()
    }

    fn properties(&self) -> Properties<'_> {
        self.properties
    }

    fn body_len(&self, version: Version, properties: Properties<'_>) -> usize {
        let entries_len = self.subscriptions.iter().map(|entry| 3 + entry.topic_filter.len()).sum::<usize>();
        2 + properties.encoded_len(version) + entries_len
    }

    fn encode_body(&self, version: Version, properties: Properties<'_>, out: &mut impl BufMut) {
        out.put_u16(self.packet_identifier.get());
        properties.encode(version, out);
        for entry in &self.subscriptions {
            wire::put_binary(out, entry.topic_filter.as_bytes());
            out.put_u8(entry.options.byte(version));
        }
    }
}
