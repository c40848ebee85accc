//! Limits of vhosts and users as JSON.

use super::erlang::term;
use super::{Made, Place};
use crate::Refusal;
use motet_core::core::govern::LimitOf;
use motet_core::engine::Engine;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The first two are RabbitMQ's, the others ours.
const VHOST_LIMITS: [&str; 4] = ["max-connections", "max-queues", "max-disk-bytes", "max-memory-bytes"];
const USER_LIMITS: [&str; 2] = ["max-connections", "max-channels"];

/// All limits that a body describes.
pub(crate) fn read(of: LimitOf<'_>, body: &Map<String, Value>) -> Result<BTreeMap<String, i64>, Refusal> {
    let (known, what) = match of {
        LimitOf::Vhost(_) => (&VHOST_LIMITS[..], "limits"),
        LimitOf::User(_) => (&USER_LIMITS[..], "user-limits"),
    };
    let refused = |fault: String| match of {
        LimitOf::Vhost(_) => Refusal::bad_request(format!("Validation failed\n\n{fault}\n")),
        LimitOf::User(_) => Refusal::bad_request(fault),
    };
    let mut limits = BTreeMap::new();
    for (name, value) in body {
        if !known.contains(&&**name) {
            return Err(refused(format!("Unrecognised terms [{{<<{name:?}>>,{}}}] in {what}", term(value))));
        }
        let number = value.as_i64();
        let number =
            number.ok_or_else(|| refused(format!("{name} should be a number, actually was {}", term(value))))?;
        limits.insert(name.clone(), number);
    }
    Ok(limits)
}

/// Sets one limit beside the others.
pub(crate) fn put<E: Engine>(place: Place<'_, E>, of: LimitOf<'_>, name: &str, value: &Value) -> Result<Made, Refusal> {
    let one = read(of, &Map::from_iter([(name.to_owned(), value.clone())]))?;
    let mut limits = place.core.limits_of(of);
    limits.extend(one);
    set(place, of, &limits)
}

/// Takes one limit away.
pub(crate) fn clear<E: Engine>(place: Place<'_, E>, of: LimitOf<'_>, name: &str) -> Result<Made, Refusal> {
    let mut limits = place.core.limits_of(of);
    limits.remove(name);
    set(place, of, &limits)
}

/// Sets all limits.
pub(crate) fn set<E: Engine>(
    place: Place<'_, E>,
    of: LimitOf<'_>,
    limits: &BTreeMap<String, i64>,
) -> Result<Made, Refusal> {
    let position = place.core.set_limits(of, limits).map_err(|error| Refusal::bad_request(error.to_string()))?;
    Ok(Made::new((false, position)))
}

/// The limits as an object.
pub(crate) fn told<E: Engine>(place: Place<'_, E>, of: LimitOf<'_>) -> Value {
    json!(place.core.limits_of(of))
}
