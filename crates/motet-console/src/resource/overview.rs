//! `/overview` and the small pages around it.

use super::body::Body;
use super::connections;
use crate::asker::Needs::{Administrator, Management};
use crate::call::Call;
use crate::define::parameter;
use crate::figures::{self, Axis, totals};
use crate::route::Route;
use crate::{Method, Refusal, Response};
use motet_core::engine::Engine;
use serde_json::{Map, Value, json};

/// The release of RabbitMQ whose API this is: clients ask for it to know what they may call.
const API_LEVEL: &str = "3.13.0";

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![
        Route::at("overview").get(Management, overview),
        Route::at("cluster-name").get(Management, cluster_name).on(Method::Put, Administrator, rename),
        Route::at("extensions").get(Management, none),
        Route::at("feature-flags").get(Administrator, feature_flags),
        Route::at("feature-flags/{name}/enable").on(Method::Put, Administrator, enable),
        Route::at("deprecated-features").get(Administrator, none),
        Route::at("deprecated-features/used").get(Administrator, none),
        Route::at("rebalance/queues").on(Method::Post, Administrator, nothing_to_do),
        Route::at("reset").on(Method::Delete, Administrator, nothing_to_do),
        Route::at("reset/{node}").on(Method::Delete, Administrator, nothing_to_do),
    ]
}

fn overview<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let process = call.node().figures();
    let (totals, details) = totals_and_details(call, process.connections_total)?;
    let part = |range: std::ops::Range<usize>| {
        let mut part = Map::new();
        for at in range {
            let name = totals::OVERVIEW[at].0;
            part.insert(name.into(), json!(totals.figures[at]));
            part.insert(format!("{name}_details"), details[at].clone());
        }
        part
    };
    let mut message_stats = part(totals::VHOST_MESSAGES..totals::VHOST_BYTES);
    figures::write_nothing(&mut message_stats, &["disk_reads", "disk_writes"], Axis::Messages, &call.spans, call.now());
    let mut view = json!({
        "churn_rates": part(totals::OVERVIEW_CHURN..totals::OVERVIEW_COUNT),
        "cluster_name": cluster(call),
        "disable_stats": false,
        "enable_queue_totals": false,
        "erlang_full_version": "",
        "erlang_version": "",
        "exchange_types": exchange_types(),
        "is_op_policy_updating_enabled": true,
        "management_version": API_LEVEL,
        "message_stats": message_stats,
        "node": process.name,
        "object_totals": {
            "channels": totals.channels,
            "connections": totals.connections,
            "consumers": totals.consumers,
            "exchanges": totals.exchanges,
            "queues": totals.queues,
        },
        "product_name": "Motet",
        "product_version": process.version,
        "queue_totals": part(0..totals::VHOST_MESSAGES),
        "rabbitmq_version": API_LEVEL,
        "rates_mode": "basic",
        "release_series_support_status": "supported",
        "sample_retention_policies": { "basic": [600, 3_600], "detailed": [], "global": [600, 3_600, 28_800, 86_400] },
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
struct Seen {
    figures: [u64; totals::OVERVIEW_COUNT],
    channels: u64,
    connections: u64,
    consumers: u64,
    exchanges: u64,
    queues: u64,
}

type Details = [Value; totals::OVERVIEW_COUNT];

fn totals_and_details<E: Engine>(call: &Call<'_, E>, connections_total: u64) -> Result<(Seen, Details), Refusal> {
    let publishing = totals::publishing(call.node());
    let (vhosts, mut all) = (call.vhosts()?, totals::Totals::default());
    vhosts.iter().for_each(|vhost| all.add(&totals::of_vhost(call.core(), vhost, &publishing)));
    let [mut connections, mut channels] = [0; 2];
    connections::seen(call, |_, conversation| {
        connections += 1;
        channels += conversation.channel_count() as u64;
    });
    let churn = totals::churn(&vhosts, connections_total, connections);
    let mut figures = totals::overview(call.core(), &all, churn);
    let mut details = call.api.looks.overview(&totals::OVERVIEW, &call.spans, call.now());
    if !call.asker.is_monitor() {
        // Only what goes on in one's own vhosts.
        figures[..totals::VHOST_COUNT].copy_from_slice(&all.figures);
        let names: Vec<_> = vhosts.iter().map(|vhost| vhost.name().clone()).collect();
        details[..totals::VHOST_COUNT].clone_from_slice(&call.api.looks.of_vhosts(&names));
    }
    let totals::Totals { queues, consumers, exchanges, .. } = all;
    Ok((Seen { figures, channels, connections, consumers, exchanges, queues }, details))
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
            "cowboy_opts": "[]",
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

/// Where the name of the cluster is kept, as in RabbitMQ.
const CLUSTER_NAME: &str = "cluster_name";

/// The name somebody gave the cluster, or else that of its one node.
fn cluster<E: Engine>(call: &Call<'_, E>) -> Value {
    let all = parameter::list_global(call.place());
    let given = all.into_iter().find(|one| one["name"] == CLUSTER_NAME).map(|one| one["value"].clone());
    given.filter(Value::is_string).unwrap_or_else(|| json!(call.api.name()))
}

fn cluster_name<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    call.one(json!({ "name": cluster(call) }))
}

fn rename<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let body = Body::with(call.request.object()?, &["name"])?;
    let value = Map::from_iter([("value".to_owned(), json!(body.text("name")?))]);
    let made = parameter::put_global(call.place(), CLUSTER_NAME, &value)?;
    call.durable(made.position)?;
    Ok(Response::done())
}

fn none<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    call.one(json!([]))
}

fn nothing_to_do<E: Engine>(_: &Call<'_, E>) -> Result<Response, Refusal> {
    Ok(Response::done())
}

/// Names that clients look for.
const FLAGS: [(&str, &str); 7] = [
    ("drop_unroutable_metric", "Messages that nobody receives are counted"),
    ("empty_basic_get_metric", "Fetches that find nothing are counted"),
    ("implicit_default_bindings", "The default exchange knows every queue without a binding"),
    ("quorum_queue", "Queues of type `quorum`"),
    ("stream_queue", "Queues of type `stream`"),
    ("user_limits", "Limits of connections and channels for a user"),
    ("virtual_host_metadata", "A description and tags of a vhost"),
];

/// What is there is enabled.
fn enable<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    match FLAGS.iter().any(|(name, _)| *name == call.segment("name")) || call.segment("name") == "all" {
        true => Ok(Response::done()),
        false => Err(Refusal::bad_request("unsupported")),
    }
}

fn feature_flags<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let view = |(name, desc)| {
        json!({
            "desc": desc, "doc_url": "", "name": name, "provided_by": "motet", "stability": "stable", "state": "enabled",
        })
    };
    call.one(FLAGS.into_iter().map(view).collect())
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
        assert_eq!(bench.status("PUT", "/feature-flags/quorum_queue/enable", ""), 204);
        assert_eq!(bench.status("PUT", "/feature-flags/nope/enable", ""), 400);
        assert_eq!(bench.status("POST", "/rebalance/queues", ""), 204);
        let answer = bench.ask("PUT", "/cluster-name", "{}");
        assert_eq!((answer.status, &answer.told()["reason"]), (400, &json!("[{key_missing,name}]")));
        assert_eq!(bench.status("PUT", "/cluster-name", r#"{"name":"choir"}"#), 204);
        assert_eq!(bench.get("/cluster-name"), json!({"name": "choir"}));
        assert_eq!(bench.get("/overview")["cluster_name"], "choir");
    }
}
