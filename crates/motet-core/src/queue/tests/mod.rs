//! The queue by example: each test is a sentence, the bench below makes it short.

mod dead;
mod deep;
mod dispatch;
mod life;
mod limits;
mod model;
mod settlement;
mod time;

use super::*;

/// A queue, its clock and its effects, driven by hand.
struct Bench {
    queue: Queue<u64>,
    fx: Effects<u64>,
    now: u64,
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
    fn new(config: QueueConfig) -> Self {
        Self { queue: Queue::new(config, 0), fx: Effects::new(), now: 0 }
    }

    fn put(&mut self, entry: NewEntry<'_, u64>) -> Verdict {
        self.queue.enqueue(self.now, entry, &mut self.fx)
    }

    /// Enqueues `1..=n` as plain messages; in a new queue the body is the sequence number.
    fn fill(&mut self, n: u64) {
        for i in 1..=n {
            assert!(matches!(self.put(message(i)), Verdict::Enqueued { .. }));
        }
    }

    fn consumer(&mut self, id: u64, credit: Option<u32>) {
        let options = ConsumerOptions { credit, ..ConsumerOptions::default() };
        self.queue.add_consumer(ConsumerId(id), options, &mut self.fx).unwrap();
    }

    fn taken(&mut self, id: u64, max: usize) -> Vec<Taken<u64>> {
        let mut out = Vec::new();
        self.queue.take(self.now, ConsumerId(id), max, usize::MAX, &mut out, &mut self.fx);
        out
    }

    fn take(&mut self, id: u64, max: usize) -> Vec<u64> {
        self.taken(id, max).into_iter().map(|taken| taken.seq).collect()
    }

    fn ack(&mut self, id: u64, seq: u64) {
        self.queue.ack(ConsumerId(id), seq, &mut self.fx).unwrap();
    }

    fn nack(&mut self, id: u64, seq: u64, nack: Nack) {
        self.queue.nack(self.now, ConsumerId(id), seq, nack, &mut self.fx).unwrap();
    }

    fn at(&mut self, now: u64) {
        self.now = now;
        self.queue.on_deadline(now, &mut self.fx);
    }

    fn effects(&mut self) -> Vec<Effect<u64>> {
        self.fx.drain().collect()
    }

    fn woken(&mut self) -> Vec<u64> {
        let wakes = self.fx.drain().filter_map(|effect| if let Effect::Wake(id) = effect { Some(id.0) } else { None });
        wakes.collect()
    }

    /// (sequence, reason) of the dead letters since the last look.
    fn dead(&mut self) -> Vec<(Option<u64>, DeadReason)> {
        let dead = self.fx.drain().filter_map(|effect| match effect {
            Effect::DeadLetter(letter) => Some((letter.seq, letter.reason)),
            _ => None,
        });
        dead.collect()
    }
}

fn with(change: impl FnOnce(&mut QueueConfig)) -> Bench {
    let mut config = QueueConfig::default();
    change(&mut config);
    Bench::new(config)
}

pub(super) fn options() -> ConsumerOptions {
    ConsumerOptions::default()
}
