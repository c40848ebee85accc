//! How a queue looks to operators.

use super::consumers;
use crate::call::Call;
use crate::{json, rates};
use motet_core::core::broker::NamedQueue;
use motet_core::engine::Engine;
use motet_core::queue::QueueStats;
use motet_core::time::WallMillis;
use serde_json::{Value, json};

/// As it is in a list.
pub(super) fn view<E: Engine>(call: &Call<'_, E>, queue: &NamedQueue) -> Value {
    let mut view = declared(call, queue);
    if !call.request.says("disable_stats") {
        figures(call, queue, &mut view);
    }
    view
}

/// With everything that is known.
pub(super) fn in_full<E: Engine>(call: &Call<'_, E>, queue: &NamedQueue) -> Value {
    let mut view = declared(call, queue);
    figures(call, queue, &mut view);
    view["consumer_details"] = consumers::of_queue(call, queue).into();
    view["deliveries"] = json!([]);
    view["incoming"] = json!([]);
    view
}

fn declared<E: Engine>(call: &Call<'_, E>, queue: &NamedQueue) -> Value {
    let declared = queue.declared();
    let (vhost, governed) = (queue.vhost(), queue.governed());
    json!({
        "arguments": json::object(&declared.arguments),
        "auto_delete": declared.auto_delete,
        "durable": declared.durable,
        "effective_policy_definition": json::object(&governed.definition),
        "exclusive": declared.exclusive.is_some(),
        "name": json::text(queue.name()),
        "node": call.api.name(),
        "operator_policy": governed.operator_policy,
        "policy": governed.policy,
        "state": "running",
        "type": queue.queue_type(),
        "vhost": vhost.as_ref().map_or("", |vhost| vhost.name()),
    })
}

fn figures<E: Engine>(call: &Call<'_, E>, queue: &NamedQueue, view: &mut Value) {
    let stats = queue.stats();
    let (ready, messages) = match queue.offsets() {
        Some((first, next)) => (next - first, next - first),
        None => (stats.waiting(), stats.messages()),
    };
    let rate = call.api.rates.of_queue(queue.cell().id());
    let consumers = queue.consumers();
    let more = json!({
        "consumer_capacity": 1.0,
        "consumer_utilisation": 1.0,
        "consumers": consumers,
        "exclusive_consumer_tag": null,
        "head_message_timestamp": null,
        "memory": stats.resident_bytes,
        "message_bytes": stats.waiting_bytes + stats.unacked_bytes,
        "message_bytes_paged_out": (stats.waiting_bytes + stats.unacked_bytes).saturating_sub(stats.resident_bytes),
        "message_bytes_persistent": if queue.declared().durable { stats.waiting_bytes + stats.unacked_bytes } else { 0 },
        "message_bytes_ram": stats.resident_bytes,
        "message_bytes_ready": stats.waiting_bytes,
        "message_bytes_unacknowledged": stats.unacked_bytes,
        "message_stats": message_stats(&stats, rate),
        "messages": messages,
        "messages_details": { "rate": rate.messages },
        "messages_paged_out": messages.saturating_sub(stats.resident),
        "messages_persistent": if queue.declared().durable { messages } else { 0 },
        "messages_ram": stats.resident,
        "messages_ready": ready,
        "messages_ready_details": { "rate": rate.ready },
        "messages_ready_ram": stats.resident.saturating_sub(stats.unacked),
        "messages_unacknowledged": stats.unacked,
        "messages_unacknowledged_details": { "rate": rate.unacked },
        "messages_unacknowledged_ram": stats.unacked,
        "recoverable_slaves": null,
        "reductions": 0,
        "reductions_details": { "rate": 0.0 },
        "single_active_consumer_tag": consumers::active_tag(call, queue),
    });
    merge(view, more);
    if consumers == 0 && stats.unacked == 0 {
        view["idle_since"] = json!(json::time(WallMillis(queue.last_used_ms())));
    }
    if queue.queue_type() != "classic" {
        let node = call.api.name();
        merge(view, json!({ "leader": node, "members": [node], "online": [node] }));
    }
}

fn message_stats(stats: &QueueStats, rate: rates::QueueRates) -> Value {
    json!({
        "ack": stats.acked_total,
        "ack_details": { "rate": rate.acked },
        "deliver": stats.delivered_total,
        "deliver_details": { "rate": rate.delivered },
        "deliver_get": stats.delivered_total,
        "deliver_get_details": { "rate": rate.delivered },
        "deliver_no_ack": 0,
        "deliver_no_ack_details": { "rate": 0.0 },
        "get": 0,
        "get_details": { "rate": 0.0 },
        "get_empty": 0,
        "get_empty_details": { "rate": 0.0 },
        "get_no_ack": 0,
        "get_no_ack_details": { "rate": 0.0 },
        "publish": stats.enqueued_total,
        "publish_details": { "rate": rate.enqueued },
        "redeliver": stats.redelivered_total,
        "redeliver_details": { "rate": rate.redelivered },
    })
}

/// Adds the fields of `more`.
pub(super) fn merge(view: &mut Value, more: Value) {
    if let (Value::Object(view), Value::Object(more)) = (view, more) {
        view.extend(more);
    }
}
