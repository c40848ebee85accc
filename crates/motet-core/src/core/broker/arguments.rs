//! What the `x-` arguments of a queue mean.

use super::error::ArgumentError;
use super::named::QueueDeclaration;
use crate::message::Value;
use crate::queue::{DedupWindow, Overflow, QueueConfig, RetryBackoff};
use crate::stream::StreamConfig;
use bytes::Bytes;

type Argument = (Box<str>, Value);

/// Everything arguments decide.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    config: QueueConfig,
    /// How long entries are kept, when it is a stream.
    max_age_ms: Option<u64>,
    pub(super) queue_type: &'static str,
    pub(super) dead_letter_exchange: Option<Bytes>,
    pub(super) dead_letter_key: Option<Bytes>,
    /// The header that tells duplicates, when the queue looks for them.
    pub(super) dedup_header: Option<Box<str>>,
    /// A message without that header is known by its own id.
    pub(super) dedup_by_id: bool,
}

impl Shape {
    /// How the queue itself is set up.
    pub(super) fn config(&self, declared: &QueueDeclaration) -> QueueConfig {
        let durable = declared.is_kept();
        QueueConfig {
            owner: declared.exclusive,
            durable,
            keep_attempts: durable,
            // A consumer takes bodies, not places of the journal.
            resident_only: true,
            dead_letter: self.dead_letter_exchange.is_some(),
            ..self.config.clone()
        }
    }
}

impl Shape {
    /// The declaration asks for a stream.
    pub(super) fn is_stream(&self) -> bool {
        self.queue_type == "stream"
    }

    /// How a stream is set up.
    pub(super) fn stream_config(&self) -> StreamConfig {
        StreamConfig {
            max_age_ms: self.max_age_ms,
            max_bytes: self.config.max_bytes,
            max_messages: self.config.max_messages,
            ..StreamConfig::default()
        }
    }
}

/// Failed attempts a message of a quorum queue survives unless told otherwise, as RabbitMQ has it since 4.0.
const QUORUM_DELIVERY_LIMIT: u16 = 20;
/// Identifiers remembered by a queue that looks for duplicates, unless told otherwise.
const DEDUP_ENTRIES: u64 = 10_000;
/// The most it may be told to remember.
const DEDUP_ENTRIES_MAX: u64 = 10_000_000;
/// Milliseconds they are remembered, unless told otherwise.
const DEDUP_MS: u64 = 10 * 60 * 1_000;
/// The longest time in milliseconds: a hundred years, so that deadlines stay numbers.
const MS_MAX: u64 = 100 * 366 * 24 * 3_600 * 1_000;
/// The longest time-to-live or expiry in milliseconds: ten years, as in RabbitMQ.
const EXPIRY_MS_MAX: u64 = 10 * 365 * 24 * 3_600 * 1_000;

/// Reads them all; arguments nobody knows are kept and mean nothing.
///
/// # Errors
/// [`ArgumentError`] for the first that is not of its form.
pub(super) fn read(arguments: &[Argument]) -> Result<Shape, ArgumentError> {
    let mut shape = Shape {
        config: QueueConfig::default(),
        max_age_ms: None,
        queue_type: "classic",
        dead_letter_exchange: None,
        dead_letter_key: None,
        dedup_header: None,
        dedup_by_id: false,
    };
    let (mut dedup, mut header) = (false, None);
    // Without a window an identifier is known as long as its message is there, as with RabbitMQ's plugin.
    let while_present = !arguments.iter().any(|(name, _)| matches!(&**name, "x-cache-size" | "x-cache-ttl"));
    let mut window = DedupWindow { while_present, ms: DEDUP_MS, entries: DEDUP_ENTRIES as usize };
    let mut retry = RetryBackoff { min_ms: 0, max_ms: MS_MAX, factor: 1 };
    for argument in arguments {
        let config = &mut shape.config;
        match &*argument.0 {
            "x-message-ttl" => config.message_ttl_ms = Some(number(argument, 0, EXPIRY_MS_MAX)?),
            "x-expires" => config.expires_ms = Some(number(argument, 1, EXPIRY_MS_MAX)?),
            "x-max-length" => config.max_messages = Some(number(argument, 0, u64::MAX)?),
            "x-max-length-bytes" => config.max_bytes = Some(number(argument, 0, u64::MAX)?),
            "x-max-priority" => config.max_priority = number(argument, 0, 255)? as u8,
            "x-overflow" => config.overflow = overflow(argument)?,
            "x-single-active-consumer" => config.single_active_consumer = truth(argument)?,
            "x-delivery-limit" => config.delivery_limit = delivery_limit(argument)?,
            "x-dead-letter-exchange" => shape.dead_letter_exchange = Some(text(argument)?.to_owned().into()),
            "x-dead-letter-routing-key" => shape.dead_letter_key = Some(text(argument)?.to_owned().into()),
            "x-queue-type" => shape.queue_type = queue_type(argument)?,
            "x-queue-mode" => drop(one_of(argument, &["default", "lazy"], "default or lazy")?),
            "x-queue-version" => drop(number(argument, 1, 2)?),
            "x-stream-max-segment-size-bytes" => drop(number(argument, 0, u64::MAX)?),
            "x-dead-letter-strategy" => strategy(argument)?,
            "x-message-deduplication" => dedup = truth(argument)?,
            "x-deduplication-header" => header = Some(text(argument)?.into()),
            "x-max-age" => shape.max_age_ms = Some(age(argument)?),
            "x-cache-size" => window.entries = number(argument, 1, DEDUP_ENTRIES_MAX)? as usize,
            "x-cache-ttl" => window.ms = number(argument, 1, MS_MAX)?,
            "x-delayed-retry-min" => retry.min_ms = number(argument, 0, MS_MAX)?,
            "x-delayed-retry-max" => retry.max_ms = number(argument, 0, MS_MAX)?,
            "x-delayed-retry-factor" => retry.factor = number(argument, 1, 100)? as u32,
            _ => {}
        }
    }
    if shape.queue_type == "quorum" && !arguments.iter().any(|(name, _)| &**name == "x-delivery-limit") {
        shape.config.delivery_limit = Some(QUORUM_DELIVERY_LIMIT);
    }
    if dedup {
        shape.config.dedup = Some(window);
        shape.dedup_by_id = !while_present;
        shape.dedup_header = Some(header.unwrap_or_else(|| "x-deduplication-header".into()));
    }
    shape.config.retry = (retry.min_ms > 0).then_some(retry);
    Ok(shape)
}

fn error((name, value): &Argument, wants: &'static str) -> ArgumentError {
    ArgumentError { name: name.clone(), value: said(value), wants }
}

/// A value for a sentence.
pub(super) fn said(value: &Value) -> String {
    match value {
        Value::Null => "empty".into(),
        Value::Bool(truth) => format!("'{truth}'"),
        Value::Int(number) => format!("'{number}'"),
        Value::UInt(number) | Value::Timestamp(number) => format!("'{number}'"),
        Value::Float(number) => format!("'{number}'"),
        Value::Text(text) => format!("'{}'", text.escape_debug()),
        Value::Bytes(bytes) => format!("'{}'", bytes.escape_ascii()),
        Value::List(_) => "a list".into(),
        Value::Table(_) => "a table".into(),
    }
}

fn number(argument: &Argument, min: u64, max: u64) -> Result<u64, ArgumentError> {
    let number = whole(&argument.1).filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| error(argument, if min == 0 { "a number of at least 0" } else { "a number of at least 1" }))
}

fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::UInt(number) => Some(*number),
        _ => None,
    }
}

/// -1 is no limit, as in RabbitMQ.
fn delivery_limit(argument: &Argument) -> Result<Option<u16>, ArgumentError> {
    match &argument.1 {
        Value::Int(..0) => Ok(None),
        _ => Ok(Some(u16::try_from(number(argument, 0, u64::MAX)?).unwrap_or(u16::MAX))),
    }
}

fn text(argument: &Argument) -> Result<&str, ArgumentError> {
    match &argument.1 {
        Value::Text(text) => Ok(text),
        Value::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|_| error(argument, "text")),
        _ => Err(error(argument, "text")),
    }
}

fn age(argument: &Argument) -> Result<u64, ArgumentError> {
    const WANTS: &str = "a number followed by Y, M, D, h, m or s";
    let said = text(argument).map_err(|_| error(argument, WANTS))?;
    age_ms(said).ok_or_else(|| error(argument, WANTS))
}

/// Milliseconds of an age as RabbitMQ writes them, a number of years, months, days, hours, minutes or seconds: `7D`. `None`
/// when it is none, or longer than a hundred years.
pub fn age_ms(said: &str) -> Option<u64> {
    let (number, unit) = said.split_at(said.char_indices().last().map_or(0, |(at, _)| at));
    let secs = match unit {
        "Y" => 365 * 24 * 3_600,
        "M" => 30 * 24 * 3_600,
        "D" => 24 * 3_600,
        "h" => 3_600,
        "m" => 60,
        "s" => 1_u64,
        _ => return None,
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(secs * 1_000));
    ms.filter(|ms| (1..=MS_MAX).contains(ms))
}

fn truth(argument: &Argument) -> Result<bool, ArgumentError> {
    match &argument.1 {
        Value::Bool(truth) => Ok(*truth),
        _ => Err(error(argument, "true or false")),
    }
}

fn one_of(argument: &Argument, words: &[&'static str], wants: &'static str) -> Result<&'static str, ArgumentError> {
    let said = text(argument).map_err(|_| error(argument, wants))?;
    words.iter().find(|word| **word == said).copied().ok_or_else(|| error(argument, wants))
}

fn overflow(argument: &Argument) -> Result<Overflow, ArgumentError> {
    const WORDS: [&str; 3] = ["drop-head", "reject-publish", "reject-publish-dlx"];
    Ok(match one_of(argument, &WORDS, "drop-head, reject-publish or reject-publish-dlx")? {
        "reject-publish" => Overflow::RejectPublish,
        "reject-publish-dlx" => Overflow::RejectPublishDlx,
        _ => Overflow::DropHead,
    })
}

/// Dead letters move in the stage that ended them, so that either word means the same.
fn strategy(argument: &Argument) -> Result<(), ArgumentError> {
    one_of(argument, &["at-most-once", "at-least-once"], "at-most-once or at-least-once").map(|_| ())
}

/// All durable queues are kept alike, so that a quorum queue differs by its delivery limit alone.
fn queue_type(argument: &Argument) -> Result<&'static str, ArgumentError> {
    match one_of(argument, &["classic", "quorum", "stream", "default"], "classic, quorum or stream")? {
        "stream" => Ok("stream"),
        "quorum" => Ok("quorum"),
        _ => Ok("classic"),
    }
}

/// The arguments of a declaration with those of a policy behind them. The names in a policy lack the `x-`. Of two limits
/// the lower holds.
pub(super) fn governed(declared: &[Argument], policy: &[Argument]) -> Vec<Argument> {
    let mut all = declared.to_vec();
    for (name, value) in policy {
        let name: Box<str> = format!("x-{name}").into();
        match all.iter_mut().find(|(known, _)| *known == name) {
            None => all.push((name, value.clone())),
            Some((_, known)) => {
                if let (Some(a), Some(b)) = (whole(known), whole(value))
                    && b < a
                {
                    *known = value.clone();
                }
            }
        }
    }
    all
}

/// The arguments that make a difference between two declarations; whatever else is written is not compared, as in RabbitMQ.
const COMPARED: [&str; 22] = [
    "x-cache-size",
    "x-cache-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-deduplication-header",
    "x-delayed-retry-factor",
    "x-delayed-retry-max",
    "x-delayed-retry-min",
    "x-delivery-limit",
    "x-expires",
    "x-max-age",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-message-deduplication",
    "x-message-ttl",
    "x-overflow",
    "x-queue-leader-locator",
    "x-queue-mode",
    "x-queue-type",
    "x-queue-version",
    "x-single-active-consumer",
];

/// The first argument in which two declarations differ, with both values in words.
pub(super) fn first_difference(declared: &[Argument], asked: &[Argument]) -> Option<(Box<str>, String, String)> {
    let of = |arguments: &[Argument], name: &str| arguments.iter().find(|(n, _)| **n == *name).map(|(_, v)| v.clone());
    let in_words = |value: &Option<Value>| value.as_ref().map_or_else(|| "none".into(), said);
    let names = declared.iter().chain(asked).map(|(name, _)| name).filter(|name| COMPARED.contains(&&***name));
    names.into_iter().find_map(|name| {
        let (declared, asked) = (of(declared, name), of(asked, name));
        (!is_same(declared.as_ref(), asked.as_ref()) && !is_classic(name, declared.as_ref(), asked.as_ref()))
            .then(|| (name.clone(), in_words(&declared), in_words(&asked)))
    })
}

/// Who does not name a type asks for a classic queue.
fn is_classic(name: &str, declared: Option<&Value>, asked: Option<&Value>) -> bool {
    let classic = |value: Option<&Value>| value.is_none_or(|value| matches!(value, Value::Text(t) if t == "classic"));
    name == "x-queue-type" && classic(declared) && classic(asked)
}

/// A number is the same in whatever width it was written.
fn is_same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) if whole(a).is_some() => whole(a) == whole(b),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(list: &[(&str, Value)]) -> Vec<Argument> {
        list.iter().map(|(name, value)| ((*name).into(), value.clone())).collect()
    }

    #[test]
    fn an_argument_of_the_wrong_form_is_named_with_its_value() {
        for (name, value, said) in [
            ("x-message-ttl", Value::Int(-1), "argument 'x-message-ttl' is '-1', it wants a number of at least 0"),
            ("x-expires", Value::Int(0), "argument 'x-expires' is '0', it wants a number of at least 1"),
            (
                "x-max-length",
                Value::Text("9".into()),
                "argument 'x-max-length' is '9', it wants a number of at least 0",
            ),
            ("x-queue-mode", Value::Null, "argument 'x-queue-mode' is empty, it wants default or lazy"),
        ] {
            assert_eq!(read(&arguments(&[(name, value)])).unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn every_argument_shapes_the_queue() {
        let shape = read(&arguments(&[
            ("x-message-ttl", Value::Int(5)),
            ("x-max-length", Value::UInt(7)),
            ("x-overflow", Value::Text("reject-publish".into())),
            ("x-dead-letter-exchange", Value::Text("dlx".into())),
            ("x-queue-type", Value::Text("quorum".into())),
            ("x-message-deduplication", Value::Bool(true)),
            ("x-delayed-retry-min", Value::Int(100)),
            ("x-unheard-of", Value::Int(1)),
        ]))
        .expect("well-formed");
        let config = shape.config(&QueueDeclaration { durable: true, ..QueueDeclaration::default() });
        assert_eq!((config.message_ttl_ms, config.max_messages, config.delivery_limit), (Some(5), Some(7), Some(20)));
        assert_eq!(config.overflow, Overflow::RejectPublish);
        assert!(config.dead_letter && config.dedup.is_some() && config.retry.is_some() && config.durable);
    }

    #[test]
    fn of_two_limits_the_lower_holds_and_the_declaration_comes_first() {
        let declared = arguments(&[("x-max-length", Value::Int(10)), ("x-overflow", Value::Text("drop-head".into()))]);
        let policy = arguments(&[
            ("max-length", Value::Int(3)),
            ("overflow", Value::Text("reject-publish".into())),
            ("message-ttl", Value::Int(9)),
        ]);
        let shape = read(&governed(&declared, &policy)).expect("well-formed");
        assert_eq!((shape.config.max_messages, shape.config.message_ttl_ms), (Some(3), Some(9)));
        assert_eq!(shape.config.overflow, Overflow::DropHead);
    }

    #[test]
    fn numbers_agree_in_any_width() {
        let (a, b) = (arguments(&[("x-expires", Value::Int(5))]), arguments(&[("x-expires", Value::UInt(5))]));
        assert_eq!(first_difference(&a, &b), None);
        assert_eq!(first_difference(&a, &[]), Some(("x-expires".into(), "'5'".into(), "none".into())));
    }
}
