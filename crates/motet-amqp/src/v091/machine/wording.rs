//! What is wrong with an argument, in the words of RabbitMQ: terms of its language, because people search for them.

use crate::v091::error::{Failure, ReplyCode};
use motet_core::core::broker::ArgumentError;
use motet_core::message::Value;

/// The type of a value on the wire. The width of a number is the one clients write it in.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Text(_) => "longstr",
        Value::Int(number) if i32::try_from(*number).is_ok() => "signedint",
        Value::Int(_) | Value::UInt(_) => "long",
        Value::Bool(_) => "bool",
        Value::Float(_) => "double",
        Value::Timestamp(_) => "timestamp",
        Value::Null => "void",
        Value::Bytes(_) => "binary",
        Value::List(_) => "array",
        Value::Table(_) => "table",
    }
}

/// A value without its type.
pub(super) fn bare(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Timestamp(ms) => (ms / 1_000).to_string(),
        Value::Null => "undefined".into(),
        Value::Bytes(bytes) => bytes.escape_ascii().to_string(),
        Value::List(_) | Value::Table(_) => "[...]".into(),
    }
}

/// A value with its type, or that there is none.
pub(super) fn full(value: Option<&Value>) -> String {
    match value {
        Some(value) => format!("the value '{}' of type '{}'", bare(value), type_of(value)),
        None => "none".into(),
    }
}

/// Two values that should be the same: what was received, what is there. Types are named only where one is missing.
pub(super) fn received_and_current(received: Option<&Value>, current: Option<&Value>) -> (String, String) {
    match (received, current) {
        (Some(received), Some(current)) => (format!("'{}'", bare(received)), format!("'{}'", bare(current))),
        _ => (full(received), full(current)),
    }
}

/// An argument of a queue is not of its form. `what` is the queue for a sentence, `value` the argument's.
pub(super) fn argument(what: &str, error: &ArgumentError, value: Option<&Value>) -> Failure {
    let name = &*error.name;
    let Some(value) = value else {
        return invalid(name, what, &format!("{} is not {}", error.value, error.wants));
    };
    let kind = type_of(value);
    let reason = match (name, value) {
        ("x-dead-letter-exchange", _) => {
            let text = format!("invalid type '{kind}' for arg '{name}' in {what}");
            return Failure::new(ReplyCode::PreconditionFailed, text);
        }
        ("x-overflow", Value::Text(_)) => "invalid_overflow".into(),
        ("x-queue-mode", Value::Text(mode)) => format!("\"unsupported queue mode '{mode}'\""),
        ("x-queue-type", Value::Text(kind)) => format!("\"unsupported queue type '{kind}'\""),
        ("x-max-age", Value::Text(_)) => "invalid_max_age".into(),
        ("x-dead-letter-strategy", Value::Text(_)) => "invalid_dlx_strategy".into(),
        ("x-queue-version", Value::Int(_) | Value::UInt(_)) => {
            format!("\"unsupported queue version '{}'\"", bare(value))
        }
        _ if error.wants.starts_with("a number of at least") => number(name, value, kind),
        _ => format!("{{unacceptable_type,{kind}}}"),
    };
    invalid(name, what, &reason)
}

/// What is wrong with a number.
fn number(name: &str, value: &Value, kind: &str) -> String {
    match value {
        Value::Int(number @ ..0) => format!("{{value_negative,{number}}}"),
        Value::Int(0) | Value::UInt(0) => "{value_zero,0}".into(),
        Value::Int(_) | Value::UInt(_) if name == "x-max-priority" => format!("{{max_value_exceeded,{}}}", bare(value)),
        Value::Int(_) | Value::UInt(_) => format!("{{value_too_large,{}}}", bare(value)),
        _ => format!("\"expected integer, got {kind}\""),
    }
}

/// An argument of `what` is refused for this reason.
pub(super) fn invalid(name: &str, what: &str, reason: &str) -> Failure {
    Failure::new(ReplyCode::PreconditionFailed, format!("invalid arg '{name}' for {what}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, value: Value, wants: &'static str) -> String {
        let error = ArgumentError { name: name.into(), value: String::new(), wants };
        argument("queue 'q' in vhost '/'", &error, Some(&value)).text
    }

    #[test]
    fn an_argument_is_refused_in_rabbitmqs_words() {
        const NUMBER: &str = "a number of at least 1";
        for (name, value, wants, reason) in [
            ("x-expires", Value::Int(-1), NUMBER, "{value_negative,-1}"),
            ("x-expires", Value::Int(0), NUMBER, "{value_zero,0}"),
            ("x-expires", Value::Text("x".into()), NUMBER, "\"expected integer, got longstr\""),
            ("x-max-priority", Value::Int(256), NUMBER, "{max_value_exceeded,256}"),
            ("x-overflow", Value::Text("burst".into()), "", "invalid_overflow"),
            ("x-dead-letter-strategy", Value::Text("x".into()), "", "invalid_dlx_strategy"),
            ("x-queue-version", Value::Int(3), NUMBER, "\"unsupported queue version '3'\""),
            ("x-overflow", Value::Int(1), "", "{unacceptable_type,signedint}"),
            ("x-queue-mode", Value::Text("fast".into()), "", "\"unsupported queue mode 'fast'\""),
        ] {
            assert_eq!(said(name, value, wants), format!("invalid arg '{name}' for queue 'q' in vhost '/': {reason}"));
        }
        let exchange = said("x-dead-letter-exchange", Value::Int(5), "text");
        assert_eq!(exchange, "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'");
    }

    #[test]
    fn types_are_named_where_one_side_has_none() {
        let (one, two) = (Value::Int(1), Value::Int(2));
        assert_eq!(received_and_current(Some(&two), Some(&one)), ("'2'".into(), "'1'".into()));
        let (received, current) = received_and_current(None, Some(&one));
        assert_eq!((&*received, &*current), ("none", "the value '1' of type 'signedint'"));
    }
}
