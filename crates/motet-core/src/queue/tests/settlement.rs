//! Messages are settled in any order, or come back.

use super::*;

#[test]
fn messages_leave_in_order_and_are_acknowledged_in_any() {
    let mut bench = Bench::new(QueueConfig::default());
    bench.fill(5);
    bench.consumer(1, None);
    assert_eq!(bench.woken(), [1]);
    assert_eq!(bench.take(1, 3), [1, 2, 3]);
    assert_eq!(bench.take(1, 9), [4, 5]);
    for seq in [3, 1, 5, 2, 4] {
        bench.ack(1, seq);
    }
    assert_eq!(bench.queue.ack(ConsumerId(1), 3, &mut bench.fx), Err(UnknownDelivery(3)));
    let stats = bench.queue.stats();
    assert_eq!((stats.messages(), stats.acked_total, stats.resident, stats.resident_bytes), (0, 5, 0, 0));
}

#[test]
fn a_requeued_message_returns_to_its_original_place() {
    let mut bench = Bench::new(QueueConfig::default());
    bench.fill(6);
    bench.consumer(1, Some(4));
    assert_eq!(bench.take(1, 9), [1, 2, 3, 4]);
    bench.nack(1, 3, Nack::Requeue);
    bench.nack(1, 2, Nack::Unsent);
    let again = bench.taken(1, 9);
    let seen: Vec<_> = again.iter().map(|t| (t.seq, t.redelivered, t.delivery_count)).collect();
    assert_eq!(seen, [(2, false, 0), (3, true, 1)]);
}

#[test]
fn a_cancelled_consumer_may_still_settle_what_it_holds() {
    let mut bench = with(|_| ());
    bench.fill(3);
    bench.consumer(1, None);
    bench.take(1, 9);
    bench.queue.remove_consumer(0, ConsumerId(1), None, &mut bench.fx);
    assert_eq!(bench.queue.consumer_count(), 0);
    bench.ack(1, 2);
    bench.nack(1, 3, Nack::Requeue);
    assert_eq!(bench.queue.stats().unacked, 1);
    assert_eq!(bench.queue.remove_consumer(0, ConsumerId(1), Some(Leaving::Orderly), &mut bench.fx), 1);
    bench.consumer(1, None);
    assert_eq!(bench.take(1, 9), [1, 3]);
}

#[test]
fn a_broken_connection_counts_only_the_message_it_held_longest() {
    let mut bench = with(|_| ());
    bench.fill(4);
    bench.consumer(1, Some(3));
    bench.take(1, 3);
    bench.queue.remove_consumer(0, ConsumerId(1), Some(Leaving::Broken), &mut bench.fx);
    bench.consumer(2, None);
    let again: Vec<_> = bench.taken(2, 9).iter().map(|t| (t.seq, t.redelivered, t.delivery_count)).collect();
    assert_eq!(again, [(1, true, 1), (2, true, 0), (3, true, 0), (4, false, 0)]);
    assert_eq!(bench.queue.stats().redelivered_total, 3);
}

#[test]
fn nobody_settles_what_another_holds() {
    let mut bench = with(|_| ());
    bench.fill(1);
    bench.consumer(1, None);
    bench.consumer(2, None);
    bench.take(1, 1);
    assert_eq!(bench.queue.ack(ConsumerId(2), 1, &mut bench.fx), Err(UnknownDelivery(1)));
    assert_eq!(bench.queue.ack(ConsumerId(3), 1, &mut bench.fx), Err(UnknownDelivery(1)));
    assert_eq!(bench.queue.ack(ConsumerId(1), u64::MAX, &mut bench.fx), Err(UnknownDelivery(u64::MAX)));
    bench.ack(1, 1);
}

#[test]
fn one_more_failure_than_the_limit_is_a_dead_letter() {
    let mut bench = with(|config| {
        config.delivery_limit = Some(2);
        config.dead_letter = true;
    });
    bench.fill(2);
    bench.consumer(1, Some(1));
    for attempt in 0..3 {
        assert_eq!(bench.taken(1, 9)[0].delivery_count, attempt);
        assert!(bench.dead().is_empty());
        bench.nack(1, 1, Nack::Requeue);
    }
    assert_eq!(bench.dead(), [(Some(1), DeadReason::DeliveryLimit)]);
    assert_eq!(bench.take(1, 9), [2]);
}

#[test]
fn back_off_lets_others_pass_and_then_restores_the_place() {
    let mut bench = with(|config| config.retry = Some(RetryBackoff { min_ms: 100, max_ms: 150, factor: 2 }));
    bench.fill(4);
    bench.consumer(1, Some(1));
    assert_eq!(bench.take(1, 9), [1]);
    bench.nack(1, 1, Nack::Requeue);
    assert_eq!(bench.queue.next_deadline(), Some(100));
    assert_eq!(bench.take(1, 9), [2]);
    bench.at(100);
    bench.ack(1, 2);
    assert_eq!(bench.take(1, 9), [1], "before 3, where it belongs");
    bench.nack(1, 1, Nack::Requeue);
    assert_eq!(bench.queue.next_deadline(), Some(250), "twice the pause, but no more than the maximum");
    bench.at(249);
    assert_eq!(bench.queue.stats().delayed, 1);
    bench.at(250);
    assert_eq!((bench.queue.stats().delayed, bench.queue.next_deadline()), (0, None));
}

#[test]
fn a_consumer_may_name_the_pause_itself() {
    let mut bench = with(|_| ());
    bench.fill(1);
    bench.consumer(1, None);
    bench.take(1, 1);
    bench.nack(1, 1, Nack::RequeueAfter(30));
    assert!(bench.take(1, 1).is_empty());
    bench.effects();
    bench.at(30);
    assert_eq!(bench.woken(), [1]);
    assert_eq!(bench.take(1, 1), [1]);
}

#[test]
fn a_persistent_message_settles_with_its_locator_and_a_transient_one_in_silence() {
    let mut bench = with(|_| ());
    bench.put(NewEntry { persistent: true, ..message(1) });
    bench.put(NewEntry { persistent: true, ..message(2) });
    bench.put(message(3));
    bench.queue.placed(1, 500);
    bench.consumer(1, None);
    bench.take(1, 9);
    bench.effects();
    (1..=3).for_each(|seq| bench.ack(1, seq));
    let settled = [Effect::Settled { seq: 1, locator: Some(500) }, Effect::Settled { seq: 2, locator: None }];
    assert_eq!(bench.effects(), settled);
    bench.queue.placed(2, 600); // too late: nobody minds
}
