//! Reason codes [2.4]: one enum, one table that says which packet may carry which.

use super::{PacketKind, Version};
use crate::error::{DecodeError, ReturnCode};

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $value:literal $name:ident: $($kind:ident)*;)*) => {
        /// Why, in one byte; 0x80 and above are failures. Code 0 is also "Normal disconnection" and "Granted QoS 0".
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum ReasonCode { $($(#[$doc])* $name = $value,)* }

        impl ReasonCode {
            /// The code for this byte, if the specification has one.
            pub fn from_byte(byte: u8) -> Option<Self> {
                match byte { $($value => Some(Self::$name),)* _ => None }
            }

            /// May a packet of this kind carry it?
            pub fn is_valid_in(self, kind: PacketKind) -> bool {
                match self { $(Self::$name => matches!(kind, $(PacketKind::$kind)|*),)* }
            }
        }
    };
}

// Table 2-6 of MQTT 5.0. Where it and a packet's own table differ, the union.
reason_codes! {
    /// Success, normal disconnection, granted QoS 0.
    0x00 Success: Connack Puback Pubrec Pubrel Pubcomp Suback Unsuback Auth Disconnect;
    /// The subscription is granted QoS 1.
    0x01 GrantedQoS1: Suback;
    /// The subscription is granted QoS 2.
    0x02 GrantedQoS2: Suback;
    /// The client leaves and wants its will published.
    0x04 DisconnectWithWillMessage: Disconnect;
    /// Accepted, but nobody subscribes.
    0x10 NoMatchingSubscribers: Puback Pubrec;
    /// There was nothing to unsubscribe from.
    0x11 NoSubscriptionExisted: Unsuback;
    /// The exchange goes on.
    0x18 ContinueAuthentication: Auth;
    /// The client starts another exchange.
    0x19 ReAuthenticate: Auth;
    /// Failure without a reason the sender wants to tell.
    0x80 UnspecifiedError: Connack Puback Pubrec Suback Unsuback Disconnect;
    /// The packet could not be parsed.
    0x81 MalformedPacket: Connack Disconnect;
    /// The packet broke the rules.
    0x82 ProtocolError: Connack Disconnect;
    /// Valid, but not accepted here.
    0x83 ImplementationSpecificError: Connack Puback Pubrec Suback Unsuback Disconnect;
    /// The level of the protocol is not spoken here.
    0x84 UnsupportedProtocolVersion: Connack;
    /// The client identifier is not allowed.
    0x85 ClientIdentifierNotValid: Connack;
    /// Wrong user name or password.
    0x86 BadUserNameOrPassword: Connack;
    /// The principal may not do this.
    0x87 NotAuthorized: Connack Puback Pubrec Suback Unsuback Disconnect;
    /// The server is not available.
    0x88 ServerUnavailable: Connack;
    /// The server is busy; try later.
    0x89 ServerBusy: Connack Disconnect;
    /// The client is banned by an operator.
    0x8A Banned: Connack;
    /// The server goes down.
    0x8B ServerShuttingDown: Disconnect;
    /// The authentication method is not supported, or is not the one in use.
    0x8C BadAuthenticationMethod: Connack Disconnect;
    /// Nothing arrived for 1.5 times the keep alive.
    0x8D KeepAliveTimeout: Disconnect;
    /// Another connection uses the same client identifier.
    0x8E SessionTakenOver: Disconnect;
    /// Well-formed topic filter, not accepted.
    0x8F TopicFilterInvalid: Suback Unsuback Disconnect;
    /// Well-formed topic name, not accepted.
    0x90 TopicNameInvalid: Connack Puback Pubrec Disconnect;
    /// The packet identifier is in use.
    0x91 PacketIdentifierInUse: Puback Pubrec Suback Unsuback;
    /// The packet identifier is not known.
    0x92 PacketIdentifierNotFound: Pubrel Pubcomp;
    /// More unacknowledged messages than agreed.
    0x93 ReceiveMaximumExceeded: Disconnect;
    /// A topic alias beyond the agreed maximum.
    0x94 TopicAliasInvalid: Disconnect;
    /// The packet exceeds the agreed size.
    0x95 PacketTooLarge: Connack Disconnect;
    /// Too many messages per time.
    0x96 MessageRateTooHigh: Disconnect;
    /// A quota is exceeded.
    0x97 QuotaExceeded: Connack Puback Pubrec Suback Disconnect;
    /// An operator closed the connection.
    0x98 AdministrativeAction: Disconnect;
    /// The payload is not in the format its indicator promises.
    0x99 PayloadFormatInvalid: Connack Puback Pubrec Disconnect;
    /// Retained messages are not supported.
    0x9A RetainNotSupported: Connack Disconnect;
    /// The QoS is above the announced maximum.
    0x9B QoSNotSupported: Connack Disconnect;
    /// Use another server for now.
    0x9C UseAnotherServer: Connack Disconnect;
    /// Use another server from now on.
    0x9D ServerMoved: Connack Disconnect;
    /// Shared subscriptions are not supported.
    0x9E SharedSubscriptionsNotSupported: Suback Disconnect;
    /// Too many connections per time.
    0x9F ConnectionRateExceeded: Connack Disconnect;
    /// The connection lasted as long as it may.
    0xA0 MaximumConnectTime: Disconnect;
    /// Subscription identifiers are not supported.
    0xA1 SubscriptionIdentifiersNotSupported: Suback Disconnect;
    /// Wildcard subscriptions are not supported.
    0xA2 WildcardSubscriptionsNotSupported: Suback Disconnect;
}

impl ReasonCode {
    /// 0x80 and above.
    pub fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    /// The byte as a reason code of this packet.
    #[inline]
    pub(crate) fn decode(kind: PacketKind, code: u8) -> Result<Self, DecodeError> {
        Self::from_byte(code).filter(|reason| reason.is_valid_in(kind)).ok_or(DecodeError::ReasonCode { kind, code })
    }

    /// A SUBACK payload byte. 3.1.1 knows three grants and one failure; 3.1 has grants only, but servers of its time
    /// send the failure too.
    pub(crate) fn decode_suback(version: Version, code: u8) -> Result<Self, DecodeError> {
        let reason = Self::decode(PacketKind::Suback, code)?;
        match version {
            Version::V31 | Version::V311 if code > 2 && code != 0x80 => {
                Err(DecodeError::ReasonCode { kind: PacketKind::Suback, code })
            }
            _ => Ok(reason),
        }
    }

    /// The SUBACK payload byte for this version [MQTT-3.9.3-2 of 3.1.1].
    pub(crate) fn suback_byte(self, version: Version) -> u8 {
        match version {
            Version::V5 => self as u8,
            Version::V31 | Version::V311 => (self as u8).min(Self::UnspecifiedError as u8),
        }
    }

    /// The 3.x CONNACK return code that says the same. `None`: 3.x has no word for it.
    pub fn return_code(self) -> Option<ReturnCode> {
        match self {
            Self::UnsupportedProtocolVersion => Some(ReturnCode::UnacceptableProtocolVersion),
            Self::ClientIdentifierNotValid => Some(ReturnCode::IdentifierRejected),
            Self::ServerUnavailable
            | Self::ServerBusy
            | Self::QuotaExceeded
            | Self::UseAnotherServer
            | Self::ServerMoved
            | Self::ConnectionRateExceeded => Some(ReturnCode::ServerUnavailable),
            Self::BadUserNameOrPassword | Self::BadAuthenticationMethod => Some(ReturnCode::BadUserNameOrPassword),
            Self::NotAuthorized | Self::Banned => Some(ReturnCode::NotAuthorized),
            _ => None,
        }
    }

    /// The reason code for a 3.x CONNACK return code; `None` for the reserved 6 to 255.
    pub(crate) fn from_return_code(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Success,
            1 => Self::UnsupportedProtocolVersion,
            2 => Self::ClientIdentifierNotValid,
            3 => Self::ServerUnavailable,
            4 => Self::BadUserNameOrPassword,
            5 => Self::NotAuthorized,
            _ => return None,
        })
    }

    /// This code if CONNACK may carry it, else the general one: not every DISCONNECT reason exists for CONNACK.
    pub(crate) fn for_connack(self) -> Self {
        if self.is_valid_in(PacketKind::Connack) { self } else { Self::ProtocolError }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_codes_agree() {
        let codes = (0..=255).filter_map(ReasonCode::from_byte).collect::<Vec<_>>();
        assert_eq!(codes.len(), 43);
        assert!(codes.iter().all(|&code| ReasonCode::from_byte(code as u8) == Some(code)));
    }

    #[test]
    fn each_packet_carries_as_many_codes_as_its_table_in_the_specification() {
        let count = |kind| (0..=255).filter(|&byte| ReasonCode::decode(kind, byte).is_ok()).count();
        assert_eq!(count(PacketKind::Connack), 22);
        assert_eq!(count(PacketKind::Puback), 9);
        assert_eq!(count(PacketKind::Pubrec), 9);
        assert_eq!(count(PacketKind::Pubrel), 2);
        assert_eq!(count(PacketKind::Pubcomp), 2);
        assert_eq!(count(PacketKind::Suback), 12);
        assert_eq!(count(PacketKind::Unsuback), 7);
        assert_eq!(count(PacketKind::Auth), 3);
        assert_eq!(count(PacketKind::Disconnect), 29 + 1); // 0x8C is in table 2-6, not in 3.14.2.1
        assert_eq!(count(PacketKind::Publish), 0);
    }

    #[test]
    fn return_codes_round_trip() {
        for byte in 1..=5 {
            assert_eq!(ReasonCode::from_return_code(byte).unwrap().return_code().map(|code| code as u8), Some(byte));
        }
        assert_eq!(ReasonCode::from_return_code(6), None);
    }
}
