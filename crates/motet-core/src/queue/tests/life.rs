//! Purge, delete, recover.

use super::*;

#[test]
fn purge_takes_what_waits_and_leaves_what_is_held() {
    let mut bench = with(|_| ());
    bench.fill(4);
    bench.put(NewEntry { deliver_at_ms: Some(50), ..message(5) });
    bench.consumer(1, Some(1));
    bench.take(1, 9);
    assert_eq!((bench.queue.purge(3, &mut bench.fx), bench.queue.purge(9, &mut bench.fx)), (3, 1));
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

#[test]
fn a_policy_changes_limits_but_not_what_was_declared() {
    let mut bench = with(|config| config.max_priority = 3);
    bench.fill(3);
    let policy = QueueConfig { max_messages: Some(1), max_priority: 9, durable: false, ..QueueConfig::default() };
    bench.queue.reconfigure(policy, &mut bench.fx);
    assert_eq!((bench.queue.config().max_priority, bench.queue.config().durable), (3, true));
    bench.fill(1);
    assert_eq!((bench.queue.stats().ready, bench.queue.stats().dropped_total), (1, 3));
}

#[test]
fn a_restart_delivers_what_was_left_in_the_same_order() {
    let mut bench = with(|config| config.max_priority = 9);
    for n in 1..=300 {
        bench.put(NewEntry { priority: (n * 7 % 10) as u8, persistent: true, ..message(n) });
    }
    bench.consumer(1, None);
    for seq in bench.take(1, 100).into_iter().step_by(2) {
        bench.ack(1, seq);
    }
    let entries = bench.queue.entries.iter().map(|(seq, slot)| RecoveredEntry {
        seq,
        locator: seq,
        bytes: slot.bytes,
        priority: slot.priority,
        expires_at_ms: None,
        deliver_at_ms: None,
        delivery_count: 0,
        may_have_been_sent: slot.state() == State::Unacked,
    });
    let queue = Queue::recover(bench.queue.config().clone(), entries, 300, 0);
    let mut after = Bench { queue, fx: Effects::new(), now: 0 };
    bench.queue.remove_consumer(0, ConsumerId(1), Some(Leaving::Orderly), &mut bench.fx);
    bench.consumer(2, None);
    after.consumer(2, None);
    let story = |taken: Vec<Taken<u64>>| -> Vec<_> { taken.iter().map(|t| (t.seq, t.redelivered)).collect() };
    let (before, after) = (story(bench.taken(2, 999)), story(after.taken(2, 999)));
    assert_eq!((before.len(), &before), (250, &after));
}
