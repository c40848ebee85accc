//! Packets of MQTT 3.1, 3.1.1 and 5.0, both directions, checked to the letter and borrowed from the read buffer.
//!
//! ```text
//! read buffer ──frame()──▶ Frame ──Publish::decode──▶ Publish        (the hot path, no enum)
//!                            └────Packet::decode────▶ Packet::{Connect, Subscribe, …}
//!
//! PublishHead::encode ─▶ head, then the payload untouched            (fan-out)
//! Encode::encode, Encode::encode_within(max) ─▶ any other packet
//! ```
//!
//! ```
//! use motet_mqtt::packet::{Encode, Packet, Pingreq, Version, frame};
//! let mut out = Vec::new();
//! Pingreq.encode(Version::V5, &mut out);
//! let found = frame(&out, 1024)?.expect("complete");
//! assert_eq!(Packet::decode(found, Version::V5)?, Packet::Pingreq(Pingreq));
//! # Ok::<(), motet_mqtt::error::DecodeError>(())
//! ```

mod acks;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod encode;
mod frame;
mod fuzz;
mod ping;
pub mod properties;
mod property;
mod publish;
mod publish_head;
mod reason_code;
#[cfg(test)]
mod reject_tests;
#[cfg(test)]
mod round_trip_tests;
mod suback;
mod subscribe;
pub mod topic;
mod types;
mod unsuback;
mod unsubscribe;
mod wire;

use bytes::BufMut;

pub use acks::{Puback, Pubcomp, Pubrec, Pubrel};
pub use auth::Auth;
pub use connack::Connack;
pub use connect::{Connect, Will};
pub use disconnect::Disconnect;
pub use encode::Encode;
pub use frame::{Frame, frame, frame_len};
#[doc(hidden)]
pub use fuzz::fuzz_decode;
pub use ping::{Pingreq, Pingresp};
pub use properties::{Place, Properties, PropertiesBuf, Property, PropertyIdentifier, PropertySet, PublishProperties};
pub use publish::Publish;
pub use publish_head::{PublishHead, patch_packet_identifier};
pub use reason_code::ReasonCode;
pub use suback::{ReasonCodes, Suback};
pub use subscribe::{RetainHandling, SUBSCRIPTIONS_MAX, Subscribe, Subscription, SubscriptionOptions};
pub use topic::{SharedSubscription, check_topic_filter, check_topic_name};
pub use types::{PacketIdentifier, PacketKind, QoS, SubscriptionIdentifier, Version};
pub use unsuback::Unsuback;
pub use unsubscribe::Unsubscribe;
pub use wire::VARIABLE_BYTE_INTEGER_MAX;

use crate::error::DecodeError;

/// Any packet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is documented at its type")]
#[allow(clippy::large_enum_variant, reason = "lives on the stack for one turn; the hot path does without it")]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    Connack(Connack<'a>),
    Publish(Publish<'a>),
    Puback(Puback<'a>),
    Pubrec(Pubrec<'a>),
    Pubrel(Pubrel<'a>),
    Pubcomp(Pubcomp<'a>),
    Subscribe(Subscribe<'a>),
    Suback(Suback<'a>),
    Unsubscribe(Unsubscribe<'a>),
    Unsuback(Unsuback<'a>),
    Pingreq(Pingreq),
    Pingresp(Pingresp),
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

/// Calls the same method on whatever packet it is.
macro_rules! each {
    ($self:expr, $packet:ident => $call:expr) => {
        match $self {
            Packet::Connect($packet) => $call,
            Packet::Connack($packet) => $call,
            Packet::Publish($packet) => $call,
            Packet::Puback($packet) => $call,
            Packet::Pubrec($packet) => $call,
            Packet::Pubrel($packet) => $call,
            Packet::Pubcomp($packet) => $call,
            Packet::Subscribe($packet) => $call,
            Packet::Suback($packet) => $call,
            Packet::Unsubscribe($packet) => $call,
            Packet::Unsuback($packet) => $call,
            Packet::Pingreq($packet) => $call,
            Packet::Pingresp($packet) => $call,
            Packet::Disconnect($packet) => $call,
            Packet::Auth($packet) => $call,
        }
    };
}

impl<'a> Packet<'a> {
    /// Decodes and validates the whole packet. `version` is the connection's; CONNECT brings its own.
    pub fn decode(frame: Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        Ok(match frame.kind {
            PacketKind::Connect => Self::Connect(Connect::decode(frame)?),
            PacketKind::Connack => Self::Connack(Connack::decode(frame, version)?),
            PacketKind::Publish => Self::Publish(Publish::decode(frame, version)?),
            PacketKind::Puback => Self::Puback(Puback::decode(frame, version)?),
            PacketKind::Pubrec => Self::Pubrec(Pubrec::decode(frame, version)?),
            PacketKind::Pubrel => Self::Pubrel(Pubrel::decode(frame, version)?),
            PacketKind::Pubcomp => Self::Pubcomp(Pubcomp::decode(frame, version)?),
            PacketKind::Subscribe => Self::Subscribe(Subscribe::decode(frame, version)?),
            PacketKind::Suback => Self::Suback(Suback::decode(frame, version)?),
            PacketKind::Unsubscribe => Self::Unsubscribe(Unsubscribe::decode(frame, version)?),
            PacketKind::Unsuback => Self::Unsuback(Unsuback::decode(frame, version)?),
            PacketKind::Pingreq => Self::Pingreq(Pingreq::decode(frame, version)?),
            PacketKind::Pingresp => Self::Pingresp(Pingresp::decode(frame, version)?),
            PacketKind::Disconnect => Self::Disconnect(Disconnect::decode(frame, version)?),
            PacketKind::Auth => Self::Auth(Auth::decode(frame, version)?),
        })
    }

    /// Bytes of the whole packet when encoded for `version`.
    pub fn encoded_len(&self, version: Version) -> usize {
        each!(self, packet => packet.encoded_len(version))
    }

    /// Appends the packet to `out`.
    pub fn encode(&self, version: Version, out: &mut impl BufMut) {
        each!(self, packet => packet.encode(version, out));
    }
}
