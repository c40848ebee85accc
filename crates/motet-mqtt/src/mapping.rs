//! MQTT messages and Motet messages.
//!
//! | MQTT 5 | canonical | notes |
//! |---|---|---|
//! | QoS 0 / 1 / 2 | at most once / at least once / exactly once | 3.x the same |
//! | RETAIN | retain | |
//! | Message Expiry Interval | absolute expiry | counted down at delivery [MQTT-3.3.2-6] |
//! | Payload Format Indicator | utf8 | |
//! | Content Type, Correlation Data | the same | |
//! | Response Topic | reply address: a topic; a queue is `$queue/…` | |
//! | User Properties | headers, in order, duplicates kept | what is no text is told as text, its type in `x-types` |
//! | `x-priority`, `x-message-id` among them | priority, message id | |
//! | `x-delay` among them | published so many milliseconds later | as the topic `$delayed/…` |
//! | Payload Format 1; `x-content-encoding` | content encoding `utf-8`; another one | |
//! | `x-redelivered` among them | – | told by us where somebody else may have had it before |
//! | `x-stream-offset` among them | – | told by us where it comes from a stream: its place there |
//! | the property block as it came, without alias, expiry, identifiers | origin | what an MQTT 5 subscriber gets |
//! | Topic Alias, Subscription Identifier, DUP, packet identifier | – | belong to one hop |

use crate::packet::{
    Place, Properties as Block, PropertiesBuf, Property, PropertyIdentifier, PropertySet, PublishHead, QoS,
};
use bytes::Bytes;
use motet_core::message::{FaceId, Message, Properties, Reliability, ReplyAddress, Value};
use motet_core::name::Name;
use motet_core::spelling::mqtt;
use motet_core::time::{Now, WallMillis};
use std::time::Duration;

mod headers;

/// Origin data with this mark is an MQTT 5 property block.
pub const FACE: FaceId = FaceId(1);

/// The content encoding that the payload format indicator means.
const UTF8: &str = "utf-8";

/// The level of a QoS.
pub fn reliability(qos: QoS) -> Reliability {
    match qos {
        QoS::AtMostOnce => Reliability::AtMostOnce,
        QoS::AtLeastOnce => Reliability::AtLeastOnce,
        QoS::ExactlyOnce => Reliability::ExactlyOnce,
    }
}

/// The QoS of a level.
pub fn qos(reliability: Reliability) -> QoS {
    match reliability {
        Reliability::AtMostOnce => QoS::AtMostOnce,
        Reliability::AtLeastOnce => QoS::AtLeastOnce,
        Reliability::ExactlyOnce => QoS::ExactlyOnce,
    }
}

/// When a message with this interval expires.
pub fn expires_at(now: Now, interval_secs: Option<u32>) -> Option<WallMillis> {
    interval_secs.map(|secs| now.wall.after(Duration::from_secs(secs.into())))
}

/// Seconds left, rounded up; `None` when it has expired.
pub fn seconds_left(now: Now, at: WallMillis) -> Option<u32> {
    let left = at.0.checked_sub(now.wall.0).filter(|&left| left > 0)?;
    Some(u32::try_from(left.div_ceil(1000)).unwrap_or(u32::MAX))
}

/// What stays out of the origin: it belongs to one hop, or is kept elsewhere.
const PER_HOP: PropertySet = PublishHead::PER_SUBSCRIBER.with(PropertyIdentifier::WillDelayInterval);

/// The origin data of a block, and what other faces need to know of it.
pub fn to_canonical(block: Block<'_>) -> (PropertiesBuf, Option<Box<Properties>>) {
    let origin = block.without(PER_HOP);
    let (mut p, mut types) = (Properties::default(), None);
    for property in block.iter() {
        match property {
            Property::PayloadFormatIndicator(utf8) => p.utf8 = utf8,
            Property::ContentType(v) => p.content_type = Some(v.into()),
            Property::ResponseTopic(v) => p.reply_to = mqtt::decode_name(v).ok().map(ReplyAddress::Topic),
            Property::CorrelationData(v) => p.correlation = Some(Bytes::copy_from_slice(v)),
            Property::UserProperty(headers::TYPES, v) => types = Some(v),
            Property::UserProperty(name, value) => user_property(&mut p, name, value),
            _ => {}
        }
    }
    if let Some(types) = types {
        headers::restore(&mut p.headers, types);
    }
    let properties = (p != Properties::default()).then(|| Box::new(p));
    (origin, properties)
}

/// The user properties that stand for what MQTT has no property of its own for.
const PRIORITY: &str = "x-priority";
const MESSAGE_ID: &str = "x-message-id";
const CONTENT_ENCODING: &str = "x-content-encoding";
/// The one by which a publisher asks for a delay, in milliseconds.
pub const DELAY: &str = "x-delay";
const REDELIVERED: &str = "x-redelivered";
/// As over AMQP: its place in the stream that it was read from.
const STREAM_OFFSET: &str = "x-stream-offset";

/// One that stands for a property goes there if it can be read as such.
fn user_property(p: &mut Properties, name: &str, value: &str) {
    match (name, value.parse()) {
        (PRIORITY, Ok(priority)) => p.priority = Some(priority),
        (MESSAGE_ID, _) => p.message_id = Some(value.into()),
        (CONTENT_ENCODING, _) => p.content_encoding = Some(value.into()),
        _ => p.headers.push((name.into(), Value::Text(value.into()))),
    }
}

/// The delay that a message asks for by its user property, in milliseconds; what is no number asks for none.
pub fn delay_ms(block: Block<'_>) -> Option<u64> {
    let (_, value) = block.user_properties().find(|(name, _)| *name == DELAY)?;
    value.parse().ok().filter(|&delay| delay > 0)
}

/// The block with the word that somebody may have had the message before, and with its place in the stream it comes from.
pub fn with_marks(block: &[u8], redelivered: bool, stream_offset: Option<u64>) -> PropertiesBuf {
    let mut marked = match stream_offset {
        Some(_) => without_stream_offset(Block::forwarded(block)),
        None => Block::forwarded(block).without(PropertySet::NONE),
    };
    let mut push = |name, value: &str| {
        marked.push(Place::Publish, Property::UserProperty(name, value)).expect("it is short text");
    };
    if redelivered {
        push(REDELIVERED, "true");
    }
    if let Some(offset) = stream_offset {
        push(STREAM_OFFSET, &offset.to_string());
    }
    marked
}

/// The publisher may have said one too, as whoever publishes again what it has received does.
fn without_stream_offset(block: Block<'_>) -> PropertiesBuf {
    let is_one = |property: &Property<'_>| matches!(property, Property::UserProperty(STREAM_OFFSET, _));
    if !block.iter().any(|property| is_one(&property)) {
        return block.without(PropertySet::NONE);
    }
    let mut rest = PropertiesBuf::new();
    for property in block.iter().filter(|property| !is_one(property)) {
        rest.push(Place::Publish, property).expect("it was in a PUBLISH before");
    }
    rest
}

/// The property block of a message that came from another face.
pub fn from_canonical(message: &Message, payload: &[u8]) -> PropertiesBuf {
    let mut block = PropertiesBuf::new();
    let Some(p) = &message.properties else { return block };
    let mut push = |property: Property<'_>| {
        // What MQTT cannot say (too long, NUL in text) is left out; the table above says so.
        let _ = block.push(Place::Publish, property);
    };
    let (encoding, says_utf8) = match p.content_encoding.as_deref() {
        // Whoever receives it may check, and end the connection [MQTT-3.3.2-4].
        Some(encoding) if encoding.eq_ignore_ascii_case(UTF8) && std::str::from_utf8(payload).is_ok() => (None, true),
        encoding => (encoding, p.utf8),
    };
    if says_utf8 {
        push(Property::PayloadFormatIndicator(true));
    }
    if let Some(v) = &p.content_type {
        push(Property::ContentType(v));
    }
    if let Some(topic) = p.reply_to.as_ref().and_then(response_topic) {
        push(Property::ResponseTopic(&topic));
    }
    if let Some(v) = &p.correlation {
        push(Property::CorrelationData(v));
    }
    headers::to_user_properties(&p.headers, |name, value| push(Property::UserProperty(name, value)));
    if let Some(priority) = p.priority {
        push(Property::UserProperty(PRIORITY, &priority.to_string()));
    }
    let texts = [(MESSAGE_ID, p.message_id.as_deref()), (CONTENT_ENCODING, encoding)];
    for (name, value) in texts.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        push(Property::UserProperty(name, value));
    }
    block
}

/// The topic that a reply address is; a queue is one of the reserved tree.
fn response_topic(address: &ReplyAddress) -> Option<String> {
    let name = match address {
        ReplyAddress::Topic(name) => name.clone(),
        ReplyAddress::Queue(name) => Name::from_segments([b"$queue".as_slice(), name.first()]).ok()?,
        ReplyAddress::Jid(_) => return None,
    };
    let mut topic = Vec::new();
    mqtt::encode_name(&name, &mut topic).ok()?;
    String::from_utf8(topic).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now { wall: WallMillis(ms), ..Now::default() }
    }

    #[test]
    fn a_stream_says_the_offset_and_nobody_else_does() {
        let mut block = PropertiesBuf::new();
        for (name, value) in [(STREAM_OFFSET, "77"), ("kept", "yes"), (STREAM_OFFSET, "78")] {
            block.push(Place::Publish, Property::UserProperty(name, value)).expect("it is short text");
        }
        let raw = block.as_properties().raw();
        let marked = with_marks(raw, true, Some(5));
        let told: Vec<_> = marked.as_properties().user_properties().collect();
        assert_eq!(told, [("kept", "yes"), (REDELIVERED, "true"), (STREAM_OFFSET, "5")]);
        assert_eq!(with_marks(raw, false, None).as_properties().raw(), raw);
    }

    #[test]
    fn expiry_is_rounded_up_and_ends_at_its_moment() {
        let expires = expires_at(at(1_000), Some(2)).expect("an interval was given");
        assert_eq!(expires, WallMillis(3_000));
        assert_eq!(seconds_left(at(1_000), expires), Some(2));
        assert_eq!(seconds_left(at(1_001), expires), Some(2));
        assert_eq!(seconds_left(at(2_999), expires), Some(1));
        assert_eq!(seconds_left(at(3_000), expires), None);
        assert_eq!(expires_at(at(0), None), None);
    }

    #[test]
    fn a_block_keeps_its_order_and_loses_what_belongs_to_the_hop() {
        let mut block = PropertiesBuf::new();
        for property in [
            Property::UserProperty("b", "1"),
            Property::MessageExpiryInterval(9),
            Property::UserProperty("a", "2"),
            Property::ContentType("text/plain"),
            Property::UserProperty("b", "3"),
        ] {
            block.push(Place::Publish, property).expect("allowed here");
        }
        let (origin, canonical) = to_canonical(block.as_properties());
        let users: Vec<_> = origin.as_properties().user_properties().collect();
        assert_eq!(users, [("b", "1"), ("a", "2"), ("b", "3")]);
        assert_eq!(origin.as_properties().message_expiry_interval(), None);
        let canonical = canonical.expect("there are properties");
        assert_eq!(canonical.content_type.as_deref(), Some("text/plain"));
        assert_eq!(canonical.headers.len(), 3);
        let mut message = Message::default();
        message.properties = Some(canonical);
        let back = from_canonical(&message, b"");
        assert_eq!(back.as_properties().user_properties().collect::<Vec<_>>(), users);
    }
}
