//! A message as bytes in the journal: self-contained, versioned, checked on the way back.
//!
//! ```text
//! version u8 │ flags u8 │ face u8 │ publisher u64 │ [expires u64] │ address │ origin │ [properties] │ payload …
//! ```
//! `address`, `origin` and `properties` carry their length before them (u32); integers are little-endian. The payload
//! is last and takes the rest, so that it can be handed to the journal without being copied.

use super::deaths::{get_deaths, put_deaths};
use super::{
    Batch, BatchBuilder, FaceId, MessageParts, MessageRef, Properties, PublisherId, Reliability, ReplyAddress, Value,
};
use crate::name::Name;
use crate::time::WallMillis;
use bytes::{Buf, Bytes};
use std::sync::Arc;

const VERSION: u8 = 1;
const RETAIN: u8 = 0b0000_0100;
const EXPIRES: u8 = 0b0000_1000;
const PROPERTIES: u8 = 0b0001_0000;
/// Tables and lists inside headers nest at most this deep; deeper ones never enter the core.
const NESTING_MAX: u8 = 16;

/// Why stored bytes are not a message. Means a damaged record or a newer format.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoredError {
    /// A later release wrote this.
    #[error("stored message has format version {0}, this release reads {VERSION}")]
    Version(u8),
    /// The bytes end early or say something impossible.
    #[error("stored message is damaged at its {0}")]
    Damaged(&'static str),
}

/// Appends everything of `message` but its payload, which must directly follow.
pub fn encode_stored_head(message: &MessageRef, out: &mut Vec<u8>) {
    let m = message.message();
    let mut flags = m.reliability as u8;
    flags |= if m.retain { RETAIN } else { 0 };
    flags |= if m.expires_at.is_some() { EXPIRES } else { 0 };
    flags |= if m.properties.is_some() { PROPERTIES } else { 0 };
    out.extend_from_slice(&[VERSION, flags, message.batch().face().0]);
    out.extend_from_slice(&message.batch().publisher().0.to_le_bytes());
    if let Some(at) = m.expires_at {
        out.extend_from_slice(&at.0.to_le_bytes());
    }
    put_bytes(out, message.address().as_flat());
    put_bytes(out, message.origin());
    if let Some(properties) = &m.properties {
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        put_properties(out, properties);
        let len = (out.len() - at - 4) as u32;
        out[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }
}

/// The message that [`encode_stored_head`] and its payload describe.
///
/// # Errors
/// [`StoredError`] when the bytes are not what a release up to this one wrote.
pub fn decode_stored(bytes: &[u8]) -> Result<MessageRef, StoredError> {
    let stored = Stored::parse(bytes)?;
    let address = stored.name()?;
    let mut builder = BatchBuilder::new();
    builder.push(stored.parts);
    Ok(MessageRef::new(builder.finish(address, stored.publisher, stored.face), 0))
}

/// A stored message, in its bytes.
struct Stored<'a> {
    address: &'a [u8],
    publisher: PublisherId,
    face: FaceId,
    parts: MessageParts<'a>,
}

impl<'a> Stored<'a> {
    fn parse(mut bytes: &'a [u8]) -> Result<Self, StoredError> {
        let version = get_u8(&mut bytes, "version")?;
        if version != VERSION {
            return Err(StoredError::Version(version));
        }
        let flags = get_u8(&mut bytes, "flags")?;
        let face = FaceId(get_u8(&mut bytes, "face")?);
        let publisher = PublisherId(get_u64(&mut bytes, "publisher")?);
        let reliability = Reliability::from_bits(flags & 3).ok_or(StoredError::Damaged("reliability"))?;
        let expires_at = if flags & EXPIRES != 0 { Some(WallMillis(get_u64(&mut bytes, "expiry")?)) } else { None };
        let address = get_bytes(&mut bytes, "address")?;
        let origin = get_bytes(&mut bytes, "origin")?;
        let properties = match flags & PROPERTIES {
            0 => None,
            _ => Some(Box::new(get_properties(get_bytes(&mut bytes, "properties")?)?)),
        };
        let retain = flags & RETAIN != 0;
        let parts = MessageParts { payload: bytes, origin, reliability, retain, expires_at, properties };
        Ok(Stored { address, publisher, face, parts })
    }

    fn name(&self) -> Result<Name, StoredError> {
        Name::from_flat(Bytes::copy_from_slice(self.address)).map_err(|_| StoredError::Damaged("address"))
    }
}

/// Bytes of a batch that is put together again: what one of its messages pins by staying.
const TOGETHER_BYTES_MAX: usize = 8 << 10;

/// Decodes messages that are read together: neighbours of one publisher to one address share a batch, as they did when
/// they came.
#[derive(Default)]
pub(crate) struct StoredRun {
    builder: BatchBuilder,
    place: Option<(Name, PublisherId, FaceId)>,
    batches: Vec<Arc<Batch>>,
}

/// Where [`StoredRun::finish`] has put a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InRun {
    batch: usize,
    index: usize,
}

impl StoredRun {
    /// # Errors
    /// As [`decode_stored`].
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<InRun, StoredError> {
        let stored = Stored::parse(bytes)?;
        let fits = self.place.as_ref().is_some_and(|(name, publisher, face)| {
            name.as_flat()[..] == *stored.address
                && (*publisher, *face) == (stored.publisher, stored.face)
                && self.builder.bytes() + bytes.len() <= TOGETHER_BYTES_MAX
        });
        if !fits {
            let name = stored.name()?;
            self.end_batch();
            self.place = Some((name, stored.publisher, stored.face));
        }
        let at = InRun { batch: self.batches.len(), index: self.builder.len() };
        self.builder.push(stored.parts);
        Ok(at)
    }

    fn end_batch(&mut self) {
        if let Some((name, publisher, face)) = self.place.take() {
            self.batches.push(self.builder.finish(name, publisher, face));
        }
    }

    /// Where all that was pushed is.
    pub(crate) fn finish(mut self) -> impl Fn(InRun) -> MessageRef {
        self.end_batch();
        let batches = self.batches;
        move |at| MessageRef::new(batches[at.batch].clone(), at.index)
    }
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

pub(super) fn get_u8(from: &mut &[u8], what: &'static str) -> Result<u8, StoredError> {
    if from.is_empty() { Err(StoredError::Damaged(what)) } else { Ok(from.get_u8()) }
}

pub(super) fn get_u64(from: &mut &[u8], what: &'static str) -> Result<u64, StoredError> {
    if from.len() < 8 { Err(StoredError::Damaged(what)) } else { Ok(from.get_u64_le()) }
}

pub(super) fn get_bytes<'a>(from: &mut &'a [u8], what: &'static str) -> Result<&'a [u8], StoredError> {
    if from.len() < 4 {
        return Err(StoredError::Damaged(what));
    }
    let len = from.get_u32_le() as usize;
    let (bytes, rest) = from.split_at_checked(len).ok_or(StoredError::Damaged(what))?;
    *from = rest;
    Ok(bytes)
}

fn get_text(from: &mut &[u8], what: &'static str) -> Result<Box<str>, StoredError> {
    std::str::from_utf8(get_bytes(from, what)?).map(Box::from).map_err(|_| StoredError::Damaged(what))
}

/// Properties are written as tag, then value; a tag is never reused for another meaning.
mod tag {
    pub(super) const CONTENT_TYPE: u8 = 1;
    pub(super) const CONTENT_ENCODING: u8 = 2;
    pub(super) const UTF8: u8 = 3;
    pub(super) const REPLY_TOPIC: u8 = 4;
    pub(super) const REPLY_QUEUE: u8 = 5;
    pub(super) const REPLY_JID: u8 = 6;
    pub(super) const CORRELATION: u8 = 7;
    pub(super) const MESSAGE_ID: u8 = 8;
    pub(super) const PRIORITY: u8 = 9;
    pub(super) const DELIVER_AT: u8 = 10;
    pub(super) const TIMESTAMP: u8 = 11;
    pub(super) const USER: u8 = 12;
    pub(super) const HEADER: u8 = 13;
    pub(super) const DEATHS: u8 = 14;
}

fn put_properties(out: &mut Vec<u8>, p: &Properties) {
    let mut text = |tag: u8, value: &Option<Box<str>>| {
        if let Some(value) = value {
            out.push(tag);
            put_bytes(out, value.as_bytes());
        }
    };
    text(tag::CONTENT_TYPE, &p.content_type);
    text(tag::CONTENT_ENCODING, &p.content_encoding);
    text(tag::MESSAGE_ID, &p.message_id);
    text(tag::USER, &p.user);
    if p.utf8 {
        out.push(tag::UTF8);
    }
    if let Some(reply) = &p.reply_to {
        let (tag, bytes) = match reply {
            ReplyAddress::Topic(name) => (tag::REPLY_TOPIC, &name.as_flat()[..]),
            ReplyAddress::Queue(name) => (tag::REPLY_QUEUE, &name.as_flat()[..]),
            ReplyAddress::Jid(jid) => (tag::REPLY_JID, jid.as_bytes()),
        };
        out.push(tag);
        put_bytes(out, bytes);
    }
    if let Some(correlation) = &p.correlation {
        out.push(tag::CORRELATION);
        put_bytes(out, correlation);
    }
    if let Some(priority) = p.priority {
        out.extend_from_slice(&[tag::PRIORITY, priority]);
    }
    for (tag, value) in [(tag::DELIVER_AT, p.deliver_at), (tag::TIMESTAMP, p.timestamp)] {
        if let Some(value) = value {
            out.push(tag);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
    if let Some(deaths) = &p.deaths {
        out.push(tag::DEATHS);
        let mut told = Vec::with_capacity(128);
        put_deaths(&mut told, deaths);
        put_bytes(out, &told);
    }
    for (name, value) in &p.headers {
        out.push(tag::HEADER);
        put_bytes(out, name.as_bytes());
        put_value(out, value);
    }
}

fn get_properties(mut from: &[u8]) -> Result<Properties, StoredError> {
    let mut p = Properties::default();
    let from = &mut from;
    while !from.is_empty() {
        match get_u8(from, "property")? {
            tag::CONTENT_TYPE => p.content_type = Some(get_text(from, "content type")?),
            tag::CONTENT_ENCODING => p.content_encoding = Some(get_text(from, "content encoding")?),
            tag::MESSAGE_ID => p.message_id = Some(get_text(from, "message id")?),
            tag::USER => p.user = Some(get_text(from, "user")?),
            tag::UTF8 => p.utf8 = true,
            tag::REPLY_TOPIC => p.reply_to = Some(ReplyAddress::Topic(get_name(from, "reply topic")?)),
            tag::REPLY_QUEUE => p.reply_to = Some(ReplyAddress::Queue(get_name(from, "reply queue")?)),
            tag::REPLY_JID => p.reply_to = Some(ReplyAddress::Jid(get_text(from, "reply address")?)),
            tag::CORRELATION => p.correlation = Some(Bytes::copy_from_slice(get_bytes(from, "correlation")?)),
            tag::PRIORITY => p.priority = Some(get_u8(from, "priority")?),
            tag::DELIVER_AT => p.deliver_at = Some(get_u64(from, "delay")?),
            tag::TIMESTAMP => p.timestamp = Some(get_u64(from, "timestamp")?),
            tag::HEADER => p.headers.push((get_text(from, "header name")?, get_value(from, 0)?)),
            tag::DEATHS => p.deaths = Some(Box::new(get_deaths(get_bytes(from, "deaths")?)?)),
            _ => return Err(StoredError::Damaged("property tag")),
        }
    }
    Ok(p)
}

fn get_name(from: &mut &[u8], what: &'static str) -> Result<Name, StoredError> {
    Name::from_flat(Bytes::copy_from_slice(get_bytes(from, what)?)).map_err(|_| StoredError::Damaged(what))
}

/// Appends a value as headers are stored.
pub(crate) fn write_value(out: &mut Vec<u8>, value: &Value) {
    put_value(out, value);
}

/// Takes a value off that [`write_value`] wrote.
///
/// # Errors
/// [`StoredError::Damaged`].
pub(crate) fn take_value(from: &mut &[u8]) -> Result<Value, StoredError> {
    get_value(from, 0)
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(0),
        Value::Bool(v) => out.extend_from_slice(&[1, u8::from(*v)]),
        Value::Int(v) => put_tagged(out, 2, &v.to_le_bytes()),
        Value::UInt(v) => put_tagged(out, 3, &v.to_le_bytes()),
        Value::Float(v) => put_tagged(out, 4, &v.to_bits().to_le_bytes()),
        Value::Timestamp(v) => put_tagged(out, 5, &v.to_le_bytes()),
        Value::Text(v) => {
            out.push(6);
            put_bytes(out, v.as_bytes());
        }
        Value::Bytes(v) => {
            out.push(7);
            put_bytes(out, v);
        }
        Value::List(items) => {
            put_tagged(out, 8, &(items.len() as u32).to_le_bytes());
            items.iter().for_each(|item| put_value(out, item));
        }
        Value::Table(fields) => {
            put_tagged(out, 9, &(fields.len() as u32).to_le_bytes());
            for (name, value) in fields {
                put_bytes(out, name.as_bytes());
                put_value(out, value);
            }
        }
    }
}

fn put_tagged(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn get_value(from: &mut &[u8], depth: u8) -> Result<Value, StoredError> {
    if depth > NESTING_MAX {
        return Err(StoredError::Damaged("nesting"));
    }
    const WHAT: &str = "header value";
    Ok(match get_u8(from, WHAT)? {
        0 => Value::Null,
        1 => Value::Bool(get_u8(from, WHAT)? != 0),
        2 => Value::Int(get_u64(from, WHAT)?.cast_signed()),
        3 => Value::UInt(get_u64(from, WHAT)?),
        4 => Value::Float(f64::from_bits(get_u64(from, WHAT)?)),
        5 => Value::Timestamp(get_u64(from, WHAT)?),
        6 => Value::Text(get_text(from, WHAT)?.into()),
        7 => Value::Bytes(Bytes::copy_from_slice(get_bytes(from, WHAT)?)),
        8 => Value::List((0..get_count(from)?).map(|_| get_value(from, depth + 1)).collect::<Result<_, _>>()?),
        9 => Value::Table(
            (0..get_count(from)?)
                .map(|_| Ok((get_text(from, WHAT)?.into(), get_value(from, depth + 1)?)))
                .collect::<Result<_, StoredError>>()?,
        ),
        _ => return Err(StoredError::Damaged(WHAT)),
    })
}

/// A count of things that each take at least one byte, so that a damaged count cannot ask for memory.
fn get_count(from: &mut &[u8]) -> Result<u32, StoredError> {
    if from.len() < 4 {
        return Err(StoredError::Damaged("count"));
    }
    let count = from.get_u32_le();
    if count as usize > from.len() { Err(StoredError::Damaged("count")) } else { Ok(count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(parts: MessageParts<'_>) -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        builder.push(parts);
        let name = Name::from_segments([b"a".as_slice(), b"", b"\xff"]).expect("a short name");
        let message = MessageRef::new(builder.finish(name, PublisherId(9), FaceId(3)), 0);
        let mut out = Vec::new();
        encode_stored_head(&message, &mut out);
        out.extend_from_slice(message.payload());
        out
    }

    fn full() -> Vec<u8> {
        let nested =
            Value::List(vec![Value::Null, Value::Table(vec![("k".into(), Value::Int(-1))]), Value::Bool(true)]);
        let properties = Properties {
            content_type: Some("text/plain".into()),
            utf8: true,
            reply_to: Some(ReplyAddress::Topic(Name::from_segments([b"r"]).expect("short"))),
            correlation: Some(Bytes::from_static(b"\0\x01")),
            priority: Some(9),
            deliver_at: Some(5),
            headers: vec![("x".into(), nested), ("x".into(), Value::Text("again".into()))],
            ..Default::default()
        };
        stored(MessageParts {
            payload: b"hello",
            origin: b"raw",
            reliability: Reliability::ExactlyOnce,
            retain: true,
            expires_at: Some(WallMillis(77)),
            properties: Some(Box::new(properties)),
        })
    }

    #[test]
    fn what_is_stored_comes_back() {
        let bytes = full();
        let message = decode_stored(&bytes).expect("just written");
        assert_eq!(message.payload(), b"hello");
        assert_eq!(message.origin(), b"raw");
        assert_eq!(message.message().expires_at, Some(WallMillis(77)));
        assert_eq!(message.message().reliability, Reliability::ExactlyOnce);
        assert_eq!(message.batch().publisher(), PublisherId(9));
        let mut again = Vec::new();
        encode_stored_head(&message, &mut again);
        again.extend_from_slice(message.payload());
        assert_eq!(again, bytes);
    }

    #[test]
    fn a_cut_record_is_damage_and_never_a_panic() {
        let bytes = full();
        let head = bytes.len() - b"hello".len();
        for cut in 0..head {
            assert!(decode_stored(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn flipped_bytes_never_panic() {
        let bytes = full();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let _ = decode_stored(&damaged);
            }
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        assert_eq!(decode_stored(&[9]).err(), Some(StoredError::Version(9)));
    }
}
