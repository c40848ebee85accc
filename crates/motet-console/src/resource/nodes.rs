//! `/nodes`: this one.

use super::overview::{contexts, exchange_types};
use crate::asker::Needs::Monitoring;
use crate::call::Call;
use crate::node::NodeFigures;
use crate::route::Route;
use crate::{Refusal, Response};
use motet_core::engine::Engine;
use serde_json::{Value, json};

pub(super) fn routes<E: Engine>() -> Vec<Route<E>> {
    vec![
        Route::at("nodes").get(Monitoring, list),
        Route::at("nodes/{node}").get(Monitoring, one),
        Route::at("nodes/{node}/memory").get(Monitoring, memory),
        Route::at("nodes/{node}/memory/relative").get(Monitoring, memory),
    ]
}

fn list<E: Engine>(call: &Call<'_, E>) -> Result<Response, Refusal> {
    call.list(vec![view(call, &call.node().figures())])
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

/// What is known of where the memory went: bodies in queues, and the rest.
fn breakdown<E: Engine>(call: &Call<'_, E>, figures: &NodeFigures) -> Value {
    let queues = call.core().vhosts().into_iter().flat_map(|vhost| call.core().queues(&vhost));
    let bodies: u64 = queues.map(|queue| queue.stats().resident_bytes).sum();
    let used = figures.memory.0;
    json!({
        "binary": bodies,
        "other_system": used.saturating_sub(bodies),
        "strategy": "rss",
        "total": { "allocated": used, "erlang": used, "rss": used },
    })
}

fn view<E: Engine>(call: &Call<'_, E>, figures: &NodeFigures) -> Value {
    let mechanisms = ["AMQPLAIN", "EXTERNAL", "PLAIN", "SCRAM-SHA-256"];
    let mechanism = |name| json!({ "name": name, "description": "", "enabled": true });
    let steady = json!({ "rate": 0.0 });
    json!({
        "applications": [{ "name": "motet", "description": "Motet", "version": figures.version }],
        "auth_mechanisms": mechanisms.map(mechanism),
        "being_drained": figures.draining,
        "config_files": figures.config_files,
        "contexts": contexts(call),
        "db_dir": figures.data_dir,
        "disk_free": figures.disk_free.0,
        "disk_free_alarm": figures.disk_alarm,
        "disk_free_details": steady,
        "disk_free_limit": figures.disk_free.1,
        "enabled_plugins": ["rabbitmq_management"],
        "exchange_types": exchange_types(),
        "fd_total": figures.files.1,
        "fd_used": figures.files.0,
        "fd_used_details": steady,
        "log_files": ["<stderr>"],
        "mem_alarm": figures.memory_alarm,
        "mem_calculation_strategy": "rss",
        "mem_limit": figures.memory.1,
        "mem_used": figures.memory.0,
        "mem_used_details": steady,
        "name": figures.name,
        "net_ticktime": 60,
        "os_pid": figures.pid.to_string(),
        "partitions": [],
        "proc_total": figures.sockets.1,
        "proc_used": figures.sockets.0,
        "proc_used_details": steady,
        "processors": figures.processors,
        "rates_mode": "basic",
        "run_queue": 0,
        "running": true,
        "sockets_total": figures.sockets.1,
        "sockets_used": figures.sockets.0,
        "sockets_used_details": steady,
        "type": "disc",
        "uptime": figures.uptime_ms,
    })
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
        assert_eq!(bench.status("GET", "/nodes/nope", ""), 404);
        assert_eq!(bench.ask_as("ann", "management", "GET", "/nodes", "").status, 401);
    }
}
