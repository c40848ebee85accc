//! The checkpoint: one small file that says which files count, and what the removed ones would have said.
//!
//! It is replaced as a whole (written beside, synced, renamed, directory synced) before anything it makes superfluous
//! is removed. What it names exists; what it does not name, or calls older than its first batch, is rubbish.
//!
//! ```text
//! magic "MOTETCP1" | version u32 | crc u32 | length u64 | LEB128 numbers: first batch, next batch, next address,
//! class files (class, number, dead addresses), objects (number, born, last sequence)
//! ```

use std::io;
use std::path::Path;

use foldhash::HashMap;

use crate::class::Class;
use crate::disk::{Disk, DiskFile, read_all};
use crate::error::{Damage, OpenError, disk as disk_error};
use crate::footer::{Reader, put};
use crate::ledger::ObjectState;
use crate::record::{u32_at, u64_at};
use crate::segment::{DATA, VERSION};

const MAGIC: &[u8; 8] = b"MOTETCP1";
pub(crate) const NAME: &str = "checkpoint";
pub(crate) const NEW: &str = "checkpoint.new";
const HEADER: usize = 24;

/// What the checkpoint says.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoint {
    /// The first batch of the oldest segment that counts.
    pub first_batch: u64,
    /// Where the log goes on when no segment is left.
    pub next_batch: u64,
    pub next_address: u64,
    /// Class files with the addresses of their dead records.
    pub classes: Vec<(Class, u64, Vec<u64>)>,
    pub objects: HashMap<u64, ObjectState>,
}

impl Default for Checkpoint {
    /// That of an empty directory.
    fn default() -> Self {
        Self { first_batch: 1, next_batch: 1, next_address: DATA, classes: Vec::new(), objects: HashMap::default() }
    }
}

impl Checkpoint {
    /// Reads the checkpoint of a directory; an empty one when there is none.
    pub(crate) fn load<D: Disk>(disk: &D, dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join(NAME);
        let file = match disk.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(disk_error("cannot open", &path)(error)),
        };
        let bytes = read_all(&file).map_err(disk_error("cannot read", &path))?;
        let damage = |what: &str| Damage { file: path.clone(), offset: 0, what: what.to_owned() };
        if bytes.len() < HEADER || &bytes[..8] != MAGIC {
            return Err(OpenError::Corrupt(damage("this is no checkpoint")));
        }
        if u32_at(&bytes, 8) != VERSION {
            return Err(OpenError::Version { file: path.clone(), version: u32_at(&bytes, 8), known: VERSION });
        }
        let whole = u64_at(&bytes, 16) == (bytes.len() - HEADER) as u64;
        if !whole || crc32c::crc32c(&bytes[16..]) != u32_at(&bytes, 12) {
            return Err(OpenError::Corrupt(damage("its checksum does not hold")));
        }
        Self::decode(&bytes[HEADER..]).ok_or_else(|| OpenError::Corrupt(damage("its content makes no sense")))
    }

    /// Puts it in the place of the one before, durably.
    pub(crate) fn store<D: Disk>(&self, disk: &D, dir: &Path) -> io::Result<()> {
        self.write_beside(disk, dir)?;
        Self::replace(disk, dir)
    }

    /// Writes it beside the one that counts. After an error nothing of it is there and the old one counts for sure.
    pub(crate) fn write_beside<D: Disk>(&self, disk: &D, dir: &Path) -> io::Result<()> {
        let new = dir.join(NEW);
        match disk.unlink(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(&new)?;
        file.write_at(&self.encode(), 0).and_then(|()| file.sync_all()).inspect_err(|_| {
            // A disk that is full needs the room of a half.
            let _ = disk.unlink(&new);
        })
    }

    /// Makes the one written beside the one that counts. After an error either of the two may count.
    pub(crate) fn replace<D: Disk>(disk: &D, dir: &Path) -> io::Result<()> {
        disk.rename(&dir.join(NEW), &dir.join(NAME))?;
        disk.sync_dir(dir)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        [self.first_batch, self.next_batch, self.next_address].into_iter().for_each(|n| put(&mut bytes, n));
        put(&mut bytes, self.classes.len() as u64);
        for (class, number, dead) in &self.classes {
            put(&mut bytes, u64::from(*class == Class::Keyed));
            put(&mut bytes, *number);
            put(&mut bytes, dead.len() as u64);
            let mut last = 0;
            for address in dead {
                put(&mut bytes, address - last);
                last = *address;
            }
        }
        put(&mut bytes, self.objects.len() as u64);
        let mut objects: Vec<_> = self.objects.iter().collect();
        objects.sort_unstable_by_key(|(object, _)| **object);
        for (object, state) in objects {
            [*object, state.born, state.last_seq].into_iter().for_each(|n| put(&mut bytes, n));
        }
        let len = (bytes.len() - HEADER) as u64;
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&len.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { bytes, at: 0 };
        let (first_batch, next_batch, next_address) = (reader.number()?, reader.number()?, reader.number()?);
        let mut checkpoint = Self { first_batch, next_batch, next_address, ..Self::default() };
        for _ in 0..reader.number()? {
            let class = if reader.number()? == 1 { Class::Keyed } else { Class::Parked };
            let number = reader.number()?;
            let (mut dead, mut last) = (Vec::new(), 0u64);
            for _ in 0..reader.number()? {
                last = last.checked_add(reader.number()?)?;
                dead.push(last);
            }
            checkpoint.classes.push((class, number, dead));
        }
        for _ in 0..reader.number()? {
            let (object, born, last_seq) = (reader.number()?, reader.number()?, reader.number()?);
            checkpoint.objects.insert(object, ObjectState { born, last_seq });
        }
        Some(checkpoint)
    }
}
