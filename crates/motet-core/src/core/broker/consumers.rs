//! Consumers of queues with names: they come, are told, fetch, settle and leave.

use super::NamedQueue;
use crate::core::Core;
use crate::core::after::After;
use crate::core::consume::Delivery;
use crate::engine::{Engine, Position, Stage};
use crate::mailbox::Mailbox;
use crate::queue::{ConsumeError, ConsumerId, ConsumerOptions, Leaving};
use crate::queues::{Inner, Listener};
use crate::time::Now;
use crate::transaction::Settlement;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The answer to a fetch.
#[derive(Debug, Clone)]
pub enum Got {
    /// The next message, and how many wait behind it.
    Message(Box<Delivery>, u64),
    /// None waits.
    Empty,
    /// The next message is being read: the mailbox announces the consumer when it is there, then ask again.
    Later,
}

/// One delivery settled.
#[derive(Debug, Clone)]
pub struct Settle {
    /// Where it came from.
    pub queue: Arc<NamedQueue>,
    /// Who holds it.
    pub consumer: ConsumerId,
    /// Its sequence there.
    pub seq: u64,
    /// How.
    pub settlement: Settlement,
}

/// The answer to [`Core::settle_many`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// When that is durable. Nothing waits for it unless the protocol answers.
    pub position: Option<Position>,
    /// How many were not held by the consumer named. The queue was deleted, or the peer is mistaken.
    pub unknown: usize,
}

impl<E: Engine> Core<E> {
    /// Adds a consumer to a queue. `mailbox` is told with `tag` whenever the queue has something for it; with
    /// [`ConsumerOptions::fetch_only`] it is for [`Core::get`] alone.
    ///
    /// # Errors
    /// [`ConsumeError`]; of a stream `Gone`, see [`Core::consume_stream`]. Whether the queue is another connection's is for the caller to ask.
    pub fn consume(
        &self,
        now: Now,
        queue: &Arc<NamedQueue>,
        mailbox: &Arc<Mailbox>,
        options: ConsumerOptions,
        tag: u64,
    ) -> Result<ConsumerId, ConsumeError> {
        let id = ConsumerId(self.next_consumer.fetch_add(1, Ordering::Relaxed));
        self.with_queue(now, queue, |inner| {
            if inner.gone || inner.stream.is_some() {
                return Err(ConsumeError::Gone);
            }
            if !options.fetch_only && inner.consumer_count() >= self.limits.consumers_per_queue {
                return Err(ConsumeError::Limit(self.limits.consumers_per_queue));
            }
            let Inner { queue: q, fx, .. } = &mut *inner;
            q.touch(now.wall.0);
            q.awake().add_consumer(id, options, fx)?;
            inner.consumers.add(Listener { id, mailbox: mailbox.clone(), tag });
            if !options.fetch_only {
                queue.note_consumer();
            }
            Ok(id)
        })
    }

    /// The consumer receives nothing more; what it holds is still its own to settle. An auto-delete queue goes with its
    /// last consumer.
    pub fn cancel(&self, now: Now, queue: &Arc<NamedQueue>, consumer: ConsumerId) {
        self.part(now, queue, consumer, None);
    }

    /// The consumer is gone: what it holds goes back to its place.
    pub fn leave(&self, now: Now, queue: &Arc<NamedQueue>, consumer: ConsumerId, leaving: Leaving) {
        self.part(now, queue, consumer, Some(leaving));
    }

    fn part(&self, now: Now, queue: &Arc<NamedQueue>, consumer: ConsumerId, requeue: Option<Leaving>) {
        let last = self.with_queue(now, queue, |inner| {
            let Inner { queue: q, fx, .. } = &mut *inner;
            q.awake().remove_consumer(now.wall.0, consumer, requeue, fx);
            inner.consumers.remove(consumer);
            if let Some(part) = &mut inner.stream {
                part.part(consumer);
            }
            !inner.gone && inner.consumer_count() == 0
        });
        if last && queue.goes_with_consumers() {
            // Refused when somebody came meanwhile.
            let _ = self.delete_queue(now, queue, true, false);
        }
        if last && queue.is_group() {
            self.end_group(now, queue);
        }
    }

    /// Everything the consumer holds goes back to its place, and the consumer stays. // AMQP 0-9-1 basic.recover
    pub fn requeue_held(&self, now: Now, queue: &Arc<NamedQueue>, consumer: ConsumerId) -> usize {
        self.with_queue(now, queue, |inner| {
            let Inner { queue: q, fx, .. } = &mut *inner;
            q.awake().requeue_all(now.wall.0, consumer, Leaving::Orderly, fx)
        })
    }

    /// Unacknowledged deliveries the consumer takes at a time; `None` is unlimited.
    pub fn set_credit(&self, now: Now, queue: &Arc<NamedQueue>, consumer: ConsumerId, credit: Option<u32>) {
        let mut after = After::default();
        self.with_queue(now, queue, |inner| {
            if let Some(part) = &mut inner.stream {
                return part.set_credit(queue.cell(), consumer, credit, &mut after);
            }
            let Inner { queue: q, fx, .. } = &mut *inner;
            q.awake().set_credit(consumer, credit, fx);
        });
        self.carry_on(now, after);
    }

    /// The consumer takes nothing for now; what was allotted to it goes to the others. // AMQP 0-9-1 channel.flow
    pub fn pause(&self, now: Now, queue: &Arc<NamedQueue>, consumer: ConsumerId, paused: bool) {
        self.with_queue(now, queue, |inner| {
            let Inner { queue: q, fx, .. } = &mut *inner;
            if paused {
                q.awake().pause(consumer, fx);
            } else {
                q.awake().resume(consumer, fx);
            }
        });
    }

    /// Fetches the next message for a consumer, whatever its credit. It holds it, unless it settles by taking.
    pub fn get(&self, now: Now, queue: &Arc<NamedQueue>, consumer: ConsumerId) -> Got {
        let fetch = |inner: &mut Inner| {
            let Inner { queue: q, fx, .. } = &mut *inner;
            q.touch(now.wall.0);
            // Others stage between the slices.
            if q.awake().passes_over_stale(now.wall.0, fx) {
                return None;
            }
            // What was published while a consumer waited is that consumer's, though it has yet to come for it.
            if q.awake().has_nothing_for(consumer) {
                return Some(Got::Empty);
            }
            if q.awake().head_is_away(now.wall.0, fx) {
                let pending = inner.pending.get_or_insert_default();
                if !pending.fetching.contains(&consumer) {
                    pending.fetching.push(consumer);
                }
                return Some(Got::Later);
            }
            Some(match q.awake().get(now.wall.0, consumer, fx).and_then(Delivery::of) {
                Some(delivery) => Got::Message(Box::new(delivery), inner.unclaimed()),
                None => Got::Empty,
            })
        };
        let got = loop {
            if let Some(got) = self.with_queue(now, queue, fetch) {
                break got;
            }
        };
        self.counters.delivered.fetch_add(u64::from(matches!(got, Got::Message(..))), Ordering::Relaxed);
        got
    }

    /// Settles deliveries of any queues and consumers, in order and in one atomic group.
    pub fn settle_many(&self, now: Now, settles: &[Settle]) -> Settled {
        let needs_stage = settles.iter().any(|settle| settle.queue.cell().needs_stage());
        let durable = settles.iter().any(|settle| settle.queue.cell().is_durable());
        let mut stage = needs_stage.then(|| self.engine.stage_release());
        let mut after = After::default();
        let mut unknown = 0;
        // One queue's are settled under one lock as long as they follow one another.
        for run in settles.chunk_by(|a, b| Arc::ptr_eq(&a.queue, &b.queue)) {
            let cell = run[0].queue.cell();
            let mut inner = cell.inner.lock();
            if let Some(part) = &mut inner.stream {
                let settled = run.iter().filter(|s| part.settle(cell, s.consumer, s.seq, &mut after)).count();
                unknown += run.len() - settled;
                continue;
            }
            let Inner { queue: q, fx, .. } = &mut *inner;
            for settle in run {
                let settled = match settle.settlement {
                    Settlement::Ack => q.awake().ack(settle.consumer, settle.seq, fx),
                    Settlement::Nack(nack) => q.awake().nack(now.wall.0, settle.consumer, settle.seq, nack, fx),
                };
                unknown += usize::from(settled.is_err());
                if self.trace.is_on() && settle.settlement == Settlement::Ack {
                    self.trace.acknowledged(cell.id(), settle.seq, &String::from_utf8_lossy(settle.queue.name()));
                }
            }
            self.carry_out_into(cell, &mut inner, stage.as_mut(), &mut after);
        }
        self.bury(now, &mut after, stage.as_mut());
        let position = stage.map(Stage::finish).filter(|_| durable);
        self.carry_on(now, after);
        Settled { position, unknown }
    }

    /// One call on a queue with all that follows from it, in a stage of its own.
    fn with_queue<T>(&self, now: Now, queue: &Arc<NamedQueue>, call: impl FnOnce(&mut Inner) -> T) -> T {
        let cell = queue.cell();
        let mut stage = cell.needs_stage().then(|| self.engine.stage_release());
        let mut inner = cell.inner.lock();
        let answer = call(&mut inner);
        let mut after = self.carry_out(cell, &mut inner, stage.as_mut());
        drop(inner);
        self.bury(now, &mut after, stage.as_mut());
        drop(stage);
        self.carry_on(now, after);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::CoreLimits;
    use crate::core::broker::QueueDeclaration;
    use crate::fake::FakeEngine;
    use crate::mailbox::Overflow;

    #[test]
    fn a_queue_has_as_many_consumers_as_it_may_and_room_when_one_leaves() {
        let limits = CoreLimits { consumers_per_queue: 20, ..CoreLimits::default() };
        let (core, now) = (Core::new(FakeEngine::default(), limits), Now::default());
        let queue = core.declare_queue(now, core.vhost(), b"q", QueueDeclaration::default(), 0).expect("room").queue;
        let mailbox = Mailbox::new(1024, Overflow::default());
        let consume = |options| core.consume(now, &queue, &mailbox, options, 0);
        let all: Vec<_> = (0..20).map(|_| consume(ConsumerOptions::default()).expect("room")).collect();
        assert_eq!(consume(ConsumerOptions::default()), Err(ConsumeError::Limit(20)));
        assert!(consume(ConsumerOptions { fetch_only: true, ..ConsumerOptions::default() }).is_ok());
        core.leave(now, &queue, all[7], Leaving::Orderly);
        assert!(consume(ConsumerOptions::default()).is_ok());
    }
}
