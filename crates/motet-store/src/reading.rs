//! Reading one record wherever it is, and many at once: a queue that is dense in a segment is read in blocks, a sparse one record by record.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::disk::{Disk, DiskFile};
use crate::error::{Damage, ReadError};
use crate::journal::{Journal, Record};
use crate::locator::Locator;
use crate::record::{Kind, RawRecord};
use crate::segment::Segment;

/// The largest block.
const BLOCK: u64 = 256 * 1024;
/// A gap up to this size costs less to read than a call of its own.
const GAP: u64 = 8 * 1024;

impl<D: Disk> Journal<D> {
    /// The record's own bytes, padding included.
    pub(crate) fn read_raw(&self, at: Locator) -> Result<Bytes, ReadError> {
        if at.address() >= self.durable.load(Ordering::Acquire)
            && let Some(bytes) = self.read_staged(at)
        {
            return Ok(bytes);
        }
        self.read_disk(at)
    }

    fn read_staged(&self, at: Locator) -> Option<Bytes> {
        let staging = self.staging.lock();
        if at.address() >= staging.base {
            return slice_record(&staging.buffer, at.address() - staging.base);
        }
        let in_flight = staging.in_flight.clone()?;
        drop(staging);
        let bytes = in_flight.bytes.read();
        slice_record(&bytes, at.address().checked_sub(in_flight.base)?)
    }

    fn read_disk(&self, at: Locator) -> Result<Bytes, ReadError> {
        let Some(segment) = self.segment_of(at.address()) else { return self.read_class(at) };
        let offset = segment.offset(at.address());
        let mut buffer = vec![0; at.size() as usize];
        let count = segment.file.read_at(&mut buffer, offset)?;
        buffer.truncate(count);
        check_record(buffer, segment.seed).ok_or_else(|| damaged(&segment.path, offset).into())
    }

    fn read_class(&self, at: Locator) -> Result<Bytes, ReadError> {
        let files: Vec<_> = {
            let table = self.table.read();
            // It may have moved between the two looks at the table; a segment it left is still open.
            table.classes.iter().filter(|file| file.covers(at.address())).cloned().collect()
        };
        for file in files {
            if let Some(record) = file.read(at)? {
                return Ok(record);
            }
        }
        Err(ReadError::Gone)
    }

    /// The segment that holds an address.
    pub(crate) fn segment_of(&self, address: u64) -> Option<Arc<Segment<D>>> {
        let segments = &self.table.read().segments;
        let after = segments.partition_point(|segment| segment.base() <= address);
        let segment = segments.get(after.checked_sub(1)?)?;
        (address < segment.end()).then(|| segment.clone())
    }

    /// Adds the shared body to a record's own bytes.
    pub(crate) fn complete(&self, raw: &Bytes) -> Result<Record, ReadError> {
        let record = whole(raw)?;
        let body = match record.shared_body() {
            Some(at) => {
                let raw = self.read_raw(at)?;
                let body = RawRecord::parse(&raw).filter(|body| body.kind == Kind::Body).ok_or(ReadError::Gone)?;
                raw.slice_ref(body.body)
            }
            None => raw.slice_ref(record.body),
        };
        let seq = if record.kind == Kind::Entry { record.word } else { 0 };
        Ok(Record { object: record.object, seq, head: raw.slice_ref(record.head), body })
    }
}

pub(crate) fn read_many<D: Disk>(journal: &Journal<D>, places: &[Locator]) -> Vec<Result<Record, ReadError>> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_unstable_by_key(|index| places[*index]);
    let mut answers: Vec<Option<Result<Record, ReadError>>> = Vec::new();
    answers.resize_with(places.len(), || None);
    let mut last_body: Option<(Locator, Bytes)> = None;
    let mut from = 0;
    while from < order.len() {
        let group = neighbours(journal, places, &order, from);
        let raws = read_group(journal, places, &order[group.clone()]);
        for (index, raw) in order[group.clone()].iter().zip(raws) {
            answers[*index] = Some(raw.and_then(|raw| complete(journal, &raw, &mut last_body)));
        }
        from = group.end;
    }
    answers.into_iter().map(|answer| answer.expect("every place belongs to one group")).collect()
}

/// As many of the ordered places as one block holds.
fn neighbours<D: Disk>(journal: &Journal<D>, places: &[Locator], order: &[usize], from: usize) -> Range<usize> {
    let first = places[order[from]];
    let limit = match journal.segment_of(first.address()) {
        Some(segment) => segment.end().min(first.address() + BLOCK),
        None => return from..from + 1,
    };
    let (mut until, mut end) = (from + 1, first.address() + first.size());
    while let Some(place) = order.get(until).map(|index| places[*index]) {
        if place.address() > end + GAP || place.address() + place.size() > limit {
            break;
        }
        end = place.address() + place.size();
        until += 1;
    }
    from..until
}

fn read_group<D: Disk>(journal: &Journal<D>, places: &[Locator], group: &[usize]) -> Vec<Result<Bytes, ReadError>> {
    let alone = |index: &usize| journal.read_raw(places[*index]);
    let first = places[group[0]];
    let Some(segment) = journal.segment_of(first.address()).filter(|_| group.len() > 1) else {
        return group.iter().map(alone).collect();
    };
    let last = places[group[group.len() - 1]];
    let mut block = vec![0; (last.address() + last.size() - first.address()) as usize];
    match segment.file.read_at(&mut block, segment.offset(first.address())) {
        Ok(count) => block.truncate(count),
        Err(_) => return group.iter().map(alone).collect(),
    }
    // All share the block: whoever asked for many copies what it keeps.
    let block = Bytes::from(block);
    let cut = |index: &usize| {
        let at = places[*index];
        let begin = (at.address() - first.address()) as usize;
        let size = block.get(begin..).and_then(|bytes| RawRecord::parse_checked(bytes, segment.seed)).map(|r| r.size);
        size.map(|size| block.slice(begin..begin + size))
            .ok_or_else(|| damaged(&segment.path, segment.offset(at.address())).into())
    };
    group.iter().map(cut).collect()
}

/// Entries of one body follow one another: it is read once.
fn complete<D: Disk>(
    journal: &Journal<D>,
    raw: &Bytes,
    last_body: &mut Option<(Locator, Bytes)>,
) -> Result<Record, ReadError> {
    let record = whole(raw)?;
    let Some(at) = record.shared_body() else { return journal.complete(raw) };
    if let Some((known, body)) = last_body
        && *known == at
    {
        let head = raw.slice_ref(record.head);
        return Ok(Record { object: record.object, seq: record.word, head, body: body.clone() });
    }
    let record = journal.complete(raw)?;
    *last_body = Some((at, record.body.clone()));
    Ok(record)
}

/// A record somebody may ask for. At the place of a stage that came to nothing lies a body of nobody.
fn whole(raw: &Bytes) -> Result<RawRecord<'_>, ReadError> {
    RawRecord::parse(raw).filter(|record| record.kind != Kind::Body).ok_or(ReadError::Gone)
}

pub(crate) fn damaged(path: &Path, offset: u64) -> Damage {
    Damage { file: path.to_owned(), offset, what: "a record's checksum does not hold".into() }
}

pub(crate) fn check_record(mut buffer: Vec<u8>, seed: u64) -> Option<Bytes> {
    let size = RawRecord::parse_checked(&buffer, seed)?.size;
    buffer.truncate(size);
    Some(buffer.into())
}

/// Copies a record out of a buffer that is still changing at its end.
fn slice_record(buffer: &[u8], at: u64) -> Option<Bytes> {
    let bytes = buffer.get(usize::try_from(at).ok()?..)?;
    let size = RawRecord::parse(bytes)?.size;
    Some(Bytes::copy_from_slice(&bytes[..size]))
}
