//! Reading every byte of a journal that is not in use, and saying what is wrong with it. Changes nothing.

use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, own};
use crate::error::{Damage, OpenError, ReadError, disk as disk_error};
use crate::recovery::{self, Found};
use crate::retire;

/// What [`check`] found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Segments that count.
    pub segments: usize,
    /// Class files that count.
    pub class_files: usize,
    /// Everything damaged; empty means sound.
    pub damage: Vec<Damage>,
}

/// Checks every checksum of the journal in `dir`. Refused while a server uses it.
pub fn check<D: Disk>(dir: &Path, disk: &Arc<D>) -> Result<Report, OpenError> {
    let _lock = own(&**disk, dir)?;
    look(dir, disk)
}

/// The same, for one who holds the lock.
pub(crate) fn look<D: Disk>(dir: &Path, disk: &Arc<D>) -> Result<Report, OpenError> {
    let found = match recovery::find(&**disk, dir) {
        Ok(found) => found,
        // A damaged checkpoint hides what else there is.
        Err(OpenError::Corrupt(damage)) => return Ok(Report { damage: vec![damage], ..Report::default() }),
        Err(error) => return Err(error),
    };
    let mut report =
        Report { segments: found.parts.len(), class_files: found.classes.len(), damage: found.damage.clone() };
    report.damage.extend(deep(&found)?);
    report.damage.dedup();
    Ok(report)
}

/// Footers spare recovery the records; here they are read.
fn deep<D: Disk>(found: &Found<D>) -> Result<Vec<Damage>, OpenError> {
    let mut damage = Vec::new();
    let mut note = |path: &Path, outcome: Result<(), ReadError>| match outcome {
        Ok(()) | Err(ReadError::Gone) => Ok(()),
        Err(ReadError::Corrupt(found)) => {
            damage.push(found);
            Ok(())
        }
        Err(ReadError::Disk(error)) => Err(disk_error("cannot read", path)(error)),
    };
    for part in &found.parts {
        note(&part.segment.path, retire::each_batch(&part.segment, |_, _, _| Ok(())))?;
    }
    for (file, _) in &found.classes {
        note(&file.path, file.records(|_, _| ()))?;
    }
    Ok(damage)
}
