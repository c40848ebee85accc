//! What an exchange is declared as.

use std::fmt;

use bytes::Bytes;

use super::{DEDUP_HEADER, DeclareError, Deduplication};
use crate::message::Value;

/// The type of an exchange that only looks for duplicates.
const DEDUP_TYPE: &str = "x-message-deduplication";
/// Identifiers an exchange remembers when it is not told how many.
const DEDUP_ENTRIES: u64 = 10_000;
/// The most it remembers, whatever it is told.
const DEDUP_ENTRIES_MAX: u64 = 10_000_000;

/// How an exchange picks among its bindings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExchangeKind {
    /// The binding key equals the routing key.
    Direct,
    /// Every binding.
    Fanout,
    /// The binding key is a pattern of words.
    Topic,
    /// The binding's arguments are compared with the message's headers.
    Headers,
    /// One binding, by a hash; the binding key is its weight.
    ConsistentHash(HashOn),
    /// One destination, by a hash of the routing key modulo their number; binding keys mean nothing.
    ModulusHash,
    /// One destination, by chance; binding keys mean nothing.
    Random,
}

/// What a consistent hash looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashOn {
    /// The routing key.
    Key,
    /// This header; messages without it stay together.
    Header(Box<str>),
    /// This property; messages without it stay together.
    Property(HashProperty),
}

/// The properties a consistent hash may look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashProperty {
    /// `message_id`
    MessageId,
    /// `correlation_id`
    CorrelationId,
    /// `timestamp`
    Timestamp,
}

/// Everything that shapes an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeConfig {
    /// How it picks.
    pub kind: ExchangeKind,
    /// Whether messages with a header `x-delay` are to be held back.
    pub delayed: bool,
    /// Whether it survives a restart.
    pub durable: bool,
    /// Whether it goes when its last binding goes.
    pub auto_delete: bool,
    /// Whether only other exchanges and the broker itself may publish to it.
    pub internal: bool,
    /// Whether it looks for duplicates, and how.
    pub dedup: Option<Deduplication>,
    /// Where a message goes that no binding matches; need not exist.
    pub alternate: Option<Bytes>,
}

impl ExchangeConfig {
    /// A durable exchange of `kind` without decoration.
    pub fn durable(kind: ExchangeKind) -> Self {
        Self { kind, delayed: false, durable: true, auto_delete: false, internal: false, dedup: None, alternate: None }
    }

    /// Reads a type name and the arguments of a declaration: `alternate-exchange`, `x-delayed-type`, `hash-header`, `hash-property`,
    /// `x-message-deduplication`, `x-cache-size`, `x-cache-ttl`, `x-cache-persistence`, `x-deduplication-header`. Others are not looked at. The flags are the caller's to set.
    ///
    /// # Errors
    /// [`DeclareError::UnknownType`] and [`DeclareError::Argument`].
    pub fn from_arguments(type_name: &str, arguments: &[(Box<str>, Value)]) -> Result<Self, DeclareError> {
        let delayed = type_name == "x-delayed-message";
        let type_name = match (delayed, text(arguments, "x-delayed-type")?) {
            (true, Some(inner)) => inner,
            (true, None) => return Err(DeclareError::Argument { name: "x-delayed-type", wants: "an exchange type" }),
            (false, _) => type_name,
        };
        let kind = match type_name {
            "direct" => ExchangeKind::Direct,
            "fanout" => ExchangeKind::Fanout,
            "topic" => ExchangeKind::Topic,
            "headers" => ExchangeKind::Headers,
            "x-consistent-hash" => ExchangeKind::ConsistentHash(hash_on(arguments)?),
            // It lets through to all what it has not seen.
            DEDUP_TYPE => ExchangeKind::Fanout,
            "x-modulus-hash" => ExchangeKind::ModulusHash,
            "x-random" => ExchangeKind::Random,
            _ => return Err(DeclareError::UnknownType(type_name.into())),
        };
        let alternate = text(arguments, "alternate-exchange")?.map(|name| Bytes::copy_from_slice(name.as_bytes()));
        let dedup = deduplication(arguments, type_name == DEDUP_TYPE)?;
        Ok(Self { delayed, alternate, dedup, ..Self::durable(kind) })
    }

    /// The first property in which `asked` differs from what was declared, if any.
    pub(super) fn first_difference(&self, exchange: &[u8], asked: &Self) -> Option<DeclareError> {
        let (kind, wanted) = (self.type_name(), asked.type_name());
        let size = |config: &Self| config.dedup.as_ref().map_or("none".into(), |dedup| dedup.entries.to_string());
        let ttl =
            |config: &Self| config.dedup.as_ref().and_then(|d| d.ttl_ms).map_or("none".into(), |ms| ms.to_string());
        let alternate = |config: &Self| config.alternate.as_ref().map_or("none".into(), |name| text_of(name));
        let pairs = [
            ("type", kind, wanted),
            ("delayed", self.delayed.to_string(), asked.delayed.to_string()),
            ("durable", self.durable.to_string(), asked.durable.to_string()),
            ("auto_delete", self.auto_delete.to_string(), asked.auto_delete.to_string()),
            ("internal", self.internal.to_string(), asked.internal.to_string()),
            ("alternate-exchange", alternate(self), alternate(asked)),
            ("x-cache-size", size(self), size(asked)),
            ("x-cache-ttl", ttl(self), ttl(asked)),
        ];
        let (property, declared, asked) = pairs.into_iter().find(|(_, declared, asked)| declared != asked)?;
        Some(DeclareError::Mismatch { exchange: text_of(exchange), property, declared, asked })
    }
}

impl ExchangeConfig {
    fn type_name(&self) -> String {
        if self.dedup.as_ref().is_some_and(|dedup| dedup.by_type) { DEDUP_TYPE.into() } else { self.kind.to_string() }
    }
}

impl fmt::Display for ExchangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("direct"),
            Self::Fanout => f.write_str("fanout"),
            Self::Topic => f.write_str("topic"),
            Self::Headers => f.write_str("headers"),
            Self::ModulusHash => f.write_str("x-modulus-hash"),
            Self::Random => f.write_str("x-random"),
            Self::ConsistentHash(HashOn::Key) => f.write_str("x-consistent-hash"),
            Self::ConsistentHash(HashOn::Header(name)) => write!(f, "x-consistent-hash of header '{name}'"),
            Self::ConsistentHash(HashOn::Property(property)) => write!(f, "x-consistent-hash of {property:?}"),
        }
    }
}

/// Bytes for a sentence.
pub(super) fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn text<'a>(arguments: &'a [(Box<str>, Value)], name: &'static str) -> Result<Option<&'a str>, DeclareError> {
    match arguments.iter().find(|(known, _)| **known == *name) {
        None => Ok(None),
        Some((_, Value::Text(text))) => Ok(Some(text)),
        Some(_) => Err(DeclareError::Argument { name, wants: "text" }),
    }
}

fn number(arguments: &[(Box<str>, Value)], name: &'static str) -> Result<Option<u64>, DeclareError> {
    let Some((_, value)) = arguments.iter().find(|(known, _)| **known == *name) else { return Ok(None) };
    let number = match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::UInt(number) => Some(*number),
        Value::Text(digits) => digits.parse().ok(),
        _ => None,
    };
    match number {
        Some(number) if number > 0 => Ok(Some(number)),
        _ => Err(DeclareError::Argument { name, wants: "an integer greater than 0" }),
    }
}

/// What an exchange is to remember. Its type wants a size; the argument takes [`DEDUP_ENTRIES`] without.
fn deduplication(arguments: &[(Box<str>, Value)], by_type: bool) -> Result<Option<Deduplication>, DeclareError> {
    let asked = match arguments.iter().find(|(name, _)| **name == *"x-message-deduplication") {
        None => false,
        Some((_, Value::Bool(truth))) => *truth,
        Some(_) => return Err(DeclareError::Argument { name: "x-message-deduplication", wants: "true or false" }),
    };
    if !by_type && !asked {
        return Ok(None);
    }
    let entries = match (number(arguments, "x-cache-size")?, by_type) {
        (Some(entries), _) => entries.min(DEDUP_ENTRIES_MAX),
        (None, false) => DEDUP_ENTRIES,
        (None, true) => {
            return Err(DeclareError::Argument { name: "x-cache-size", wants: "an integer greater than 0" });
        }
    };
    let ttl_ms = number(arguments, "x-cache-ttl")?;
    if !matches!(text(arguments, "x-cache-persistence")?, None | Some("memory" | "disk")) {
        return Err(DeclareError::Argument { name: "x-cache-persistence", wants: "memory or disk" });
    }
    let header = text(arguments, "x-deduplication-header")?.unwrap_or(DEDUP_HEADER).into();
    Ok(Some(Deduplication { entries, ttl_ms, header, by_type }))
}

fn hash_on(arguments: &[(Box<str>, Value)]) -> Result<HashOn, DeclareError> {
    match (text(arguments, "hash-header")?, text(arguments, "hash-property")?) {
        (None, None) => Ok(HashOn::Key),
        (Some(header), None) => Ok(HashOn::Header(header.into())),
        (None, Some("message_id")) => Ok(HashOn::Property(HashProperty::MessageId)),
        (None, Some("correlation_id")) => Ok(HashOn::Property(HashProperty::CorrelationId)),
        (None, Some("timestamp")) => Ok(HashOn::Property(HashProperty::Timestamp)),
        (None, Some(_)) => {
            Err(DeclareError::Argument { name: "hash-property", wants: "message_id, correlation_id or timestamp" })
        }
        (Some(_), Some(_)) => {
            Err(DeclareError::Argument { name: "hash-header", wants: "to stand without hash-property" })
        }
    }
}
