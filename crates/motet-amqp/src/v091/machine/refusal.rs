//! The core's refusals in the words of RabbitMQ, because clients and people look for them.

use super::wording;
use crate::v091::error::{Failure, ReplyCode};
use crate::v091::packet::FieldValue;
use motet_core::core::Vhost;
use motet_core::core::broker::{NamedQueue, PublishError, QueueDeclaration, QueueError};
use motet_core::exchange::{BindError, DeclareError, DeleteError, RouteError};
use motet_core::message::Value;
use motet_core::queue::{ConsumeError, DeleteRefused};

/// A queue for a sentence.
pub(super) fn queue_name(vhost: &Vhost, name: &str) -> String {
    format!("queue '{name}' in vhost '{}'", vhost.name())
}

/// An exchange for a sentence.
pub(super) fn exchange_name(vhost: &Vhost, name: &str) -> String {
    format!("exchange '{}' in vhost '{}'", spoken_exchange(name), vhost.name())
}

/// The default exchange has no name to say.
pub(super) fn spoken_exchange(name: &str) -> &str {
    if name.is_empty() { "amq.default" } else { name }
}

fn failed(code: ReplyCode, text: impl Into<String>) -> Failure {
    Failure::new(code, text)
}

pub(super) fn no_queue(vhost: &Vhost, name: &str) -> Failure {
    failed(ReplyCode::NotFound, format!("no {}", queue_name(vhost, name)))
}

pub(super) fn no_exchange(vhost: &Vhost, name: &str) -> Failure {
    failed(ReplyCode::NotFound, format!("no {}", exchange_name(vhost, name)))
}

pub(super) fn locked(vhost: &Vhost, name: &str) -> Failure {
    let text = format!(
        "cannot obtain exclusive access to locked {}. It could be originally declared on another connection or the \
         exclusive property value does not match that of the original declaration.",
        queue_name(vhost, name)
    );
    failed(ReplyCode::ResourceLocked, text)
}

fn inequivalent(what: &str, property: &str, asked: &str, current: &str) -> Failure {
    let text = format!("inequivalent arg '{property}' for {what}: received {asked} but current is {current}");
    failed(ReplyCode::PreconditionFailed, text)
}

/// A queue was not declared, found or deleted. `known` is the one that is there, `asked` the declaration.
pub(super) fn queue(
    vhost: &Vhost,
    name: &str,
    error: QueueError,
    known: Option<&NamedQueue>,
    asked: Option<&QueueDeclaration>,
) -> Failure {
    let of = |declaration: Option<&QueueDeclaration>, argument: &str| {
        let (_, value) = declaration?.arguments.iter().find(|(name, _)| **name == *argument)?;
        Some(value.clone())
    };
    let what = queue_name(vhost, name);
    match error {
        QueueError::NotFound(_) => no_queue(vhost, name),
        QueueError::Locked(_) => locked(vhost, name),
        QueueError::Mismatch { property, .. } if property == "exclusive" => locked(vhost, name),
        QueueError::Mismatch { property, declared, asked: wanted, .. } => {
            let Some(argument) = property.strip_prefix("argument '").map(|rest| rest.trim_end_matches('\'')) else {
                return inequivalent(&what, &property, &wanted, &declared);
            };
            let (current, wanted) = (of(known.map(NamedQueue::declared), argument), of(asked, argument));
            let (received, current) = wording::received_and_current(wanted.as_ref(), current.as_ref());
            inequivalent(&what, argument, &received, &current)
        }
        QueueError::Argument(error) => wording::argument(&what, &error, of(asked, &error.name).as_ref()),
        QueueError::Property(property) => {
            failed(ReplyCode::PreconditionFailed, format!("invalid property '{property}' for {what}"))
        }
        QueueError::NotForType { argument, queue_type } => {
            let text = format!("invalid arg '{argument}' for {what} of queue type rabbit_{queue_type}_queue");
            failed(ReplyCode::PreconditionFailed, text)
        }
        QueueError::Nameless(queue_type) => failed(
            ReplyCode::PreconditionFailed,
            format!("Cannot declare a server-named queue for type rabbit_{queue_type}_queue"),
        ),
        QueueError::KeyWithoutExchange => {
            wording::invalid("x-dead-letter-routing-key", &what, "routing_key_but_no_dlx_defined")
        }
        QueueError::Reserved => reserved("queue", name),
        QueueError::NameTooLong => failed(ReplyCode::PreconditionFailed, error.to_string()),
        QueueError::NotDeleted(DeleteRefused::InUse(_)) => {
            failed(ReplyCode::PreconditionFailed, format!("{what} in use"))
        }
        QueueError::NotDeleted(DeleteRefused::NotEmpty(_)) => {
            failed(ReplyCode::PreconditionFailed, format!("{what} not empty"))
        }
        QueueError::Limit(limit) => failed(
            ReplyCode::PreconditionFailed,
            format!("cannot declare queue '{name}': queue limit in vhost '{}' ({limit}) is reached", vhost.name()),
        ),
        QueueError::StoreFull => store_full(),
        QueueError::NoVhost => failed(ReplyCode::NotAllowed, format!("vhost {} not found", vhost.name())),
    }
}

/// Names that begin with `amq.` are the broker's.
fn reserved(kind: &str, name: &str) -> Failure {
    failed(ReplyCode::AccessRefused, format!("{kind} name '{name}' contains reserved prefix 'amq.*'"))
}

/// The name of a wire value's type.
pub(super) fn type_of(value: FieldValue<'_>) -> &'static str {
    match value {
        FieldValue::Bool(_) => "bool",
        FieldValue::I8(_) => "byte",
        FieldValue::U8(_) => "unsignedbyte",
        FieldValue::I16(_) => "short",
        FieldValue::U16(_) => "unsignedshort",
        FieldValue::I32(_) => "signedint",
        FieldValue::U32(_) => "unsignedint",
        FieldValue::I64(_) => "long",
        FieldValue::F32(_) => "float",
        FieldValue::F64(_) => "double",
        FieldValue::Decimal { .. } => "decimal",
        FieldValue::Text(_) => "longstr",
        FieldValue::Bytes(_) => "binary",
        FieldValue::Array(_) => "array",
        FieldValue::Timestamp(_) => "timestamp",
        FieldValue::Table(_) => "table",
        FieldValue::Void => "void",
    }
}

/// An exchange was not declared or found. `asked` are the arguments of the declaration.
pub(super) fn exchange(vhost: &Vhost, name: &str, error: DeclareError, asked: &[(Box<str>, Value)]) -> Failure {
    let what = exchange_name(vhost, name);
    match error {
        DeclareError::Mismatch { property: "alternate-exchange", declared, asked, .. } => {
            let value = |name: String| (name != "none").then_some(Value::Text(name));
            let (asked, declared) = (value(asked), value(declared));
            let (received, current) = wording::received_and_current(asked.as_ref(), declared.as_ref());
            inequivalent(&what, "alternate-exchange", &received, &current)
        }
        DeclareError::Mismatch { property, declared, asked, .. } => {
            inequivalent(&what, property, &format!("'{asked}'"), &format!("'{declared}'"))
        }
        // RabbitMQ of old said 503 here, which ends the connection; now it is the channel's.
        DeclareError::UnknownType(kind) => {
            failed(ReplyCode::PreconditionFailed, format!("unknown exchange type '{kind}'"))
        }
        DeclareError::Argument { name: argument @ "alternate-exchange", .. } => {
            let value = asked.iter().find(|(name, _)| **name == *argument).map(|(_, value)| value);
            let kind = value.map_or("void", wording::type_of);
            failed(ReplyCode::PreconditionFailed, format!("invalid type '{kind}' for arg '{argument}' in {what}"))
        }
        // The words of the plugin that knows these.
        DeclareError::Argument { name: argument @ "x-cache-size", .. } => {
            let text = format!("Missing or invalid argument, '{argument}' must be an integer greater than 0");
            failed(ReplyCode::PreconditionFailed, text)
        }
        DeclareError::Argument { name: argument @ "x-cache-ttl", .. } => {
            let text = format!("Invalid argument, '{argument}' must be an integer greater than 0");
            failed(ReplyCode::PreconditionFailed, text)
        }
        DeclareError::Argument { name: argument, wants } => {
            failed(ReplyCode::PreconditionFailed, format!("invalid arg '{argument}' for {what}: it wants {wants}"))
        }
        DeclareError::Reserved => reserved("exchange", name),
        DeclareError::Limit(limit) => failed(
            ReplyCode::PreconditionFailed,
            format!("cannot declare {what}: exchange limit of {limit} is reached"),
        ),
        DeclareError::StoreFull => store_full(),
        DeclareError::NotFound(_) => no_exchange(vhost, name),
        DeclareError::QueueExists => failed(ReplyCode::InternalError, error.to_string()),
    }
}

/// An exchange was not deleted.
pub(super) fn delete(vhost: &Vhost, name: &str, error: &DeleteError) -> Failure {
    let what = exchange_name(vhost, name);
    match error {
        DeleteError::Reserved => failed(ReplyCode::AccessRefused, format!("deletion of system {what} not allowed")),
        DeleteError::InUse(_) => failed(ReplyCode::PreconditionFailed, format!("{what} in use")),
    }
}

/// A binding was not made or ended.
pub(super) fn bind(vhost: &Vhost, error: BindError, arguments: &[(Box<str>, Value)]) -> Failure {
    match error {
        BindError::NoExchange(name) => no_exchange(vhost, &name),
        BindError::NoQueue(name) => no_queue(vhost, &name),
        BindError::DefaultExchange => default_exchange(),
        BindError::HeadersMatch => x_match(arguments.iter().find(|(name, _)| **name == *"x-match").map(|(_, v)| v)),
        BindError::StoreFull => store_full(),
        BindError::Weight | BindError::Pattern(_) | BindError::Limit(_) => {
            failed(ReplyCode::PreconditionFailed, error.to_string())
        }
    }
}

/// [AMQP 0-9-1, 1.2] resource-error: what the server lacks is room on its disk. The connection goes, and a client that
/// restores what it had declared tries again.
fn store_full() -> Failure {
    failed(ReplyCode::ResourceError, "low on disk")
}

fn x_match(value: Option<&Value>) -> Failure {
    let text = match value {
        Some(Value::Text(word)) if word.is_empty() => {
            "Invalid x-match field value <<>>; expected all, any, all-with-x, or any-with-x".into()
        }
        Some(Value::Text(word)) => {
            format!("Invalid x-match field value <<\"{word}\">>; expected all, any, all-with-x, or any-with-x")
        }
        value => {
            let (kind, value) = value.map_or(("void", "undefined".into()), |v| (wording::type_of(v), wording::bare(v)));
            format!("Invalid x-match field type {kind} (value {value}); expected longstr")
        }
    };
    failed(ReplyCode::PreconditionFailed, text)
}

/// What cannot be done with the default exchange.
pub(super) fn default_exchange() -> Failure {
    failed(ReplyCode::AccessRefused, "operation not permitted on the default exchange")
}

/// A publication has no route at all.
pub(super) fn publish(vhost: &Vhost, error: PublishError) -> Failure {
    match error {
        PublishError::Route(RouteError::NoExchange(name)) => no_exchange(vhost, &name),
        PublishError::Route(RouteError::Internal(name)) => {
            failed(ReplyCode::AccessRefused, format!("cannot publish to internal {}", exchange_name(vhost, &name)))
        }
        PublishError::Route(error @ RouteError::Keys(_)) => {
            failed(ReplyCode::PreconditionFailed, format!("invalid message: {error}"))
        }
        PublishError::NameTooLong => failed(ReplyCode::PreconditionFailed, error.to_string()),
    }
}

/// A consumer was not accepted.
pub(super) fn consume(vhost: &Vhost, queue: &NamedQueue, error: ConsumeError) -> Failure {
    let name = String::from_utf8_lossy(queue.name());
    match error {
        ConsumeError::InUse | ConsumeError::ExclusivelyUsed => {
            failed(ReplyCode::AccessRefused, format!("{} in exclusive use", queue_name(vhost, &name)))
        }
        ConsumeError::Limit(_) => failed(ReplyCode::NotAllowed, error.to_string()),
        ConsumeError::Gone => no_queue(vhost, &name),
        ConsumeError::Exists => failed(ReplyCode::InternalError, error.to_string()),
    }
}
