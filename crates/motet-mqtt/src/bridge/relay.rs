//! The packets of one side, written for the other.

use super::rules::Rules;
use super::{HOP, HOPS_MAX};
use crate::error::DecodeError;
use crate::packet::{
    Encode, Frame, Packet, PacketIdentifier, PacketKind, Place, PropertiesBuf, Property, Puback, Pubcomp, Publish,
    PublishHead, Pubrec, Pubrel, QoS, ReasonCode, Version,
};
use bytes::BytesMut;

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Our server.
    Local,
    /// The other one.
    Remote,
}

/// Why the conversations cannot go on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// A side ends it.
    #[error("{0:?} closed the connection: {1:?}")]
    Goodbye(Side, ReasonCode),
    /// A subscription was refused.
    #[error("{0:?} refused a subscription: {1:?}")]
    Subscription(Side, ReasonCode),
    /// A message was refused for want of room [5.0, 3.4.2.1: 0x97]. Its sender is not told, so that it sends it again on the
    /// next connection: to pass the refusal on would be to lose the message.
    #[error("{0:?} has no room for a message")]
    NoRoom(Side),
    /// A packet that has no place here.
    #[error("{0:?} sent {1:?}, which has no place here")]
    Unexpected(Side, PacketKind),
    /// It is no MQTT.
    #[error("{0:?} broke the protocol: {1}")]
    Decode(Side, DecodeError),
}

/// What happened to messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Went from us to the other server.
    pub sent: u64,
    /// Came from the other server to us.
    pub received: u64,
    /// Had passed here before, or too many bridges.
    pub looped: u64,
    /// Refused by the side they went to.
    pub refused: u64,
    /// Fit no rule, or are larger than the other side takes.
    pub dropped: u64,
}

/// Two conversations of a bridge once both have begun.
#[derive(Debug)]
pub struct Relay {
    rules: Rules,
    /// Our name in `x-hop`.
    node: String,
    remote_version: Version,
    /// The largest packets that each side takes: here, there.
    packet_bytes_max: [u32; 2],
    remote_retains: bool,
    /// Identifiers of messages from the other server that our server has not finished; bounds what is read from there.
    inward: usize,
    tally: Tally,
}

impl Relay {
    /// Our side speaks MQTT 5. `packet_bytes_max` is the largest packet that each side takes, ours first; `retains` is
    /// whether the other one keeps retained messages.
    pub fn new(rules: Rules, node: String, remote_version: Version, packet_bytes_max: [u32; 2], retains: bool) -> Self {
        Relay {
            rules,
            node,
            remote_version,
            packet_bytes_max,
            remote_retains: retains,
            inward: 0,
            tally: Tally::default(),
        }
    }

    /// What has happened since the last time that this was asked.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Messages of the other server that ours has not acknowledged to the end.
    pub fn inward(&self) -> usize {
        self.inward
    }

    fn version(&self, side: Side) -> Version {
        match side {
            Side::Local => Version::V5,
            Side::Remote => self.remote_version,
        }
    }

    /// Takes a packet of `from`; what it comes to goes into `across`, an answer to `from` itself into `back`.
    ///
    /// # Errors
    /// The conversations are over; both connections are to be closed and begun anew.
    pub fn take(
        &mut self,
        from: Side,
        frame: Frame<'_>,
        across: &mut BytesMut,
        back: &mut BytesMut,
    ) -> Result<(), RelayError> {
        let kind = frame.kind;
        let packet = Packet::decode(frame, self.version(from)).map_err(|error| RelayError::Decode(from, error))?;
        match packet {
            Packet::Publish(publish) => self.publish(from, &publish, across, back),
            Packet::Suback(answer) => {
                if let Some(code) = answer.reason_codes.iter().find(|code| code.is_error()) {
                    return Err(RelayError::Subscription(from, *code));
                }
            }
            Packet::Unsuback(_) | Packet::Pingresp(_) => {}
            Packet::Disconnect(goodbye) => return Err(RelayError::Goodbye(from, goodbye.reason_code)),
            Packet::Puback(Puback { reason_code: ReasonCode::QuotaExceeded, .. })
            | Packet::Pubrec(Pubrec { reason_code: ReasonCode::QuotaExceeded, .. }) => {
                self.tally.refused += 1;
                return Err(RelayError::NoRoom(from));
            }
            Packet::Puback(_) | Packet::Pubrec(_) | Packet::Pubrel(_) | Packet::Pubcomp(_) => {
                self.settle(from, &packet, across);
            }
            _ => return Err(RelayError::Unexpected(from, kind)),
        }
        Ok(())
    }

    /// An acknowledgement goes to the other side as it is, under the same identifier.
    fn settle(&mut self, from: Side, packet: &Packet<'_>, across: &mut BytesMut) {
        let to = match from {
            Side::Local => self.version(Side::Remote),
            Side::Remote => self.version(Side::Local),
        };
        match packet {
            Packet::Puback(Puback { packet_identifier, reason_code, .. }) => {
                self.finished(from, *reason_code);
                Puback::new(*packet_identifier, *reason_code).encode(to, across);
            }
            Packet::Pubrec(Pubrec { packet_identifier, reason_code, .. }) => {
                if reason_code.is_error() {
                    self.finished(from, *reason_code);
                }
                Pubrec::new(*packet_identifier, *reason_code).encode(to, across);
            }
            Packet::Pubrel(Pubrel { packet_identifier, reason_code, .. }) => {
                Pubrel::new(*packet_identifier, *reason_code).encode(to, across);
            }
            Packet::Pubcomp(Pubcomp { packet_identifier, reason_code, .. }) => {
                self.finished(from, ReasonCode::Success);
                Pubcomp::new(*packet_identifier, *reason_code).encode(to, across);
            }
            _ => {}
        }
    }

    /// The side that a message went to has said its last word about it.
    fn finished(&mut self, by: Side, code: ReasonCode) {
        if by == Side::Local {
            self.inward = self.inward.saturating_sub(1);
        }
        if code.is_error() {
            self.tally.refused += 1;
        }
    }

    fn publish(&mut self, from: Side, publish: &Publish<'_>, across: &mut BytesMut, back: &mut BytesMut) {
        let [here, there] = self.packet_bytes_max;
        let (topic, to, bytes_max) = match from {
            Side::Local => (self.rules.outward(publish.topic), self.remote_version, there),
            Side::Remote => (self.rules.inward(publish.topic), Version::V5, here),
        };
        let hops = publish.properties.user_properties().filter(|(name, _)| *name == HOP);
        let (hops, passed) =
            hops.fold((0, false), |(count, passed), (_, node)| (count + 1, passed || node == self.node));
        if passed || hops >= HOPS_MAX {
            self.tally.looped += 1;
            return refuse_quietly(publish, self.version(from), back);
        }
        let Some(topic) = topic.filter(|topic| topic.len() <= usize::from(u16::MAX)) else {
            self.tally.dropped += 1;
            return refuse_quietly(publish, self.version(from), back);
        };
        let properties = self.properties(publish);
        let head = PublishHead {
            dup: publish.dup,
            qos: publish.qos,
            retain: publish.retain && (from == Side::Remote || self.remote_retains),
            topic: &topic,
            packet_identifier: publish.packet_identifier,
            topic_alias: None,
            message_expiry_interval: publish.properties.message_expiry_interval(),
            subscription_identifiers: &[],
            properties: properties.as_properties(),
            payload_len: publish.payload.len(),
        };
        if head.encoded_len(to) > bytes_max as usize {
            self.tally.dropped += 1;
            return refuse_quietly(publish, self.version(from), back);
        }
        head.encode(to, across);
        across.extend_from_slice(publish.payload);
        match from {
            Side::Local => self.tally.sent += 1,
            Side::Remote => {
                self.inward += usize::from(publish.qos != QoS::AtMostOnce);
                self.tally.received += 1;
            }
        }
    }

    /// Everything that came along, and where it has passed.
    fn properties(&self, publish: &Publish<'_>) -> PropertiesBuf {
        let mut kept = publish.properties.without(PublishHead::PER_SUBSCRIBER);
        kept.push(Place::Publish, Property::UserProperty(HOP, &self.node)).expect("a node is a short text without NUL");
        kept
    }
}

/// The sender is told that all is well: it is, and the message ends here.
fn refuse_quietly(publish: &Publish<'_>, version: Version, back: &mut BytesMut) {
    let Some(identifier) = publish.packet_identifier else { return };
    acknowledge(publish.qos, identifier, version, back);
}

fn acknowledge(qos: QoS, identifier: PacketIdentifier, version: Version, back: &mut BytesMut) {
    match qos {
        QoS::AtMostOnce => {}
        QoS::AtLeastOnce => Puback::new(identifier, ReasonCode::Success).encode(version, back),
        // A PUBREL for it goes across, where nobody knows it, and comes back as PUBCOMP: the exchange ends.
        QoS::ExactlyOnce => Pubrec::new(identifier, ReasonCode::Success).encode(version, back),
    }
}
