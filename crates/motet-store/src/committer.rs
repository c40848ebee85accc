//! The committer: takes what is staged, writes it as one batch, syncs, and only then says "durable".
//!
//! One step writes at most one batch, so no byte of the next batch is on its way before the last sync returned. After
//! any error of the disk the segment is abandoned as it is and the same batch goes, unchanged, into a new one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::batch;
use crate::disk::{Disk, DiskFile};
use crate::health::Trouble;
use crate::journal::Journal;
use crate::locator::Position;
use crate::segment::{DATA, Segment};
use crate::staging::InFlight;

/// What a step did, and when the next one makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing was staged.
    Idle,
    /// A batch became durable.
    Committed,
    /// The disk refused; try again after this long.
    Failed(Duration),
}

/// Writes the batches of one journal. Driven by its own thread, or by hand in a simulation.
pub struct Committer<D: Disk> {
    journal: Arc<Journal<D>>,
    active: Option<Arc<Segment<D>>>,
    next_batch: u64,
}

impl<D: Disk> Committer<D> {
    pub(crate) fn new(journal: Arc<Journal<D>>, next_batch: u64) -> Self {
        Self { journal, active: None, next_batch }
    }

    /// Writes what is staged as one batch and makes it durable.
    pub fn step(&mut self) -> Step {
        let Some(batch) = self.take_batch() else { return Step::Idle };
        match self.write(&batch) {
            Ok(segment) => {
                self.confirm(batch, segment);
                Step::Committed
            }
            Err(error) => {
                self.abandon(&error);
                Step::Failed(self.journal.config.retry_delay)
            }
        }
    }

    /// The loop of the committer's thread: ends when the journal is closed and everything staged is durable, or when
    /// it is closed and the disk still refuses.
    pub fn run(mut self) {
        loop {
            match self.step() {
                Step::Committed => {}
                Step::Failed(_) | Step::Idle if self.journal.closing() => return self.finish(),
                Step::Failed(delay) => self.journal.wait_closing(delay),
                Step::Idle => {
                    self.journal.wait_staged();
                    if !self.journal.config.max_delay.is_zero() {
                        std::thread::sleep(self.journal.config.max_delay);
                    }
                }
            }
        }
    }

    /// The last segment gets no more batches.
    pub(crate) fn finish(&mut self) {
        if let Some(active) = self.active.take() {
            active.seal();
        }
    }

    /// The batch that failed before, else what was staged since.
    fn take_batch(&mut self) -> Option<Arc<InFlight>> {
        let mut staging = self.journal.staging.lock();
        if let Some(batch) = &staging.in_flight {
            return Some(batch.clone());
        }
        (!staging.is_empty()).then(|| staging.swap())
    }

    fn write(&mut self, batch: &InFlight) -> io::Result<Arc<Segment<D>>> {
        let len = batch.bytes.read().len() as u64;
        let segment = self.segment_for(batch.base, len)?;
        batch::seal(&mut batch.bytes.write(), self.next_batch, batch.base, segment.seed);
        segment.file.write_at(&batch.bytes.read(), segment.offset(batch.base))?;
        segment.file.sync_data()?;
        Ok(segment)
    }

    /// The active segment when the batch fits, else the next one.
    fn segment_for(&mut self, address: u64, len: u64) -> io::Result<Arc<Segment<D>>> {
        if let Some(active) = &self.active {
            if active.offset(address) + len <= active.room() {
                return Ok(active.clone());
            }
            active.seal();
            self.active = None;
            self.journal.wake_keeper();
        }
        let segment = Arc::new(self.journal.next_segment_at_any_price(DATA + len)?);
        segment.begin(address, self.next_batch);
        self.active = Some(segment.clone());
        Ok(segment)
    }

    fn confirm(&mut self, batch: Arc<InFlight>, segment: Arc<Segment<D>>) {
        self.next_batch += 1;
        let len = batch.bytes.read().len() as u64;
        let end = batch.base + len;
        self.journal.register(&segment, end);
        self.journal.durable.store(end, Ordering::Release);
        self.journal.pending.fetch_sub(len - batch::HEADER as u64, Ordering::Relaxed);
        self.journal.events.durable(Position(end));
        self.journal.health.end(Trouble::Writing);
        self.journal.ledger.lock().apply(&batch.bytes.read(), batch.base);
        self.journal.staging.lock().in_flight = None;
        if let Ok(batch) = Arc::try_unwrap(batch) {
            let buffer = batch.bytes.into_inner();
            // Keep the buffer of an ordinary batch; give an unusually large one back.
            if buffer.capacity() <= 8 << 20 {
                self.journal.staging.lock().spare = buffer;
            }
        }
    }

    /// Never syncs that file again: the kernel may have dropped the pages and call the next sync a success.
    fn abandon(&mut self, error: &io::Error) {
        if let Some(active) = self.active.take() {
            active.seal();
            if active.end() == active.base() {
                // Nothing in it was ever confirmed.
                let _ = self.journal.disk.unlink(&active.path);
            }
        }
        if self.journal.health.begin(Trouble::Writing, &error.to_string()) {
            tracing::error!(%error, "the journal cannot write; nothing is confirmed until the disk works again");
        }
    }
}
