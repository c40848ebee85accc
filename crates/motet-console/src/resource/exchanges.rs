//! `/exchanges`: list, declare, delete.

use super::body::Body;
use crate::asker::Needs::Management;
use crate::call::Call;
use crate::figures;
use crate::listing::names_first;
use crate::route::Route;
use crate::{Method, Refusal, Response, json};
use bytes::Bytes;
use motet_core::access::{Action, Resource};
use motet_core::core::Vhost;
use motet_core::engine::Engine;
use motet_core::exchange::{DEDUP_HEADER, ExchangeConfig, ExchangeKind, HashOn, HashProperty};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![
        Route::at("exchanges").get(Management, list),
        Route::at("exchanges/{vhost}").get(Management, list),
        Route::at("exchanges/{vhost}/{name}").get(Management, one).on(Method::Put, Management, declare).on(
            Method::Delete,
            Management,
            delete,
        ),
    ]
}

/// An exchange's name as paths have it: the default one has none of its own.
pub(super) fn unspoken(name: &str) -> &str {
    if name == "amq.default" { "" } else { name }
}

fn list<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let vhosts = call.vhosts()?;
    let exchanges = vhosts.iter().flat_map(|vhost| with_default(call, vhost));
    names_first(
        call,
        exchanges,
        |(_, name, _)| json::text(name),
        |(vhost, name, config)| view(call, &vhost, &name, &config),
    )
}

/// All of a vhost, the default one first.
fn with_default<E: Engine>(call: &Call<'_, E>, vhost: &Arc<Vhost>) -> Vec<(Arc<Vhost>, Bytes, ExchangeConfig)> {
    let mut all = call.core().exchanges(vhost);
    if all.first().is_none_or(|(name, _)| !name.is_empty()) {
        all.insert(0, (Bytes::new(), ExchangeConfig::durable(ExchangeKind::Direct)));
    }
    all.into_iter().map(|(name, config)| (vhost.clone(), name, config)).collect()
}

fn one<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (vhost, name) = (call.vhost()?, unspoken(call.segment("name")));
    let found = with_default(call, &vhost).into_iter().find(|(_, known, _)| known == name.as_bytes());
    let (_, name, config) = found.ok_or_else(Refusal::not_found)?;
    let mut view = view(call, &vhost, &name, &config);
    (view["incoming"], view["outgoing"]) = (json!([]), json!([]));
    call.one(view)
}

fn view<E: Engine>(call: &Call<'_, E>, vhost: &Vhost, name: &Bytes, config: &ExchangeConfig) -> Value {
    let (kind, arguments) = kind_and_arguments(config);
    // Those that every vhost begins with.
    let own = name.is_empty() || name.starts_with(b"amq.");
    let mut stats = Map::new();
    let counted = figures::exchange(&vhost.topology(), name);
    figures::write(&mut stats, &figures::EXCHANGE, &counted, &call.api.looks.exchange(vhost.name(), name));
    let mut view = json!({
        "arguments": arguments,
        "auto_delete": config.auto_delete,
        "durable": config.durable,
        "internal": config.internal,
        "message_stats": stats,
        "name": json::text(name),
        "type": kind,
        "user_who_performed_action": if own { "rmq-internal" } else { "" },
        "vhost": &**vhost.name(),
    });
    if let Some(policy) = vhost.exchange_governed(name).policy {
        view["policy"] = json!(policy);
    }
    view
}

/// The type and the arguments that a declaration of the same would have.
pub(crate) fn kind_and_arguments(config: &ExchangeConfig) -> (&'static str, Value) {
    let mut arguments = Map::new();
    let kind = match &config.kind {
        ExchangeKind::Direct => "direct",
        ExchangeKind::Fanout => "fanout",
        ExchangeKind::Topic => "topic",
        ExchangeKind::Headers => "headers",
        ExchangeKind::ModulusHash => "x-modulus-hash",
        ExchangeKind::Random => "x-random",
        ExchangeKind::ConsistentHash(on) => {
            match on {
                HashOn::Key => {}
                HashOn::Header(name) => drop(arguments.insert("hash-header".into(), json!(name))),
                HashOn::Property(property) => {
                    let word = match property {
                        HashProperty::MessageId => "message_id",
                        HashProperty::CorrelationId => "correlation_id",
                        HashProperty::Timestamp => "timestamp",
                    };
                    arguments.insert("hash-property".into(), json!(word));
                }
            }
            "x-consistent-hash"
        }
    };
    if let Some(alternate) = &config.alternate {
        arguments.insert("alternate-exchange".into(), json!(json::text(alternate)));
    }
    if let Some(dedup) = &config.dedup {
        arguments.insert("x-cache-size".into(), json!(dedup.entries));
        if let Some(ttl) = dedup.ttl_ms {
            arguments.insert("x-cache-ttl".into(), json!(ttl));
        }
        if &*dedup.header != DEDUP_HEADER {
            arguments.insert("x-deduplication-header".into(), json!(dedup.header));
        }
        if dedup.by_type && !config.delayed {
            return ("x-message-deduplication", arguments.into());
        }
        arguments.insert("x-message-deduplication".into(), json!(true));
    }
    if config.delayed {
        arguments.insert("x-delayed-type".into(), json!(kind));
        return ("x-delayed-message", arguments.into());
    }
    (kind, arguments.into())
}

fn declare<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (vhost, name) = (call.vhost_to_fill()?, call.segment("name"));
    let body = Body(call.request.object()?);
    let kind = body.text("type")?.unwrap_or("direct");
    let arguments = body.arguments()?;
    let refused = |error| Refusal::of_exchange(&error, name, vhost.name());
    let read = ExchangeConfig::from_arguments(kind, &arguments).map_err(refused)?;
    let config = ExchangeConfig {
        durable: body.flag("durable")?,
        auto_delete: body.flag("auto_delete")?,
        internal: body.flag("internal")?,
        ..read
    };
    if name.is_empty() {
        return Err(Refusal::access_refused());
    }
    call.may(&vhost, Action::Configure, Resource::Exchange(name.as_bytes()))?;
    if let Some(alternate) = &config.alternate {
        call.may(&vhost, Action::Subscribe, Resource::Exchange(name.as_bytes()))?;
        call.may(&vhost, Action::Publish, Resource::Exchange(alternate))?;
    }
    let declared = call.core().declare_exchange(call.now(), &vhost, name.as_bytes(), config);
    let (created, position) = declared.map_err(refused)?;
    call.durable(position)?;
    Ok(Response::made(created))
}

fn delete<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (vhost, name) = (call.vhost()?, unspoken(call.segment("name")));
    if with_default(call, &vhost).iter().all(|(_, known, _)| known != name.as_bytes()) {
        return Err(Refusal::not_found());
    }
    if name.is_empty() {
        return Err(Refusal::access_refused());
    }
    call.may(&vhost, Action::Configure, Resource::Exchange(name.as_bytes()))?;
    let deleted = call.core().delete_exchange(&vhost, name.as_bytes(), call.request.says("if-unused"));
    let (_, position) = deleted.map_err(|error| Refusal::of_exchange_deletion(&error, name, vhost.name()))?;
    call.durable(position)?;
    Ok(Response::done())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::json;

    #[test]
    fn every_vhost_begins_with_its_exchanges() {
        let exchanges = Bench::new().get("/exchanges/%2F?columns=name,type");
        let known: Vec<_> = exchanges.as_array().unwrap().iter().map(|x| x["name"].as_str().unwrap()).collect();
        for name in ["", "amq.direct", "amq.fanout", "amq.headers", "amq.match", "amq.topic"] {
            assert!(known.contains(&name), "{name:?} in {known:?}");
        }
    }

    #[test]
    fn an_exchange_is_made_once_and_then_agreed_to() {
        let bench = Bench::new();
        let body = r#"{"type":"x-delayed-message","durable":true,"arguments":{"x-delayed-type":"topic","alternate-exchange":"a"}}"#;
        assert_eq!(
            (bench.status("PUT", "/exchanges/%2F/x", body), bench.status("PUT", "/exchanges/%2F/x", body)),
            (201, 204)
        );
        let exchange = bench.get("/exchanges/%2F/x");
        assert_eq!(exchange["type"], "x-delayed-message");
        assert_eq!(exchange["arguments"], json!({"x-delayed-type": "topic", "alternate-exchange": "a"}));
        let answer = bench.ask("PUT", "/exchanges/%2F/x", r#"{"type":"fanout","durable":true}"#);
        let reason = "inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'topic'";
        assert_eq!((answer.status, &answer.told()["reason"]), (400, &json!(reason)));
    }

    #[test]
    fn what_cannot_be_an_exchange_is_refused() {
        let bench = Bench::new();
        for (method, path, body, status, reason) in [
            ("PUT", "/exchanges/%2F/x", r#"{"type":"bogus"}"#, 400, json!("invalid exchange type 'bogus'")),
            ("PUT", "/exchanges/%2F/amq.x", r#"{"type":"direct"}"#, 401, json!("Access refused.")),
            ("DELETE", "/exchanges/%2F/amq.direct", "", 401, json!("Access refused.")),
            ("DELETE", "/exchanges/%2F/nope", "", 404, json!("Not Found")),
            ("GET", "/exchanges/nope/x", "", 404, json!("Not Found")),
        ] {
            let answer = bench.ask(method, path, body);
            assert_eq!((answer.status, &answer.told()["reason"]), (status, &reason), "{method} {path}");
        }
    }

    #[test]
    fn an_exchange_in_use_stays_when_that_is_asked_for() {
        let bench = Bench::new();
        bench.ask("PUT", "/exchanges/%2F/x", "{}");
        bench.ask("PUT", "/queues/%2F/q", "{}");
        bench.ask("POST", "/bindings/%2F/e/x/q/q", "{}");
        let answer = bench.ask("DELETE", "/exchanges/%2F/x?if-unused=true", "");
        assert_eq!((answer.status, &answer.told()["reason"]), (400, &json!("exchange 'x' in vhost '/' in use")));
        assert_eq!(bench.status("DELETE", "/exchanges/%2F/x", ""), 204);
        assert_eq!(bench.get("/bindings").as_array().unwrap().len(), 1);
    }
}
