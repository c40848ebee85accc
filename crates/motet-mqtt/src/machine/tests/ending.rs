use super::bench::*;
use crate::packet::{Properties, QoS, Version::*};
use std::time::Duration;

#[test]
fn a_takeover_closes_the_old_connection_and_keeps_the_session() {
    let mut bench = Bench::new();
    let mut old = bench.join(hello(V5, "ann", true));
    let mut new = bench.peer(V5);
    assert_eq!(bench.say(&mut new, &hello(V5, "ann", true)), ["CONNACK Success"]);
    assert_eq!(bench.hear(&mut old), ["DISCONNECT SessionTakenOver", "closed"]);
    let mut first = bench.join(hello(V311, "bob", false));
    let mut second = bench.peer(V311);
    assert_eq!(bench.say(&mut second, &hello(V311, "bob", false)), ["CONNACK present Success"]);
    assert_eq!(bench.hear(&mut first), ["closed"]);
}

/// Bob, with a will, and another connection that wants to be bob; ann hears everything.
fn two_bobs(bench: &mut Bench) -> (Peer, Peer, Peer) {
    let mut ann = bench.join(hello(V311, "ann", true));
    bench.subscribe(&mut ann, "#", QoS::AtMostOnce);
    let mut connect = hello(V5, "bob", false);
    connect.will = Some(will("will", "gone", Properties::EMPTY));
    let old = bench.join(connect);
    old.leaves_when_asked();
    let mut new = bench.peer(V5);
    assert!(bench.say(&mut new, &hello(V5, "bob", false)).is_empty(), "the other one is heard out first");
    (ann, old, new)
}

#[test]
fn a_client_that_says_goodbye_and_comes_again_at_once_is_heard_to_the_end() {
    let mut bench = Bench::new();
    let (mut ann, mut old, mut new) = two_bobs(&mut bench);
    assert!(bench.hear(&mut old).is_empty());
    bench.say(&mut old, &message(QoS::AtMostOnce, 0, "last", "words"));
    assert_eq!(bench.goodbye(&mut old), ["closed"]);
    assert_eq!(bench.hear(&mut new), ["CONNACK Success"]);
    assert_eq!(bench.hear(&mut ann), ["PUBLISH q0 last=words"], "and its will is not published");
}

#[test]
fn who_has_read_everything_leaves_the_session_to_who_waits_for_it() {
    let mut bench = Bench::new();
    let (mut ann, mut old, mut new) = two_bobs(&mut bench);
    assert!(bench.hear(&mut old).is_empty());
    assert_eq!(bench.quiet(&mut old).unwrap(), ["DISCONNECT SessionTakenOver", "closed"]);
    assert_eq!(bench.hear(&mut new), ["CONNACK Success"]);
    assert_eq!(bench.hear(&mut ann), ["PUBLISH q0 will=gone"]);
    assert_eq!(bench.quiet(&mut new), None, "nobody waits for this one");
}

#[test]
fn who_breaks_off_leaves_the_session_too() {
    let mut bench = Bench::new();
    let (_, mut old, mut new) = two_bobs(&mut bench);
    bench.cut(&mut old);
    drop(old);
    assert_eq!(bench.hear(&mut new), ["CONNACK Success"]);
}

#[test]
fn who_does_not_leave_in_time_loses_the_session() {
    let mut bench = Bench::new();
    let (_, mut old, mut new) = two_bobs(&mut bench);
    bench.pass(Duration::from_millis(249));
    assert!(bench.timeout(&mut new).is_empty());
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.timeout(&mut new), ["CONNACK Success"]);
    assert_eq!(bench.hear(&mut old), ["DISCONNECT SessionTakenOver", "closed"]);
}

#[test]
fn what_a_connection_says_after_it_was_taken_over_is_not_published() {
    let mut bench = Bench::new();
    let mut ann = bench.join(hello(V311, "ann", false));
    bench.subscribe(&mut ann, "a", QoS::ExactlyOnce);
    let mut old = bench.join(hello(V311, "bob", false));
    let mut new = bench.join(hello(V311, "bob", false));
    bench.say(&mut old, &message(QoS::ExactlyOnce, 1, "a", "once"));
    assert_eq!(bench.say(&mut new, &message(QoS::ExactlyOnce, 1, "a", "once")), ["PUBREC 1"]);
    assert_eq!(bench.hear(&mut ann), ["PUBLISH q2 #1 a=once"]);
}

#[test]
fn a_3_1_1_client_whose_message_is_refused_is_sent_away_without_an_answer() {
    let mut bench = Bench::new();
    let mut ann = bench.join(hello(V311, "ann", false));
    bench.subscribe(&mut ann, "a", QoS::AtLeastOnce);
    let mut bob = bench.join(hello(V311, "bob", false));
    bench.engine.set_stalled(true);
    assert_eq!(bench.say(&mut bob, &message(QoS::AtLeastOnce, 1, "a", "x")), ["closed"]);
}

#[test]
fn a_will_is_published_when_the_keep_alive_expires_even_while_the_store_refuses() {
    let mut bench = Bench::new();
    let mut ann = bench.join(hello(V311, "ann", true));
    bench.subscribe(&mut ann, "will", QoS::AtLeastOnce);
    let mut connect = hello(V311, "bob", true);
    connect.keep_alive_secs = 10;
    connect.will = Some(will("will", "gone", Properties::EMPTY));
    let mut bob = bench.join(connect);
    bench.engine.set_stalled(true);
    bench.pass(Duration::from_secs(15));
    assert!(bob.deadline().is_some_and(|at| at <= bench.now.instant));
    assert_eq!(bench.timeout(&mut bob), ["closed"]);
    assert_eq!(bench.hear(&mut ann), ["PUBLISH q1 #1 will=gone"]);
}

/// Found by the simulation, seed 9918: the will was forgotten in one group and published in the next.
#[test]
fn a_power_cut_at_any_moment_leaves_a_will_or_its_message() {
    for keep in 0..4 {
        let mut bench = Bench::new();
        let mut ann = bench.join(hello(V311, "ann", false));
        bench.subscribe(&mut ann, "will", QoS::AtLeastOnce);
        bench.cut(&mut ann);
        let mut connect = hello(V311, "bob", false);
        connect.will = Some(will("will", "gone", Properties::EMPTY));
        let mut bob = bench.join(connect);
        bench.prompt = false;
        bench.cut(&mut bob);
        bench.crash(keep);
        bench.prompt = true;
        let mut ann = bench.peer(V311);
        let said = bench.say(&mut ann, &hello(V311, "ann", false));
        assert_eq!(said, ["CONNACK present Success", "PUBLISH q1 #1 will=gone"], "{keep} groups survive");
    }
}

#[test]
fn a_goodbye_takes_the_will_back() {
    let mut bench = Bench::new();
    let mut ann = bench.join(hello(V311, "ann", true));
    bench.subscribe(&mut ann, "will", QoS::AtLeastOnce);
    let mut connect = hello(V311, "bob", true);
    connect.will = Some(will("will", "gone", Properties::EMPTY));
    let mut bob = bench.join(connect);
    assert!(bob.wants_input());
    assert_eq!(bench.goodbye(&mut bob), ["closed"]);
    assert!(bench.hear(&mut ann).is_empty());
}
