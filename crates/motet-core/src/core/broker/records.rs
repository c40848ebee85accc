//! Exchanges, queues and bindings as keyed records of their vhost's topology object.
//!
//! | first byte | key | value |
//! |---|---|---|
//! | `q` | the queue's name | version, object, flags, arguments |
//! | `x` | the exchange's name | version, flags, alternate, type, arguments |
//! | `b` | source, what it leads to, key, arguments | empty |

use super::named::QueueDeclaration;
use crate::engine::ObjectId;
use crate::exchange::{Arguments, BindingView, Deduplication, ExchangeConfig, ExchangeKind, HashOn, HashProperty};
use crate::message::{Value, take_value, write_value};
use bytes::Bytes;

pub(super) const QUEUE: u8 = b'q';
pub(super) const EXCHANGE: u8 = b'x';
pub(super) const BINDING: u8 = b'b';
const VERSION: u8 = 1;

pub(super) fn queue_key(name: &[u8]) -> Vec<u8> {
    [&[QUEUE], name].concat()
}

pub(super) fn exchange_key(name: &[u8]) -> Vec<u8> {
    [&[EXCHANGE], name].concat()
}

pub(super) fn binding_key(view: &BindingView) -> Vec<u8> {
    let mut key = vec![BINDING, u8::from(view.to_exchange)];
    for part in [&view.source, &view.target, &view.key] {
        put(&mut key, part);
    }
    let table = Value::Table(view.arguments.fields().iter().map(|(n, v)| (n.to_string(), v.clone())).collect());
    write_value(&mut key, &table);
    key
}

pub(super) fn encode_queue(id: ObjectId, declared: &QueueDeclaration) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&id.0.to_le_bytes());
    out.push(u8::from(declared.auto_delete));
    let table = Value::Table(declared.arguments.iter().map(|(n, v)| (n.to_string(), v.clone())).collect());
    write_value(&mut out, &table);
    out
}

pub(super) fn decode_queue(value: &[u8]) -> Option<(ObjectId, QueueDeclaration)> {
    let (&VERSION, rest) = value.split_first()? else { return None };
    let (id, rest) = rest.split_first_chunk::<8>()?;
    let (&auto_delete, mut rest) = rest.split_first()?;
    let Value::Table(fields) = take_value(&mut rest).ok()? else { return None };
    let arguments = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
    let declared = QueueDeclaration { durable: true, exclusive: None, auto_delete: auto_delete != 0, arguments };
    Some((ObjectId(u64::from_le_bytes(*id)), declared))
}

pub(super) fn encode_exchange(config: &ExchangeConfig) -> Vec<u8> {
    let flags = u8::from(config.delayed)
        | u8::from(config.auto_delete) << 1
        | u8::from(config.internal) << 2
        | u8::from(config.dedup.is_some()) << 3;
    let (kind, on): (u8, &[u8]) = match &config.kind {
        ExchangeKind::Direct => (1, b""),
        ExchangeKind::Fanout => (2, b""),
        ExchangeKind::Topic => (3, b""),
        ExchangeKind::Headers => (4, b""),
        ExchangeKind::ModulusHash => (10, b""),
        ExchangeKind::Random => (11, b""),
        ExchangeKind::ConsistentHash(HashOn::Key) => (5, b""),
        ExchangeKind::ConsistentHash(HashOn::Header(name)) => (6, name.as_bytes()),
        ExchangeKind::ConsistentHash(HashOn::Property(HashProperty::MessageId)) => (7, b""),
        ExchangeKind::ConsistentHash(HashOn::Property(HashProperty::CorrelationId)) => (8, b""),
        ExchangeKind::ConsistentHash(HashOn::Property(HashProperty::Timestamp)) => (9, b""),
    };
    let mut out = vec![VERSION, flags, kind];
    put(&mut out, on);
    if let Some(Deduplication { entries, ttl_ms, header, by_type }) = &config.dedup {
        put(&mut out, header.as_bytes());
        out.extend_from_slice(&entries.to_le_bytes());
        out.extend_from_slice(&ttl_ms.unwrap_or(0).to_le_bytes());
        out.push(u8::from(*by_type));
    }
    if let Some(alternate) = &config.alternate {
        put(&mut out, alternate);
    }
    out
}

pub(super) fn decode_exchange(value: &[u8]) -> Option<ExchangeConfig> {
    let [VERSION, flags, kind, rest @ ..] = value else { return None };
    let mut rest = rest;
    let on = take(&mut rest)?;
    let hash = |property| ExchangeKind::ConsistentHash(HashOn::Property(property));
    let kind = match kind {
        1 => ExchangeKind::Direct,
        2 => ExchangeKind::Fanout,
        3 => ExchangeKind::Topic,
        4 => ExchangeKind::Headers,
        10 => ExchangeKind::ModulusHash,
        11 => ExchangeKind::Random,
        5 => ExchangeKind::ConsistentHash(HashOn::Key),
        6 => ExchangeKind::ConsistentHash(HashOn::Header(std::str::from_utf8(on).ok()?.into())),
        7 => hash(HashProperty::MessageId),
        8 => hash(HashProperty::CorrelationId),
        9 => hash(HashProperty::Timestamp),
        _ => return None,
    };
    let dedup = match flags & 8 {
        0 => None,
        _ => Some(take_deduplication(&mut rest)?),
    };
    let alternate = if rest.is_empty() { None } else { Some(Bytes::copy_from_slice(take(&mut rest)?)) };
    Some(ExchangeConfig {
        delayed: flags & 1 != 0,
        auto_delete: flags & 2 != 0,
        internal: flags & 4 != 0,
        dedup,
        alternate,
        ..ExchangeConfig::durable(kind)
    })
}

/// `header │ entries u64 │ ttl u64 (0: none) │ by its type u8`
fn take_deduplication(from: &mut &[u8]) -> Option<Deduplication> {
    let header = std::str::from_utf8(take(from)?).ok()?.into();
    let (entries, rest) = from.split_first_chunk::<8>()?;
    let (ttl, rest) = rest.split_first_chunk::<8>()?;
    let (by_type, rest) = rest.split_first()?;
    *from = rest;
    let ttl_ms = Some(u64::from_le_bytes(*ttl)).filter(|ttl| *ttl > 0);
    Some(Deduplication { entries: u64::from_le_bytes(*entries), ttl_ms, header, by_type: *by_type != 0 })
}

/// The binding that a key stands for.
pub(super) fn decode_binding(key: &[u8]) -> Option<BindingView> {
    let [BINDING, to_exchange, rest @ ..] = key else { return None };
    let mut rest = rest;
    let mut part = || take(&mut rest).map(Bytes::copy_from_slice);
    let (source, target, key) = (part()?, part()?, part()?);
    let Value::Table(fields) = take_value(&mut rest).ok()? else { return None };
    let arguments = Arguments::new(fields.into_iter().map(|(name, value)| (name.into(), value)));
    Some(BindingView { source, target, to_exchange: *to_exchange != 0, key, arguments, durable: true })
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = from.split_first_chunk::<4>()?;
    let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *from = rest;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_comes_back() {
        let arguments = vec![("x-max-length".into(), Value::Int(5)), ("other".into(), Value::List(vec![Value::Null]))];
        let declared = QueueDeclaration { durable: true, exclusive: None, auto_delete: true, arguments };
        assert_eq!(decode_queue(&encode_queue(ObjectId(99), &declared)), Some((ObjectId(99), declared)));
        for kind in [
            ExchangeKind::Direct,
            ExchangeKind::Headers,
            ExchangeKind::ModulusHash,
            ExchangeKind::Random,
            ExchangeKind::ConsistentHash(HashOn::Header("h".into())),
            ExchangeKind::ConsistentHash(HashOn::Property(HashProperty::Timestamp)),
        ] {
            let config = ExchangeConfig {
                delayed: true,
                internal: true,
                alternate: Some("x".into()),
                dedup: Some(Deduplication { entries: 7, ttl_ms: Some(9), header: "h".into(), by_type: true }),
                ..ExchangeConfig::durable(kind)
            };
            assert_eq!(decode_exchange(&encode_exchange(&config)), Some(config));
        }
        let view = BindingView {
            source: "a".into(),
            target: "b".into(),
            to_exchange: true,
            key: "".into(),
            arguments: Arguments::new([("n".into(), Value::Float(f64::NAN))]),
            durable: true,
        };
        assert_eq!(decode_binding(&binding_key(&view)), Some(view));
    }

    #[test]
    fn a_cut_record_is_nothing() {
        let declared = QueueDeclaration { durable: true, ..QueueDeclaration::default() };
        let queue = encode_queue(ObjectId(99), &declared);
        assert!((0..queue.len()).all(|cut| decode_queue(&queue[..cut]).is_none()));
        let exchange = encode_exchange(&ExchangeConfig::durable(ExchangeKind::Topic));
        assert!((0..exchange.len()).all(|cut| decode_exchange(&exchange[..cut]).is_none()));
    }
}
