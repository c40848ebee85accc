//! `/bindings`, and the bindings of one queue or exchange.

use super::body::Body;
use super::exchanges::unspoken;
use super::queues::named;
use crate::asker::Needs::Management;
use crate::call::Call;
use crate::route::Route;
use crate::{Method, Refusal, Response, json};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use motet_core::access::{Action, Resource};
use motet_core::core::Vhost;
use motet_core::engine::Engine;
use motet_core::exchange::{Arguments, BindingView};
use motet_core::spelling::amqp;
use serde_json::{Value, json};
use std::hash::{BuildHasher as _, Hasher as _};

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    let both = |route: Route<E>| route.get(Management, between).on(Method::Post, Management, bind);
    let named = |route: Route<E>| route.get(Management, one).on(Method::Delete, Management, unbind);
    vec![
        Route::at("bindings").get(Management, list),
        Route::at("bindings/{vhost}").get(Management, list),
        both(Route::at("bindings/{vhost}/e/{source}/q/{queue}")),
        both(Route::at("bindings/{vhost}/e/{source}/e/{exchange}")),
        named(Route::at("bindings/{vhost}/e/{source}/q/{queue}/{key}")),
        named(Route::at("bindings/{vhost}/e/{source}/e/{exchange}/{key}")),
        Route::at("queues/{vhost}/{name}/bindings").get(Management, of_queue),
        Route::at("exchanges/{vhost}/{name}/bindings/source").get(Management, of_source),
        Route::at("exchanges/{vhost}/{name}/bindings/destination").get(Management, of_destination),
    ]
}

/// All bindings of a vhost: first each queue's to the default exchange.
fn all<E: Engine>(call: &Call<'_, E>, vhost: &Vhost) -> Vec<BindingView> {
    let own = call.core().queues(vhost).into_iter().map(|queue| BindingView {
        source: Bytes::new(),
        target: queue.name().clone(),
        to_exchange: false,
        key: queue.name().clone(),
        arguments: Arguments::default(),
        durable: queue.declared().durable,
    });
    own.chain(call.core().bindings(vhost)).collect()
}

fn view(vhost: &Vhost, binding: &BindingView) -> Value {
    json!({
        "arguments": json::object(binding.arguments.fields()),
        "destination": json::text(&binding.target),
        "destination_type": if binding.to_exchange { "exchange" } else { "queue" },
        "properties_key": properties_key(binding),
        "routing_key": json::text(&binding.key),
        "source": json::text(&binding.source),
        "vhost": &**vhost.name(),
    })
}

/// The name of a binding among those between the same two: its key, and a hash of its arguments where it has some.
fn properties_key(binding: &BindingView) -> String {
    let key = json::quoted(&json::text(&binding.key));
    match (binding.arguments.fields().is_empty(), key.is_empty()) {
        (true, true) => "~".into(),
        (true, false) => key,
        (false, _) => format!("{key}~{}", arguments_hash(&binding.arguments)),
    }
}

/// Four bytes, as RabbitMQ has them, of a hash that is the same at every start. It is not RabbitMQ's.
fn arguments_hash(arguments: &Arguments) -> String {
    // The fields are in the order of their names, so the text is the same for the same arguments.
    let mut hasher = foldhash::fast::FixedState::with_seed(0).build_hasher();
    hasher.write(json::object(arguments.fields()).to_string().as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(&hasher.finish().to_be_bytes()[..4])
}

fn list<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let mut found = Vec::new();
    for vhost in call.vhosts()? {
        found.extend(all(call, &vhost).iter().map(|binding| view(&vhost, binding)));
    }
    call.whole_list(found)
}

/// Those of the vhost of the path that `fits` says yes to.
fn picked<E: Engine>(call: &Call<'_, E>, fits: impl Fn(&BindingView) -> bool) -> Result<Vec<BindingView>, Refusal> {
    let vhost = call.vhost()?;
    let mut found = all(call, &vhost);
    found.retain(fits);
    Ok(found)
}

fn told<E: Engine>(call: &Call<'_, E>, found: &[BindingView]) -> Result<Response, Refusal> {
    let vhost = call.vhost()?;
    call.whole_list(found.iter().map(|binding| view(&vhost, binding)).collect())
}

fn of_queue<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let queue = named(call)?;
    told(call, &picked(call, |binding| !binding.to_exchange && binding.target == *queue.name())?)
}

/// The exchange of the path.
fn exchange<E: Engine>(call: &Call<'_, E>) -> Result<Bytes, Refusal> {
    let (vhost, name) = (call.vhost()?, unspoken(call.segment("name")));
    let known = name.is_empty() || vhost.topology().exchange(name.as_bytes()).is_some();
    if known { Ok(Bytes::copy_from_slice(name.as_bytes())) } else { Err(Refusal::not_found()) }
}

fn of_source<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let exchange = exchange(call)?;
    told(call, &picked(call, |binding| binding.source == exchange)?)
}

fn of_destination<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let exchange = exchange(call)?;
    told(call, &picked(call, |binding| binding.to_exchange && binding.target == exchange)?)
}

/// Both ends of the path: the source, the target, and whether that is an exchange.
fn ends<'a, E: Engine>(call: &Call<'a, E>) -> (&'a str, &'a str, bool) {
    let to_exchange = call.segments.iter().any(|(name, _)| *name == "exchange");
    let target = call.segment(if to_exchange { "exchange" } else { "queue" });
    (unspoken(call.segment("source")), target, to_exchange)
}

fn bindings_between<E: Engine>(call: &Call<'_, E>) -> Result<Vec<BindingView>, Refusal> {
    let (source, target, to_exchange) = ends(call);
    picked(call, |binding| {
        binding.to_exchange == to_exchange && binding.source == source.as_bytes() && binding.target == target.as_bytes()
    })
}

fn between<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    told(call, &bindings_between(call)?)
}

/// The binding that the last segment names: as we spell it, or by its bare key.
fn named_binding<E: Engine>(call: &Call<'_, E>) -> Result<BindingView, Refusal> {
    let given = call.segment("key");
    let found = bindings_between(call)?;
    let spelled = found.iter().find(|binding| properties_key(binding) == given);
    let bare = |binding: &&BindingView| binding.arguments.fields().is_empty() && binding.key == given.as_bytes();
    spelled.or_else(|| found.iter().find(bare)).cloned().ok_or_else(Refusal::not_found)
}

fn one<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (vhost, binding) = (call.vhost()?, named_binding(call)?);
    call.one(view(&vhost, &binding))
}

/// A binding writes to its target and hears its source.
fn may<E: Engine>(call: &Call<'_, E>, vhost: &Vhost, key: &[u8]) -> Result<(), Refusal> {
    let (source, target, to_exchange) = ends(call);
    let target = match to_exchange {
        true => Resource::Exchange(target.as_bytes()),
        false => Resource::Queue(target.as_bytes()),
    };
    call.may(vhost, Action::Publish, target)?;
    match amqp::decode_pattern(key) {
        Ok(pattern) if source == "amq.topic" => call.may(vhost, Action::Subscribe, Resource::Pattern(&pattern)),
        _ => call.may(vhost, Action::Subscribe, Resource::Exchange(source.as_bytes())),
    }
}

fn bind<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let vhost = call.vhost()?;
    let body = Body(call.request.object()?);
    let key = body.text("routing_key")?.unwrap_or_default().as_bytes();
    let arguments = Arguments::new(body.arguments()?);
    let (source, target, to_exchange) = ends(call);
    may(call, &vhost, key)?;
    let refused = |error| Refusal::of_binding(&error, vhost.name());
    let core = call.core();
    let position = if to_exchange {
        let bound = core.bind_exchange(&vhost, source.as_bytes(), target.as_bytes(), key, arguments.clone());
        bound.map_err(refused)?
    } else {
        // The default exchange is nobody's to bind, and where both ends are missing the source is told.
        if source.is_empty() {
            return Err(Refusal::access_refused());
        }
        if vhost.topology().exchange(source.as_bytes()).is_none() {
            return Err(Refusal::missing(format!("no exchange '{source}' in vhost '{}'", vhost.name())));
        }
        let queue = core.find_queue(&vhost, target.as_bytes());
        let missing = || Refusal::missing(format!("no queue '{target}' in vhost '{}'", vhost.name()));
        let queue = queue.ok_or_else(missing)?;
        core.bind_queue(call.now(), &vhost, source.as_bytes(), &queue, key, arguments.clone()).map_err(refused)?
    };
    call.durable(position)?;
    let made = BindingView {
        source: Bytes::new(),
        target: Bytes::copy_from_slice(target.as_bytes()),
        to_exchange,
        key: Bytes::copy_from_slice(key),
        arguments,
        durable: false,
    };
    let location = format!("{}/{}", json::quoted(target), json::quoted(&properties_key(&made)).replace("%7E", "~"));
    Ok(Response::empty(201).with("location", location))
}

fn unbind<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (vhost, binding) = (call.vhost()?, named_binding(call)?);
    may(call, &vhost, &binding.key)?;
    let BindingView { source, target, key, arguments, .. } = &binding;
    let core = call.core();
    let ended = match binding.to_exchange {
        true => core.unbind_exchange(&vhost, source, target, key, arguments),
        false => core.unbind_queue(&vhost, source, target, key, arguments),
    };
    call.durable(ended.map_err(|error| Refusal::of_binding(&error, vhost.name()))?)?;
    Ok(Response::done())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::{Value, json};

    fn bench() -> Bench {
        let bench = Bench::new();
        bench.ask("PUT", "/exchanges/%2F/x", r#"{"type":"topic"}"#);
        bench.ask("PUT", "/queues/%2F/q", "{}");
        bench
    }

    fn bind(bench: &Bench, body: Value) -> Option<String> {
        let answer = bench.ask("POST", "/bindings/%2F/e/x/q/q", &body.to_string());
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.header("location").map(str::to_owned)
    }

    #[test]
    fn a_binding_is_named_by_its_key_and_a_hash_of_its_arguments() {
        let bench = bench();
        assert_eq!(bind(&bench, json!({})).as_deref(), Some("q/~"));
        assert_eq!(bind(&bench, json!({"routing_key": "p lä~in/"})).as_deref(), Some("q/p%2Bl%25C3%25A4%257Ein%252F"));
        let location = bind(&bench, json!({"routing_key": "a.*", "arguments": {"x": 1}})).unwrap();
        assert!(location.starts_with("q/a.%252A~") && location.len() == 16, "{location}");
        let listed = bench.get("/bindings/%2F/e/x/q/q");
        assert_eq!(listed.as_array().unwrap().len(), 3);
        let one = bench.get(&format!("/bindings/%2F/e/x/q/{location}"));
        assert_eq!((&one["routing_key"], &one["arguments"]), (&json!("a.*"), &json!({"x": 1})));
        assert_eq!(bench.status("DELETE", &format!("/bindings/%2F/e/x/q/{location}"), ""), 204);
        assert_eq!(bench.status("DELETE", &format!("/bindings/%2F/e/x/q/{location}"), ""), 404);
        assert_eq!(bench.status("DELETE", "/bindings/%2F/e/x/q/q/~", ""), 204);
        assert_eq!(bench.get("/exchanges/%2F/x/bindings/source").as_array().unwrap().len(), 1);
    }

    #[test]
    fn a_bare_key_names_a_binding_too() {
        let bench = bench();
        bind(&bench, json!({"routing_key": "a.*"}));
        assert_eq!(bench.status("DELETE", "/bindings/%2F/e/x/q/q/a.*", ""), 204);
    }

    #[test]
    fn a_queue_is_bound_to_the_default_exchange_by_itself() {
        let bench = bench();
        let own = json!({
            "source": "", "vhost": "/", "destination": "q", "destination_type": "queue", "routing_key": "q",
            "arguments": {}, "properties_key": "q",
        });
        assert_eq!(bench.get("/queues/%2F/q/bindings"), json!([own]));
        assert_eq!(bench.get("/bindings"), json!([own]));
    }

    #[test]
    fn exchanges_are_bound_to_exchanges() {
        let bench = bench();
        assert_eq!(bench.status("POST", "/bindings/%2F/e/x/e/amq.fanout", r#"{"routing_key":"k"}"#), 201);
        let bound = &bench.get("/exchanges/%2F/amq.fanout/bindings/destination")[0];
        assert_eq!((&bound["source"], &bound["destination_type"]), (&json!("x"), &json!("exchange")));
        assert_eq!(bench.status("DELETE", "/bindings/%2F/e/x/e/amq.fanout/k", ""), 204);
    }

    #[test]
    fn what_is_not_there_cannot_be_bound() {
        let bench = bench();
        for (path, reason) in [
            ("/bindings/%2F/e/x/q/nope", "no queue 'nope' in vhost '/'"),
            ("/bindings/%2F/e/nope/q/q", "no exchange 'nope' in vhost '/'"),
        ] {
            let answer = bench.ask("POST", path, "{}");
            assert_eq!((answer.status, answer.told()), (404, json!({"error": "not_found", "reason": reason})));
        }
        assert_eq!(bench.get("/bindings/%2F/e/x/q/nope"), json!([]));
    }
}
