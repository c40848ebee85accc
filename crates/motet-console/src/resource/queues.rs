//! `/queues`: list, declare, delete, purge, and what else is done to one.

use super::body::Body;
use super::{queue, wording};
use crate::asker::Needs::Management;
use crate::call::Call;
use crate::listing::names_first;
use crate::route::Route;
use crate::{Method, Refusal, Response, json};
use motet_core::access::{Action, Resource};
use motet_core::core::broker::{NamedQueue, QueueDeclaration};
use motet_core::engine::Engine;
use motet_core::message::Value as Field;
use serde_json::json;
use std::sync::Arc;

/// No connection has this number: whoever asks here owns no exclusive queue.
const NO_CONNECTION: u64 = 0;

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![
        Route::at("queues").get(Management, list),
        Route::at("queues/{vhost}").get(Management, list),
        Route::at("queues/{vhost}/{name}").get(Management, one).on(Method::Put, Management, declare).on(
            Method::Delete,
            Management,
            delete,
        ),
        Route::at("queues/{vhost}/{name}/contents").on(Method::Delete, Management, purge),
        Route::at("queues/{vhost}/{name}/actions").on(Method::Post, Management, act),
    ]
}

/// The queue of the path, whoever owns it.
pub(super) fn named<E: Engine>(call: &Call<'_, E>) -> Result<Arc<NamedQueue>, Refusal> {
    let vhost = call.vhost()?;
    call.core().find_queue(&vhost, call.segment("name").as_bytes()).ok_or_else(Refusal::not_found)
}

/// The queue of the path, when it belongs to no connection.
pub(super) fn shared<E: Engine>(call: &Call<'_, E>) -> Result<Arc<NamedQueue>, Refusal> {
    let queue = named(call)?;
    match queue.is_locked_for(NO_CONNECTION) {
        true => Err(locked(call.segment("name"), call.segment("vhost"))),
        false => Ok(queue),
    }
}

/// It is another connection's.
pub(super) fn locked(name: &str, vhost: &str) -> Refusal {
    Refusal::bad_request(format!(
        "cannot obtain exclusive access to locked queue '{name}' in vhost '{vhost}'. It could be \
         originally declared on another connection or the exclusive property value does not match that of the original \
         declaration."
    ))
}

fn list<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let vhosts = call.vhosts()?;
    let queues = vhosts.iter().flat_map(|vhost| call.core().queues(vhost));
    // A page of a list without an order of its own is all that has to be looked at closely.
    names_first(call, queues, |queue| json::text(queue.name()), |queue| queue::view(call, &queue))
}

fn one<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let queue = named(call)?;
    call.one(queue::in_full(call, &queue))
}

fn declare<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let vhost = call.vhost_to_fill()?;
    let name = call.segment("name");
    let body = Body(call.request.object()?);
    let declaration = QueueDeclaration {
        durable: body.flag("durable")?,
        exclusive: None,
        auto_delete: body.flag("auto_delete")?,
        arguments: body.arguments()?,
    };
    let declaration = call.core().with_default_type(&vhost, declaration);
    call.may(&vhost, Action::Configure, Resource::Queue(name.as_bytes()))?;
    if let Some((_, Field::Text(exchange))) =
        declaration.arguments.iter().find(|(name, _)| &**name == "x-dead-letter-exchange")
    {
        call.may(&vhost, Action::Consume, Resource::Queue(name.as_bytes()))?;
        call.may(&vhost, Action::Publish, Resource::Exchange(exchange.as_bytes()))?;
    }
    let arguments = declaration.arguments.clone();
    let declared = call.core().declare_queue(call.now(), &vhost, name.as_bytes(), declaration, NO_CONNECTION);
    let declared = declared.map_err(|error| {
        let known = call.core().find_queue(&vhost, name.as_bytes());
        let known = known.as_ref().map_or(&[][..], |known| &known.declared().arguments);
        wording::queue(&error, name, vhost.name(), &arguments, known)
    })?;
    call.durable(declared.position)?;
    Ok(Response::made(declared.created))
}

fn delete<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (vhost, queue) = (call.vhost()?, shared(call)?);
    call.may(&vhost, Action::Configure, Resource::Queue(queue.name()))?;
    let (unused, empty) = (call.request.says("if-unused"), call.request.says("if-empty"));
    let deleted = call.core().delete_queue(call.now(), &queue, unused, empty);
    let (_, position) =
        deleted.map_err(|error| wording::queue(&error, call.segment("name"), vhost.name(), &[], &[]))?;
    call.durable(position)?;
    Ok(Response::done())
}

fn purge<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (vhost, queue) = (call.vhost()?, shared(call)?);
    call.may(&vhost, Action::Consume, Resource::Queue(queue.name()))?;
    if queue.offsets().is_some() {
        return Err(Refusal::bad_request(format!(
            "queue.purge not supported by stream queues queue '{}' in vhost '{}'",
            call.segment("name"),
            vhost.name()
        )));
    }
    call.durable(call.core().purge_queue(call.now(), &queue).1)?;
    Ok(Response::done())
}

/// One node has no mirrors to synchronise.
fn act<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let body = Body::with(call.request.object()?, &["action"])?;
    named(call)?;
    match body.text("action")? {
        Some("sync" | "cancel_sync") => Ok(Response::done()),
        other => Err(Refusal::bad_request(json!(["unknown", other]))),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::json;

    #[test]
    fn a_queue_is_made_once_and_then_agreed_to() {
        let bench = Bench::new();
        let body = r#"{"durable":true,"arguments":{"x-max-length":5}}"#;
        assert_eq!(bench.status("PUT", "/queues/%2F/q", body), 201);
        assert_eq!(bench.status("PUT", "/queues/%2F/q", body), 204);
        let queue = bench.get("/queues/%2F/q");
        for (key, value) in [
            ("name", json!("q")),
            ("vhost", json!("/")),
            ("durable", json!(true)),
            ("auto_delete", json!(false)),
            ("exclusive", json!(false)),
            ("type", json!("classic")),
            ("arguments", json!({"x-max-length": 5})),
            ("messages", json!(0)),
            ("consumers", json!(0)),
            ("state", json!("running")),
            ("node", json!("motet@here")),
        ] {
            assert_eq!(queue[key], value, "{key}");
        }
    }

    #[test]
    fn another_declaration_is_told_what_differs() {
        let bench = Bench::new();
        bench.ask("PUT", "/queues/%2F/q", r#"{"durable":true,"arguments":{"x-max-length":5}}"#);
        let answer = bench.ask("PUT", "/queues/%2F/q", r#"{"durable":false}"#);
        let reason = "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'";
        assert_eq!((answer.status, answer.told()), (400, json!({"error": "bad_request", "reason": reason})));
    }

    #[test]
    fn what_cannot_be_a_queue_is_refused() {
        let bench = Bench::new();
        for (path, body, status, reason) in [
            ("/queues/%2F/q", "{bad", 400, json!("not_json")),
            ("/queues/%2F/q", "[]", 400, json!("not_json")),
            ("/queues/%2F/q", r#"{"durable":"x"}"#, 400, json!(["not_boolean", "x"])),
            ("/queues/%2F/amq.x", "{}", 401, json!("Access refused.")),
            ("/queues/nope/q", "{}", 404, json!("vhost_not_found")),
        ] {
            let answer = bench.ask("PUT", path, body);
            assert_eq!((answer.status, &answer.told()["reason"]), (status, &reason), "{path} {body}");
        }
        assert_eq!(bench.status("PUT", "/queues/%2F/q", r#"{"arguments":{"x-max-length":"x"}}"#), 400);
        assert_eq!(bench.get("/queues"), json!([]));
    }

    #[test]
    fn a_queue_goes_when_its_conditions_hold() {
        let bench = Bench::new();
        bench.ask("PUT", "/queues/%2F/q", "{}");
        let message = r#"{"properties":{},"routing_key":"q","payload":"x","payload_encoding":"string"}"#;
        bench.ask("POST", "/exchanges/%2F/amq.default/publish", message);
        let answer = bench.ask("DELETE", "/queues/%2F/q?if-empty=true", "");
        assert_eq!((answer.status, &answer.told()["reason"]), (400, &json!("queue 'q' in vhost '/' not empty")));
        assert_eq!(bench.status("DELETE", "/queues/%2F/q/contents", ""), 204);
        assert_eq!(bench.status("DELETE", "/queues/%2F/q?if-empty=true&if-unused=true", ""), 204);
        assert_eq!(bench.status("DELETE", "/queues/%2F/q", ""), 404);
        assert_eq!(bench.status("DELETE", "/queues/%2F/q/contents", ""), 404);
    }

    #[test]
    fn a_page_of_queues_says_how_many_there_are() {
        let bench = Bench::new();
        for name in ["a", "b", "c"] {
            bench.ask("PUT", &format!("/queues/%2F/{name}"), "{}");
        }
        let page = bench.get("/queues?page=2&page_size=2&name=&use_regex=false&pagination=true");
        let names: Vec<_> = page["items"].as_array().unwrap().iter().map(|queue| queue["name"].clone()).collect();
        assert_eq!((names, &page["page_count"], &page["total_count"]), (vec![json!("c")], &json!(2), &json!(3)));
        assert_eq!(bench.get("/queues/%2F?columns=name")[0], json!({"name": "a"}));
    }

    #[test]
    fn actions_that_one_node_has_no_use_for_are_done() {
        let bench = Bench::new();
        bench.ask("PUT", "/queues/%2F/q", "{}");
        assert_eq!(bench.status("POST", "/queues/%2F/q/actions", r#"{"action":"sync"}"#), 204);
        let answer = bench.ask("POST", "/queues/%2F/q/actions", r#"{"action":"fly"}"#);
        assert_eq!((answer.status, &answer.told()["reason"]), (400, &json!(["unknown", "fly"])));
    }
}
