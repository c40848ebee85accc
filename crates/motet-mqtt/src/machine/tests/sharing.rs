use super::bench::*;
use crate::packet::{Connect, Place, Property, QoS, Version::*};
use motet_core::fake::Plan;
use std::time::Duration;

fn lasting<'a>(client: &'a str, properties: &'a crate::packet::PropertiesBuf) -> Connect<'a> {
    Connect { properties: properties.as_properties(), ..hello(V5, client, false) }
}

#[test]
fn a_group_and_what_waits_for_it_survive_a_crash() {
    let keep = properties(Place::Connect, &[Property::SessionExpiryInterval(100)]);
    let mut bench = Bench::new();
    let mut ann = bench.join(lasting("ann", &keep));
    assert_eq!(bench.subscribe(&mut ann, "$share/g/a/#", QoS::AtLeastOnce), ["SUBACK [GrantedQoS1]"]);
    let mut bob = bench.join(hello(V311, "bob", true));
    assert_eq!(bench.say(&mut bob, &message(QoS::AtLeastOnce, 1, "a/1", "x")), ["PUBACK 1"]);
    assert_eq!(bench.hear(&mut ann), ["PUBLISH q1 #32768 a/1=x"]);
    bench.cut(&mut ann);
    assert_eq!(bench.say(&mut bob, &message(QoS::AtLeastOnce, 2, "a/2", "y")), ["PUBACK 2"]);
    bench.crash(0);
    let mut ann = bench.peer(V5);
    let said = bench.say(&mut ann, &lasting("ann", &keep));
    let expected = ["CONNACK present Success", "PUBLISH q1 #32768 a/1=x", "PUBLISH q1 #32769 a/2=y"];
    assert_eq!(said, expected);
    bench.puback(&mut ann, 32_768);
    bench.puback(&mut ann, 32_769);
    bench.crash(0);
    let mut ann = bench.peer(V5);
    assert_eq!(bench.say(&mut ann, &lasting("ann", &keep)), ["CONNACK present Success"]);
    let mut bob = bench.join(hello(V311, "bob", true));
    bench.say(&mut bob, &message(QoS::AtLeastOnce, 3, "a/3", "z"));
    assert_eq!(bench.hear(&mut ann), ["PUBLISH q1 #32768 a/3=z"], "still a member, by its record");
}

#[test]
fn a_shared_qos_2_message_waits_for_its_session_over_a_crash_with_its_identifier() {
    let keep = properties(Place::Connect, &[Property::SessionExpiryInterval(100)]);
    let mut bench = Bench::new();
    let mut ann = bench.join(lasting("ann", &keep));
    bench.subscribe(&mut ann, "$share/g/a", QoS::ExactlyOnce);
    let mut bob = bench.join(hello(V5, "bob", true));
    bench.say(&mut bob, &message(QoS::ExactlyOnce, 1, "a", "x"));
    assert_eq!(bench.hear(&mut ann), ["PUBLISH q2 #1 a=x"]);
    bench.crash(0);
    let mut cid = bench.join(lasting("cid", &keep));
    bench.subscribe(&mut cid, "$share/g/a", QoS::ExactlyOnce);
    assert!(bench.hear(&mut cid).is_empty());
    let mut ann = bench.peer(V5);
    assert_eq!(bench.say(&mut ann, &lasting("ann", &keep)), ["CONNACK present Success", "PUBLISH q2 #1 dup a=x"]);
    assert_eq!(bench.pubrec(&mut ann, 1), ["PUBREL 1"]);
    bench.pubcomp(&mut ann, 1);
}

#[test]
fn a_group_ends_with_the_session_of_its_last_member() {
    let keep = properties(Place::Connect, &[Property::SessionExpiryInterval(100)]);
    let mut bench = Bench::new();
    let mut ann = bench.join(lasting("ann", &keep));
    bench.subscribe(&mut ann, "$share/g/a", QoS::AtLeastOnce);
    bench.cut(&mut ann);
    assert_eq!(bench.core.queues(bench.core.vhost()).len(), 1);
    bench.pass(Duration::from_secs(101));
    assert!(bench.core.queues(bench.core.vhost()).is_empty());
    bench.crash(usize::MAX);
    assert!(bench.core.queues(bench.core.vhost()).is_empty());
}

#[test]
fn a_delayed_message_is_confirmed_when_it_is_on_disk_and_published_once_after_a_crash() {
    let keep = properties(Place::Connect, &[Property::SessionExpiryInterval(100)]);
    let mut bench = Bench::new();
    let mut ann = bench.join(lasting("ann", &keep));
    bench.subscribe(&mut ann, "a", QoS::AtLeastOnce);
    let mut bob = bench.join(hello(V5, "bob", true));
    bench.engine.set_plan(Plan { groups_max: Some(0), ..Plan::default() });
    assert!(bench.say(&mut bob, &message(QoS::AtLeastOnce, 1, "$delayed/10/a", "x")).is_empty());
    bench.engine.set_plan(Plan::default());
    assert_eq!(bench.hear(&mut bob), ["PUBACK 1"]);
    bench.crash(0);
    let mut ann = bench.peer(V5);
    assert_eq!(bench.say(&mut ann, &lasting("ann", &keep)), ["CONNACK present Success"]);
    bench.pass(Duration::from_millis(9_990));
    assert!(bench.hear(&mut ann).is_empty());
    bench.pass(Duration::from_millis(10));
    // Its body has to be read first; the next tick finds it.
    bench.step();
    bench.pass(Duration::ZERO);
    assert_eq!(bench.hear(&mut ann), ["PUBLISH q1 #1 a=x"]);
    bench.puback(&mut ann, 1);
    bench.crash(usize::MAX);
    bench.pass(Duration::from_secs(20));
    let mut ann = bench.peer(V5);
    assert_eq!(bench.say(&mut ann, &lasting("ann", &keep)), ["CONNACK present Success"]);
}
