use super::bench::*;
use crate::packet::{Place, Property, QoS, Version::*};
use motet_core::fake::Plan;
use std::sync::Arc;

const SLOW: Plan =
    Plan { groups_max: Some(0), reads_max: None, damaged_one_in: 0, moved_one_in: 0, pending_bytes_max: 64 << 20 };

#[test]
fn each_quality_of_service_is_answered_and_delivered() {
    let mut bench = Bench::new();
    let mut ann = bench.join(hello(V311, "ann", false));
    let mut bob = bench.join(hello(V311, "bob", false));
    assert_eq!(bench.subscribe(&mut ann, "a/+", QoS::ExactlyOnce), ["SUBACK [GrantedQoS2]"]);
    assert!(bench.say(&mut bob, &message(QoS::AtMostOnce, 0, "a/0", "x")).is_empty());
    assert_eq!(bench.say(&mut bob, &message(QoS::AtLeastOnce, 7, "a/1", "y")), ["PUBACK 7"]);
    assert_eq!(bench.say(&mut bob, &message(QoS::ExactlyOnce, 8, "a/2", "z")), ["PUBREC 8"]);
    assert_eq!(bench.pubrel(&mut bob, 8), ["PUBCOMP 8"]);
    assert_eq!(bench.hear(&mut ann), ["PUBLISH q0 a/0=x", "PUBLISH q1 #1 a/1=y", "PUBLISH q2 #2 a/2=z"]);
    assert!(bench.puback(&mut ann, 1).is_empty());
    assert_eq!(bench.pubrec(&mut ann, 2), ["PUBREL 2"]);
    assert!(bench.pubcomp(&mut ann, 2).is_empty());
}

#[test]
fn a_confirmation_waits_for_the_disk() {
    let mut bench = Bench::new();
    let mut ann = bench.join(hello(V311, "ann", false));
    bench.subscribe(&mut ann, "a", QoS::AtLeastOnce);
    let mut bob = bench.join(hello(V311, "bob", true));
    bench.engine.set_plan(SLOW);
    assert!(bench.say(&mut bob, &message(QoS::AtLeastOnce, 1, "a", "x")).is_empty());
    bench.engine.set_plan(Plan::default());
    assert_eq!(bench.hear(&mut bob), ["PUBACK 1"]);
}

#[test]
fn a_qos_2_message_that_comes_again_is_answered_and_not_published_again() {
    let mut bench = Bench::new();
    let mut ann = bench.join(hello(V5, "ann", true));
    bench.subscribe(&mut ann, "a", QoS::ExactlyOnce);
    let mut bob = bench.join(hello(V311, "bob", false));
    bench.say(&mut bob, &message(QoS::ExactlyOnce, 1, "a", "once"));
    bench.cut(&mut bob);
    bench.crash(0);
    let mut ann = bench.join(hello(V5, "ann", true));
    bench.subscribe(&mut ann, "a", QoS::ExactlyOnce);
    let mut bob = bench.join(hello(V311, "bob", false));
    assert_eq!(bench.say(&mut bob, &message(QoS::ExactlyOnce, 1, "a", "once")), ["PUBREC 1"]);
    assert_eq!(bench.pubrel(&mut bob, 1), ["PUBCOMP 1"]);
    assert!(bench.hear(&mut ann).is_empty());
    bench.say(&mut bob, &message(QoS::ExactlyOnce, 1, "a", "another"));
    assert_eq!(bench.hear(&mut ann), ["PUBLISH q2 #1 a=another"]);
}

#[test]
fn more_than_the_receive_maximum_ends_the_connection() {
    let mut bench = Bench::new();
    bench.config = std::sync::Arc::new(crate::Config { receive_maximum: 2, ..crate::Config::default() });
    let mut bob = bench.join(hello(V5, "bob", true));
    for n in 1..=2 {
        bench.say(&mut bob, &message(QoS::ExactlyOnce, n, "a", "x"));
    }
    let said = bench.say(&mut bob, &message(QoS::ExactlyOnce, 3, "a", "x"));
    assert_eq!(said, ["DISCONNECT ReceiveMaximumExceeded", "closed"]);
}

#[test]
fn an_alias_stands_for_its_topic_and_a_wrong_one_ends_the_connection() {
    let alias =
        |number| properties(Place::Publish, &[Property::TopicAlias(std::num::NonZeroU16::new(number).unwrap())]);
    let mut bench = Bench::new();
    let mut ann = bench.join(hello(V5, "ann", true));
    bench.subscribe(&mut ann, "a", QoS::AtMostOnce);
    let (unset, above) = (Err("ProtocolError"), Err("TopicAliasInvalid"));
    for (number, fine) in [(1, Ok(())), (64, Ok(())), (2, unset), (65, above)] {
        let mut bob = bench.join(hello(V5, "bob", true));
        let props = alias(number);
        if fine.is_ok() {
            let named =
                crate::packet::Publish { properties: props.as_properties(), ..message(QoS::AtMostOnce, 0, "a", "1") };
            bench.say(&mut bob, &named);
        }
        let short =
            crate::packet::Publish { properties: props.as_properties(), ..message(QoS::AtMostOnce, 0, "", "2") };
        let said = bench.say(&mut bob, &short);
        let heard = bench.hear(&mut ann);
        match fine {
            Ok(()) => assert_eq!(heard, ["PUBLISH q0 a=1", "PUBLISH q0 a=2"]),
            Err(why) => assert_eq!((said, heard.len()), (vec![format!("DISCONNECT {why}"), "closed".into()], 0)),
        }
    }
}

#[test]
fn an_answer_that_waits_through_a_stall_comes_after_it() {
    let mut bench = Bench::new();
    let mut ann = bench.join(hello(V311, "ann", false));
    bench.subscribe(&mut ann, "a", QoS::AtLeastOnce);
    let mut bob = bench.join(hello(V311, "bob", true));
    bench.engine.set_plan(SLOW);
    assert!(bench.say(&mut bob, &message(QoS::AtLeastOnce, 1, "a", "x")).is_empty());
    bench.engine.set_stalled(true);
    assert!(bench.hear(&mut bob).is_empty());
    bench.engine.set_stalled(false);
    assert!(bench.hear(&mut bob).is_empty());
    bench.engine.set_plan(Plan::default());
    bench.step();
    assert_eq!(bench.hear(&mut bob), ["PUBACK 1"]);
}

#[test]
fn a_session_is_opened_when_what_its_last_connection_left_is_durable() {
    let mut bench = Bench::new();
    let mut bob = bench.join(hello(V311, "bob", false));
    bench.engine.set_plan(SLOW);
    bench.say(&mut bob, &message(QoS::ExactlyOnce, 1, "a", "x"));
    let mut bob = bench.peer(V311);
    assert!(bench.say(&mut bob, &hello(V311, "bob", false)).is_empty());
    assert!(bench.say(&mut bob, &message(QoS::ExactlyOnce, 1, "a", "x")).is_empty());
    bench.engine.set_plan(Plan::default());
    assert_eq!(bench.hear(&mut bob), ["CONNACK present Success"]);
    assert_eq!(bench.send(&mut bob, &[]), ["PUBREC 1"]);
}

#[test]
fn a_clean_start_is_confirmed_when_the_former_session_is_gone_for_good() {
    let mut bench = Bench::new();
    let mut ann = bench.join(hello(V311, "ann", false));
    bench.subscribe(&mut ann, "a", QoS::AtLeastOnce);
    bench.engine.set_plan(SLOW);
    let mut again = bench.peer(V311);
    assert!(bench.say(&mut again, &hello(V311, "ann", true)).is_empty());
    // The power fails before the end is on disk: nobody was told that the session is gone, and it is not.
    bench.crash(0);
    let mut ann = bench.peer(V311);
    assert_eq!(bench.say(&mut ann, &hello(V311, "ann", false)), ["CONNACK present Success"]);
    // Nothing is kept of a new clean session, so nothing is waited for.
    bench.engine.set_plan(SLOW);
    let mut bob = bench.peer(V311);
    assert_eq!(bench.say(&mut bob, &hello(V311, "bob", true)), ["CONNACK Success"]);
}

#[test]
fn a_store_that_takes_nothing_refuses_the_connection_in_time() {
    let mut bench = Bench::new();
    bench.engine.set_plan(SLOW);
    let mut bob = bench.peer(V311);
    assert!(bench.say(&mut bob, &hello(V311, "bob", false)).is_empty());
    bench.pass(std::time::Duration::from_secs(60));
    assert_eq!(bench.timeout(&mut bob), ["CONNACK ServerUnavailable", "closed"]);
}

#[test]
fn a_store_that_says_no_refuses_what_grows_at_once() {
    let mut bench = Bench::new();
    let mut ann = bench.join(hello(V311, "ann", false));
    bench.subscribe(&mut ann, "a", QoS::AtLeastOnce);
    let mut short = bench.join(hello(V5, "short", true));
    bench.engine.set_stalled(true);
    let mut bob = bench.peer(V311);
    assert_eq!(bench.say(&mut bob, &hello(V311, "bob", false)), ["CONNACK ServerUnavailable", "closed"]);
    let told = bench.subscribe(&mut ann, "b", QoS::AtLeastOnce);
    assert_eq!(told, ["SUBACK [UnspecifiedError]"]);
    let told = bench.subscribe(&mut short, "b", QoS::AtLeastOnce);
    assert_eq!(told, ["SUBACK [GrantedQoS1]"], "nothing of it is kept");
}

#[test]
fn who_stages_more_than_the_disk_takes_is_not_read_from_whatever_it_asks_for() {
    let mut bench = Bench::new();
    Arc::make_mut(&mut bench.config).pending_bytes_high = 0;
    let mut ann = bench.join(hello(V311, "ann", false));
    bench.engine.set_plan(SLOW);
    assert!(bench.subscribe(&mut ann, "a", QoS::AtLeastOnce).is_empty());
    assert!(!ann.wants_input());
    bench.engine.set_plan(Plan::default());
    bench.step();
    assert_eq!(bench.hear(&mut ann), ["SUBACK [GrantedQoS1]"]);
    assert!(ann.wants_input());
}

/// A durable session with room for two messages, whose client is away.
fn room_for_two() -> Bench {
    let limits = motet_core::core::CoreLimits { session_queue_messages: 2, ..Default::default() };
    let mut bench = Bench::within(limits);
    let mut ann = bench.join(hello(V311, "ann", false));
    bench.subscribe(&mut ann, "a", QoS::ExactlyOnce);
    bench.cut(&mut ann);
    bench
}

/// Three messages in one read.
fn three(version: crate::packet::Version, qos: QoS) -> Vec<u8> {
    (1..=3).flat_map(|number| bytes(version, &message(qos, number, "a", "x"))).collect()
}

#[test]
fn what_was_taken_before_a_queue_was_full_is_acknowledged_as_taken() {
    for (qos, ack) in [(QoS::AtLeastOnce, "PUBACK"), (QoS::ExactlyOnce, "PUBREC")] {
        let mut bench = room_for_two();
        let mut bob = bench.join(hello(V5, "bob", false));
        let said = bench.send(&mut bob, &three(V5, qos));
        assert_eq!(said[..2], [format!("{ack} 1"), format!("{ack} 2")]);
        assert!(said[2].starts_with(&format!("{ack} 3 QuotaExceeded")), "{said:?}");
    }
}

#[test]
fn who_cannot_be_told_of_a_refusal_is_told_first_what_was_taken() {
    let mut bench = room_for_two();
    let mut bob = bench.join(hello(V311, "bob", false));
    assert_eq!(bench.send(&mut bob, &three(V311, QoS::AtLeastOnce)), ["PUBACK 1", "PUBACK 2", "closed"]);
    let mut bench = room_for_two();
    let mut bob = bench.join(hello(V311, "bob", false));
    bench.engine.set_plan(SLOW);
    assert!(bench.send(&mut bob, &three(V311, QoS::ExactlyOnce)).is_empty(), "not before it is durable");
    bench.engine.set_plan(Plan::default());
    assert_eq!(bench.hear(&mut bob), ["PUBREC 1", "PUBREC 2", "closed"]);
}

#[test]
fn a_qos_2_message_that_was_taken_beside_a_refused_one_is_not_taken_twice() {
    let mut bench = room_for_two();
    let mut bob = bench.join(hello(V311, "bob", false));
    bench.send(&mut bob, &three(V311, QoS::ExactlyOnce));
    bench.crash(usize::MAX);
    let mut bob = bench.join(hello(V311, "bob", false));
    assert_eq!(bench.send(&mut bob, &three(V311, QoS::ExactlyOnce)), ["PUBREC 1", "PUBREC 2", "PUBREC 3"]);
    let mut ann = bench.peer(V311);
    let mut heard = bench.say(&mut ann, &hello(V311, "ann", false));
    heard.extend(bench.hear(&mut ann));
    assert_eq!(heard.len(), 4, "1 and 2 once, and 3 from its second time: {heard:?}");
}
