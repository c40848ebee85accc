//! What leaves a stream, and when.

use super::Stream;

/// An entry that left: the caller settles its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trimmed {
    /// Its offset.
    pub offset: u64,
    /// Where its record is; `None` in a volatile stream.
    pub locator: Option<u64>,
}

impl<M: Clone> Stream<M> {
    /// Lets at most `max` entries go that are too old or too many. True when more are due. What is not shown yet stays.
    pub fn trim(&mut self, now_ms: u64, max: usize, out: &mut Vec<Trimmed>) -> bool {
        for _ in 0..max {
            if !self.first_is_due(now_ms) {
                return false;
            }
            self.drop_first(out);
        }
        self.first_is_due(now_ms)
    }

    /// Lets everything below `offset` go, as far as it is shown, in pieces of `max`. True when more is due.
    pub fn truncate_before(&mut self, offset: u64, max: usize, out: &mut Vec<Trimmed>) -> bool {
        let is_due =
            |stream: &Self| stream.segments.first_offset().is_some_and(|first| first < offset.min(stream.shown));
        for _ in 0..max {
            if !is_due(self) {
                return false;
            }
            self.drop_first(out);
        }
        is_due(self)
    }

    /// When the oldest entry becomes too old; the caller trims then. `None` without a limit of age.
    pub fn next_deadline(&self) -> Option<u64> {
        let (_, at_ms, _) = self.segments.first()?;
        Some(at_ms.saturating_add(self.config.max_age_ms?))
    }

    fn first_is_due(&self, now_ms: u64) -> bool {
        let Some((offset, at_ms, _)) = self.segments.first() else { return false };
        let config = &self.config;
        let exceeds = |limit: Option<u64>, value: u64| limit.is_some_and(|limit| value > limit);
        let is_due = config.max_age_ms.is_some_and(|age| at_ms.saturating_add(age) <= now_ms)
            || exceeds(config.max_bytes, self.segments.bytes())
            || exceeds(config.max_messages, self.segments.entries())
            || (!config.durable && self.over_window());
        is_due && offset < self.shown
    }

    fn drop_first(&mut self, out: &mut Vec<Trimmed>) {
        let (offset, _, entry) = self.segments.first().expect("an entry that is due");
        if offset == self.tail_begin() && !self.tail.is_empty() {
            self.drop_body(entry.bytes);
        }
        self.segments.pop_first();
        out.push(Trimmed { offset, locator: (entry.locator != 0).then_some(entry.locator) });
    }
}
