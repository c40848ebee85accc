//! Properties of MQTT 5 [2.2.2]: one table of identifier, type, where each is allowed, and its accessor.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::BufMut;

use super::properties::Properties;
use super::topic;
use super::wire::{self, Reader, VARIABLE_BYTE_INTEGER_MAX};
use super::{QoS, SubscriptionIdentifier};
use crate::error::{DecodeError, EncodeError};

/// Where a property block stands: in the variable header of a packet, or with the will in CONNECT's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "named after the packets")]
pub enum Place {
    Connect,
    Will,
    Connack,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Suback,
    Unsubscribe,
    Unsuback,
    Disconnect,
    Auth,
}

/// A set of property identifiers; all of them are below 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PropertySet(u64);

impl PropertySet {
    /// No property.
    pub const NONE: Self = Self(0);

    /// This set and one more.
    #[must_use]
    pub const fn with(self, identifier: PropertyIdentifier) -> Self {
        Self(self.0 | 1 << identifier as u8)
    }

    /// Is it in?
    pub const fn contains(self, identifier: PropertyIdentifier) -> bool {
        self.0 & 1 << identifier as u8 != 0
    }

    /// Have the two sets a member in common?
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Notes `identifier`, which must be below 64; false if it was there.
    #[inline]
    fn insert(&mut self, identifier: u8) -> bool {
        let bit = 1 << identifier;
        let fresh = self.0 & bit == 0;
        self.0 |= bit;
        fresh
    }
}

macro_rules! properties {
    ($($(#[$doc:meta])* $id:literal $name:ident($type:ty) $accessor:ident in $($place:ident)* $(, check $check:path)?;)*) => {
        /// What a property is called on the wire.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum PropertyIdentifier {
            $($(#[$doc])* $name = $id,)*
            /// A name and a value of the users' own.
            UserProperty = 0x26,
        }

        /// One property.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Property<'a> {
            $($(#[$doc])* $name($type),)*
            /// A name and a value of the users' own; may repeat, order is kept.
            UserProperty(&'a str, &'a str),
        }

        /// For each identifier a bit per `Place`; 0 is an unknown identifier.
        const PLACES: [u16; 64] = {
            let mut places = [0; 64];
            $(places[$id] = $(1 << Place::$place as u8)|*;)*
            places[PropertyIdentifier::UserProperty as usize] = u16::MAX;
            places
        };

        impl<'a> Property<'a> {
            /// Its identifier.
            pub fn identifier(&self) -> PropertyIdentifier {
                match self {
                    $(Self::$name(_) => PropertyIdentifier::$name,)*
                    Self::UserProperty(..) => PropertyIdentifier::UserProperty,
                }
            }

            /// Reads the value behind `identifier`.
            #[inline]
            fn read_value(identifier: u8, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                match identifier {
                    $($id => {
                        let value = <$type>::read(identifier, reader)?;
                        $($check(value)?;)?
                        Ok(Self::$name(value))
                    })*
                    0x26 => Ok(Self::UserProperty(reader.string()?, reader.string()?)),
                    _ => Err(DecodeError::UnknownProperty { identifier }),
                }
            }

            fn check_value(&self) -> Result<(), EncodeError> {
                match self {
                    $(Self::$name(value) => {
                        value.check()?;
                        $($check(value)?;)?
                        Ok(())
                    })*
                    Self::UserProperty(name, value) => { name.check()?; value.check() }
                }
            }

            fn write_value(&self, out: &mut impl BufMut) {
                match self {
                    $(Self::$name(value) => value.write(out),)*
                    Self::UserProperty(name, value) => { name.write(out); value.write(out); }
                }
            }
        }

        impl<'a> Properties<'a> {
            $($(#[$doc])*
            pub fn $accessor(&self) -> Option<$type> {
                self.find(PropertyIdentifier::$name, |property| match property {
                    Property::$name(value) => Some(value),
                    _ => None,
                })
            })*
        }
    };
}

// Table 2-4. User Property, the only one of two values and allowed everywhere, is spelled out above.
properties! {
    /// Is the payload UTF-8 text?
    0x01 PayloadFormatIndicator(bool) payload_format_indicator in Publish Will;
    /// Seconds until the message is of no use.
    0x02 MessageExpiryInterval(u32) message_expiry_interval in Publish Will;
    /// What the payload is; by custom a MIME type.
    0x03 ContentType(&'a str) content_type in Publish Will;
    /// Topic name for the answer [MQTT-3.3.2-14].
    0x08 ResponseTopic(&'a str) response_topic in Publish Will, check topic::check_name;
    /// What the answer must bring along.
    0x09 CorrelationData(&'a [u8]) correlation_data in Publish Will;
    /// Number of a subscription; may repeat in PUBLISH, where this is the first.
    0x0B SubscriptionIdentifier(SubscriptionIdentifier) subscription_identifier in Publish Subscribe;
    /// Seconds the session outlives the connection; `u32::MAX` is for ever.
    0x11 SessionExpiryInterval(u32) session_expiry_interval in Connect Connack Disconnect;
    /// The client identifier the server chose.
    0x12 AssignedClientIdentifier(&'a str) assigned_client_identifier in Connack;
    /// The keep alive in seconds the client must use instead of its own.
    0x13 ServerKeepAlive(u16) server_keep_alive in Connack;
    /// Name of the method of enhanced authentication.
    0x15 AuthenticationMethod(&'a str) authentication_method in Connect Connack Auth;
    /// Data of the authentication method.
    0x16 AuthenticationData(&'a [u8]) authentication_data in Connect Connack Auth;
    /// May the server send reason strings and user properties outside PUBLISH, CONNACK and DISCONNECT?
    0x17 RequestProblemInformation(bool) request_problem_information in Connect;
    /// Seconds between the loss of the connection and the will.
    0x18 WillDelayInterval(u32) will_delay_interval in Will;
    /// Does the client ask for Response Information?
    0x19 RequestResponseInformation(bool) request_response_information in Connect;
    /// Basis for response topics.
    0x1A ResponseInformation(&'a str) response_information in Connack;
    /// Another server to use.
    0x1C ServerReference(&'a str) server_reference in Connack Disconnect;
    /// Diagnosis for a human.
    0x1F ReasonString(&'a str) reason_string in Connack Puback Pubrec Pubrel Pubcomp Suback Unsuback Disconnect Auth;
    /// How many unacknowledged QoS 1 and 2 messages the sender of this takes.
    0x21 ReceiveMaximum(NonZeroU16) receive_maximum in Connect Connack;
    /// The highest topic alias the sender of this takes; 0 is none.
    0x22 TopicAliasMaximum(u16) topic_alias_maximum in Connect Connack;
    /// A number that stands for the topic name on this connection.
    0x23 TopicAlias(NonZeroU16) topic_alias in Publish;
    /// The highest QoS the server takes, 0 or 1.
    0x24 MaximumQoS(QoS) maximum_qos in Connack;
    /// Does the server retain?
    0x25 RetainAvailable(bool) retain_available in Connack;
    /// The largest packet in bytes the sender of this takes.
    0x27 MaximumPacketSize(NonZeroU32) maximum_packet_size in Connect Connack;
    /// Does the server take wildcards?
    0x28 WildcardSubscriptionAvailable(bool) wildcard_subscription_available in Connack;
    /// Does the server take subscription identifiers?
    0x29 SubscriptionIdentifierAvailable(bool) subscription_identifier_available in Connack;
    /// Does the server take shared subscriptions?
    0x2A SharedSubscriptionAvailable(bool) shared_subscription_available in Connack;
}

impl<'a> Property<'a> {
    /// Reads one property that belongs to `place`, noting it in `seen`.
    #[inline]
    pub(crate) fn read(reader: &mut Reader<'a>, place: Place, seen: &mut PropertySet) -> Result<Self, DecodeError> {
        let identifier = reader.u8()?;
        check_place(identifier, place, seen)?;
        Self::read_value(identifier, reader)
    }

    /// Reads one property of a block that was validated.
    #[inline]
    pub(crate) fn read_valid(reader: &mut Reader<'a>) -> Option<Self> {
        let identifier = reader.u8().ok()?;
        Self::read_value(identifier, reader).ok()
    }

    /// Could the peer accept this here, given what is there already?
    pub(crate) fn check(&self, place: Place, seen: &mut PropertySet) -> Result<(), EncodeError> {
        check_place(self.identifier() as u8, place, seen)?;
        self.check_value()
    }

    pub(crate) fn write(&self, out: &mut impl BufMut) {
        out.put_u8(self.identifier() as u8);
        self.write_value(out);
    }
}

#[inline]
fn check_place(identifier: u8, place: Place, seen: &mut PropertySet) -> Result<(), DecodeError> {
    let places = PLACES.get(usize::from(identifier)).copied().unwrap_or(0);
    if places == 0 {
        return Err(DecodeError::UnknownProperty { identifier });
    }
    if places & 1 << place as u8 == 0 {
        return Err(DecodeError::PropertyNotAllowed { identifier });
    }
    let fresh = seen.insert(identifier);
    let repeats = identifier == PropertyIdentifier::UserProperty as u8
        || identifier == PropertyIdentifier::SubscriptionIdentifier as u8 && place == Place::Publish;
    if fresh || repeats { Ok(()) } else { Err(DecodeError::DuplicateProperty { identifier }) }
}

/// A type of property value.
trait Value<'a>: Sized {
    fn read(identifier: u8, reader: &mut Reader<'a>) -> Result<Self, DecodeError>;
    fn write(&self, out: &mut impl BufMut);
    /// Can it be written so that the peer accepts it?
    fn check(&self) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl Value<'_> for bool {
    fn read(identifier: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::PropertyValue { identifier }),
        }
    }
    fn write(&self, out: &mut impl BufMut) {
        out.put_u8(u8::from(*self));
    }
}

impl Value<'_> for QoS {
    fn read(identifier: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => Ok(QoS::AtMostOnce),
            1 => Ok(QoS::AtLeastOnce),
            _ => Err(DecodeError::PropertyValue { identifier }), // 3.2.2.3.4: 2 is said by leaving it out
        }
    }
    fn write(&self, out: &mut impl BufMut) {
        out.put_u8(*self as u8);
    }
    fn check(&self) -> Result<(), EncodeError> {
        match self {
            QoS::ExactlyOnce => {
                Err(DecodeError::PropertyValue { identifier: PropertyIdentifier::MaximumQoS as u8 }.into())
            }
            _ => Ok(()),
        }
    }
}

impl Value<'_> for u16 {
    fn read(_: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.u16()
    }
    fn write(&self, out: &mut impl BufMut) {
        out.put_u16(*self);
    }
}

impl Value<'_> for NonZeroU16 {
    fn read(identifier: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        NonZeroU16::new(reader.u16()?).ok_or(match identifier {
            0x23 => DecodeError::TopicAliasZero, // [MQTT-3.3.2-8]
            _ => DecodeError::PropertyValue { identifier },
        })
    }
    fn write(&self, out: &mut impl BufMut) {
        out.put_u16(self.get());
    }
}

impl Value<'_> for u32 {
    fn read(_: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.u32()
    }
    fn write(&self, out: &mut impl BufMut) {
        out.put_u32(*self);
    }
}

impl Value<'_> for NonZeroU32 {
    fn read(identifier: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        NonZeroU32::new(reader.u32()?).ok_or(DecodeError::PropertyValue { identifier })
    }
    fn write(&self, out: &mut impl BufMut) {
        out.put_u32(self.get());
    }
}

impl Value<'_> for SubscriptionIdentifier {
    fn read(identifier: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::new(reader.variable_byte_integer()?).ok_or(DecodeError::PropertyValue { identifier })
    }
    fn write(&self, out: &mut impl BufMut) {
        wire::put_variable_byte_integer(out, self.get());
    }
}

impl<'a> Value<'a> for &'a str {
    fn read(_: u8, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.string()
    }
    fn write(&self, out: &mut impl BufMut) {
        wire::put_binary(out, self.as_bytes());
    }
    fn check(&self) -> Result<(), EncodeError> {
        self.as_bytes().check()?;
        Ok(wire::check_no_nul(self)?)
    }
}

impl<'a> Value<'a> for &'a [u8] {
    fn read(_: u8, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.binary()
    }
    fn write(&self, out: &mut impl BufMut) {
        wire::put_binary(out, self);
    }
    fn check(&self) -> Result<(), EncodeError> {
        match u16::try_from(self.len()) {
            Ok(_) => Ok(()),
            Err(_) => Err(EncodeError::FieldTooLong { len: self.len() }),
        }
    }
}

const _: () = assert!(SubscriptionIdentifier::MAX.get() == VARIABLE_BYTE_INTEGER_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_allows_what_table_2_4_lists() {
        let count = |place: Place| PLACES.iter().filter(|&&places| places & 1 << place as u8 != 0).count();
        assert_eq!(count(Place::Connect), 9);
        assert_eq!(count(Place::Will), 7);
        assert_eq!(count(Place::Connack), 17);
        assert_eq!(count(Place::Publish), 8);
        for ack in [Place::Puback, Place::Pubrec, Place::Pubrel, Place::Pubcomp, Place::Suback, Place::Unsuback] {
            assert_eq!(count(ack), 2);
        }
        assert_eq!(count(Place::Subscribe), 2);
        assert_eq!(count(Place::Unsubscribe), 1);
        assert_eq!(count(Place::Disconnect), 4);
        assert_eq!(count(Place::Auth), 4);
        assert_eq!(PLACES.iter().filter(|&&places| places != 0).count(), 27);
    }
}
