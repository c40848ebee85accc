//! Reading many records at once: a queue that is dense in a segment is read in blocks, a sparse one record by record.

use std::ops::Range;

use bytes::Bytes;

use crate::disk::{Disk, DiskFile};
use crate::error::ReadError;
use crate::journal::{Journal, Record, check_record, damaged};
use crate::locator::Locator;
use crate::record::RawRecord;

/// The largest block.
const BLOCK: u64 = 256 * 1024;
/// A gap up to this size costs less to read than a call of its own.
const GAP: u64 = 8 * 1024;

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
    let cut = |index: &usize| {
        let at = places[*index];
        let bytes = block.get((at.address() - first.address()) as usize..).unwrap_or_default();
        let record = RawRecord::parse(bytes).map_or(&[][..], |record| &bytes[..record.size]);
        check_record(record.to_vec(), segment.seed)
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
    let record = RawRecord::parse(raw).ok_or(ReadError::Gone)?;
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
