//! Exchange and routing key as one name, and back.

use crate::exchange::{RouteError, sender_selected_keys};
use crate::message::{Batch, MessageParts, MessageRef, Value};
use crate::name::{Name, NameBuilder};
use crate::spelling::{SpellingError, amqp};
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;

/// The reserved tree of queues: `$queue/<name>`.
pub(super) const QUEUE_TREE: &[u8] = b"$queue";
/// The reserved tree of exchanges: `$exchange/<name>/<words of the key>`.
pub(super) const EXCHANGE_TREE: &[u8] = b"$exchange";
/// The exchange that is the topic tree.
pub(in crate::core) const TREE_EXCHANGE: &[u8] = b"amq.topic";

/// The address of what is published to an exchange under a key.
///
/// # Errors
/// [`SpellingError::TooLong`].
pub fn address_of(exchange: &[u8], key: &[u8]) -> Result<Name, SpellingError> {
    if exchange == TREE_EXCHANGE {
        return amqp::decode_name(key);
    }
    let mut name = NameBuilder::with_capacity(exchange.len() + key.len() + 16);
    if exchange.is_empty() {
        name.push(QUEUE_TREE)?;
        name.push(key)?;
        return Ok(name.finish());
    }
    name.push(EXCHANGE_TREE)?;
    name.push(exchange)?;
    for word in amqp::decode_name(key)?.segments() {
        name.push(word)?;
    }
    Ok(name.finish())
}

/// The exchange and the routing key that a message with this address was published to.
pub fn exchange_and_key(address: &Name) -> (Bytes, Vec<u8>) {
    let mut segments = address.segments();
    let (first, second) = (segments.next(), segments.next());
    let mut key = Vec::new();
    match (first, second) {
        (Some(QUEUE_TREE), Some(queue)) if segments.clone().next().is_none() => (Bytes::new(), queue.to_vec()),
        (Some(EXCHANGE_TREE), Some(exchange)) => {
            if let Ok(rest) = Name::from_segments(segments) {
                amqp::encode_name(&rest, &mut key);
            }
            (Bytes::copy_from_slice(exchange), key)
        }
        _ => {
            amqp::encode_name(address, &mut key);
            (Bytes::from_static(TREE_EXCHANGE), key)
        }
    }
}

/// One name for one place: what is spelled as a key of the topic tree's exchange is the topic, and a key of the default
/// exchange is its queue, also to access rules.
pub(crate) fn canonical(name: Name) -> Name {
    match exchange_of(&name) {
        Some((exchange, key)) => address_of(&exchange, &key).unwrap_or(name),
        None => name,
    }
}

/// The exchange and key that a name in a reserved tree stands for.
pub(super) fn exchange_of(name: &Name) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut segments = name.segments();
    let (tree, second) = (segments.next()?, segments.next()?);
    match tree {
        QUEUE_TREE if segments.next().is_none() => Some((Vec::new(), second.to_vec())),
        EXCHANGE_TREE => {
            let mut key = Vec::new();
            amqp::encode_name(&Name::from_segments(segments).ok()?, &mut key);
            Some((second.to_vec(), key))
        }
        _ => None,
    }
}

/// Whether the headers name further routing keys, or try to.
pub(crate) fn names_keys(headers: &[(Box<str>, Value)]) -> bool {
    headers.iter().any(|(name, _)| matches!(&**name, "CC" | "BCC"))
}

/// The further routing keys of a message.
///
/// # Errors
/// [`RouteError::Keys`].
pub(super) fn further_keys(headers: &[(Box<str>, Value)]) -> Result<SmallVec<[&[u8]; 4]>, RouteError> {
    if names_keys(headers) { sender_selected_keys(headers) } else { Ok(SmallVec::new()) }
}

/// The message without its blind copies, when it has any: receivers must not see who else got it.
pub(crate) fn without_bcc(message: &MessageRef) -> Option<Arc<Batch>> {
    let m = message.message();
    let properties = m.properties.as_ref().filter(|p| p.headers.iter().any(|(name, _)| &**name == "BCC"))?;
    let mut properties = properties.clone();
    properties.headers.retain(|(name, _)| &**name != "BCC");
    Some(message.rewritten(
        message.address().clone(),
        MessageParts {
            payload: message.payload(),
            origin: message.origin(),
            reliability: m.reliability,
            retain: m.retain,
            expires_at: m.expires_at,
            properties: Some(properties),
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spelling::mqtt;

    #[test]
    fn exchange_and_key_come_back_from_the_address() {
        for (exchange, key) in
            [("", "a.b/c"), ("amq.topic", "a..b%2E"), ("x", ""), ("a.b", "c.d."), ("amq.direct", "k")]
        {
            let address = address_of(exchange.as_bytes(), key.as_bytes()).expect("short");
            let (e, k) = exchange_and_key(&address);
            assert_eq!((&e[..], &k[..]), (exchange.as_bytes(), key.as_bytes()));
        }
    }

    #[test]
    fn one_place_has_one_name() {
        for (spelled, name) in [
            ("$exchange/amq.topic/a/b", "a/b"),
            ("$exchange//a/b", "$queue/a.b"),
            ("$exchange/x/a", "$exchange/x/a"),
            ("$queue/q", "$queue/q"),
            ("$SYS/a", "$SYS/a"),
            ("a/b", "a/b"),
        ] {
            let [spelled, name] = [spelled, name].map(|topic| mqtt::decode_name(topic).expect("a topic"));
            assert_eq!(canonical(spelled), name);
        }
    }
}
