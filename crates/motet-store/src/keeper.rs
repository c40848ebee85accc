//! The keeper: makes the next segment ready, puts footers under sealed ones, and gives room back. Runs beside the
//! committer, never in its way.
//!
//! Segments leave the log strictly from its old end. What still lives in them moves to class files first; the
//! checkpoint that names those and no longer names the segments is durable before the first file goes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::{Disk, DiskFile};
use crate::error::ReadError;
use crate::footer;
use crate::journal::Journal;
use crate::retire::{self, Plan};
use crate::segment::Segment;

/// Looks after the files of one journal. Driven by its own thread, or by hand in a simulation.
pub struct Keeper<D: Disk> {
    pub(crate) journal: Arc<Journal<D>>,
    /// Files to remove once a checkpoint that does not name them is durable.
    pub(crate) rubbish: Vec<PathBuf>,
    /// A file turned out damaged: nothing is removed any more, so that repair finds everything.
    blocked: bool,
}

impl<D: Disk> Keeper<D> {
    pub(crate) fn new(journal: Arc<Journal<D>>) -> Self {
        Self { journal, rubbish: Vec::new(), blocked: false }
    }

    /// Does what is due.
    pub fn step(&mut self) {
        // Short of room, the next segment is made when it is needed: what is free belongs to what is being moved.
        if !self.journal.is_short_of_room() {
            self.prepare();
        }
        let journal = self.journal.clone();
        let _upkeep = journal.upkeep.lock();
        self.seal();
        while !self.blocked
            && let Some(plan) = retire::due(&self.journal)
        {
            if !self.carry_out(plan) {
                break;
            }
        }
        self.journal.restore_reserve();
    }

    /// The loop of the keeper's thread.
    pub fn run(mut self) {
        while !self.journal.closing() {
            self.step();
            self.journal.wait_keeper(Duration::from_secs(1));
        }
    }

    /// The last duty: every segment gets its footer.
    pub(crate) fn close(&mut self) {
        let journal = self.journal.clone();
        let _upkeep = journal.upkeep.lock();
        self.seal();
        if let Some(unused) = self.journal.prepared.lock().take() {
            let _ = self.journal.disk.unlink(&unused.path);
        }
    }

    fn prepare(&self) {
        if let Err(error) = self.journal.prepare_segment() {
            tracing::warn!(%error, "the next journal segment cannot be prepared");
        }
    }

    fn seal(&mut self) {
        let sealed: Vec<Arc<Segment<D>>> = {
            let table = self.journal.table.read();
            table.segments.iter().filter(|segment| segment.sealed() && !segment.footed()).cloned().collect()
        };
        for segment in sealed {
            match self.write_footer(&segment) {
                Ok(()) => {}
                Err(ReadError::Disk(error)) => {
                    // Recovery can do without: it will walk the records.
                    tracing::warn!(%error, file = %segment.path.display(), "a journal segment stays without footer");
                }
                Err(damage) => self.report(&damage),
            }
            // One attempt only: a second sync of a file whose first sync failed proves nothing.
            segment.set_footed();
        }
    }

    fn write_footer(&self, segment: &Segment<D>) -> Result<(), ReadError> {
        let mut bytes = Vec::new();
        retire::summarise(&self.journal, segment)?.encode(&mut bytes);
        let offset = segment.offset(segment.end());
        let framed = footer::frame(bytes, offset, segment.seed);
        segment.file.truncate(offset)?;
        segment.file.write_at(&framed, offset)?;
        segment.file.sync_all()?;
        Ok(())
    }

    fn carry_out(&mut self, plan: Plan) -> bool {
        match retire::carry_out(self, plan) {
            Ok(()) => true,
            Err(ReadError::Disk(error)) => {
                tracing::warn!(%error, "the journal cannot give room back now");
                false
            }
            Err(damage) => {
                self.report(&damage);
                false
            }
        }
    }

    fn report(&mut self, damage: &ReadError) {
        tracing::error!(%damage, "a journal file is damaged; it is left as it is");
        self.journal.events.damaged(&damage.to_string());
        self.blocked = true;
    }

    /// Removes files in their order, then makes that durable.
    pub(crate) fn remove(&mut self) -> io::Result<()> {
        for path in self.rubbish.drain(..) {
            match self.journal.disk.unlink(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, file = %path.display(), "a journal file cannot be removed");
                }
                _ => {}
            }
        }
        self.journal.disk.sync_dir(&self.journal.dir)
    }
}
