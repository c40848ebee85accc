//! Where entries are: 16 bytes each, in segments of consecutive offsets.

use std::collections::VecDeque;

/// Entries of one segment at most.
const SEGMENT_ENTRIES: usize = 1_024;

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// 0 until its record is placed.
    pub(super) locator: u64,
    pub(super) bytes: u32,
    /// Milliseconds after its segment began.
    after_ms: u32,
}

impl Entry {
    pub(super) fn new(locator: u64, bytes: u32) -> Self {
        Self { locator, bytes, after_ms: 0 }
    }
}

#[derive(Debug)]
struct Segment {
    first: u64,
    began_ms: u64,
    /// Those before this index are trimmed.
    trimmed: usize,
    entries: Vec<Entry>,
}

impl Segment {
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn time(&self, at: usize) -> u64 {
        self.began_ms + u64::from(self.entries[at].after_ms)
    }
}

#[derive(Debug, Default)]
pub(super) struct Segments {
    list: VecDeque<Segment>,
    entries: u64,
    bytes: u64,
    last_ms: u64,
    /// Offsets before this one are not all there for another reason than trimming.
    gap_end: u64,
}

impl Segments {
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn gap_end(&self) -> u64 {
        self.gap_end
    }

    pub(super) fn first_offset(&self) -> Option<u64> {
        self.list.front().map(|segment| segment.first + segment.trimmed as u64)
    }

    /// Appends the entry of `offset`, which is greater than all before.
    pub(super) fn push(&mut self, offset: u64, mut entry: Entry, now_ms: u64) {
        self.last_ms = self.last_ms.max(now_ms);
        self.entries += 1;
        self.bytes += u64::from(entry.bytes);
        if let Some(last) = self.list.back_mut() {
            let after_ms = u32::try_from(self.last_ms - last.began_ms);
            match after_ms {
                Ok(after_ms) if last.end() == offset && last.entries.len() < SEGMENT_ENTRIES => {
                    entry.after_ms = after_ms;
                    last.entries.push(entry);
                    return;
                }
                _ if last.end() != offset => self.gap_end = offset,
                _ => {}
            }
        }
        self.list.push_back(Segment { first: offset, began_ms: self.last_ms, trimmed: 0, entries: vec![entry] });
    }

    /// The offsets up to `next` were given out and are not there.
    pub(super) fn lose_up_to(&mut self, next: u64) {
        if !self.list.is_empty() {
            self.gap_end = next;
        }
    }

    /// The segment with the smallest end beyond `offset`.
    fn find(&self, offset: u64) -> usize {
        self.list.partition_point(|segment| segment.end() <= offset)
    }

    pub(super) fn get(&self, offset: u64) -> Option<Entry> {
        let segment = self.list.get(self.find(offset))?;
        let at = usize::try_from(offset.checked_sub(segment.first)?).ok()?;
        if at < segment.trimmed { None } else { segment.entries.get(at).copied() }
    }

    pub(super) fn get_mut(&mut self, offset: u64) -> Option<&mut Entry> {
        let at = self.find(offset);
        let segment = self.list.get_mut(at)?;
        let at = usize::try_from(offset.checked_sub(segment.first)?).ok()?;
        if at < segment.trimmed { None } else { segment.entries.get_mut(at) }
    }

    /// The entries from `offset` on: offset, time, entry.
    pub(super) fn from(&self, offset: u64) -> impl Iterator<Item = (u64, u64, Entry)> {
        let segments = self.list.range(self.find(offset)..);
        segments.flat_map(move |segment| {
            let skip = usize::try_from(offset.saturating_sub(segment.first)).unwrap_or(usize::MAX);
            let range = skip.max(segment.trimmed)..segment.entries.len();
            range.map(move |at| (segment.first + at as u64, segment.time(at), segment.entries[at]))
        })
    }

    /// The offset of the first entry appended at `at_ms` or later.
    pub(super) fn since(&self, at_ms: u64) -> Option<u64> {
        let last_time = |segment: &Segment| segment.time(segment.entries.len() - 1);
        let segment = self.list.get(self.list.partition_point(|segment| last_time(segment) < at_ms))?;
        let after = |entry: &Entry| segment.began_ms + u64::from(entry.after_ms) < at_ms;
        let at = segment.entries.partition_point(after).max(segment.trimmed);
        Some(segment.first + at as u64)
    }

    /// The first entry: offset, time, entry.
    pub(super) fn first(&self) -> Option<(u64, u64, Entry)> {
        let segment = self.list.front()?;
        let at = segment.trimmed;
        Some((segment.first + at as u64, segment.time(at), segment.entries[at]))
    }

    pub(super) fn pop_first(&mut self) {
        let Some(segment) = self.list.front_mut() else { return };
        self.entries -= 1;
        self.bytes -= u64::from(segment.entries[segment.trimmed].bytes);
        segment.trimmed += 1;
        if segment.trimmed == segment.entries.len() {
            self.list.pop_front();
        }
    }
}
