//! Deliveries that wait for their acknowledgement, in the order of their tags.

use motet_core::core::broker::NamedQueue;
use motet_core::queue::ConsumerId;
use motet_core::time::Instant;
use std::collections::VecDeque;
use std::sync::Arc;

/// A delivery that waits.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) tag: u64,
    pub(super) queue: Arc<NamedQueue>,
    pub(super) consumer: ConsumerId,
    pub(super) seq: u64,
    /// When it was delivered.
    pub(super) since: Instant,
    /// By basic.get, for which no prefetch counts.
    pub(super) fetched: bool,
}

/// A channel's deliveries that wait. Settled in order, as most are, each costs a step; out of order it leaves a gap that
/// is closed once half of all places are gaps.
#[derive(Debug, Default)]
pub(super) struct Unacked {
    places: VecDeque<(u64, Option<Entry>)>,
    live: usize,
    /// How many of them were fetched.
    fetched: usize,
    last_tag: u64,
}

/// Gaps that are not worth closing.
const GAPS_MIN: usize = 64;

impl Unacked {
    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// Those that consumers were given.
    pub(super) fn delivered(&self) -> usize {
        self.live - self.fetched
    }

    /// The tag of the next delivery; tags count from 1 [basic.deliver], also those that need no acknowledgement.
    pub(super) fn next_tag(&mut self) -> u64 {
        self.last_tag += 1;
        self.last_tag
    }

    pub(super) fn push(&mut self, entry: Entry) {
        debug_assert!(self.places.back().is_none_or(|(tag, _)| *tag < entry.tag), "tags count up");
        self.fetched += usize::from(entry.fetched);
        self.places.push_back((entry.tag, Some(entry)));
        self.live += 1;
    }

    /// Takes out the delivery of this tag.
    pub(super) fn take(&mut self, tag: u64) -> Option<Entry> {
        let at = self.places.binary_search_by_key(&tag, |(tag, _)| *tag).ok()?;
        let entry = self.places[at].1.take()?;
        self.live -= 1;
        self.fetched -= usize::from(entry.fetched);
        while self.places.front().is_some_and(|(_, entry)| entry.is_none()) {
            self.places.pop_front();
        }
        if self.places.len() > 2 * self.live + GAPS_MIN {
            self.places.retain(|(_, entry)| entry.is_some());
        }
        Some(entry)
    }

    /// Takes out all up to the delivery of this tag, which must be there; 0 means all there are.
    pub(super) fn take_up_to(&mut self, tag: u64) -> Option<impl Iterator<Item = Entry> + '_> {
        let end = match tag {
            0 => self.places.len(),
            tag => {
                let at = self.places.binary_search_by_key(&tag, |(tag, _)| *tag).ok()?;
                self.places[at].1.as_ref()?;
                at + 1
            }
        };
        let (live, fetched) = (&mut self.live, &mut self.fetched);
        Some(self.places.drain(..end).filter_map(|(_, entry)| entry).inspect(|entry| {
            *live -= 1;
            *fetched -= usize::from(entry.fetched);
        }))
    }

    /// Takes out everything.
    pub(super) fn drain(&mut self) -> Vec<Entry> {
        (self.live, self.fetched) = (0, 0);
        self.places.drain(..).filter_map(|(_, entry)| entry).collect()
    }

    /// Puts back what was taken out.
    pub(super) fn restore(&mut self, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        let mut all = self.drain();
        all.extend(entries);
        all.sort_by_key(|entry| entry.tag);
        all.into_iter().for_each(|entry| self.push(entry));
    }

    /// When the one that waits longest was delivered.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.places.front().and_then(|(_, entry)| entry.as_ref()).map(|entry| entry.since)
    }
}
