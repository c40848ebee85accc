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
