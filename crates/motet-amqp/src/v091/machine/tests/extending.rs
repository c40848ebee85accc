//! What RabbitMQ's clients expect beyond the methods: alarms, default types, groups.

use super::bench::*;
use motet_core::conversation::Held;
use motet_core::core::govern::VhostAbout;

/// An alarm is raised or ends; what the peer is told.
fn alarm(bench: &mut Bench, peer: &mut Peer, why: Option<&str>) -> Lines {
    bench.call(peer, |machine, cx, _| machine.handle_alarm(cx, why))
}

fn held(peer: &Peer) -> Held {
    peer.mailbox.conversation().expect("it was let in").held()
}

#[test]
fn an_alarm_is_told_at_once_to_who_has_published_and_to_others_when_they_do() {
    let mut bench = Bench::new();
    let (mut publisher, mut listener) = (bench.join(), bench.join());
    bench.publish(&mut publisher, "", "nobody", "x");
    assert_eq!(alarm(&mut bench, &mut publisher, Some("low on memory")), ["0 connection.blocked low on memory"]);
    assert_eq!(alarm(&mut bench, &mut listener, Some("low on memory")), [""; 0]);
    assert_eq!((held(&publisher), held(&listener)), (Held::Blocked, Held::Blocking));
    assert_eq!(bench.publish(&mut listener, "", "nobody", "x"), ["0 connection.blocked low on memory"]);
    assert_eq!(held(&listener), Held::Blocked);
    for peer in [&mut publisher, &mut listener] {
        assert_eq!(alarm(&mut bench, peer, None), ["0 connection.unblocked"]);
        assert_eq!(held(peer), Held::Running);
    }
    let mut silent = bench.join();
    alarm(&mut bench, &mut silent, Some("low on disk"));
    assert_eq!(alarm(&mut bench, &mut silent, None), [""; 0], "it was told of none");
    assert_eq!(held(&silent), Held::Running);
}

#[test]
fn a_vhosts_default_type_holds_where_none_is_named() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    let about = VhostAbout { default_queue_type: Some("quorum".into()), ..VhostAbout::default() };
    bench.core.set_vhost_about(bench.core.vhost(), &about).unwrap();
    for _ in 0..2 {
        assert_eq!(bench.declare(&mut peer, "q", true), ["1 queue.declare-ok q 0 0"]);
    }
    bench.declare(&mut peer, "passing", false);
    let kind = |name: &[u8]| bench.core.find_queue(bench.core.vhost(), name).unwrap().queue_type();
    assert_eq!((kind(b"q"), kind(b"passing")), ("quorum", "classic"));
}

#[test]
fn a_group_that_is_declared_or_consumed_hears_what_it_shares() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    assert_eq!(bench.declare(&mut peer, "$share/g/a/#", true), ["1 queue.declare-ok $share/g/a/# 0 0"]);
    bench.publish_with(&mut peer, "amq.topic", "a.b", "kept", persistent(), false);
    assert_eq!(bench.declare(&mut peer, "$share/g/a/#", false), ["1 queue.declare-ok $share/g/a/# 1 0"]);
    let mut other = bench.join();
    assert_eq!(bench.consume(&mut other, "$share/h/a/+", "c", true), ["1 basic.consume-ok c"]);
    bench.publish_with(&mut peer, "amq.topic", "a.b", "both", persistent(), false);
    assert_eq!(bench.hear(&mut other), ["1 deliver c #1 amq.topic:a.b mode=2 'both'"]);
    bench.cut(&mut other);
    let exists = |bench: &Bench, name: &[u8]| bench.core.find_queue(bench.core.vhost(), name).is_some();
    assert!(!exists(&bench, b"$share/h/a/+"), "it ends with its last consumer");
    bench.crash();
    assert!(exists(&bench, b"$share/g/a/#"), "what was declared stays");
    let mut peer = bench.join();
    let text =
        "406 PRECONDITION_FAILED - queue '$share/nothing' in vhost '/' names no group and filter to share (50.10)";
    assert_eq!(bench.declare(&mut peer, "$share/nothing", true), [format!("1 channel.close {text}")]);
}
