//! Out of queues: competing consumers, priorities, hand-over, depth.

use motet_core::core::broker::Got;
use motet_core::mailbox::Notice;
use motet_core::message::{Properties, Value};
use motet_core::queue::{ConsumerOptions, Nack};

use crate::bench::{Bench, Letter, credit, letter, text, told};

fn filled(arguments: &[(&str, Value)], n: u32) -> Bench {
    let mut bench = Bench::default();
    bench.queue("q", arguments);
    for n in 1..=n {
        bench.publish("", "q", &n.to_string());
    }
    bench
}

#[test]
fn competing_consumers_share_and_nobody_gets_what_another_holds() {
    let mut bench = filled(&[], 6);
    bench.consumer("q", 1, credit(2));
    bench.consumer("q", 2, credit(3));
    assert_eq!(bench.texts("q", 1, 9), ["1", "2"]);
    assert_eq!(bench.texts("q", 2, 9), ["3", "4", "5"]);
    bench.ack("q", 1, 1);
    assert_eq!(bench.texts("q", 1, 9), ["6"]);
}

#[test]
fn a_requeued_message_returns_to_its_place_and_says_so() {
    let mut bench = filled(&[], 3);
    bench.consumer("q", 1, credit(1));
    let taken = bench.take("q", 1, 9);
    assert!(!taken[0].redelivered);
    bench.nack("q", 1, 1, Nack::Requeue);
    let again = bench.take("q", 1, 9);
    assert_eq!((again[0].seq, again[0].redelivered, again[0].delivery_count), (1, true, 1));
}

#[test]
fn what_a_leaving_consumer_held_goes_to_the_others_in_order() {
    let mut bench = filled(&[], 4);
    bench.consumer("q", 1, credit(3));
    assert_eq!(bench.texts("q", 1, 9), ["1", "2", "3"]);
    bench.consumer("q", 2, credit(9));
    bench.leave("q", 1);
    assert_eq!(bench.texts("q", 2, 9), ["1", "2", "3", "4"]);
}

#[test]
fn higher_priorities_leave_first_and_each_in_order() {
    let mut bench = Bench::default();
    bench.queue("q", &[("x-max-priority", Value::Int(5))]);
    for (said, priority) in [("low", 0), ("high", 5), ("higher than there is", 9), ("mid", 3)] {
        let properties = Properties { priority: Some(priority), ..Properties::default() };
        bench.send("", "q", Letter { properties, ..letter(said) });
    }
    assert_eq!(bench.holds("q"), ["high", "higher than there is", "mid", "low"]);
}

#[test]
fn the_single_active_consumer_hands_over_when_it_leaves() {
    let mut bench = filled(&[("x-single-active-consumer", Value::Bool(true))], 3);
    bench.consumer("q", 1, credit(2));
    bench.consumer("q", 2, credit(9));
    assert_eq!(bench.notices(), [Notice::ConsumerActivated(1)]);
    assert_eq!(bench.texts("q", 1, 9), ["1", "2"]);
    assert!(bench.texts("q", 2, 9).is_empty(), "it waits");
    bench.leave("q", 1);
    assert_eq!(bench.notices(), [Notice::ConsumerActivated(2)]);
    assert_eq!(bench.texts("q", 2, 9), ["1", "2", "3"]);
}

#[test]
fn a_failed_message_is_tried_again_after_growing_pauses() {
    let arguments = [
        ("x-delayed-retry-min", Value::Int(100)),
        ("x-delayed-retry-max", Value::Int(1_000)),
        ("x-delayed-retry-factor", Value::Int(2)),
    ];
    let mut bench = filled(&arguments, 1);
    bench.consumer("q", 1, ConsumerOptions::default());
    for pause in [100, 200, 400, 800, 1_000] {
        let seq = bench.take("q", 1, 1)[0].seq;
        bench.nack("q", 1, seq, Nack::Requeue);
        bench.pass(pause - 1);
        assert!(bench.take("q", 1, 1).is_empty(), "before {pause} ms");
        bench.pass(1);
    }
    assert_eq!(bench.take("q", 1, 1)[0].delivery_count, 5);
}

#[test]
fn a_fetch_takes_one_and_says_how_many_wait() {
    let mut bench = filled(&[], 2);
    bench.consumer("q", 1, ConsumerOptions { fetch_only: true, ..ConsumerOptions::default() });
    let queue = bench.named("q");
    let get = || bench.core.get(bench.now(), &queue, bench.id("q", 1));
    let Got::Message(first, 1) = get() else { panic!("a message and one behind it") };
    assert_eq!(told(&first), "1");
    assert!(matches!(get(), Got::Message(_, 0)));
    assert!(matches!(get(), Got::Empty));
    assert_eq!((queue.stats().unacked, queue.consumers()), (2, 0));
}

#[test]
fn a_fetch_of_what_is_on_disk_comes_later() {
    let mut bench = filled(&[], 2);
    bench.sync();
    bench = bench.power_cut(0);
    bench.consumer("q", 7, ConsumerOptions { fetch_only: true, ..ConsumerOptions::default() });
    let queue = bench.named("q");
    let get = || bench.core.get(bench.now(), &queue, bench.id("q", 7));
    assert!(matches!(get(), Got::Later));
    bench.sync();
    let mut pulled = motet_core::mailbox::Pulled::default();
    bench.mailbox.pull(&mut pulled);
    assert_eq!(pulled.ready.iter().map(|ready| ready.tag).collect::<Vec<_>>(), [7]);
    let Got::Message(first, 1) = get() else { panic!("it has been read") };
    assert_eq!((told(&first).as_str(), first.redelivered), ("1", true));
}

#[test]
fn a_duplicate_is_confirmed_and_not_kept() {
    let mut bench = filled(&[("x-message-deduplication", Value::Bool(true))], 0);
    let same =
        || Letter { properties: crate::bench::headers(&[("x-deduplication-header", text("id"))]), ..letter("x") };
    for _ in 0..3 {
        bench.send("", "q", same());
    }
    bench.publish("", "q", "without a name");
    bench.publish("", "q", "without a name");
    bench.sync();
    assert_eq!(bench.holds("q"), ["x", "without a name", "without a name"]);
    let mut bench = bench.power_cut(0);
    bench.send("", "q", same());
    assert_eq!(bench.stats("q").messages(), 3, "a start remembers");
}

/// Deep enough that nearly all of it is on disk, and read back as it is taken.
#[test]
fn a_deep_queue_passes_through_a_small_window_in_order() {
    const DEPTH: u64 = 60_000;
    let mut bench = filled(&[], DEPTH as u32);
    assert!(bench.stats("q").resident <= 4_096);
    bench.consumer("q", 1, credit(500));
    let mut expected = 1;
    while expected <= DEPTH {
        let taken = bench.take("q", 1, 500);
        assert!(!taken.is_empty() && bench.stats("q").resident <= 5_000);
        for taken in taken {
            assert_eq!(told(&taken), expected.to_string());
            bench.ack("q", 1, taken.seq);
            expected += 1;
        }
    }
    assert_eq!(bench.stats("q").messages(), 0);
}

#[test]
fn what_consumers_have_been_promised_is_neither_counted_nor_fetched_nor_purged() {
    let mut bench = filled(&[], 0);
    bench.consumer("q", 1, credit(2));
    bench.consumer("q", 7, ConsumerOptions { fetch_only: true, ..ConsumerOptions::default() });
    for body in ["1", "2", "3", "4"] {
        bench.publish("", "q", body);
    }
    let queue = bench.named("q");
    let waiting = || bench.core.check_queue(bench.now(), bench.core.vhost(), b"q", 1).unwrap().messages;
    assert_eq!(waiting(), 2);
    assert!(matches!(bench.core.get(bench.now(), &queue, bench.id("q", 7)), Got::Message(_, 1)));
    assert_eq!((bench.core.purge_queue(bench.now(), &queue).0, waiting()), (1, 0));
    assert!(matches!(bench.core.get(bench.now(), &queue, bench.id("q", 7)), Got::Empty));
    assert_eq!(bench.texts("q", 1, 9), ["2", "3"], "the head was fetched, the last one purged");
}

#[test]
fn what_comes_back_pushes_the_head_out_where_it_is_too_much() {
    for leaves in [false, true] {
        let mut bench = Bench::default();
        bench.queue("dead", &[]);
        bench.queue_to("q", "dead", &[("x-max-length", Value::Int(2))]);
        bench.consumer("q", 1, credit(2));
        bench.publish("", "q", "1");
        bench.publish("", "q", "2");
        let taken = bench.take("q", 1, 2);
        bench.publish("", "q", "3");
        bench.publish("", "q", "4");
        bench.core.set_credit(bench.now(), &bench.named("q"), bench.id("q", 1), Some(0));
        if leaves {
            bench.leave("q", 1);
        } else {
            taken.iter().rev().for_each(|delivery| bench.nack("q", 1, delivery.seq, Nack::Requeue));
        }
        let mut dead = bench.holds("dead");
        dead.sort();
        assert_eq!(
            (bench.holds("q"), dead),
            (["3", "4"].map(String::from).into(), ["1", "2"].map(String::from).into())
        );
    }
}

#[test]
fn a_queue_is_empty_when_only_consumers_hold_messages() {
    let mut bench = filled(&[], 1);
    bench.consumer("q", 1, credit(1));
    assert!(
        bench.core.delete_queue(bench.now(), &bench.named("q"), false, true).is_err(),
        "promised, and not yet taken"
    );
    bench.take("q", 1, 1);
    assert!(bench.core.delete_queue(bench.now(), &bench.named("q"), false, true).is_ok());
}
