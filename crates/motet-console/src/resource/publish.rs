//! `/exchanges/{vhost}/{name}/publish`: one message, for a look; not for traffic.

use super::body::Body;
use super::exchanges::unspoken;
use crate::asker::Needs::Management;
use crate::call::{Call, LOOKS_MAX};
use crate::route::Route;
use crate::{Method, Refusal, Response, properties};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use motet_core::core::broker::PublishError;
use motet_core::core::{Outcome, Publisher};
use motet_core::engine::Engine;
use motet_core::exchange::RouteError;
use motet_core::message::{BatchBuilder, FaceId, MessageParts};
use serde_json::{Value, json};

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![Route::at("exchanges/{vhost}/{name}/publish").on(Method::Post, Management, publish)]
}

fn publish<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (vhost, spoken) = (call.vhost()?, call.segment("name"));
    let body = Body::with(call.request.object()?, &["routing_key", "properties", "payload", "payload_encoding"])?;
    let key = body.text("routing_key")?.unwrap_or_default();
    let payload = payload(&body)?;
    let now = call.now();
    let asked = match body.0.get("properties") {
        Some(Value::Object(object)) => properties::read(object, now)?,
        Some(Value::Array(list)) if list.is_empty() => properties::Asked::default(),
        other => return Err(Refusal::bad_request(json!(["not_object", other]))),
    };
    check_user(call, &asked)?;
    let mut publisher = Publisher::new(call.core(), call.asker.principal.clone(), None).in_vhost(&vhost);
    let refused = |error| refusal(&error, spoken, vhost.name());
    let exchange = unspoken(spoken).as_bytes();
    for _ in 0..LOOKS_MAX {
        if !publisher.exchange(exchange, key.as_bytes()).map_err(refused)?.waits() {
            break;
        }
        call.node().pause();
    }
    let known = publisher.exchange(exchange, key.as_bytes()).map_err(refused)?.clone();
    if !known.allowed() {
        return Err(Refusal::access_refused());
    }
    let mut builder = BatchBuilder::new();
    builder.push(MessageParts {
        payload: &payload,
        reliability: asked.reliability,
        expires_at: asked.expires_at,
        properties: asked.properties,
        ..MessageParts::default()
    });
    let batch = builder.finish(known.name.clone(), publisher.id(), FaceId::NONE);
    let receipt = call.core().publish(now, &publisher, &known, batch, None);
    call.durable(receipt.position)?;
    match receipt.outcome {
        Outcome::Accepted => call.one(json!({ "routed": true })),
        Outcome::Unroutable => call.one(json!({ "routed": false })),
        // RabbitMQ asks for no confirm here, and tells a refusing queue by nothing but that.
        Outcome::Rejected(_) => call.one(json!({ "routed": false })),
    }
}

/// A user a message names must be the one who asks.
fn check_user<E: Engine>(call: &Call<'_, E>, asked: &properties::Asked) -> Result<(), Refusal> {
    let name = &call.asker.principal.name;
    match asked.properties.as_deref().and_then(|properties| properties.user.as_deref()) {
        Some(user) if *user != **name => Err(Refusal::bad_request(format!(
            "406 PRECONDITION_FAILED - user_id property set to '{user}' but authenticated user was '{name}'"
        ))),
        _ => Ok(()),
    }
}

fn payload(body: &Body) -> Result<Vec<u8>, Refusal> {
    let payload = body.text("payload")?.unwrap_or_default();
    match body.text("payload_encoding")?.unwrap_or_default() {
        "string" => Ok(payload.as_bytes().to_vec()),
        "base64" => BASE64_STANDARD.decode(payload).map_err(|_| Refusal::bad_request(json!(["not_base64", payload]))),
        other => Err(Refusal::bad_request(json!(["unsupported_encoding", other]))),
    }
}

fn refusal(error: &PublishError, exchange: &str, vhost: &str) -> Refusal {
    match error {
        PublishError::Route(RouteError::NoExchange(_)) => {
            Refusal::bad_request(format!("404 NOT_FOUND - no exchange '{exchange}' in vhost '{vhost}'"))
        }
        PublishError::Route(RouteError::Internal(_)) => Refusal::bad_request(format!(
            "403 ACCESS_REFUSED - cannot publish to internal exchange '{exchange}' in vhost '{vhost}'"
        )),
        other => Refusal::bad_request(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::{Value, json};

    fn publish(bench: &Bench, exchange: &str, body: &Value) -> (u16, Value) {
        let answer = bench.ask("POST", &format!("/exchanges/%2F/{exchange}/publish"), &body.to_string());
        (answer.status, answer.told())
    }

    #[test]
    fn a_message_is_told_whether_somebody_takes_it() {
        let bench = Bench::new();
        bench.ask("PUT", "/queues/%2F/q", "{}");
        let message =
            |key: &str| json!({"properties": {}, "routing_key": key, "payload": "x", "payload_encoding": "string"});
        assert_eq!(publish(&bench, "amq.default", &message("q")), (200, json!({"routed": true})));
        assert_eq!(publish(&bench, "amq.default", &message("nobody")), (200, json!({"routed": false})));
        let (status, told) = publish(&bench, "nope", &message("q"));
        assert_eq!((status, &told["reason"]), (400, &json!("404 NOT_FOUND - no exchange 'nope' in vhost '/'")));
    }

    #[test]
    fn a_message_names_nobody_but_its_publisher() {
        let bench = Bench::new();
        let message = json!({"properties": {"user_id": "somebody"}, "routing_key": "q", "payload": "x", "payload_encoding": "string"});
        let (status, told) = publish(&bench, "amq.default", &message);
        let reason = told["reason"].as_str().unwrap();
        assert!(reason.starts_with("406 PRECONDITION_FAILED - user_id property set to 'somebody' but"), "{reason}");
        assert_eq!(status, 400);
    }

    #[test]
    fn what_is_wrong_with_a_message_is_told() {
        let bench = Bench::new();
        for (body, reason) in [
            (
                json!({"routing_key": "q"}),
                json!("[{key_missing,properties},{key_missing,payload},{key_missing,payload_encoding}]"),
            ),
            (
                json!({"properties": {}, "routing_key": "q", "payload": "!!", "payload_encoding": "base64"}),
                json!(["not_base64", "!!"]),
            ),
            (
                json!({"properties": {}, "routing_key": "q", "payload": "", "payload_encoding": "z"}),
                json!(["unsupported_encoding", "z"]),
            ),
            (
                json!({"properties": {"delivery_mode": "x"}, "routing_key": "q", "payload": "", "payload_encoding": "string"}),
                json!(["not_int", "delivery_mode"]),
            ),
        ] {
            let (status, told) = publish(&bench, "amq.default", &body);
            assert_eq!((status, &told["reason"]), (400, &reason), "{body}");
        }
    }
}
