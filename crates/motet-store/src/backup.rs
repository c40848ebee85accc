//! A consistent copy of a journal that is in use: everything durable at one moment, nothing of what came later.

use std::path::Path;

use crate::checkpoint::{self, Checkpoint};
use crate::disk::{Disk, DiskFile};
use crate::error::OpenError;
use crate::error::disk as disk_error;
use crate::journal::Journal;
use crate::locator::Position;

const CHUNK: usize = 1 << 20;

impl<D: Disk> Journal<D> {
    /// Copies the journal into the empty directory `target` and answers up to where. Staging and committing go on
    /// meanwhile; only giving back room waits.
    pub fn backup(&self, target: &Path) -> Result<Position, OpenError> {
        let _no_upkeep = self.upkeep.lock();
        self.disk.create_dir(target).map_err(disk_error("cannot create", target))?;
        // The ends are taken in one look: every file up to here, and no further.
        let segments: Vec<_> = {
            let table = self.table.read();
            table.segments.iter().map(|segment| (segment.clone(), segment.end())).collect()
        };
        let position = segments.last().map_or(self.floor.1, |(_, end)| *end);
        // What is on disk, not what we remember: the two differ after a failed replacement, and both are consistent.
        let checkpoint = Checkpoint::load(&*self.disk, &self.dir)?;
        for (class, number, _) in &checkpoint.classes {
            self.copy(&class.name(*number), target, None)?;
        }
        if self.disk.open(&self.dir.join(checkpoint::NAME)).is_ok() {
            self.copy(checkpoint::NAME, target, None)?;
        }
        for (segment, end) in segments {
            let name = segment.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let length = if segment.footed() { None } else { Some(segment.offset(end)) };
            self.copy(name, target, length)?;
        }
        self.disk.sync_dir(target).map_err(disk_error("cannot sync", target))?;
        Ok(Position(position))
    }

    /// Copies a file, or its first `length` bytes.
    fn copy(&self, name: &str, target: &Path, length: Option<u64>) -> Result<(), OpenError> {
        let (from, to) = (self.dir.join(name), target.join(name));
        let source = self.disk.open(&from).map_err(disk_error("cannot open", &from))?;
        let size = source.size().map_err(disk_error("cannot read", &from))?;
        let length = length.unwrap_or(size).min(size);
        let copy = self.disk.create(&to).map_err(disk_error("cannot create", &to))?;
        let mut buffer = vec![0; CHUNK];
        let mut at = 0;
        while at < length {
            let wanted = (length - at).min(CHUNK as u64) as usize;
            let count = source.read_at(&mut buffer[..wanted], at).map_err(disk_error("cannot read", &from))?;
            if count == 0 {
                break;
            }
            copy.write_at(&buffer[..count], at).map_err(disk_error("cannot write", &to))?;
            at += count as u64;
        }
        copy.sync_all().map_err(disk_error("cannot sync", &to))
    }
}
