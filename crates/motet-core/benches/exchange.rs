//! What a route costs, in nanoseconds: `cargo bench -p motet-core --bench exchange`.
//!
//! Every line prints the best of fifty rounds, each short enough to pass between two turns of a busy machine's scheduler.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Instant;

use motet_core::exchange::{Arguments, ExchangeConfig, ExchangeKind, HashOn, Publication, Routed, Topology};
use motet_core::message::{Properties, Value};

const TURNS: usize = 2_000;
const ROUNDS: usize = 50;

fn measure(label: &str, topology: &Topology<usize>, exchange: &str, publications: &[Publication<'_>]) {
    let mut routed = Routed::default();
    let mut best = f64::MAX;
    let mut reached = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        reached = 0;
        for turn in 0..TURNS {
            let publication = &publications[turn % publications.len()];
            topology.route(exchange.as_bytes(), black_box(publication), &mut routed).unwrap();
            reached += black_box(routed.targets()).len();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / TURNS as f64);
    }
    println!("{label:<58} {best:>8.0} ns  reaches {:.1}", reached as f64 / TURNS as f64);
}

fn main() {
    let mut topology: Topology<usize> = Topology::default();
    for n in 0..1_000 {
        topology.add_queue(format!("q{n}").into_bytes(), true, n).unwrap();
    }
    let kinds = [
        ("direct", ExchangeKind::Direct),
        ("topic", ExchangeKind::Topic),
        ("fanout", ExchangeKind::Fanout),
        ("headers", ExchangeKind::Headers),
        ("hash", ExchangeKind::ConsistentHash(HashOn::Key)),
    ];
    for (name, kind) in kinds {
        topology.declare_exchange(name, ExchangeConfig::durable(kind)).unwrap();
    }
    let mut bind = |exchange: &str, n: usize, key: &str, arguments: Arguments| {
        topology.bind_queue(exchange.as_bytes(), format!("q{n}").as_bytes(), key.as_bytes(), arguments).unwrap();
    };
    for n in 0..1_000 {
        bind("topic", n, &format!("a.{n:04}.*.#"), Arguments::default());
        bind("direct", n, &format!("a.{n:04}"), Arguments::default());
    }
    for n in 0..10 {
        bind("fanout", n, "", Arguments::default());
        bind("hash", n, "1", Arguments::default());
    }
    for n in 0..100 {
        bind("headers", n, "", Arguments::new([("device".into(), Value::Int(n as i64))]));
    }

    let keys: Vec<String> = (0..1_000).map(|n| format!("a.{n:04}.temperature.celsius")).collect();
    let deep: Vec<_> = keys.iter().map(|key| Publication::with_key(key.as_bytes())).collect();
    let short: Vec<_> = keys.iter().map(|key| Publication::with_key(&key.as_bytes()[..6])).collect();
    let properties: Vec<_> = (0..100)
        .map(|n| Properties { headers: vec![("device".into(), Value::Int(n))], ..Properties::default() })
        .collect();
    let with_headers: Vec<_> =
        properties.iter().map(|p| Publication { properties: Some(p), ..Publication::with_key(b"") }).collect();

    let names: Vec<String> = (0..1_000).map(|n| format!("q{n}")).collect();
    let named: Vec<_> = names.iter().map(|name| Publication::with_key(name.as_bytes())).collect();
    measure("direct, 1,000 bindings", &topology, "direct", &short);
    measure("default exchange, 1,000 queues", &topology, "", &named);
    measure("topic, 1,000 bindings a.NNNN.*.#", &topology, "topic", &deep);
    measure("topic, 1,000 bindings, nothing matches", &topology, "topic", &short);
    measure("fanout, 10 bindings", &topology, "fanout", &deep);
    measure("consistent hash, 10 bindings", &topology, "hash", &deep);
    measure("headers, 100 bindings of one field", &topology, "headers", &with_headers);
}
