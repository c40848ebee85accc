//! Vhosts as JSON.

use super::{Made, Place};
use crate::Refusal;
use motet_core::core::Vhost;
use motet_core::core::broker::VhostError;
use motet_core::core::govern::VhostAbout;
use motet_core::engine::Engine;
use motet_core::quota::Resource;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Words of a list, or of a text with commas between them.
pub(crate) fn words(value: &Value) -> Option<Vec<String>> {
    let owned = |word: &str| Some(word.trim().to_owned()).filter(|word| !word.is_empty());
    match value {
        Value::String(text) => Some(text.split(',').filter_map(owned).collect()),
        Value::Array(list) => list
            .iter()
            .map(|word| word.as_str().map(owned))
            .collect::<Option<Vec<_>>>()
            .map(|words| words.into_iter().flatten().collect()),
        _ => None,
    }
}

/// Makes a vhost, or says something else of it.
pub(crate) fn put<E: Engine>(place: Place<'_, E>, name: &str, body: &Map<String, Value>) -> Result<Made, Refusal> {
    let of = |name: &str| body.get(name).and_then(Value::as_str);
    // Definitions have it inside of `metadata` too.
    let inside = body.get("metadata").and_then(Value::as_object);
    let either = |name: &str| body.get(name).or_else(|| inside.and_then(|inside| inside.get(name)));
    let kind = of("default_queue_type").or_else(|| of("defaultqueuetype"));
    let kind = kind.filter(|kind| *kind != "undefined" && !kind.is_empty());
    let about = VhostAbout {
        description: either("description").and_then(Value::as_str).unwrap_or_default().into(),
        tags: either("tags")
            .map_or_else(|| Some(Vec::new()), words)
            .ok_or_else(|| Refusal::bad_request("invalid_tags"))?,
        default_queue_type: kind.map(Into::into),
    };
    let is_new = place.core.find_vhost(name).is_none();
    let made = place.core.create_vhost(name);
    let (vhost, position) = made.map_err(|error| Refusal::bad_request(error.to_string()))?;
    let said = if place.core.vhost_about(&vhost) == about {
        position
    } else {
        place.core.set_vhost_about(&vhost, &about).map_err(|error| Refusal::bad_request(error.to_string()))?
    };
    Ok(Made::new((is_new, position.max(said))))
}

/// Removes a vhost with everything in it.
pub(crate) fn remove<E: Engine>(place: Place<'_, E>, name: &str) -> Result<Made, Refusal> {
    match place.core.delete_vhost(place.now, name) {
        Ok(position) => Ok(Made::new((false, position))),
        Err(VhostError::NotFound(_)) => Err(Refusal::not_found()),
        Err(error) => Err(Refusal::bad_request(error.to_string())),
    }
}

/// As definitions have it.
pub(crate) fn exported<E: Engine>(place: Place<'_, E>, vhost: &Vhost) -> Value {
    let about = place.core.vhost_about(vhost);
    let mut told = json!({
        "name": &**vhost.name(),
        "description": about.description,
        "tags": about.tags,
        "metadata": { "description": about.description, "tags": about.tags },
    });
    if let Some(kind) = about.default_queue_type {
        told["default_queue_type"] = json!(kind);
    }
    told
}

/// As RabbitMQ lists it, the figures aside.
pub(crate) fn told<E: Engine>(place: Place<'_, E>, node: &str, vhost: &Arc<Vhost>) -> Map<String, Value> {
    let about = place.core.vhost_about(vhost);
    let quota = vhost.quota();
    let over: Vec<_> = Resource::ALL.into_iter().filter(|of| quota.is_reached(*of)).map(Resource::text).collect();
    let told = json!({
        "name": &**vhost.name(),
        "description": about.description,
        "tags": about.tags,
        "default_queue_type": about.default_queue_type.as_deref().unwrap_or("undefined"),
        "metadata": { "description": about.description, "tags": about.tags },
        "tracing": false,
        "cluster_state": { node: "running" },
        "disk_bytes": quota.bytes(Resource::Disk),
        "memory_bytes": quota.bytes(Resource::Memory),
        "quotas_reached": over,
    });
    match told {
        Value::Object(told) => told,
        _ => Map::new(),
    }
}
