//! A property block: validated once when read, kept as raw bytes, looked into only where somebody asks.

use bytes::BufMut;

pub use super::property::{Place, Property, PropertyIdentifier, PropertySet};
use super::wire::{self, Reader};
use super::{SubscriptionIdentifier, Version};
use crate::error::{DecodeError, EncodeError};

/// The properties of one packet (or will), without their length prefix. Always empty before MQTT 5.
///
/// There is an accessor per property; each answers at once if the property is absent and otherwise walks the block.
/// Whoever wants several should walk once with `iter`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Properties<'a> {
    raw: &'a [u8],
    present: PropertySet,
}

/// The properties of PUBLISH.
pub type PublishProperties<'a> = Properties<'a>;

impl<'a> Properties<'a> {
    /// No properties.
    pub const EMPTY: Self = Self { raw: &[], present: PropertySet::NONE };

    /// Reads and validates the block at this place; versions before 5 have none.
    #[inline]
    pub(crate) fn read(reader: &mut Reader<'a>, version: Version, place: Place) -> Result<Self, DecodeError> {
        if version != Version::V5 {
            return Ok(Self::EMPTY);
        }
        let len = reader.variable_byte_integer()?;
        if len == 0 {
            return Ok(Self::EMPTY);
        }
        let raw = reader.bytes(len as usize)?;
        let mut present = PropertySet::NONE;
        let mut block = Reader::new(raw);
        while !block.is_empty() {
            Property::read(&mut block, place, &mut present)?;
        }
        Ok(Self { raw, present })
    }

    /// A block that was validated when it came in and holds nothing of `PublishHead::PER_SUBSCRIBER`; to be written, not
    /// looked into.
    pub(crate) fn forwarded(raw: &'a [u8]) -> Self {
        Self { raw, present: PropertySet::NONE }
    }

    /// Every property, in the order of the wire.
    pub fn iter(&self) -> impl Iterator<Item = Property<'a>> + use<'a> {
        let mut reader = Reader::new(self.raw);
        std::iter::from_fn(move || Property::read_valid(&mut reader))
    }

    /// The users' own names and values, in order.
    pub fn user_properties(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.unless_absent(PropertyIdentifier::UserProperty).filter_map(|property| match property {
            Property::UserProperty(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// All subscription identifiers. A client must not send any in PUBLISH [MQTT-3.3.4-6]; that is for the machine.
    pub fn subscription_identifiers(&self) -> impl Iterator<Item = SubscriptionIdentifier> + use<'a> {
        self.unless_absent(PropertyIdentifier::SubscriptionIdentifier).filter_map(|property| match property {
            Property::SubscriptionIdentifier(identifier) => Some(identifier),
            _ => None,
        })
    }

    /// Which properties occur.
    pub fn present(&self) -> PropertySet {
        self.present
    }

    /// Does it occur?
    pub fn has(&self, identifier: PropertyIdentifier) -> bool {
        self.present.contains(identifier)
    }

    /// Nothing here?
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// The block as it is on the wire, without its length.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// A copy that lacks the properties in `set`.
    pub fn without(&self, set: PropertySet) -> PropertiesBuf {
        let mut copy = PropertiesBuf::default();
        if !self.present.intersects(set) {
            copy.raw.extend_from_slice(self.raw);
            copy.present = self.present;
            return copy;
        }
        for property in self.iter().filter(|property| !set.contains(property.identifier())) {
            property.write(&mut copy.raw);
            copy.present = copy.present.with(property.identifier());
        }
        copy
    }

    #[inline]
    pub(crate) fn find<T>(
        &self,
        identifier: PropertyIdentifier,
        pick: impl Fn(Property<'a>) -> Option<T>,
    ) -> Option<T> {
        if self.has(identifier) { self.iter().find_map(pick) } else { None }
    }

    fn unless_absent(&self, identifier: PropertyIdentifier) -> impl Iterator<Item = Property<'a>> + use<'a> {
        if self.has(identifier) { self.iter() } else { Self::EMPTY.iter() }
    }

    /// [3.1.2.11.10] Authentication Data needs an Authentication Method.
    pub(crate) fn check_authentication(&self) -> Result<(), DecodeError> {
        if self.has(PropertyIdentifier::AuthenticationData) && !self.has(PropertyIdentifier::AuthenticationMethod) {
            return Err(DecodeError::AuthenticationDataWithoutMethod);
        }
        Ok(())
    }

    /// Bytes of the block with its length; 0 before MQTT 5.
    pub(crate) fn encoded_len(&self, version: Version) -> usize {
        match version {
            Version::V5 => wire::variable_byte_integer_len(wire::length(self.raw.len())) + self.raw.len(),
            Version::V31 | Version::V311 => 0,
        }
    }

    pub(crate) fn encode(&self, version: Version, out: &mut impl BufMut) {
        if version == Version::V5 {
            wire::put_variable_byte_integer(out, wire::length(self.raw.len()));
            out.put_slice(self.raw);
        }
    }
}

impl std::fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Properties being written. What the peer would have to refuse is not taken.
#[derive(Clone, Default)]
pub struct PropertiesBuf {
    raw: Vec<u8>,
    present: PropertySet,
}

impl PropertiesBuf {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `property` to a block that will stand at `place`, which must be the same at every call.
    ///
    /// # Errors
    /// It does not belong there, is there already, or its value cannot be sent (U+0000, longer than 65535 bytes,
    /// out of range). Nothing is appended then.
    pub fn push(&mut self, place: Place, property: Property<'_>) -> Result<(), EncodeError> {
        let mut present = self.present;
        property.check(place, &mut present)?;
        self.present = present;
        property.write(&mut self.raw);
        Ok(())
    }

    /// A view to put into a packet.
    pub fn as_properties(&self) -> Properties<'_> {
        Properties { raw: &self.raw, present: self.present }
    }
}

impl std::fmt::Debug for PropertiesBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_properties().fmt(f)
    }
}
