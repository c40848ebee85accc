//! Streams, as their readers see them.

use super::bench::*;
use crate::v091::packet::*;

fn with_stream() -> (Bench, Peer) {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    let mut arguments = TableBuf::new();
    arguments.push("x-queue-type", FieldValue::Text(b"stream"));
    assert_eq!(bench.declare_with(&mut peer, "s", true, arguments.as_table()), ["1 queue.declare-ok s 0 0"]);
    for body in ["0", "1", "2"] {
        bench.publish_with(&mut peer, "", "s", body, persistent(), false);
    }
    (bench, peer)
}

fn read_from(bench: &mut Bench, peer: &mut Peer, tag: &str, offset: FieldValue<'_>) -> Lines {
    let mut arguments = TableBuf::new();
    arguments.push("x-stream-offset", offset);
    bench.say(peer, 1, &basic::Consume { arguments: arguments.as_table(), ..consumption("s", tag) })
}

#[test]
fn a_reader_begins_where_it_asks_and_entries_stay() {
    let (mut bench, mut peer) = with_stream();
    bench.qos(&mut peer, 1, false);
    let first = read_from(&mut bench, &mut peer, "a", FieldValue::Text(b"first"));
    assert_eq!(first, ["1 basic.consume-ok a", "1 deliver a #1 :s mode=2 x-stream-offset=0 '0'"]);
    assert_eq!(bench.ack(&mut peer, 1, false), ["1 deliver a #2 :s mode=2 x-stream-offset=1 '1'"]);
    let second = read_from(&mut bench, &mut peer, "b", FieldValue::I64(2));
    assert_eq!(second, ["1 basic.consume-ok b", "1 deliver b #3 :s mode=2 x-stream-offset=2 '2'"]);
    assert_eq!(read_from(&mut bench, &mut peer, "c", FieldValue::Text(b"next")), ["1 basic.consume-ok c"]);
}

#[test]
fn a_reader_says_how_much_it_takes_and_where_it_begins() {
    let (mut bench, mut peer) = with_stream();
    let said = read_from(&mut bench, &mut peer, "a", FieldValue::Text(b"first"));
    assert!(said[0].contains("406") && said[0].contains("consumer prefetch count is not set"), "{said:?}");
    let (mut bench, mut peer) = with_stream();
    bench.qos(&mut peer, 5, false);
    let said = read_from(&mut bench, &mut peer, "a", FieldValue::Text(b"middle"));
    assert!(said[0].contains("406") && said[0].contains("x-stream-offset"), "{said:?}");
}

#[test]
fn what_a_stream_does_not_do_is_540() {
    let (mut bench, mut peer) = with_stream();
    let said = bench.get(&mut peer, "s", true);
    assert!(said[0].contains("540") && said[0].contains("basic.get not supported by stream queues"), "{said:?}");
}

#[test]
fn an_entry_of_a_stream_is_not_refused() {
    let (mut bench, mut peer) = with_stream();
    bench.qos(&mut peer, 5, false);
    read_from(&mut bench, &mut peer, "a", FieldValue::Text(b"first"));
    let said = bench.say(&mut peer, 1, &basic::Nack { delivery_tag: 1, multiple: false, requeue: true });
    let text = "basic.nack and basic.reject not supported by stream queues queue 's' in vhost '/'";
    assert_eq!(said, [format!("0 connection.close 540 NOT_IMPLEMENTED - {text} (60.120)")]);
}
