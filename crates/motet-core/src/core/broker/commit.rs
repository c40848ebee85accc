//! A transaction is carried out in one stage: all of it survives a crash, or nothing.

use super::NamedQueue;
use crate::core::after::After;
use crate::core::fanout::SharedBodies;
use crate::core::{Core, Publisher, Vhost};
use crate::engine::{Engine, ObjectId, Position, Refused, Stage};
use crate::message::{Batch, PublisherId};
use crate::queue::Verdict;
use crate::queues::Inner;
use crate::route::{KnownName, NamedTarget, Route};
use crate::time::Now;
use crate::transaction::{Publishing, QueueWork, Settlement, Settling, Transaction, TransactionFull, Unit};
use std::cmp::Ordering as Order;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A publication in a transaction, with the route it had when it was published.
#[derive(Debug, Clone)]
pub struct TxMessage {
    /// Alone in its batch.
    batch: Arc<Batch>,
    route: Arc<Route>,
    /// It names its queues itself, which are looked up at the commit.
    to_names: Option<(Arc<Vhost>, KnownName)>,
    /// It comes back when no queue gets it.
    mandatory: bool,
}

impl TxMessage {
    fn is_taken_elsewhere(&self) -> bool {
        !self.route.queues.is_empty() || !self.route.direct.is_empty() || !self.route.put_off.is_empty()
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
#[derive(Debug, Clone)]
pub struct Committed {
    /// Answer when this is durable; `None` when nothing of it is.
    pub position: Option<Position>,
    /// Settlements whose deliveries were not held any more.
    pub unknown: usize,
    /// A queue was at its bound and refused a message; everything else was done.
    pub refused: bool,
    /// Mandatory messages that nobody got, in the order of publishing.
    pub returned: Vec<Arc<Batch>>,
    /// Others that nobody got.
    pub lost: u64,
}

impl<E: Engine> Core<E> {
    /// Adds a batch of one message to a transaction, with the bindings of this moment. Whether the queues they lead to are there is
    /// asked at the commit, and a `mandatory` message for nobody is returned then. False when it is known already that nobody gets it.
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
        mandatory: bool,
    ) -> Result<bool, TransactionFull> {
        debug_assert_eq!(batch.messages().len(), 1, "a transaction counts messages one by one");
        let bytes = batch.pinned_bytes() as u64;
        if known.names_queues() {
            let to_names = Some((publisher.vhost().clone(), known.clone()));
            tx.publish(TxMessage { batch, route: Arc::default(), to_names, mandatory }, bytes, [])?;
            return Ok(true);
        }
        let (batch, route) = if known.varies_for(&batch) {
            let (batch, route) = known.route_of(now, publisher.vhost(), &batch, 0);
            (batch, Arc::new(route))
        } else {
            (batch, known.route.clone())
        };
        let targets: Vec<_> =
            route.named.iter().map(|target| (TxQueue(target.queue.clone()), target.delay_ms)).collect();
        let is_bound = !route.is_empty();
        tx.publish(TxMessage { batch, route, to_names: None, mandatory }, bytes, targets)?;
        Ok(is_bound)
    }

    /// Carries out a transaction. A queue that refuses one of its messages stops nothing else, see [`Committed::refused`].
    ///
    /// # Errors
    /// [`Refused`] when the store takes nothing, or a quota of the vhost is reached: nothing happened, and deliveries are still with their consumers.
    pub fn commit(&self, now: Now, mut unit: Unit<TxMessage, TxQueue>) -> Result<Committed, Refused> {
        self.look_up(now, &mut unit);
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
        let (mut unknown, mut refused) = (0, false);
        let mut reached: Vec<bool> = unit.messages.iter().map(TxMessage::is_taken_elsewhere).collect();
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
                let stage = Some(&mut stage);
                let verdict = self.offer(now, &target, &mut inner, batch, 0, stage, &mut bodies[at], &mut after);
                refused |= matches!(verdict, Verdict::Rejected(_));
                reached[at] = true;
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
            let TxMessage { batch, route, .. } = message;
            self.put_off(now, route, batch, Some(&mut stage), &mut after);
            self.enqueue_sessions(now, 0, route, batch, Some(&mut stage), shared, &mut after);
        }
        self.bury(now, &mut after, Some(&mut stage));
        let position = stage.finish();
        self.carry_on(now, after);
        for TxMessage { batch, route, .. } in &unit.messages {
            route.keep_claims();
            self.push_subscribers(0, route, batch);
            route.count(PublisherId::default(), batch.messages().len());
        }
        self.counters.published.fetch_add(unit.messages.len() as u64, Ordering::Relaxed);
        let unread = unit.messages.into_iter().zip(reached).filter(|(_, reached)| !reached).map(|(message, _)| message);
        let (back, lost): (Vec<_>, Vec<_>) = unread.partition(|message| message.mandatory);
        let returned = back.into_iter().map(|message| message.batch).collect();
        let position = touches_durable.then_some(position);
        Ok(Committed { position, unknown, refused, returned, lost: lost.len() as u64 })
    }

    /// Publications go to the queues that have the names now: one that was deleted since gets nothing, one that came gets its own.
    fn look_up(&self, now: Now, unit: &mut Unit<TxMessage, TxQueue>) {
        let is_settled = |work: &QueueWork<TxQueue>| work.publishings.is_empty() || !work.queue.0.is_gone();
        if unit.messages.iter().all(|message| message.to_names.is_none()) && unit.work.iter().all(is_settled) {
            return;
        }
        let mut all: BTreeMap<ObjectId, QueueWork<TxQueue>> = BTreeMap::new();
        let mut of = |queue: TxQueue, publishings: Vec<Publishing>, settlings: Vec<Settling>| {
            let id = queue.0.cell().id();
            let empty = || QueueWork { queue, publishings: Vec::new(), settlings: Vec::new() };
            let work = all.entry(id).or_insert_with(empty);
            work.publishings.extend(publishings);
            work.settlings.extend(settlings);
        };
        for QueueWork { queue, publishings, settlings } in std::mem::take(&mut unit.work) {
            let named = match queue.0.is_gone() {
                true => queue.0.vhost().and_then(|vhost| self.find_queue(&vhost, queue.0.name())).map(TxQueue),
                false => Some(queue.clone()),
            };
            if let Some(named) = named.filter(|_| !publishings.is_empty()) {
                of(named, publishings, Vec::new());
            }
            if !settlings.is_empty() {
                of(queue, Vec::new(), settlings);
            }
        }
        for (at, message) in unit.messages.iter_mut().enumerate() {
            let Some((vhost, known)) = &message.to_names else { continue };
            let (batch, route) = known.route_of(now, vhost, &message.batch, 0);
            for NamedTarget { queue, delay_ms } in &route.named {
                of(TxQueue(queue.clone()), vec![Publishing { message: at, delay_ms: *delay_ms }], Vec::new());
            }
            (message.batch, message.route) = (batch, Arc::new(route));
        }
        unit.work = all.into_values().collect();
        unit.work.iter_mut().for_each(|work| work.publishings.sort_by_key(|publishing| publishing.message));
    }
}
