use super::bench::*;
use crate::packet::{QoS, Version, Version::*};
use motet_core::core::govern::LimitOf;
use std::collections::BTreeMap;

/// A durable session whose client is away, in a vhost whose queues may keep 100 bytes on disk.
fn bench() -> Bench {
    let mut bench = Bench::new();
    let mut ann = bench.join(hello(V311, "ann", false));
    bench.subscribe(&mut ann, "a", QoS::AtLeastOnce);
    bench.cut(&mut ann);
    bench.core.set_limits(LimitOf::Vhost("/"), &BTreeMap::from([("max-disk-bytes".into(), 100)])).expect("short");
    bench
}

fn publish(bench: &mut Bench, peer: &mut Peer, identifier: u16) -> Lines {
    bench.say(peer, &message(QoS::AtLeastOnce, identifier, "a", &"x".repeat(150)))
}

fn drain(bench: &mut Bench, version: Version) -> usize {
    let mut ann = bench.peer(version);
    let got = bench.say(&mut ann, &hello(version, "ann", false));
    let got = got.len() - 1 + bench.hear(&mut ann).len();
    for identifier in 1..=got as u16 {
        bench.puback(&mut ann, identifier);
    }
    got
}

#[test]
fn beyond_its_vhosts_quota_a_publisher_is_refused_until_there_is_room() {
    let mut bench = bench();
    let mut bob = bench.join(hello(V5, "bob", true));
    assert_eq!(publish(&mut bench, &mut bob, 1), ["PUBACK 1"]);
    let said = publish(&mut bench, &mut bob, 2);
    assert!(said[0].starts_with("PUBACK 2 QuotaExceeded"), "{said:?}");
    assert!(!bob.is_held(), "who is told is read from");
    assert_eq!(drain(&mut bench, V311), 1);
    assert_eq!(publish(&mut bench, &mut bob, 3), ["PUBACK 3"]);
}

#[test]
fn who_cannot_be_told_is_not_read_from_until_there_is_room() {
    let mut bench = bench();
    let mut bob = bench.join(hello(V311, "bob", true));
    assert_eq!(publish(&mut bench, &mut bob, 1), ["PUBACK 1"]);
    assert!(bob.is_held());
    assert_eq!(drain(&mut bench, V311), 1);
    bench.hear(&mut bob);
    assert!(!bob.is_held() && !bob.closed);
    assert_eq!(publish(&mut bench, &mut bob, 2), ["PUBACK 2"]);
}

#[test]
fn what_no_queue_keeps_needs_no_room() {
    let mut bench = bench();
    let mut bob = bench.join(hello(V5, "bob", true));
    publish(&mut bench, &mut bob, 1);
    let mut eve = bench.join(hello(V5, "eve", true));
    bench.subscribe(&mut eve, "live", QoS::AtMostOnce);
    assert_eq!(bench.say(&mut bob, &message(QoS::AtLeastOnce, 2, "live", "x")), ["PUBACK 2"]);
    assert_eq!(bench.hear(&mut eve), ["PUBLISH q0 live=x"]);
}
