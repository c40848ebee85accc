//! From exchanges into queues.

use motet_core::exchange::{Arguments, ExchangeConfig, ExchangeKind, HashOn};
use motet_core::message::{Properties, Value};
use motet_core::queue::QueueConfig;

use crate::broker::{Broker, Letter, Record, credit, with_delay};

#[test]
fn each_kind_of_exchange_fills_the_queues_its_bindings_name() {
    let cases = [
        (ExchangeKind::Direct, "eu", "eu", "us"),
        (ExchangeKind::Fanout, "", "anything", ""),
        (ExchangeKind::Topic, "eu.*.#", "eu.berlin.rain", "eu"),
        (ExchangeKind::ConsistentHash(HashOn::Key), "1", "anything", ""),
    ];
    for (kind, binding, hit, miss) in cases {
        let mut broker = Broker::default();
        broker.queue("q", QueueConfig::default());
        broker.exchange("x", kind.clone());
        broker.bind("x", "q", binding);
        assert_eq!(broker.publish("x", hit, "yes"), 1, "{kind}");
        if !miss.is_empty() {
            assert_eq!(broker.publish("x", miss, "no"), 0, "{kind}");
        }
        assert_eq!(broker.of("q").stats().ready, 1);
    }
}

#[test]
fn headers_decide_whatever_the_key() {
    let mut broker = Broker::default();
    broker.queue("pdf", QueueConfig::default());
    let arguments = Arguments::new([("format".into(), Value::Text("pdf".into()))]);
    broker.topology.bind_queue(b"amq.headers", b"pdf", b"ignored", arguments).unwrap();
    for (format, expected) in [("pdf", 1), ("zip", 0)] {
        let headers = vec![("format".into(), Value::Text(format.into()))];
        let letter = Letter { properties: Properties { headers, ..Properties::default() }, ..Letter::default() };
        assert_eq!(broker.send("amq.headers", "any", letter), expected);
    }
}

#[test]
fn a_publication_to_many_queues_is_one_stage() {
    let mut broker = Broker::default();
    for name in ["a", "b", "c"] {
        broker.queue(name, QueueConfig::default());
        broker.bind("amq.fanout", name, "");
    }
    broker.publish("amq.fanout", "", "news");
    let records = ["a", "b", "c"].map(|name| Record::Enqueue(name.into(), 1));
    assert_eq!(broker.journal, [records.to_vec()]);
}

#[test]
fn what_no_binding_wants_is_kept_by_the_alternate_exchange() {
    let mut broker = Broker::default();
    broker.queue("orders", QueueConfig::default());
    broker.queue("unknown", QueueConfig::default());
    let config =
        ExchangeConfig { alternate: Some("amq.fanout".into()), ..ExchangeConfig::durable(ExchangeKind::Direct) };
    broker.topology.declare_exchange("shop", config).unwrap();
    broker.bind("shop", "orders", "order");
    broker.bind("amq.fanout", "unknown", "");
    broker.publish("shop", "order", "one");
    broker.publish("shop", "ordr", "a slip");
    broker.consumer("unknown", 1, credit(9));
    assert_eq!(broker.texts("unknown", 1, 9), ["a slip"]);
    assert_eq!(broker.of("orders").stats().ready, 1);
}

#[test]
fn a_delayed_exchange_holds_messages_back_until_their_time() {
    let mut broker = Broker::default();
    broker.queue("q", QueueConfig::default());
    let config = ExchangeConfig { delayed: true, ..ExchangeConfig::durable(ExchangeKind::Direct) };
    broker.topology.declare_exchange("later", config).unwrap();
    broker.bind("later", "q", "k");
    broker.consumer("q", 1, credit(9));
    for (text, ms) in [("slow", 5_000), ("quick", 100), ("now", 0)] {
        let letter = Letter { text: text.into(), properties: with_delay(ms), ..Letter::default() };
        broker.send("later", "k", letter);
    }
    assert_eq!(broker.texts("q", 1, 9), ["now"]);
    broker.pass(100);
    assert_eq!(broker.texts("q", 1, 9), ["quick"]);
    broker.pass(4_899);
    assert!(broker.texts("q", 1, 9).is_empty());
    broker.pass(1);
    assert_eq!(broker.texts("q", 1, 9), ["slow"]);
}

#[test]
fn a_consistent_hash_spreads_evenly_and_keeps_a_key_in_one_queue() {
    let mut broker = Broker::default();
    broker.exchange("shards", ExchangeKind::ConsistentHash(HashOn::Key));
    for name in ["s0", "s1", "s2", "s3"] {
        broker.queue(name, QueueConfig::default());
        broker.bind("shards", name, "10");
    }
    for round in 0..2 {
        for n in 0..4_000 {
            assert_eq!(broker.publish("shards", &format!("customer-{n}"), ""), 1);
        }
        for name in ["s0", "s1", "s2", "s3"] {
            let ready = broker.of(name).stats().ready / (round + 1);
            assert!((880..1_120).contains(&ready), "{name} has {ready} of 4,000");
        }
    }
}
