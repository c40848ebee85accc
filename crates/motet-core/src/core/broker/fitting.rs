//! What fits a queue's type: some properties and arguments mean nothing for a quorum queue or a stream, and whoever asks
//! for them expects something he would not get.

use super::arguments::Shape;
use super::{QueueDeclaration, QueueError};

/// What a stream does not do, as in RabbitMQ.
const NOT_OF_STREAMS: [&str; 12] = [
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-delivery-limit",
    "x-expires",
    "x-max-in-memory-bytes",
    "x-max-in-memory-length",
    "x-max-priority",
    "x-message-ttl",
    "x-overflow",
    "x-queue-mode",
    "x-single-active-consumer",
];
/// What a quorum queue does not do.
const NOT_OF_QUORUM: [&str; 4] = ["x-max-age", "x-max-priority", "x-queue-mode", "x-stream-max-segment-size-bytes"];
/// What a classic queue does not do. A limit of deliveries works here, other than in RabbitMQ.
const NOT_OF_CLASSIC: [&str; 7] = [
    "x-dead-letter-strategy",
    "x-max-age",
    "x-max-in-memory-bytes",
    "x-max-in-memory-length",
    "x-queue-leader-locator",
    "x-quorum-initial-group-size",
    "x-stream-max-segment-size-bytes",
];

/// Whether a declaration makes sense as a whole.
///
/// # Errors
/// [`QueueError::Property`], [`QueueError::NotForType`], [`QueueError::KeyWithoutExchange`].
pub(super) fn check(declaration: &QueueDeclaration, shape: &Shape) -> Result<(), QueueError> {
    let properties = [
        ("non-durable", !declaration.durable && declaration.exclusive.is_none()),
        ("exclusive-owner", declaration.exclusive.is_some()),
        ("auto-delete", declaration.auto_delete),
    ];
    if shape.queue_type != "classic"
        && let Some((property, _)) = properties.into_iter().find(|(_, asked)| *asked)
    {
        return Err(QueueError::Property(property));
    }
    let strange: &[&str] = match shape.queue_type {
        "stream" => &NOT_OF_STREAMS,
        "quorum" => &NOT_OF_QUORUM,
        _ => &NOT_OF_CLASSIC,
    };
    for (name, _) in &declaration.arguments {
        if strange.contains(&&**name) {
            return Err(QueueError::NotForType { argument: name.clone(), queue_type: shape.queue_type });
        }
    }
    match (&shape.dead_letter_key, &shape.dead_letter_exchange) {
        (Some(_), None) => Err(QueueError::KeyWithoutExchange),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::arguments::read;
    use super::*;
    use crate::message::Value;

    fn checked(queue_type: &str, change: impl FnOnce(&mut QueueDeclaration)) -> Result<(), QueueError> {
        let mut declaration = QueueDeclaration { durable: true, ..QueueDeclaration::default() };
        declaration.arguments.push(("x-queue-type".into(), Value::Text(queue_type.into())));
        change(&mut declaration);
        check(&declaration, &read(&declaration.arguments).expect("well-formed"))
    }

    #[test]
    fn quorum_queues_and_streams_are_durable_and_nobodys() {
        for queue_type in ["quorum", "stream"] {
            assert_eq!(checked(queue_type, |_| {}), Ok(()));
            assert_eq!(checked(queue_type, |d| d.durable = false), Err(QueueError::Property("non-durable")));
            assert_eq!(checked(queue_type, |d| d.exclusive = Some(1)), Err(QueueError::Property("exclusive-owner")));
            assert_eq!(checked(queue_type, |d| d.auto_delete = true), Err(QueueError::Property("auto-delete")));
        }
        assert_eq!(checked("classic", |d| d.durable = false), Ok(()));
    }

    #[test]
    fn an_argument_of_another_type_of_queue_is_refused() {
        for (queue_type, argument, value) in [
            ("stream", "x-message-ttl", Value::Int(1)),
            ("quorum", "x-max-priority", Value::Int(1)),
            ("stream", "x-overflow", Value::Text("drop-head".into())),
            ("classic", "x-max-age", Value::Text("1h".into())),
            ("classic", "x-queue-leader-locator", Value::Text("balanced".into())),
            ("classic", "x-dead-letter-strategy", Value::Text("at-most-once".into())),
        ] {
            let refused = checked(queue_type, |d| d.arguments.push((argument.into(), value)));
            assert_eq!(refused, Err(QueueError::NotForType { argument: argument.into(), queue_type }));
        }
    }

    #[test]
    fn a_key_for_dead_letters_wants_an_exchange() {
        let key =
            |d: &mut QueueDeclaration| d.arguments.push(("x-dead-letter-routing-key".into(), Value::Text("k".into())));
        assert_eq!(checked("classic", key), Err(QueueError::KeyWithoutExchange));
    }
}
