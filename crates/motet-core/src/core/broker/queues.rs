//! Queues are declared, governed, purged, deleted.

use super::arguments::read;
use super::error::NAME_BYTES_MAX;
use super::{ArgumentError, NamedQueue, QueueDeclaration, QueueError, StreamPart, records};
use crate::core::after::After;
use crate::core::govern::Governed;
use crate::core::objects::Object;
use crate::core::{Core, Vhost};
use crate::engine::{Engine, Position, Refused, Stage};
use crate::message::Value;
use crate::queue::{DeleteRefused, Queue, SLICE};
use crate::queues::Inner;
use crate::stream::{Epoch, Stream};
use crate::time::Now;
use bytes::Bytes;
use foldhash::quality::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The answer to a declaration.
#[derive(Debug, Clone)]
pub struct Declared {
    /// The queue, new or known.
    pub queue: Arc<NamedQueue>,
    /// It did not exist before.
    pub created: bool,
    /// Messages that wait in it.
    pub messages: u64,
    /// Its consumers.
    pub consumers: u64,
    /// Answer when this is durable.
    pub position: Option<Position>,
}

/// What all queues with a name hold together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueTotals {
    /// How many there are.
    pub queues: u64,
    /// Messages that wait, ready or delayed.
    pub waiting: u64,
    /// Messages with a consumer.
    pub unacked: u64,
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

impl<E: Engine> Core<E> {
    /// Declares a queue; an empty name asks for one that nobody has. Declared again with the same arguments it is found.
    /// `connection` is who asks, for exclusive queues.
    ///
    /// # Errors
    /// Any [`QueueError`] but `NotFound` and `NotDeleted`.
    pub fn declare_queue(
        &self,
        now: Now,
        vhost: &Arc<Vhost>,
        name: &[u8],
        declaration: QueueDeclaration,
        connection: u64,
    ) -> Result<Declared, QueueError> {
        if name.is_empty() {
            return self.declare_fresh_queue(now, vhost, "amq.gen-", declaration, connection);
        }
        if let Some(known) = self.find_queue(vhost, name) {
            return self.declare_known(now, &known, &declaration, connection);
        }
        if name.starts_with(b"amq.") || crate::core::delayed::is_room(name) {
            return Err(QueueError::Reserved);
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(QueueError::NameTooLong);
        }
        self.declare_unknown(now, vhost, Bytes::copy_from_slice(name), declaration, connection)
    }

    /// Declares a queue under a name that begins with `prefix` and that nobody has or can guess.
    ///
    /// # Errors
    /// [`QueueError::Argument`] and what else a declaration may be refused for.
    pub fn declare_fresh_queue(
        &self,
        now: Now,
        vhost: &Arc<Vhost>,
        prefix: &str,
        declaration: QueueDeclaration,
        connection: u64,
    ) -> Result<Declared, QueueError> {
        let queue_type = read(&declaration.arguments)?.queue_type;
        if queue_type != "classic" {
            return Err(QueueError::Nameless(queue_type));
        }
        let name = self.fresh_name(vhost, prefix);
        self.declare_unknown(now, vhost, name, declaration, connection)
    }

    pub(in crate::core) fn declare_unknown(
        &self,
        now: Now,
        vhost: &Arc<Vhost>,
        name: Bytes,
        declaration: QueueDeclaration,
        connection: u64,
    ) -> Result<Declared, QueueError> {
        let shape = read(&declaration.arguments)?;
        super::fitting::check(&declaration, &shape)?;
        if vhost.is_deleted() {
            return Err(QueueError::NoVhost);
        }
        let kept = declaration.is_kept();
        let id = if kept { self.engine.allot_object() } else { self.volatile_object() };
        let queue = NamedQueue::new(name.clone(), vhost, id, declaration, shape, |shape, config| {
            let stream = || StreamPart::new(Stream::new(shape.stream_config(), Epoch(id.0)));
            (Queue::new(config, now.wall.0), shape.is_stream().then(stream))
        });
        let mut stage = kept.then(|| self.engine.stage()).transpose().map_err(|Refused| QueueError::StoreFull)?;
        let own = u64::try_from(vhost.max_queues.load(Ordering::Relaxed)).unwrap_or(u64::MAX);
        let limit = self.limits.queues.min(own);
        let added = vhost.change(|topology| {
            if topology.queue_count() as u64 >= limit {
                return Err(QueueError::Limit(limit));
            }
            // Somebody else may have been faster: then it is theirs that counts.
            Ok(topology.add_queue(name.clone(), kept, queue.clone()).is_ok())
        })?;
        if !added {
            drop(stage);
            let known = self.find_queue(vhost, &name).ok_or_else(|| QueueError::NotFound(text(&name)))?;
            return self.declare_known(now, &known, queue.declared(), connection);
        }
        if let Some(stage) = &mut stage {
            let value = records::encode_queue(id, queue.declared());
            vhost.stage_record(stage, records::queue_key(&name), &value);
        }
        vhost.books().queues_declared.fetch_add(1, Ordering::Relaxed);
        vhost.books().queues_created.fetch_add(1, Ordering::Relaxed);
        self.objects.insert(id, Object::Queue(queue.clone()));
        if let Some(owner) = queue.declared().exclusive {
            vhost.exclusive.lock().entry(owner).or_default().push(queue.clone());
        }
        let position = stage.map(Stage::finish);
        // A queue may be unused from its first moment on.
        let mut inner = queue.cell().inner.lock();
        let after = self.carry_out::<E::Stage<'_>>(queue.cell(), &mut inner, None);
        drop(inner);
        self.carry_on(now, after);
        if !queue.is_waiting_room() {
            self.govern_one(now, vhost, &queue);
        }
        Ok(Declared { queue, created: true, messages: 0, consumers: 0, position })
    }

    fn declare_known(
        &self,
        now: Now,
        known: &Arc<NamedQueue>,
        declaration: &QueueDeclaration,
        connection: u64,
    ) -> Result<Declared, QueueError> {
        if known.is_locked_for(connection) {
            return Err(QueueError::Locked(text(known.name())));
        }
        known.agrees(declaration)?;
        if let Some(vhost) = known.vhost() {
            vhost.books().queues_declared.fetch_add(1, Ordering::Relaxed);
        }
        let mut inner = known.cell().inner.lock();
        inner.queue.touch(now.wall.0);
        let (messages, consumers) = (inner.unclaimed(), inner.consumer_count());
        drop(inner);
        // Whoever declared it first may still wait for it to be durable.
        let position = known.declared().is_kept().then(|| self.engine.stage_release().finish());
        Ok(Declared { queue: known.clone(), created: false, messages, consumers, position })
    }

    /// A passive declaration: the queue, if it is there and not another connection's.
    ///
    /// # Errors
    /// [`QueueError::NotFound`] and [`QueueError::Locked`].
    pub fn check_queue(&self, now: Now, vhost: &Vhost, name: &[u8], connection: u64) -> Result<Declared, QueueError> {
        let queue = self.find_queue(vhost, name).ok_or_else(|| QueueError::NotFound(text(name)))?;
        if queue.is_locked_for(connection) {
            return Err(QueueError::Locked(text(name)));
        }
        let mut inner = queue.cell().inner.lock();
        inner.queue.touch(now.wall.0);
        let (messages, consumers) = (inner.unclaimed(), inner.consumer_count());
        drop(inner);
        Ok(Declared { queue, created: false, messages, consumers, position: None })
    }

    /// The queue of this name, whoever owns it; not one that is the core's own.
    pub fn find_queue(&self, vhost: &Vhost, name: &[u8]) -> Option<Arc<NamedQueue>> {
        vhost.topology().queue_named(name).filter(|queue| !queue.is_waiting_room()).cloned()
    }

    /// All queues of a vhost by name, but those that are the core's own.
    pub fn queues(&self, vhost: &Vhost) -> Vec<Arc<NamedQueue>> {
        let topology = vhost.topology();
        let queues = topology.queues().map(|(_, queue)| queue).filter(|queue| !queue.is_waiting_room());
        let mut queues: Vec<_> = queues.cloned().collect();
        drop(topology);
        queues.sort_by(|a, b| a.name().cmp(b.name()));
        queues
    }

    /// A name nobody has; not to be guessed, as the hash is seeded anew at each start.
    fn fresh_name(&self, vhost: &Vhost, prefix: &str) -> Bytes {
        loop {
            let number = self.volatile_object().0;
            let drawn = [RandomState::default().hash_one(number), RandomState::default().hash_one(!number)];
            let name = Bytes::from(format!("{prefix}{:016x}{:016x}", drawn[0], drawn[1]));
            if self.find_queue(vhost, &name).is_none() {
                return name;
            }
        }
    }

    /// Drops what waits, ready or delayed; what consumers hold or have been promised stays theirs. How many went, and when that is durable.
    pub fn purge_queue(&self, now: Now, queue: &Arc<NamedQueue>) -> (u64, Option<Position>) {
        let cell = queue.cell();
        let (mut purged, mut waiting) = (0, None);
        loop {
            let mut stage = cell.needs_stage().then(|| self.engine.stage_release());
            let mut inner = cell.inner.lock();
            let Inner { queue: q, fx, .. } = &mut *inner;
            q.touch(now.wall.0);
            // Others stage between the slices; what comes in meanwhile came after the purge.

            let left = *waiting.get_or_insert_with(|| q.unclaimed() + q.stats().delayed + q.stats().set_aside) - purged;
            let went = q.awake().purge_unclaimed(left.min(SLICE), fx);
            purged += went;
            let after = self.carry_out(cell, &mut inner, stage.as_mut());
            drop(inner);
            let position = stage.map(Stage::finish).filter(|_| cell.is_durable());
            self.carry_on(now, after);
            if went < SLICE || went == left {
                return (purged, position);
            }
        }
    }

    /// Deletes a queue with its bindings; its consumers are told. How many messages were ready, and when that is durable.
    /// A queue that is gone already is deleted again without a word.
    ///
    /// # Errors
    /// [`QueueError::NotDeleted`] when one of the conditions does not hold.
    pub fn delete_queue(
        &self,
        now: Now,
        queue: &Arc<NamedQueue>,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<(u64, Option<Position>), QueueError> {
        let (cell, kept) = (queue.cell(), queue.declared().is_kept());
        let Some(vhost) = queue.vhost() else { return Ok((0, None)) };
        let mut stage = kept.then(|| self.engine.stage_release());
        let mut changes = Vec::new();
        let mut after = After::default();
        let deleted = vhost.change(|topology| {
            let mut inner = cell.inner.lock();
            if inner.gone {
                return Ok(0);
            }
            let stream = inner.stream.as_ref().map(|part| (part.readers() as u64, part.stream.messages()));
            let (stats, departures) = (inner.stats(), inner.departures());
            let Inner { queue: q, fx, .. } = &mut *inner;
            let ready = match stream {
                Some((readers, _)) if if_unused && readers > 0 => return Err(DeleteRefused::InUse(readers)),
                Some((_, messages)) if if_empty && messages > 0 => return Err(DeleteRefused::NotEmpty(messages)),
                Some((_, messages)) => q.awake().delete(false, false, fx).map(|_| messages)?,
                None => q.awake().delete(if_unused, if_empty, fx)?,
            };
            inner.gone = true;
            inner.pending = None;
            vhost.books().bury_queue(&stats, departures);
            // No stage: what it held ends with the object, not one by one.
            after = self.carry_out::<E::Stage<'_>>(cell, &mut inner, None);
            inner.consumers.clear();
            if let Some(part) = &mut inner.stream {
                part.end(&mut after);
            }
            topology.remove_queue(queue.name(), &mut changes);
            Ok::<_, DeleteRefused>(ready)
        });
        let ready = deleted?;
        self.carry_out_changes(&vhost, changes, stage.as_mut());
        if let Some(stage) = &mut stage
            && vhost.unstage_record(stage, &records::queue_key(queue.name()))
        {
            stage.drop_object(cell.id());
        }
        self.objects.remove(cell.id());
        self.timers.forget(cell.id());
        if let Some(owner) = queue.declared().exclusive
            && let Some(owned) = vhost.exclusive.lock().get_mut(&owner)
        {
            owned.retain(|known| !Arc::ptr_eq(known, queue));
        }
        let position = stage.map(Stage::finish);
        after.letters.clear();
        after.unused.clear();
        self.carry_on(now, after);
        Ok((ready, position))
    }

    /// A connection has ended: its exclusive queues go. How many.
    pub fn delete_exclusive(&self, now: Now, vhost: &Vhost, connection: u64) -> usize {
        let owned = vhost.exclusive.lock().remove(&connection).unwrap_or_default();
        for queue in &owned {
            let deleted = self.delete_queue(now, queue, false, false);
            debug_assert!(deleted.is_ok(), "an unconditional deletion is not refused");
        }
        owned.len()
    }

    /// Nobody used a queue for as long as it may be unused.
    pub(in crate::core) fn expire_queue(&self, now: Now, queue: &Arc<NamedQueue>) {
        // Somebody may have come meanwhile; then it asks again later.
        if self.delete_queue(now, queue, true, false).is_err() {
            queue.cell().inner.lock().queue.touch(now.wall.0);
        }
    }

    /// Puts a queue under a policy, or, with an empty one, under its declaration alone. Names lack the `x-`.
    ///
    /// # Errors
    /// [`ArgumentError`]; nothing was changed.
    pub fn govern_queue(
        &self,
        now: Now,
        queue: &Arc<NamedQueue>,
        policy: &[(Box<str>, Value)],
    ) -> Result<(), ArgumentError> {
        self.govern(now, queue, Governed { definition: policy.to_vec(), ..Governed::default() })
    }

    /// The same by policies with names.
    pub(in crate::core) fn govern(
        &self,
        now: Now,
        queue: &Arc<NamedQueue>,
        governed: Governed,
    ) -> Result<(), ArgumentError> {
        queue.govern(governed)?;
        let cell = queue.cell();
        let mut stage = cell.needs_stage().then(|| self.engine.stage_release());
        let mut inner = cell.inner.lock();
        let mut after = self.carry_out(cell, &mut inner, stage.as_mut());
        drop(inner);
        self.bury(now, &mut after, stage.as_mut());
        drop(stage);
        self.carry_on(now, after);
        Ok(())
    }

    /// Sums over all queues with a name. Takes the lock of each in turn.
    pub fn queue_totals(&self) -> QueueTotals {
        let mut totals = QueueTotals::default();
        for queue in self.vhosts().iter().flat_map(|vhost| self.queues(vhost)) {
            let stats = queue.stats();
            totals.queues += 1;
            totals.waiting += stats.waiting();
            totals.unacked += stats.unacked;
        }
        totals
    }
}
