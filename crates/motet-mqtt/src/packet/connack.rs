//! CONNACK [3.2]: the server's yes or no, and in MQTT 5 what it offers.

use bytes::BufMut;

use super::wire::Reader;
use super::{Encode, Frame, PacketKind, Place, Properties, ReasonCode, Version};
use crate::error::{DecodeError, ReturnCode};

/// The answer to CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connack<'a> {
    /// The server resumes a session. 3.1 cannot say so.
    pub session_present: bool,
    /// In 3.x written as the return code nearest to it; "server unavailable" if there is none.
    pub reason_code: ReasonCode,
    /// Always empty before MQTT 5.
    pub properties: Properties<'a>,
}

impl<'a> Connack<'a> {
    /// Decodes a frame whose kind is CONNACK.
    pub fn decode(frame: Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        frame.check_version(version)?;
        let mut reader = Reader::new(frame.body);
        let flags = reader.u8()?;
        // [MQTT-3.2.2-1]; in 3.1 the whole byte is reserved
        if flags & !1 != 0 || version == Version::V31 && flags != 0 {
            return Err(DecodeError::ConnackReservedFlags);
        }
        let code = reader.u8()?;
        let reason_code = match version {
            Version::V5 => ReasonCode::decode(frame.kind, code)?,
            Version::V31 | Version::V311 => {
                ReasonCode::from_return_code(code).ok_or(DecodeError::ReasonCode { kind: frame.kind, code })?
            }
        };
        let session_present = flags == 1;
        if session_present && reason_code != ReasonCode::Success {
            return Err(DecodeError::SessionPresentWithError); // [MQTT-3.2.2-6]
        }
        let properties = Properties::read(&mut reader, version, Place::Connack)?;
        properties.check_authentication()?;
        reader.finish()?;
        Ok(Self { session_present, reason_code, properties })
    }
}

impl Encode for Connack<'_> {
    const DROPS_PROPERTIES: bool = true;

    fn first_byte(&self) -> u8 {
        (PacketKind::Connack as u8) << 4
    }

    fn properties(&self) -> Properties<'_> {
        self.properties
    }

    fn body_len(&self, version: Version, properties: Properties<'_>) -> usize {
        2 + properties.encoded_len(version)
    }

    fn encode_body(&self, version: Version, properties: Properties<'_>, out: &mut impl BufMut) {
        debug_assert!(self.reason_code.is_valid_in(PacketKind::Connack));
        debug_assert!(!self.session_present || self.reason_code == ReasonCode::Success, "[MQTT-3.2.2-6]");
        out.put_u8(u8::from(self.session_present && version != Version::V31));
        out.put_u8(match (version, self.reason_code) {
            (Version::V5, code) => code as u8,
            (Version::V31 | Version::V311, ReasonCode::Success) => 0,
            (Version::V31 | Version::V311, code) => code.return_code().unwrap_or(ReturnCode::ServerUnavailable) as u8,
        });
        properties.encode(version, out);
    }
}
