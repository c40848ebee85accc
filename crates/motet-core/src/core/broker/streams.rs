//! Streams among the queues: appended to by publishing, read by many, each where it is, nothing taken away.
//!
//! A reader sees what is durable and nothing above, so that an offset means the same message for ever. It holds what it
//! was handed until it settles it, however it settles it: that only makes room for more.

use super::NamedQueue;
use crate::core::Core;
use crate::core::after::After;
use crate::core::consume::Delivery;
use crate::engine::{Engine, Stage, StagedBody};
use crate::mailbox::{Mailbox, Notice, Ready};
use crate::message::{MessageRef, encode_stored_head};
use crate::queue::{Body, ConsumeError, ConsumerId};
use crate::queues::{HeadExtras, Inner, QueueCell, Queued, encode_head, locator};
use crate::stream::{Cursor, Start, Stream, Trimmed};
use crate::time::Now;
use smallvec::SmallVec;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Entries a reader looks ahead at most.
const AHEAD_MAX: usize = 256;
/// Bytes a reader looks ahead, beside its first entry.
const AHEAD_BYTES: usize = 1 << 20;
/// Entries that one append lets go at most: more than it brings, so that a lowered limit is reached in time.
const TRIM_MAX: usize = 64;

/// The inside of a stream, beside a queue that stays empty.
#[derive(Debug)]
pub(crate) struct StreamPart {
    pub(crate) stream: Stream<Queued>,
    readers: Vec<Reader>,
    /// Messages shown to readers.
    pub(crate) delivered_total: u64,
    /// Of those, the ones that were settled, by their reader or by being shown.
    pub(crate) settled_total: u64,
    /// Of those, the ones that were settled by being shown.
    pub(crate) taken_total: u64,
}

#[derive(Debug)]
struct Reader {
    id: ConsumerId,
    mailbox: Arc<Mailbox>,
    tag: u64,
    cursor: Cursor,
    /// Unsettled deliveries it takes at a time; `None`: it settles by taking.
    credit: Option<u32>,
    held: HashSet<u64, foldhash::fast::RandomState>,
    /// What comes next, and its body if it is here.
    ahead: VecDeque<(u64, Option<Queued>)>,
    /// It was told that there is something, and has not yet found that there is nothing more.
    told: bool,
}

impl Reader {
    fn room(&self) -> usize {
        self.credit.map_or(usize::MAX, |credit| (credit as usize).saturating_sub(self.held.len()))
    }

    /// Wakes it, unless it was told already.
    fn tell(&mut self, cell: &Arc<QueueCell>, after: &mut After) {
        if !std::mem::replace(&mut self.told, true) {
            let ready = Ready { queue: cell.clone(), consumer: self.id, tag: self.tag };
            after.wakes.push((self.mailbox.clone(), ready));
        }
    }
}

/// Sequences of the journal begin at 1, offsets at 0.
pub(super) fn seq_of(offset: u64) -> u64 {
    offset + 1
}

impl StreamPart {
    pub(crate) fn new(stream: Stream<Queued>) -> Self {
        StreamPart { stream, readers: Vec::new(), delivered_total: 0, settled_total: 0, taken_total: 0 }
    }

    /// Who reads now.
    pub(crate) fn readers(&self) -> usize {
        self.readers.len()
    }

    fn reader(&mut self, id: ConsumerId) -> Option<&mut Reader> {
        self.readers.iter_mut().find(|reader| reader.id == id)
    }

    /// A reader is done with an entry; false when it does not hold it.
    pub(super) fn settle(&mut self, cell: &Arc<QueueCell>, id: ConsumerId, offset: u64, after: &mut After) -> bool {
        let Some(reader) = self.reader(id) else { return false };
        let full = reader.room() == 0;
        let held = reader.held.remove(&offset);
        if held && full {
            reader.tell(cell, after);
        }
        self.settled_total += u64::from(held);
        held
    }

    /// A reader is gone. True when it was there.
    pub(super) fn part(&mut self, id: ConsumerId) -> bool {
        let before = self.readers.len();
        self.readers.retain(|reader| reader.id != id);
        self.readers.len() < before
    }

    pub(super) fn set_credit(&mut self, cell: &Arc<QueueCell>, id: ConsumerId, credit: Option<u32>, after: &mut After) {
        if let Some(reader) = self.reader(id) {
            reader.credit = credit.or(reader.credit);
            reader.tell(cell, after);
        }
    }

    /// The stream is deleted: its readers are told.
    pub(super) fn end(&mut self, after: &mut After) {
        for reader in self.readers.drain(..) {
            after.notices.push((reader.mailbox, Notice::ConsumerCancelled(reader.tag)));
        }
    }

    /// A body that a reader looked ahead for has come; `None`: it is damaged, and passed over.
    pub(in crate::core) fn loaded(
        &mut self,
        cell: &Arc<QueueCell>,
        offset: u64,
        body: Option<&Queued>,
        after: &mut After,
    ) {
        for reader in &mut self.readers {
            let Ok(at) = reader.ahead.binary_search_by_key(&offset, |(offset, _)| *offset) else { continue };
            match body {
                Some(body) => reader.ahead[at].1 = Some(body.clone()),
                None => drop(reader.ahead.remove(at)),
            }
            reader.tell(cell, after);
        }
    }

    /// More is shown than before.
    fn shown(&mut self, cell: &Arc<QueueCell>, after: &mut After) {
        self.readers.iter_mut().for_each(|reader| reader.tell(cell, after));
    }
}

/// An append whose place among the positions is not known yet.
#[derive(Debug)]
pub(in crate::core) struct Appended {
    queue: Arc<NamedQueue>,
    offset: u64,
    locator: u64,
}

impl<E: Engine> Core<E> {
    /// Adds a reader to a stream, beginning at `start`; `credit` is how many unsettled entries it takes at a time, `None`
    /// that it settles by taking. Its deliveries have the offset as their `seq`.
    ///
    /// # Errors
    /// [`ConsumeError::Gone`], also when the queue is no stream.
    pub fn consume_stream(
        &self,
        now: Now,
        queue: &Arc<NamedQueue>,
        mailbox: &Arc<Mailbox>,
        credit: Option<u32>,
        tag: u64,
        start: Start,
    ) -> Result<ConsumerId, ConsumeError> {
        let id = ConsumerId(self.next_consumer.fetch_add(1, Ordering::Relaxed));
        let (cell, mut after) = (queue.cell(), After::default());
        let mut inner = cell.inner.lock();
        if inner.gone {
            return Err(ConsumeError::Gone);
        }
        let readers = inner.consumer_count();
        let part = inner.stream.as_mut().ok_or(ConsumeError::Gone)?;
        if readers >= self.limits.consumers_per_queue {
            return Err(ConsumeError::Limit(self.limits.consumers_per_queue));
        }
        let mut reader = Reader {
            id,
            mailbox: mailbox.clone(),
            tag,
            cursor: part.stream.open(start).cursor,
            credit,
            held: HashSet::default(),
            ahead: VecDeque::new(),
            told: false,
        };
        reader.tell(cell, &mut after);
        part.readers.push(reader);
        drop(inner);
        queue.note_consumer();
        self.carry_on(now, after);
        Ok(id)
    }

    /// Hands a reader what it may have; true when its bounds stopped it.
    pub(in crate::core) fn read_stream(
        &self,
        cell: &QueueCell,
        part: &mut StreamPart,
        id: ConsumerId,
        max_messages: usize,
        max_bytes: usize,
        out: &mut Vec<Delivery>,
    ) -> bool {
        let StreamPart { stream, readers, delivered_total, settled_total, taken_total } = part;
        let Some(reader) = readers.iter_mut().find(|reader| reader.id == id) else { return false };
        let (mut taken, mut bytes) = (0, 0);
        loop {
            if reader.room() == 0 {
                break;
            }
            if reader.ahead.is_empty() && !self.look_ahead(cell, stream, reader) {
                break;
            }
            let Some((offset, Some(queued))) = reader.ahead.front() else { break };
            let size = queued.message.size();
            if taken >= max_messages || (taken > 0 && bytes + size as usize > max_bytes) {
                return true;
            }
            let (offset, queued) = (*offset, queued.clone());
            reader.ahead.pop_front();
            taken += 1;
            bytes += size as usize;
            if reader.credit.is_some() {
                reader.held.insert(offset);
            }
            *delivered_total += 1;
            if reader.credit.is_none() {
                *settled_total += 1;
                *taken_total += 1;
            }
            out.push(Delivery { seq: offset, queued, redelivered: false, delivery_count: 0, bytes: size });
        }
        reader.told = false;
        false
    }

    /// Looks at what comes next and asks for the bodies that are on disk; false at the end.
    fn look_ahead(&self, cell: &QueueCell, stream: &Stream<Queued>, reader: &mut Reader) -> bool {
        let mut shown = Vec::new();
        let room = AHEAD_MAX.min(reader.room());
        let reading = stream.read(&mut reader.cursor, room, AHEAD_BYTES, &mut shown);
        if !reading.same_epoch {
            reader.cursor = stream.open(Start::After(reader.cursor)).cursor;
        }
        let mut wanted = Vec::new();
        for entry in shown {
            let body = match entry.body {
                Body::Resident(queued) => Some(queued),
                Body::Paged(at) => {
                    wanted.push((seq_of(entry.offset), locator(at)));
                    None
                }
            };
            reader.ahead.push_back((entry.offset, body));
        }
        if !wanted.is_empty() {
            self.engine.read(cell.id(), wanted);
        }
        !reader.ahead.is_empty()
    }

    /// Appends a message, whose lock is held.
    pub(in crate::core) fn append(
        &self,
        now: Now,
        queue: &Arc<NamedQueue>,
        inner: &mut Inner,
        message: &MessageRef,
        stage: &mut E::Stage<'_>,
        after: &mut After,
    ) {
        let Some(part) = &mut inner.stream else { return };
        let queued = Queued { message: message.clone(), grant: self.named_grant.clone(), retained: false };
        let offset = part.stream.append(now.wall.0, queued.clone(), message.size());
        let extras = HeadExtras { appended_ms: Some(now.wall.0), ..HeadExtras::default() };
        let mut head = SmallVec::<[u8; 32]>::new();
        encode_head(&queued, &extras, &mut head);
        let mut stored = Vec::with_capacity(64);
        encode_stored_head(message, &mut stored);
        let body = StagedBody::Inline(&[&stored, message.payload()]);
        let at = stage.enqueue(queue.cell().id(), seq_of(offset), &head, body);
        after.appended.push(Appended { queue: queue.clone(), offset, locator: at.0.get() });
        trim(now, queue.cell(), &mut part.stream, stage);
    }

    /// The stage with these appends has ended: they are shown once everything up to here is durable.
    pub(in crate::core) fn place_appended(&self, appended: Vec<Appended>) {
        // An empty group's position is behind all that was finished before.
        let position = self.engine.stage_release().finish();
        let mut streams = Vec::new();
        for Appended { queue, offset, locator } in appended {
            let mut inner = queue.cell().inner.lock();
            if let Some(part) = &mut inner.stream {
                part.stream.placed(offset, locator, position.0);
            }
            queue.cell().account(&mut inner);
            drop(inner);
            streams.push(queue);
        }
        streams.dedup_by(|a, b| Arc::ptr_eq(a, b));
        self.unshown.lock().extend(streams.into_iter().map(|queue| (position, queue)));
        // The watermark may have passed meanwhile.
        if self.engine.durable() >= position {
            self.show_streams(self.engine.durable());
        }
    }

    /// Everything up to `position` is durable: streams show it.
    pub(in crate::core) fn show_streams(&self, position: crate::engine::Position) {
        let due: Vec<_> = {
            let mut unshown = self.unshown.lock();
            if unshown.is_empty() {
                return;
            }
            unshown.extract_if(.., |(at, _)| *at <= position).map(|(_, queue)| queue).collect()
        };
        let mut after = After::default();
        for queue in due {
            let mut inner = queue.cell().inner.lock();
            if let Some(part) = &mut inner.stream
                && part.stream.durable(position.0)
            {
                part.shown(queue.cell(), &mut after);
            }
            queue.cell().account(&mut inner);
        }
        self.carry_on(self.latest(), after);
    }
}

/// Lets go of what is too old or too much.
pub(in crate::core) fn trim<S: Stage>(now: Now, cell: &QueueCell, stream: &mut Stream<Queued>, stage: &mut S) {
    let mut gone: Vec<Trimmed> = Vec::new();
    stream.trim(now.wall.0, TRIM_MAX, &mut gone);
    for Trimmed { offset, locator: at } in gone {
        if let Some(at) = at {
            stage.settle(cell.id(), seq_of(offset), locator(at));
        }
    }
}
