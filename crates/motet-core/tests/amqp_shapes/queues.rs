//! Out of queues: competing consumers, priorities, hand-over, depth.

use motet_core::queue::{ConsumerOptions, MemoryWindow, Nack, QueueConfig, RetryBackoff};

use crate::broker::{Broker, Letter, credit};

fn filled(config: QueueConfig, n: u32) -> Broker {
    let mut broker = Broker::default();
    broker.queue("q", config);
    for n in 1..=n {
        broker.publish("", "q", &n.to_string());
    }
    broker
}

#[test]
fn competing_consumers_share_and_nobody_gets_what_another_holds() {
    let mut broker = filled(QueueConfig::default(), 6);
    broker.consumer("q", 1, credit(2));
    broker.consumer("q", 2, credit(3));
    assert_eq!(broker.texts("q", 1, 9), ["1", "2"]);
    assert_eq!(broker.texts("q", 2, 9), ["3", "4", "5"]);
    broker.ack("q", 1, 1);
    assert_eq!(broker.texts("q", 1, 9), ["6"]);
}

#[test]
fn a_requeued_message_returns_to_its_place_and_says_so() {
    let mut broker = filled(QueueConfig::default(), 3);
    broker.consumer("q", 1, credit(1));
    let taken = broker.take("q", 1, 9);
    assert!(!taken[0].redelivered);
    broker.nack("q", 1, 1, Nack::Requeue);
    let again = broker.take("q", 1, 9);
    assert_eq!((again[0].seq, again[0].redelivered, again[0].delivery_count), (1, true, 1));
}

#[test]
fn what_a_leaving_consumer_held_goes_to_the_others_in_order() {
    let mut broker = filled(QueueConfig::default(), 4);
    broker.consumer("q", 1, credit(3));
    assert_eq!(broker.texts("q", 1, 9), ["1", "2", "3"]);
    broker.consumer("q", 2, credit(9));
    broker.cancel("q", 1);
    assert_eq!(broker.texts("q", 2, 9), ["1", "2", "3", "4"]);
}

#[test]
fn higher_priorities_leave_first_and_each_in_order() {
    let mut broker = Broker::default();
    broker.queue("q", QueueConfig { max_priority: 5, ..QueueConfig::default() });
    for (text, priority) in [("low", 0), ("high", 5), ("higher than there is", 9), ("mid", 3)] {
        broker.send("", "q", Letter { text: text.into(), priority, ..Letter::default() });
    }
    broker.consumer("q", 1, credit(9));
    assert_eq!(broker.texts("q", 1, 9), ["high", "higher than there is", "mid", "low"]);
}

#[test]
fn the_single_active_consumer_hands_over_when_it_leaves() {
    let mut broker = filled(QueueConfig { single_active_consumer: true, ..QueueConfig::default() }, 3);
    broker.consumer("q", 1, credit(2));
    broker.consumer("q", 2, credit(9));
    assert_eq!(broker.texts("q", 1, 9), ["1", "2"]);
    assert!(broker.texts("q", 2, 9).is_empty(), "it waits");
    broker.cancel("q", 1);
    assert_eq!(broker.texts("q", 2, 9), ["1", "2", "3"]);
    assert_eq!(broker.activated.last(), Some(&2));
}

#[test]
fn a_failed_message_is_tried_again_after_growing_pauses() {
    let retry = Some(RetryBackoff { min_ms: 100, max_ms: 1_000, factor: 2 });
    let mut broker = filled(QueueConfig { retry, ..QueueConfig::default() }, 1);
    broker.consumer("q", 1, ConsumerOptions::default());
    for pause in [100, 200, 400, 800, 1_000] {
        let seq = broker.take("q", 1, 1)[0].seq;
        broker.nack("q", 1, seq, Nack::Requeue);
        broker.pass(pause - 1);
        assert!(broker.take("q", 1, 1).is_empty(), "before {pause} ms");
        broker.pass(1);
    }
    assert_eq!(broker.take("q", 1, 1)[0].delivery_count, 5);
}

#[test]
fn a_million_messages_pass_through_a_small_window_in_order() {
    let window = MemoryWindow { messages: 1_000, bytes: 1 << 20 };
    let mut broker = filled(QueueConfig { window, ..QueueConfig::default() }, 1_000_000);
    assert!(broker.of("q").stats().resident <= 1_000);
    broker.consumer("q", 1, credit(500));
    let mut expected = 1;
    while expected <= 1_000_000 {
        let taken = broker.take("q", 1, 500);
        assert!(!taken.is_empty() && broker.of("q").stats().resident <= 1_500);
        for taken in taken {
            assert_eq!(taken.seq, expected);
            broker.ack("q", 1, taken.seq);
            expected += 1;
        }
    }
    assert_eq!(broker.of("q").stats().messages(), 0);
}
