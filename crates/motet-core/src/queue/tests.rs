//! The queue by example: each test is a sentence, the bench below makes it short.

use super::*;

/// A queue, its clock and its effects, driven by hand.
pub(super) struct Bench {
    pub(super) queue: Queue<u64>,
    pub(super) fx: Effects<u64>,
    pub(super) now: u64,
}

pub(super) fn message(n: u64) -> NewEntry<'static, u64> {
    NewEntry {
        message: n,
        bytes: 10,
        priority: 0,
        expires_at_ms: None,
        deliver_at_ms: None,
        dedup_id: None,
        persistent: false,
    }
}

impl Bench {
    pub(super) fn new(config: QueueConfig) -> Self {
        Self { queue: Queue::new(config, 0), fx: Effects::new(), now: 0 }
    }

    pub(super) fn put(&mut self, entry: NewEntry<'_, u64>) -> Verdict {
        self.queue.enqueue(self.now, entry, &mut self.fx)
    }

    /// Enqueues `1..=n` as plain messages; in a new queue the body is the sequence number.
    pub(super) fn fill(&mut self, n: u64) {
        for i in 1..=n {
            assert!(matches!(self.put(message(i)), Verdict::Enqueued { .. }));
        }
    }

    pub(super) fn consumer(&mut self, id: u64, credit: Option<u32>) {
        let options = ConsumerOptions { credit, ..ConsumerOptions::default() };
        self.queue.add_consumer(ConsumerId(id), options, &mut self.fx).unwrap();
    }

    pub(super) fn taken(&mut self, id: u64, max: usize) -> Vec<Taken<u64>> {
        let mut out = Vec::new();
        self.queue.take(self.now, ConsumerId(id), max, usize::MAX, &mut out, &mut self.fx);
        out
    }

    pub(super) fn take(&mut self, id: u64, max: usize) -> Vec<u64> {
        self.taken(id, max).into_iter().map(|taken| taken.seq).collect()
    }

    pub(super) fn ack(&mut self, id: u64, seq: u64) {
        self.queue.ack(ConsumerId(id), seq, &mut self.fx).unwrap();
    }

    pub(super) fn nack(&mut self, id: u64, seq: u64, nack: Nack) {
        self.queue.nack(self.now, ConsumerId(id), seq, nack, &mut self.fx).unwrap();
    }

    pub(super) fn at(&mut self, now: u64) {
        self.now = now;
        self.queue.on_deadline(now, &mut self.fx);
    }

    pub(super) fn effects(&mut self) -> Vec<Effect<u64>> {
        self.fx.drain().collect()
    }

    pub(super) fn woken(&mut self) -> Vec<u64> {
        let wakes = self.fx.drain().filter_map(|effect| if let Effect::Wake(id) = effect { Some(id.0) } else { None });
        wakes.collect()
    }

    /// (sequence, reason) of the dead letters since the last look.
    pub(super) fn dead(&mut self) -> Vec<(Option<u64>, DeadReason)> {
        let dead = self.fx.drain().filter_map(|effect| match effect {
            Effect::DeadLetter(letter) => Some((letter.seq, letter.reason)),
            _ => None,
        });
        dead.collect()
    }
}

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

fn with(change: impl FnOnce(&mut QueueConfig)) -> Bench {
    let mut config = QueueConfig::default();
    change(&mut config);
    Bench::new(config)
}

fn options() -> ConsumerOptions {
    ConsumerOptions::default()
}

// --- dispatch ---

#[test]
fn competing_consumers_are_served_round_robin() {
    let mut bench = with(|_| ());
    for id in 1..=3 {
        bench.consumer(id, None);
    }
    bench.fill(7);
    assert_eq!(bench.woken(), [1, 2, 3], "each once, when it turned from idle to allotted");
    assert_eq!(bench.take(2, 2), [1, 2]);
    assert_eq!(bench.take(1, 3), [3, 4, 5]);
    assert_eq!(bench.take(3, 9), [6, 7]);
}

#[test]
fn an_idle_consumer_is_woken_once_until_it_has_taken() {
    let mut bench = with(|_| ());
    bench.consumer(1, None);
    bench.fill(3);
    assert_eq!(bench.woken(), [1]);
    let mut out = Vec::new();
    let first = bench.queue.take(0, ConsumerId(1), 2, usize::MAX, &mut out, &mut bench.fx);
    assert_eq!(first, Taking { taken: 2, more: true });
    let second = bench.queue.take(0, ConsumerId(1), 2, usize::MAX, &mut out, &mut bench.fx);
    assert_eq!(second, Taking { taken: 1, more: false });
    assert!(bench.woken().is_empty());
    bench.fill(1);
    assert_eq!(bench.woken(), [1]);
}

#[test]
fn prefetch_bounds_what_a_consumer_holds_and_each_ack_frees_one() {
    let mut bench = with(|_| ());
    bench.fill(10);
    bench.consumer(1, Some(3));
    assert_eq!(bench.take(1, 99), [1, 2, 3]);
    assert!(bench.take(1, 99).is_empty());
    bench.effects();
    bench.ack(1, 2);
    assert_eq!(bench.woken(), [1]);
    assert_eq!(bench.take(1, 99), [4]);
    bench.queue.set_credit(ConsumerId(1), Some(5), &mut bench.fx);
    assert_eq!(bench.take(1, 99), [5, 6]);
    bench.queue.set_credit(ConsumerId(1), Some(0), &mut bench.fx);
    bench.ack(1, 1);
    assert!(bench.take(1, 99).is_empty());
}

#[test]
fn a_byte_bound_stops_a_turn_but_never_all_progress() {
    let mut bench = with(|_| ());
    bench.fill(5);
    bench.consumer(1, None);
    let mut out = Vec::new();
    assert_eq!(bench.queue.take(0, ConsumerId(1), 9, 25, &mut out, &mut bench.fx), Taking { taken: 2, more: true });
    assert_eq!(bench.queue.take(0, ConsumerId(1), 9, 1, &mut out, &mut bench.fx), Taking { taken: 1, more: true });
}

#[test]
fn the_allotment_of_a_consumer_that_leaves_or_pauses_goes_to_the_others() {
    let mut bench = with(|_| ());
    for id in 1..=3 {
        bench.consumer(id, Some(10));
    }
    bench.fill(6);
    bench.effects();
    bench.queue.remove_consumer(0, ConsumerId(1), None, &mut bench.fx);
    bench.queue.pause(ConsumerId(2), &mut bench.fx);
    assert!(bench.take(2, 99).is_empty());
    assert_eq!(bench.take(3, 99), [1, 2, 3, 4, 5, 6]);
    bench.fill(5);
    bench.queue.resume(ConsumerId(2), &mut bench.fx);
    assert_eq!(bench.take(2, 99), [7], "an allotment is a count: one message, and whoever comes first takes the head");
    assert_eq!(bench.take(3, 99), [8, 9, 10, 11]);
}

#[test]
fn a_higher_consumer_priority_is_served_first_while_it_has_credit() {
    let mut bench = with(|_| ());
    bench.consumer(1, None);
    let high = ConsumerOptions { credit: Some(2), priority: 10, ..options() };
    bench.queue.add_consumer(ConsumerId(2), high, &mut bench.fx).unwrap();
    bench.fill(3);
    assert_eq!(bench.woken(), [2, 1]);
    assert_eq!((bench.take(2, 99), bench.take(1, 99)), (vec![1, 2], vec![3]));
    bench.ack(2, 1);
    bench.fill(2);
    assert_eq!((bench.take(2, 99), bench.take(1, 99)), (vec![4], vec![5]));
}

#[test]
fn an_exclusive_consumer_stands_alone() {
    let mut bench = with(|_| ());
    let exclusive = ConsumerOptions { exclusive: true, ..options() };
    let add = |bench: &mut Bench, id, options| bench.queue.add_consumer(ConsumerId(id), options, &mut bench.fx);
    assert_eq!(add(&mut bench, 1, exclusive), Ok(()));
    assert_eq!(add(&mut bench, 2, options()), Err(ConsumeError::ExclusivelyUsed));
    assert_eq!(add(&mut bench, 1, options()), Err(ConsumeError::Exists));
    bench.queue.remove_consumer(0, ConsumerId(1), None, &mut bench.fx);
    assert_eq!(add(&mut bench, 2, options()), Ok(()));
    assert_eq!(add(&mut bench, 3, exclusive), Err(ConsumeError::InUse));
    assert_eq!(bench.queue.consumer_count(), 1);
}

#[test]
fn an_exclusive_queue_is_locked_for_other_connections() {
    let bench = with(|config| config.owner = Some(7));
    assert!(!bench.queue.is_locked_for(7) && bench.queue.is_locked_for(8));
}

#[test]
fn the_single_active_consumer_hands_over_when_it_leaves() {
    let mut bench = with(|config| config.single_active_consumer = true);
    for (id, priority) in [(1, 0), (2, 0), (3, 5)] {
        let options = ConsumerOptions { priority, credit: Some(2), ..options() };
        bench.queue.add_consumer(ConsumerId(id), options, &mut bench.fx).unwrap();
    }
    bench.fill(4);
    assert_eq!(bench.effects(), [Effect::Activated(ConsumerId(1)), Effect::Wake(ConsumerId(1))]);
    assert_eq!(bench.take(1, 99), [1, 2]);
    assert!(bench.take(2, 99).is_empty() && bench.take(3, 99).is_empty());
    bench.queue.remove_consumer(0, ConsumerId(1), Some(Leaving::Orderly), &mut bench.fx);
    assert_eq!(bench.effects(), [Effect::Activated(ConsumerId(3)), Effect::Wake(ConsumerId(3))]);
    assert_eq!(bench.take(3, 99), [1, 2]);
    bench.queue.remove_consumer(0, ConsumerId(3), Some(Leaving::Orderly), &mut bench.fx);
    assert_eq!(bench.queue.active_consumer(), Some(ConsumerId(2)));
    assert_eq!(bench.take(2, 99), [1, 2]);
}

#[test]
fn taking_is_settling_for_an_automatic_consumer() {
    let mut bench = with(|_| ());
    bench.put(NewEntry { persistent: true, ..message(1) });
    bench.queue.placed(1, 77, &mut bench.fx);
    bench
        .queue
        .add_consumer(ConsumerId(1), ConsumerOptions { ack: AckMode::Auto, ..options() }, &mut bench.fx)
        .unwrap();
    bench.effects();
    assert_eq!(bench.take(1, 9), [1]);
    assert_eq!(bench.effects(), [Effect::Settled { seq: 1, locator: Some(77) }]);
    assert_eq!(bench.queue.stats().messages(), 0);
}

#[test]
fn a_fetch_takes_the_head_whatever_the_credit_and_is_no_consumer() {
    let mut bench = with(|_| ());
    bench.fill(3);
    let fetch = ConsumerOptions { fetch_only: true, ..options() };
    bench.queue.add_consumer(ConsumerId(9), fetch, &mut bench.fx).unwrap();
    bench.consumer(1, None);
    assert_eq!(bench.queue.consumer_count(), 1);
    assert_eq!(bench.queue.get(0, ConsumerId(9), &mut bench.fx).unwrap().seq, 1);
    assert_eq!(bench.take(1, 9), [2, 3], "the allotment of three finds two");
    assert!(bench.queue.get(0, ConsumerId(9), &mut bench.fx).is_none());
    bench.ack(9, 1);
}

// --- settlement ---

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
    assert_eq!(bench.queue.unacked_of(ConsumerId(1)), 1);
    assert_eq!(bench.queue.remove_consumer(0, ConsumerId(1), Some(Leaving::Orderly), &mut bench.fx), 1);
    bench.consumer(1, None);
    assert_eq!(bench.take(1, 9), [1, 3]);
}

#[test]
fn acknowledging_through_a_message_follows_the_order_of_delivery() {
    let mut bench = with(|_| ());
    bench.fill(5);
    bench.consumer(1, None);
    bench.take(1, 5);
    bench.nack(1, 1, Nack::Requeue);
    bench.take(1, 5); // 1 again, now the last delivered
    let through = bench.queue.ack_through(ConsumerId(1), 4, &mut bench.fx);
    assert_eq!(through, Ok(3), "2, 3 and 4, but neither 5 nor 1");
    assert_eq!(bench.queue.ack_many(ConsumerId(1), [1, 4, 5], &mut bench.fx), 2);
    assert_eq!(bench.queue.stats().messages(), 0);
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
    bench.queue.placed(1, 500, &mut bench.fx);
    bench.consumer(1, None);
    bench.take(1, 9);
    bench.effects();
    bench.queue.ack_many(ConsumerId(1), 1..=3, &mut bench.fx);
    let settled = [Effect::Settled { seq: 1, locator: Some(500) }, Effect::Settled { seq: 2, locator: None }];
    assert_eq!(bench.effects(), settled);
    bench.queue.placed(2, 600, &mut bench.fx); // too late: nobody minds
}

// --- order and time ---

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
fn a_ttl_of_zero_reaches_a_consumer_that_is_there() {
    let mut bench = with(|config| config.message_ttl_ms = Some(0));
    bench.consumer(1, None);
    bench.fill(1);
    bench.at(0);
    assert_eq!(bench.take(1, 1), [1]);
    bench.fill(1);
    bench.at(1);
    assert_eq!(bench.queue.stats().expired_total, 1);
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

// --- limits ---

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
    let mut verdicts = Vec::new();
    bench.queue.enqueue_batch(0, (1..=8).map(message), &mut verdicts, &mut bench.fx);
    assert_eq!(bench.woken(), [1]);
    assert_eq!(bench.queue.stats().dropped_total, 2, "five are as good as taken, one may wait");
    assert_eq!(bench.take(1, 9), [3, 4, 5, 6, 7], "of those that wait the oldest left");
}

#[test]
fn a_duplicate_is_confirmed_and_not_stored() {
    let mut bench = with(|config| {
        config.dedup = Some(DedupWindow { ms: 100, entries: 10 });
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

// --- dead letters ---

#[test]
fn a_dead_letter_moves_in_one_batch_and_is_offered_again_when_that_fails() {
    let mut bench = with(|config| config.dead_letter = true);
    bench.put(NewEntry { persistent: true, ..message(1) });
    bench.queue.placed(1, 900, &mut bench.fx);
    bench.consumer(1, None);
    bench.take(1, 1);
    bench.effects();
    bench.nack(1, 1, Nack::Reject);
    let letter = DeadLetter {
        seq: Some(1),
        body: Body::Resident(1),
        reason: DeadReason::Rejected,
        bytes: 10,
        delivery_count: 0,
        persistent: true,
    };
    assert_eq!(bench.effects(), [Effect::DeadLetter(letter.clone())]);
    assert_eq!((bench.queue.stats().moving, bench.queue.stats().messages()), (1, 1));
    bench.queue.move_failed(0, 1, DeadReason::Rejected);
    let retry = bench.queue.next_deadline().unwrap();
    bench.at(retry);
    assert_eq!(bench.effects(), [Effect::DeadLetter(letter)]);
    bench.queue.moved(1, &mut bench.fx);
    bench.queue.moved(1, &mut bench.fx); // harmless
    assert!(bench.effects().is_empty(), "the caller's batch settled it");
    assert_eq!(bench.queue.stats().messages(), 0);
}

#[test]
fn without_a_dead_letter_target_the_message_is_dropped() {
    let mut bench = with(|_| ());
    bench.put(NewEntry { persistent: true, ..message(1) });
    bench.consumer(1, None);
    bench.take(1, 1);
    bench.effects();
    bench.nack(1, 1, Nack::Reject);
    assert_eq!(bench.effects(), [Effect::Settled { seq: 1, locator: None }]);
    assert_eq!(bench.queue.stats().dropped_total, 1);
}

// --- a queue's life ---

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
