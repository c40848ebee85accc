//! Permissions as JSON.
//!
//! Whoever was never given a permission has what the access rules say. Where these allow everything, that is listed as
//! `.*` in every vhost; and it is written down as such before the first permission that such a user is given, or else it
//! would lose all other vhosts by it.

use super::erlang::{invalid_regexp, need, text};
use super::{Made, Place};
use crate::Refusal;
use motet_core::access::PermissionError;
use motet_core::core::govern::{PermissionRefused, Permitted, TopicPermitted};
use motet_core::engine::Engine;
use serde_json::{Map, Value, json};

const EVERYTHING: &str = ".*";

fn refused(error: &PermissionRefused, patterns: &[&str]) -> Refusal {
    match error {
        PermissionRefused::Expression(PermissionError::Malformed(error)) => {
            let culprit = patterns.iter().find(|pattern| motet_core::access::Permission::new(pattern, "", "").is_err());
            Refusal::bad_request(invalid_regexp(culprit.unwrap_or(&""), error))
        }
        other => Refusal::bad_request(other.to_string()),
    }
}

fn everything(user: &str, vhost: &str) -> Permitted {
    let [configure, write, read] = [EVERYTHING; 3].map(Into::into);
    Permitted { user: user.into(), vhost: vhost.into(), configure, write, read }
}

/// Users without permissions may everything.
fn is_open<E: Engine>(place: Place<'_, E>) -> bool {
    let rules = place.core.vhost().access();
    rules.default_allow() && rules.rules().is_empty()
}

/// Writes down what a user may so far, so that a permission more or less changes nothing else.
fn settle<E: Engine>(place: Place<'_, E>, user: &str) -> Result<(), Refusal> {
    if place.core.is_confined(user) || !is_open(place) {
        return Ok(());
    }
    for vhost in place.core.vhosts() {
        let given = place.core.set_permission(&everything(user, vhost.name()));
        given.map_err(|error| refused(&error, &[]))?;
    }
    Ok(())
}

/// Gives a user everything in a vhost it has made, as long as it has no more than its permissions anyway.
pub(crate) fn of_maker<E: Engine>(place: Place<'_, E>, user: &str, vhost: &str) {
    if place.core.is_confined(user) {
        // Its names were written down before; a user without a name is never confined.
        let _ = place.core.set_permission(&everything(user, vhost));
    }
}

/// Gives the permission that a body describes.
pub(crate) fn put<E: Engine>(
    place: Place<'_, E>,
    user: &str,
    vhost: &str,
    body: &Map<String, Value>,
) -> Result<Made, Refusal> {
    need(body, &["configure", "write", "read"])?;
    let of = |name| text(body, name).map(ToOwned::to_owned);
    let permitted = Permitted {
        user: user.into(),
        vhost: vhost.into(),
        configure: of("configure")?,
        write: of("write")?,
        read: of("read")?,
    };
    settle(place, user)?;
    let given = place.core.set_permission(&permitted);
    let patterns = [&*permitted.configure, &permitted.write, &permitted.read];
    given.map(Made::new).map_err(|error| refused(&error, &patterns))
}

/// Takes a permission away; 404 where there is none.
pub(crate) fn clear<E: Engine>(place: Place<'_, E>, user: &str, vhost: &str) -> Result<Made, Refusal> {
    settle(place, user)?;
    let position = place.core.clear_permission(user, vhost).ok_or_else(Refusal::not_found)?;
    Ok(Made::new((false, position)))
}

/// Gives the permission on a topic exchange that a body describes.
pub(crate) fn put_topic<E: Engine>(
    place: Place<'_, E>,
    user: &str,
    vhost: &str,
    body: &Map<String, Value>,
) -> Result<Made, Refusal> {
    need(body, &["exchange", "write", "read"])?;
    let of = |name| text(body, name).map(ToOwned::to_owned);
    let (exchange, write, read) = (of("exchange")?, of("write")?, of("read")?);
    let permitted = TopicPermitted { user: user.into(), vhost: vhost.into(), exchange, write, read };
    settle(place, user)?;
    let given = place.core.set_topic_permission(&permitted);
    given.map(Made::new).map_err(|error| refused(&error, &[&*permitted.write, &permitted.read]))
}

/// All permissions, those that need not be written down too.
pub(crate) fn list<E: Engine>(place: Place<'_, E>) -> Vec<Permitted> {
    let mut all = place.core.permissions();
    if is_open(place) {
        let open = place.roster.users().into_iter().filter(|user| !place.core.is_confined(&user.name));
        for user in open {
            all.extend(place.core.vhosts().iter().map(|vhost| everything(&user.name, vhost.name())));
        }
    }
    all.sort_by(|a, b| (&a.vhost, &a.user).cmp(&(&b.vhost, &b.user)));
    all
}

/// As RabbitMQ lists it.
pub(crate) fn told(permitted: &Permitted) -> Value {
    let Permitted { user, vhost, configure, write, read } = permitted;
    json!({ "user": user, "vhost": vhost, "configure": configure, "write": write, "read": read })
}

/// As RabbitMQ lists it.
pub(crate) fn topic_told(permitted: &TopicPermitted) -> Value {
    let TopicPermitted { user, vhost, exchange, write, read } = permitted;
    json!({ "user": user, "vhost": vhost, "exchange": exchange, "write": write, "read": read })
}
