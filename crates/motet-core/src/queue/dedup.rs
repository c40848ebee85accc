//! Identifiers seen lately: within the window, or as long as its message is there, an identifier is accepted once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::config::DedupWindow;

pub(super) struct Dedup {
    window: DedupWindow,
    seen: HashSet<Arc<[u8]>, foldhash::quality::RandomState>,
    /// The same identifiers with the moment they are forgotten, in that order.
    order: VecDeque<(u64, Arc<[u8]>)>,
    /// Instead: those of messages that are there, by sequence.
    present: HashMap<u64, Arc<[u8]>, foldhash::fast::RandomState>,
}

impl Dedup {
    /// Boxed, since most queues have none.
    pub(super) fn boxed(window: DedupWindow) -> Box<Self> {
        Box::new(Self { window, seen: HashSet::default(), order: VecDeque::new(), present: HashMap::default() })
    }

    /// Whether the identifier was remembered within the window.
    pub(super) fn knows(&mut self, now_ms: u64, id: &[u8]) -> bool {
        while self.order.front().is_some_and(|(until, _)| *until <= now_ms) {
            self.forget_oldest();
        }
        self.seen.contains(id)
    }

    /// Remembers an identifier that is not known yet, of the message with this sequence.
    pub(super) fn remember(&mut self, now_ms: u64, seq: u64, id: &[u8]) {
        if self.window.while_present {
            let id: Arc<[u8]> = id.into();
            self.seen.insert(id.clone());
            self.present.insert(seq, id);
            return;
        }
        if self.window.entries == 0 {
            return;
        }
        if self.order.len() >= self.window.entries {
            self.forget_oldest();
        }
        let id: Arc<[u8]> = id.into();
        let fresh = self.seen.insert(id.clone());
        debug_assert!(fresh, "asked before remembering");
        self.order.push_back((now_ms.saturating_add(self.window.ms), id));
    }

    /// The message is in the queue no more.
    pub(super) fn gone(&mut self, seq: u64) {
        if let Some(id) = self.present.remove(&seq) {
            self.seen.remove(&id);
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.order.pop_front() {
            self.seen.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_known_within_its_window_only() {
        let mut dedup = Dedup::boxed(DedupWindow { while_present: false, ms: 100, entries: 10 });
        assert!(!dedup.knows(0, b"a"));
        dedup.remember(0, 1, b"a");
        assert!(dedup.knows(99, b"a"));
        assert!(!dedup.knows(100, b"a"));
    }

    #[test]
    fn the_oldest_identifier_gives_way_at_the_bound() {
        let mut dedup = Dedup::boxed(DedupWindow { while_present: false, ms: 1_000, entries: 2 });
        for id in [b"a", b"b", b"c"] {
            dedup.remember(0, 1, id);
        }
        assert!(!dedup.knows(1, b"a") && dedup.knows(1, b"b") && dedup.knows(1, b"c"));
    }

    #[test]
    fn an_identifier_is_known_while_its_message_is_there() {
        let mut dedup = Dedup::boxed(DedupWindow { while_present: true, ms: 1, entries: 1 });
        dedup.remember(0, 1, b"a");
        dedup.remember(0, 2, b"b");
        assert!(dedup.knows(1_000, b"a") && dedup.knows(1_000, b"b"));
        dedup.gone(1);
        assert!(!dedup.knows(1_000, b"a") && dedup.knows(1_000, b"b"));
    }
}
