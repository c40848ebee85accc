//! Class files: where records go that outlive their part of the log, so that one month-old message never pins the rest.
//!
//! A class file is written once, from old segments or from older class files of its class, and is complete from the
//! moment the checkpoint names it. Its records keep their addresses, therefore their locators; an index at its end
//! leads from the address to the place in the file.
//!
//! ```text
//! header page | records | index blocks | footer (index place, first address of every block, summary)
//! block: 63 x (address u64, offset u64) | crc u32 | zeros, 1024 bytes
//! ```

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::disk::{Disk, DiskFile, read_all};
use crate::error::{Damage, OpenError, ReadError, disk as disk_error};
use crate::footer::{self, Reader, put};
use crate::ledger::{ClassLedger, SegmentLedger};
use crate::locator::Locator;
use crate::reading::{check_record, damaged};
use crate::record::{self, Kind, RawRecord, fold, u32_at, u64_at};
use crate::segment::{self, DATA, HeaderPage, VERSION};
use crate::summary::{Bodies, Summary};

const MAGIC: &[u8; 8] = b"MOTETCL1";
const BLOCK: usize = 1024;
const PER_BLOCK: usize = 63;
/// Written at once.
const CHUNK: usize = 1 << 20;

/// Which kind of long life a class file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Entries, their bodies and marks.
    Parked,
    /// Keyed records.
    Keyed,
}

impl Class {
    pub(crate) const ALL: [Self; 2] = [Self::Parked, Self::Keyed];

    /// The class of the records that this kind is, or ends.
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Put | Kind::Delete => Self::Keyed,
            _ => Self::Parked,
        }
    }

    pub(crate) fn name(self, number: u64) -> String {
        match self {
            Self::Parked => format!("parked-{number:016x}.seg"),
            Self::Keyed => format!("keyed-{number:016x}.seg"),
        }
    }

    /// The class and number in a file name.
    pub(crate) fn parse(name: &str) -> Option<(Self, u64)> {
        let (class, number) = match name.strip_prefix("parked-") {
            Some(rest) => (Self::Parked, rest),
            None => (Self::Keyed, name.strip_prefix("keyed-")?),
        };
        Some((class, u64::from_str_radix(number.strip_suffix(".seg")?, 16).ok()?))
    }
}

/// A complete class file.
pub(crate) struct ClassFile<D: Disk> {
    pub path: PathBuf,
    pub class: Class,
    pub number: u64,
    pub first: u64,
    pub last: u64,
    /// Length of the file.
    pub size: u64,
    file: D::File,
    seed: u64,
    index: u64,
    /// The first address of every index block.
    sparse: Vec<u64>,
}

impl<D: Disk> ClassFile<D> {
    /// Opens a file the checkpoint names.
    pub(crate) fn open(disk: &D, dir: &Path, class: Class, number: u64) -> Result<(Self, Summary), OpenError> {
        let path = dir.join(class.name(number));
        let corrupt =
            |offset, what: &str| OpenError::Corrupt(Damage { file: path.clone(), offset, what: what.to_owned() });
        let file = disk.open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => corrupt(0, "the file is missing"),
            _ => disk_error("cannot open", &path)(error),
        })?;
        let mut page = vec![0; DATA as usize];
        file.read_at(&mut page, 0).map_err(disk_error("cannot read", &path))?;
        let seed = match segment::parse_header(&page, MAGIC, number) {
            HeaderPage::Sound { seed } => seed,
            HeaderPage::Version(version) => {
                return Err(OpenError::Version { file: path.clone(), version, known: VERSION });
            }
            HeaderPage::Bad => return Err(corrupt(0, "the header page is unreadable")),
        };
        let size = file.size().map_err(disk_error("cannot read", &path))?;
        let bytes = footer::read(&file, seed).map_err(disk_error("cannot read", &path))?;
        let bytes = bytes.ok_or_else(|| corrupt(size, "the footer is unreadable"))?;
        let decoded = decode(bytes).ok_or_else(|| corrupt(size, "the footer makes no sense"))?;
        let (index, last, sparse, summary) = decoded;
        let first = sparse.first().copied().unwrap_or(0);
        let path = path.clone();
        Ok((Self { path, class, number, first, last, size, file, seed, index, sparse }, summary))
    }

    pub(crate) fn covers(&self, address: u64) -> bool {
        self.first <= address && address <= self.last
    }

    /// The record that was born at this address; `None` when it is not in this file.
    pub(crate) fn read(&self, at: Locator) -> Result<Option<Bytes>, ReadError> {
        let Some(offset) = self.find(at.address())? else { return Ok(None) };
        let mut buffer = vec![0; at.size() as usize];
        let count = self.file.read_at(&mut buffer, offset)?;
        buffer.truncate(count);
        let record = check_record(buffer, self.seed).ok_or_else(|| damaged(&self.path, offset))?;
        Ok(Some(record))
    }

    fn find(&self, address: u64) -> Result<Option<u64>, ReadError> {
        let Some(block) = self.sparse.partition_point(|first| *first <= address).checked_sub(1) else {
            return Ok(None);
        };
        let offset = self.index + (block * BLOCK) as u64;
        let mut bytes = [0; BLOCK];
        self.file.read_at(&mut bytes, offset)?;
        let places = parse_block(&bytes, self.seed).ok_or_else(|| damaged(&self.path, offset))?;
        Ok(places.iter().find(|(born, _)| *born == address).map(|(_, offset)| *offset))
    }

    /// Hands over every record with its address, in order; stops at the first that is damaged.
    pub(crate) fn records(&self, mut each: impl FnMut(u64, &RawRecord<'_>)) -> Result<(), ReadError> {
        let bytes = read_all(&self.file)?;
        for block in 0..self.sparse.len() {
            let offset = self.index as usize + block * BLOCK;
            let places = bytes.get(offset..offset + BLOCK).and_then(|bytes| parse_block(bytes, self.seed));
            for (address, offset) in places.ok_or_else(|| damaged(&self.path, offset as u64))? {
                let record = bytes.get(offset as usize..).and_then(|bytes| RawRecord::parse_checked(bytes, self.seed));
                each(address, &record.ok_or_else(|| damaged(&self.path, offset))?);
            }
        }
        Ok(())
    }

    /// Its accounting, before any record is entered.
    pub(crate) fn ledger(&self) -> ClassLedger {
        let (class, number, first, last) = (self.class, self.number, self.first, self.last);
        let bytes = self.index.saturating_sub(DATA);
        ClassLedger { class, number, first, last, bytes, size: self.size, ledger: SegmentLedger::of_class() }
    }
}

fn parse_block(bytes: &[u8], seed: u64) -> Option<Vec<(u64, u64)>> {
    let (places, rest) = bytes.split_at_checked(PER_BLOCK * 16)?;
    if crc32c::crc32c_append(fold(seed), places) != u32_at(rest, 0) {
        return None;
    }
    let places = places.chunks_exact(16).map(|place| (u64_at(place, 0), u64_at(place, 8)));
    Some(places.filter(|(address, _)| *address != 0).collect())
}

/// What of a damaged class file can still be used: address and offset of every sound record the index leads to. The
/// index begins where the records end, so it is found even when the footer is lost.
pub(crate) fn salvage(bytes: &[u8]) -> Vec<(u64, usize)> {
    let Some(page) = bytes.get(..DATA as usize) else { return Vec::new() };
    // Every checksum starts from the seed: with a damaged one nothing would verify.
    let seed = u64_at(page, 24);
    let mut places = Vec::new();
    let mut at = DATA as usize;
    while at + BLOCK <= bytes.len() {
        match parse_block(&bytes[at..at + BLOCK], seed).filter(|places| !places.is_empty()) {
            Some(block) => {
                places.extend(block.into_iter().map(|(address, offset)| (address, offset as usize)));
                at += BLOCK;
            }
            None => at += 16,
        }
    }
    places.retain(|(_, at)| bytes.get(*at..).is_some_and(|bytes| RawRecord::parse_checked(bytes, seed).is_some()));
    places.sort_unstable();
    places
}

type Decoded = (u64, u64, Vec<u64>, Summary);

fn decode(bytes: Vec<u8>) -> Option<Decoded> {
    let mut reader = Reader { bytes: &bytes, at: 0 };
    let (index, _count, last) = (reader.number()?, reader.number()?, reader.number()?);
    let mut sparse = Vec::new();
    for _ in 0..reader.number()? {
        sparse.push(reader.number()?);
    }
    let at = reader.at;
    let (summary, _) = Summary::decode(bytes, at)?;
    Some((index, last, sparse, summary))
}

/// A class file being written.
pub(crate) struct ClassWriter<D: Disk> {
    pub path: PathBuf,
    class: Class,
    number: u64,
    file: D::File,
    seed: u64,
    buffer: Vec<u8>,
    /// Where the buffer goes.
    offset: u64,
    places: Vec<(u64, u64)>,
    bodies: Bodies,
    pub summary: Summary,
}

impl<D: Disk> ClassWriter<D> {
    pub(crate) fn create(disk: &D, dir: &Path, class: Class, number: u64) -> io::Result<Self> {
        let path = dir.join(class.name(number));
        let seed = disk.entropy();
        let file = disk.create(&path)?;
        let buffer = segment::header(MAGIC, number, seed);
        let (places, bodies, summary) = (Vec::new(), Bodies::default(), Summary::default());
        Ok(Self { path, class, number, file, seed, buffer, offset: 0, places, bodies, summary })
    }

    /// Bytes written so far.
    pub(crate) fn size(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    /// Appends a record born at `address`; addresses ascend, so a shared body comes before its entries.
    pub(crate) fn append(&mut self, address: u64, record: &RawRecord<'_>) -> io::Result<()> {
        self.places.push((address, self.size()));
        let start = self.buffer.len();
        let RawRecord { kind, flags, object, word, .. } = *record;
        let size =
            record::write(&mut self.buffer, &record::Header { kind, flags, object, word }, record.head, &[record.body]);
        record::seal(&mut self.buffer[start..start + size], self.seed);
        self.summary.note(address, record, &mut self.bodies);
        if self.buffer.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(&self.buffer, self.offset)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes index and footer and makes the content durable; the name is made durable with the checkpoint.
    pub(crate) fn finish(mut self) -> io::Result<(ClassFile<D>, Summary)> {
        let index = self.size();
        for block in self.places.chunks(PER_BLOCK) {
            let start = self.buffer.len();
            for (address, offset) in block {
                self.buffer.extend_from_slice(&address.to_le_bytes());
                self.buffer.extend_from_slice(&offset.to_le_bytes());
            }
            self.buffer.resize(start + PER_BLOCK * 16, 0);
            let crc = crc32c::crc32c_append(fold(self.seed), &self.buffer[start..]);
            self.buffer.extend_from_slice(&crc.to_le_bytes());
            self.buffer.resize(start + BLOCK, 0);
        }
        let sparse: Vec<u64> = self.places.chunks(PER_BLOCK).map(|block| block[0].0).collect();
        let last = self.places.last().map_or(0, |(address, _)| *address);
        let count = self.places.len() as u64;
        let mut footer = Vec::new();
        [index, count, last, sparse.len() as u64].into_iter().for_each(|number| put(&mut footer, number));
        sparse.iter().for_each(|address| put(&mut footer, *address));
        self.summary.encode(&mut footer);
        let framed = footer::frame(footer, self.size(), self.seed);
        self.buffer.extend_from_slice(&framed);
        self.flush()?;
        self.file.sync_all()?;
        let first = sparse.first().copied().unwrap_or(0);
        let Self { path, class, number, file, seed, offset: size, summary, .. } = self;
        Ok((ClassFile { path, class, number, first, last, size, file, seed, index, sparse }, summary))
    }
}
