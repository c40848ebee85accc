//! How a queue looks to operators.

use super::{channels, consumers};
use crate::call::Call;
use crate::figures::Axis;
use crate::figures::queue::{LENGTHS, NAMES};
use crate::{figures, json};
use motet_core::core::broker::NamedQueue;
use motet_core::engine::Engine;
use motet_core::time::WallMillis;
use serde_json::{Map, Value, json};

/// As it is in a list.
pub(super) fn view<E: Engine>(call: &Call<'_, E>, queue: &NamedQueue) -> Value {
    let mut view = declared(call, queue);
    match (call.request.says("disable_stats"), call.request.says("enable_queue_totals")) {
        (false, _) => figures(call, queue, &mut view),
        (true, true) => {
            let now = figures::queue::of(queue);
            NAMES[..LENGTHS].iter().zip(now).for_each(|((name, _), figure)| view[*name] = json!(figure));
        }
        (true, false) => {}
    }
    view
}

/// With everything that is known.
pub(super) fn in_full<E: Engine>(call: &Call<'_, E>, queue: &NamedQueue) -> Value {
    let mut view = declared(call, queue);
    figures(call, queue, &mut view);
    view["consumer_details"] = consumers::of_queue(call, queue).into();
    // Which channel and which exchange how many went through is not counted, as in RabbitMQ's rates mode `basic`.
    view["deliveries"] = json!([]);
    view["incoming"] = json!([]);
    if let Some(owner) = queue.declared().exclusive {
        view["owner_pid_details"] = channels::owner(call, owner);
    }
    view
}

fn declared<E: Engine>(call: &Call<'_, E>, queue: &NamedQueue) -> Value {
    let declared = queue.declared();
    let (vhost, governed) = (queue.vhost(), queue.governed());
    let node = call.api.name();
    let mut view = json!({
        "arguments": json::object(&declared.arguments),
        "auto_delete": declared.auto_delete,
        "durable": declared.durable,
        "effective_policy_definition": json::object(&governed.definition),
        "exclusive": declared.exclusive.is_some(),
        "name": json::text(queue.name()),
        "node": node,
        "operator_policy": governed.operator_policy,
        "policy": governed.policy,
        "state": "running",
        "type": queue.queue_type(),
        "vhost": vhost.as_ref().map_or("", |vhost| vhost.name()),
    });
    if queue.queue_type() != "classic" {
        merge(&mut view, json!({ "leader": node, "members": [node], "online": [node] }));
    }
    view
}

fn figures<E: Engine>(call: &Call<'_, E>, queue: &NamedQueue, view: &mut Value) {
    let stats = queue.stats();
    let now = figures::queue::of(queue);
    let details = call.api.looks.queue(queue.cell().id(), &call.spans, call.now());
    let (mut all, mut message_stats) = (Map::new(), Map::new());
    figures::write(&mut all, &NAMES, &now, &details);
    for (name, _) in &NAMES[LENGTHS..] {
        for name in [(*name).to_owned(), format!("{name}_details")] {
            if let Some(figure) = all.remove(&name) {
                message_stats.insert(name, figure);
            }
        }
    }
    merge(view, all.into());
    let (messages, consumers) = (now[0], queue.consumers());
    let (bytes, durable) = (stats.waiting_bytes + stats.unacked_bytes, queue.declared().durable);
    let active = consumers::active_tag(call, queue);
    merge(
        view,
        json!({
            "consumer_capacity": if consumers > 0 { 1.0 } else { 0.0 },
            "consumer_utilisation": if consumers > 0 { 1.0 } else { 0.0 },
            "consumers": consumers,
            "exclusive_consumer_tag": null,
            "garbage_collection": no_garbage(),
            "head_message_timestamp": null,
            "idle_since": json::time(WallMillis(queue.last_used_ms())),
            "memory": stats.resident_bytes,
            "message_bytes": bytes,
            "message_bytes_paged_out": bytes.saturating_sub(stats.resident_bytes),
            "message_bytes_persistent": if durable { bytes } else { 0 },
            "message_bytes_ram": stats.resident_bytes,
            "message_bytes_ready": stats.waiting_bytes,
            "message_bytes_unacknowledged": stats.unacked_bytes,
            "message_stats": message_stats,
            "messages_paged_out": messages.saturating_sub(stats.resident),
            "messages_persistent": if durable { messages } else { 0 },
            "messages_ram": stats.resident,
            "messages_ready_ram": stats.resident.saturating_sub(stats.unacked),
            "messages_unacknowledged_ram": stats.unacked,
            "recoverable_slaves": null,
            "single_active_consumer_tag": active,
        }),
    );
    let mut reductions = Map::new();
    figures::write_nothing(&mut reductions, &["reductions"], Axis::Data, &call.spans, call.now());
    merge(view, reductions.into());
    let node = call.api.name();
    merge(
        view,
        match queue.queue_type() {
            "quorum" => json!({
                "message_bytes_dlx": 0,
                "messages_dlx": 0,
                "open_files": { node: 0 },
                "single_active_consumer_ctag": active,
            }),
            "stream" => json!({ "readers": { node: consumers } }),
            _ => json!({ "backing_queue_status": backing(messages, stats.enqueued_total, now[1]) }),
        },
    );
}

/// What RabbitMQ tells of the inside of a classic queue, as far as it means something here.
fn backing(messages: u64, enqueued: u64, ready: u64) -> Value {
    json!({
        "avg_ack_egress_rate": 0.0,
        "avg_ack_ingress_rate": 0.0,
        "avg_egress_rate": 0.0,
        "avg_ingress_rate": 0.0,
        "delta": ["delta", "undefined", 0, 0, "undefined"],
        "len": ready,
        "mode": "default",
        "next_deliver_seq_id": enqueued.saturating_sub(messages),
        "next_seq_id": enqueued,
        "q1": 0,
        "q2": 0,
        "q3": 0,
        "q4": ready,
        "target_ram_count": "infinity",
        "version": 2,
    })
}

/// What RabbitMQ tells of a process's memory: there is no garbage here to be collected.
pub(super) fn no_garbage() -> Value {
    json!({
        "fullsweep_after": -1,
        "max_heap_size": -1,
        "min_bin_vheap_size": -1,
        "min_heap_size": -1,
        "minor_gcs": -1,
    })
}

/// Adds the fields of `more`.
pub(super) fn merge(view: &mut Value, more: Value) {
    if let (Value::Object(view), Value::Object(more)) = (view, more) {
        view.extend(more);
    }
}
