//! Parameters as JSON: those of components, and those of nobody in particular.

use super::erlang::need;
use super::{Made, Place, limit, policy};
use crate::Refusal;
use motet_core::core::Vhost;
use motet_core::core::govern::{LimitOf, Parameter, PolicyKind};
use motet_core::engine::Engine;
use serde_json::{Map, Value, json};

/// The component whose one parameter is a vhost's limits.
pub(crate) const VHOST_LIMITS: &str = "vhost-limits";
/// Its name.
const LIMITS: &str = "limits";
/// Components whose parameters are kept and shown, and that nothing here reads.
const KEPT: [&str; 3] = ["federation-upstream", "federation-upstream-set", "shovel"];

/// Sets a parameter of a component.
pub(crate) fn put<E: Engine>(
    place: Place<'_, E>,
    vhost: &Vhost,
    component: &str,
    name: &str,
    body: &Map<String, Value>,
) -> Result<Made, Refusal> {
    need(body, &["value"])?;
    let value = &body["value"];
    if component == VHOST_LIMITS {
        let of = LimitOf::Vhost(vhost.name());
        let limits = value.as_object().ok_or_else(|| Refusal::bad_request("Validation failed\n\nnot a list\n"))?;
        return limit::set(place, of, &limit::read(of, limits)?);
    }
    if component == "policy" || component == "operator_policy" {
        return Err(Refusal::bad_request("policies may not be set using this method"));
    }
    if !KEPT.contains(&component) {
        return Err(Refusal::bad_request(format!("Validation failed\n\ncomponent {component} not found\n")));
    }
    let set = place.core.set_parameter(Some(component), vhost.name(), name, value.to_string().as_bytes());
    set.map(Made::new).map_err(|error| Refusal::bad_request(error.to_string()))
}

/// Removes a parameter of a component.
pub(crate) fn clear<E: Engine>(
    place: Place<'_, E>,
    vhost: &Vhost,
    component: &str,
    name: &str,
) -> Result<Made, Refusal> {
    if component == VHOST_LIMITS && name == LIMITS {
        return limit::set(place, LimitOf::Vhost(vhost.name()), &std::collections::BTreeMap::new());
    }
    let position = place.core.clear_parameter(Some(component), vhost.name(), name);
    Ok(Made::new((false, position.ok_or_else(Refusal::not_found)?)))
}

/// Sets a parameter of nobody in particular.
pub(crate) fn put_global<E: Engine>(
    place: Place<'_, E>,
    name: &str,
    body: &Map<String, Value>,
) -> Result<Made, Refusal> {
    need(body, &["value"])?;
    let set = place.core.set_parameter(None, "", name, body["value"].to_string().as_bytes());
    set.map(Made::new).map_err(|error| Refusal::bad_request(error.to_string()))
}

fn read(value: &[u8]) -> Value {
    serde_json::from_slice(value).unwrap_or(Value::Null)
}

/// The parameters of components in a vhost.
pub(crate) fn list<E: Engine>(place: Place<'_, E>, vhost: &Vhost) -> Vec<Value> {
    let limits = place.core.limits_of(LimitOf::Vhost(vhost.name()));
    let told = |component: &str, name: &str, value: Value| json!({ "value": value, "vhost": &**vhost.name(), "component": component, "name": name });
    let limits = (!limits.is_empty()).then(|| told(VHOST_LIMITS, LIMITS, json!(limits)));
    let all = place.core.parameters();
    let ours = all.iter().filter(|one| one.vhost == **vhost.name());
    let ours = ours.filter_map(|one| Some(told(one.component.as_deref()?, &one.name, read(&one.value))));
    let policies = policy::list(vhost, PolicyKind::Operator).into_iter().map(|mut one| {
        let name = one["name"].as_str().unwrap_or_default().to_owned();
        if let Some(one) = one.as_object_mut() {
            one.retain(|key, _| key != "name" && key != "vhost");
        }
        told("operator_policy", &name, one)
    });
    limits.into_iter().chain(policies).chain(ours).collect()
}

/// The parameters of nobody in particular.
pub(crate) fn list_global<E: Engine>(place: Place<'_, E>) -> Vec<Value> {
    let told = |one: Parameter| json!({ "name": one.name, "value": read(&one.value) });
    place.core.parameters().into_iter().filter(|one| one.component.is_none()).map(told).collect()
}
