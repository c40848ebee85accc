//! Room put by for a full disk. What gives room back (acknowledgements, ends of sessions) has to be written too, and so
//! have the records that outlive their segment and the checkpoint that lets it go: on a disk without a free byte nothing
//! could ever leave.
//!
//! Two files keep that room, one for the log and one for the keeper. Who finds no room spends its own; from then on the
//! journal is *short of room*: only what gives room back should be staged. Once the disk has room for both files again,
//! it is over.

use std::io;
use std::sync::atomic::Ordering;

use crate::disk::{Disk, DiskFile};
use crate::health::Trouble;
use crate::journal::Journal;
use crate::segment::ROOM_MIN;

/// Whose room it is; the name of the file, whose content means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reserve {
    /// For the next segment.
    Log,
    /// For what is moved out of old segments.
    Keeper,
}

impl Reserve {
    fn file(self) -> &'static str {
        match self {
            Self::Log => "reserve-log",
            Self::Keeper => "reserve-keeper",
        }
    }
}

impl<D: Disk> Journal<D> {
    /// A reserve was spent and could not be kept again yet.
    pub fn is_short_of_room(&self) -> bool {
        self.health.has(Trouble::Room)
    }

    /// At a start: puts room by, as much as there is up to the configured size. What a former run put by is good for
    /// this one.
    pub(crate) fn keep_reserves(&self) -> io::Result<()> {
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
        // The keeper first: without its room nothing that is over leaves the disk.
        for reserve in [Reserve::Keeper, Reserve::Log] {
            let path = self.dir.join(reserve.file());
            let file = match self.disk.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.disk.create(&path)?,
                opened => opened?,
            };
            file.allocate(bytes).inspect_err(|_| {
                let _ = self.disk.unlink(&path);
            })?;
        }
        self.reserve_kept.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Gives a reserve away; false when there is none any more.
    pub(crate) fn spend(&self, reserve: Reserve) -> bool {
        if self.config.reserve_bytes == 0 || self.disk.unlink(&self.dir.join(reserve.file())).is_err() {
            return false;
        }
        const REASON: &str = "the disk is full: only what gives room back is written, with room that was put by for it";
        self.health.begin(Trouble::Room, REASON);
        true
    }

    /// Puts room by again after it was spent, and says so; or for the first time, where the start found none.
    pub(crate) fn restore_reserves(&self) {
        let kept = self.reserve_kept.load(Ordering::Relaxed);
        if self.is_short_of_room() {
            // As much as before, lest the first byte that becomes free ends it and the next message begins it again.
            if self.put_by(kept).is_ok() {
                self.health.end(Trouble::Room);
            }
        } else if kept == 0 && self.health.is_well() {
            // While the committer finds no room, what is free is its own.
            let _ = self.keep_reserves();
        }
    }
}
