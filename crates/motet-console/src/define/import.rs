//! A document of definitions is taken: in the order in which one thing needs another, and each as far as it can be.

use super::{Made, Place, parameter, permission, policy, topology, user, vhost};
use crate::Refusal;
use crate::define::erlang::text;
use motet_core::core::Vhost;
use motet_core::core::govern::PolicyKind;
use motet_core::engine::{Engine, Position};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What became of a document.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Imported {
    /// How many of each part were taken.
    pub taken: BTreeMap<&'static str, u64>,
    /// What was taken and means something else here, or nothing: a line each.
    pub changed: Vec<String>,
    /// What was not taken, by name, and why.
    pub refused: Vec<(String, Refusal)>,
    /// When all of it is durable.
    pub position: Position,
}

impl Imported {
    /// For people and programs: `taken`, `changed`, `refused`.
    pub fn told(&self) -> Value {
        let why = |reason: &Value| match reason.as_str() {
            Some(text) => text.trim().replace('\n', " "),
            None => reason.to_string(),
        };
        let refused = self.refused.iter().map(|(what, refusal)| format!("{what}: {}", why(&refusal.reason)));
        let refused: Vec<_> = refused.collect();
        json!({ "taken": self.taken, "changed": self.changed, "refused": refused })
    }

    fn count(&mut self, part: &'static str, what: impl FnOnce() -> String, made: Result<Made, Refusal>) {
        match made {
            Ok(made) => {
                *self.taken.entry(part).or_default() += 1;
                self.position = self.position.max(made.position.unwrap_or_default());
            }
            Err(refusal) => self.refused.push((what(), refusal)),
        }
    }
}

/// Takes all definitions of a document. `by` is who asks, empty for a command.
pub fn import<E: Engine>(place: Place<'_, E>, document: &Map<String, Value>, by: &str) -> Imported {
    let mut imported = Imported::default();
    for one in items(document, "vhosts") {
        let put = text(one, "name").and_then(|name| {
            let made = vhost::put(place, name, one)?;
            if made.is_new && !by.is_empty() {
                permission::of_maker(place, by, name);
            }
            Ok(made)
        });
        imported.count("vhosts", || named("vhost", one), put);
    }
    for one in items(document, "users") {
        take_user(place, one, by, &mut imported);
    }
    for part in ["permissions", "topic_permissions"] {
        for one in items(document, part) {
            let put = text(one, "user").and_then(|user| {
                let vhost = vhost_of(place, one)?;
                match part {
                    "permissions" => permission::put(place, user, vhost.name(), one),
                    _ => permission::put_topic(place, user, vhost.name(), one),
                }
            });
            imported.count(part, || format!("{} of user {}", part.trim_end_matches('s'), word(one, "user")), put);
        }
    }
    for one in items(document, "global_parameters") {
        let put = text(one, "name").and_then(|name| parameter::put_global(place, name, one));
        imported.count("global_parameters", || named("global parameter", one), put);
    }
    take_parts(place, document, None, &mut imported);
    imported
}

/// Takes what belongs to a vhost.
pub fn import_vhost<E: Engine>(place: Place<'_, E>, vhost: &Arc<Vhost>, document: &Map<String, Value>) -> Imported {
    let mut imported = Imported::default();
    take_parts(place, document, Some(vhost), &mut imported);
    imported
}

fn take_user<E: Engine>(place: Place<'_, E>, one: &Map<String, Value>, by: &str, imported: &mut Imported) {
    let name = word(one, "name");
    let is_configured = place.roster.users().iter().any(|user| user.is_configured && user.name == name);
    if is_configured {
        imported.changed.push(format!("user {name} is in the configuration, which wins: left as it is"));
        return;
    }
    let algorithm = one.get("hashing_algorithm").and_then(Value::as_str).unwrap_or_default();
    let mut one = one.clone();
    if algorithm == "rabbit_password_hashing_md5" {
        imported.changed.push(format!("user {name} has an MD5 hash, which is not taken: it needs a new password"));
        one.remove("password_hash");
    }
    let put = text(&one, "name").and_then(|name| user::put(place, name, &one, by));
    let put = put.map(|is_new| Made { is_new, position: None });
    imported.count("users", || format!("user {name}"), put);
}

/// `in_vhost` where the document is of one vhost and names none.
fn take_parts<E: Engine>(
    place: Place<'_, E>,
    document: &Map<String, Value>,
    in_vhost: Option<&Arc<Vhost>>,
    imported: &mut Imported,
) {
    let home = |one: &Map<String, Value>| match in_vhost {
        Some(vhost) => Ok(vhost.clone()),
        None => vhost_of(place, one),
    };
    for one in items(document, "parameters") {
        let put = text(one, "component").and_then(|component| {
            let (vhost, name) = (home(one)?, text(one, "name")?);
            match (component, one.get("value")) {
                ("operator_policy", Some(Value::Object(value))) => {
                    policy::put(place, &vhost, PolicyKind::Operator, name, value)
                }
                _ => parameter::put(place, &vhost, component, name, one),
            }
        });
        if matches!(word(one, "component"), "shovel" | "federation-upstream" | "federation-upstream-set") && put.is_ok()
        {
            let component = word(one, "component");
            imported.changed.push(format!("{component} {} is kept and nothing acts on it", word(one, "name")));
        }
        imported.count("parameters", || format!("parameter {} {}", word(one, "component"), word(one, "name")), put);
    }
    for one in items(document, "policies") {
        let put = text(one, "name").and_then(|name| policy::put(place, &home(one)?, PolicyKind::Ordinary, name, one));
        let idle = policy::without_meaning(one);
        if put.is_ok() && !idle.is_empty() {
            let (name, idle) = (word(one, "name"), idle.join(", "));
            imported.changed.push(format!("policy {name}: {idle} mean nothing here and are kept"));
        }
        imported.count("policies", || named("policy", one), put);
    }
    for one in items(document, "queues") {
        let put = home(one).and_then(|vhost| topology::queue(place, &vhost, one));
        imported.count("queues", || named("queue", one), put);
    }
    for one in items(document, "exchanges") {
        let put = home(one).and_then(|vhost| topology::exchange(place, &vhost, one));
        imported.count("exchanges", || named("exchange", one), put);
    }
    for one in items(document, "bindings") {
        let put = home(one).and_then(|vhost| topology::binding(place, &vhost, one));
        let what = || format!("binding from {} to {}", word(one, "source"), word(one, "destination"));
        imported.count("bindings", what, put);
    }
}

/// The objects of a part; what is no object is passed over, as it can't be named.
fn items<'a>(document: &'a Map<String, Value>, part: &str) -> impl Iterator<Item = &'a Map<String, Value>> + use<'a> {
    document.get(part).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

fn word<'a>(one: &'a Map<String, Value>, name: &str) -> &'a str {
    one.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn named(what: &str, one: &Map<String, Value>) -> String {
    match (word(one, "name"), one.get("vhost").and_then(Value::as_str)) {
        (name, Some(vhost)) => format!("{what} {name} in vhost {vhost}"),
        (name, None) => format!("{what} {name}"),
    }
}

fn vhost_of<E: Engine>(place: Place<'_, E>, one: &Map<String, Value>) -> Result<Arc<Vhost>, Refusal> {
    let name = text(one, "vhost")?;
    place.core.find_vhost(name).ok_or_else(|| Refusal::bad_request(format!("vhost '{name}' does not exist")))
}
