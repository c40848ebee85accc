//! Exchanges by their rules, a sentence each.

mod declare;
mod model;

use super::*;
use crate::message::{Properties, Value};

type Names = Topology<&'static str>;

fn with_queues(names: &[&'static str]) -> Names {
    let mut topology = Names::default();
    for name in names {
        topology.add_queue(name.as_bytes(), true, *name).unwrap();
    }
    topology
}

fn declare(topology: &mut Names, name: &'static str, kind: ExchangeKind) {
    topology.declare_exchange(name.as_bytes(), ExchangeConfig::durable(kind)).unwrap();
}

fn bind(topology: &mut Names, exchange: &str, queue: &str, key: &str) {
    topology.bind_queue(exchange.as_bytes(), queue.as_bytes(), key.as_bytes(), Arguments::default()).unwrap();
}

fn link(topology: &mut Names, source: &str, destination: &str, key: &str) {
    let arguments = Arguments::default();
    topology.bind_exchange(source.as_bytes(), destination.as_bytes(), key.as_bytes(), arguments).unwrap();
}

fn routed(topology: &Names, exchange: &str, publication: &Publication<'_>) -> Vec<&'static str> {
    let mut routed = Routed::default();
    topology.route(exchange.as_bytes(), publication, &mut routed).unwrap();
    let mut queues: Vec<_> = routed.targets().iter().map(|target| *topology.queue(*target).unwrap()).collect();
    queues.sort_unstable();
    queues
}

fn sent(topology: &Names, exchange: &str, key: &str) -> Vec<&'static str> {
    routed(topology, exchange, &Publication::with_key(key.as_bytes()))
}

fn headers(fields: &[(&str, Value)]) -> Properties {
    let headers = fields.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
    Properties { headers, ..Properties::default() }
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

#[test]
fn the_default_exchange_holds_every_queue_under_its_name_and_nothing_else() {
    let mut topology = with_queues(&["a", "b"]);
    assert_eq!(sent(&topology, "", "a"), ["a"]);
    assert!(sent(&topology, "", "c").is_empty());
    let refused = topology.bind_queue(b"", b"a", b"x", Arguments::default());
    assert_eq!(refused, Err(BindError::DefaultExchange));
    assert_eq!(topology.delete_exchange(b"", false, &mut Vec::new()), Err(DeleteError::Reserved));
}

#[test]
fn a_direct_exchange_compares_keys_and_a_fanout_does_not() {
    let mut topology = with_queues(&["a", "b"]);
    bind(&mut topology, "amq.direct", "a", "x");
    bind(&mut topology, "amq.direct", "b", "y");
    bind(&mut topology, "amq.fanout", "a", "x");
    bind(&mut topology, "amq.fanout", "b", "y");
    assert_eq!(sent(&topology, "amq.direct", "x"), ["a"]);
    assert!(sent(&topology, "amq.direct", "z").is_empty());
    assert_eq!(sent(&topology, "amq.fanout", "z"), ["a", "b"]);
}

#[test]
fn a_topic_exchange_reads_words_with_a_hash_anywhere() {
    let mut topology = with_queues(&["first", "middle", "last", "one"]);
    declare(&mut topology, "logs", ExchangeKind::Topic);
    for (queue, key) in [("first", "#.error"), ("middle", "eu.#.error"), ("last", "eu.#"), ("one", "eu.*")] {
        bind(&mut topology, "logs", queue, key);
    }
    assert_eq!(sent(&topology, "logs", "eu.db.disk.error"), ["first", "last", "middle"]);
    assert_eq!(sent(&topology, "logs", "eu.error"), ["first", "last", "middle", "one"]);
    assert_eq!(sent(&topology, "logs", "eu"), ["last"]);
    assert!(sent(&topology, "logs", "us.db").is_empty());
}

#[test]
fn a_headers_binding_asks_for_all_or_any_with_or_without_x() {
    type Case<'a> = (&'a str, &'a [(&'a str, Value)], bool);
    let cases: [Case<'_>; 9] = [
        ("all", &[("a", text("1")), ("b", text("2"))], true),
        ("all", &[("a", text("1"))], false),
        ("all", &[("a", text("1")), ("b", Value::Int(2))], false),
        ("any", &[("b", text("2"))], true),
        ("any", &[("x-c", text("3"))], false),
        ("any-with-x", &[("x-c", text("3"))], true),
        ("all-with-x", &[("a", text("1")), ("b", text("2"))], false),
        ("all-with-x", &[("a", text("1")), ("b", text("2")), ("x-c", text("3"))], true),
        ("any", &[], false),
    ];
    for (how, sent, expected) in cases {
        let mut topology = with_queues(&["q"]);
        let fields = [("x-match", how), ("a", "1"), ("b", "2"), ("x-c", "3")];
        let arguments = Arguments::new(fields.map(|(name, value)| (name.into(), text(value))));
        topology.bind_queue(b"amq.headers", b"q", b"", arguments).unwrap();
        let properties = headers(sent);
        let publication = Publication { properties: Some(&properties), ..Publication::with_key(b"") };
        assert_eq!(routed(&topology, "amq.headers", &publication).len() == 1, expected, "{how} {sent:?}");
    }
}

#[test]
fn a_field_without_a_value_asks_for_presence_and_another_x_match_is_refused() {
    let mut topology = with_queues(&["q"]);
    topology.bind_queue(b"amq.match", b"q", b"", Arguments::new([("a".into(), Value::Null)])).unwrap();
    let properties = headers(&[("a", Value::Int(7))]);
    let publication = Publication { properties: Some(&properties), ..Publication::with_key(b"") };
    assert_eq!(routed(&topology, "amq.match", &publication), ["q"]);
    let other = Arguments::new([("x-match".into(), text("some"))]);
    assert_eq!(topology.bind_queue(b"amq.match", b"q", b"", other), Err(BindError::HeadersMatch));
    assert_eq!(topology.binding_count(b"amq.match"), Ok(1));
}

#[test]
fn a_queue_reached_twice_gets_one_copy() {
    let mut topology = with_queues(&["q"]);
    declare(&mut topology, "x", ExchangeKind::Direct);
    bind(&mut topology, "x", "q", "a");
    bind(&mut topology, "x", "q", "b");
    link(&mut topology, "x", "amq.fanout", "a");
    bind(&mut topology, "amq.fanout", "q", "");
    let keys = sender_selected(&[("CC", &["b", "b"]), ("BCC", &["c"])]);
    let keys = sender_selected_keys(&keys.headers).unwrap();
    let publication = Publication { extra_keys: &keys, ..Publication::with_key(b"a") };
    assert_eq!(routed(&topology, "x", &publication), ["q"]);
}

fn sender_selected(fields: &[(&str, &[&str])]) -> Properties {
    let list = |keys: &[&str]| Value::List(keys.iter().map(|key| text(key)).collect());
    headers(&fields.iter().map(|(name, keys)| (*name, list(keys))).collect::<Vec<_>>())
}

#[test]
fn cc_that_is_no_list_is_refused_and_what_of_it_is_no_text_passed_over() {
    for value in [text("a"), Value::List(vec![text("a"); KEYS_MAX + 1])] {
        assert_eq!(sender_selected_keys(&headers(&[("CC", value)]).headers), Err(RouteError::Keys("CC")));
    }
    let mixed = headers(&[("CC", Value::List(vec![Value::Int(1), text("a")]))]);
    assert_eq!(sender_selected_keys(&mixed.headers).unwrap()[..], [b"a"]);
}

#[test]
fn one_of_all_is_picked_by_chance_or_by_a_hash_of_the_key() {
    for kind in [ExchangeKind::Random, ExchangeKind::ModulusHash] {
        let mut topology = with_queues(&["a", "b", "c"]);
        declare(&mut topology, "x", kind.clone());
        assert_eq!(sent(&topology, "x", "nobody is bound"), Vec::<&str>::new());
        for queue in ["a", "b", "c"] {
            bind(&mut topology, "x", queue, "");
            bind(&mut topology, "x", queue, "twice is no more");
        }
        let mut counts = std::collections::BTreeMap::new();
        for n in 0..3_000 {
            let key = format!("order-{n}");
            let [queue] = sent(&topology, "x", &key)[..] else { panic!("one queue") };
            *counts.entry(queue).or_insert(0) += 1;
            assert!(kind == ExchangeKind::Random || sent(&topology, "x", &key) == [queue], "a key keeps its queue");
        }
        assert!(counts.len() == 3 && counts.values().all(|count| (800..1_200).contains(count)), "{kind}: {counts:?}");
        topology.remove_queue(b"b", &mut Vec::new());
        assert!((0..100).all(|n| sent(&topology, "x", &format!("{n}")) != ["b"]));
    }
}

#[test]
fn no_word_of_an_own_topic_exchange_is_reserved_and_no_key_is_no_word() {
    let mut topology = with_queues(&["all", "one", "none"]);
    declare(&mut topology, "x", ExchangeKind::Topic);
    for (queue, key) in [("all", "#"), ("one", "*"), ("none", "")] {
        bind(&mut topology, "x", queue, key);
    }
    assert_eq!(sent(&topology, "x", "$SYS.a"), ["all"]);
    assert_eq!(sent(&topology, "x", "$SYS"), ["all", "one"]);
    assert_eq!(sent(&topology, "x", ""), ["all", "none"]);
    topology.remove_queue(b"none", &mut Vec::new());
    assert_eq!(sent(&topology, "x", ""), ["all"]);
}

#[test]
fn a_cycle_of_exchanges_is_walked_once() {
    let mut topology = with_queues(&["q"]);
    for name in ["a", "b", "c"] {
        declare(&mut topology, name, ExchangeKind::Fanout);
    }
    for (source, destination) in [("a", "b"), ("b", "c"), ("c", "a"), ("a", "a")] {
        link(&mut topology, source, destination, "");
    }
    bind(&mut topology, "c", "q", "");
    assert_eq!(sent(&topology, "a", ""), ["q"]);
}

#[test]
fn a_chain_longer_than_the_bound_is_cut_and_says_so() {
    let mut topology = with_queues(&["near", "far"]);
    for n in 0..=HOPS_MAX + 1 {
        let config = ExchangeConfig::durable(ExchangeKind::Fanout);
        topology.declare_exchange(format!("x{n}").into_bytes(), config).unwrap();
    }
    for n in 0..=HOPS_MAX {
        link(&mut topology, &format!("x{n}"), &format!("x{}", n + 1), "");
    }
    bind(&mut topology, &format!("x{HOPS_MAX}"), "near", "");
    bind(&mut topology, &format!("x{}", HOPS_MAX + 1), "far", "");
    let mut routed = Routed::default();
    topology.route(b"x0", &Publication::with_key(b""), &mut routed).unwrap();
    assert!(routed.is_cut());
    assert_eq!(routed.targets().len(), 1);
    topology.route(b"x1", &Publication::with_key(b""), &mut routed).unwrap();
    assert!(!routed.is_cut());
}

#[test]
fn an_alternate_exchange_is_asked_when_nothing_matched_through_chains_and_cycles() {
    let mut topology = with_queues(&["known", "lost"]);
    for (name, alternate) in [("a", "b"), ("b", "c"), ("c", "a")] {
        let config =
            ExchangeConfig { alternate: Some(alternate.into()), ..ExchangeConfig::durable(ExchangeKind::Direct) };
        topology.declare_exchange(name, config).unwrap();
    }
    assert!(sent(&topology, "a", "k").is_empty(), "all round and nothing found");
    bind(&mut topology, "a", "known", "k");
    bind(&mut topology, "c", "lost", "else");
    assert_eq!(sent(&topology, "a", "k"), ["known"]);
    assert_eq!(sent(&topology, "a", "else"), ["lost"]);
    declare(&mut topology, "dead-end", ExchangeKind::Direct);
    link(&mut topology, "a", "dead-end", "else");
    assert!(sent(&topology, "a", "else").is_empty(), "a match that leads nowhere is a match");
}

#[test]
fn a_delayed_exchange_holds_back_what_asks_for_it_and_routes_the_rest() {
    let mut topology = with_queues(&["q", "r"]);
    let arguments = [("x-delayed-type".into(), text("direct"))];
    let config = ExchangeConfig::from_arguments("x-delayed-message", &arguments).unwrap();
    assert!(config.delayed && config.kind == ExchangeKind::Direct);
    topology.declare_exchange("later", config).unwrap();
    declare(&mut topology, "all", ExchangeKind::Fanout);
    bind(&mut topology, "later", "q", "k");
    link(&mut topology, "all", "later", "");
    bind(&mut topology, "all", "r", "");
    let longest = i64::from(u32::MAX);
    for (value, expected) in [
        (Value::Int(5_000), Some(5_000)),
        (Value::Int(-5_000), None),
        (Value::Int(0), None),
        (Value::Int(longest), Some(u64::from(u32::MAX))),
        (Value::Int(longest + 1), None),
        (Value::Float(7.9), Some(7)),
        (text("70"), Some(70)),
        (text("soon"), None),
    ] {
        let properties = headers(&[("x-delay", value)]);
        let publication = Publication { properties: Some(&properties), ..Publication::with_key(b"k") };
        for (exchange, at_once, later) in [("later", vec![], vec!["q"]), ("all", vec!["r"], vec!["q", "r"])] {
            let mut routed_there = Routed::default();
            topology.route(exchange.as_bytes(), &publication, &mut routed_there).unwrap();
            let held = routed_there.held_back().iter().map(|held| held.delay_ms);
            assert_eq!(held.collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
            assert!(!routed_there.is_unroutable());
            let reached = routed(&topology, exchange, &publication);
            assert_eq!(reached, if expected.is_some() { at_once } else { later });
        }
    }
}

#[test]
fn a_consistent_hash_shares_by_weight_and_moves_only_what_it_must() {
    let mut topology = with_queues(&["a", "b", "c"]);
    declare(&mut topology, "h", ExchangeKind::ConsistentHash(HashOn::Key));
    bind(&mut topology, "h", "a", "1");
    bind(&mut topology, "h", "b", "3");
    let spread = |topology: &Names| -> Vec<&str> {
        (0..20_000).map(|n| sent(topology, "h", &format!("order-{n}"))[0]).collect()
    };
    let before = spread(&topology);
    let share = before.iter().filter(|queue| **queue == "b").count();
    assert!((14_500..15_500).contains(&share), "three quarters, got {share}");
    bind(&mut topology, "h", "c", "1");
    let after = spread(&topology);
    assert!(before.iter().zip(&after).all(|(before, after)| before == after || *after == "c"));
    topology.remove_queue(b"c", &mut Vec::new());
    assert_eq!(spread(&topology), before);
    let refused = topology.bind_queue(b"h", b"a", b"heavy", Arguments::default());
    assert_eq!(refused, Err(BindError::Weight));
}

#[test]
fn many_queues_are_reached_once_each() {
    let mut topology: Topology<u32> = Topology::default();
    for n in 0..100_u32 {
        topology.add_queue(format!("q{n}").into_bytes(), false, n).unwrap();
        for key in [b"a", b"b"] {
            topology.bind_queue(b"amq.fanout", format!("q{n}").as_bytes(), key, Arguments::default()).unwrap();
            topology.bind_queue(b"amq.direct", format!("q{n}").as_bytes(), key, Arguments::default()).unwrap();
        }
    }
    let mut routed = Routed::default();
    let publication = Publication { extra_keys: &[b"b", b"a"], ..Publication::with_key(b"a") };
    for _ in 0..2 {
        topology.route(b"amq.direct", &publication, &mut routed).unwrap();
        assert_eq!(routed.targets().len(), 100);
    }
}
