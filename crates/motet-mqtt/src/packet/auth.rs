//! AUTH [3.15]: one step of enhanced authentication, MQTT 5 only.

use bytes::BufMut;

use super::wire::Reader;
use super::{Encode, Frame, PacketKind, Place, Properties, PropertyIdentifier, ReasonCode, Version};
use crate::error::DecodeError;

/// A step in an exchange of the method named in CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, continue, or re-authenticate.
    pub reason_code: ReasonCode,
    /// Holds the authentication method, except in the form of zero length.
    pub properties: Properties<'a>,
}

impl<'a> Auth<'a> {
    /// Decodes a frame whose kind is AUTH.
    pub fn decode(frame: Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        frame.check_version(version)?;
        let mut reader = Reader::new(frame.body);
        if reader.is_empty() {
            return Ok(Self { reason_code: ReasonCode::Success, properties: Properties::EMPTY }); // 3.15.2.1
        }
        let reason_code = ReasonCode::decode(PacketKind::Auth, reader.u8()?)?;
        let properties = Properties::read(&mut reader, version, Place::Auth)?;
        reader.finish()?;
        // 3.15.2.2.2: leaving out the method is a protocol error; only success without anything may be that short
        let bare = reason_code == ReasonCode::Success && properties.is_empty();
        if !bare && !properties.has(PropertyIdentifier::AuthenticationMethod) {
            return Err(DecodeError::AuthenticationMethodMissing);
        }
        Ok(Self { reason_code, properties })
    }

    fn is_bare(&self, properties: Properties<'_>) -> bool {
        self.reason_code == ReasonCode::Success && properties.is_empty()
    }
}

impl Encode for Auth<'_> {
    const DROPS_PROPERTIES: bool = true;

    fn first_byte(&self) -> u8 {
        (PacketKind::Auth as u8) << 4
    }

    fn properties(&self) -> Properties<'_> {
        self.properties
    }

    fn body_len(&self, version: Version, properties: Properties<'_>) -> usize {
        if self.is_bare(properties) { 0 } else { 1 + properties.encoded_len(version) }
    }

    fn encode_body(&self, version: Version, properties: Properties<'_>, out: &mut impl BufMut) {
        debug_assert_eq!(version, Version::V5, "AUTH exists in MQTT 5 only");
        if !self.is_bare(properties) {
            out.put_u8(self.reason_code as u8);
            properties.encode(version, out);
        }
    }
}
