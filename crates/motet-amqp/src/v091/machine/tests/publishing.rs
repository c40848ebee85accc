//! Publishing, its answers, and its mistakes.

use super::bench::*;
use crate::v091::packet::*;
use bytes::{BufMut, BytesMut};

#[test]
fn a_message_goes_through_a_queue_to_its_consumer() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    assert_eq!(bench.declare(&mut peer, "q", false), ["1 queue.declare-ok q 0 0"]);
    assert_eq!(bench.publish(&mut peer, "", "q", "hello"), [""; 0]);
    assert_eq!(bench.declare(&mut peer, "q", false), ["1 queue.declare-ok q 1 0"]);
    assert_eq!(bench.consume(&mut peer, "q", "c", false), ["1 basic.consume-ok c", "1 deliver c #1 :q 'hello'"]);
    assert_eq!(bench.ack(&mut peer, 1, false), [""; 0]);
    assert_eq!(bench.declare(&mut peer, "q", false), ["1 queue.declare-ok q 0 1"]);
}

#[test]
fn properties_are_forwarded_byte_for_byte() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", false);
    let mut headers = TableBuf::new();
    headers.push("é", FieldValue::Decimal { scale: 2, value: 314 });
    let properties = Properties {
        content_type: Some(b"text/plain"),
        headers: Some(headers.as_table()),
        cluster_id: Some(b"kept"),
        ..persistent()
    };
    let mut raw = BytesMut::new();
    properties.encode(&mut raw);
    bench.publish_with(&mut peer, "", "q", "x", properties, false);
    let told = bench.get(&mut peer, "q", true);
    assert_eq!(told, ["1 get-ok #1 :q left 0 type=text/plain mode=2 é=Float(3.14) 'x'"]);
}

#[test]
fn a_body_over_many_frames_arrives_whole_however_it_is_cut() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", false);
    let mut out = BytesMut::new();
    let publish = basic::Publish {
        reserved_1: Reserved::NONE,
        exchange: "",
        routing_key: b"q",
        mandatory: false,
        immediate: false,
    };
    put_method(&mut out, 1, &publish);
    put_header(&mut out, 1, 9, &[0, 0]);
    for part in ["abc", "", "defgh", "i"] {
        put_frame(&mut out, FrameKind::Body, 1, |out| out.put_slice(part.as_bytes()));
    }
    for cut in 1..out.len() {
        bench.send(&mut peer, &out[..cut]);
        bench.send(&mut peer, &out[cut..]);
        assert_eq!(
            bench.get(&mut peer, "q", true).join("").split(" left 0").nth(1),
            Some(" 'abcdefghi'"),
            "cut at {cut}"
        );
    }
}

#[test]
fn an_empty_body_needs_no_frame() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", false);
    bench.publish(&mut peer, "", "q", "");
    assert_eq!(bench.get(&mut peer, "q", true), ["1 get-ok #1 :q left 0 ''"]);
}

#[test]
fn a_large_body_leaves_in_frames_of_the_agreed_size() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", false);
    let body = "x".repeat(300_000);
    let mut out = BytesMut::new();
    let whole = message("", "q", b"", Properties::default(), false);
    out.put_slice(&whole[..whole.len() - 22]);
    put_header(&mut out, 1, 300_000, &[0, 0]);
    for part in body.as_bytes().chunks(131_064) {
        put_frame(&mut out, FrameKind::Body, 1, |out| out.put_slice(part));
    }
    bench.send(&mut peer, &out);
    assert_eq!(bench.get(&mut peer, "q", true), ["1 get-ok #1 :q left 0 [131064] [131064] [37872]"]);
}

#[test]
fn confirms_wait_for_the_disk_and_come_cumulated() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", true);
    bench.confirm(&mut peer);
    bench.prompt = false;
    for body in ["1", "2", "3"] {
        assert_eq!(bench.publish_with(&mut peer, "", "q", body, persistent(), false), [""; 0]);
    }
    bench.prompt = true;
    assert_eq!(bench.hear(&mut peer), ["1 ack 3+"]);
    // A message that needs no disk is confirmed at once.
    assert_eq!(bench.publish(&mut peer, "", "nowhere", "x"), ["1 ack 4"]);
}

#[test]
fn what_was_confirmed_survives_a_power_cut() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", true);
    bench.confirm(&mut peer);
    assert_eq!(bench.publish_with(&mut peer, "", "q", "kept", persistent(), false), ["1 ack 1"]);
    bench.crash();
    let mut peer = bench.join();
    let told = bench.get(&mut peer, "q", false);
    assert_eq!(told.len(), 1);
    assert!(told[0].ends_with("'kept'"), "{told:?}");
}

#[test]
fn a_mandatory_message_without_a_queue_comes_back_before_its_confirm() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.confirm(&mut peer);
    assert_eq!(
        bench.publish_with(&mut peer, "amq.direct", "nobody", "x", Properties::default(), true),
        ["1 return 312 NO_ROUTE amq.direct:nobody 'x'", "1 ack 1"]
    );
}

#[test]
fn mistakes_in_a_publication_end_what_they_end() {
    let channel = [
        (("nowhere", "k", Properties::default()), "404 NOT_FOUND - no exchange 'nowhere' in vhost '/'"),
        (
            ("", "k", Properties { expiration: Some(b"soon"), ..Properties::default() }),
            "406 PRECONDITION_FAILED - invalid expiration 'soon': no_integer",
        ),
        (
            ("", "k", Properties { user_id: Some(b"root"), ..Properties::default() }),
            "406 PRECONDITION_FAILED - user_id property set to 'root' but authenticated user was 'guest'",
        ),
        (
            ("", "k", Properties { reply_to: Some(b"amq.rabbitmq.reply-to"), ..Properties::default() }),
            "406 PRECONDITION_FAILED - fast reply consumer does not exist",
        ),
    ];
    for ((exchange, key, properties), text) in channel {
        let mut bench = Bench::new();
        let mut peer = bench.join();
        bench.say(&mut peer, 2, &channel_open());
        let told = bench.publish_with(&mut peer, exchange, key, "x", properties, false);
        assert_eq!(told, [format!("1 channel.close {text} (60.40)")]);
        // All but the answer is ignored on that channel, and others do not notice.
        assert_eq!(bench.publish(&mut peer, "", "k", "ignored"), [""; 0]);
        assert_eq!(
            bench.say(&mut peer, 2, &queue::Declare { ..declaration("other") }),
            ["2 queue.declare-ok other 0 0"]
        );
        assert_eq!(bench.say(&mut peer, 1, &channel::CloseOk {}), [""; 0]);
        assert_eq!(bench.say(&mut peer, 1, &channel_open()), ["1 channel.open-ok"]);
    }
}

#[test]
fn what_is_published_before_a_mistake_in_the_same_read_arrives() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", false);
    let mut out = message("", "q", b"good", Properties::default(), false);
    out.extend(message("nowhere", "q", b"bad", Properties::default(), false));
    out.extend(message("", "q", b"too late", Properties::default(), false));
    let told = bench.send(&mut peer, &out);
    assert_eq!(told, ["1 channel.close 404 NOT_FOUND - no exchange 'nowhere' in vhost '/' (60.40)"]);
    bench.say(&mut peer, 1, &channel::CloseOk {});
    bench.say(&mut peer, 1, &channel_open());
    assert_eq!(bench.get(&mut peer, "q", true), ["1 get-ok #1 :q left 0 'good'"]);
}

#[test]
fn frames_out_of_order_end_the_connection_with_505() {
    let publish = message("", "q", b"abc", Properties::default(), false);
    let (method, rest) = publish.split_at(frame_len(&publish).unwrap());
    let (header, body) = rest.split_at(frame_len(rest).unwrap());
    let cases: [(&[&[u8]], &str); 6] = [
        (&[body], "expected method frame, got non method frame instead (0.0)"),
        (&[header], "expected method frame, got non method frame instead (0.0)"),
        (&[method, body], "expected content header for class 60, got non content header frame instead (60.40)"),
        (&[method, method], "expected content header for class 60, got non content header frame instead (60.40)"),
        (&[method, header, header], "expected content body, got non content body frame instead (60.40)"),
        (&[method, header, method], "expected content body, got non content body frame instead (60.40)"),
    ];
    for (frames, text) in cases {
        let mut bench = Bench::new();
        let mut peer = bench.join();
        let told = bench.send(&mut peer, &frames.concat());
        assert_eq!(told, [format!("0 connection.close 505 UNEXPECTED_FRAME - {text}")]);
    }
}

#[test]
fn a_body_that_is_longer_than_announced_or_too_large_is_refused() {
    let publish = message("", "q", b"", Properties::default(), false);
    let method = &publish[..frame_len(&publish).unwrap()];
    let mut bench = Bench::new();
    let mut peer = bench.join();
    let mut out = BytesMut::from(method);
    put_header(&mut out, 1, 3, &[0, 0]);
    put_frame(&mut out, FrameKind::Body, 1, |out| out.put_slice(b"abcd"));
    let text = "501 FRAME_ERROR - content body frame exceeds remaining content size (60.40)";
    assert_eq!(bench.send(&mut peer, &out), [format!("0 connection.close {text}")]);
    let mut peer = bench.join();
    let mut out = BytesMut::from(method);
    put_header(&mut out, 1, 1 << 30, &[0, 0]);
    let text = "406 PRECONDITION_FAILED - message size 1073741824 is larger than configured max size 134217728 (60.40)";
    assert_eq!(bench.send(&mut peer, &out), [format!("1 channel.close {text}")]);
}

#[test]
fn what_is_not_spoken_is_540() {
    let mut bench = Bench::new();
    for (method, text) in [(0, "immediate=true (60.40)"), (1, "active=false (20.20)"), (2, "requeue=false (60.110)")] {
        let mut peer = bench.join();
        let told = match method {
            0 => bench.say(
                &mut peer,
                1,
                &basic::Publish {
                    reserved_1: Reserved::NONE,
                    exchange: "",
                    routing_key: b"q",
                    mandatory: false,
                    immediate: true,
                },
            ),
            1 => bench.say(&mut peer, 1, &channel::Flow { active: false }),
            _ => bench.say(&mut peer, 1, &basic::Recover { requeue: false }),
        };
        assert_eq!(told, [format!("0 connection.close 540 NOT_IMPLEMENTED - {text}")]);
    }
}

#[test]
fn a_transaction_happens_at_its_commit_or_never() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", true);
    assert_eq!(bench.say(&mut peer, 1, &tx::Select {}).len(), 1);
    bench.publish_with(&mut peer, "", "q", "rolled back", persistent(), false);
    assert_eq!(bench.say(&mut peer, 1, &tx::Rollback {}).len(), 1);
    bench.publish_with(&mut peer, "", "q", "committed", persistent(), false);
    assert_eq!(bench.declare(&mut peer, "q", true), ["1 queue.declare-ok q 0 0"]);
    bench.prompt = false;
    assert_eq!(bench.say(&mut peer, 1, &tx::Commit {}), [""; 0]);
    bench.prompt = true;
    assert_eq!(bench.hear(&mut peer).len(), 1);
    assert_eq!(bench.get(&mut peer, "q", false), ["1 get-ok #1 :q left 0 mode=2 'committed'"]);
    // An acknowledgement in a transaction that is rolled back leaves the delivery to be acknowledged again.
    bench.ack(&mut peer, 1, false);
    bench.say(&mut peer, 1, &tx::Rollback {});
    bench.ack(&mut peer, 1, false);
    bench.say(&mut peer, 1, &tx::Commit {});
    assert_eq!(bench.get(&mut peer, "q", false), ["1 get-empty"]);
}

#[test]
fn confirms_and_transactions_exclude_one_another() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.confirm(&mut peer);
    let text = "406 PRECONDITION_FAILED - cannot switch from confirm to tx mode (90.10)";
    assert_eq!(bench.say(&mut peer, 1, &tx::Select {}), [format!("1 channel.close {text}")]);
    let mut peer = bench.join();
    let text = "406 PRECONDITION_FAILED - channel is not transactional (90.20)";
    assert_eq!(bench.say(&mut peer, 1, &tx::Commit {}), [format!("1 channel.close {text}")]);
}

#[test]
fn a_disk_that_takes_nothing_blocks_the_publisher_and_loses_nothing() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", true);
    bench.confirm(&mut peer);
    bench.stall(true);
    // One that does not care goes on publishing.
    let mut told = bench.publish_with(&mut peer, "", "q", "first", persistent(), false);
    told.extend(bench.publish_with(&mut peer, "", "q", "second", persistent(), false));
    assert_eq!(told, ["0 connection.blocked low on disk"]);
    assert!(!peer.wants_input());
    bench.pass(std::time::Duration::from_millis(200));
    assert_eq!(bench.timeout(&mut peer), [""; 0], "still blocked");
    bench.stall(false);
    bench.pass(std::time::Duration::from_millis(200));
    assert_eq!(bench.timeout(&mut peer), ["0 connection.unblocked"]);
    let told = bench.send(&mut peer, b"");
    assert_eq!(told.last().map(String::as_str), Some("1 ack 2+"), "{told:?}");
    assert_eq!(bench.get(&mut peer, "q", true), ["1 get-ok #1 :q left 1 mode=2 'first'"]);
}

#[test]
fn who_stages_more_than_the_disk_takes_is_not_read_from_even_if_it_waits_for_no_answer() {
    let mut bench = Bench::new();
    bench.config.pending_bytes_high = 0;
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", true);
    bench.prompt = false;
    let bind = queue::Bind {
        reserved_1: Reserved::NONE,
        queue: "q",
        exchange: "amq.topic",
        routing_key: b"a",
        no_wait: true,
        arguments: FieldTable::EMPTY,
    };
    assert_eq!(bench.say(&mut peer, 1, &bind), [""; 0]);
    assert!(!peer.wants_input());
    bench.step();
    assert_eq!(bench.hear(&mut peer), [""; 0]);
    assert!(peer.wants_input());
}

#[test]
fn a_store_that_says_no_ends_a_connection_that_declares() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.stall(true);
    assert_eq!(bench.declare(&mut peer, "short", false).len(), 1, "nothing of it is kept");
    let told = bench.declare(&mut peer, "q", true);
    assert!(told[0].contains("506 RESOURCE_ERROR - low on disk"), "{told:?}");
}

#[test]
fn a_full_vhost_blocks_its_publisher_until_somebody_has_taken() {
    let mut bench = Bench::new();
    let mut reader = bench.join();
    bench.declare(&mut reader, "q", false);
    let limits = std::collections::BTreeMap::from([("max-memory-bytes".into(), 100)]);
    bench.core.set_limits(motet_core::core::govern::LimitOf::Vhost("/"), &limits).expect("short");
    let mut peer = bench.join();
    bench.confirm(&mut peer);
    let body = "x".repeat(150);
    assert_eq!(bench.publish(&mut peer, "", "q", &body), ["1 ack 1"]);
    let told = bench.publish(&mut peer, "", "q", &body);
    assert_eq!(told, ["0 connection.blocked the vhost's quota of memory is reached"]);
    assert!(!peer.wants_input());
    assert_eq!(bench.get(&mut reader, "q", true).len(), 1);
    bench.pass(std::time::Duration::from_millis(200));
    assert_eq!(bench.timeout(&mut peer), ["0 connection.unblocked", "1 ack 2"]);
}

#[test]
fn a_full_vhost_commits_no_publication() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", false);
    bench.publish(&mut peer, "", "q", "one");
    let limits = std::collections::BTreeMap::from([("max-memory-bytes".into(), 1)]);
    bench.core.set_limits(motet_core::core::govern::LimitOf::Vhost("/"), &limits).expect("short");
    bench.say(&mut peer, 1, &tx::Select {});
    bench.publish(&mut peer, "", "q", "two");
    let told = bench.say(&mut peer, 1, &tx::Commit {});
    assert_eq!(told, ["1 channel.close 406 PRECONDITION_FAILED - partial tx completion: low on disk (90.20)"]);
}

#[test]
fn of_a_batch_that_overflows_what_was_taken_is_confirmed() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    let mut arguments = TableBuf::new();
    arguments.push("x-max-length", FieldValue::I32(2));
    arguments.push("x-overflow", FieldValue::Text(b"reject-publish"));
    bench.declare_with(&mut peer, "q", false, arguments.as_table());
    bench.confirm(&mut peer);
    let all = ["1", "2", "3", "4"].map(|body| message("", "q", body.as_bytes(), Properties::default(), false));
    assert_eq!(bench.send(&mut peer, &all.concat()), ["1 ack 2+", "1 nack 4+"]);
    assert_eq!(bench.declare_with(&mut peer, "q", false, arguments.as_table()), ["1 queue.declare-ok q 2 0"]);
}

#[test]
fn a_header_with_a_long_key_counts_only_where_the_key_is_its_beginning() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    let long = format!("a.{}", "b".repeat(300));
    for (queue, key) in [("short", "a"), ("other", "z"), ("long", &*format!("a.{}", "*"))] {
        bench.declare(&mut peer, queue, false);
        bench.bind(&mut peer, queue, "amq.topic", key);
    }
    for header in ["z", &long] {
        let mut headers = TableBuf::new();
        headers.push("x-topic", FieldValue::Text(header.as_bytes()));
        let properties = Properties { headers: Some(headers.as_table()), ..Properties::default() };
        bench.publish_with(&mut peer, "amq.topic", "a", "x", properties, false);
    }
    let mut counts = ["short", "other", "long"].map(|queue| bench.declare(&mut peer, queue, false).join(""));
    counts.iter_mut().for_each(|line| *line = line.replace("1 queue.declare-ok ", ""));
    assert_eq!(counts, ["short 1 0", "other 0 0", "long 1 0"]);
}

#[test]
fn a_delivery_mode_nobody_knows_ends_the_channel() {
    let mut bench = Bench::new();
    for mode in [0, 3] {
        let mut peer = bench.join();
        let properties = Properties { delivery_mode: Some(mode), ..Properties::default() };
        let told = bench.publish_with(&mut peer, "", "q", "x", properties, false);
        let text = format!("406 PRECONDITION_FAILED - invalid message: {{delivery_mode_unknown,{mode}}} (60.40)");
        assert_eq!(told, [format!("1 channel.close {text}")]);
    }
}

#[test]
fn a_commit_that_a_full_queue_refused_is_not_answered_with_ok() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    let mut arguments = TableBuf::new();
    arguments.push("x-max-length", FieldValue::I32(1));
    arguments.push("x-overflow", FieldValue::Text(b"reject-publish"));
    bench.declare_with(&mut peer, "q", false, arguments.as_table());
    bench.say(&mut peer, 1, &tx::Select {});
    for body in ["1", "2"] {
        bench.publish(&mut peer, "", "q", body);
    }
    let refused = "1 channel.close 406 PRECONDITION_FAILED - partial tx completion (90.20)";
    assert_eq!(bench.say(&mut peer, 1, &tx::Commit {}), [refused]);
    let mut other = bench.join();
    assert_eq!(bench.get(&mut other, "q", true), ["1 get-ok #1 :q left 0 '1'"]);
}

#[test]
fn what_a_delayed_exchange_held_back_says_so_in_its_header() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", false);
    let mut arguments = TableBuf::new();
    arguments.push("x-delayed-type", FieldValue::Text(b"direct"));
    let mut declare = exchange_declaration("later", "x-delayed-message");
    declare.arguments = arguments.as_table();
    bench.say(&mut peer, 1, &declare);
    let mut headers = TableBuf::new();
    headers.push("é", FieldValue::U8(5));
    headers.push("x-delay", FieldValue::I32(700));
    let properties = Properties { headers: Some(headers.as_table()), kind: Some(b"kept"), ..persistent() };
    assert_eq!(bench.publish_with(&mut peer, "later", "k", "x", properties, true), [""; 0], "mandatory, and taken");
    bench.bind(&mut peer, "q", "later", "k");
    assert_eq!(bench.get(&mut peer, "q", true), ["1 get-empty"]);
    bench.pass(std::time::Duration::from_millis(700));
    let told = bench.get(&mut peer, "q", true);
    assert_eq!(told.len(), 1);
    assert!(told[0].ends_with("é=5 x-delay=-700 'x'"), "{told:?}");
}
