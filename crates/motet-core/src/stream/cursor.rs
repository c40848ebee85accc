//! Where a reader is, and what it gets.

use super::{Epoch, Stream};
use crate::queue::Body;

/// The next offset a reader wants, in the epoch it learned it in. What a client keeps to come back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// When another one holds, the offset means nothing.
    pub epoch: Epoch,
    /// The next offset wanted.
    pub offset: u64,
}

/// Where a reader wants to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest entry.
    First,
    /// With the last entry shown.
    Last,
    /// With the entry shown next.
    Next,
    /// This many entries before the end.
    Back(u64),
    /// With this offset of the epoch that holds.
    Offset(u64),
    /// With the first entry appended at this wall millisecond or later.
    Timestamp(u64),
    /// Where it was.
    After(Cursor),
}

/// Where a reader begins, and whether that is where it wanted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// To read with.
    pub cursor: Cursor,
    /// Every entry from the wanted offset on is, or will be, there. False when some were trimmed or lost, when the offset was never
    /// shown, or when it is of another epoch: the reader then begins with what there is.
    pub recovered: bool,
}

/// One entry handed to a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown<M> {
    /// Its offset.
    pub offset: u64,
    /// Wall milliseconds it was appended at.
    pub at_ms: u64,
    /// Bytes it counts for.
    pub bytes: u32,
    /// In memory, or at this locator for the caller to read.
    pub body: Body<M>,
}

/// What one call to [`Stream::read`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The caller's bounds stopped it; otherwise the reader is at the end and waits for [`Stream::durable`].
    pub more: bool,
    /// Offsets passed over because they are trimmed or lost.
    pub missed: u64,
    /// The cursor's epoch still holds. If not, nothing was read: open again.
    pub same_epoch: bool,
}

impl<M: Clone> Stream<M> {
    /// Finds where to begin.
    pub fn open(&self, start: Start) -> Opened {
        let kept = |offset| Opened { cursor: self.cursor(offset), recovered: true };
        match start {
            Start::First => kept(self.begin()),
            Start::Last => self.back(1),
            Start::Next => kept(self.shown),
            Start::Back(entries) => self.back(entries),
            Start::Timestamp(at_ms) => kept(self.segments.since(at_ms).map_or(self.shown, |at| at.min(self.shown))),
            Start::Offset(offset) => self.resume(offset),
            Start::After(cursor) if cursor.epoch == self.epoch => self.resume(cursor.offset),
            Start::After(_) => Opened { cursor: self.cursor(self.begin()), recovered: false },
        }
    }

    fn cursor(&self, offset: u64) -> Cursor {
        Cursor { epoch: self.epoch, offset }
    }

    /// The first offset there is to show, or the next one.
    fn begin(&self) -> u64 {
        self.first_offset().min(self.shown)
    }

    fn back(&self, entries: u64) -> Opened {
        let offset = self.shown.saturating_sub(entries).max(self.begin());
        Opened { cursor: self.cursor(offset), recovered: true }
    }

    fn resume(&self, offset: u64) -> Opened {
        let first = self.begin();
        let is_whole = offset >= first && offset <= self.shown && offset >= self.segments.gap_end();
        Opened { cursor: self.cursor(offset.clamp(first, self.shown)), recovered: is_whole }
    }

    /// Hands out what is shown from the cursor on, up to both bounds (one entry may exceed `max_bytes`, so that there is always
    /// progress), and moves the cursor.
    pub fn read(&self, cursor: &mut Cursor, max: usize, max_bytes: usize, out: &mut Vec<Shown<M>>) -> Reading {
        let mut reading = Reading { more: false, missed: 0, same_epoch: cursor.epoch == self.epoch };
        if !reading.same_epoch {
            return reading;
        }
        let (mut taken, mut bytes_left) = (0, max_bytes);
        for (offset, at_ms, entry) in self.segments.from(cursor.offset) {
            if offset >= self.shown {
                break;
            }
            if taken == max || (taken > 0 && entry.bytes as usize > bytes_left) {
                reading.more = true;
                return reading;
            }
            taken += 1;
            bytes_left = bytes_left.saturating_sub(entry.bytes as usize);
            reading.missed += offset - cursor.offset;
            cursor.offset = offset + 1;
            out.push(Shown { offset, at_ms, bytes: entry.bytes, body: self.body(offset, entry.locator) });
        }
        // What follows the last entry and is shown is lost; a cursor ahead of the watermark stays where it is.
        reading.missed += self.shown.saturating_sub(cursor.offset);
        cursor.offset = cursor.offset.max(self.shown);
        reading
    }

    fn body(&self, offset: u64, locator: u64) -> Body<M> {
        let resident = offset.checked_sub(self.tail_begin()).and_then(|at| self.tail.get(usize::try_from(at).ok()?));
        resident.map_or(Body::Paged(locator), |message| Body::Resident(message.clone()))
    }
}
