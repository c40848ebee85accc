//! From exchanges into queues.

use motet_core::core::Outcome;
use motet_core::exchange::{Arguments, ExchangeConfig, ExchangeKind, HashOn};
use motet_core::message::{Properties, Value};

use crate::bench::{Bench, Letter, credit, headers, letter, text};

#[test]
fn each_kind_of_exchange_fills_the_queues_its_bindings_name() {
    let cases = [
        (ExchangeKind::Direct, "eu", "eu", "us"),
        (ExchangeKind::Fanout, "", "anything", ""),
        (ExchangeKind::Topic, "eu.*.#", "eu.berlin.rain", "eu"),
        (ExchangeKind::ConsistentHash(HashOn::Key), "1", "anything", ""),
    ];
    for (kind, binding, hit, miss) in cases {
        let mut bench = Bench::default();
        bench.queue("q", &[]);
        bench.exchange("x", kind.clone());
        bench.bind("x", "q", binding);
        assert_eq!(bench.publish("x", hit, "yes"), Outcome::Accepted, "{kind}");
        if !miss.is_empty() {
            assert_eq!(bench.publish("x", miss, "no"), Outcome::Unroutable, "{kind}");
        }
        assert_eq!(bench.stats("q").ready, 1);
    }
}

#[test]
fn headers_decide_whatever_the_key() {
    let mut bench = Bench::default();
    bench.queue("pdf", &[]);
    bench.bind_with("amq.headers", "pdf", "ignored", Arguments::new([("format".into(), text("pdf"))]));
    for (format, expected) in [("pdf", Outcome::Accepted), ("zip", Outcome::Unroutable)] {
        let letter = Letter { properties: headers(&[("format", text(format))]), ..Letter::default() };
        assert_eq!(bench.send("amq.headers", "any", letter).outcome, expected);
    }
}

#[test]
fn what_no_binding_wants_is_kept_by_the_alternate_exchange() {
    let mut bench = Bench::default();
    bench.queue("orders", &[]);
    bench.queue("unknown", &[]);
    let config =
        ExchangeConfig { alternate: Some("amq.fanout".into()), ..ExchangeConfig::durable(ExchangeKind::Direct) };
    bench.exchange_with("shop", config);
    bench.bind("shop", "orders", "order");
    bench.bind("amq.fanout", "unknown", "");
    bench.publish("shop", "order", "one");
    bench.publish("shop", "ordr", "a slip");
    assert_eq!(bench.holds("unknown"), ["a slip"]);
    assert_eq!(bench.stats("orders").ready, 1);
}

#[test]
fn a_delayed_exchange_holds_messages_back_until_their_time_also_over_a_power_cut() {
    let mut bench = Bench::default();
    bench.queue("q", &[]);
    let config = ExchangeConfig { delayed: true, ..ExchangeConfig::durable(ExchangeKind::Direct) };
    bench.exchange_with("later", config);
    bench.bind("later", "q", "k");
    bench.consumer("q", 1, credit(9));
    for (said, ms) in [("slow", 5_000), ("quick", 100), ("now", 0)] {
        bench.send("later", "k", Letter { properties: headers(&[("x-delay", Value::Int(ms))]), ..letter(said) });
    }
    assert_eq!(bench.texts("q", 1, 9), ["now"]);
    bench.pass(100);
    assert_eq!(bench.texts("q", 1, 9), ["quick"]);
    bench.pass(4_800);
    let mut bench = bench.power_cut(0);
    bench.consumer("q", 1, credit(9));
    assert_eq!(bench.texts("q", 1, 9), ["now", "quick"]);
    bench.pass(99);
    assert!(bench.texts("q", 1, 9).is_empty());
    bench.pass(1);
    assert_eq!(bench.texts("q", 1, 9), ["slow"]);
}

#[test]
fn a_message_may_ask_for_its_own_delay() {
    let mut bench = Bench::default();
    bench.queue("q", &[]);
    let properties = Properties { deliver_at: Some(bench.now + 50), ..Properties::default() };
    bench.send("", "q", Letter { properties, ..letter("later") });
    bench.consumer("q", 1, credit(9));
    assert!(bench.texts("q", 1, 9).is_empty());
    bench.pass(50);
    assert_eq!(bench.texts("q", 1, 9), ["later"]);
}

#[test]
fn copies_go_to_further_keys_and_blind_ones_are_not_told() {
    let mut bench = Bench::default();
    for name in ["a", "b", "c"] {
        bench.queue(name, &[]);
    }
    let properties = headers(&[("CC", Value::List(vec![text("b")])), ("BCC", Value::List(vec![text("c")]))]);
    assert_eq!(bench.send("", "a", Letter { properties, ..letter("x") }).outcome, Outcome::Accepted);
    for name in ["a", "b", "c"] {
        bench.consumer(name, 1, credit(1));
        let taken = bench.take(name, 1, 2);
        assert_eq!(taken.len(), 1);
        let properties = taken[0].queued.message.message().properties.as_deref().unwrap();
        assert_eq!(properties.headers.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["CC"]);
    }
}

#[test]
fn a_route_that_is_known_is_made_anew_when_bindings_change() {
    let mut bench = Bench::default();
    bench.queue("q", &[]);
    assert_eq!(bench.publish("amq.direct", "k", "1"), Outcome::Unroutable);
    bench.bind("amq.direct", "q", "k");
    assert_eq!(bench.publish("amq.direct", "k", "2"), Outcome::Accepted);
    let vhost = bench.core.vhost().clone();
    bench.core.unbind_queue(&vhost, b"amq.direct", b"q", b"k", &Arguments::default()).unwrap();
    assert_eq!(bench.publish("amq.direct", "k", "3"), Outcome::Unroutable);
    assert_eq!(bench.holds("q"), ["2"]);
}

#[test]
fn a_consistent_hash_spreads_evenly_and_keeps_a_key_in_one_queue() {
    let mut bench = Bench::default();
    bench.exchange("shards", ExchangeKind::ConsistentHash(HashOn::Key));
    for name in ["s0", "s1", "s2", "s3"] {
        bench.queue(name, &[]);
        bench.bind("shards", name, "10");
    }
    for round in 0..2 {
        for n in 0..4_000 {
            assert_eq!(bench.publish("shards", &format!("customer-{n}"), ""), Outcome::Accepted);
        }
        for name in ["s0", "s1", "s2", "s3"] {
            let ready = bench.stats(name).ready / (round + 1);
            assert!((880..1_120).contains(&ready), "{name} has {ready} of 4,000");
        }
    }
}
