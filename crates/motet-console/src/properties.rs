//! What a message says about itself, in the words that AMQP has for it, as JSON and back.

use crate::{Refusal, json};
use bytes::Bytes;
use motet_core::message::{MessageRef, Properties, Reliability, ReplyAddress, Value as Field};
use motet_core::name::Name;
use motet_core::queue::DeadReason;
use motet_core::queue::dead_letter::Deaths;
use motet_core::spelling::amqp;
use motet_core::time::{Now, WallMillis};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Where AMQP's `type` and `app_id` are among the headers.
const KIND_HEADER: &str = "x-amqp-type";
const APP_HEADER: &str = "x-amqp-app-id";
/// The pseudo queue under which a topic is a reply address: what follows is its key.
const REPLY_TOPIC_PREFIX: &str = "amq.topic.reply.";

/// What a body asks for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) properties: Option<Box<Properties>>,
    pub(crate) reliability: Reliability,
    pub(crate) expires_at: Option<WallMillis>,
}

/// Reads `properties` of a publication.
///
/// # Errors
/// A property is not of its kind; RabbitMQ's words.
pub(crate) fn read(object: &Map<String, Value>, now: Now) -> Result<Asked, Refusal> {
    let wrong = |kind: &str, name: &str| Refusal::bad_request(json!([format!("not_{kind}"), name]));
    let text = |name: &'static str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(wrong("string", name)),
    };
    let number = |name: &'static str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| wrong("int", name)),
    };
    let mut headers = match object.get("headers") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Object(headers)) => json::fields(headers).ok_or_else(|| wrong("table", "headers"))?,
        Some(Value::Array(list)) if list.is_empty() => Vec::new(),
        Some(_) => return Err(wrong("table", "headers")),
    };
    for (header, name) in [(KIND_HEADER, "type"), (APP_HEADER, "app_id")] {
        headers.extend(text(name)?.map(|text| (header.into(), Field::Text(text.into()))));
    }
    let priority = number("priority")?.map(|number| u8::try_from(number).map_err(|_| wrong("int", "priority")));
    let expires_at = match text("expiration")? {
        None => None,
        Some(ms) => {
            let ms = ms.parse::<u32>().map_err(|_| Refusal::bad_request(json!(["invalid_expiration", ms])))?;
            Some(now.wall.after(Duration::from_millis(ms.into())))
        }
    };
    let boxed = |text: &str| text.into();
    let properties = Properties {
        content_type: text("content_type")?.map(boxed),
        content_encoding: text("content_encoding")?.map(boxed),
        reply_to: text("reply_to")?.and_then(reply_address),
        correlation: text("correlation_id")?.map(|text| Bytes::copy_from_slice(text.as_bytes())),
        message_id: text("message_id")?.map(boxed),
        priority: priority.transpose()?,
        timestamp: number("timestamp")?.map(|secs| secs.saturating_mul(1_000)),
        user: text("user_id")?.map(boxed),
        headers,
        ..Properties::default()
    };
    let says_nothing = properties == Properties::default();
    Ok(Asked {
        properties: (!says_nothing).then(|| Box::new(properties)),
        reliability: match number("delivery_mode")? {
            Some(2) => Reliability::ExactlyOnce,
            _ => Reliability::AtMostOnce,
        },
        expires_at,
    })
}

fn reply_address(text: &str) -> Option<ReplyAddress> {
    match text.strip_prefix(REPLY_TOPIC_PREFIX) {
        Some(key) => amqp::decode_name(key.as_bytes()).ok().map(ReplyAddress::Topic),
        None => Name::from_segments([text.as_bytes()]).ok().map(ReplyAddress::Queue),
    }
}

fn reply_to(address: &ReplyAddress) -> Option<String> {
    match address {
        ReplyAddress::Topic(name) => {
            let mut key = Vec::new();
            amqp::encode_name(name, &mut key);
            Some(format!("{REPLY_TOPIC_PREFIX}{}", json::text(&key)))
        }
        ReplyAddress::Queue(name) if name.segment_count() == 1 => Some(json::text(name.first())),
        ReplyAddress::Queue(_) | ReplyAddress::Jid(_) => None,
    }
}

/// The properties of a message; an empty list where it has none, as RabbitMQ writes it.
pub(crate) fn view(message: &MessageRef, now: Now) -> Value {
    let head = message.message();
    let nothing = Properties::default();
    let known = head.properties.as_deref().unwrap_or(&nothing);
    let mut view = Map::new();
    let mut put = |name: &str, value: Option<Value>| view.extend(value.map(|value| (name.to_owned(), value)));
    let text = |text: &Option<Box<str>>| text.as_deref().map(Value::from);
    let header = |wanted: &str| {
        let found = known.headers.iter().find(|(name, _)| &**name == wanted);
        found.map(|(_, field)| json::value(field))
    };
    put("content_type", text(&known.content_type));
    put("content_encoding", text(&known.content_encoding));
    put("delivery_mode", (head.reliability != Reliability::AtMostOnce).then(|| json!(2)));
    put("priority", known.priority.map(Value::from));
    put("correlation_id", known.correlation.as_deref().map(|bytes| json!(json::text(bytes))));
    put("reply_to", known.reply_to.as_ref().and_then(reply_to).map(Value::from));
    let left = head.expires_at.map(|at| at.0.saturating_sub(now.wall.0).to_string());
    put("expiration", left.map(Value::from));
    put("message_id", text(&known.message_id));
    put("timestamp", known.timestamp.map(|ms| json!(ms / 1_000)));
    put("type", header(KIND_HEADER));
    put("user_id", text(&known.user));
    put("app_id", header(APP_HEADER));
    let own = known.headers.iter().filter(|(name, _)| !matches!(&**name, KIND_HEADER | APP_HEADER));
    let mut headers: Map<_, _> = own.map(|(name, field)| (name.to_string(), json::value(field))).collect();
    if let Some(deaths) = known.deaths.as_deref() {
        put_deaths(deaths, &mut headers);
    }
    if !headers.is_empty() {
        view.insert("headers".into(), headers.into());
    }
    if view.is_empty() { json!([]) } else { view.into() }
}

fn put_deaths(deaths: &Deaths, headers: &mut Map<String, Value>) {
    let word = |reason| match reason {
        DeadReason::Expired => "expired",
        DeadReason::Rejected => "rejected",
        DeadReason::MaxLen => "maxlen",
        DeadReason::DeliveryLimit => "delivery_limit",
    };
    let records = deaths.records().iter().map(|death| {
        let keys: Vec<_> = death.routing_keys.iter().map(|key| json::text(key)).collect();
        json!({
            "count": death.count,
            "exchange": json::text(&death.exchange),
            "queue": json::text(&death.queue),
            "reason": word(death.reason),
            "routing-keys": keys,
            "time": death.first_time_ms / 1_000,
        })
    });
    headers.insert("x-death".into(), records.collect());
    for (which, death) in [("first", deaths.first()), ("last", deaths.last())] {
        let Some((queue, reason, exchange)) = death else { continue };
        headers.insert(format!("x-{which}-death-exchange"), json!(json::text(exchange)));
        headers.insert(format!("x-{which}-death-queue"), json!(json::text(queue)));
        headers.insert(format!("x-{which}-death-reason"), json!(word(reason)));
    }
}
