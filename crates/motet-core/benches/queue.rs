//! What a message costs in the queue, in nanoseconds: `cargo bench -p motet-core --bench queue`.
//!
//! Every line runs for about a tenth of a second and prints the best of five rounds.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use motet_core::queue::{
    AckMode, ConsumerId, ConsumerOptions, Effects, Leaving, MemoryWindow, NewEntry, Queue, QueueConfig, Taken,
};

type Body = Arc<[u8; 64]>;

fn entry(body: &Body, priority: u8, persistent: bool) -> NewEntry<'static, Body> {
    NewEntry {
        message: body.clone(),
        bytes: 64,
        priority,
        expires_at_ms: None,
        deliver_at_ms: None,
        dedup_id: None,
        persistent,
    }
}

struct Bench {
    queue: Queue<Body>,
    fx: Effects<Body>,
    out: Vec<Taken<Body>>,
    body: Body,
}

impl Bench {
    fn new(config: QueueConfig) -> Self {
        Self { queue: Queue::new(config, 0), fx: Effects::new(), out: Vec::new(), body: Arc::new([7; 64]) }
    }

    fn consumer(mut self, id: u64, credit: Option<u32>, ack: AckMode) -> Self {
        let options = ConsumerOptions { credit, ack, ..ConsumerOptions::default() };
        self.queue.add_consumer(ConsumerId(id), options, &mut self.fx).unwrap();
        self
    }

    fn fill(&mut self, n: u64, priorities: u64, persistent: bool) {
        for i in 0..n {
            let new = entry(&self.body, (i % priorities) as u8, persistent);
            self.queue.enqueue(0, new, &mut self.fx);
            if persistent {
                self.queue.placed(self.queue.last_seq(), i);
            }
            self.fx.drain();
        }
    }

    /// Takes up to `max` for the consumer and acknowledges them one by one.
    fn take_and_ack(&mut self, id: u64, max: usize) -> usize {
        self.out.clear();
        self.queue.take(0, ConsumerId(id), max, usize::MAX, &mut self.out, &mut self.fx);
        for taken in self.out.drain(..) {
            black_box(&taken.body);
            let _ = self.queue.ack(ConsumerId(id), taken.seq, &mut self.fx);
        }
        self.fx.drain().count()
    }
}

/// Best of five rounds, nanoseconds per unit; `round` returns how many units it did and is timed as a whole.
fn best(name: &str, mut round: impl FnMut() -> (u64, std::time::Duration)) {
    let rounds = (0..5).map(|_| round()).map(|(units, took)| took.as_nanos() as f64 / units as f64);
    println!("{name:<58} {:>8.1} ns", rounds.fold(f64::INFINITY, f64::min));
}

fn steady(name: &str, config: QueueConfig, batch: u64, priorities: u64, persistent: bool, ack: AckMode) {
    let mut bench = Bench::new(config).consumer(1, Some(1_000), ack);
    let rounds = 500_000 / batch;
    best(name, || {
        let began = Instant::now();
        for _ in 0..rounds {
            bench.fill(batch, priorities, persistent);
            bench.take_and_ack(1, batch as usize);
        }
        assert_eq!(bench.queue.stats().messages(), 0);
        (rounds * batch, began.elapsed())
    });
}

fn main() {
    let plain = QueueConfig::default;
    steady("enqueue+take+ack, one by one", plain(), 1, 1, false, AckMode::Manual);
    steady("enqueue+take+ack, batches of 64", plain(), 64, 1, false, AckMode::Manual);
    steady("enqueue+take, automatic, batches of 64", plain(), 64, 1, false, AckMode::Auto);
    steady("enqueue+placed+take+ack, durable, batches of 64", plain(), 64, 1, true, AckMode::Manual);
    let ttl = QueueConfig { message_ttl_ms: Some(60_000), ..plain() };
    steady("enqueue+take+ack, with TTL, batches of 64", ttl, 64, 1, false, AckMode::Manual);
    let priorities = QueueConfig { max_priority: 9, ..plain() };
    steady("enqueue+take+ack, ten priorities, batches of 64", priorities, 64, 10, false, AckMode::Manual);

    best("eight competing consumers, batches of 64", || {
        let mut bench = Bench::new(plain());
        for id in 0..8 {
            bench = bench.consumer(id, Some(100), AckMode::Manual);
        }
        let began = Instant::now();
        for _ in 0..8_000 {
            bench.fill(64, 1, false);
            for id in 0..8 {
                bench.take_and_ack(id, 64);
            }
        }
        assert_eq!(bench.queue.stats().messages(), 0);
        (8_000 * 64, began.elapsed())
    });

    best("fill 1 M deep, resident", || {
        let mut bench = Bench::new(plain());
        let began = Instant::now();
        bench.fill(1_000_000, 1, false);
        (1_000_000, began.elapsed())
    });

    let window = MemoryWindow { messages: 1_000, bytes: 1 << 20 };
    best("fill 1 M deep, placed and paged out", || {
        let mut bench = Bench::new(QueueConfig { window, ..plain() });
        let began = Instant::now();
        bench.fill(1_000_000, 1, true);
        (1_000_000, began.elapsed())
    });
    let mut bench = Bench::new(QueueConfig { window, ..plain() });
    bench.fill(1_000_000, 1, true);
    println!("{:<58} {:>8.1} B", "memory per paged-out message", bench.queue.heap_bytes() as f64 / 1e6);
    println!("{:<58} {:>8} B", "an idle queue, without its heap", size_of::<Queue<Body>>());

    best("requeue by closing a channel, 100 k of 1 M", || {
        let mut bench = Bench::new(plain()).consumer(1, None, AckMode::Manual);
        bench.fill(1_000_000, 1, false);
        let mut out = Vec::new();
        bench.queue.take(0, ConsumerId(1), 100_000, usize::MAX, &mut out, &mut bench.fx);
        let began = Instant::now();
        let returned = bench.queue.remove_consumer(0, ConsumerId(1), Some(Leaving::Orderly), &mut bench.fx);
        assert_eq!(returned, 100_000);
        (100_000, began.elapsed())
    });
    best("taking 100 k returned messages again", || {
        let mut bench = Bench::new(plain()).consumer(1, None, AckMode::Manual);
        bench.fill(200_000, 1, false);
        let mut out = Vec::new();
        bench.queue.take(0, ConsumerId(1), 100_000, usize::MAX, &mut out, &mut bench.fx);
        bench.queue.requeue_all(0, ConsumerId(1), Leaving::Orderly, &mut bench.fx);
        out.clear();
        let began = Instant::now();
        bench.queue.take(0, ConsumerId(1), 100_000, usize::MAX, &mut out, &mut bench.fx);
        assert_eq!(out.len(), 100_000);
        (100_000, began.elapsed())
    });
}
