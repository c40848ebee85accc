//! Typed properties and headers: the canonical column of the property table that every face maps to and from.

use crate::name::Name;
use crate::queue::dead_letter::Deaths;
use bytes::Bytes;

/// A header value. Faces that only know text show the others as text and name the type beside it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing; a field that is present without a value.
    Null,
    /// Truth.
    Bool(bool),
    /// Any signed integer up to 64 bits.
    Int(i64),
    /// An unsigned integer beyond `i64`.
    UInt(u64),
    /// A floating point number.
    Float(f64),
    /// UTF-8 text.
    Text(String),
    /// Arbitrary bytes.
    Bytes(Bytes),
    /// Milliseconds since the Unix epoch.
    Timestamp(u64),
    /// An ordered list.
    List(Vec<Value>),
    /// An ordered table; keys may repeat.
    Table(Vec<(String, Value)>),
}

/// Where a reply is wanted: typed, so that every face can spell it and an unmodified peer can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyAddress {
    /// A name of the topic tree.
    Topic(Name),
    /// A queue.
    Queue(Name),
    /// An XMPP address, kept as it was written.
    Jid(Box<str>),
}

/// What a message says about itself. Absent fields cost nothing but their place; most messages have no properties at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Properties {
    /// MIME type of the payload.
    pub content_type: Option<Box<str>>,
    /// Encoding of the payload, such as `gzip`.
    pub content_encoding: Option<Box<str>>,
    /// The publisher says that the payload is UTF-8 text.
    pub utf8: bool,
    /// Where a reply is wanted.
    pub reply_to: Option<ReplyAddress>,
    /// Ties a reply to its request; bytes, not text.
    pub correlation: Option<Bytes>,
    /// The publisher's name for this message; also the key of de-duplication.
    pub message_id: Option<Box<str>>,
    /// 0 (lowest) to 255.
    pub priority: Option<u8>,
    /// Not to be delivered before this moment, in milliseconds since the Unix epoch.
    pub deliver_at: Option<u64>,
    /// When the publisher says it was made, in milliseconds since the Unix epoch.
    pub timestamp: Option<u64>,
    /// The authenticated user, where policy lets receivers see it.
    pub user: Option<Box<str>>,
    /// Where it died before it came here, when it did.
    pub deaths: Option<Box<Deaths>>,
    /// Everything else, in the order it was written; names may repeat.
    pub headers: Vec<(Box<str>, Value)>,
}
