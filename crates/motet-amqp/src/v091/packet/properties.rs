//! The content header [4.2.6.1] and the properties of class basic [1.8.1].
//!
//! ```text
//! class u16 │ weight u16, zero │ body size u64 │ flags u16 │ the properties whose flag is set, in order
//! ```
//! Flags and properties are kept as they came ([`ContentHeader::raw`]): that is what the next hop is given.

use super::wire::{Reader, put_long, put_short};
use super::{FieldTable, FrameKind, PacketError, put_frame};
use bytes::{BufMut, BytesMut};

/// The class number of content.
pub const CLASS_BASIC: u16 = 60;

/// The payload of a header frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    /// The class it says it belongs to.
    pub class: u16,
    /// Unused, zero.
    pub weight: u16,
    /// Bytes of the body that follows.
    pub body_size: u64,
    /// Flags and properties as they came; not looked at yet.
    pub raw: &'a [u8],
}

impl<'a> ContentHeader<'a> {
    /// Reads the payload of a header frame.
    ///
    /// # Errors
    /// [`PacketError::Truncated`]; the properties are for [`Properties::decode`] to judge.
    #[inline]
    pub fn decode(payload: &'a [u8]) -> Result<Self, PacketError> {
        let mut from = Reader::new(payload);
        let (class, weight, body_size) = (from.u16()?, from.u16()?, from.u64()?);
        if from.rest().len() < 2 {
            return Err(PacketError::Truncated);
        }
        Ok(Self { class, weight, body_size, raw: from.rest() })
    }
}

/// Writes a header frame around flags and properties as they are.
#[inline]
pub fn put_header(out: &mut BytesMut, channel: u16, body_size: u64, raw: &[u8]) {
    put_frame(out, FrameKind::Header, channel, |out| {
        out.put_u16(CLASS_BASIC);
        out.put_u16(0);
        out.put_u64(body_size);
        out.put_slice(raw);
    });
}

/// What a message says about itself; texts are bytes, because nobody checks them on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Properties<'a> {
    /// MIME type.
    pub content_type: Option<&'a [u8]>,
    /// Such as `gzip`.
    pub content_encoding: Option<&'a [u8]>,
    /// The application's fields.
    pub headers: Option<FieldTable<'a>>,
    /// 2 is persistent.
    pub delivery_mode: Option<u8>,
    /// 0 to 255.
    pub priority: Option<u8>,
    /// Ties a reply to its request.
    pub correlation_id: Option<&'a [u8]>,
    /// Where a reply is wanted.
    pub reply_to: Option<&'a [u8]>,
    /// Milliseconds, as text.
    pub expiration: Option<&'a [u8]>,
    /// The publisher's name for it.
    pub message_id: Option<&'a [u8]>,
    /// Seconds since the epoch.
    pub timestamp: Option<u64>,
    /// The application's kind of message.
    pub kind: Option<&'a [u8]>,
    /// The publishing user, checked.
    pub user_id: Option<&'a [u8]>,
    /// The publishing application.
    pub app_id: Option<&'a [u8]>,
    /// Of old; kept.
    pub cluster_id: Option<&'a [u8]>,
}

mod flag {
    pub(super) const CONTENT_TYPE: u16 = 1 << 15;
    pub(super) const CONTENT_ENCODING: u16 = 1 << 14;
    pub(super) const HEADERS: u16 = 1 << 13;
    pub(super) const DELIVERY_MODE: u16 = 1 << 12;
    pub(super) const PRIORITY: u16 = 1 << 11;
    pub(super) const CORRELATION_ID: u16 = 1 << 10;
    pub(super) const REPLY_TO: u16 = 1 << 9;
    pub(super) const EXPIRATION: u16 = 1 << 8;
    pub(super) const MESSAGE_ID: u16 = 1 << 7;
    pub(super) const TIMESTAMP: u16 = 1 << 6;
    pub(super) const KIND: u16 = 1 << 5;
    pub(super) const USER_ID: u16 = 1 << 4;
    pub(super) const APP_ID: u16 = 1 << 3;
    pub(super) const CLUSTER_ID: u16 = 1 << 2;
    /// Flags go on; no class has so many. (The bit before it is no property's and means nothing, as in RabbitMQ.)
    pub(super) const MORE: u16 = 0b1;
}

impl<'a> Properties<'a> {
    /// Reads flags and properties to the end.
    ///
    /// # Errors
    /// [`PacketError`] when a property is cut, an unknown flag is set, the table is malformed, or bytes are left.
    #[inline]
    pub fn decode(raw: &'a [u8]) -> Result<Self, PacketError> {
        let mut from = Reader::new(raw);
        let flags = from.u16()?;
        let mut properties = Properties::default();
        if flags == 0 {
            return from.finish().map(|()| properties);
        }
        if flags & flag::MORE != 0 {
            return Err(PacketError::PropertyFlags);
        }
        let p = &mut properties;
        let has = |flag: u16| flags & flag != 0;
        let short = |from: &mut Reader<'a>, flag: u16| -> Result<Option<&'a [u8]>, PacketError> {
            if has(flag) { from.short_bytes().map(Some) } else { Ok(None) }
        };
        p.content_type = short(&mut from, flag::CONTENT_TYPE)?;
        p.content_encoding = short(&mut from, flag::CONTENT_ENCODING)?;
        if has(flag::HEADERS) {
            p.headers = Some(FieldTable::check(from.long_bytes()?)?);
        }
        if has(flag::DELIVERY_MODE) {
            p.delivery_mode = Some(from.u8()?);
        }
        if has(flag::PRIORITY) {
            p.priority = Some(from.u8()?);
        }
        p.correlation_id = short(&mut from, flag::CORRELATION_ID)?;
        p.reply_to = short(&mut from, flag::REPLY_TO)?;
        p.expiration = short(&mut from, flag::EXPIRATION)?;
        p.message_id = short(&mut from, flag::MESSAGE_ID)?;
        if has(flag::TIMESTAMP) {
            p.timestamp = Some(from.u64()?);
        }
        p.kind = short(&mut from, flag::KIND)?;
        p.user_id = short(&mut from, flag::USER_ID)?;
        p.app_id = short(&mut from, flag::APP_ID)?;
        p.cluster_id = short(&mut from, flag::CLUSTER_ID)?;
        from.finish()?;
        Ok(properties)
    }

    /// Writes flags and properties. A text longer than a short string is left out.
    pub fn encode(&self, out: &mut BytesMut) {
        let at = out.len();
        out.put_u16(0);
        let mut flags = 0;
        let mut short = |out: &mut BytesMut, flag: u16, value: Option<&[u8]>| {
            if let Some(value) = value.filter(|value| value.len() <= super::SHORT_STRING_MAX) {
                flags |= flag;
                put_short(out, value);
            }
        };
        short(out, flag::CONTENT_TYPE, self.content_type);
        short(out, flag::CONTENT_ENCODING, self.content_encoding);
        let mut more = 0;
        if let Some(headers) = self.headers {
            more |= flag::HEADERS;
            put_long(out, headers.as_bytes());
        }
        if let Some(mode) = self.delivery_mode {
            more |= flag::DELIVERY_MODE;
            out.put_u8(mode);
        }
        if let Some(priority) = self.priority {
            more |= flag::PRIORITY;
            out.put_u8(priority);
        }
        short(out, flag::CORRELATION_ID, self.correlation_id);
        short(out, flag::REPLY_TO, self.reply_to);
        short(out, flag::EXPIRATION, self.expiration);
        short(out, flag::MESSAGE_ID, self.message_id);
        if let Some(timestamp) = self.timestamp {
            more |= flag::TIMESTAMP;
            out.put_u64(timestamp);
        }
        short(out, flag::KIND, self.kind);
        short(out, flag::USER_ID, self.user_id);
        short(out, flag::APP_ID, self.app_id);
        short(out, flag::CLUSTER_ID, self.cluster_id);
        out[at..at + 2].copy_from_slice(&(flags | more).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v091::packet::{FieldValue, TableBuf};

    fn full(headers: FieldTable<'_>) -> Properties<'_> {
        Properties {
            content_type: Some(b"text/plain"),
            content_encoding: Some(b"gzip"),
            headers: Some(headers),
            delivery_mode: Some(2),
            priority: Some(9),
            correlation_id: Some(b"c-1"),
            reply_to: Some(b"amq.rabbitmq.reply-to"),
            expiration: Some(b"60000"),
            message_id: Some(b"m-1"),
            timestamp: Some(1_700_000_000),
            kind: Some(b"greeting"),
            user_id: Some(b"guest"),
            app_id: Some(b"app"),
            cluster_id: Some(b""),
        }
    }

    #[test]
    fn all_properties_come_back_and_a_cut_is_refused() {
        let mut headers = TableBuf::new();
        headers.push("k", FieldValue::I32(1));
        let properties = full(headers.as_table());
        let mut raw = BytesMut::new();
        properties.encode(&mut raw);
        assert_eq!(Properties::decode(&raw), Ok(properties));
        for cut in 0..raw.len() {
            assert!(Properties::decode(&raw[..cut]).is_err(), "cut at {cut}");
        }
        raw.put_u8(0);
        assert_eq!(Properties::decode(&raw), Err(PacketError::Trailing));
    }

    #[test]
    fn no_property_takes_two_bytes() {
        let mut raw = BytesMut::new();
        Properties::default().encode(&mut raw);
        assert_eq!(&raw[..], [0, 0]);
        assert_eq!(Properties::decode(&raw), Ok(Properties::default()));
    }

    #[test]
    fn flags_that_go_on_are_refused_and_one_that_means_nothing_is_not_looked_at() {
        assert_eq!(Properties::decode(&[0, 1, 0, 0]), Err(PacketError::PropertyFlags));
        assert_eq!(Properties::decode(&[0, 2]), Ok(Properties::default()));
    }

    #[test]
    fn a_header_frame_is_read_back() {
        let mut out = BytesMut::new();
        put_header(&mut out, 3, 1 << 40, &[0, 0]);
        let frame = super::super::frame(&out, 4096).unwrap().unwrap();
        let header = ContentHeader::decode(frame.payload).unwrap();
        assert_eq!((header.class, header.weight, header.body_size, header.raw), (60, 0, 1 << 40, &[0, 0][..]));
        assert_eq!(ContentHeader::decode(&frame.payload[..13]), Err(PacketError::Truncated));
    }
}
