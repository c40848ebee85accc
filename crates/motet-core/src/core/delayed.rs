//! Messages that are published later: they wait in a queue of the vhost's own, and whoever keeps the time publishes
//! them when they are due.
//!
//! The wait is durable where the message is. To leave the queue and to be published is one group, so that a power cut
//! finds a message in one place. Rights are those of the publisher when it published: the caller asks.

use super::broker::{NamedQueue, QueueError};
use super::publish::Refusals;
use super::{Core, Note, Publisher, Receipt, RejectCause, Vhost};
use crate::engine::Engine;
use crate::mailbox::{Mailbox, Pulled};
use crate::message::Batch;
use crate::queue::{ConsumerId, ConsumerOptions};
use crate::queues::Inner;
use crate::route::{NamedTarget, Route};
use crate::session::SessionHandle;
use crate::time::Now;
use std::sync::Arc;
use std::task::Waker;

/// The queue's name, in a tree that nobody can declare in from outside.
const WAITING: &[u8] = b"$delayed";
/// Due messages published in one go.
const TAKE_MESSAGES: usize = 256;
/// Bytes of them, about.
const TAKE_BYTES: usize = 1 << 20;

impl<E: Engine> Core<E> {
    /// Publishes `batch`, whose address is where it shall go, in `delay_ms` milliseconds. Accepted as soon as it waits.
    pub fn publish_delayed(
        &self,
        now: Now,
        publisher: &Publisher,
        batch: Arc<Batch>,
        delay_ms: u64,
        session: Option<(&SessionHandle, &[Note<'_>])>,
    ) -> Receipt {
        let Ok(queue) = self.waiting_room(now, publisher.vhost()) else {
            return Receipt::rejected(RejectCause::QueueFull);
        };
        let named = vec![NamedTarget { queue, delay_ms }];
        let route = Route { named, durable_queues: 1, is_past_tree: true, ..Route::default() };
        self.publish_along(now, publisher.vhost(), 0, &route, batch, session, publisher.refusals())
    }

    /// The queue of a vhost in which messages wait, made when it is first needed.
    fn waiting_room(&self, now: Now, vhost: &Arc<Vhost>) -> Result<Arc<NamedQueue>, QueueError> {
        if let Some(queue) = self.find_queue(vhost, WAITING) {
            return Ok(queue);
        }
        let declared = self.declare_queue(now, vhost, WAITING, self.group_declaration(), 0)?;
        if declared.created {
            self.watch(now, &declared.queue);
        }
        Ok(declared.queue)
    }

    /// After a start: what waited goes on waiting.
    pub(super) fn resume_delayed(&self, now: Now, vhost: &Arc<Vhost>) {
        if let Some(queue) = self.find_queue(vhost, WAITING) {
            self.watch(now, &queue);
        }
    }

    fn watch(&self, now: Now, queue: &Arc<NamedQueue>) {
        let options = ConsumerOptions { credit: Some(TAKE_MESSAGES as u32), ..ConsumerOptions::default() };
        let consumer = self.consume(now, queue, &self.postman, options, 0);
        debug_assert!(consumer.is_ok(), "nobody else consumes from this queue");
    }

    /// Something is due and has not been published yet.
    pub(super) fn has_mail(&self) -> bool {
        self.postman.poll_ready(Waker::noop()).is_ready()
    }

    /// Publishes what is due.
    pub(super) fn deliver_delayed(&self, now: Now) {
        let mut pulled = Pulled::default();
        self.postman.pull(&mut pulled);
        for ready in pulled.ready {
            let Some((queue, vhost)) = ready.queue.named().and_then(|q| q.vhost().map(|v| (q, v))) else { continue };
            let mut taken = Vec::new();
            loop {
                let took = self.take_from(now, &ready.queue, ready.consumer, TAKE_MESSAGES, TAKE_BYTES, &mut taken);
                for delivery in taken.drain(..) {
                    let batch = delivery.queued.message.alone(delivery.queued.message.message().expires_at);
                    self.publish_due(now, &vhost, &queue, ready.consumer, delivery.seq, batch);
                }
                if !took.more {
                    break;
                }
            }
        }
    }

    fn publish_due(
        &self,
        now: Now,
        vhost: &Arc<Vhost>,
        queue: &Arc<NamedQueue>,
        consumer: ConsumerId,
        seq: u64,
        batch: Arc<Batch>,
    ) {
        let mut stage = self.engine.stage_release();
        let mut inner = queue.cell().inner.lock();
        let Inner { queue: q, fx, .. } = &mut *inner;
        // Purged meanwhile: whoever did that wanted it gone.
        let is_mine = q.awake().ack(consumer, seq, fx).is_ok();
        let after = self.carry_out(queue.cell(), &mut inner, Some(&mut stage));
        drop(inner);
        if is_mine {
            let route = Route::compute(vhost, batch.address());
            self.publish_staged(now, vhost, 0, &route, batch, None, Refusals::Impossible, Some(stage));
        } else {
            drop(stage);
        }
        self.carry_on(now, after);
    }
}

/// Who publishes what is due; only told that there is something.
pub(super) fn postman() -> Arc<Mailbox> {
    Mailbox::new(0, crate::mailbox::Overflow::DropNewest)
}
