//! What arrived, against what was sent: a bit per message, so that loss and duplicates are exact.

use std::collections::HashMap;

/// What went wrong between publishers and one subscriber.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quality {
    /// Distinct messages that arrived.
    pub received: u64,
    /// Sent, accepted by the server, and never arrived.
    pub lost: u64,
    /// Arrived once more.
    pub duplicates: u64,
    /// First arrivals behind a later message of the same publisher.
    pub out_of_order: u64,
    /// Messages on our topics that are not of this run.
    pub foreign: u64,
}

impl Quality {
    /// Adds what another subscriber saw.
    pub(crate) fn add(&mut self, other: &Quality) {
        self.received += other.received;
        self.lost += other.lost;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.foreign += other.foreign;
    }
}

/// One subscriber's account of every publisher.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    seen: HashMap<u32, Seen>,
    pub(crate) quality: Quality,
}

#[derive(Debug, Default)]
struct Seen {
    bits: Vec<u64>,
    /// One above the highest sequence that arrived.
    next: u64,
}

impl Ledger {
    /// Adds what another subscriber saw, of those that share the messages: what both got is there twice.
    pub(crate) fn merge(&mut self, other: &Ledger) {
        self.quality.add(&other.quality);
        for (publisher, seen) in &other.seen {
            let ours = self.seen.entry(*publisher).or_default();
            ours.bits.resize(ours.bits.len().max(seen.bits.len()), 0);
            for (mine, theirs) in ours.bits.iter_mut().zip(&seen.bits) {
                let both = u64::from((*mine & theirs).count_ones());
                self.quality.received -= both;
                self.quality.duplicates += both;
                *mine |= theirs;
            }
        }
    }

    /// Notes an arrival. `sent` bounds what is believed, and so what is remembered: nothing arrives before it is sent.
    pub(crate) fn note(&mut self, publisher: u32, sequence: u64, sent: u64) -> bool {
        if sequence >= sent {
            self.quality.foreign += 1;
            return false;
        }
        let seen = self.seen.entry(publisher).or_default();
        let (word, bit) = ((sequence / 64) as usize, 1 << (sequence % 64));
        if seen.bits.len() <= word {
            seen.bits.resize(word + 1, 0);
        }
        if seen.bits[word] & bit != 0 {
            self.quality.duplicates += 1;
            return false;
        }
        seen.bits[word] |= bit;
        self.quality.received += 1;
        if sequence < seen.next {
            self.quality.out_of_order += 1;
        }
        seen.next = seen.next.max(sequence + 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_and_late_ones_are_told_apart() {
        let mut ledger = Ledger::default();
        for sequence in [0, 1, 200, 199, 1, 200] {
            ledger.note(0, sequence, 1000);
        }
        ledger.note(9, 0, 1);
        let expected = Quality { received: 5, duplicates: 2, out_of_order: 1, ..Quality::default() };
        assert_eq!(ledger.quality, expected);
    }

    #[test]
    fn what_two_consumers_of_a_queue_got_is_there_twice() {
        let (mut one, mut other) = (Ledger::default(), Ledger::default());
        [0, 2, 70].into_iter().for_each(|sequence| assert!(one.note(0, sequence, 100)));
        [1, 2].into_iter().for_each(|sequence| assert!(other.note(0, sequence, 100)));
        one.merge(&other);
        assert_eq!(one.quality, Quality { received: 4, duplicates: 1, ..Quality::default() });
    }

    #[test]
    fn what_was_never_sent_is_not_believed() {
        let mut ledger = Ledger::default();
        assert!(!ledger.note(0, u64::MAX - 1, 10));
        assert_eq!(ledger.quality, Quality { foreign: 1, ..Quality::default() });
        assert!(ledger.seen.is_empty());
    }
}
