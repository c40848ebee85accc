//! Repair: copies of the damaged files go to a quarantine directory, everything sound is written into new class files,
//! and the log begins anew behind it.
//!
//! What was lost with a damaged batch stays lost; if it was a settlement, its message comes back once more.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::HashSet;

use crate::batch;
use crate::check::look;
use crate::checkpoint::Checkpoint;
use crate::class::{self, Class, ClassFile, ClassWriter};
use crate::config::Config;
use crate::disk::{Disk, DiskFile, own, read_all};
use crate::error::{Damage, OpenError, disk as disk_error};
use crate::record::{Kind, RawRecord};
use crate::segment;
use crate::summary::{Bodies, Builder, Summary};
use crate::survivors::Survivors;

/// What [`repair`] did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// What was wrong; empty: nothing was done.
    pub damage: Vec<Damage>,
    /// Copies of the damaged files as they were.
    pub quarantined: Vec<PathBuf>,
    /// Entries that live on.
    pub entries: usize,
    /// Keyed records that live on.
    pub keyed: usize,
}

/// Repairs the journal in `dir`. Refused while a server uses it; does nothing when it is sound. Holds one file at a time in
/// memory, and of the others where their records lie.
pub fn repair<D: Disk>(dir: &Path, disk: &Arc<D>) -> Result<Repaired, OpenError> {
    repair_into(dir, disk, Config::default().class_bytes)
}

/// `class_bytes`: from this size on a new class file is begun.
fn repair_into<D: Disk>(dir: &Path, disk: &Arc<D>, class_bytes: u64) -> Result<Repaired, OpenError> {
    let _lock = own(&**disk, dir)?;
    let damage = look(dir, disk)?.damage;
    if damage.is_empty() {
        return Ok(Repaired::default());
    }
    let quarantined = quarantine(&**disk, dir, &damage)?;
    let salvage = Salvage::gather(&**disk, dir)?;
    let (entries, keyed) = salvage.rewrite(&**disk, dir, class_bytes)?;
    Ok(Repaired { damage, quarantined, entries, keyed })
}

fn quarantine<D: Disk>(disk: &D, dir: &Path, damage: &[Damage]) -> Result<Vec<PathBuf>, OpenError> {
    let target = dir.join(format!("quarantine-{:016x}", disk.entropy()));
    disk.create_dir(&target).map_err(disk_error("cannot create", &target))?;
    let files: std::collections::BTreeSet<&PathBuf> = damage.iter().map(|damage| &damage.file).collect();
    let mut copies = Vec::new();
    for path in files {
        let Some(name) = path.file_name() else { continue };
        // A file that is missing altogether leaves nothing to keep.
        let Ok(file) = disk.open(path) else { continue };
        let bytes = read_all(&file).map_err(disk_error("cannot read", path))?;
        let copy = target.join(name);
        let written = disk.create(&copy).and_then(|file| {
            file.write_at(&bytes, 0)?;
            file.sync_all()
        });
        written.map_err(disk_error("cannot write", &copy))?;
        copies.push(copy);
    }
    disk.sync_dir(&target).map_err(disk_error("cannot sync", &target))?;
    disk.sync_dir(dir).map_err(disk_error("cannot sync", dir))?;
    Ok(copies)
}

/// Everything sound in a directory.
struct Salvage {
    checkpoint: Checkpoint,
    /// Every old file, to be removed in the end.
    old: Vec<PathBuf>,
    sources: Vec<Source>,
    last_number: u64,
    /// Behind the last batch and the last address ever seen.
    next: (u64, u64),
}

/// A file's sound records: `places` leads from address to offset, in the order of addresses.
struct Source {
    path: PathBuf,
    places: Vec<(u64, usize)>,
    summary: Summary,
}

impl Salvage {
    fn gather<D: Disk>(disk: &D, dir: &Path) -> Result<Self, OpenError> {
        let checkpoint = match Checkpoint::load(disk, dir) {
            Ok(checkpoint) => checkpoint,
            Err(OpenError::Corrupt(_)) => Checkpoint { first_batch: 0, ..Checkpoint::default() },
            Err(error) => return Err(error),
        };
        let next = (checkpoint.next_batch, checkpoint.next_address);
        let mut salvage = Self { checkpoint, old: Vec::new(), sources: Vec::new(), last_number: 0, next };
        let names = disk.list(dir).map_err(disk_error("cannot list", dir))?;
        let mut segments: Vec<u64> = names.iter().filter_map(|name| segment::number(name)).collect();
        let mut classes: Vec<(Class, u64)> = names.iter().filter_map(|name| Class::parse(name)).collect();
        segments.sort_unstable();
        classes.sort_unstable();
        for (class, number) in classes {
            salvage.class_file(disk, dir, class, number)?;
        }
        salvage.sources.sort_unstable_by_key(|source| source.places.first().map_or(0, |place| place.0));
        for number in segments {
            salvage.segment(disk, dir, number)?;
        }
        Ok(salvage)
    }

    fn take<D: Disk>(&mut self, disk: &D, path: &Path, number: u64) -> Result<Vec<u8>, OpenError> {
        self.last_number = self.last_number.max(number);
        self.old.push(path.to_owned());
        whole(disk, path)
    }

    fn class_file<D: Disk>(&mut self, disk: &D, dir: &Path, class: Class, number: u64) -> Result<(), OpenError> {
        let path = dir.join(class.name(number));
        let bytes = self.take(disk, &path, number)?;
        let known = self.checkpoint.classes.iter().find(|known| (known.0, known.1) == (class, number));
        let named = known.is_some();
        let dead: HashSet<u64> = known.map(|known| known.2.iter().copied().collect()).unwrap_or_default();
        // One that a sound checkpoint does not name was never finished.
        if !named && self.checkpoint.first_batch != 0 {
            return Ok(());
        }
        let mut places = class::salvage(&bytes);
        places.retain(|(address, _)| !dead.contains(address));
        let mut summary = Summary::default();
        let mut bodies = Bodies::default();
        for (address, offset) in &places {
            let Some(record) = RawRecord::parse(&bytes[*offset..]) else { continue };
            summary.note(*address, &record, &mut bodies);
        }
        self.next.1 = self.next.1.max(places.last().map_or(0, |(address, _)| address + (2 << 30)));
        self.sources.push(Source { path, places, summary });
        Ok(())
    }

    /// Every sound batch, whatever lies between them. A batch that an earlier segment holds as well was written again:
    /// the later copy is the one that was confirmed, and both say the same.
    fn segment<D: Disk>(&mut self, disk: &D, dir: &Path, number: u64) -> Result<(), OpenError> {
        let path = dir.join(segment::name(number));
        let bytes = self.take(disk, &path, number)?;
        let (mut places, mut builder) = (Vec::new(), None);
        let mut at = segment::DATA as usize;
        while at + batch::HEADER <= bytes.len() {
            let Some(header) = batch::verify(&bytes[at..]) else {
                at += 16;
                continue;
            };
            let len = (header.end() - header.address) as usize;
            if header.number >= self.checkpoint.first_batch {
                let builder = builder.get_or_insert_with(|| Builder::new(header.address, header.number));
                builder.batch(&bytes[at..at + len], header.address, header.number);
                let records = batch::records(&bytes[at..at + len], header.address);
                places.extend(records.map(|(address, _)| (address, at + (address - header.address) as usize)));
                self.next = (self.next.0.max(header.number + 1), self.next.1.max(header.end()));
            }
            at += len;
        }
        let Some(builder) = builder else { return Ok(()) };
        let summary = builder.finish(|_, _| true);
        // The older copy of a batch yields to this one.
        let first = summary.addresses.0;
        for older in &mut self.sources {
            older.places.retain(|(address, _)| *address < first);
            older.summary.entries.retain(|note| note.at.address() < first);
            older.summary.keyed.retain(|note| note.at.address() < first);
            older.summary.marks.retain(|note| note.at.address() < first);
        }
        self.sources.push(Source { path, places, summary });
        Ok(())
    }

    /// Writes what lives into new class files, puts them in charge, and removes the old files.
    fn rewrite<D: Disk>(mut self, disk: &D, dir: &Path, class_bytes: u64) -> Result<(usize, usize), OpenError> {
        // Without a checkpoint the class files alone know of objects that were quiet since.
        for source in &self.sources {
            let notes = source.summary.entries.iter().map(|note| (note.object, note.seq, note.at));
            let keyed = source.summary.keyed.iter().map(|note| (note.object, 0, note.at));
            for (object, seq, at) in notes.chain(keyed).filter(|_| self.checkpoint.first_batch == 0) {
                let fresh = crate::ledger::ObjectState { born: at.address(), last_seq: 0 };
                let state = self.checkpoint.objects.entry(object).or_insert(fresh);
                state.born = state.born.min(at.address());
                state.last_seq = state.last_seq.max(seq);
            }
        }
        let summaries: Vec<&Summary> = self.sources.iter().map(|source| &source.summary).collect();
        let survivors = Survivors::gather(&self.checkpoint.objects, &summaries);
        let mut rewriting = Rewriting { disk, dir, last_number: self.last_number, made: Vec::new(), count: (0, 0) };
        for class in Class::ALL {
            let mut writer = None;
            // Between sources only: a body stays with its entries.
            for source in &self.sources {
                rewriting.copy(source, &survivors, class, &mut writer)?;
                if let Some(full) = writer.take_if(|writer| writer.size() >= class_bytes) {
                    rewriting.finish(full)?;
                }
            }
            writer.map_or(Ok(()), |last| rewriting.finish(last))?;
        }
        let Rewriting { made, count, .. } = rewriting;
        disk.sync_dir(dir).map_err(disk_error("cannot sync", dir))?;
        let (next_batch, next_address) = self.next;
        let objects = survivors.objects;
        let checkpoint = Checkpoint { first_batch: next_batch, next_batch, next_address, classes: made, objects };
        checkpoint.store(disk, dir).map_err(disk_error("cannot replace the checkpoint in", dir))?;
        for path in &self.old {
            disk.unlink(path).map_err(disk_error("cannot remove", path))?;
        }
        disk.sync_dir(dir).map_err(disk_error("cannot sync", dir))?;
        Ok(count)
    }
}

/// The new class files.
struct Rewriting<'a, D: Disk> {
    disk: &'a D,
    dir: &'a Path,
    last_number: u64,
    /// As the checkpoint names them.
    made: Vec<(Class, u64, Vec<u64>)>,
    /// Entries and keyed records that live on.
    count: (usize, usize),
}

impl<D: Disk> Rewriting<'_, D> {
    /// Copies the survivors of one class. An entry whose shared body is lost is lost with it.
    fn copy(
        &mut self,
        source: &Source,
        survivors: &Survivors,
        class: Class,
        writer: &mut Option<ClassWriter<D>>,
    ) -> Result<(), OpenError> {
        let alive: HashSet<u64> = survivors.living(&source.summary).map(|(_, at, _)| at.address()).collect();
        if alive.is_empty() {
            return Ok(());
        }
        let bytes = whole(self.disk, &source.path)?;
        let records = || {
            let places = source.places.iter();
            places.filter_map(|(address, offset)| Some((*address, RawRecord::parse(bytes.get(*offset..)?)?)))
        };
        let living = records().filter(|(address, _)| alive.contains(address));
        let needed: HashSet<u64> =
            living.filter_map(|(_, record)| record.shared_body()).map(|at| at.address()).collect();
        let mut bodies = HashSet::default();
        for (address, record) in records().filter(|(_, record)| Class::of(record.kind) == class) {
            let wanted = match record.kind {
                Kind::Body => needed.contains(&address) && bodies.insert(address),
                _ => {
                    let whole = record.shared_body().is_none_or(|at| bodies.contains(&at.address()));
                    whole && alive.contains(&address)
                }
            };
            if wanted {
                self.append(address, &record, class, writer)?;
            }
        }
        Ok(())
    }

    fn append(
        &mut self,
        address: u64,
        record: &RawRecord<'_>,
        class: Class,
        writer: &mut Option<ClassWriter<D>>,
    ) -> Result<(), OpenError> {
        let writer = match writer {
            Some(writer) => writer,
            None => {
                self.last_number += 1;
                let path = self.dir.join(class.name(self.last_number));
                let fresh = ClassWriter::create(self.disk, self.dir, class, self.last_number);
                writer.insert(fresh.map_err(disk_error("cannot create", &path))?)
            }
        };
        writer.append(address, record).map_err(disk_error("cannot write", &writer.path))
    }

    fn finish(&mut self, writer: ClassWriter<D>) -> Result<(), OpenError> {
        let path = writer.path.clone();
        let (file, summary): (ClassFile<D>, Summary) = writer.finish().map_err(disk_error("cannot write", &path))?;
        self.count.0 += summary.entries.len();
        self.count.1 += summary.keyed.len();
        self.made.push((file.class, file.number, Vec::new()));
        Ok(())
    }
}

fn whole<D: Disk>(disk: &D, path: &Path) -> Result<Vec<u8>, OpenError> {
    let file = disk.open(path).map_err(disk_error("cannot open", path))?;
    read_all(&file).map_err(disk_error("cannot read", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, Journal, NoEvents, NoRecovery, sim_disk::SimDisk};

    #[test]
    fn what_is_kept_goes_into_files_no_larger_than_any_other() {
        const CLASS_BYTES: u64 = 16 << 10;
        let (dir, disk) = (Path::new("/journal"), Arc::new(SimDisk::new(1)));
        let config = Config { segment_bytes: CLASS_BYTES, segments_max: 1_000, ..Config::default() };
        let mut opened = Journal::open(dir, disk.clone(), config, Arc::new(NoEvents), &mut NoRecovery).unwrap();
        for seq in 1..=1_000 {
            opened.journal.stage().enqueue(1, seq, b"", Body::Inline(&[&[1; 100]]));
            opened.committer.step();
        }
        opened.close();
        disk.flip_bit(&dir.join("journal-0000000000000001.seg"), segment::DATA + 100, 1);
        let repaired = repair_into(dir, &disk, CLASS_BYTES).unwrap();
        assert_eq!((repaired.entries, repaired.damage.len()), (999, 1));
        let names = disk.list(dir).unwrap();
        let sizes = names.iter().filter(|name| Class::parse(name).is_some());
        let sizes: Vec<u64> = sizes.map(|name| disk.open(&dir.join(name)).unwrap().size().unwrap()).collect();
        assert!(sizes.len() > 5 && sizes.iter().all(|size| *size < 3 * CLASS_BYTES), "{sizes:?}");
        let opened = Journal::open(dir, disk, Config::default(), Arc::new(NoEvents), &mut NoRecovery).unwrap();
        assert_eq!(opened.journal.usage().class_files, sizes.len());
    }
}
