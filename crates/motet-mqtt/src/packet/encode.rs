//! What every packet's encoder has in common: fixed header, then body; and how a packet is made to fit.

use bytes::BufMut;

use super::wire;
use super::{Properties, PropertyIdentifier, PropertySet, Version};
use crate::error::EncodeError;

/// What may be left out, in this order, when a packet exceeds the peer's Maximum Packet Size.
const DROPPABLE: [PropertySet; 2] = [
    PropertySet::NONE.with(PropertyIdentifier::UserProperty),
    PropertySet::NONE.with(PropertyIdentifier::UserProperty).with(PropertyIdentifier::ReasonString),
];

/// A packet that can be written.
///
/// Fields must fit the wire (strings up to 65535 bytes, the packet up to 256 MiB): they come from a decoder, from
/// `PropertiesBuf` or through `check_topic_name`. Longer ones panic.
pub trait Encode {
    /// May user properties and the reason string be dropped to make it fit? Not those of an application.
    const DROPS_PROPERTIES: bool = false;

    /// The first byte: type and flags.
    fn first_byte(&self) -> u8;

    /// The packet's properties (not the will's).
    fn properties(&self) -> Properties<'_>;

    /// Bytes after the fixed header, with these properties in place of its own.
    fn body_len(&self, version: Version, properties: Properties<'_>) -> usize;

    /// Appends what follows the fixed header, with these properties in place of its own.
    fn encode_body(&self, version: Version, properties: Properties<'_>, out: &mut impl BufMut);

    /// Bytes of the whole packet.
    fn encoded_len(&self, version: Version) -> usize {
        packet_len(self.body_len(version, self.properties()))
    }

    /// Appends the whole packet.
    fn encode(&self, version: Version, out: &mut impl BufMut) {
        encode_with(self, version, self.properties(), out);
    }

    /// Appends the packet in the fullest form of at most `max` bytes, dropping user properties first and then the
    /// reason string where the specification allows it [MQTT-3.2.2-19, -20, MQTT-3.4.2-2, -3, MQTT-3.14.2-3, -4].
    ///
    /// # Errors
    /// Even the shortest form is longer; nothing is appended, and the packet must not be sent [MQTT-3.1.2-27].
    fn encode_within(&self, version: Version, max: u32, out: &mut impl BufMut) -> Result<(), EncodeError> {
        let fits = |properties: Properties<'_>| packet_len(self.body_len(version, properties)) <= max as usize;
        let properties = self.properties();
        if fits(properties) {
            encode_with(self, version, properties, out);
            return Ok(());
        }
        let mut len = self.encoded_len(version);
        for dropped in DROPPABLE.into_iter().filter(|_| Self::DROPS_PROPERTIES) {
            let shorter = properties.without(dropped);
            if fits(shorter.as_properties()) {
                encode_with(self, version, shorter.as_properties(), out);
                return Ok(());
            }
            len = packet_len(self.body_len(version, shorter.as_properties()));
        }
        Err(EncodeError::PacketTooLarge { len, max })
    }
}

fn encode_with<P: Encode + ?Sized>(packet: &P, version: Version, properties: Properties<'_>, out: &mut impl BufMut) {
    out.put_u8(packet.first_byte());
    wire::put_variable_byte_integer(out, wire::length(packet.body_len(version, properties)));
    packet.encode_body(version, properties, out);
}

/// Bytes of a packet with a body of this length.
pub(crate) fn packet_len(body_len: usize) -> usize {
    1 + wire::variable_byte_integer_len(wire::length(body_len)) + body_len
}
