//! Why a queue was not made, found or deleted, in RabbitMQ's words: people and scripts look for these.

use super::queues::locked;
use crate::Refusal;
use motet_core::core::broker::{ArgumentError, QueueError};
use motet_core::message::Value as Field;
use motet_core::queue::DeleteRefused;

/// Arguments of a declaration, in their order.
type Arguments = [(Box<str>, Field)];

/// A refusal of the core. `asked` and `declared` are the arguments of the declaration and of the queue that is there.
pub(super) fn queue(error: &QueueError, name: &str, vhost: &str, asked: &Arguments, declared: &Arguments) -> Refusal {
    let what = format!("queue '{name}' in vhost '{vhost}'");
    let text = match error {
        QueueError::Reserved => return Refusal::access_refused(),
        QueueError::NotFound(_) | QueueError::NoVhost => return Refusal::not_found(),
        QueueError::Locked(_) => return locked(name, vhost),
        QueueError::Mismatch { property, declared: current, asked: received, .. } => {
            match property.strip_prefix("argument '").map(|rest| rest.trim_end_matches('\'')) {
                Some(argument) => {
                    let (received, current) = pair(of(asked, argument), of(declared, argument));
                    format!("inequivalent arg '{argument}' for {what}: received {received} but current is {current}")
                }
                None => format!(
                    "inequivalent arg '{property}' for {what}: received '{}' but current is '{}'",
                    received.trim_matches('\''),
                    current.trim_matches('\'')
                ),
            }
        }
        QueueError::Argument(error) => argument(&what, error, of(asked, &error.name)),
        QueueError::Property(property) => format!("invalid property '{property}' for {what}"),
        QueueError::NotForType { argument, queue_type } => {
            format!("invalid arg '{argument}' for {what} of queue type rabbit_{queue_type}_queue")
        }
        QueueError::KeyWithoutExchange => {
            format!("invalid arg 'x-dead-letter-routing-key' for {what}: routing_key_but_no_dlx_defined")
        }
        QueueError::NotDeleted(DeleteRefused::InUse(_)) => format!("{what} in use"),
        QueueError::NotDeleted(DeleteRefused::NotEmpty(_)) => format!("{what} not empty"),
        QueueError::Limit(limit) => {
            format!("cannot declare queue '{name}': queue limit in vhost '{vhost}' ({limit}) is reached")
        }
        other => other.to_string(),
    };
    Refusal::bad_request(text)
}

fn of<'a>(arguments: &'a Arguments, name: &str) -> Option<&'a Field> {
    arguments.iter().find(|(known, _)| **known == *name).map(|(_, value)| value)
}

/// What JSON's values are called.
fn type_of(value: &Field) -> &'static str {
    match value {
        Field::Text(_) => "longstr",
        Field::Int(_) | Field::UInt(_) => "long",
        Field::Bool(_) => "bool",
        Field::Float(_) => "double",
        Field::Timestamp(_) => "timestamp",
        Field::Null => "void",
        Field::Bytes(_) => "binary",
        Field::List(_) => "array",
        Field::Table(_) => "table",
    }
}

fn bare(value: &Field) -> String {
    match value {
        Field::Text(text) => text.clone(),
        Field::Null => "undefined".into(),
        Field::List(_) | Field::Table(_) => "[...]".into(),
        other => crate::json::value(other).to_string(),
    }
}

/// Types are named only where one of the two is missing.
fn pair(received: Option<&Field>, current: Option<&Field>) -> (String, String) {
    let full = |value: Option<&Field>| match value {
        Some(value) => format!("the value '{}' of type '{}'", bare(value), type_of(value)),
        None => "none".into(),
    };
    match (received, current) {
        (Some(received), Some(current)) => (format!("'{}'", bare(received)), format!("'{}'", bare(current))),
        _ => (full(received), full(current)),
    }
}

fn argument(what: &str, error: &ArgumentError, value: Option<&Field>) -> String {
    let name = &*error.name;
    let Some(value) = value else {
        return format!("invalid arg '{name}' for {what}: {} is not {}", error.value, error.wants);
    };
    let kind = type_of(value);
    let reason = match (name, value) {
        ("x-dead-letter-exchange", _) => return format!("invalid type '{kind}' for arg '{name}' in {what}"),
        ("x-overflow", Field::Text(_)) => "invalid_overflow".into(),
        ("x-queue-mode", Field::Text(mode)) => format!("\"unsupported queue mode '{mode}'\""),
        ("x-queue-type", Field::Text(kind)) => format!("\"unsupported queue type '{kind}'\""),
        ("x-max-age", Field::Text(_)) => "invalid_max_age".into(),
        (_, Field::Int(number @ ..0)) => format!("{{value_negative,{number}}}"),
        (_, Field::Int(0)) => "{value_zero,0}".into(),
        ("x-max-priority", Field::Int(_)) => format!("{{max_value_exceeded,{}}}", bare(value)),
        (_, Field::Int(_) | Field::UInt(_)) => format!("{{value_too_large,{}}}", bare(value)),
        _ if error.wants.starts_with("a number of at least") => format!("\"expected integer, got {kind}\""),
        _ => format!("{{unacceptable_type,{kind}}}"),
    };
    format!("invalid arg '{name}' for {what}: {reason}")
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::{Value, json};

    #[test]
    fn what_is_wrong_with_an_argument_is_said_as_rabbitmq_says_it() {
        let bench = Bench::new();
        bench.ask("PUT", "/queues/%2F/q", r#"{"durable":true,"arguments":{"x-max-length":5}}"#);
        let said = |name: &str, body: Value| {
            let answer = bench.ask("PUT", &format!("/queues/%2F/{name}"), &body.to_string());
            assert_eq!(answer.status, 400, "{body}");
            answer.told()["reason"].as_str().unwrap().to_owned()
        };
        for (arguments, reason) in [
            (json!({"x-max-length": 6}), "inequivalent arg 'x-max-length'|: received '6' but current is '5'"),
            (json!({}), "inequivalent arg 'x-max-length'|: received none but current is the value '5' of type 'long'"),
            (json!({"x-max-length": "a"}), "invalid arg 'x-max-length'|: \"expected integer, got longstr\""),
            (json!({"x-max-length": -1}), "invalid arg 'x-max-length'|: {value_negative,-1}"),
            (json!({"x-queue-type": "foo"}), "invalid arg 'x-queue-type'|: \"unsupported queue type 'foo'\""),
        ] {
            let name = if reason.starts_with("inequivalent") { "q" } else { "new" };
            let reason = reason.replace('|', &format!(" for queue '{name}' in vhost '/'"));
            assert_eq!(said(name, json!({"durable": true, "arguments": arguments})), reason);
        }
    }
}
