//! The keeper: makes the next segment ready before it is needed. Runs beside the committer, never in its way.

use std::sync::Arc;
use std::time::Duration;

use crate::disk::Disk;
use crate::journal::Journal;

/// Looks after the files of one journal. Driven by its own thread, or by hand in a simulation.
pub struct Keeper<D: Disk> {
    journal: Arc<Journal<D>>,
}

impl<D: Disk> Keeper<D> {
    pub(crate) fn new(journal: Arc<Journal<D>>) -> Self {
        Self { journal }
    }

    /// Does what is due.
    pub fn step(&mut self) {
        self.prepare();
    }

    /// The loop of the keeper's thread.
    pub fn run(mut self) {
        while !self.journal.closing() {
            self.step();
            self.journal.wait_keeper(Duration::from_secs(1));
        }
    }

    fn prepare(&self) {
        if let Err(error) = self.journal.prepare_segment() {
            tracing::warn!(%error, "the next journal segment cannot be prepared");
        }
    }
}
