//! Room put by for a full disk. What gives room back (acknowledgements, ends of sessions) has to be written too, and so has
//! what living records are moved to: on a disk without a free byte nothing could ever leave.
//!
//! A file of a fixed size keeps that room. When a segment finds none, the file goes and the segment takes its place; from
//! then on the journal is *short of room*: only what gives room back should be staged. Once the disk has room for the file
//! again, it is over.

use std::io;
use std::sync::atomic::Ordering;

use crate::disk::{Disk, DiskFile};
use crate::journal::Journal;
use crate::segment::ROOM_MIN;

/// The file's name; its content means nothing.
pub(crate) const RESERVE: &str = "reserve";

impl<D: Disk> Journal<D> {
    /// The reserve was spent and could not be kept again yet.
    pub fn is_short_of_room(&self) -> bool {
        self.short_of_room.load(Ordering::Acquire)
    }

    /// At a start: puts room by, as much as there is up to the configured size. What a former run put by is good for
    /// this one.
    pub(crate) fn keep_reserve(&self) -> io::Result<()> {
        let mut bytes = self.config.reserve_bytes.min(self.config.segment_bytes);
        loop {
            match self.put_by(bytes) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull && bytes / 2 >= ROOM_MIN => bytes /= 2,
                done => return done,
            }
        }
    }

    fn put_by(&self, bytes: u64) -> io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        let path = self.dir.join(RESERVE);
        let file = match self.disk.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.disk.create(&path)?,
            opened => opened?,
        };
        file.allocate(bytes).inspect_err(|_| {
            let _ = self.disk.unlink(&path);
        })?;
        self.reserve_kept.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Gives the reserve away; false when there is none any more.
    pub(crate) fn spend_reserve(&self) -> bool {
        if self.config.reserve_bytes == 0 || self.disk.unlink(&self.dir.join(RESERVE)).is_err() {
            return false;
        }
        if !self.short_of_room.swap(true, Ordering::AcqRel) {
            self.events
                .failed("the disk is full: only what gives room back is written, with room that was put by for it");
        }
        true
    }

    /// Puts room by again after it was spent, and says so.
    pub(crate) fn restore_reserve(&self) {
        // As much as before, lest the first byte that becomes free ends it and the next message begins it again.
        if self.is_short_of_room() && self.put_by(self.reserve_kept.load(Ordering::Relaxed)).is_ok() {
            self.short_of_room.store(false, Ordering::Release);
            self.events.recovered_room();
        }
    }
}
