//! Sessions and connections of a running server, for operators.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/motet/sessions?limit=&after=&filter=&connected=` | `{"sessions": […], "next": name}`, by name; `next` is where to go on |
//! | `GET /api/motet/sessions/NAME` | the same with its subscriptions and its queue |
//! | `DELETE /api/motet/sessions/NAME` | it is gone, its connection too |
//! | `GET /api/motet/connections?limit=&after=&filter=&vhost=` | `{"connections": […], "next": number}`, by number |
//! | `DELETE /api/motet/connections/NUMBER` | it was told to go |

use crate::house::House;
use crate::http::{Answer, text, with_type};
use crate::registry::Handle;
use crate::telemetry::PROTOCOLS;
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use motet_console::percent_decoded;
use motet_core::core::SessionSummary;
use motet_core::engine::Engine;
use motet_core::mailbox::{KickReason, Notice};
use motet_core::message::Reliability;
use motet_core::pattern::Pattern;
use motet_core::session::{Expiry, SubscribeOptions};
use motet_core::spelling::mqtt;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Where sessions are asked for.
pub const SESSIONS_PATH: &str = "/api/motet/sessions";
/// Where connections are asked for.
pub const CONNECTIONS_PATH: &str = "/api/motet/connections";
/// Entries of one answer: what nobody asks for, and what nobody gets more of.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

pub(super) fn is_ours(path: &str) -> bool {
    [SESSIONS_PATH, CONNECTIONS_PATH].iter().any(|ours| beneath(path, ours).is_some())
}

/// What of `path` is below `above`: empty for itself.
pub(super) fn beneath<'a>(path: &'a str, above: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(above)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

pub(super) fn answer<E: Engine>(house: &House<E>, method: &Method, uri: &Uri) -> Answer {
    let asked = match Asked::read(uri.query().unwrap_or_default()) {
        Ok(asked) => asked,
        Err(what) => return text(StatusCode::BAD_REQUEST, &format!("{what}\n")),
    };
    let session = beneath(uri.path(), SESSIONS_PATH);
    let name = session.or_else(|| beneath(uri.path(), CONNECTIONS_PATH)).unwrap_or_default();
    let Some(name) = percent_decoded(name) else {
        return text(StatusCode::BAD_REQUEST, "a name is UTF-8, with %XX for what a path cannot hold\n");
    };
    match (session.is_some(), name.is_empty(), method.as_str()) {
        (true, true, "GET") => told(&sessions(house, &asked)),
        (true, false, "GET") => match house.core.session(&name) {
            Some((summary, subscriptions)) => told(&session_in_full(&summary, &subscriptions)),
            None => unknown(),
        },
        (true, false, "DELETE") => match house.core.remove_session(house.clock.now(), &name) {
            true => {
                tracing::info!(client = name, "an operator removed a session");
                told(&json!({ "removed": name }))
            }
            false => unknown(),
        },
        (false, true, "GET") => told(&connections(house, &asked)),
        (false, false, "DELETE") => match name.parse().ok().and_then(|id| house.registry.find(id)) {
            Some(handle) => {
                tracing::info!(connection = handle.id, peer = ?handle.about.peer, "an operator ended a connection");
                handle.mailbox.notify(Notice::Kicked(KickReason::Administrative));
                told(&json!({ "kicked": handle.id }))
            }
            None => unknown(),
        },
        (sessions, named, _) => {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "this cannot be asked here; see Allow\n");
            let allow = if !named && sessions {
                "GET, DELETE"
            } else if named {
                "GET"
            } else {
                "DELETE"
            };
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            answer
        }
    }
}

fn told(json: &Value) -> Answer {
    with_type(StatusCode::OK, "application/json", format!("{json}\n"))
}

fn unknown() -> Answer {
    text(StatusCode::NOT_FOUND, "there is none of this name here\n")
}

/// Which part of a list.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    limit: usize,
    after: Option<String>,
    /// Part of the client's name, in any case.
    filter: Option<String>,
    connected: Option<bool>,
    /// Of connections, those in this vhost.
    vhost: Option<String>,
}

impl Asked {
    fn read(query: &str) -> Result<Self, String> {
        let mut asked = Asked { limit: LIMIT_DEFAULT, after: None, filter: None, connected: None, vhost: None };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decoded(&value.replace('+', " ")).ok_or_else(|| format!("{key} is not UTF-8"))?;
            match key {
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    asked.limit = limit.ok_or_else(|| format!("limit: expected 1 to {LIMIT_MAX}"))?;
                }
                "after" => asked.after = Some(value),
                "filter" => asked.filter = Some(value.to_lowercase()),
                "vhost" => asked.vhost = Some(value),
                "connected" => {
                    asked.connected = Some(value.parse().map_err(|_| "connected: expected true or false".to_owned())?);
                }
                other => return Err(format!("{other} is not known; limit, after, filter, connected and vhost are")),
            }
        }
        Ok(asked)
    }

    fn wants(&self, client: &str) -> bool {
        self.filter.as_ref().is_none_or(|part| client.to_lowercase().contains(part))
    }

    /// Keeps `entry` when it belongs into this part of the list, and one more than asked for: then there is a next part.
    fn keep<K: Ord, T>(&self, found: &mut BTreeMap<K, T>, key: K, entry: impl FnOnce() -> T) {
        if found.len() > self.limit && found.last_key_value().is_some_and(|(last, _)| *last < key) {
            return;
        }
        found.insert(key, entry());
        if found.len() > self.limit + 1 {
            found.pop_last();
        }
    }

    /// The entries of this part, and the key of its last one when more follow.
    fn page<K: Ord + Clone + Into<Value>>(&self, mut found: BTreeMap<K, Value>) -> (Vec<Value>, Value) {
        let more = found.len() > self.limit;
        if more {
            found.pop_last();
        }
        let next = found.last_key_value().filter(|_| more).map_or(Value::Null, |(key, _)| key.clone().into());
        (found.into_values().collect(), next)
    }
}

fn sessions<E: Engine>(house: &House<E>, asked: &Asked) -> Value {
    let mut found = BTreeMap::new();
    house.core.for_each_session(|session| {
        let follows = asked.after.as_ref().is_none_or(|after| session.client > *after);
        let fits = asked.connected.is_none_or(|connected| connected == session.connection.is_some());
        if follows && fits && asked.wants(&session.client) {
            asked.keep(&mut found, session.client.clone(), || session_in_short(&session));
        }
    });
    let (sessions, next) = asked.page(found);
    json!({ "sessions": sessions, "next": next })
}

fn session_in_short(session: &SessionSummary) -> Value {
    json!({
        "client": session.client,
        "connected": session.connection.is_some(),
        "connected_at_ms": session.connected_at.map(|at| at.0),
        "disconnected_at_ms": session.disconnected_at.map(|at| at.0),
        "durable": session.durable,
        "expiry_secs": match session.expiry {
            Expiry::WithConnection => json!(0),
            Expiry::After(secs) => json!(secs),
            Expiry::Never => json!("never"),
        },
        "subscriptions": session.subscriptions,
        "queued": session.queue.ready,
        "unacknowledged": session.queue.unacked,
        "queued_bytes": session.queue.waiting_bytes + session.queue.unacked_bytes,
    })
}

fn session_in_full(session: &SessionSummary, subscriptions: &[(Pattern, SubscribeOptions)]) -> Value {
    let mut json = session_in_short(session);
    json["subscriptions"] = subscriptions.iter().map(subscription).collect();
    let queue = session.queue;
    json["queue"] = json!({
        "enqueued_total": queue.enqueued_total,
        "delivered_total": queue.delivered_total,
        "redelivered_total": queue.redelivered_total,
        "acknowledged_total": queue.acked_total,
        "expired_total": queue.expired_total,
        "dropped_total": queue.dropped_total,
        "refused_total": queue.refused_total,
    });
    json
}

fn subscription((pattern, options): &(Pattern, SubscribeOptions)) -> Value {
    let mut filter = Vec::new();
    // What MQTT cannot spell comes from another protocol; its debug form is better than nothing.
    let spelled = mqtt::encode_pattern(pattern, &mut filter).ok().and_then(|()| String::from_utf8(filter).ok());
    json!({
        "filter": spelled.unwrap_or_else(|| format!("{pattern:?}")),
        "qos": match options.reliability {
            Reliability::AtMostOnce => 0,
            Reliability::AtLeastOnce => 1,
            Reliability::ExactlyOnce => 2,
        },
        "no_local": options.no_local,
        "retain_as_published": options.retain_as_published,
        "identifier": options.identifier,
    })
}

fn connections<E: Engine>(house: &House<E>, asked: &Asked) -> Value {
    // Who has a session, by the mailbox that both know.
    let mut clients = HashMap::new();
    house.core.for_each_session(|session| {
        if let Some(mailbox) = &session.connection {
            clients.insert(Arc::as_ptr(mailbox), session.client);
        }
    });
    let after = asked.after.as_ref().and_then(|after| after.parse::<u64>().ok()).unwrap_or(0);
    let mut found = BTreeMap::new();
    house.registry.each(|handle| {
        let client = clients.get(&Arc::as_ptr(&handle.mailbox)).map(String::as_str);
        let vhost = handle.mailbox.conversation().map(|conversation| &*conversation.vhost);
        let here = asked.vhost.as_deref().is_none_or(|asked| vhost == Some(asked));
        if handle.id > after && here && asked.wants(client.unwrap_or_default()) {
            asked.keep(&mut found, handle.id, || connection(handle, client));
        }
    });
    let (connections, next) = asked.page(found);
    json!({ "connections": connections, "next": next })
}

fn connection(handle: &Handle, client: Option<&str>) -> Value {
    json!({
        "id": handle.id,
        "protocol": PROTOCOLS[handle.about.protocol],
        "peer": handle.about.peer.map(|peer| peer.to_string()),
        "client": client,
        "vhost": handle.mailbox.conversation().map(|conversation| &*conversation.vhost),
        "user": handle.mailbox.conversation().map(|conversation| &*conversation.user),
        "since_ms": handle.about.since.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_in_parts_without_holding_all_of_it() {
        let asked = Asked::read("limit=2&after=a%20b&filter=X").unwrap();
        assert_eq!((asked.limit, asked.after.as_deref(), asked.filter.as_deref()), (2, Some("a b"), Some("x")));
        let mut found = BTreeMap::new();
        for name in ["e", "c", "d", "b", "f"] {
            asked.keep(&mut found, name, || Value::from(name));
            assert!(found.len() <= 3);
        }
        assert_eq!(asked.page(found), (vec!["b".into(), "c".into()], Value::from("c")));
        assert_eq!(asked.page(BTreeMap::from([("a", Value::from("a"))])), (vec!["a".into()], Value::Null));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for wrong in ["limit=0", "limit=1001", "limit=x", "connected=maybe", "colour=red", "after=%ff", "after=%4"] {
            assert!(Asked::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_the_paths_of_the_table_are_ours() {
        for (path, ours) in [
            ("/api/motet/sessions", true),
            ("/api/motet/sessions/a", true),
            ("/api/motet/sessionsx", false),
            ("/", false),
        ] {
            assert_eq!(is_ours(path), ours, "{path}");
        }
    }
}
