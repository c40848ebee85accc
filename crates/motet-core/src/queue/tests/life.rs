//! Purge, delete, recover.

use super::*;

#[test]
fn purge_takes_what_waits_and_leaves_what_is_held() {
    let mut bench = with(|_| ());
    bench.fill(4);
    bench.put(NewEntry { deliver_at_ms: Some(50), ..message(5) });
    bench.consumer(1, Some(1));
    bench.take(1, 9);
    assert_eq!(bench.queue.purge(&mut bench.fx), 4);
    assert_eq!((bench.queue.stats().messages(), bench.queue.next_deadline()), (1, None));
    bench.nack(1, 1, Nack::Requeue);
    assert_eq!(bench.take(1, 9), [1]);
    bench.fill(1);
    assert_eq!(bench.queue.last_seq(), 6);
}

#[test]
fn delete_checks_use_and_emptiness_and_cancels_the_consumers() {
    let mut bench = with(|_| ());
    bench.fill(2);
    bench.consumer(1, None);
    bench.effects();
    assert_eq!(bench.queue.delete(true, false, &mut bench.fx), Err(DeleteRefused::InUse(1)));
    assert_eq!(bench.queue.delete(false, true, &mut bench.fx), Err(DeleteRefused::NotEmpty(2)));
    assert_eq!(bench.queue.delete(false, false, &mut bench.fx), Ok(2));
    assert_eq!(bench.effects(), [Effect::Cancelled(ConsumerId(1))]);
    assert!(bench.take(1, 9).is_empty());
}

#[test]
fn a_recovered_queue_keeps_numbers_order_and_marks() {
    let survivor = |seq, priority| RecoveredEntry {
        seq,
        locator: seq * 100,
        bytes: 10,
        priority,
        expires_at_ms: None,
        deliver_at_ms: (seq == 9).then_some(70),
        delivery_count: u16::from(seq == 400),
        may_have_been_sent: seq == 3,
    };
    let config = QueueConfig { max_priority: 1, ..QueueConfig::default() };
    let survivors = [survivor(3, 0), survivor(9, 0), survivor(400, 1), survivor(401, 0)];
    let queue = Queue::recover(config, survivors, 1_000, 50);
    let mut bench = Bench { queue, fx: Effects::new(), now: 50 };
    bench.consumer(1, None);
    let taken: Vec<_> =
        bench.taken(1, 9).into_iter().map(|t| (t.seq, t.body, t.redelivered, t.delivery_count)).collect();
    let paged = |seq: u64| Body::Paged(seq * 100);
    assert_eq!(taken, [(400, paged(400), true, 1), (3, paged(3), true, 0), (401, paged(401), false, 0)]);
    bench.at(70);
    assert_eq!(bench.take(1, 9), [9]);
    assert_eq!(bench.put(message(0)), Verdict::Enqueued { seq: 1_001 });
}
