//! `/overview` and the small pages around it.

use super::body::Body;
use super::{channels, connections};
use crate::asker::Needs::{Administrator, Management};
use crate::call::Call;
use crate::route::Route;
use crate::{Method, Refusal, Response};
use motet_core::engine::Engine;
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering;

/// The release of RabbitMQ whose API this is: clients ask for it to know what they may call.
const API_LEVEL: &str = "3.13.0";

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![
        Route::at("overview").get(Management, overview),
        Route::at("cluster-name").get(Management, cluster_name).on(Method::Put, Administrator, rename),
        Route::at("extensions").get(Management, none),
        Route::at("feature-flags").get(Administrator, feature_flags),
        Route::at("feature-flags/{name}/enable").on(Method::Put, Administrator, nothing_to_do),
        Route::at("deprecated-features").get(Administrator, none),
        Route::at("deprecated-features/used").get(Administrator, none),
        Route::at("rebalance/queues").on(Method::Post, Administrator, nothing_to_do),
        Route::at("reset").on(Method::Delete, Administrator, nothing_to_do),
        Route::at("reset/{node}").on(Method::Delete, Administrator, nothing_to_do),
    ]
}

fn overview<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let totals = Totals::of(call)?;
    let figures = call.node().figures();
    let mut view = json!({
        "churn_rates": details(&[
            ("channel_closed", 0, 0.0),
            ("channel_created", totals.channels, 0.0),
            ("connection_closed", figures.connections_total.saturating_sub(totals.connections), 0.0),
            ("connection_created", figures.connections_total, 0.0),
            ("queue_created", 0, 0.0),
            ("queue_declared", 0, 0.0),
            ("queue_deleted", 0, 0.0),
        ]),
        "cluster_name": figures.name,
        "disable_stats": false,
        "enable_queue_totals": false,
        "exchange_types": exchange_types(),
        "is_op_policy_updating_enabled": true,
        "management_version": API_LEVEL,
        "message_stats": totals.message_stats(call),
        "node": figures.name,
        "object_totals": {
            "channels": totals.channels,
            "connections": totals.connections,
            "consumers": totals.consumers,
            "exchanges": totals.exchanges,
            "queues": totals.queues,
        },
        "product_name": "Motet",
        "product_version": figures.version,
        "queue_totals": {
            "messages": totals.ready + totals.unacked,
            "messages_details": { "rate": 0.0 },
            "messages_ready": totals.ready,
            "messages_ready_details": { "rate": 0.0 },
            "messages_unacknowledged": totals.unacked,
            "messages_unacknowledged_details": { "rate": 0.0 },
        },
        "rabbitmq_version": API_LEVEL,
        "rates_mode": "basic",
        "release_series_support_status": "supported",
        "sample_retention_policies": { "basic": [], "detailed": [], "global": [] },
        "statistics_db_event_queue": 0,
    });
    // Ports are a monitor's business.
    if call.asker.is_monitor() {
        view["listeners"] = listeners(call);
        view["contexts"] = contexts(call);
    }
    call.one(view)
}

/// Sums over what the asker may see.
#[derive(Default)]
struct Totals {
    channels: u64,
    connections: u64,
    consumers: u64,
    exchanges: u64,
    queues: u64,
    ready: u64,
    unacked: u64,
    acked: u64,
    redelivered: u64,
    confirmed: u64,
}

impl Totals {
    fn of<E: Engine>(call: &Call<'_, E>) -> Result<Self, Refusal> {
        let mut totals = Totals::default();
        for vhost in call.vhosts()? {
            // The default exchange is one of them.
            let exchanges = vhost.topology().exchange_names().filter(|name| !name.is_empty()).count() + 1;
            totals.exchanges += exchanges as u64;
            for queue in call.core().queues(&vhost) {
                let stats = queue.stats();
                totals.queues += 1;
                totals.consumers += queue.consumers();
                totals.ready += queue.offsets().map_or(stats.waiting(), |(first, next)| next - first);
                totals.unacked += stats.unacked + stats.moving;
                totals.acked += stats.acked_total;
                totals.redelivered += stats.redelivered_total;
            }
        }
        connections::seen(call, |_, _| totals.connections += 1);
        channels::each(call, |_, _, books| {
            totals.channels += 1;
            totals.confirmed += books.confirmed_total.load(Ordering::Relaxed);
        });
        Ok(totals)
    }

    fn message_stats<E: Engine>(&self, call: &Call<'_, E>) -> Value {
        let counters = call.core().counters();
        let [published, delivered, unroutable] =
            [&counters.published, &counters.delivered, &counters.unroutable].map(|n| n.load(Ordering::Relaxed));
        let rates = call.api.rates.totals();
        details(&[
            ("ack", self.acked, 0.0),
            ("confirm", self.confirmed, 0.0),
            ("deliver", delivered, rates.delivered),
            ("deliver_get", delivered, rates.delivered),
            ("deliver_no_ack", 0, 0.0),
            ("disk_reads", 0, 0.0),
            ("disk_writes", 0, 0.0),
            ("drop_unroutable", unroutable, rates.unroutable),
            ("get", 0, 0.0),
            ("get_empty", 0, 0.0),
            ("get_no_ack", 0, 0.0),
            ("publish", published, rates.published),
            ("redeliver", self.redelivered, 0.0),
            ("return_unroutable", 0, 0.0),
        ])
    }
}

/// Figures with their rates beside them.
fn details(figures: &[(&str, u64, f64)]) -> Value {
    let mut view = Map::new();
    for (name, figure, rate) in figures {
        view.insert((*name).into(), json!(figure));
        view.insert(format!("{name}_details"), json!({ "rate": rate }));
    }
    view.into()
}

/// The types an exchange may be of.
pub(super) fn exchange_types() -> Value {
    let types = [
        ("direct", "AMQP direct exchange, as per the AMQP specification"),
        ("fanout", "AMQP fanout exchange, as per the AMQP specification"),
        ("headers", "AMQP headers exchange, as per the AMQP specification"),
        ("topic", "AMQP topic exchange, as per the AMQP specification"),
        ("x-consistent-hash", "Consistent Hashing Exchange"),
        ("x-delayed-message", "Delayed Message Exchange."),
        ("x-message-deduplication", "Message Deduplication Exchange."),
        ("x-modulus-hash", "Modulus Hashing Exchange"),
        ("x-random", "Random Exchange"),
    ];
    let view = |(name, description)| json!({ "name": name, "description": description, "enabled": true });
    types.into_iter().map(view).collect()
}

/// The ports.
pub(super) fn listeners<E: Engine>(call: &Call<'_, E>) -> Value {
    let view = |listener: crate::ListenerSeen| {
        json!({
            "ip_address": listener.address.ip().to_string(),
            "node": call.api.name(),
            "port": listener.address.port(),
            "protocol": listener.protocol,
            "socket_opts": [],
        })
    };
    call.node().listeners().into_iter().map(view).collect()
}

/// The ports of this API.
pub(super) fn contexts<E: Engine>(call: &Call<'_, E>) -> Value {
    let ours = call.node().listeners().into_iter().filter(|listener| listener.protocol.starts_with("http"));
    let view = |listener: crate::ListenerSeen| {
        json!({
            "description": "Motet Management",
            "ip": listener.address.ip().to_string(),
            "node": call.api.name(),
            "path": "/",
            "port": listener.address.port().to_string(),
            "ssl_opts": [],
        })
    };
    ours.filter(|listener| !listener.protocol.contains('-')).map(view).collect()
}

fn cluster_name<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    call.one(json!({ "name": call.api.name() }))
}

/// A cluster of one node is called as the node is.
fn rename<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    Body::with(call.request.object()?, &["name"])?;
    Err(Refusal::bad_request("this is one node, and its name is the cluster's"))
}

fn none<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    call.one(json!([]))
}

fn nothing_to_do<E: Engine>(_: &Call<'_, E>) -> Result<Response, Refusal> {
    Ok(Response::done())
}

fn feature_flags<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let flags = [
        ("quorum_queue", "Support queues of type `quorum`"),
        ("stream_queue", "Support queues of type `stream`"),
        ("user_limits", "Configure connection and channel limits for a user"),
        ("virtual_host_metadata", "Virtual host metadata (description, tags, etc)"),
    ];
    let view = |(name, desc)| {
        json!({
            "desc": desc, "doc_url": "", "name": name, "provided_by": "motet", "stability": "stable", "state": "enabled",
        })
    };
    call.one(flags.into_iter().map(view).collect())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, connection};
    use serde_json::json;

    #[test]
    fn an_overview_counts_what_there_is() {
        let bench = Bench::new();
        bench.ask("PUT", "/queues/%2F/q", "{}");
        bench.node.connections.lock().push(connection(1, "ann"));
        let message = r#"{"properties":{},"routing_key":"q","payload":"x","payload_encoding":"string"}"#;
        bench.ask("POST", "/exchanges/%2F/amq.default/publish", message);
        let overview = bench.get("/overview");
        let totals = &overview["object_totals"];
        for (name, count) in [("queues", 1), ("connections", 1), ("channels", 1), ("consumers", 0)] {
            assert_eq!(totals[name], count, "{name}");
        }
        assert_eq!(
            (&overview["queue_totals"]["messages"], &overview["message_stats"]["publish"]),
            (&json!(1), &json!(1))
        );
        assert_eq!((&overview["product_name"], &overview["node"]), (&json!("Motet"), &json!("motet@here")));
        assert_eq!(overview["listeners"][0]["port"], 5672);
        let answer = bench.ask_as("ann", "management", "GET", "/overview", "");
        assert!(answer.told()["listeners"].is_null());
    }

    #[test]
    fn small_pages_answer() {
        let bench = Bench::new();
        assert_eq!(bench.get("/cluster-name"), json!({"name": "motet@here"}));
        assert_eq!(bench.get("/extensions"), json!([]));
        assert_eq!(bench.get("/deprecated-features"), json!([]));
        assert_eq!(bench.get("/feature-flags")[0]["state"], "enabled");
        assert_eq!(bench.status("POST", "/rebalance/queues", ""), 204);
        let answer = bench.ask("PUT", "/cluster-name", "{}");
        assert_eq!((answer.status, &answer.told()["reason"]), (400, &json!("[{key_missing,name}]")));
    }
}
