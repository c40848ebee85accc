//! Streams among the queues: appended to, read by many, nothing taken away.

use motet_core::core::broker::QueueDeclaration;
use motet_core::core::{Delivery, Outcome};
use motet_core::fake::Plan;
use motet_core::mailbox::{Notice, Pulled};
use motet_core::message::Value;
use motet_core::queue::{ConsumeError, ConsumerId, ConsumerOptions};
use motet_core::stream::Start;
use motet_core::transaction::Settlement;

use crate::bench::{Bench, text, told};
use motet_core::core::broker::Settle;

const STREAM: (&str, Value) = ("x-queue-type", Value::Null);

fn stream(bench: &Bench, arguments: &[(&str, Value)]) {
    let kind = [(STREAM.0, text("stream"))];
    bench.queue("s", &[&kind, arguments].concat());
}

fn filled(n: usize) -> Bench {
    let mut bench = Bench::default();
    stream(&bench, &[]);
    for n in 0..n {
        assert_eq!(bench.publish("", "s", &n.to_string()), Outcome::Accepted);
    }
    bench.sync();
    bench
}

fn reader(bench: &Bench, start: Start, credit: Option<u32>) -> ConsumerId {
    bench.core.consume_stream(bench.now(), &bench.named("s"), &bench.mailbox, credit, 5, start).unwrap()
}

fn read(bench: &Bench, id: ConsumerId) -> Vec<Delivery> {
    let (queue, mut out) = (bench.named("s"), Vec::new());
    // What is on disk comes with the next turn.
    let mut idle = 0;
    while idle < 2 {
        let before = out.len();
        bench.core.take_from(bench.now(), queue.cell(), id, 100, usize::MAX, &mut out);
        bench.sync();
        idle = if out.len() == before { idle + 1 } else { 0 };
    }
    out
}

fn texts(bench: &Bench, id: ConsumerId) -> Vec<String> {
    read(bench, id).iter().map(told).collect()
}

#[test]
fn every_reader_gets_everything_from_where_it_begins() {
    let bench = filled(5);
    let all = reader(&bench, Start::First, None);
    let late = reader(&bench, Start::Offset(3), None);
    let last = reader(&bench, Start::Last, None);
    assert_eq!(texts(&bench, all), ["0", "1", "2", "3", "4"]);
    assert_eq!(texts(&bench, late), ["3", "4"]);
    assert_eq!(texts(&bench, last), ["4"]);
    assert_eq!((bench.stats("s").ready, bench.named("s").consumers()), (5, 3));
}

#[test]
fn nothing_is_shown_before_it_is_durable_and_then_the_reader_is_told() {
    let mut bench = filled(0);
    let next = reader(&bench, Start::Next, None);
    assert!(read(&bench, next).is_empty());
    let mut pulled = Pulled::default();
    bench.mailbox.pull(&mut pulled);
    bench.core.engine().set_plan(Plan { groups_max: Some(0), ..Plan::default() });
    bench.publish("", "s", "x");
    assert!(read(&bench, next).is_empty());
    bench.core.engine().set_plan(Plan::default());
    bench.sync();
    let mut pulled = Pulled::default();
    bench.mailbox.pull(&mut pulled);
    assert_eq!(pulled.ready.iter().map(|ready| ready.tag).collect::<Vec<_>>(), [5]);
    assert_eq!(texts(&bench, next), ["x"]);
}

#[test]
fn a_reader_holds_as_many_as_its_credit_and_settling_makes_room() {
    let bench = filled(5);
    let id = reader(&bench, Start::First, Some(2));
    let first = read(&bench, id);
    assert_eq!(first.iter().map(|d| d.seq).collect::<Vec<_>>(), [0, 1]);
    let settle = Settle { queue: bench.named("s"), consumer: id, seq: 0, settlement: Settlement::Ack };
    assert_eq!(bench.core.settle_many(bench.now(), &[settle.clone(), settle]).unknown, 1);
    assert_eq!(texts(&bench, id), ["2"]);
}

#[test]
fn what_is_durable_is_there_after_a_power_cut_under_the_same_offsets() {
    let mut bench = filled(3);
    bench.publish("", "s", "lost");
    let mut bench = bench.power_cut(0);
    bench.publish("", "s", "3");
    bench.sync();
    let all = reader(&bench, Start::First, None);
    let read = read(&bench, all);
    assert_eq!(read.iter().map(told).collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    assert_eq!(read.iter().map(|d| d.seq).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn a_long_stream_is_read_from_disk_and_kept_in_bounds() {
    const LENGTH: usize = 20_000;
    let bench = filled(LENGTH);
    assert!(bench.stats("s").resident_bytes < bench.stats("s").waiting_bytes / 2);
    let all = reader(&bench, Start::First, None);
    let mut expected = 0;
    while expected < LENGTH {
        for delivery in read(&bench, all) {
            assert_eq!(told(&delivery), expected.to_string());
            expected += 1;
        }
    }
}

#[test]
fn entries_go_by_number_and_by_age_for_good() {
    let mut bench = Bench::default();
    stream(&bench, &[("x-max-length", Value::Int(3)), ("x-max-age", text("10s"))]);
    for n in 0..6 {
        bench.publish("", "s", &n.to_string());
        bench.sync();
    }
    assert!(bench.stats("s").ready <= 4, "one that is not yet shown stays");
    bench.pass(10_001);
    assert_eq!(bench.stats("s").ready, 0);
    bench.sync();
    let again = bench.power_cut(0);
    assert_eq!((again.stats("s").ready, again.named("s").offsets()), (0, Some((6, 6))));
}

#[test]
fn a_stream_is_durable_has_readers_only_and_tells_them_when_it_ends() {
    let bench = filled(1);
    let consumed = bench.core.consume(bench.now(), &bench.named("s"), &bench.mailbox, ConsumerOptions::default(), 1);
    assert_eq!(consumed, Err(ConsumeError::Gone));
    let arguments = vec![(STREAM.0.into(), text("stream"))];
    let transient = QueueDeclaration { arguments, ..QueueDeclaration::default() };
    assert!(bench.core.declare_queue(bench.now(), bench.core.vhost(), b"t", transient, 1).is_err());
    reader(&bench, Start::First, None);
    let queue = bench.named("s");
    assert!(bench.core.delete_queue(bench.now(), &queue, true, false).is_err());
    assert_eq!(bench.core.delete_queue(bench.now(), &queue, false, false).unwrap().0, 1);
    assert_eq!(bench.notices(), [Notice::ConsumerCancelled(5)]);
}
