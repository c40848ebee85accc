//! Priorities, expiry at the head, delays.

use super::*;

#[test]
fn priorities_leave_highest_first_and_a_requeue_keeps_the_priority() {
    let mut bench = with(|config| config.max_priority = 5);
    for (n, priority) in [(1, 0), (2, 5), (3, 9), (4, 1), (5, 0)] {
        bench.put(NewEntry { priority, ..message(n) });
    }
    bench.consumer(1, Some(2));
    assert_eq!(bench.take(1, 9), [2, 3], "9 counts as 5");
    bench.nack(1, 3, Nack::Requeue);
    assert_eq!(bench.take(1, 9), [3]);
    bench.queue.set_credit(ConsumerId(1), None, &mut bench.fx);
    assert_eq!(bench.take(1, 9), [4, 1, 5]);
}

#[test]
fn messages_expire_at_the_head_only() {
    let mut bench = with(|config| config.dead_letter = true);
    for (n, expires) in [(1, Some(100)), (2, None), (3, Some(50))] {
        bench.put(NewEntry { expires_at_ms: expires, ..message(n) });
    }
    assert_eq!(bench.queue.next_deadline(), Some(101));
    bench.at(99);
    assert!(bench.dead().is_empty(), "the third is stale, but not at the head");
    bench.at(101);
    assert_eq!(bench.dead(), [(Some(1), DeadReason::Expired)]);
    assert_eq!((bench.queue.stats().ready, bench.queue.next_deadline()), (2, None));
    bench.consumer(1, None);
    assert_eq!(bench.take(1, 9), [2], "and the third is never delivered");
    assert_eq!(bench.dead(), [(Some(3), DeadReason::Expired)]);
}

#[test]
fn what_was_sent_from_a_sessions_queue_does_not_go_stale() {
    for (sent_stays, left) in [(true, vec![1]), (false, vec![])] {
        let mut bench = with(|config| config.sent_stays = sent_stays);
        bench.put(NewEntry { expires_at_ms: Some(100), ..message(1) });
        bench.put(NewEntry { expires_at_ms: Some(100), ..message(2) });
        bench.consumer(1, Some(1));
        assert_eq!(bench.take(1, 9), [1]);
        bench.nack(1, 1, Nack::Requeue);
        bench.at(101);
        assert_eq!(bench.take(1, 9), left, "{sent_stays}");
    }
}

#[test]
fn ten_thousand_stale_messages_leave_in_slices_that_are_due_at_once() {
    let mut bench = with(|_| ());
    for n in 1..=10_000 {
        bench.put(NewEntry { expires_at_ms: Some(100), persistent: true, ..message(n) });
        bench.queue.placed(n, n + 1_000);
    }
    let mut slices = 0;
    while bench.queue.stats().ready > 0 {
        assert_eq!(bench.queue.next_deadline(), Some(101));
        bench.at(500);
        assert!(bench.effects().len() <= SLICE as usize);
        slices += 1;
    }
    assert_eq!((slices, bench.queue.next_deadline()), (10, None));
}

#[test]
fn a_consumer_passes_over_stale_messages_in_slices() {
    let mut bench = with(|_| ());
    for n in 1..=3_000 {
        bench.put(NewEntry { expires_at_ms: Some(100), ..message(n) });
    }
    bench.put(message(3_001));
    bench.consumer(1, None);
    bench.now = 500;
    let (mut out, mut turns) = (Vec::new(), 0);
    while bench.queue.take(500, ConsumerId(1), 10, 1_000, &mut out, &mut bench.fx).unfinished {
        turns += 1;
        assert!(turns < 9);
    }
    assert_eq!((out.len(), turns, bench.queue.stats().expired_total), (1, 2, 3_000));
}

#[test]
fn dead_letters_that_wait_for_their_bodies_hold_up_the_rest() {
    let mut bench = with(|config| config.dead_letter = true);
    for n in 1..=10_000 {
        bench.put(NewEntry { expires_at_ms: Some(100), ..message(n) });
    }
    (0..9).for_each(|_| bench.at(500));
    assert_eq!((bench.dead().len(), bench.queue.next_deadline()), (4_096, None));
    bench.queue.moved(1, &mut bench.fx);
    assert_eq!(bench.queue.next_deadline(), Some(101));
    bench.at(500);
    assert_eq!(bench.dead().len(), 1);
}

#[test]
fn each_priority_expires_at_its_own_head() {
    let mut bench = with(|config| config.max_priority = 1);
    for (n, priority, expires) in [(1, 1, None), (2, 0, Some(10)), (3, 0, Some(10)), (4, 1, Some(5))] {
        bench.put(NewEntry { priority, expires_at_ms: expires, ..message(n) });
    }
    assert_eq!(bench.queue.next_deadline(), Some(11));
    bench.at(11);
    assert_eq!((bench.queue.stats().expired_total, bench.queue.stats().ready), (2, 2));
}

#[test]
fn the_queue_ttl_shortens_but_never_lengthens() {
    let mut bench = with(|config| config.message_ttl_ms = Some(20));
    bench.put(NewEntry { expires_at_ms: Some(100), ..message(1) });
    assert_eq!(bench.queue.next_deadline(), Some(21));
    bench.at(21);
    bench.put(NewEntry { expires_at_ms: Some(30), ..message(2) });
    assert_eq!(bench.queue.next_deadline(), Some(31));
}

#[test]
fn a_ttl_of_zero_reaches_consumers_as_far_as_they_have_room() {
    let mut bench = with(|config| config.message_ttl_ms = Some(0));
    bench.consumer(1, Some(3));
    bench.fill(5);
    bench.at(1);
    assert_eq!(
        bench.queue.stats().expired_total,
        0,
        "what is behind those that wait for their consumer is not looked at"
    );
    bench.at(1_000);
    assert_eq!(bench.take(1, 9), [1, 2, 3], "they were promised");
    bench.at(1_001);
    assert_eq!(bench.queue.stats().expired_total, 2);
    bench.nack(1, 2, Nack::Requeue);
    bench.at(1_002);
    assert_eq!(bench.queue.stats().expired_total, 3, "what comes back has no time left");
}

#[test]
fn a_ttl_of_zero_that_nobody_waits_for_is_over_at_once() {
    let mut bench = with(|config| config.message_ttl_ms = Some(0));
    bench.fill(1);
    bench.at(1);
    assert_eq!(bench.queue.stats().expired_total, 1);
    bench.consumer(1, None);
    bench.fill(1_000);
    bench.queue.remove_consumer(bench.now, ConsumerId(1), None, &mut bench.fx);
    bench.at(2);
    assert_eq!(bench.queue.stats().expired_total, 1_001, "the consumer left without them");
}

#[test]
fn a_delayed_message_waits_until_it_is_due_and_takes_its_place() {
    let mut bench = with(|_| ());
    bench.consumer(1, Some(1));
    bench.put(NewEntry { deliver_at_ms: Some(50), ..message(1) });
    bench.put(NewEntry { deliver_at_ms: Some(40), ..message(2) });
    bench.fill(2);
    assert_eq!((bench.take(1, 9), bench.queue.next_deadline()), (vec![3], Some(40)));
    bench.at(60);
    bench.ack(1, 3);
    bench.queue.set_credit(ConsumerId(1), None, &mut bench.fx);
    assert_eq!(bench.take(1, 9), [1, 2, 4]);
}

#[test]
fn an_unused_queue_asks_to_be_deleted_once() {
    let mut bench = with(|config| config.expires_ms = Some(100));
    bench.at(60);
    bench.queue.touch(60);
    assert_eq!(bench.queue.next_deadline(), Some(160));
    bench.consumer(1, None);
    assert_eq!(bench.queue.next_deadline(), None);
    bench.now = 500;
    bench.queue.remove_consumer(500, ConsumerId(1), None, &mut bench.fx);
    bench.at(600);
    assert_eq!(bench.effects(), [Effect::QueueExpired]);
    bench.at(601);
    assert!(bench.effects().is_empty() && bench.queue.next_deadline().is_none());
}
