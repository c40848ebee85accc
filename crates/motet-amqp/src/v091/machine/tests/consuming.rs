//! Consuming, fetching, settling, and what other faces say.

use super::bench::*;
use crate::v091::packet::*;
use motet_core::message::{Properties as Canonical, ReplyAddress, Value};
use motet_core::name::Name;

#[test]
fn a_prefetch_bounds_what_is_on_its_way() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", false);
    for body in ["1", "2", "3", "4"] {
        bench.publish(&mut peer, "", "q", body);
    }
    assert_eq!(bench.qos(&mut peer, 2, false), ["1 basic.qos-ok"]);
    let told = bench.consume(&mut peer, "q", "c", false);
    assert_eq!(told, ["1 basic.consume-ok c", "1 deliver c #1 :q '1'", "1 deliver c #2 :q '2'"]);
    assert_eq!(bench.ack(&mut peer, 2, false), ["1 deliver c #3 :q '3'"]);
    assert_eq!(bench.ack(&mut peer, 3, true), ["1 deliver c #4 :q '4'"]);
}

#[test]
fn a_global_prefetch_bounds_the_channel() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    for queue in ["a", "b"] {
        bench.declare(&mut peer, queue, false);
        for _ in 0..3 {
            bench.publish(&mut peer, "", queue, "x");
        }
    }
    bench.qos(&mut peer, 3, true);
    bench.consume(&mut peer, "a", "a", false);
    assert_eq!(bench.consume(&mut peer, "b", "b", false), ["1 basic.consume-ok b"]);
    assert_eq!(bench.ack(&mut peer, 2, true), ["1 deliver b #4 :b 'x'", "1 deliver b #5 :b 'x'"]);
}

#[test]
fn what_is_requeued_comes_again_at_its_place() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", false);
    for body in ["1", "2", "3"] {
        bench.publish(&mut peer, "", "q", body);
    }
    for _ in 0..3 {
        bench.get(&mut peer, "q", false);
    }
    bench.say(&mut peer, 1, &basic::Nack { delivery_tag: 2, multiple: true, requeue: true });
    assert_eq!(bench.get(&mut peer, "q", false), ["1 get-ok #4 again :q left 1 '1'"]);
    assert_eq!(bench.say(&mut peer, 1, &basic::Recover { requeue: true }), ["1 basic.recover-ok"]);
    let told: Vec<_> = (0..3).flat_map(|_| bench.get(&mut peer, "q", true)).collect();
    assert_eq!(
        told,
        ["1 get-ok #5 again :q left 2 '1'", "1 get-ok #6 again :q left 1 '2'", "1 get-ok #7 again :q left 0 '3'"]
    );
}

#[test]
fn an_unknown_delivery_tag_ends_the_channel_and_gives_back_what_it_held() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", false);
    bench.publish(&mut peer, "", "q", "x");
    bench.get(&mut peer, "q", false);
    let text = "406 PRECONDITION_FAILED - unknown delivery tag 7 (60.80)";
    assert_eq!(bench.ack(&mut peer, 7, false), [format!("1 channel.close {text}")]);
    let mut other = bench.join();
    assert_eq!(bench.get(&mut other, "q", true), ["1 get-ok #1 again :q left 0 'x'"]);
}

#[test]
fn consumers_hear_of_their_end() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", false);
    bench.consume(&mut peer, "q", "c", false);
    let mut other = bench.join();
    let delete =
        queue::Delete { reserved_1: Reserved::NONE, queue: "q", if_unused: false, if_empty: false, no_wait: false };
    let in_use = "406 PRECONDITION_FAILED - queue 'q' in vhost '/' in use (50.40)";
    let told = bench.say(&mut other, 1, &queue::Delete { if_unused: true, ..delete });
    assert_eq!(told, [format!("1 channel.close {in_use}")]);
    let mut other = bench.join();
    assert_eq!(bench.say(&mut other, 1, &delete), ["1 queue.delete-ok 0"]);
    assert_eq!(bench.hear(&mut peer), ["1 basic.cancel c"]);
    assert_eq!(bench.say(&mut other, 1, &delete), ["1 queue.delete-ok 0"]);
}

#[test]
fn consumer_tags_are_used_once_and_exclusive_use_is_exclusive() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", false);
    bench.consume(&mut peer, "q", "c", false);
    let reuse = "530 NOT_ALLOWED - attempt to reuse consumer tag 'c' (60.20)";
    let mut other = bench.join();
    let told = bench.say(&mut other, 1, &basic::Consume { exclusive: true, ..consumption("q", "d") });
    assert_eq!(told, ["1 channel.close 403 ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use (60.20)"]);
    assert_eq!(bench.consume(&mut peer, "q", "c", false), [format!("0 connection.close {reuse}")]);
}

#[test]
fn queues_and_exchanges_are_refused_in_rabbitmqs_words() {
    let mut bench = Bench::new();
    let mut arguments = TableBuf::new();
    arguments.push("x-max-length", FieldValue::I32(5));
    let mut refuse = |work: &dyn Fn(&mut Bench, &mut Peer) -> Lines, text: &str| {
        let mut peer = bench.join();
        let told = work(&mut bench, &mut peer);
        assert_eq!(told, [format!("1 channel.close {text}")]);
    };
    refuse(
        &|b, p| b.say(p, 1, &queue::Declare { passive: true, ..declaration("x") }),
        "404 NOT_FOUND - no queue 'x' in vhost '/' (50.10)",
    );
    refuse(&|b, p| b.consume(p, "x", "c", false), "404 NOT_FOUND - no queue 'x' in vhost '/' (60.20)");
    refuse(&|b, p| b.get(p, "", false), "404 NOT_FOUND - no previously declared queue (60.70)");
    refuse(
        &|b, p| {
            b.declare(p, "d", false);
            b.declare(p, "d", true)
        },
        "406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'd' in vhost '/': received 'true' but current is 'false' (50.10)",
    );
    refuse(
        &|b, p| b.declare_with(p, "d", false, arguments.as_table()),
        "406 PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'd' in vhost '/': received the value '5' of type 'signedint' but current is none (50.10)",
    );
    refuse(
        &|b, p| b.declare(p, "amq.mine", false),
        "403 ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*' (50.10)",
    );
    refuse(&|b, p| b.bind(p, "d", "nowhere", ""), "404 NOT_FOUND - no exchange 'nowhere' in vhost '/' (50.20)");
    refuse(
        &|b, p| b.bind(p, "d", "", ""),
        "403 ACCESS_REFUSED - operation not permitted on the default exchange (50.20)",
    );
    refuse(
        &|b, p| b.say(p, 1, &exchange_declaration("e", "strange")),
        "406 PRECONDITION_FAILED - unknown exchange type 'strange' (40.10)",
    );
    refuse(
        &|b, p| b.say(p, 1, &exchange_declaration("amq.e", "direct")),
        "403 ACCESS_REFUSED - exchange name 'amq.e' contains reserved prefix 'amq.*' (40.10)",
    );
    refuse(
        &|b, p| b.say(p, 1, &exchange_declaration("amq.direct", "fanout")),
        "406 PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.direct' in vhost '/': received 'fanout' but current is 'direct' (40.10)",
    );
    refuse(
        &|b, p| {
            b.say(
                p,
                1,
                &exchange::Delete {
                    reserved_1: Reserved::NONE,
                    exchange: "amq.direct",
                    if_unused: false,
                    no_wait: false,
                },
            )
        },
        "403 ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed (40.20)",
    );
    let mut owner = bench.join();
    bench.say(&mut owner, 1, &queue::Declare { exclusive: true, ..declaration("mine") });
    let mut other = bench.join();
    let told = bench.say(&mut other, 1, &queue::Declare { passive: true, ..declaration("mine") });
    assert!(
        told[0].starts_with(
            "1 channel.close 405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine' in vhost '/'."
        ),
        "{told:?}"
    );
    bench.cut(&mut owner);
    let mut other = bench.join();
    let told = bench.say(&mut other, 1, &queue::Declare { passive: true, ..declaration("mine") });
    assert_eq!(told, ["1 channel.close 404 NOT_FOUND - no queue 'mine' in vhost '/' (50.10)"]);
}

#[test]
fn a_dead_letter_tells_its_story_as_rabbitmq_does() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    let mut arguments = TableBuf::new();
    arguments.push("x-dead-letter-exchange", FieldValue::Text(b""));
    arguments.push("x-dead-letter-routing-key", FieldValue::Text(b"dead"));
    bench.declare(&mut peer, "dead", false);
    bench.declare_with(&mut peer, "work", false, arguments.as_table());
    let mut headers = TableBuf::new();
    headers.push("kept", FieldValue::I32(1));
    let properties = Properties { headers: Some(headers.as_table()), expiration: Some(b"60000"), ..persistent() };
    bench.publish_with(&mut peer, "", "work", "x", properties, false);
    bench.get(&mut peer, "work", false);
    bench.say(&mut peer, 1, &basic::Reject { delivery_tag: 1, requeue: false });
    let told = bench.get(&mut peer, "dead", true);
    assert_eq!(
        told,
        [
            "1 get-ok #2 :dead left 0 mode=2 kept=1 x-death=[{count=1 reason=rejected queue=work time=Timestamp(1000000) \
          exchange= routing-keys=[work] original-expiration=60000}] x-first-death-exchange= x-first-death-queue=work \
          x-first-death-reason=rejected x-last-death-exchange= x-last-death-queue=work x-last-death-reason=rejected 'x'"
        ]
    );
}

#[test]
fn the_topic_tree_is_amq_topic() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", false);
    assert_eq!(bench.bind(&mut peer, "q", "amq.topic", "sensors.*.temperature"), ["1 queue.bind-ok"]);
    bench.consume(&mut peer, "q", "c", true);
    let properties = Canonical {
        content_type: Some("text/plain".into()),
        reply_to: Some(ReplyAddress::Topic(Name::from_segments(["replies", "7"]).unwrap())),
        correlation: Some(bytes::Bytes::from_static(b"42")),
        headers: vec![("unit".into(), Value::Text("°C".into()))],
        ..Canonical::default()
    };
    bench.publish_topic("sensors/a.b/temperature", "21", Some(Box::new(properties)));
    assert_eq!(
        bench.hear(&mut peer),
        ["1 deliver c #1 amq.topic:sensors.a%2Eb.temperature type=text/plain correlation=42 \
          reply-to=amq.topic.reply.replies.7 mode=2 unit=°C '21'"]
    );
    // A worker that answers to the reply address answers the device.
    bench.bind(&mut peer, "q", "amq.topic", "replies.#");
    let told = bench.publish(&mut peer, "", "amq.topic.reply.replies.7", "done");
    assert_eq!(told, ["1 deliver c #2 amq.topic:replies.7 'done'"]);
}

#[test]
fn a_reply_needs_no_queue_of_ones_own() {
    let mut bench = Bench::new();
    let (mut asker, mut worker) = (bench.join(), bench.join());
    bench.declare(&mut worker, "rpc", false);
    bench.consume(&mut worker, "rpc", "w", true);
    assert_eq!(bench.consume(&mut asker, "amq.rabbitmq.reply-to", "r", true), ["1 basic.consume-ok r"]);
    let ask =
        Properties { reply_to: Some(b"amq.rabbitmq.reply-to"), correlation_id: Some(b"7"), ..Properties::default() };
    bench.publish_with(&mut asker, "", "rpc", "question", ask, false);
    let heard = bench.hear(&mut worker).join("");
    let reply_to = heard.split("reply-to=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
    let answer = Properties { correlation_id: Some(b"7"), ..Properties::default() };
    bench.publish_with(&mut worker, "", &reply_to, "answer", answer, false);
    assert_eq!(bench.hear(&mut asker), [format!("1 deliver r #1 :{reply_to} correlation=7 'answer'")]);
}

#[test]
fn what_was_published_before_a_consumer_goes_is_still_its_own() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", false);
    bench.consume(&mut peer, "q", "c", true);
    let mut all = message("", "q", b"1", Properties::default(), false);
    let mut end = bytes::BytesMut::new();
    put_method(&mut end, 1, &basic::Cancel { consumer_tag: "c", no_wait: false });
    all.extend(end);
    assert_eq!(bench.send(&mut peer, &all), ["1 deliver c #1 :q '1'", "1 basic.cancel-ok c"]);
    bench.consume(&mut peer, "q", "d", true);
    let mut all = message("", "q", b"2", Properties::default(), false);
    let mut end = bytes::BytesMut::new();
    let delete =
        queue::Delete { reserved_1: Reserved::NONE, queue: "q", if_unused: false, if_empty: true, no_wait: false };
    put_method(&mut end, 1, &delete);
    all.extend(end);
    let told = bench.send(&mut peer, &all);
    assert_eq!(told[..2], ["1 deliver d #2 :q '2'", "1 queue.delete-ok 0"]);
}

#[test]
fn a_fetch_beside_a_waiting_consumer_finds_what_is_left_for_it() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", false);
    bench.consume(&mut peer, "q", "c", false);
    let mut all = message("", "q", b"1", Properties::default(), false);
    let mut end = bytes::BytesMut::new();
    put_method(&mut end, 1, &basic::Get { reserved_1: Reserved::NONE, queue: "q", no_ack: true });
    all.extend(end);
    assert_eq!(bench.send(&mut peer, &all), ["1 get-empty", "1 deliver c #1 :q '1'"]);
}

#[test]
fn a_global_prefetch_counts_deliveries_and_keeps_nothing_from_others() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", false);
    for body in ["0", "1", "2", "3", "4", "5"] {
        bench.publish(&mut peer, "", "q", body);
    }
    bench.qos(&mut peer, 2, true);
    let told = bench.consume(&mut peer, "q", "c", false);
    assert_eq!(told, ["1 basic.consume-ok c", "1 deliver c #1 :q '0'", "1 deliver c #2 :q '1'"]);
    assert_eq!(bench.get(&mut peer, "q", false), ["1 get-ok #3 :q left 3 '2'"]);
    assert_eq!(bench.ack(&mut peer, 1, false), ["1 deliver c #4 :q '3'"]);
    let mut other = bench.join();
    assert_eq!(bench.consume(&mut other, "q", "o", true)[1..], ["1 deliver o #1 :q '4'", "1 deliver o #2 :q '5'"]);
}
