//! Staging: the short moment inside a queue's lock in which a record is copied into the buffer the committer will take.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::{MutexGuard, RwLock};

use crate::batch;
use crate::disk::Disk;
use crate::journal::Journal;
use crate::locator::{Locator, Position};
use crate::record::{self, Header, Kind, RawRecord};

/// The body of an entry.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// The bytes, in parts that are joined.
    Inline(&'a [&'a [u8]]),
    /// A body staged through the same [`Stage`].
    Shared(Locator),
}

/// The buffer that gathers the next batch, and the batch that is being written.
pub(crate) struct Staging {
    /// Room for the batch header, then records.
    pub buffer: Vec<u8>,
    /// The address of the buffer's first byte.
    pub base: u64,
    /// Taken by the committer and not yet durable. Readers find its records here.
    pub in_flight: Option<Arc<InFlight>>,
    /// An emptied buffer, so that the next swap need not allocate.
    pub spare: Vec<u8>,
    /// The committer waits for work.
    pub sleeping: bool,
    /// The address of the latest body record in the buffer, to keep bodies directly before their entries.
    latest_body: u64,
}

/// A batch between the swap and its sync.
pub(crate) struct InFlight {
    pub base: u64,
    /// Locked for writing only while checksums are filled in.
    pub bytes: RwLock<Vec<u8>>,
}

impl Staging {
    pub(crate) fn new(base: u64) -> Self {
        let buffer = vec![0; batch::HEADER];
        Self { buffer, base, in_flight: None, spare: Vec::new(), sleeping: false, latest_body: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.len() == batch::HEADER
    }

    /// Hands the gathered batch over and begins the next one behind it.
    pub(crate) fn swap(&mut self) -> Arc<InFlight> {
        let mut next = std::mem::take(&mut self.spare);
        next.clear();
        next.resize(batch::HEADER, 0);
        let full = std::mem::replace(&mut self.buffer, next);
        let base = self.base;
        self.base += full.len() as u64;
        self.latest_body = 0;
        let taken = Arc::new(InFlight { base, bytes: RwLock::new(full) });
        self.in_flight = Some(taken.clone());
        taken
    }
}

/// Everything staged through one guard lands in one batch: after a crash all of it is there or none of it.
///
/// It holds the staging lock: keep it for as long as the records take to copy, and stage nothing else meanwhile.
pub struct Stage<'a, D: Disk> {
    journal: &'a Journal<D>,
    staging: MutexGuard<'a, Staging>,
    from: usize,
}

impl<'a, D: Disk> Stage<'a, D> {
    pub(crate) fn new(journal: &'a Journal<D>, staging: MutexGuard<'a, Staging>) -> Self {
        let from = staging.buffer.len();
        Self { journal, staging, from }
    }

    /// Appends a message of an object. Sequences of an object grow; head and body together stay below 1 GiB.
    pub fn enqueue(&mut self, object: u64, seq: u64, head: &[u8], body: Body<'_>) -> Locator {
        match body {
            Body::Inline(parts) => self.write(Kind::Entry, object, seq, head, parts),
            Body::Shared(body) => {
                let body = self.bring_near(body);
                let header = Header { kind: Kind::Entry, flags: record::SHARED, object, word: seq };
                self.append(&header, head, &[&body.to_bits().to_le_bytes()])
            }
        }
    }

    /// Appends a body for the entries staged next through this guard; it lives as long as one of them does.
    pub fn body(&mut self, parts: &[&[u8]]) -> Locator {
        let at = self.write(Kind::Body, 0, 0, &[], parts);
        self.staging.latest_body = at.address();
        at
    }

    /// Ends an entry: it is not recovered any more and its room is given back. `_seq` names it for the reader only.
    pub fn settle(&mut self, object: u64, _seq: u64, at: Locator) {
        self.write(Kind::Settle, object, at.to_bits(), &[], &[]);
    }

    /// Notes something small about the entry at `at` (how often it was delivered, say). The last note wins and ends
    /// with its entry.
    pub fn mark(&mut self, object: u64, _seq: u64, at: Locator, data: &[u8]) {
        self.write(Kind::Mark, object, at.to_bits(), &[], &[data]);
    }

    /// Appends a keyed record in place of `previous`.
    pub fn put(&mut self, object: u64, key: &[u8], value: &[u8], previous: Option<Locator>) -> Locator {
        self.write(Kind::Put, object, previous.map_or(0, Locator::to_bits), key, &[value])
    }

    /// Ends a keyed record.
    pub fn delete(&mut self, object: u64, key: &[u8], previous: Locator) {
        self.write(Kind::Delete, object, previous.to_bits(), key, &[]);
    }

    /// Ends an object and everything it holds. Its number must not be used again.
    pub fn drop_object(&mut self, object: u64) {
        self.write(Kind::Drop, object, 0, &[], &[]);
    }

    /// Gives the staged records to the committer; they are durable when [`Journal::durable`] reaches the answer, and so
    /// is everything staged before, also when nothing was staged through this guard.
    pub fn finish(self) -> Position {
        // With nothing staged since the last swap, what was staged before is all there is to wait for.
        let staged = if self.staging.is_empty() { 0 } else { self.staging.buffer.len() as u64 };
        Position(self.staging.base + staged)
    }

    fn write(&mut self, kind: Kind, object: u64, word: u64, head: &[u8], body: &[&[u8]]) -> Locator {
        self.append(&Header { kind, flags: 0, object, word }, head, body)
    }

    fn append(&mut self, header: &Header, head: &[u8], body: &[&[u8]]) -> Locator {
        let staging = &mut *self.staging;
        let address = staging.base + staging.buffer.len() as u64;
        let size = record::write(&mut staging.buffer, header, head, body);
        Locator::new(address, size, header.flags & record::SHARED != 0)
    }

    /// The ledger finds a shared body as the one directly before its entry; a body from further back is staged again.
    fn bring_near(&mut self, body: Locator) -> Locator {
        if body.address() == self.staging.latest_body {
            return body;
        }
        let at =
            body.address().checked_sub(self.staging.base).expect("a shared body comes from the same stage") as usize;
        let copy = RawRecord::parse(&self.staging.buffer[at..]).expect("a shared body is staged whole").body.to_vec();
        self.body(&[&copy])
    }
}

impl<D: Disk> Drop for Stage<'_, D> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Half a stage must not become a whole one. Its addresses stay taken: queues may have kept the locators, and
            // what ends one of them must not end the record of a stranger.
            let from = self.from;
            record::void(&mut self.staging.buffer, from);
            self.staging.latest_body = 0;
        }
        let staged = (self.staging.buffer.len() - self.from) as u64;
        self.journal.pending.fetch_add(staged, Ordering::Relaxed);
        if staged > 0 && self.staging.sleeping {
            self.staging.sleeping = false;
            self.journal.work.notify_one();
        }
    }
}
