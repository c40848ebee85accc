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
//! | User Properties | headers, in order, duplicates kept | |
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

/// Origin data with this mark is an MQTT 5 property block.
pub const FACE: FaceId = FaceId(1);

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
    let mut p = Properties::default();
    for property in block.iter() {
        match property {
            Property::PayloadFormatIndicator(utf8) => p.utf8 = utf8,
            Property::ContentType(v) => p.content_type = Some(v.into()),
            Property::ResponseTopic(v) => p.reply_to = mqtt::decode_name(v).ok().map(ReplyAddress::Topic),
            Property::CorrelationData(v) => p.correlation = Some(Bytes::copy_from_slice(v)),
            Property::UserProperty(name, value) => p.headers.push((name.into(), Value::Text(value.into()))),
            _ => {}
        }
    }
    let properties = (p != Properties::default()).then(|| Box::new(p));
    (origin, properties)
}

/// The property block of a message that came from another face.
pub fn from_canonical(message: &Message) -> PropertiesBuf {
    let mut block = PropertiesBuf::new();
    let Some(p) = &message.properties else { return block };
    let mut push = |property: Property<'_>| {
        // What MQTT cannot say (too long, NUL in text) is left out; the table above says so.
        let _ = block.push(Place::Publish, property);
    };
    if p.utf8 {
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
    for (name, value) in &p.headers {
        push(Property::UserProperty(name, &text(value)));
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

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(v) => v.to_string(),
        Value::Int(v) => v.to_string(),
        Value::UInt(v) | Value::Timestamp(v) => v.to_string(),
        Value::Float(v) => v.to_string(),
        Value::Text(v) => v.clone(),
        Value::Bytes(v) => String::from_utf8_lossy(v).into_owned(),
        Value::List(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        Value::Table(fields) => fields.iter().map(|(k, v)| format!("{k}={}", text(v))).collect::<Vec<_>>().join(","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now { wall: WallMillis(ms), ..Now::default() }
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
        let back = from_canonical(&message);
        assert_eq!(back.as_properties().user_properties().collect::<Vec<_>>(), users);
    }
}
