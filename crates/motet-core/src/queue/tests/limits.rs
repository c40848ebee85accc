//! What happens at a bound; duplicates.

use super::*;

#[test]
fn drop_head_pushes_out_the_oldest_of_the_lowest_priority() {
    let mut bench = with(|config| {
        config.max_messages = Some(2);
        config.max_priority = 1;
        config.dead_letter = true;
    });
    for (n, priority) in [(1, 1), (2, 0), (3, 0), (4, 1)] {
        bench.put(NewEntry { priority, ..message(n) });
    }
    assert_eq!(bench.dead(), [(Some(2), DeadReason::MaxLen), (Some(3), DeadReason::MaxLen)]);
    bench.consumer(1, None);
    assert_eq!(bench.take(1, 9), [1, 4]);
}

#[test]
fn drop_head_keeps_the_byte_limit_too() {
    let mut bench = with(|config| config.max_bytes = Some(30));
    bench.fill(3);
    bench.put(NewEntry { bytes: 25, ..message(4) });
    assert_eq!((bench.queue.stats().ready, bench.queue.stats().waiting_bytes), (1, 25));
    assert_eq!(bench.queue.stats().dropped_total, 3);
}

#[test]
fn reject_publish_refuses_the_new_message() {
    let mut bench = with(|config| {
        config.max_messages = Some(2);
        config.overflow = Overflow::RejectPublish;
        config.dead_letter = true;
    });
    bench.fill(2);
    assert_eq!(bench.put(message(3)), Verdict::Rejected(RejectReason::MaxMessages));
    assert!(bench.dead().is_empty());
    bench.consumer(1, Some(1));
    assert_eq!(bench.take(1, 9), [1], "what is with a consumer does not count");
    assert_eq!(bench.put(message(3)), Verdict::Enqueued { seq: 3 });
}

#[test]
fn reject_publish_dlx_also_dead_letters_the_refused_message() {
    let mut bench = with(|config| {
        config.max_bytes = Some(15);
        config.overflow = Overflow::RejectPublishDlx;
        config.dead_letter = true;
    });
    bench.fill(1);
    assert_eq!(bench.put(message(2)), Verdict::Rejected(RejectReason::MaxBytes));
    assert_eq!(bench.dead(), [(None, DeadReason::MaxLen)]);
    assert_eq!((bench.queue.stats().messages(), bench.queue.stats().refused_total), (1, 1));
}

#[test]
fn a_burst_for_a_waiting_consumer_is_not_cut_by_the_limit() {
    let mut bench = with(|config| config.max_messages = Some(1));
    bench.consumer(1, Some(5));
    bench.fill(8);
    assert_eq!(bench.woken(), [1]);
    assert_eq!(bench.queue.stats().dropped_total, 2, "five are as good as taken, one may wait");
    assert_eq!(bench.take(1, 9), [3, 4, 5, 6, 7], "of those that wait the oldest left");
}

#[test]
fn a_lowered_limit_drops_in_slices_that_are_due_at_once() {
    let mut bench = with(|_| ());
    bench.fill(5_000);
    let config = QueueConfig { max_messages: Some(10), ..QueueConfig::default() };
    bench.queue.reconfigure(config, &mut bench.fx);
    assert_eq!((bench.queue.stats().dropped_total, bench.queue.next_deadline()), (SLICE, Some(0)));
    (0..4).for_each(|_| bench.at(1));
    assert_eq!((bench.queue.stats().ready, bench.queue.next_deadline()), (10, None));
}

#[test]
fn a_duplicate_is_confirmed_and_not_stored() {
    let mut bench = with(|config| {
        config.dedup = Some(DedupWindow { while_present: false, ms: 100, entries: 10 });
        config.max_messages = Some(1);
        config.overflow = Overflow::RejectPublish;
    });
    let known = NewEntry { dedup_id: Some(b"order-1"), ..message(1) };
    assert_eq!(bench.put(known.clone()), Verdict::Enqueued { seq: 1 });
    assert_eq!(bench.put(known.clone()), Verdict::Duplicate);
    let refused = NewEntry { dedup_id: Some(b"order-2"), ..message(2) };
    assert!(matches!(bench.put(refused.clone()), Verdict::Rejected(_)));
    bench.consumer(1, None);
    bench.take(1, 1);
    assert_eq!(bench.put(refused), Verdict::Enqueued { seq: 2 }, "what was refused may be tried again");
    bench.now = 100;
    assert_eq!(bench.put(known), Verdict::Enqueued { seq: 3 });
}

#[test]
fn a_queue_for_nothing_takes_nothing_whoever_waits() {
    let mut bench = with(|config| {
        config.max_messages = Some(0);
        config.overflow = Overflow::RejectPublish;
    });
    bench.consumer(1, None);
    assert_eq!(bench.put(message(1)), Verdict::Rejected(RejectReason::MaxMessages));
}
