//! Policies as JSON.

use super::erlang::{need, pattern_fault, term};
use super::settings;
use super::{Made, Place};
use crate::{Refusal, json};
use motet_core::core::Vhost;
use motet_core::core::govern::{ApplyTo, Policy, PolicyError, PolicyKind};
use motet_core::engine::Engine;
use serde_json::{Map, Value, json};
use std::sync::Arc;

fn invalid(fault: impl std::fmt::Display) -> Refusal {
    Refusal::bad_request(format!("Validation failed\n\n{fault}\n"))
}

/// The policy that a body describes.
pub(crate) fn read(kind: PolicyKind, name: &str, body: &Map<String, Value>) -> Result<Policy, Refusal> {
    need(body, &["pattern", "definition"])?;
    let priority = match body.get("priority") {
        None | Some(Value::Null) => 0,
        Some(Value::Number(number)) => number.as_i64().or_else(|| number.as_f64().map(|n| n as i64)).unwrap_or(0),
        Some(other) => return Err(invalid(format!("priority should be a number, actually was {}", term(other)))),
    };
    let Value::String(pattern) = &body["pattern"] else {
        return Err(invalid(format!("pattern should be a binary but was {}", term(&body["pattern"]))));
    };
    let apply_to = match body.get("apply-to") {
        None | Some(Value::Null) => ApplyTo::All,
        Some(word) => word.as_str().and_then(ApplyTo::from_word).ok_or_else(|| {
            let word = word.as_str().map_or_else(|| term(word), ToOwned::to_owned);
            invalid(format!(
                "apply-to '{word}' unrecognised; should be one of: 'queues', 'classic_queues', 'quorum_queues', \
                 'streams', 'exchanges', or 'all'"
            ))
        })?,
    };
    let Value::Object(definition) = &body["definition"] else {
        return Err(invalid(format!("definition should be an object, actually was {}", term(&body["definition"]))));
    };
    if let Some(fault) = settings::fault(definition, kind == PolicyKind::Operator) {
        return Err(invalid(fault));
    }
    let definition = json::fields(definition).ok_or_else(|| invalid("the definition nests too deep"))?;
    Ok(Policy { name: name.into(), pattern: pattern.as_str().into(), apply_to, priority, definition })
}

/// Makes or replaces the policy that a body describes.
pub(crate) fn put<E: Engine>(
    place: Place<'_, E>,
    vhost: &Arc<Vhost>,
    kind: PolicyKind,
    name: &str,
    body: &Map<String, Value>,
) -> Result<Made, Refusal> {
    let policy = read(kind, name, body)?;
    let set = place.core.set_policy(place.now, vhost, kind, policy).map_err(|error| match error {
        PolicyError::Pattern(error) => {
            let fault = pattern_fault(&error);
            invalid(format!("pattern should be regular expression but is invalid: {{{fault:?},1}}"))
        }
        other => invalid(other),
    })?;
    Ok(Made::new(set))
}

/// What a definition has that changes nothing here.
pub(super) fn without_meaning(body: &Map<String, Value>) -> Vec<&str> {
    body.get("definition").and_then(Value::as_object).map(settings::without_meaning).unwrap_or_default()
}

/// A policy as RabbitMQ lists it.
pub(crate) fn told(vhost: &Vhost, policy: &Policy) -> Value {
    json!({
        "vhost": &**vhost.name(),
        "name": &*policy.name,
        "pattern": &*policy.pattern,
        "apply-to": policy.apply_to.word(),
        "definition": json::object(&policy.definition),
        "priority": policy.priority,
    })
}

/// All policies of a kind in a vhost, by name.
pub(crate) fn list(vhost: &Vhost, kind: PolicyKind) -> Vec<Value> {
    let mut policies = vhost.policies(kind);
    policies.sort_by(|a, b| a.name.cmp(&b.name));
    policies.iter().map(|policy| told(vhost, policy)).collect()
}
