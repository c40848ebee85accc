//! `/queues/{vhost}/{name}/get`: a look at the first messages; not for traffic.

use super::body::Body;
use super::queues::{locked, named};
use crate::asker::Needs::Management;
use crate::call::{Call, LOOKS_MAX};
use crate::route::Route;
use crate::{Method, Refusal, Response, json, properties};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use motet_core::access::{Action, Resource};
use motet_core::core::Delivery;
use motet_core::core::broker::{Got, NamedQueue, Settle, exchange_and_key};
use motet_core::engine::Engine;
use motet_core::mailbox::{Mailbox, Overflow};
use motet_core::queue::{ConsumerId, ConsumerOptions, Leaving, Nack};
use motet_core::transaction::Settlement;
use serde_json::{Value, json};
use std::sync::Arc;

/// Messages of one answer at most.
const COUNT_MAX: u64 = 10_000;
/// Bytes of payload in one answer: what comes after is not fetched.
const BYTES_MAX: usize = 64 << 20;

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![Route::at("queues/{vhost}/{name}/get").on(Method::Post, Management, get)]
}

/// What becomes of what was looked at.
#[derive(Clone, Copy)]
enum Ackmode {
    /// It goes back as if the looker had left.
    AckRequeue,
    RejectRequeue,
    Ack,
    Reject,
}

fn get<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let vhost = call.vhost()?;
    let body = Body::with(call.request.object()?, &["ackmode", "count", "encoding"])?;
    let count = body.number("count")?.unwrap_or(0).min(COUNT_MAX);
    let truncate = body.number("truncate")?.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let base64 = match body.text("encoding")? {
        Some("auto") => false,
        Some("base64") => true,
        _ => return Err(Refusal::bad_request("Unsupported encoding. Please use auto or base64.")),
    };
    let ackmode = match body.text("ackmode")? {
        Some("ack_requeue_true") => Ackmode::AckRequeue,
        Some("reject_requeue_true") => Ackmode::RejectRequeue,
        Some("ack_requeue_false") => Ackmode::Ack,
        Some("reject_requeue_false") => Ackmode::Reject,
        other => return Err(Refusal::bad_request(json!(["unsupported_ackmode", other]))),
    };
    let name = call.segment("name");
    let missing = || Refusal::missing(format!("NOT_FOUND - no queue '{name}' in vhost '{}'", vhost.name()));
    let queue = named(call).map_err(|_| missing())?;
    if queue.declared().exclusive.is_some() {
        // As a channel of AMQP would have been closed.
        let Refusal { reason, .. } = locked(name, vhost.name());
        let reason = reason.as_str().unwrap_or_default();
        return Err(Refusal::bad_request(format!("405 RESOURCE_LOCKED - {reason}")));
    }
    if queue.offsets().is_some() {
        let text = format!("540 basic.get not supported by stream queues queue '{name}' in vhost '{}'", vhost.name());
        return Err(Refusal::bad_request(text));
    }
    call.may(&vhost, Action::Consume, Resource::Queue(queue.name()))?;
    let mailbox = Mailbox::new(0, Overflow::DropNewest);
    let options = ConsumerOptions { fetch_only: true, ..ConsumerOptions::default() };
    let looker = call.core().consume(call.now(), &queue, &mailbox, options, 0).map_err(|_| missing())?;
    let fetched = fetch(call, &queue, looker, count);
    let settled = settle(call, &queue, looker, &fetched, ackmode);
    call.core().leave(call.now(), &queue, looker, Leaving::Orderly);
    settled?;
    let now = call.now();
    Ok(Response::ok(&fetched.iter().map(|(got, left)| view(got, *left, base64, truncate, now)).collect()))
}

/// Up to `count` messages, each with how many are left behind it.
fn fetch<E: Engine>(
    call: &Call<'_, E>,
    queue: &Arc<NamedQueue>,
    looker: ConsumerId,
    count: u64,
) -> Vec<(Delivery, u64)> {
    let (mut fetched, mut bytes, mut looks) = (Vec::new(), 0, 0);
    while (fetched.len() as u64) < count && bytes < BYTES_MAX && looks < LOOKS_MAX {
        match call.core().get(call.now(), queue, looker) {
            Got::Message(delivery, left) => {
                bytes += delivery.queued.message.payload().len();
                fetched.push((*delivery, left));
            }
            Got::Empty => break,
            Got::Later => {
                looks += 1;
                call.node().pause();
            }
        }
    }
    fetched
}

fn settle<E: Engine>(
    call: &Call<'_, E>,
    queue: &Arc<NamedQueue>,
    looker: ConsumerId,
    fetched: &[(Delivery, u64)],
    ackmode: Ackmode,
) -> Result<(), Refusal> {
    let settlement = match ackmode {
        Ackmode::AckRequeue => return Ok(()),
        Ackmode::RejectRequeue => Settlement::Nack(Nack::Requeue),
        Ackmode::Ack => Settlement::Ack,
        Ackmode::Reject => Settlement::Nack(Nack::Reject),
    };
    let one = |(got, _): &(Delivery, u64)| Settle { queue: queue.clone(), consumer: looker, seq: got.seq, settlement };
    let settles: Vec<_> = fetched.iter().map(one).collect();
    call.durable(call.core().settle_many(call.now(), &settles).position)
}

fn view(got: &Delivery, left: u64, base64: bool, truncate: Option<usize>, now: motet_core::time::Now) -> Value {
    let message = &got.queued.message;
    let (exchange, key) = exchange_and_key(message.address());
    let whole = message.payload();
    let shown = &whole[..whole.len().min(truncate.unwrap_or(usize::MAX))];
    let (payload, encoding) = match std::str::from_utf8(shown) {
        Ok(text) if !base64 => (text.to_owned(), "string"),
        _ => (BASE64_STANDARD.encode(shown), "base64"),
    };
    json!({
        "exchange": json::text(&exchange),
        "message_count": left,
        "payload": payload,
        "payload_bytes": whole.len(),
        "payload_encoding": encoding,
        "properties": properties::view(message, now),
        "redelivered": got.redelivered,
        "routing_key": json::text(&key),
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::{Value, json};

    fn bench_with(payloads: &[(&str, &str)]) -> Bench {
        let bench = Bench::new();
        bench.ask("PUT", "/queues/%2F/q", r#"{"durable":true}"#);
        for (payload, encoding) in payloads {
            let body = json!({
                "properties": {"delivery_mode": 2, "headers": {"a": 1}, "type": "t"},
                "routing_key": "q", "payload": payload, "payload_encoding": encoding,
            });
            assert_eq!(bench.status("POST", "/exchanges/%2F/amq.default/publish", &body.to_string()), 200);
        }
        bench
    }

    fn get(bench: &Bench, body: Value) -> Value {
        let answer = bench.ask("POST", "/queues/%2F/q/get", &body.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.told()
    }

    #[test]
    fn a_look_leaves_messages_where_they_are() {
        let bench = bench_with(&[("hello", "string"), ("/w==", "base64")]);
        let asked = json!({"count": 5, "ackmode": "ack_requeue_true", "encoding": "auto", "truncate": 3});
        let seen = get(&bench, asked.clone());
        assert_eq!(
            seen[0],
            json!({
                "payload_bytes": 5, "redelivered": false, "exchange": "", "routing_key": "q", "message_count": 1,
                "properties": {"delivery_mode": 2, "headers": {"a": 1}, "type": "t"},
                "payload": "hel", "payload_encoding": "string",
            })
        );
        assert_eq!((&seen[1]["payload"], &seen[1]["payload_encoding"]), (&json!("/w=="), &json!("base64")));
        assert_eq!(get(&bench, asked)[0]["redelivered"], true);
    }

    #[test]
    fn what_is_acknowledged_is_gone() {
        let bench = bench_with(&[("a", "string"), ("b", "string")]);
        let asked = json!({"count": "1", "ackmode": "ack_requeue_false", "encoding": "base64"});
        assert_eq!(get(&bench, asked.clone())[0]["payload"], "YQ==");
        assert_eq!(get(&bench, asked.clone())[0]["payload"], "Yg==");
        assert_eq!(get(&bench, asked), json!([]));
        assert_eq!(bench.get("/queues/%2F/q")["messages"], 0);
    }

    #[test]
    fn what_cannot_be_looked_at_is_refused() {
        let bench = bench_with(&[]);
        for (path, body, status, reason) in [
            ("q", json!({}), 400, json!("[{key_missing,ackmode},{key_missing,count},{key_missing,encoding}]")),
            (
                "q",
                json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "z"}),
                400,
                json!("Unsupported encoding. Please use auto or base64."),
            ),
            (
                "nope",
                json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}),
                404,
                json!("NOT_FOUND - no queue 'nope' in vhost '/'"),
            ),
        ] {
            let answer = bench.ask("POST", &format!("/queues/%2F/{path}/get"), &body.to_string());
            assert_eq!((answer.status, &answer.told()["reason"]), (status, &reason), "{body}");
        }
    }
}
