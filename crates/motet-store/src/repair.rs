//! Repair: copies of the damaged files go to a quarantine directory, everything sound is written into new class files,
//! and the log begins anew behind it.
//!
//! What was lost with a damaged batch stays lost; if it was a settlement, its message comes back once more.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use crate::batch;
use crate::check::look;
use crate::checkpoint::Checkpoint;
use crate::class::{self, Class, ClassFile, ClassWriter};
use crate::disk::{Disk, DiskFile, read_all};
use crate::error::{Damage, OpenError, disk as disk_error};
use crate::record::{Kind, RawRecord};
use crate::segment;
use crate::summary::{Builder, Summary};
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

/// Repairs the journal in `dir`. Refused while a server uses it; does nothing when it is sound.
pub fn repair<D: Disk>(dir: &Path, disk: &Arc<D>) -> Result<Repaired, OpenError> {
    let lock_path = dir.join("LOCK");
    let _lock = disk.lock(&lock_path).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => OpenError::InUse(dir.to_owned()),
        _ => disk_error("cannot lock", &lock_path)(error),
    })?;
    let damage = look(dir, disk)?.damage;
    if damage.is_empty() {
        return Ok(Repaired::default());
    }
    let quarantined = quarantine(&**disk, dir, &damage)?;
    let salvage = Salvage::gather(&**disk, dir)?;
    let (entries, keyed) = salvage.rewrite(&**disk, dir)?;
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
    bytes: Vec<u8>,
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

    fn read<D: Disk>(&mut self, disk: &D, path: PathBuf, number: u64) -> Result<Vec<u8>, OpenError> {
        let file = disk.open(&path).map_err(disk_error("cannot open", &path))?;
        let bytes = read_all(&file).map_err(disk_error("cannot read", &path))?;
        self.last_number = self.last_number.max(number);
        self.old.push(path);
        Ok(bytes)
    }

    fn class_file<D: Disk>(&mut self, disk: &D, dir: &Path, class: Class, number: u64) -> Result<(), OpenError> {
        let bytes = self.read(disk, dir.join(class.name(number)), number)?;
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
        let mut body_len = HashMap::default();
        for (address, offset) in &places {
            let Some(record) = RawRecord::parse(&bytes[*offset..]) else { continue };
            class::note(&mut summary, *address, &record, &mut body_len);
        }
        self.next.1 = self.next.1.max(places.last().map_or(0, |(address, _)| address + (2 << 30)));
        self.sources.push(Source { bytes, places, summary });
        Ok(())
    }

    /// Every sound batch, whatever lies between them. A batch that an earlier segment holds as well was written again:
    /// the later copy is the one that was confirmed, and both say the same.
    fn segment<D: Disk>(&mut self, disk: &D, dir: &Path, number: u64) -> Result<(), OpenError> {
        let bytes = self.read(disk, dir.join(segment::name(number)), number)?;
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
        self.sources.push(Source { bytes, places, summary });
        Ok(())
    }

    /// Writes what lives into new class files, puts them in charge, and removes the old files.
    fn rewrite<D: Disk>(mut self, disk: &D, dir: &Path) -> Result<(usize, usize), OpenError> {
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
        let (mut made, mut entries, mut keyed) = (Vec::new(), 0, 0);
        for class in Class::ALL {
            self.last_number += 1;
            let path = dir.join(class.name(self.last_number));
            let mut writer =
                ClassWriter::create(disk, dir, class, self.last_number).map_err(disk_error("cannot create", &path))?;
            let copied = self.sources.iter().try_for_each(|source| copy(source, &survivors, class, &mut writer));
            copied.map_err(disk_error("cannot write", &path))?;
            entries += writer.summary.entries.len();
            keyed += writer.summary.keyed.len();
            let (file, _): (ClassFile<D>, _) = writer.finish().map_err(disk_error("cannot write", &path))?;
            made.push((file.class, file.number, Vec::new()));
        }
        disk.sync_dir(dir).map_err(disk_error("cannot sync", dir))?;
        let (next_batch, next_address) = self.next;
        let objects = survivors.objects;
        let checkpoint = Checkpoint { first_batch: next_batch, next_batch, next_address, classes: made, objects };
        checkpoint.store(disk, dir).map_err(disk_error("cannot replace the checkpoint in", dir))?;
        for path in &self.old {
            disk.unlink(path).map_err(disk_error("cannot remove", path))?;
        }
        disk.sync_dir(dir).map_err(disk_error("cannot sync", dir))?;
        Ok((entries, keyed))
    }
}

/// Copies the survivors of one class. An entry whose shared body is lost is lost with it.
fn copy<D: Disk>(
    source: &Source,
    survivors: &Survivors,
    class: Class,
    writer: &mut ClassWriter<D>,
) -> std::io::Result<()> {
    let records = || {
        let places = source.places.iter();
        places.filter_map(|(address, offset)| Some((*address, RawRecord::parse(&source.bytes[*offset..])?)))
    };
    let alive: HashSet<u64> = survivors.living(&source.summary).map(|(_, at, _)| at.address()).collect();
    let living = || records().filter(|(address, _)| alive.contains(address));
    let needed: HashSet<u64> = living().filter_map(|(_, record)| record.shared_body()).map(|at| at.address()).collect();
    let mut bodies = HashMap::default();
    for (address, record) in records() {
        if record.kind == Kind::Body && needed.contains(&address) && class == Class::Parked {
            bodies.insert(address, record.body.len() as u64);
            writer.append(address, &record, 0)?;
        } else if alive.contains(&address) && Class::of(record.kind) == class {
            match record.shared_body().map(|at| bodies.get(&at.address())) {
                Some(None) => {}
                Some(Some(length)) => writer.append(address, &record, *length)?,
                None => writer.append(address, &record, record.body.len() as u64)?,
            }
        }
    }
    Ok(())
}
