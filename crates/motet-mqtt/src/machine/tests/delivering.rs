use super::bench::*;
use crate::packet::{Properties, Publish, QoS, Subscribe, Subscription, SubscriptionOptions, Version::*};
use motet_core::fake::Plan;

#[test]
fn qos_2_is_shown_only_when_it_is_durable() {
    let mut bench = Bench::new();
    let mut ann = bench.join(hello(V311, "ann", false));
    bench.subscribe(&mut ann, "a", QoS::ExactlyOnce);
    let mut bob = bench.join(hello(V311, "bob", false));
    bench.engine.set_plan(Plan { groups_max: Some(0), ..Plan::default() });
    bench.say(&mut bob, &message(QoS::ExactlyOnce, 1, "a", "x"));
    assert!(bench.hear(&mut ann).is_empty());
    bench.engine.set_plan(Plan::default());
    assert_eq!(bench.hear(&mut ann), ["PUBLISH q2 #1 a=x"]);
}

#[test]
fn a_start_knows_what_was_sent_to_whoever_had_gone_before() {
    let mut bench = Bench::new();
    let mut ann = bench.join(hello(V311, "ann", false));
    bench.subscribe(&mut ann, "a", QoS::AtLeastOnce);
    let mut bob = bench.join(hello(V311, "bob", true));
    bench.say(&mut bob, &message(QoS::AtLeastOnce, 1, "a", "x"));
    assert_eq!(bench.hear(&mut ann), ["PUBLISH q1 #1 a=x"]);
    bench.cut(&mut ann);
    bench.say(&mut bob, &message(QoS::AtLeastOnce, 2, "a", "y"));
    bench.crash(usize::MAX);
    let mut ann = bench.peer(V311);
    let said = bench.say(&mut ann, &hello(V311, "ann", false));
    assert_eq!(said, ["CONNACK present Success", "PUBLISH q1 #1 dup a=x", "PUBLISH q1 #2 a=y"]);
    // Only while nobody has the session it is known what nobody was sent.
    bench.crash(usize::MAX);
    let mut ann = bench.peer(V311);
    let said = bench.say(&mut ann, &hello(V311, "ann", false));
    assert_eq!(said, ["CONNACK present Success", "PUBLISH q1 #1 dup a=x", "PUBLISH q1 #2 dup a=y"]);
    bench.puback(&mut ann, 2);
    bench.cut(&mut ann);
    // What a start learned is written down again.
    let mut bob = bench.join(hello(V311, "bob", true));
    bench.say(&mut bob, &message(QoS::AtLeastOnce, 2, "a", "y"));
    bench.crash(usize::MAX);
    let mut ann = bench.peer(V311);
    let said = bench.say(&mut ann, &hello(V311, "ann", false));
    assert_eq!(said, ["CONNACK present Success", "PUBLISH q1 #1 dup a=x", "PUBLISH q1 #3 a=y"]);
}

#[test]
fn after_a_power_cut_what_was_not_acknowledged_comes_again_with_dup() {
    let mut bench = Bench::new();
    let mut ann = bench.join(hello(V311, "ann", false));
    bench.subscribe(&mut ann, "a", QoS::AtLeastOnce);
    let mut bob = bench.join(hello(V311, "bob", true));
    bench.say(&mut bob, &message(QoS::AtLeastOnce, 1, "a", "x"));
    assert_eq!(bench.hear(&mut ann), ["PUBLISH q1 #1 a=x"]);
    bench.crash(0);
    let mut ann = bench.peer(V311);
    let said = bench.say(&mut ann, &hello(V311, "ann", false));
    assert_eq!(said, ["CONNACK present Success", "PUBLISH q1 #1 dup a=x"]);
}

/// Retained values come page by page: none is lost, and what is live goes between the pages.
#[test]
fn a_hundred_thousand_retained_values_reach_one_new_subscriber_under_its_window() {
    const VALUES: usize = 100_000;
    let mut bench = Bench::new();
    let mut bob = bench.join(hello(V311, "bob", true));
    for start in (0..VALUES).step_by(1000) {
        let mut packets = Vec::new();
        for n in start..start + 1000 {
            let topic = format!("v/{}/{n}", n % 100);
            packets.extend(bytes(V311, &Publish { retain: true, ..message(QoS::AtMostOnce, 0, &topic, "x") }));
        }
        bench.send(&mut bob, &packets);
    }
    assert_eq!(bench.core.retained_count(), VALUES as u64);
    let mut ann = bench.join(hello(V311, "ann", true));
    let options = SubscriptionOptions { maximum_qos: QoS::AtMostOnce, ..Default::default() };
    let subscriptions = [Subscription { topic_filter: "v/#", options }].into_iter().collect();
    let subscribe = Subscribe { packet_identifier: id(1), properties: Properties::EMPTY, subscriptions };
    let lines = bench.say(&mut ann, &subscribe);
    let mut topics: Vec<_> = lines.iter().filter(|line| line.starts_with("PUBLISH q0 retain v/")).collect();
    topics.sort_unstable();
    topics.dedup();
    assert_eq!((lines.len(), topics.len()), (VALUES + 1, VALUES));
}
