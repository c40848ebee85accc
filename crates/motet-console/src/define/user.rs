//! Users as JSON.

use super::{Place, RosterError, Secret, UserSeen, limit, permission, vhost};
use crate::Refusal;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use motet_core::core::govern::LimitOf;
use motet_core::engine::Engine;
use serde_json::{Map, Value, json};

use super::roster::OWN_HASHING;

const DEFAULT_HASHING: &str = "rabbit_password_hashing_sha256";

impl From<RosterError> for Refusal {
    fn from(error: RosterError) -> Self {
        match error {
            RosterError::NotDurable => Refusal::unavailable(error.to_string()),
            other => Refusal::bad_request(other.to_string()),
        }
    }
}

/// Makes or changes the user that a body describes; true when it is new. Without a password it has none any more.
pub(crate) fn put<E: Engine>(
    place: Place<'_, E>,
    name: &str,
    body: &Map<String, Value>,
    by: &str,
) -> Result<bool, Refusal> {
    let tags = body.get("tags").ok_or_else(|| Refusal::bad_request("tags_not_present"))?;
    let tags = vhost::words(tags).ok_or_else(|| Refusal::bad_request("invalid_tags"))?;
    let of = |name: &str| body.get(name).filter(|value| !value.is_null());
    let text = |value: &'_ Value| value.as_str().map(ToOwned::to_owned);
    let (password, hash) = (of("password"), of("password_hash"));
    if password.is_some() && hash.is_some() {
        return Err(Refusal::bad_request("both_password_and_password_hash_are_provided"));
    }
    let algorithm = of("hashing_algorithm").and_then(Value::as_str).unwrap_or(DEFAULT_HASHING);
    let given = password.or(hash).map(|value| text(value).ok_or_else(|| Refusal::bad_request("invalid_password")));
    let given = given.transpose()?;
    let secret = match &given {
        Some(text) if password.is_some() && !text.is_empty() => Secret::Password(text),
        Some(text) if password.is_none() && !text.is_empty() => {
            if algorithm != OWN_HASHING && BASE64_STANDARD.decode(text).is_err() {
                return Err(Refusal::bad_request(json!(["not_base64", text])));
            }
            Secret::Hash { hash: text, algorithm }
        }
        _ => Secret::Nothing,
    };
    let is_new = place.roster.put(name, &secret, &tags, by)?;
    if is_new {
        // Whoever is made here has what it is given, as in RabbitMQ.
        place.core.confine(name).map_err(|error| Refusal::bad_request(error.to_string()))?;
    }
    for (vhost, permitted) in of("permissions").and_then(Value::as_object).into_iter().flatten() {
        let permitted = permitted.as_object().cloned().unwrap_or_default();
        permission::put(place, name, vhost, &permitted)?;
    }
    if let Some(limits) = of("limits").and_then(Value::as_object) {
        let of = LimitOf::User(name);
        limit::set(place, of, &limit::read(of, limits)?)?;
    }
    Ok(is_new)
}

/// As RabbitMQ lists it, and as definitions have it.
pub(crate) fn told<E: Engine>(place: Place<'_, E>, user: &UserSeen) -> Value {
    json!({
        "name": user.name,
        "password_hash": user.password_hash,
        "hashing_algorithm": user.hashing_algorithm,
        "tags": user.tags,
        "limits": limit::told(place, LimitOf::User(&user.name)),
    })
}
