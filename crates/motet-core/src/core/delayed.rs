//! Messages that are published later: they wait in queues of the vhost's own, and whoever keeps the time publishes
//! them when they are due.
//!
//! The wait is durable where the message is. To leave the queue and to be published is one group, so that a power cut
//! finds a message in one place. Rights are those of the publisher when it published: the caller asks.
//!
//! There are two such queues: one for messages on their way to a name of the topic tree, and one for those that a delayed
//! exchange holds back (`broker/put_off.rs`).

use super::broker::{NamedQueue, QueueDeclaration, QueueError};
use super::publish::Refusals;
use super::{Core, Note, Publisher, Receipt, RejectCause, Vhost};
use crate::engine::Engine;
use crate::exchange::DeclareError;
use crate::mailbox::{Mailbox, Pulled};
use crate::message::{Batch, MessageRef};
use crate::queue::{ConsumerId, ConsumerOptions};
use crate::queues::Inner;
use crate::route::{NamedTarget, Route};
use crate::session::SessionHandle;
use crate::time::Now;
use bytes::Bytes;
use std::sync::Arc;
use std::task::Waker;

/// The queue of what goes to a name.
const NAMES_WAIT: &[u8] = b"$delayed";
/// The queue of what an exchange holds back.
pub(crate) const EXCHANGES_WAIT: &[u8] = b"$delayed/exchanges";
/// Due messages taken in one go, to be published in the order of their times.
const TAKE_MESSAGES: usize = 1_024;
/// Bytes of them, about.
const TAKE_BYTES: usize = 4 << 20;

/// Whether this is the name of a queue in which messages wait for their time.
pub(super) fn is_room(name: &[u8]) -> bool {
    name == NAMES_WAIT || name == EXCHANGES_WAIT
}

/// The queues of a vhost in which messages wait for their time.
pub(super) fn rooms(vhost: &Vhost) -> Vec<Arc<NamedQueue>> {
    let topology = vhost.topology();
    [NAMES_WAIT, EXCHANGES_WAIT].iter().filter_map(|name| topology.queue_named(name).cloned()).collect()
}

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
        let Ok(queue) = self.waiting_room(now, publisher.vhost(), NAMES_WAIT, || self.group_declaration()) else {
            return Receipt::rejected(RejectCause::QueueFull);
        };
        let named = vec![NamedTarget { queue, delay_ms }];
        let route = Route { named, durable_queues: 1, is_past_tree: true, ..Route::default() };
        self.publish_along(now, publisher.vhost(), 0, &route, batch, session, publisher.refusals())
    }

    /// Before a vhost has a delayed exchange, it has the queue where that one's messages wait: unbounded, as queues are
    /// whose declaration says nothing else, with most of it on disk.
    pub(super) fn open_waiting_room(&self, now: Now, vhost: &Arc<Vhost>) -> Result<(), DeclareError> {
        let declaration = || QueueDeclaration { durable: true, ..QueueDeclaration::default() };
        match self.waiting_room(now, vhost, EXCHANGES_WAIT, declaration) {
            Ok(_) => Ok(()),
            Err(QueueError::Limit(limit)) => Err(DeclareError::Limit(usize::try_from(limit).unwrap_or(usize::MAX))),
            // The vhost is going, and with it what is declared there.
            Err(_) => Ok(()),
        }
    }

    /// A queue of a vhost in which messages wait, made when it is first needed.
    fn waiting_room(
        &self,
        now: Now,
        vhost: &Arc<Vhost>,
        name: &[u8],
        declaration: impl FnOnce() -> QueueDeclaration,
    ) -> Result<Arc<NamedQueue>, QueueError> {
        if let Some(queue) = vhost.topology().queue_named(name).cloned() {
            return Ok(queue);
        }
        let declared = self.declare_unknown(now, vhost, Bytes::copy_from_slice(name), declaration(), 0)?;
        if declared.created {
            self.watch(now, &declared.queue);
        }
        Ok(declared.queue)
    }

    /// After a start: what waited goes on waiting.
    pub(super) fn resume_delayed(&self, now: Now, vhost: &Arc<Vhost>) {
        rooms(vhost).iter().for_each(|queue| self.watch(now, queue));
        let is_needed = vhost.topology().has_delayed_exchange();
        // Releases before had none; the bound of queues is not asked of what is there already.
        if is_needed && self.open_waiting_room(now, vhost).is_err() {
            self.counters.damaged.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
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
                // What was due while nobody looked is published in the order of its times.
                taken.sort_by_key(|delivery| (deliver_at(&delivery.queued.message), delivery.seq));
                for delivery in taken.drain(..) {
                    self.publish_due(now, &vhost, &queue, ready.consumer, delivery.seq, &delivery.queued.message);
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
        message: &MessageRef,
    ) {
        let mut stage = self.engine.stage_release();
        let mut inner = queue.cell().inner.lock();
        let Inner { queue: q, fx, .. } = &mut *inner;
        // Purged meanwhile: whoever did that wanted it gone.
        let is_mine = q.awake().ack(consumer, seq, fx).is_ok();
        let after = self.carry_out(queue.cell(), &mut inner, Some(&mut stage));
        drop(inner);
        if is_mine {
            let (route, batch) = match &queue.name()[..] {
                EXCHANGES_WAIT => super::broker::set_off(now, vhost, message),
                _ => {
                    let batch = message.alone(message.message().expires_at);
                    (Route::compute(vhost, batch.address()), batch)
                }
            };
            self.publish_staged(now, vhost, 0, &route, batch, None, Refusals::Impossible, Some(stage));
        } else {
            drop(stage);
        }
        self.carry_on(now, after);
    }
}

fn deliver_at(message: &MessageRef) -> Option<u64> {
    message.message().properties.as_deref().and_then(|properties| properties.deliver_at)
}

/// Who publishes what is due; only told that there is something.
pub(super) fn postman() -> Arc<Mailbox> {
    Mailbox::new(0, crate::mailbox::Overflow::DropNewest)
}
