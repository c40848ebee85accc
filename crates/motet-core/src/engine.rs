//! The engine boundary: submit and complete.
//!
//! The core stages records and learns a [`Position`]; the engine makes them durable when it can and says so with a
//! [`Completion`]. Nothing here waits. Embedded, one journal stands behind it; in a cluster, replicated logs do.
//!
//! **The law:** open a stage before taking a queue's lock, stage the records of a queue while holding that queue's
//! lock, finish the stage after letting go. The same with a session's lock: the stage comes first, and a thread has one
//! stage at a time. Everything staged through one stage is durable together or not at all.

use bytes::Bytes;

/// A durable object: a queue, a session's record, the retained values of a vhost. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u64);

/// A place in the log, in the order of staging. Durable once [`Engine::durable`] has reached it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

/// Where one record lies. The core keeps it and gives it back; only the engine knows what it means. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locator(pub std::num::NonZeroU64);

/// The body of an entry.
#[derive(Debug, Clone, Copy)]
pub enum StagedBody<'a> {
    /// Written with the entry, the parts one after the other.
    Inline(&'a [&'a [u8]]),
    /// Written once by [`Stage::body`] of the same stage, for many queues.
    Shared(Locator),
}

/// The engine has no room: the disk is full or too much waits to become durable. Try again after
/// [`Completion::Recovered`] or when less is pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store refuses new records for now")]
pub struct Refused;

/// One atomic group of records.
pub trait Stage {
    /// A message enters a queue. `head` is the queue's own note about it, `body` the stored message.
    fn enqueue(&mut self, queue: ObjectId, seq: u64, head: &[u8], body: StagedBody<'_>) -> Locator;
    /// A body that several entries of this stage will share.
    fn body(&mut self, parts: &[&[u8]]) -> Locator;
    /// The entry is done with, for good.
    fn settle(&mut self, queue: ObjectId, seq: u64, at: Locator);
    /// A small note about a living entry, such as how often it was delivered; the last one counts.
    fn mark(&mut self, queue: ObjectId, seq: u64, at: Locator, data: &[u8]);
    /// A keyed record; `previous` is where the same key was written before.
    fn put(&mut self, object: ObjectId, key: &[u8], value: &[u8], previous: Option<Locator>) -> Locator;
    /// The key is gone.
    fn delete(&mut self, object: ObjectId, key: &[u8], previous: Locator);
    /// The object and everything it held is gone.
    fn drop_object(&mut self, object: ObjectId);
    /// Ends the group. Dropping a stage ends it too. Also an empty group has a position: when that is durable,
    /// everything finished before is.
    fn finish(self) -> Position;
}

/// What stores. Shared by all connections; no call waits.
pub trait Engine: Send + Sync + 'static {
    /// See [`Stage`].
    type Stage<'a>: Stage
    where
        Self: 'a;

    /// Begins an atomic group.
    ///
    /// # Errors
    /// [`Refused`] when the disk is full or too many bytes are not yet durable.
    fn stage(&self) -> Result<Self::Stage<'_>, Refused>;

    /// Begins a group that must be taken even when [`Engine::stage`] refuses: settlements and deletions, which free
    /// room. Kept in memory until the disk takes them.
    fn stage_release(&self) -> Self::Stage<'_>;

    /// Everything up to here survives.
    fn durable(&self) -> Position;

    /// Asks for the bodies of paged-out entries; answered by [`Completion::Read`], in any order, each exactly once. A
    /// disk that refuses is asked again for a while before the answer is that a record cannot be read.
    /// A locator stays good until [`Completion::Moved`] has been handed to the core, also for reads under way.
    fn read(&self, queue: ObjectId, entries: Vec<(u64, Locator)>);

    /// Bytes staged and not yet durable.
    fn pending_bytes(&self) -> u64;

    /// A fresh object id, never given before, also after a crash. Not while a stage is open: the engine may have to open
    /// one of its own.
    fn allot_object(&self) -> ObjectId;
}

/// What the engine tells the core, from a thread of its own or from the simulation's step.
#[derive(Debug)]
pub enum Completion {
    /// Everything up to this position survives.
    Durable(Position),
    /// The disk does not take anything for now; what waits goes on waiting.
    Stalled,
    /// The disk takes records again.
    Recovered,
    /// Bodies that were asked for; `None` where the record is damaged, gone, or refused by the disk for long. Such an
    /// entry is not to be settled: a repair, or a start on a better day, may find it.
    Read {
        /// The queue they belong to.
        queue: ObjectId,
        /// Sequence and record: the length of the head (`u16`, little endian), the head, the stored message, the last
        /// two byte for byte as [`Stage::enqueue`] got them, wherever the body itself was written.
        entries: Vec<(u64, Option<Bytes>)>,
    },
    /// A record has moved to make room; forget the old locator.
    Moved {
        /// Whose record.
        object: ObjectId,
        /// Which.
        what: MovedRecord,
        /// Where it was.
        old: Locator,
        /// Where it is.
        new: Locator,
    },
}

/// Which record of an object has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MovedRecord {
    /// A queue's entry.
    Entry(u64),
    /// A keyed record.
    Key(Bytes),
}

/// What a start finds, in the order of staging for each object.
#[derive(Debug)]
pub enum Found<'a> {
    /// A living entry.
    Entry {
        /// Its queue.
        queue: ObjectId,
        /// Its sequence.
        seq: u64,
        /// The queue's note.
        head: &'a [u8],
        /// Bytes of the stored message.
        body_len: u32,
        /// Where it lies.
        at: Locator,
        /// The last mark, if any.
        mark: Option<&'a [u8]>,
    },
    /// A living keyed record.
    Keyed {
        /// Its object.
        object: ObjectId,
        /// Its key.
        key: &'a [u8],
        /// Its value.
        value: &'a [u8],
        /// Where it lies.
        at: Locator,
    },
    /// An object and the highest sequence it ever used.
    Object {
        /// Which.
        object: ObjectId,
        /// Zero when it never held an entry.
        last_seq: u64,
    },
}
