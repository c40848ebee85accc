//! AMQP messages and Motet messages.
//!
//! | AMQP 0-9-1 | canonical | notes |
//! |---|---|---|
//! | delivery_mode 2 / 1 or none | exactly once / at most once | persistent has no levels here; what was granted decides at delivery |
//! | expiration | absolute expiry | milliseconds; text that is no number is refused |
//! | priority, content_type, content_encoding, message_id, timestamp, user_id | the same | seconds become milliseconds |
//! | correlation_id | correlation | more than 255 bytes travel in the header `x-correlation-id` |
//! | reply_to | reply address: a queue | a topic is the pseudo queue `amq.topic.reply.<key>`, which the default exchange understands |
//! | headers | headers, in order | names that repeat become an array towards AMQP |
//! | content_encoding `utf-8` | text, where another face says no more than that | |
//! | type, app_id | headers `x-amqp-type`, `x-amqp-app-id` | and back |
//! | flags and properties as they came | origin | what an AMQP consumer gets, byte for byte |
//! | cluster_id | – | kept in the origin only |
//! | deaths | headers `x-death`, `x-first-death-…`, `x-last-death-…` | written as RabbitMQ does |

use super::packet::{ArrayBuf, FieldTable, FieldValue, Properties as Wire, SHORT_STRING_MAX, TableBuf};
use bytes::{Bytes, BytesMut};
use motet_core::message::{FaceId, Message, Properties, Reliability, ReplyAddress, Value};
use motet_core::name::Name;
use motet_core::queue::dead_letter::Deaths;
use motet_core::spelling::amqp;
use motet_core::time::{Now, WallMillis};
use std::collections::HashMap;
use std::time::Duration;

/// Origin data with this mark is a property list of AMQP 0-9-1: flags, then properties.
pub const FACE: FaceId = FaceId(2);

/// The pseudo queue under which a topic is a reply address: what follows is its key.
pub const REPLY_TOPIC_PREFIX: &str = "amq.topic.reply.";

/// Where a correlation goes that is longer than a short string.
const LONG_CORRELATION: &str = "x-correlation-id";
const KIND_HEADER: &str = "x-amqp-type";
const APP_HEADER: &str = "x-amqp-app-id";
/// The longest expiration, in milliseconds: a hundred years, so that deadlines stay numbers.
const EXPIRATION_MAX_MS: u64 = 100 * 366 * 24 * 3_600 * 1_000;

/// Why an expiration is none; the words are RabbitMQ's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadExpiration {
    /// No digit to begin with.
    #[error("no_integer")]
    NoInteger,
    /// Something behind the digits.
    #[error("{{leftover_string,\"{0}\"}}")]
    Leftover(String),
    /// Below zero.
    #[error("{{value_negative,{0}}}")]
    Negative(i128),
    /// Beyond a hundred years.
    #[error("{{value_too_large,{0}}}")]
    TooLarge(i128),
}

/// When a message with this expiration is stale.
pub fn expires_at(now: Now, expiration: Option<&[u8]>) -> Result<Option<WallMillis>, BadExpiration> {
    let Some(text) = expiration else { return Ok(None) };
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let digits = text[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return Err(BadExpiration::NoInteger);
    }
    let (number, rest) = text.split_at(sign + digits);
    if !rest.is_empty() {
        return Err(BadExpiration::Leftover(String::from_utf8_lossy(rest).into_owned()));
    }
    let number = std::str::from_utf8(number).ok().and_then(|text| text.parse::<i128>().ok()).unwrap_or(i128::MAX);
    match u64::try_from(number) {
        Err(_) if number < 0 => Err(BadExpiration::Negative(number)),
        Ok(ms) if ms <= EXPIRATION_MAX_MS => Ok(Some(now.wall.after(Duration::from_millis(ms)))),
        _ => Err(BadExpiration::TooLarge(number)),
    }
}

/// The level of a delivery mode.
pub fn reliability(delivery_mode: Option<u8>) -> Reliability {
    match delivery_mode {
        Some(2) => Reliability::ExactlyOnce,
        _ => Reliability::AtMostOnce,
    }
}

/// What other faces, exchanges and queues need to know of a property list; `None` when there is nothing.
pub fn to_canonical(wire: &Wire<'_>) -> Option<Box<Properties>> {
    let says_nothing = Wire { delivery_mode: None, expiration: None, cluster_id: None, ..*wire } == Wire::default();
    if says_nothing {
        return None;
    }
    let text = |value: Option<&[u8]>| value.map(|bytes| String::from_utf8_lossy(bytes).into());
    let mut headers: Vec<(Box<str>, Value)> =
        wire.headers.map(|table| fields(table).map(|(name, value)| (name.into(), value)).collect()).unwrap_or_default();
    for (name, value) in [(KIND_HEADER, wire.kind), (APP_HEADER, wire.app_id)] {
        headers.extend(value.map(|value| (name.into(), text_value(value))));
    }
    let long_correlation = headers.iter().find(|(name, _)| &**name == LONG_CORRELATION).map(|(_, value)| value);
    let correlation = match (wire.correlation_id, long_correlation) {
        (Some(short), _) => Some(Bytes::copy_from_slice(short)),
        (None, Some(Value::Text(text))) => Some(Bytes::copy_from_slice(text.as_bytes())),
        (None, Some(Value::Bytes(bytes))) => Some(bytes.clone()),
        _ => None,
    };
    if wire.correlation_id.is_none() && correlation.is_some() {
        headers.retain(|(name, _)| &**name != LONG_CORRELATION);
    }
    Some(Box::new(Properties {
        content_type: text(wire.content_type),
        content_encoding: text(wire.content_encoding),
        reply_to: wire.reply_to.and_then(reply_address),
        correlation,
        message_id: text(wire.message_id),
        priority: wire.priority,
        timestamp: wire.timestamp.map(|secs| secs.saturating_mul(1_000)),
        user: text(wire.user_id),
        headers,
        ..Properties::default()
    }))
}

/// The reply address that a `reply_to` means.
fn reply_address(reply_to: &[u8]) -> Option<ReplyAddress> {
    if let Some(key) = reply_to.strip_prefix(REPLY_TOPIC_PREFIX.as_bytes()) {
        return amqp::decode_name(key).ok().map(ReplyAddress::Topic);
    }
    Name::from_segments([reply_to]).ok().map(ReplyAddress::Queue)
}

/// The `reply_to` of a reply address; `None` where a short string cannot hold it, or AMQP has no word for it.
fn reply_to(address: &ReplyAddress) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    match address {
        ReplyAddress::Topic(name) if name.first() == b"$queue" && name.segment_count() == 2 => {
            text.extend_from_slice(name.segments().nth(1)?);
        }
        ReplyAddress::Topic(name) => {
            text.extend_from_slice(REPLY_TOPIC_PREFIX.as_bytes());
            amqp::encode_name(name, &mut text);
        }
        ReplyAddress::Queue(name) if name.segment_count() == 1 => text.extend_from_slice(name.first()),
        ReplyAddress::Queue(_) | ReplyAddress::Jid(_) => return None,
    }
    (text.len() <= SHORT_STRING_MAX).then_some(text)
}

/// The header that asks a delayed exchange to hold a message back.
const DELAY_HEADER: &str = "x-delay";
/// The header with the failed attempts of a quorum queue's message.
const DELIVERY_COUNT: &str = "x-delivery-count";
/// The header with the place of a stream's message.
const STREAM_OFFSET: &str = "x-stream-offset";

/// What a delivery adds to what the publisher said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Added<'a> {
    /// It is a last value, not a live message.
    pub retained: bool,
    /// The whole key, when the short string holds only a part of it.
    pub long_key: Option<&'a [u8]>,
    /// Failed attempts so far, where the queue counts them aloud.
    pub delivery_count: Option<u32>,
    /// Its place in the stream it comes from.
    pub stream_offset: Option<u64>,
}

impl Added<'_> {
    /// Nothing.
    pub fn is_nothing(&self) -> bool {
        !self.retained && self.long_key.is_none() && self.delivery_count.is_none() && self.stream_offset.is_none()
    }

    /// The publisher may have said it too, as whoever publishes again what it has received does.
    fn replaces(&self, name: &[u8]) -> bool {
        (self.delivery_count.is_some() && name == DELIVERY_COUNT.as_bytes())
            || (self.stream_offset.is_some() && name == STREAM_OFFSET.as_bytes())
    }

    fn push(&self, headers: &mut TableBuf) {
        if self.retained {
            headers.push("x-retained", FieldValue::Bool(true));
        }
        if let Some(key) = self.long_key {
            headers.push(amqp::LONG_KEY_HEADER, FieldValue::Text(key));
        }
        if let Some(count) = self.delivery_count {
            headers.push(DELIVERY_COUNT, FieldValue::I64(count.into()));
        }
        if let Some(offset) = self.stream_offset {
            headers.push(STREAM_OFFSET, FieldValue::I64(offset.cast_signed()));
        }
    }
}

/// The property list of a message that came from another face.
pub fn from_canonical(now: Now, message: &Message, added: Added<'_>, out: &mut BytesMut) {
    let nothing = Properties::default();
    let p = message.properties.as_deref().unwrap_or(&nothing);
    let mut headers = TableBuf::new();
    let (mut kind, mut app) = (None, None);
    // The publisher decides how many there are: each is looked at a few times, never all of them for each.
    let mut by_name: HashMap<&str, Vec<&Value>> = HashMap::with_capacity(p.headers.len());
    for (name, value) in &p.headers {
        by_name.entry(name).or_default().push(value);
    }
    for (name, value) in &p.headers {
        let values = by_name.remove(&**name);
        match (&**name, value) {
            (KIND_HEADER, Value::Text(text)) => kind = Some(text.as_bytes()),
            (APP_HEADER, Value::Text(text)) => app = Some(text.as_bytes()),
            // Later ones of a name went with its first.
            _ => values.into_iter().for_each(|values| push_header(&mut headers, name, &values)),
        }
    }
    let correlation = p.correlation.as_deref();
    if let Some(long) = correlation.filter(|bytes| bytes.len() > SHORT_STRING_MAX) {
        headers.push(LONG_CORRELATION, FieldValue::Bytes(long));
    }
    if let Some(deaths) = p.deaths.as_deref() {
        push_deaths(&mut headers, deaths, None);
    }
    added.push(&mut headers);
    let reply_to = p.reply_to.as_ref().and_then(reply_to);
    let expiration = message.expires_at.map(|at| at.0.saturating_sub(now.wall.0).to_string());
    let encoding = p.content_encoding.as_deref().or(p.utf8.then_some("utf-8"));
    let wire = Wire {
        content_type: p.content_type.as_deref().map(str::as_bytes),
        content_encoding: encoding.map(str::as_bytes),
        headers: (!headers.as_table().is_empty()).then(|| headers.as_table()),
        delivery_mode: Some(if message.reliability == Reliability::AtMostOnce { 1 } else { 2 }),
        priority: p.priority,
        correlation_id: correlation,
        reply_to: reply_to.as_deref(),
        expiration: expiration.as_deref().map(str::as_bytes),
        message_id: p.message_id.as_deref().map(str::as_bytes),
        timestamp: p.timestamp.map(|ms| ms / 1_000),
        kind,
        user_id: p.user.as_deref().map(str::as_bytes),
        app_id: app,
        cluster_id: None,
    };
    wire.encode(out);
}

/// The property list of a message that came from AMQP, with what has happened to it since.
pub fn from_origin(origin: &[u8], message: &Message, added: Added<'_>, out: &mut BytesMut) {
    let Ok(wire) = Wire::decode(origin) else {
        // A record of a release that knew more: what is not understood is not changed.
        return out.extend_from_slice(origin);
    };
    let mut headers = TableBuf::new();
    let properties = message.properties.as_deref();
    let deaths = properties.and_then(|p| p.deaths.as_deref());
    // A queue that sends its dead letters under another key takes the sender's further keys off them.
    let keeps_copies =
        deaths.is_none() || properties.is_some_and(|p| p.headers.iter().any(|(name, _)| &**name == "CC"));
    let past_delay = properties.and_then(past_delay);
    for (name, value) in wire.headers.into_iter().flat_map(FieldTable::iter) {
        if added.replaces(name) {
            continue;
        }
        if let (true, Some(delay)) = (name == DELAY_HEADER.as_bytes(), past_delay) {
            headers.push(DELAY_HEADER, i32::try_from(delay).map_or(FieldValue::I64(delay), FieldValue::I32));
            continue;
        }
        if deaths.is_none() || !(is_death_header(name) || (name == b"CC" && !keeps_copies)) {
            headers.push(&String::from_utf8_lossy(name), value);
        }
    }
    if let Some(deaths) = deaths {
        push_deaths(&mut headers, deaths, wire.expiration);
    }
    added.push(&mut headers);
    // What died of its expiry would die of it again.
    let expiration = wire.expiration.filter(|_| deaths.is_none() || message.expires_at.is_some());
    let headers = (wire.headers.is_some() || !headers.as_table().is_empty()).then(|| headers.as_table());
    Wire { headers, expiration, ..wire }.encode(out);
}

/// The list without its blind copies: receivers must not see who else got it.
pub fn without_bcc(wire: &Wire<'_>, out: &mut BytesMut) {
    let mut headers = TableBuf::new();
    for (name, value) in wire.headers.into_iter().flat_map(FieldTable::iter) {
        if name != b"BCC" {
            headers.push(&String::from_utf8_lossy(name), value);
        }
    }
    Wire { headers: Some(headers.as_table()), ..*wire }.encode(out);
}

/// It was dead-lettered or held back on its way: its headers are not those that were published.
pub fn has_changed(message: &Message) -> bool {
    let properties = message.properties.as_deref();
    properties.is_some_and(|properties| properties.deaths.is_some() || properties.deliver_at.is_some())
}

/// The header `x-delay` of a message that was held back: its delay, negative now.
fn past_delay(properties: &Properties) -> Option<i64> {
    let value = properties.headers.iter().find(|(name, _)| &**name == DELAY_HEADER).map(|(_, value)| value)?;
    match value {
        Value::Int(ms) if *ms < 0 => Some(*ms),
        _ => None,
    }
}

fn is_death_header(name: &[u8]) -> bool {
    name == b"x-death" || name.starts_with(b"x-first-death-") || name.starts_with(b"x-last-death-")
}

/// The headers that tell how a message died, as RabbitMQ writes them. `expiration` is what the publisher said.
fn push_deaths(headers: &mut TableBuf, deaths: &Deaths, expiration: Option<&[u8]>) {
    let mut list = ArrayBuf::new();
    for death in deaths.records() {
        let mut keys = ArrayBuf::new();
        death.routing_keys.iter().for_each(|key| keys.push(FieldValue::Text(key)));
        let mut entry = TableBuf::new();
        entry.push("count", FieldValue::I64(i64::try_from(death.count).unwrap_or(i64::MAX)));
        entry.push("reason", FieldValue::Text(death.reason.word().as_bytes()));
        entry.push("queue", FieldValue::Text(&death.queue));
        entry.push("time", FieldValue::Timestamp(death.first_time_ms / 1_000));
        entry.push("exchange", FieldValue::Text(&death.exchange));
        entry.push("routing-keys", FieldValue::Array(keys.as_array()));
        if let Some(expiration) = expiration.filter(|_| death.original_expiration_ms.is_some()) {
            entry.push("original-expiration", FieldValue::Text(expiration));
        }
        list.push(FieldValue::Table(entry.as_table()));
    }
    headers.push("x-death", FieldValue::Array(list.as_array()));
    for (which, death) in [("first", deaths.first()), ("last", deaths.last())] {
        let Some((queue, reason, exchange)) = death else { continue };
        let fields = [("exchange", &exchange[..]), ("queue", &queue[..]), ("reason", reason.word().as_bytes())];
        for (field, value) in fields {
            headers.push(&format!("x-{which}-death-{field}"), FieldValue::Text(value));
        }
    }
}

fn push_header(headers: &mut TableBuf, name: &str, values: &[&Value]) {
    if let [value] = values {
        return push_value(value, |value| headers.push(name, value));
    }
    let mut array = ArrayBuf::new();
    values.iter().for_each(|value| push_value(value, |value| array.push(value)));
    headers.push(name, FieldValue::Array(array.as_array()));
}

/// A canonical value on the wire; nested ones are built and lent.
pub fn push_value(value: &Value, put: impl FnOnce(FieldValue<'_>)) {
    match value {
        Value::Null => put(FieldValue::Void),
        Value::Bool(v) => put(FieldValue::Bool(*v)),
        Value::Int(v) => put(FieldValue::I64(*v)),
        Value::UInt(v) => match i64::try_from(*v) {
            Ok(v) => put(FieldValue::I64(v)),
            // AMQP 0-9-1 has no such number: the nearest that says about as much.
            Err(_) => put(FieldValue::F64(*v as f64)),
        },
        Value::Float(v) => put(FieldValue::F64(*v)),
        Value::Text(v) => put(FieldValue::Text(v.as_bytes())),
        Value::Bytes(v) => put(FieldValue::Bytes(v)),
        Value::Timestamp(ms) => put(FieldValue::Timestamp(ms / 1_000)),
        Value::List(items) => {
            let mut array = ArrayBuf::new();
            items.iter().for_each(|item| push_value_boxed(item, &mut |value| array.push(value)));
            put(FieldValue::Array(array.as_array()));
        }
        Value::Table(fields) => {
            let mut table = TableBuf::new();
            fields.iter().for_each(|(name, item)| push_value_boxed(item, &mut |value| table.push(name, value)));
            put(FieldValue::Table(table.as_table()));
        }
    }
}

/// The same behind a pointer, so that the recursion has one type.
fn push_value_boxed(value: &Value, put: &mut dyn FnMut(FieldValue<'_>)) {
    push_value(value, put);
}

/// The fields of a table as canonical values. Their depth was bounded where the table was read.
pub fn fields(table: FieldTable<'_>) -> impl Iterator<Item = (String, Value)> {
    table.iter().map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), to_value(value)))
}

fn text_value(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::Text(text.into()),
        Err(_) => Value::Bytes(Bytes::copy_from_slice(bytes)),
    }
}

/// A wire value as a canonical one.
pub fn to_value(value: FieldValue<'_>) -> Value {
    match value {
        FieldValue::Bool(v) => Value::Bool(v),
        FieldValue::F32(v) => Value::Float(v.into()),
        FieldValue::F64(v) => Value::Float(v),
        FieldValue::Decimal { scale, value } => Value::Float(f64::from(value) / 10f64.powi(scale.into())),
        FieldValue::Text(bytes) => text_value(bytes),
        FieldValue::Bytes(bytes) => Value::Bytes(Bytes::copy_from_slice(bytes)),
        FieldValue::Array(array) => Value::List(array.iter().map(to_value).collect()),
        FieldValue::Timestamp(secs) => Value::Timestamp(secs.saturating_mul(1_000)),
        FieldValue::Table(table) => Value::Table(fields(table).collect()),
        FieldValue::Void => Value::Null,
        number => Value::Int(number.integer().expect("the others are integers")),
    }
}

#[cfg(test)]
mod tests;
