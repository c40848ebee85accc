//! What can be wrong with a packet, sorted by fault, and the one table that says how the peer is told.
//!
//! MQTT 5 answers with a reason code (CONNACK before the connection stands, DISCONNECT after), MQTT 3.x knows
//! return codes in CONNACK only and otherwise closes. `DecodeError::verdict` holds one row per error with both,
//! and the statement of the specification that was violated (MQTT 5 numbering unless marked).

use crate::packet::{PacketKind, ReasonCode, Version};

/// Why bytes from a peer are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    // The bytes are malformed: they cannot be parsed according to the specification.
    /// Type 0 in the fixed header.
    #[error("packet type 0 is reserved")]
    ReservedPacketType,
    /// AUTH in a version that does not have it.
    #[error("{kind:?} does not exist in {version:?}")]
    PacketTypeNotInVersion {
        /// The packet type received.
        kind: PacketKind,
        /// The version the connection speaks.
        version: Version,
    },
    /// The low half of the first byte is not the one this type prescribes.
    #[error("{kind:?} with fixed header flags {flags:#06b}")]
    FixedHeaderFlags {
        /// The packet type received.
        kind: PacketKind,
        /// The four flag bits received.
        flags: u8,
    },
    /// Both QoS bits are set.
    #[error("QoS 3 does not exist")]
    QoS3,
    /// DUP on a message that can never be a re-delivery.
    #[error("DUP is set on a QoS 0 message")]
    DupWithQoS0,
    /// A variable byte integer whose fourth byte still announces another.
    #[error("a variable byte integer is longer than four bytes")]
    IntegerTooLong,
    /// A variable byte integer padded with empty groups.
    #[error("a variable byte integer uses more bytes than its value needs")]
    IntegerNotMinimal,
    /// A field reaches past the end of its packet or property block.
    #[error("a field reaches past the end of the packet")]
    Truncated,
    /// Bytes after the last field.
    #[error("{count} bytes follow the last field")]
    TrailingBytes {
        /// How many bytes were left over.
        count: usize,
    },
    /// A string is not well-formed UTF-8 (this includes encoded surrogates).
    #[error("a string is not well-formed UTF-8")]
    InvalidUtf8,
    /// A string contains U+0000.
    #[error("a string contains U+0000")]
    NulInString,
    /// A topic name contains `+` or `#`.
    #[error("a topic name contains a wildcard")]
    TopicNameWildcard,
    /// A topic filter of zero length.
    #[error("a topic filter is empty")]
    TopicFilterEmpty,
    /// `#` that is not the last level by itself.
    #[error("`#` must be the whole last level of a topic filter")]
    MultiLevelWildcard,
    /// `+` that shares its level with other characters.
    #[error("`+` must be a whole level of a topic filter")]
    SingleLevelWildcard,
    /// `$share/` without a name, or without anything behind the name.
    #[error("a shared subscription needs a share name and a topic filter")]
    ShareNameMissing,
    /// A share name with a wildcard in it.
    #[error("a share name contains a wildcard")]
    ShareNameWildcard,
    /// Bit 0 of the connect flags.
    #[error("the reserved connect flag is set")]
    ConnectReservedFlag,
    /// Will QoS or Will Retain without the Will Flag.
    #[error("will QoS or will retain is set without the will flag")]
    WillFlagsWithoutWill,
    /// A password flag without a user name flag, before MQTT 5.
    #[error("a password without a user name needs MQTT 5")]
    PasswordWithoutUserName,
    /// Reserved bits of the connect acknowledge flags.
    #[error("reserved connect acknowledge flags are set")]
    ConnackReservedFlags,
    /// Reserved bits of the subscription options.
    #[error("reserved bits of the subscription options are set")]
    SubscriptionOptionsReserved,
    /// A property identifier the specification does not know.
    #[error("property identifier {identifier:#04x} is unknown")]
    UnknownProperty {
        /// First byte of the identifier received.
        identifier: u8,
    },
    /// A property which does not belong to this packet.
    #[error("property {identifier:#04x} does not belong to this packet")]
    PropertyNotAllowed {
        /// The property identifier.
        identifier: u8,
    },

    // The peer broke the rules: the packet can be parsed, but must not be sent.
    /// A property that may appear once appears again.
    #[error("property {identifier:#04x} appears twice")]
    DuplicateProperty {
        /// The property identifier.
        identifier: u8,
    },
    /// A property value out of its range.
    #[error("property {identifier:#04x} has a value out of range")]
    PropertyValue {
        /// The property identifier.
        identifier: u8,
    },
    /// Topic alias 0.
    #[error("topic alias 0 does not exist")]
    TopicAliasZero,
    /// Packet identifier 0.
    #[error("packet identifier 0 does not exist")]
    PacketIdentifierZero,
    /// A PUBLISH, will or response topic of zero length, without a topic alias that could stand for it.
    #[error("a topic name is empty")]
    TopicNameEmpty,
    /// SUBSCRIBE or UNSUBSCRIBE without a topic filter, SUBACK or (MQTT 5) UNSUBACK without a reason code.
    #[error("{kind:?} has an empty payload")]
    EmptyPayload {
        /// The packet type received.
        kind: PacketKind,
    },
    /// Retain Handling 3.
    #[error("retain handling 3 does not exist")]
    RetainHandling3,
    /// No Local on a shared subscription.
    #[error("No Local is set on a shared subscription")]
    NoLocalOnShared,
    /// A reason code (return code) which this packet cannot carry.
    #[error("{kind:?} cannot carry reason code {code:#04x}")]
    ReasonCode {
        /// The packet type received.
        kind: PacketKind,
        /// The byte received.
        code: u8,
    },
    /// Session Present in a CONNACK that refuses.
    #[error("session present is set in a refusing CONNACK")]
    SessionPresentWithError,
    /// Authentication Data without an Authentication Method.
    #[error("authentication data without an authentication method")]
    AuthenticationDataWithoutMethod,
    /// AUTH without an Authentication Method.
    #[error("AUTH without an authentication method")]
    AuthenticationMethodMissing,
    /// Something else than `MQTT` or `MQIsdp`: whoever it is, it does not speak MQTT.
    #[error("the protocol name is not MQTT")]
    ProtocolName,

    // The peer asks for what we lack, or for more than we give.
    /// A protocol level we do not speak.
    #[error("protocol level {level} is not spoken here")]
    ProtocolVersion {
        /// The level received.
        level: u8,
        /// The version whose CONNACK the peer will understand best.
        answer: Version,
    },
    /// A zero-length client identifier that 3.1 never and 3.1.1 only with Clean Session allows.
    #[error("the client identifier is empty")]
    ClientIdentifierEmpty,
    /// The fixed header announces more than the agreed Maximum Packet Size.
    #[error("a packet of {size} bytes exceeds the maximum of {max}")]
    PacketTooLarge {
        /// Bytes of the whole packet, fixed header included.
        size: u32,
        /// The bound, in the same measure.
        max: u32,
    },
    /// More entries in one SUBSCRIBE or UNSUBSCRIBE than `SUBSCRIPTIONS_MAX`.
    #[error("more than {max} topic filters in one packet")]
    TooManySubscriptions {
        /// The bound.
        max: usize,
    },
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The bytes cannot be parsed ("Malformed Packet").
    Malformed,
    /// The packet can be parsed but breaks a rule ("Protocol Error").
    Rules,
    /// The peer asks for what we lack, or exceeds a bound of ours.
    Lacking,
}

/// MQTT 3.1 and 3.1.1 connect return codes other than "accepted" [MQTT 3.1.1, 3.2.2.3].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ReturnCode {
    /// The server does not support the level of the protocol.
    UnacceptableProtocolVersion = 1,
    /// The client identifier is not allowed.
    IdentifierRejected = 2,
    /// The service is unavailable.
    ServerUnavailable = 3,
    /// The user name or password is malformed (the specification's word for wrong).
    BadUserNameOrPassword = 4,
    /// The client is not authorised to connect.
    NotAuthorized = 5,
}

/// One row of the table: what an error means on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whose fault it is.
    pub fault: Fault,
    /// The MQTT 5 reason code for CONNACK or DISCONNECT.
    pub reason_code: ReasonCode,
    /// The 3.x CONNACK return code; `None` means the connection is closed without a word.
    pub return_code: Option<ReturnCode>,
    /// The violated statement or section.
    pub clause: &'static str,
}

/// How the peer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Send CONNACK in this version with this reason code (encoded as return code in 3.x), then close.
    Connack(Version, ReasonCode),
    /// Send DISCONNECT with this reason code, then close.
    Disconnect(ReasonCode),
    /// Close without a word.
    Close,
}

impl DecodeError {
    /// The row of the table for this error.
    pub fn verdict(&self) -> Verdict {
        use Fault::{Lacking, Malformed, Rules};
        use ReasonCode as R;
        let row = |fault, reason_code, return_code, clause| Verdict { fault, reason_code, return_code, clause };
        let malformed = |clause| row(Malformed, R::MalformedPacket, None, clause);
        let rules = |clause| row(Rules, R::ProtocolError, None, clause);
        match self {
            Self::ReservedPacketType => malformed("2.1.2"),
            Self::PacketTypeNotInVersion { .. } => malformed("2.2.1 (3.1.1)"),
            Self::FixedHeaderFlags { .. } => malformed("MQTT-2.1.3-1"),
            Self::QoS3 => malformed("MQTT-3.3.1-4"),
            Self::DupWithQoS0 => malformed("MQTT-3.3.1-2"),
            Self::IntegerTooLong => malformed("1.5.5"),
            Self::IntegerNotMinimal => malformed("MQTT-1.5.5-1"),
            Self::Truncated => malformed("1.5"),
            Self::TrailingBytes { .. } => malformed("2.1.4"),
            Self::InvalidUtf8 => malformed("MQTT-1.5.4-1"),
            Self::NulInString => malformed("MQTT-1.5.4-2"),
            Self::TopicNameWildcard => malformed("MQTT-3.3.2-2"),
            Self::TopicFilterEmpty => malformed("MQTT-4.7.3-1"),
            Self::MultiLevelWildcard => malformed("MQTT-4.7.1-1"),
            Self::SingleLevelWildcard => malformed("MQTT-4.7.1-2"),
            Self::ShareNameMissing => malformed("MQTT-4.8.2-1"),
            Self::ShareNameWildcard => malformed("MQTT-4.8.2-2"),
            Self::ConnectReservedFlag => malformed("MQTT-3.1.2-3"),
            Self::WillFlagsWithoutWill => malformed("MQTT-3.1.2-11"),
            Self::PasswordWithoutUserName => malformed("MQTT-3.1.2-22 (3.1.1)"),
            Self::ConnackReservedFlags => malformed("MQTT-3.2.2-1"),
            Self::SubscriptionOptionsReserved => malformed("MQTT-3.8.3-5"),
            Self::UnknownProperty { .. } | Self::PropertyNotAllowed { .. } => malformed("2.2.2.2"),
            Self::DuplicateProperty { .. } => rules("2.2.2.2"),
            Self::PropertyValue { .. } => rules("2.2.2.2"),
            Self::TopicAliasZero => row(Rules, R::TopicAliasInvalid, None, "MQTT-3.3.2-8"),
            Self::PacketIdentifierZero => rules("MQTT-2.2.1-3"),
            Self::TopicNameEmpty => rules("MQTT-4.7.3-1"),
            Self::EmptyPayload { .. } => rules("MQTT-3.8.3-2"),
            Self::RetainHandling3 => rules("3.8.3.1"),
            Self::NoLocalOnShared => rules("MQTT-3.8.3-4"),
            Self::ReasonCode { .. } => rules("2.4"),
            Self::SessionPresentWithError => rules("MQTT-3.2.2-6"),
            Self::AuthenticationDataWithoutMethod => rules("3.1.2.11.10"),
            Self::AuthenticationMethodMissing => rules("3.15.2.2.2"),
            // The peer may be anything: only MQTT speakers are answered in MQTT.
            Self::ProtocolName => row(Rules, R::UnsupportedProtocolVersion, None, "MQTT-3.1.2-1"),
            Self::ProtocolVersion { .. } => row(
                Lacking,
                R::UnsupportedProtocolVersion,
                Some(ReturnCode::UnacceptableProtocolVersion),
                "MQTT-3.1.2-2",
            ),
            Self::ClientIdentifierEmpty => {
                row(Lacking, R::ClientIdentifierNotValid, Some(ReturnCode::IdentifierRejected), "MQTT-3.1.3-8 (3.1.1)")
            }
            Self::PacketTooLarge { .. } => row(Lacking, R::PacketTooLarge, None, "MQTT-3.2.2-15"),
            Self::TooManySubscriptions { .. } => row(Lacking, R::QuotaExceeded, None, "4.13"),
        }
    }

    /// What to say when the first packet failed. `version` is what `Connect::peek_version` recognised; `None` closes.
    pub fn answer_to_connect(&self, version: Option<Version>) -> Answer {
        let verdict = self.verdict();
        let version = match self {
            Self::ProtocolVersion { answer, .. } => Some(*answer),
            _ => version,
        };
        match (version, verdict.return_code) {
            (Some(Version::V5), _) => Answer::Connack(Version::V5, verdict.reason_code.for_connack()),
            (Some(version), Some(_)) => Answer::Connack(version, verdict.reason_code),
            _ => Answer::Close,
        }
    }

    /// What to say when a later packet failed.
    pub fn answer(&self, version: Version) -> Answer {
        match version {
            Version::V5 => Answer::Disconnect(self.verdict().reason_code),
            Version::V31 | Version::V311 => Answer::Close, // 3.x servers have no DISCONNECT to send
        }
    }
}

/// Why something of ours cannot be put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A string or binary value longer than its 16-bit length can say.
    #[error("a value of {len} bytes exceeds the 65535 a field can hold")]
    FieldTooLong {
        /// Bytes of the value.
        len: usize,
    },
    /// The peer's decoder would have to refuse it.
    #[error("the peer would refuse this: {0}")]
    Refused(#[from] DecodeError),
    /// Even the shortest form exceeds the peer's Maximum Packet Size; the packet is not sent.
    #[error("a packet of {len} bytes exceeds the peer's maximum of {max}")]
    PacketTooLarge {
        /// Bytes of the shortest permissible form.
        len: usize,
        /// The peer's Maximum Packet Size.
        max: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVEL_4_BRIDGE: DecodeError = DecodeError::ProtocolVersion { level: 0x84, answer: Version::V311 };

    #[test]
    fn an_unknown_level_is_answered_in_the_dialect_it_will_understand() {
        assert_eq!(
            LEVEL_4_BRIDGE.answer_to_connect(None),
            Answer::Connack(Version::V311, ReasonCode::UnsupportedProtocolVersion)
        );
    }

    #[test]
    fn malformed_connects_are_answered_in_5_and_closed_in_3() {
        let error = DecodeError::ConnectReservedFlag;
        assert_eq!(
            error.answer_to_connect(Some(Version::V5)),
            Answer::Connack(Version::V5, ReasonCode::MalformedPacket)
        );
        assert_eq!(error.answer_to_connect(Some(Version::V311)), Answer::Close);
        assert_eq!(error.answer_to_connect(None), Answer::Close);
    }

    #[test]
    fn connack_never_carries_a_reason_code_only_disconnect_knows() {
        assert_eq!(
            DecodeError::TopicAliasZero.answer_to_connect(Some(Version::V5)),
            Answer::Connack(Version::V5, ReasonCode::ProtocolError)
        );
        assert_eq!(DecodeError::TopicAliasZero.answer(Version::V5), Answer::Disconnect(ReasonCode::TopicAliasInvalid));
    }

    #[test]
    fn return_codes_agree_with_their_reason_codes() {
        for error in [LEVEL_4_BRIDGE, DecodeError::ClientIdentifierEmpty] {
            let verdict = error.verdict();
            assert_eq!(verdict.return_code, verdict.reason_code.return_code());
        }
    }
}
