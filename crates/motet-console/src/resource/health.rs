//! `/health/checks/…` and `/aliveness-test`: 200 when it is well, 503 when not.

use crate::asker::Needs::Management;
use crate::call::Call;
use crate::node::NodeFigures;
use crate::route::{Handler, Route};
use crate::{Refusal, Response};
use motet_core::access::{Action, Resource};
use motet_core::core::Publisher;
use motet_core::core::broker::{Got, QueueDeclaration, Settle};
use motet_core::engine::Engine;
use motet_core::mailbox::{Mailbox, Overflow};
use motet_core::message::{BatchBuilder, FaceId, MessageParts};
use motet_core::queue::{ConsumerOptions, Leaving};
use motet_core::transaction::Settlement;
use serde_json::{Value, json};

/// The queue through which a vhost is tried; RabbitMQ's name.
const PROBE: &[u8] = b"aliveness-test";

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    let check = |path, handler: Handler<E>| Route::at(path).get(Management, handler);
    vec![
        check("health/checks/alarms", alarms),
        check("health/checks/local-alarms", alarms),
        check("health/checks/certificate-expiration/{within}/{unit}", certificates),
        check("health/checks/port-listener/{port}", port_listener),
        check("health/checks/protocol-listener/{protocol}", protocol_listener),
        check("health/checks/virtual-hosts", virtual_hosts),
        check("health/checks/node-is-quorum-critical", alone),
        check("health/checks/node-is-mirror-sync-critical", alone),
        check("health/checks/quorum-queues-without-elected-leaders/vhost/{vhost}/pattern/{pattern}", virtual_hosts),
        check("health/checks/ready-to-serve-clients", ready),
        check("health/checks/is-in-service", ready),
        check("health/checks/below-node-connection-limit", below_limit),
        check("healthchecks/node", alarms),
        check("healthchecks/node/{node}", alarms_of),
        check("aliveness-test/{vhost}", aliveness),
    ]
}

fn well() -> Result<Response, Refusal> {
    Ok(Response::ok(&json!({ "status": "ok" })))
}

fn failed(reason: &str, more: Value) -> Result<Response, Refusal> {
    let mut view = json!({ "status": "failed", "reason": reason });
    super::queue::merge(&mut view, more);
    Ok(Response::json(503, &view))
}

fn alarms<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let NodeFigures { memory_alarm, disk_alarm, other_alarm, .. } = call.node().figures();
    let held = [(memory_alarm, "memory"), (disk_alarm, "disk"), (other_alarm, "store")];
    let of = |(_, resource): &(bool, &str)| json!({ "node": call.api.name(), "resource": resource });
    let held: Vec<_> = held.iter().filter(|(holds, _)| *holds).map(of).collect();
    match held.is_empty() {
        true => well(),
        false => failed("There are alarms in effect in the cluster", json!({ "alarms": held })),
    }
}

fn alarms_of<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    if call.segment("node") == call.api.name() { alarms(call) } else { Err(Refusal::not_found()) }
}

fn certificates<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    const DAY: u64 = 86_400;
    let number: Option<u64> = call.segment("within").parse().ok();
    let days = match call.segment("unit") {
        "days" => 1,
        "weeks" => 7,
        "months" => 30,
        "years" => 365,
        _ => {
            let text = "Time unit not recognised. Supported units: days, weeks, months, years.";
            return Err(Refusal::bad_request(text));
        }
    };
    let within = number.ok_or_else(|| Refusal::bad_request("Invalid expiration value."))?;
    let until = (call.now().wall.0 / 1_000).saturating_add(within.saturating_mul(days * DAY));
    match call.node().figures().certificate_expires_secs {
        Some(expires) if expires <= until => {
            failed("Certificates expiring", json!({ "expired": [{ "node": call.api.name() }] }))
        }
        _ => well(),
    }
}

fn port_listener<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let port: u16 = call.segment("port").parse().map_err(|_| Refusal::bad_request("Invalid port"))?;
    let mut ports: Vec<_> = call.node().listeners().iter().map(|listener| listener.address.port()).collect();
    if ports.contains(&port) {
        return Ok(Response::ok(&json!({ "status": "ok", "port": port })));
    }
    ports.sort_unstable();
    ports.dedup();
    failed("No active listener", json!({ "missing": port, "ports": ports }))
}

fn protocol_listener<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let asked = call.segment("protocol").to_lowercase();
    let wanted = match &*asked {
        "amqp0.9.1" | "amqp091" | "amqp0-9-1" | "amqp 0-9-1" => "amqp",
        "amqps" | "amqp/ssl" | "amqps/0.9.1" => "amqp/ssl",
        "mqtts" | "mqtt/ssl" => "mqtt/ssl",
        other => other,
    };
    let mut protocols: Vec<_> = call.node().listeners().iter().map(|listener| listener.protocol).collect();
    if protocols.contains(&wanted) {
        return Ok(Response::ok(&json!({ "status": "ok", "protocol": wanted })));
    }
    protocols.sort_unstable();
    protocols.dedup();
    failed("No active listener", json!({ "missing": asked, "protocols": protocols }))
}

/// A vhost that is there is up.
fn virtual_hosts<E: Engine>(_: &Call<'_, E>) -> Result<Response, Refusal> {
    well()
}

fn alone<E: Engine>(_: &Call<'_, E>) -> Result<Response, Refusal> {
    Ok(Response::ok(&json!({ "status": "ok", "reason": "single node cluster" })))
}

fn ready<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    match call.node().figures().draining {
        true => failed("the server is shutting down", json!({})),
        false => well(),
    }
}

fn below_limit<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let (connections, limit) = call.node().figures().sockets;
    match limit > 0 && connections >= limit {
        true => failed("node connection limit is reached", json!({ "connections": connections, "limit": limit })),
        false => Ok(Response::ok(&json!({ "status": "ok", "connections": connections, "limit": limit }))),
    }
}

/// A message goes through a queue.
fn aliveness<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let vhost = call.vhost()?;
    for action in [Action::Configure, Action::Consume] {
        call.may(&vhost, action, Resource::Queue(PROBE))?;
    }
    let (core, now) = (call.core(), call.now());
    let broken = |what: &str| failed(what, json!({}));
    let Ok(declared) = core.declare_queue(now, &vhost, PROBE, QueueDeclaration::default(), 0) else {
        return broken("the queue cannot be declared");
    };
    let mut publisher = Publisher::new(core, call.asker.principal.clone(), None).in_vhost(&vhost);
    let known = publisher.exchange(b"", PROBE).map_err(|error| Refusal::bad_request(error.to_string()))?.clone();
    if !known.allowed() {
        return Err(Refusal::access_refused());
    }
    let mut builder = BatchBuilder::new();
    builder.push(MessageParts { payload: b"test_message", ..MessageParts::default() });
    core.publish(now, &publisher, &known, builder.finish(known.name.clone(), publisher.id(), FaceId::NONE), None);
    let mailbox = Mailbox::new(0, Overflow::DropNewest);
    let options = ConsumerOptions { fetch_only: true, ..ConsumerOptions::default() };
    let queue = declared.queue;
    let Ok(prober) = core.consume(now, &queue, &mailbox, options, 0) else { return broken("the queue is gone") };
    let got = core.get(now, &queue, prober);
    if let Got::Message(delivery, _) = &got {
        let settlement = Settlement::Ack;
        core.settle_many(now, &[Settle { queue: queue.clone(), consumer: prober, seq: delivery.seq, settlement }]);
    }
    core.leave(now, &queue, prober, Leaving::Orderly);
    match got {
        Got::Message(..) => well(),
        Got::Empty | Got::Later => broken("the message did not come"),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::json;

    #[test]
    fn checks_are_well_or_say_what_is_not() {
        let bench = Bench::new();
        for (path, told) in [
            ("alarms", json!({"status": "ok"})),
            ("local-alarms", json!({"status": "ok"})),
            ("virtual-hosts", json!({"status": "ok"})),
            ("certificate-expiration/1/months", json!({"status": "ok"})),
            ("port-listener/5672", json!({"status": "ok", "port": 5672})),
            ("protocol-listener/amqp0.9.1", json!({"status": "ok", "protocol": "amqp"})),
            ("node-is-quorum-critical", json!({"status": "ok", "reason": "single node cluster"})),
            ("ready-to-serve-clients", json!({"status": "ok"})),
        ] {
            assert_eq!(bench.get(&format!("/health/checks/{path}")), told, "{path}");
        }
        for (path, status, reason) in [
            ("port-listener/1", 503, "No active listener"),
            ("port-listener/x", 400, "Invalid port"),
            ("protocol-listener/stomp", 503, "No active listener"),
            ("certificate-expiration/x/months", 400, "Invalid expiration value."),
            (
                "certificate-expiration/1/foo",
                400,
                "Time unit not recognised. Supported units: days, weeks, months, years.",
            ),
        ] {
            let answer = bench.ask("GET", &format!("/health/checks/{path}"), "");
            assert_eq!((answer.status, &answer.told()["reason"]), (status, &json!(reason)), "{path}");
        }
    }

    #[test]
    fn an_alarm_and_a_certificate_that_ends_are_told() {
        let bench = Bench::new();
        bench.node.figures.lock().memory_alarm = true;
        bench.node.figures.lock().certificate_expires_secs = Some(1_000 + 86_400 * 5);
        let answer = bench.ask("GET", "/health/checks/alarms", "");
        assert_eq!((answer.status, &answer.told()["alarms"][0]["resource"]), (503, &json!("memory")));
        assert_eq!(bench.status("GET", "/health/checks/certificate-expiration/1/weeks", ""), 503);
        assert_eq!(bench.status("GET", "/health/checks/certificate-expiration/4/days", ""), 200);
    }

    #[test]
    fn a_message_goes_through_a_vhost() {
        let bench = Bench::new();
        assert_eq!(bench.get("/aliveness-test/%2F"), json!({"status": "ok"}));
        assert_eq!(bench.get("/aliveness-test/%2F"), json!({"status": "ok"}));
        assert_eq!(bench.status("GET", "/aliveness-test/nope", ""), 404);
    }
}
