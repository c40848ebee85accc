//! Declared, bound, and gone again.

use super::*;

#[test]
fn a_second_declaration_that_differs_names_both_values() {
    let mut topology = Names::default();
    let config = ExchangeConfig::durable(ExchangeKind::Topic);
    assert_eq!(topology.declare_exchange("x", config.clone()), Ok(true));
    assert_eq!(topology.declare_exchange("x", config.clone()), Ok(false));
    let other = ExchangeConfig { alternate: Some("y".into()), ..config.clone() };
    let refused = topology.declare_exchange("x", other).unwrap_err();
    assert_eq!(refused.to_string(), "exchange 'x' has alternate-exchange 'none', the declaration asks for 'y'");
    let refused = topology.declare_exchange("x", ExchangeConfig { durable: false, ..config.clone() }).unwrap_err();
    assert_eq!(refused.to_string(), "exchange 'x' has durable 'true', the declaration asks for 'false'");
    assert_eq!(topology.check_exchange(b"x"), Ok(&config));
    assert_eq!(topology.check_exchange(b"y"), Err(DeclareError::NotFound("y".into())));
    assert_eq!(topology.declare_exchange("amq.mine", config), Err(DeclareError::Reserved));
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_binding_and_takes_its_sources_along() {
    let mut topology = with_queues(&["q", "r"]);
    for name in ["first", "second"] {
        let config = ExchangeConfig { auto_delete: true, ..ExchangeConfig::durable(ExchangeKind::Fanout) };
        topology.declare_exchange(name, config).unwrap();
    }
    link(&mut topology, "first", "second", "");
    bind(&mut topology, "second", "q", "");
    bind(&mut topology, "second", "r", "");
    let mut changes = Vec::new();
    assert_eq!(topology.remove_queue(b"q", &mut changes), Some("q"));
    assert!(topology.exchange(b"second").is_some(), "another binding is left");
    changes.clear();
    topology.remove_queue(b"r", &mut changes);
    assert!(topology.exchange(b"first").is_none() && topology.exchange(b"second").is_none());
    let deleted = changes.iter().filter(|change| matches!(change, Change::ExchangeDeleted { .. })).count();
    assert_eq!((changes.len(), deleted), (4, 2));
}

#[test]
fn unused_and_internal_mean_what_they_say() {
    let mut topology = with_queues(&["q"]);
    let config = ExchangeConfig { internal: true, ..ExchangeConfig::durable(ExchangeKind::Fanout) };
    topology.declare_exchange("inner", config).unwrap();
    bind(&mut topology, "inner", "q", "");
    let mut changes = Vec::new();
    assert_eq!(topology.delete_exchange(b"inner", true, &mut changes), Err(DeleteError::InUse(1)));
    let mut routed = Routed::default();
    let publication = Publication::with_key(b"");
    let refused = topology.route(b"inner", &publication, &mut routed);
    assert_eq!(refused, Err(RouteError::Internal("inner".into())));
    let by_broker = Publication { by_peer: false, ..publication };
    topology.route(b"inner", &by_broker, &mut routed).unwrap();
    assert_eq!(routed.targets().len(), 1);
    assert_eq!(topology.delete_exchange(b"inner", false, &mut changes), Ok(true));
    assert_eq!(topology.delete_exchange(b"inner", false, &mut changes), Ok(false));
}

#[test]
fn a_binding_is_itself_by_key_and_arguments() {
    let mut topology = with_queues(&["q"]);
    let with = |n| Arguments::new([("n".into(), Value::Int(n))]);
    for (arguments, changed) in [(with(1), true), (with(1), false), (with(2), true)] {
        assert_eq!(topology.bind_queue(b"amq.fanout", b"q", b"k", arguments).unwrap().changed, changed);
    }
    let mut changes = Vec::new();
    assert!(!topology.unbind_queue(b"amq.fanout", b"q", b"k", &with(3), &mut changes).unwrap());
    assert!(topology.unbind_queue(b"amq.fanout", b"q", b"k", &with(1), &mut changes).unwrap());
    assert_eq!(sent(&topology, "amq.fanout", ""), ["q"]);
    assert!(topology.unbind_queue(b"amq.fanout", b"q", b"k", &with(2), &mut changes).unwrap());
    assert!(sent(&topology, "amq.fanout", "").is_empty());
}

#[test]
fn two_spellings_of_a_pattern_are_two_bindings_of_one_subscription() {
    let mut topology = with_queues(&["a"]);
    declare(&mut topology, "t", ExchangeKind::Topic);
    bind(&mut topology, "t", "a", "x.#");
    topology.bind_queue(b"t", b"a", b"x.#", Arguments::new([("n".into(), Value::Int(1))])).unwrap();
    let mut changes = Vec::new();
    assert!(topology.unbind_queue(b"t", b"a", b"x.#", &Arguments::default(), &mut changes).unwrap());
    assert_eq!(sent(&topology, "t", "x.y"), ["a"], "the other one is still there");
}

#[test]
fn the_topic_tree_s_bindings_are_reported_and_routes_by_it_go_on() {
    let mut topology = with_queues(&["q", "r"]);
    let bound = topology.bind_queue(b"amq.topic", b"q", b"a.#", Arguments::default()).unwrap();
    let (pattern, target) = bound.tree.expect("a binding of the topic tree");
    assert!(bound.changed && bound.durable);
    declare(&mut topology, "x", ExchangeKind::Fanout);
    link(&mut topology, "x", "amq.topic", "");
    bind(&mut topology, "amq.fanout", "r", "");
    let further = topology.bind_exchange(b"amq.topic", b"amq.fanout", b"a.*", Arguments::default()).unwrap();

    let (publication, mut routed) = (Publication::with_key(b"a.b"), Routed::default());
    topology.route(b"x", &publication, &mut routed).unwrap();
    assert!(routed.reaches_tree());
    assert!(routed.targets().is_empty() && !routed.is_unroutable());
    topology.route_on([target, further.tree.unwrap().1], &publication, &mut routed);
    assert_eq!(routed.targets().len(), 2);

    let mut changes = Vec::new();
    topology.remove_queue(b"q", &mut changes);
    assert!(changes.contains(&Change::TreeUnbind(pattern, target)));
}

#[test]
fn a_pattern_leaves_the_topic_tree_with_its_last_key() {
    let mut topology = with_queues(&["q"]);
    bind(&mut topology, "amq.topic", "q", "a.b");
    topology.bind_queue(b"amq.topic", b"q", b"a.b", Arguments::new([("n".into(), Value::Int(1))])).unwrap();
    let mut changes = Vec::new();
    topology.unbind_queue(b"amq.topic", b"q", b"a.b", &Arguments::default(), &mut changes).unwrap();
    assert_eq!(changes.len(), 1, "another binding still means it");
    topology.remove_queue(b"q", &mut changes);
    assert!(matches!(changes[2], Change::TreeUnbind(..)));
}
