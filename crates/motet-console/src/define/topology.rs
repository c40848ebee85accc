//! Queues, exchanges and bindings as definitions have them.

use super::erlang::{need, text};
use super::{Made, Place};
use crate::resource::kind_and_arguments;
use crate::{Refusal, json};
use motet_core::core::Vhost;
use motet_core::core::broker::{NamedQueue, QueueDeclaration};
use motet_core::engine::Engine;
use motet_core::exchange::{Arguments, BindingView, ExchangeConfig};
use motet_core::message::Value as Field;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// No connection has this number: what is declared here is nobody's own.
const NOBODY: u64 = 0;

type Fields = Vec<(Box<str>, Field)>;

fn arguments(body: &Map<String, Value>) -> Result<Fields, Refusal> {
    match body.get("arguments") {
        Some(Value::Object(object)) => {
            json::fields(object).ok_or_else(|| Refusal::bad_request("the arguments nest too deep"))
        }
        _ => Ok(Vec::new()),
    }
}

fn flag(body: &Map<String, Value>, name: &str, otherwise: bool) -> bool {
    match body.get(name) {
        Some(Value::Bool(truth)) => *truth,
        Some(Value::String(word)) => word == "true",
        _ => otherwise,
    }
}

/// Declares a queue.
pub(super) fn queue<E: Engine>(
    place: Place<'_, E>,
    vhost: &Arc<Vhost>,
    body: &Map<String, Value>,
) -> Result<Made, Refusal> {
    let declaration = QueueDeclaration {
        durable: flag(body, "durable", true),
        exclusive: None,
        auto_delete: flag(body, "auto_delete", false),
        arguments: arguments(body)?,
    };
    let name = text(body, "name")?;
    let declared = place.core.declare_queue(place.now, vhost, name.as_bytes(), declaration, NOBODY);
    let declared = declared.map_err(|error| Refusal::bad_request(error.to_string()))?;
    Ok(Made { is_new: declared.created, position: declared.position })
}

/// Declares an exchange.
pub(super) fn exchange<E: Engine>(
    place: Place<'_, E>,
    vhost: &Arc<Vhost>,
    body: &Map<String, Value>,
) -> Result<Made, Refusal> {
    let (name, kind) = (text(body, "name")?, text(body, "type")?);
    let refused = |error| Refusal::of_exchange(&error, name, vhost.name());
    let config = ExchangeConfig::from_arguments(kind, &arguments(body)?).map_err(refused)?;
    let config = ExchangeConfig {
        durable: flag(body, "durable", true),
        auto_delete: flag(body, "auto_delete", false),
        internal: flag(body, "internal", false),
        ..config
    };
    let (is_new, position) = place.core.declare_exchange(place.now, vhost, name.as_bytes(), config).map_err(refused)?;
    Ok(Made { is_new, position })
}

/// Binds a queue or an exchange.
pub(super) fn binding<E: Engine>(
    place: Place<'_, E>,
    vhost: &Vhost,
    body: &Map<String, Value>,
) -> Result<Made, Refusal> {
    need(body, &["source", "destination", "destination_type"])?;
    let (source, target) = (text(body, "source")?.as_bytes(), text(body, "destination")?);
    let key = body.get("routing_key").and_then(Value::as_str).unwrap_or_default().as_bytes();
    let arguments = Arguments::new(arguments(body)?);
    let bound = if text(body, "destination_type")? == "exchange" {
        place.core.bind_exchange(vhost, source, target.as_bytes(), key, arguments)
    } else {
        let missing = || Refusal::bad_request(format!("no queue '{target}' in vhost '{}'", vhost.name()));
        let queue = place.core.find_queue(vhost, target.as_bytes()).ok_or_else(missing)?;
        place.core.bind_queue(place.now, vhost, source, &queue, key, arguments)
    };
    let position = bound.map_err(|error| Refusal::of_binding(&error, vhost.name()))?;
    Ok(Made { is_new: true, position })
}

/// As definitions have it.
pub(super) fn queue_told(queue: &NamedQueue) -> Value {
    let declared = queue.declared();
    json!({
        "name": json::text(queue.name()),
        "durable": declared.durable,
        "auto_delete": declared.auto_delete,
        "arguments": json::object(&declared.arguments),
    })
}

/// As definitions have it.
pub(super) fn exchange_told(name: &[u8], config: &ExchangeConfig) -> Value {
    let (kind, arguments) = kind_and_arguments(config);
    json!({
        "name": json::text(name),
        "type": kind,
        "durable": config.durable,
        "auto_delete": config.auto_delete,
        "internal": config.internal,
        "arguments": arguments,
    })
}

/// As definitions have it.
pub(super) fn binding_told(view: &BindingView) -> Value {
    json!({
        "source": json::text(&view.source),
        "destination": json::text(&view.target),
        "destination_type": if view.to_exchange { "exchange" } else { "queue" },
        "routing_key": json::text(&view.key),
        "arguments": json::object(view.arguments.fields()),
    })
}
