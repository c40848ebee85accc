//! DISCONNECT [3.14]: goodbye; from the server only in MQTT 5.

use bytes::BufMut;

use super::acks::{decode_tail, encode_tail, tail_len};
use super::wire::Reader;
use super::{Encode, Frame, PacketKind, Place, Properties, ReasonCode, Version};
use crate::error::DecodeError;

/// The last packet of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Always `Success` (normal disconnection) before MQTT 5.
    pub reason_code: ReasonCode,
    /// Session expiry, reason string, server reference, user properties.
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    /// The short form.
    pub const fn new(reason_code: ReasonCode) -> Self {
        Self { reason_code, properties: Properties::EMPTY }
    }

    /// Decodes a frame whose kind is DISCONNECT.
    pub fn decode(frame: Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        frame.check_version(version)?;
        let (reason_code, properties) = decode_tail(Reader::new(frame.body), frame.kind, version, Place::Disconnect)?;
        Ok(Self { reason_code, properties })
    }
}

impl Encode for Disconnect<'_> {
    const DROPS_PROPERTIES: bool = true;

    fn first_byte(&self) -> u8 {
        (PacketKind::Disconnect as u8) << 4
    }

    fn properties(&self) -> Properties<'_> {
        self.properties
    }

    fn body_len(&self, version: Version, properties: Properties<'_>) -> usize {
        tail_len(version, self.reason_code, properties)
    }

    fn encode_body(&self, version: Version, properties: Properties<'_>, out: &mut impl BufMut) {
        debug_assert!(self.reason_code.is_valid_in(PacketKind::Disconnect));
        encode_tail(version, self.reason_code, properties, out);
    }
}
