//! A queue that has nothing and that nobody takes from is put to sleep: of a hundred thousand sessions most are that, and what
//! such a queue must remember is a tenth of what a queue at work needs.
//!
//! *Asleep* it answers questions; whoever wants to change it calls [`Sleeper::awake`]. Only [`Sleeper::rest`] puts it to sleep.

use std::sync::Arc;

use super::{ConsumerId, Departures, Handle, Queue, QueueConfig, QueueStats, SentMarks};

/// A [`Queue`], awake or asleep.
pub struct Sleeper<M> {
    /// Boxed, so that those who sleep do not keep its room.
    awake: Option<Box<Queue<M>>>,
    /// Of the time asleep; not kept up while awake.
    memory: Memory,
}

/// What a queue is when it has nothing and nobody.
struct Memory {
    config: Arc<QueueConfig>,
    last_seq: u64,
    sent_through: u64,
    last_used_ms: u64,
    /// Its totals; `None` while it never had a message.
    totals: Option<Box<QueueStats>>,
}

impl<M: Handle> Sleeper<M> {
    /// A new queue, asleep.
    pub fn new(config: impl Into<Arc<QueueConfig>>, now_ms: u64) -> Self {
        let config = config.into();
        let memory = Memory { config, last_seq: 0, sent_through: 0, last_used_ms: now_ms, totals: None };
        Self { awake: None, memory }
    }

    /// The queue, to be changed.
    pub fn awake(&mut self) -> &mut Queue<M> {
        let memory = &mut self.memory;
        self.awake.get_or_insert_with(|| {
            let mut queue = Queue::starting_after(memory.config.clone(), memory.last_seq, memory.last_used_ms);
            queue.sent_through = memory.sent_through;
            queue.stats = memory.totals.take().map(|totals| *totals).unwrap_or_default();
            Box::new(queue)
        })
    }

    /// Nobody takes for now: gives back what was only kept to be used again soon, and falls asleep when nothing waits,
    /// for a message or for a time.
    pub fn rest(&mut self) {
        let Some(queue) = &mut self.awake else { return };
        queue.rest();
        if !queue.may_sleep() {
            return;
        }
        let queue = self.awake.take().expect("it was awake a moment ago");
        let totals = (queue.stats != QueueStats::default()).then(|| Box::new(queue.stats));
        self.memory = Memory {
            last_seq: queue.last_seq(),
            sent_through: queue.sent_through,
            last_used_ms: queue.last_used_ms,
            config: queue.config,
            totals,
        };
    }

    /// See [`Queue::config`].
    pub fn config(&self) -> &QueueConfig {
        self.awake.as_ref().map_or(&self.memory.config, |queue| queue.config())
    }

    /// See [`Queue::stats`].
    pub fn stats(&self) -> QueueStats {
        match &self.awake {
            Some(queue) => queue.stats(),
            None => self.memory.totals.as_deref().copied().unwrap_or_default(),
        }
    }

    /// See [`Queue::unclaimed`]; asleep there is nothing.
    pub fn unclaimed(&self) -> u64 {
        self.awake.as_ref().map_or(0, |queue| queue.unclaimed())
    }

    /// See [`Queue::departures`]; who sleeps never had any.
    pub fn departures(&self) -> Departures {
        self.awake.as_ref().map_or(Departures::default(), |queue| queue.departures())
    }

    /// See [`Queue::consumer_count`].
    pub fn consumer_count(&self) -> u64 {
        self.awake.as_ref().map_or(0, |queue| queue.consumer_count())
    }

    /// See [`Queue::next_deadline`]; asleep there is none.
    pub fn next_deadline(&self) -> Option<u64> {
        self.awake.as_ref()?.next_deadline()
    }

    /// See [`Queue::last_used_ms`].
    pub fn last_used_ms(&self) -> u64 {
        self.awake.as_ref().map_or(self.memory.last_used_ms, |queue| queue.last_used_ms())
    }

    /// See [`Queue::touch`].
    pub fn touch(&mut self, now_ms: u64) {
        match &mut self.awake {
            Some(queue) => queue.touch(now_ms),
            None => self.memory.last_used_ms = now_ms,
        }
    }

    /// See [`Queue::active_consumer`].
    pub fn active_consumer(&self) -> Option<ConsumerId> {
        self.awake.as_ref()?.active_consumer()
    }

    /// See [`Queue::is_filled_to`].
    pub fn is_filled_to(&self, percent: u32) -> bool {
        self.awake.as_ref().is_some_and(|queue| queue.is_filled_to(percent))
    }

    /// See [`Queue::sent_marks`].
    pub fn sent_marks(&self) -> Option<SentMarks> {
        match &self.awake {
            Some(queue) => queue.sent_marks(),
            None => Some(SentMarks::all_through(self.memory.sent_through)),
        }
    }

    /// See [`Queue::relocated`].
    pub fn relocated(&mut self, seq: u64, locator: u64) {
        if let Some(queue) = &mut self.awake {
            queue.relocated(seq, locator);
        }
    }
}

impl<M: Handle> From<Queue<M>> for Sleeper<M> {
    fn from(queue: Queue<M>) -> Self {
        let memory = Memory {
            config: queue.config.clone(),
            last_seq: 0,
            sent_through: 0,
            last_used_ms: queue.last_used_ms,
            totals: None,
        };
        let mut sleeper = Self { awake: Some(Box::new(queue)), memory };
        sleeper.rest();
        sleeper
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{message, options};
    use super::*;
    use crate::queue::{DedupWindow, Effect, Effects, Leaving, MemoryWindow, NewEntry};

    const WORKER: ConsumerId = ConsumerId(1);

    fn sleeps(sleeper: &Sleeper<u64>) -> bool {
        sleeper.awake.is_none()
    }

    #[test]
    fn asleep_a_queue_is_an_eighth_of_itself() {
        assert!(size_of::<Sleeper<u64>>() * 8 <= size_of::<Queue<u64>>());
    }

    #[test]
    fn who_wakes_goes_on_where_it_fell_asleep() {
        let (mut sleeper, mut fx) = (Sleeper::new(QueueConfig::default(), 0), Effects::new());
        sleeper.awake().add_consumer(WORKER, options(), &mut fx).unwrap();
        for n in 1..=3 {
            sleeper.awake().enqueue(5, message(n), &mut fx);
            sleeper.awake().take(5, WORKER, 1, usize::MAX, &mut Vec::new(), &mut fx);
            sleeper.awake().ack(WORKER, n, &mut fx).unwrap();
        }
        sleeper.rest();
        assert!(!sleeps(&sleeper), "somebody takes");
        sleeper.awake().remove_consumer(7, WORKER, Some(Leaving::Broken), &mut fx);
        let (stats, used) = (sleeper.stats(), sleeper.last_used_ms());
        sleeper.rest();
        assert!(sleeps(&sleeper));
        assert_eq!((sleeper.stats(), sleeper.last_used_ms()), (stats, used));
        assert_eq!(stats.acked_total, 3);
        assert_eq!(sleeper.awake().enqueue(8, message(4), &mut fx), super::super::Verdict::Enqueued { seq: 4 });
        assert_eq!(sleeper.stats().enqueued_total, 4);
    }

    #[test]
    fn who_waits_for_a_read_stays_awake_until_it_has_come() {
        let (window, mut fx) = (MemoryWindow { messages: 4, bytes: 1 << 20 }, Effects::new());
        let config = QueueConfig { window, durable: true, resident_only: true, ..QueueConfig::default() };
        let mut sleeper = Sleeper::new(config, 0);
        for seq in 1..=100 {
            sleeper.awake().enqueue(0, NewEntry { persistent: true, ..message(seq) }, &mut fx);
            sleeper.awake().placed(seq, seq);
        }
        sleeper.awake().add_consumer(WORKER, options(), &mut fx).unwrap();
        sleeper.awake().take(0, WORKER, 9, usize::MAX, &mut Vec::new(), &mut fx);
        let asked: Vec<_> = fx
            .drain()
            .flat_map(|effect| if let Effect::NeedRead { entries } = effect { entries } else { Vec::new() })
            .collect();
        assert!(!asked.is_empty());
        sleeper.awake().remove_consumer(0, WORKER, Some(Leaving::Orderly), &mut fx);
        sleeper.awake().purge(u64::MAX, &mut fx);
        sleeper.rest();
        assert!(!sleeps(&sleeper), "a read is on its way");
        asked.iter().for_each(|(seq, _)| sleeper.awake().loaded(*seq, *seq, &mut fx));
        sleeper.rest();
        assert!(sleeps(&sleeper));
    }

    #[test]
    fn whoever_has_a_message_or_waits_for_a_time_stays_awake() {
        let mut fx = Effects::new();
        let mut full = Sleeper::new(QueueConfig::default(), 0);
        full.awake().enqueue(0, message(1), &mut fx);
        let expiring = Sleeper::from(Queue::<u64>::new(QueueConfig { expires_ms: Some(9), ..Default::default() }, 0));
        let window = Some(DedupWindow { while_present: false, ms: 1_000, entries: 10 });
        let dedup = Sleeper::from(Queue::<u64>::new(QueueConfig { dedup: window, ..Default::default() }, 0));
        full.rest();
        assert!(!sleeps(&full) && !sleeps(&expiring) && !sleeps(&dedup));
        assert_eq!(expiring.next_deadline(), Some(9));
        assert!(sleeps(&Sleeper::from(Queue::<u64>::new(QueueConfig::default(), 0))));
    }
}
