//! A stream as a pure value: an append-only log whose readers take without removing.
//!
//! ```text
//!   trimmed │ segments: locator, size, time of each entry │ tail: bodies in memory │ not durable yet │
//!           first                                         tail                     shown             next
//!                    ▲ a Cursor (epoch, offset)           ── read ──▶ up to here ──┘
//! ```
//! There is no lock, clock, IO or engine in here. *The law: the caller holds the stream's lock around a call; it stages the record of an
//! [`Stream::append`] and says where with [`Stream::placed`] under the same lock; it settles what [`Stream::trim`] names; when
//! [`Stream::durable`] answers true it wakes whoever waits at the end.* Cursors belong to their readers: a million of them cost the
//! stream nothing.
//!
//! ```
//! use motet_core::queue::Body;
//! use motet_core::stream::{Epoch, Start, Stream, StreamConfig};
//!
//! let mut history: Stream<&str> = Stream::new(StreamConfig::default(), Epoch(7));
//! let offset = history.append(1_000, "hello", 5);
//! history.placed(offset, 4096, 1); // its record lies there, and is durable once position 1 is
//!
//! let mut cursor = history.open(Start::First).cursor;
//! let mut out = Vec::new();
//! history.read(&mut cursor, 10, 1 << 20, &mut out);
//! assert!(out.is_empty(), "nothing is shown above the durable watermark");
//! assert!(history.durable(1));
//! history.read(&mut cursor, 10, 1 << 20, &mut out);
//! assert_eq!(out[0].body, Body::Resident("hello"));
//! assert!(history.open(Start::After(cursor)).recovered);
//! ```
//!
//! **Invariants**
//! - An offset, once shown, means the same message for ever within its epoch. What was not durable was not shown, so after a crash
//!   its offset may be given out again. A volatile stream takes a new epoch at each start.
//! - A body leaves memory only when its locator is known; what is not resident is read by the locator.
//! - Times of entries never decrease, whatever the wall clock does: an entry is stamped with the later of now and the one before.
//! - No call walks over all entries, except recovery. A trim does a bounded piece of work and says whether there is more.
//!
//! Different from RabbitMQ's streams: `last` is the last entry rather than the last chunk, retention is exact rather than by segment,
//! and a position that is no longer there is answered with `recovered: false` rather than silently moved.

mod cursor;
mod retention;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

pub use cursor::{Cursor, Opened, Reading, Shown, Start};
pub use retention::Trimmed;
use segment::{Entry, Segments};

use crate::queue::MemoryWindow;

/// The life of a stream in which offsets keep their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

/// What shapes a stream. The default keeps everything on disk and a window in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamConfig {
    /// Milliseconds an entry is kept; `None` is for ever.
    pub max_age_ms: Option<u64>,
    /// Bytes kept at most.
    pub max_bytes: Option<u64>,
    /// Entries kept at most.
    pub max_messages: Option<u64>,
    /// Bodies kept in memory, at the tail. Of a volatile stream, all that is kept.
    pub window: MemoryWindow,
    /// Whether entries are journalled. Those of a volatile stream are shown at once.
    pub durable: bool,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self { max_age_ms: None, max_bytes: None, max_messages: None, window: MemoryWindow::default(), durable: true }
    }
}

/// An entry that survived, as the journal knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveredStreamEntry {
    /// Its offset; greater than the one before.
    pub offset: u64,
    /// Where its body is.
    pub locator: u64,
    /// Bytes it counts for.
    pub bytes: u32,
    /// Wall milliseconds it was appended at.
    pub at_ms: u64,
}

/// See the module's page.
#[derive(Debug)]
pub struct Stream<M> {
    config: StreamConfig,
    epoch: Epoch,
    segments: Segments,
    /// The bodies of the last offsets, up to `next`.
    tail: VecDeque<M>,
    tail_bytes: u64,
    next: u64,
    /// Offsets below are shown.
    shown: u64,
    /// (position, offset after): what is shown once the position is durable; both increase.
    pending: VecDeque<(u64, u64)>,
}

impl<M: Clone> Stream<M> {
    /// An empty stream; offsets begin at 0.
    pub fn new(config: StreamConfig, epoch: Epoch) -> Self {
        let segments = Segments::default();
        Self {
            config,
            epoch,
            segments,
            tail: VecDeque::new(),
            tail_bytes: 0,
            next: 0,
            shown: 0,
            pending: VecDeque::new(),
        }
    }

    /// Rebuilds a stream from what the journal kept, in the order of offsets; `next` is at least the greatest offset ever shown plus
    /// one. An offset that is missing in between is lost, and readers are told. An entry out of order is our bug and is left out.
    pub fn recover(
        config: StreamConfig,
        epoch: Epoch,
        entries: impl IntoIterator<Item = RecoveredStreamEntry>,
        next: u64,
    ) -> Self {
        let mut stream = Self::new(config, epoch);
        for found in entries {
            debug_assert!(found.offset >= stream.next, "recovered in the order of offsets");
            if found.offset >= stream.next {
                stream.segments.push(found.offset, Entry::new(found.locator, found.bytes), found.at_ms);
                stream.next = found.offset + 1;
            }
        }
        if next > stream.next {
            stream.segments.lose_up_to(next);
            stream.next = next;
        }
        stream.shown = stream.next;
        stream
    }

    /// Other limits, from now on; the next appends let go what is over them.
    pub fn reconfigure(&mut self, config: StreamConfig) {
        self.config = config;
    }

    /// Appends a message of `bytes` and gives its offset.
    pub fn append(&mut self, now_ms: u64, message: M, bytes: u32) -> u64 {
        let offset = self.next;
        self.segments.push(offset, Entry::new(0, bytes), now_ms);
        self.tail.push_back(message);
        self.tail_bytes += u64::from(bytes);
        self.next += 1;
        if !self.config.durable {
            self.shown = self.next;
        }
        offset
    }

    /// The record of `offset` lies at `locator` (not 0), and is durable once `position` is. Called once per entry, in order.
    pub fn placed(&mut self, offset: u64, locator: u64, position: u64) {
        if let Some(entry) = self.segments.get_mut(offset) {
            entry.locator = locator;
        }
        if offset < self.shown {
            return;
        }
        match self.pending.back_mut() {
            Some((known, after)) if *known >= position => *after = (*after).max(offset + 1),
            _ => self.pending.push_back((position, offset + 1)),
        }
    }

    /// Everything up to `position` is durable. True when more is shown than before.
    pub fn durable(&mut self, position: u64) -> bool {
        let before = self.shown;
        while let Some(&(_, after)) = self.pending.front().filter(|(at, _)| *at <= position) {
            self.shown = self.shown.max(after);
            self.pending.pop_front();
        }
        self.page_out();
        self.shown > before
    }

    /// The journal has moved the record of an entry. Ignored when the entry is gone.
    pub fn relocated(&mut self, offset: u64, locator: u64) {
        if let Some(entry) = self.segments.get_mut(offset) {
            entry.locator = locator;
        }
    }

    /// Its epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The first offset that is kept; that of the next entry when none is.
    pub fn first_offset(&self) -> u64 {
        self.segments.first_offset().unwrap_or(self.next)
    }

    /// The durable watermark: offsets below it are shown.
    pub fn shown_below(&self) -> u64 {
        self.shown
    }

    /// The offset the next message will have.
    pub fn next_offset(&self) -> u64 {
        self.next
    }

    /// Entries kept.
    pub fn messages(&self) -> u64 {
        self.segments.entries()
    }

    /// Bytes of the entries kept.
    pub fn bytes(&self) -> u64 {
        self.segments.bytes()
    }

    /// Bytes of the bodies in memory.
    pub fn resident_bytes(&self) -> u64 {
        self.tail_bytes
    }

    fn tail_begin(&self) -> u64 {
        self.next - self.tail.len() as u64
    }

    fn over_window(&self) -> bool {
        self.tail.len() as u64 > self.config.window.messages || self.tail_bytes > self.config.window.bytes
    }

    /// Drops bodies from the front of the tail while it is over its window. What is not shown stays: it is about to be read.
    fn page_out(&mut self) {
        while self.config.durable && self.over_window() {
            let begin = self.tail_begin();
            match self.segments.get(begin) {
                Some(entry) if begin < self.shown && entry.locator != 0 => self.drop_body(entry.bytes),
                _ => return,
            }
        }
    }

    fn drop_body(&mut self, bytes: u32) {
        self.tail.pop_front();
        self.tail_bytes -= u64::from(bytes);
    }
}
