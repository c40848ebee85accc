//! A segment file of the log: one page of header, then batches one behind the other, then a footer once it is sealed.
//!
//! ```text
//! magic "MOTETJN1" | version u32 | crc u32 | number u64 | seed u64 | zeros up to 4096 | batches ... | footer
//! ```
//! The header is durable before the file is used; the seed in it starts every checksum of the file, so bytes of an
//! earlier file can never be taken for its own. Which addresses the segment holds is said by its first batch.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::batch::{self, BatchHeader};
use crate::disk::{Disk, DiskFile};
use crate::record::{fold, u32_at, u64_at};
use crate::summary::Summary;

/// The version of every file format of the journal.
pub(crate) const VERSION: u32 = 1;
/// Where the first batch lies.
pub(crate) const DATA: u64 = 4096;
/// The first bytes of a segment.
pub(crate) const MAGIC: &[u8; 8] = b"MOTETJN1";

/// A segment that is being written or read.
pub(crate) struct Segment<D: Disk> {
    pub path: PathBuf,
    pub file: D::File,
    pub seed: u64,
    /// The number of its first batch.
    first_batch: AtomicU64,
    /// The address of its first batch.
    base: AtomicU64,
    /// The address behind its last durable batch.
    end: AtomicU64,
    /// No more batches will come.
    sealed: AtomicBool,
    /// Its footer is on disk, so recovery need not scan it.
    footed: AtomicBool,
    /// Bytes reserved, header included.
    room: AtomicU64,
}

/// The smallest segment worth its file: below this the disk counts as full.
pub(crate) const ROOM_MIN: u64 = 1 << 20;

impl<D: Disk> Segment<D> {
    /// Makes the next segment ready: created, reserved, its header and its name durable. A disk that has no room for a
    /// whole one gets a smaller one, down to [`ROOM_MIN`].
    pub(crate) fn prepare(disk: &D, dir: &Path, number: u64, bytes: u64) -> io::Result<Self> {
        let mut room = bytes;
        loop {
            match Self::prepare_with_room(disk, dir, number, room) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull && room / 2 >= ROOM_MIN => room /= 2,
                done => return done,
            }
        }
    }

    fn prepare_with_room(disk: &D, dir: &Path, number: u64, bytes: u64) -> io::Result<Self> {
        let path = dir.join(name(number));
        let seed = disk.entropy();
        let file = disk.create(&path)?;
        let ready = (|| {
            file.allocate(bytes)?;
            file.write_at(&header(MAGIC, number, seed), 0)?;
            file.sync_all()?;
            disk.sync_dir(dir)
        })();
        if let Err(error) = ready {
            // A file without durable header is nobody's; recovery would discard it as well.
            let _ = disk.unlink(&path);
            return Err(error);
        }
        let segment = Self::from_parts(path, file, seed, &Summary::default(), false);
        segment.room.store(bytes, Ordering::Release);
        Ok(segment)
    }

    /// A segment that holds what the summary says.
    pub(crate) fn from_parts(path: PathBuf, file: D::File, seed: u64, says: &Summary, footed: bool) -> Self {
        Self {
            path,
            file,
            seed,
            first_batch: AtomicU64::new(says.batches.0),
            base: AtomicU64::new(says.addresses.0),
            end: AtomicU64::new(says.addresses.1),
            sealed: AtomicBool::new(footed),
            footed: AtomicBool::new(footed),
            room: AtomicU64::new(0),
        }
    }

    /// Bytes reserved for it. A recovered segment gets no more batches and has none.
    pub(crate) fn room(&self) -> u64 {
        self.room.load(Ordering::Acquire)
    }

    /// Reserves more, for a batch that needs it.
    pub(crate) fn grow(&self, bytes: u64) -> io::Result<()> {
        self.file.allocate(bytes)?;
        self.room.store(bytes, Ordering::Release);
        Ok(())
    }

    /// Takes its place in the log: its first batch will lie at `address`.
    pub(crate) fn begin(&self, address: u64, batch: u64) {
        self.first_batch.store(batch, Ordering::Release);
        self.base.store(address, Ordering::Release);
        self.end.store(address, Ordering::Release);
    }

    pub(crate) fn first_batch(&self) -> u64 {
        self.first_batch.load(Ordering::Acquire)
    }

    pub(crate) fn advance(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    pub(crate) fn base(&self) -> u64 {
        self.base.load(Ordering::Acquire)
    }

    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    pub(crate) fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    pub(crate) fn sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    pub(crate) fn set_footed(&self) {
        self.footed.store(true, Ordering::Release);
    }

    pub(crate) fn footed(&self) -> bool {
        self.footed.load(Ordering::Acquire)
    }

    /// Where an address lies in the file.
    pub(crate) fn offset(&self, address: u64) -> u64 {
        DATA + (address - self.base())
    }

    /// Reads the durable batches.
    pub(crate) fn read_batches(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; (self.end() - self.base()) as usize];
        let count = self.file.read_at(&mut bytes, DATA)?;
        bytes.truncate(count);
        Ok(bytes)
    }
}

/// The file name of a segment.
pub(crate) fn name(number: u64) -> String {
    format!("journal-{number:016x}.seg")
}

/// The number in the file name of a segment.
pub(crate) fn number(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix("journal-")?.strip_suffix(".seg")?, 16).ok()
}

/// The header page of a file of one of our kinds.
pub(crate) fn header(magic: &[u8; 8], number: u64, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; DATA as usize];
    bytes[..8].copy_from_slice(magic);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    bytes[24..32].copy_from_slice(&seed.to_le_bytes());
    let crc = crc32c::crc32c_append(fold(seed), &bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// What the header page of a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderPage {
    Sound { seed: u64 },
    Version(u32),
    Bad,
}

/// Reads the header page.
pub(crate) fn parse_header(bytes: &[u8], magic: &[u8; 8], number: u64) -> HeaderPage {
    let Some(bytes) = bytes.get(..DATA as usize) else { return HeaderPage::Bad };
    let seed = u64_at(bytes, 24);
    if &bytes[..8] != magic {
        return HeaderPage::Bad;
    }
    if u32_at(bytes, 8) != VERSION {
        return HeaderPage::Version(u32_at(bytes, 8));
    }
    let sound = u64_at(bytes, 16) == number && crc32c::crc32c_append(fold(seed), &bytes[16..]) == u32_at(bytes, 12);
    if sound { HeaderPage::Sound { seed } } else { HeaderPage::Bad }
}

/// The batches found in a segment file.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Offset and header of every sound batch, in order and without a hole.
    pub batches: Vec<(usize, BatchHeader)>,
    /// Where the sound part ends.
    pub end: usize,
    /// A sound batch behind the end: proof of a hole in something durable.
    pub stray: Option<usize>,
}

/// Walks the batches of a whole segment file. `seed` is `None` when the header page is unreadable: then the first
/// batch speaks for itself.
pub(crate) fn scan(file: &[u8], seed: Option<u64>) -> Scan {
    let mut scan = Scan { end: DATA as usize, ..Scan::default() };
    let mut expected: Option<BatchHeader> = None;
    let mut seed = seed;
    while let Some(header) = file.get(scan.end..).and_then(batch::verify) {
        let follows = expected.is_none_or(|last| header.number == last.number + 1 && header.address == last.end());
        if seed.is_some_and(|seed| seed != header.seed) || !follows {
            break;
        }
        seed = Some(header.seed);
        scan.batches.push((scan.end, header));
        expected = Some(header);
        scan.end += batch::HEADER + header.bytes as usize;
    }
    let last = expected.map_or(0, |header| header.number);
    scan.stray = find_stray(file, scan.end, seed, last);
    scan
}

/// Looks for a sound batch of this segment behind a hole. No byte of a batch is written before its predecessor is
/// durable, so there is none unless something durable was damaged.
fn find_stray(file: &[u8], from: usize, seed: Option<u64>, last: u64) -> Option<usize> {
    let mut at = from;
    while at + batch::HEADER <= file.len() {
        if let Some(header) = BatchHeader::parse(&file[at..])
            && seed.is_none_or(|seed| seed == header.seed)
            && header.number > last
            && at != from
            && batch::verify(&file[at..]).is_some()
        {
            return Some(at);
        }
        at += 16;
    }
    None
}
