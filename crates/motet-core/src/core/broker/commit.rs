//! A transaction is carried out in one stage: all of it survives a crash, or nothing.

use super::NamedQueue;
use crate::core::after::After;
use crate::core::fanout::SharedBodies;
use crate::core::{Core, Publisher};
use crate::engine::{Engine, Position, Refused, Stage};
use crate::message::{Batch, PublisherId};
use crate::queues::Inner;
use crate::route::{KnownName, NamedTarget, Route};
use crate::time::Now;
use crate::transaction::{Settlement, Transaction, TransactionFull, Unit};
use std::cmp::Ordering as Order;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A publication in a transaction, with the route it had when it was published.
#[derive(Debug, Clone)]
pub struct TxMessage {
    batch: Arc<Batch>,
    route: Arc<Route>,
}

impl TxMessage {
    /// The message, alone in its batch.
    pub fn batch(&self) -> &Arc<Batch> {
        &self.batch
    }
}

/// A queue in a transaction, ordered by its number.
#[derive(Debug, Clone)]
pub struct TxQueue(pub Arc<NamedQueue>);

impl PartialEq for TxQueue {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Order::Equal
    }
}
impl Eq for TxQueue {}
impl PartialOrd for TxQueue {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}
impl Ord for TxQueue {
    fn cmp(&self, other: &Self) -> Order {
        self.0.cell().id().cmp(&other.0.cell().id())
    }
}

/// The answer to [`Core::commit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Answer when this is durable; `None` when nothing of it is.
    pub position: Option<Position>,
    /// Settlements whose deliveries were not held any more.
    pub unknown: usize,
}

impl<E: Engine> Core<E> {
    /// Adds a batch of one message to a transaction, with the route of this moment. Whether anybody will get it.
    ///
    /// # Errors
    /// [`TransactionFull`]; nothing was added.
    pub fn publish_in(
        &self,
        tx: &mut Transaction<TxMessage, TxQueue>,
        now: Now,
        publisher: &Publisher,
        known: &KnownName,
        batch: Arc<Batch>,
    ) -> Result<bool, TransactionFull> {
        debug_assert_eq!(batch.messages().len(), 1, "a transaction counts messages one by one");
        let (batch, route) = if known.varies_for(&batch) {
            let (batch, route) = known.route_of(now, publisher.vhost(), &batch, 0);
            (batch, Arc::new(route))
        } else {
            (batch, known.route.clone())
        };
        let targets: Vec<_> =
            route.named.iter().map(|target| (TxQueue(target.queue.clone()), target.delay_ms)).collect();
        let (bytes, routed) = (batch.pinned_bytes() as u64, !route.is_empty());
        tx.publish(TxMessage { batch, route }, bytes, targets)?;
        Ok(routed)
    }

    /// Carries out a transaction. A queue that refuses one of its messages drops it: a commit has no word for that.
    ///
    /// # Errors
    /// [`Refused`] when the store takes nothing, or a quota of the vhost is reached: nothing happened, and deliveries are still with their consumers.
    pub fn commit(&self, now: Now, unit: Unit<TxMessage, TxQueue>) -> Result<Committed, Refused> {
        let durable = |queue: &TxQueue| queue.0.cell().is_durable();
        let put_off = || unit.messages.iter().flat_map(|message| &message.route.put_off);
        let touches_durable = unit.work.iter().any(|work| durable(&work.queue))
            || unit.messages.iter().any(|message| message.route.durable_queues > 0)
            || put_off().next().is_some();
        let filled = unit.work.iter().filter(|work| !work.publishings.is_empty()).map(|work| work.queue.0.cell());
        if filled.chain(put_off().map(|put_off| put_off.room.cell())).any(|cell| cell.quota.is_any_reached()) {
            self.counters.quota_refused.fetch_add(unit.messages.len() as u64, Ordering::Relaxed);
            return Err(Refused);
        }
        let mut stage = self.engine.stage()?;
        let mut after = After::default();
        let mut bodies: Vec<SharedBodies> =
            unit.messages.iter().map(|message| SharedBodies::new(message.route.durable_queues)).collect();
        let mut unknown = 0;
        for work in &unit.work {
            let cell = work.queue.0.cell();
            let mut inner = cell.inner.lock();
            if inner.gone {
                unknown += work.settlings.len();
                continue;
            }
            for publishing in &work.publishings {
                let at = publishing.message;
                let target = NamedTarget { queue: work.queue.0.clone(), delay_ms: publishing.delay_ms };
                let batch = &unit.messages[at].batch;
                self.offer(now, &target, &mut inner, batch, 0, Some(&mut stage), &mut bodies[at], &mut after);
            }
            let Inner { queue: q, fx, .. } = &mut *inner;
            for settling in &work.settlings {
                let settled = match settling.settlement {
                    Settlement::Ack => q.awake().ack(settling.consumer, settling.seq, fx),
                    Settlement::Nack(nack) => q.awake().nack(now.wall.0, settling.consumer, settling.seq, nack, fx),
                };
                unknown += usize::from(settled.is_err());
            }
            self.carry_out_into(cell, &mut inner, Some(&mut stage), &mut after);
        }
        for (message, shared) in unit.messages.iter().zip(&mut bodies) {
            let TxMessage { batch, route } = message;
            self.put_off(now, route, batch, Some(&mut stage), &mut after);
            self.enqueue_sessions(now, 0, route, batch, Some(&mut stage), shared, &mut after);
        }
        self.bury(now, &mut after, Some(&mut stage));
        let position = stage.finish();
        self.carry_on(now, after);
        for TxMessage { batch, route } in &unit.messages {
            route.keep_claims();
            self.push_subscribers(0, route, batch);
            route.count(PublisherId::default(), batch.messages().len());
        }
        self.counters.published.fetch_add(unit.messages.len() as u64, Ordering::Relaxed);
        Ok(Committed { position: touches_durable.then_some(position), unknown })
    }
}
