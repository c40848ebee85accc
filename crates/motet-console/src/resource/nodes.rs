//! `/nodes`: this one.

use super::overview::{contexts, exchange_types};
use crate::asker::Needs::Monitoring;
use crate::call::Call;
use crate::figures::{self, Axis, totals};
use crate::node::NodeFigures;
use crate::route::Route;
use crate::{Refusal, Response};
use motet_core::engine::Engine;
use serde_json::{Map, Value, json};

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![
        Route::at("nodes").get(Monitoring, list),
        Route::at("nodes/{node}").get(Monitoring, one),
        Route::at("nodes/{node}/memory").get(Monitoring, memory),
        Route::at("nodes/{node}/memory/relative").get(Monitoring, memory_relative),
        Route::at("nodes/{node}/memory/ets").get(Monitoring, tables),
        Route::at("nodes/{node}/memory/ets/{filter}").get(Monitoring, tables),
    ]
}

/// What is read and written, under names that dashboards ask for. Nothing here is counted that way.
const NOT_COUNTED: [&str; 20] = [
    "context_switches",
    "gc_bytes_reclaimed",
    "gc_num",
    "io_read_avg_time",
    "io_read_bytes",
    "io_read_count",
    "io_reopen_count",
    "io_seek_avg_time",
    "io_seek_count",
    "io_sync_avg_time",
    "io_sync_count",
    "io_write_avg_time",
    "io_write_bytes",
    "io_write_count",
    "mnesia_disk_tx_count",
    "mnesia_ram_tx_count",
    "msg_store_read_count",
    "msg_store_write_count",
    "queue_index_read_count",
    "queue_index_write_count",
];
/// The parts of RabbitMQ's memory that mean nothing here.
const NO_MEMORY: [&str; 23] = [
    "allocated_unused",
    "atom",
    "code",
    "connection_channels",
    "connection_other",
    "connection_readers",
    "connection_writers",
    "metrics",
    "mgmt_db",
    "mnesia",
    "msg_index",
    "other_ets",
    "other_proc",
    "plugins",
    "queue_procs",
    "queue_slave_procs",
    "quorum_ets",
    "quorum_queue_dlx_procs",
    "quorum_queue_procs",
    "reserved_unallocated",
    "stream_queue_coordinator_procs",
    "stream_queue_procs",
    "stream_queue_replica_reader_procs",
];

fn list<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    call.whole_list(vec![view(call, &call.node().figures())])
}

fn this<E: Engine>(call: &Call<'_, E>) -> Result<NodeFigures, Refusal> {
    let figures = call.node().figures();
    if figures.name == call.segment("node") { Ok(figures) } else { Err(Refusal::not_found()) }
}

fn one<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let figures = this(call)?;
    let mut view = view(call, &figures);
    if call.request.says("memory") {
        view["memory"] = breakdown(call, &figures);
    }
    call.one(view)
}

fn memory<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let figures = this(call)?;
    call.one(json!({ "memory": breakdown(call, &figures) }))
}

fn memory_relative<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    let process = this(call)?;
    let Value::Object(mut parts) = breakdown(call, &process) else { return Err(Refusal::internal("memory")) };
    parts.remove("strategy");
    let used = process.memory.0.max(1);
    // What there is of is at least one in a hundred, as in RabbitMQ.
    for part in parts.values_mut() {
        *part = json!(part.as_u64().unwrap_or(used).saturating_mul(100).div_ceil(used));
    }
    call.one(json!({ "memory": parts }))
}

/// There are no such tables.
fn tables<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    this(call)?;
    call.one(json!({ "ets_tables_memory": { "total": 0 } }))
}

/// What is known of where the memory went: bodies in queues, and the rest.
fn breakdown<E: Engine>(call: &Call<'_, E>, process: &NodeFigures) -> Value {
    let queues = call.core().vhosts().into_iter().flat_map(|vhost| call.core().queues(&vhost));
    let bodies: u64 = queues.map(|queue| queue.stats().resident_bytes).sum();
    let used = process.memory.0;
    let mut parts = Map::from_iter(NO_MEMORY.map(|name| (name.to_owned(), json!(0))));
    parts.insert("binary".into(), json!(bodies));
    parts.insert("other_system".into(), json!(used.saturating_sub(bodies)));
    parts.insert("strategy".into(), json!("rss"));
    parts.insert("total".into(), json!({ "allocated": used, "erlang": used, "rss": used }));
    parts.into()
}

fn view<E: Engine>(call: &Call<'_, E>, process: &NodeFigures) -> Value {
    let mechanisms = ["AMQPLAIN", "EXTERNAL", "PLAIN", "SCRAM-SHA-256"];
    let mechanism = |name| json!({ "name": name, "description": "", "enabled": true });
    let mut view = json!({
        "applications": [{ "name": "motet", "description": "Motet", "version": process.version }],
        "auth_mechanisms": mechanisms.map(mechanism),
        "being_drained": process.draining,
        "cluster_links": [],
        "config_files": process.config_files,
        "contexts": contexts(call),
        "db_dir": process.data_dir,
        "disk_free_alarm": process.disk_alarm,
        "disk_free_limit": process.disk_free.1,
        "enabled_plugins": ["rabbitmq_management"],
        "exchange_types": exchange_types(),
        "fd_total": process.files.1,
        "log_files": ["<stderr>"],
        "mem_alarm": process.memory_alarm,
        "mem_calculation_strategy": "rss",
        "mem_limit": process.memory.1,
        "metrics_gc_queue_length": {
            "channel_closed": 0,
            "channel_consumer_deleted": 0,
            "connection_closed": 0,
            "consumer_deleted": 0,
            "exchange_deleted": 0,
            "node_node_deleted": 0,
            "queue_deleted": 0,
            "vhost_deleted": 0,
        },
        "name": process.name,
        "net_ticktime": 60,
        "os_pid": process.pid.to_string(),
        "partitions": [],
        "proc_total": process.sockets.1,
        "processors": process.processors,
        "ra_open_file_metrics": { "ra_log_segment_writer": 0, "ra_log_wal": 0 },
        "rates_mode": "basic",
        "run_queue": 0,
        "running": true,
        "sockets_total": process.sockets.1,
        "type": "disc",
        "uptime": process.uptime_ms,
    });
    if let Value::Object(view) = &mut view {
        let details = call.api.looks.node(&call.spans, call.now());
        figures::write(view, &totals::NODE, &totals::node(process), &details);
        figures::write_nothing(view, &NOT_COUNTED, Axis::Node, &call.spans, call.now());
        let mut connections = 0;
        call.node().connections(&mut |seen| connections += u64::from(seen.conversation.is_some()));
        let churn = totals::churn(&call.core().vhosts(), process.connections_total, connections);
        let details = call.api.looks.overview(&totals::OVERVIEW_OF_NODE, &call.spans, call.now());
        for (at, (name, _)) in totals::CHURN.iter().enumerate() {
            view.insert((*name).into(), json!(churn[at]));
            view.insert(format!("{name}_details"), details[totals::OVERVIEW_CHURN + at].clone());
        }
    }
    view
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn there_is_one_node_and_monitors_see_it() {
        let bench = Bench::new();
        let node = &bench.get("/nodes")[0];
        assert_eq!(
            (&node["name"], &node["running"], &node["uptime"]),
            (&"motet@here".into(), &true.into(), &5_000.into())
        );
        assert_eq!(bench.get("/nodes/motet@here"), *node);
        assert!(bench.get("/nodes/motet@here/memory")["memory"]["total"].is_object());
        assert_eq!(bench.get("/nodes/motet@here/memory/relative")["memory"]["total"], 100);
        assert_eq!(bench.status("GET", "/nodes/nope", ""), 404);
        assert_eq!(bench.ask_as("ann", "management", "GET", "/nodes", "").status, 401);
    }
}
