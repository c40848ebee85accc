//! From a message to PUBLISH bytes: once per subscriber, or once per kind of subscriber where that is the same.

use crate::aliases::{Alias, Aliases};
use crate::mapping::{self, FACE};
use crate::packet::{PacketIdentifier, Properties, PropertiesBuf, PublishHead, QoS, SubscriptionIdentifier, Version};

use motet_core::mailbox::{Direct, Grant};
use motet_core::message::{Batch, Message, Reliability};
use motet_core::name::Name;
use motet_core::queues::Queued;
use motet_core::rope::Rope;
use motet_core::spelling::mqtt;
use motet_core::time::Now;
use smallvec::SmallVec;

/// Payloads from here on are linked into the output instead of copied.
const LINK_BYTES_MIN: usize = 2048;

/// What differs from hop to hop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hop {
    pub(crate) qos: QoS,
    /// Means nothing with QoS 0.
    pub(crate) identifier: PacketIdentifier,
    pub(crate) dup: bool,
    /// Another consumer may have had it before.
    pub(crate) redelivered: bool,
    /// Its place in the stream it comes from.
    pub(crate) stream_offset: Option<u64>,
}

impl Hop {
    pub(crate) fn at_most_once() -> Self {
        Hop {
            qos: QoS::AtMostOnce,
            identifier: PacketIdentifier::MIN,
            dup: false,
            redelivered: false,
            stream_offset: None,
        }
    }
}

/// Encodes for one client during one turn.
#[derive(Debug)]
pub(crate) struct Encoder {
    version: Version,
    packet_bytes_max: u32,
    now: Now,
    /// The address spelled last, and its spelling.
    address: Option<Name>,
    topic: Vec<u8>,
    /// How the topic is sent where the bytes are this client's own.
    alias: Alias,
    /// Lent by the connection for the turn; `None` when its client takes no aliases.
    aliases: Option<Box<Aliases>>,
}

impl Encoder {
    pub(crate) fn new(version: Version, packet_bytes_max: u32, now: Now) -> Self {
        let (address, topic) = (None, Vec::new());
        Encoder { version, packet_bytes_max, now, address, topic, alias: Alias::Unused, aliases: None }
    }

    /// With the aliases that the client knows; [`Encoder::into_aliases`] gives them back.
    pub(crate) fn with_aliases(self, aliases: Option<Box<Aliases>>) -> Self {
        Encoder { aliases, ..self }
    }

    pub(crate) fn into_aliases(self) -> Option<Box<Aliases>> {
        self.aliases
    }

    /// A batch that needs no acknowledgement.
    pub(crate) fn direct(&mut self, out: &mut Rope, delivery: &Direct) {
        let Direct { batch, grant, retained, shared, transient_only } = delivery;
        if *shared && self.is_sharable(batch, grant) {
            let key = frame_key(self.version, *retained, grant.retain_as_published);
            let frames = batch.frames().get_or_encode(key, || {
                let mut rope = Rope::new();
                // Aliases are one client's: these bytes are everybody's.
                let aliases = self.aliases.take();
                self.address = None;
                self.batch(&mut rope, batch, grant, *retained, *transient_only);
                self.address = None;
                self.aliases = aliases;
                rope.take_bytes()
            });
            if let Some(frames) = frames {
                return out.put_shared(frames);
            }
        }
        self.batch(out, batch, grant, *retained, *transient_only);
    }

    /// The bytes do not depend on the client or the moment.
    fn is_sharable(&self, batch: &Batch, grant: &Grant) -> bool {
        grant.identifiers.is_empty()
            && self.packet_bytes_max == u32::MAX
            && batch.messages().iter().all(|m| m.expires_at.is_none())
    }

    fn batch(&mut self, out: &mut Rope, batch: &Batch, grant: &Grant, retained: bool, transient_only: bool) {
        if !self.spell(batch.address()) {
            return;
        }
        for message in batch.messages() {
            if transient_only && message.reliability > Reliability::AtMostOnce {
                continue;
            }
            self.message(out, batch, message, grant, retained, Hop::at_most_once());
        }
    }

    /// One message of the queue; false when there is nothing to send: expired, or too large for this client.
    pub(crate) fn queued(&mut self, out: &mut Rope, queued: &Queued, hop: Hop) -> bool {
        let message = &queued.message;
        self.spell(message.address())
            && self.message(out, message.batch(), message.message(), &queued.grant, queued.retained, hop)
    }

    /// Spells the address; false when MQTT cannot say it.
    fn spell(&mut self, address: &Name) -> bool {
        if self.address.as_ref() == Some(address) {
            // Seen again; what was known stays known.
            if let (false, Some(aliases)) = (matches!(self.alias, Alias::Known(_)), &mut self.aliases) {
                self.alias = aliases.of(&self.topic);
            }
            return true;
        }
        self.topic.clear();
        self.address = None;
        if mqtt::encode_name(address, &mut self.topic).is_err() {
            return false;
        }
        self.address = Some(address.clone());
        self.alias = self.aliases.as_mut().map_or(Alias::Unused, |aliases| aliases.of(&self.topic));
        true
    }

    fn message(
        &mut self,
        out: &mut Rope,
        batch: &Batch,
        message: &Message,
        grant: &Grant,
        retained: bool,
        hop: Hop,
    ) -> bool {
        let seconds_left = match message.expires_at {
            Some(at) => match mapping::seconds_left(self.now, at) {
                Some(left) => Some(left),
                // What was sent is finished, be it late [MQTT-4.3.3-7], [MQTT-4.4.0-1].
                None if hop.dup => Some(0),
                None => return false, // [MQTT-3.3.2-5]
            },
            None => None,
        };
        let Ok(topic) = std::str::from_utf8(&self.topic) else { return false };
        let payload = batch.payload(message);
        let translated: PropertiesBuf;
        let properties = match self.version {
            Version::V5 if batch.face() == FACE => Properties::forwarded(batch.origin(message)),
            Version::V5 if message.properties.is_some() => {
                translated = mapping::from_canonical(message, payload);
                Properties::forwarded(translated.as_properties().raw())
            }
            _ => Properties::EMPTY,
        };
        let marked: PropertiesBuf;
        let properties = match self.version {
            Version::V5 if hop.redelivered || hop.stream_offset.is_some() => {
                marked = mapping::with_marks(properties.raw(), hop.redelivered, hop.stream_offset);
                Properties::forwarded(marked.as_properties().raw())
            }
            _ => properties,
        };
        let identifiers: SmallVec<[SubscriptionIdentifier; 4]> = match self.version {
            Version::V5 => grant.identifiers.iter().filter_map(|id| SubscriptionIdentifier::new(*id)).collect(),
            _ => SmallVec::new(),
        };
        let mut head = PublishHead {
            dup: hop.dup,
            qos: hop.qos,
            // [MQTT-3.3.1-8, -9, -12, -13]
            retain: retained || (grant.retain_as_published && message.retain),
            topic,
            packet_identifier: (hop.qos != QoS::AtMostOnce).then_some(hop.identifier),
            topic_alias: None,
            message_expiry_interval: seconds_left,
            subscription_identifiers: &identifiers,
            properties,
            payload_len: payload.len(),
        };
        match self.alias {
            Alias::Unused => {}
            Alias::New(number) => head.topic_alias = Some(number),
            Alias::Known(number) => (head.topic, head.topic_alias) = ("", Some(number)),
        }
        if self.packet_bytes_max != u32::MAX && head.encoded_len(self.version) > self.packet_bytes_max as usize {
            // An alias that is only being set must not be what makes it too large.
            head.topic_alias = head.topic_alias.filter(|_| head.topic.is_empty());
            if head.encoded_len(self.version) > self.packet_bytes_max as usize {
                return false;
            }
        }
        let set = head.topic_alias.filter(|_| !head.topic.is_empty());
        head.encode(self.version, out.tail());
        match payload.len() >= LINK_BYTES_MIN {
            true => out.put_shared(batch.payload_shared(message)),
            false => out.put_slice(payload),
        }
        if let (Some(number), Some(aliases)) = (set, &mut self.aliases) {
            aliases.set(number, &self.topic);
            self.alias = Alias::Known(number);
        }
        true
    }
}

fn frame_key(version: Version, retained: bool, retain_as_published: bool) -> u32 {
    let version = u32::from(version == Version::V5);
    u32::from(FACE.0) << 8 | version << 2 | u32::from(retained) << 1 | u32::from(retain_as_published)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{Bytes, BytesMut};
    use motet_core::message::{BatchBuilder, MessageParts, PublisherId};
    use std::sync::Arc;

    fn batch(parts: Vec<MessageParts<'_>>) -> Arc<Batch> {
        let mut builder = BatchBuilder::new();
        parts.into_iter().for_each(|p| builder.push(p));
        builder.finish(mqtt::decode_name("a/b").expect("a topic"), PublisherId(1), FACE)
    }

    fn direct(batch: Arc<Batch>, shared: bool) -> Direct {
        Direct { batch, grant: Arc::new(Grant::default()), retained: false, shared, transient_only: false }
    }

    #[test]
    fn a_batch_becomes_adjacent_packets_and_sharing_changes_no_byte() {
        let batch = batch(vec![
            MessageParts { payload: b"one", ..Default::default() },
            MessageParts { payload: b"", ..Default::default() },
        ]);
        let expected: &[u8] = b"\x30\x08\x00\x03a/bone\x30\x05\x00\x03a/b";
        for shared in [false, true] {
            let mut out = Rope::new();
            Encoder::new(Version::V311, u32::MAX, Now::default()).direct(&mut out, &direct(batch.clone(), shared));
            assert_eq!(out.take_bytes(), Bytes::from_static(expected), "shared: {shared}");
        }
    }

    #[test]
    fn what_has_expired_or_is_too_large_is_not_sent() {
        let now = Now { wall: motet_core::time::WallMillis(10), ..Now::default() };
        let expired = batch(vec![MessageParts { expires_at: Some(now.wall), ..Default::default() }]);
        let mut out = Rope::new();
        Encoder::new(Version::V5, u32::MAX, now).direct(&mut out, &direct(expired, true));
        assert!(out.is_empty());
        let large = batch(vec![MessageParts { payload: &[0; 100], ..Default::default() }]);
        Encoder::new(Version::V5, 64, now).direct(&mut out, &direct(large, true));
        assert!(out.is_empty());
    }

    #[test]
    fn a_large_payload_is_linked() {
        let large = batch(vec![MessageParts { payload: &[7; 4096], ..Default::default() }]);
        let mut out = Rope::new();
        Encoder::new(Version::V311, u32::MAX, Now::default()).direct(&mut out, &direct(large, false));
        assert_eq!(out.pieces().count(), 2);
        let mut all = BytesMut::new();
        out.pieces().for_each(|p| all.extend_from_slice(p));
        assert_eq!(all.len(), 1 + 2 + 2 + 3 + 4096);
    }
}
