//! What one consumer holds, in the order it was delivered, settled in any order.
//!
//! Each held message knows its position in this list, so settling it is a store, not a search. Settled ones leave a gap; gaps at the
//! front go at once, the others when they are more than half of the list.

use std::collections::VecDeque;

/// A gap: the message that stood here was settled.
const SETTLED: u64 = u64::MAX;
/// Gaps a short list may have before it is squeezed.
const GAPS_MIN: usize = 64;

#[derive(Default)]
pub(super) struct Holding {
    seqs: VecDeque<u64>,
    /// Position of `seqs[0]`, wrapping.
    base: u32,
    /// Places looked at so far.
    #[cfg(test)]
    pub(super) steps: u64,
}

impl Holding {
    /// Adds the message just delivered and returns its position.
    pub(super) fn push(&mut self, seq: u64) -> u32 {
        self.seqs.push_back(seq);
        self.base.wrapping_add(self.seqs.len() as u32 - 1)
    }

    pub(super) fn settle(&mut self, position: u32) {
        let index = position.wrapping_sub(self.base) as usize;
        debug_assert!(self.seqs.get(index).is_some_and(|seq| *seq != SETTLED), "a hold points at its message");
        self.seqs[index] = SETTLED;
        while self.seqs.front() == Some(&SETTLED) {
            self.seqs.pop_front();
            self.base = self.base.wrapping_add(1);
            self.count_steps(1);
        }
    }

    /// Closes the gaps when they outnumber the `held` messages, and returns the new position of each message; else returns nothing.
    /// Happens at most once per as many settlements.
    pub(super) fn squeeze(&mut self, held: u32) -> impl Iterator<Item = (u64, u32)> {
        let wide = self.seqs.len() > 2 * held as usize + GAPS_MIN;
        if wide {
            self.count_steps(self.seqs.len());
            self.seqs.retain(|seq| *seq != SETTLED);
            self.seqs.shrink_to(2 * self.seqs.len() + GAPS_MIN);
        }
        let moved = if wide { self.seqs.len() } else { 0 };
        let base = self.base;
        self.seqs.iter().take(moved).enumerate().map(move |(index, seq)| (*seq, base.wrapping_add(index as u32)))
    }

    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "only tests count"))]
    fn count_steps(&mut self, _steps: usize) {
        #[cfg(test)]
        {
            self.steps += _steps as u64;
        }
    }

    /// The message held longest. The front is never a gap.
    #[cfg(test)]
    fn oldest(&self) -> Option<u64> {
        self.seqs.front().copied()
    }

    /// Everything held, in delivery order.
    pub(super) fn into_seqs(self) -> impl Iterator<Item = u64> {
        self.seqs.into_iter().filter(|seq| *seq != SETTLED)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.seqs.iter().filter(|seq| **seq != SETTLED).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_closed_when_they_outnumber_what_is_held() {
        let mut holding = Holding { base: u32::MAX - 50, ..Holding::default() };
        let positions: Vec<u32> = (0..200).map(|seq| holding.push(seq)).collect();
        for position in &positions[1..150] {
            holding.settle(*position);
        }
        assert_eq!((holding.oldest(), holding.seqs.len(), holding.count()), (Some(0), 200, 51));
        let moved: Vec<_> = holding.squeeze(51).collect();
        assert_eq!((moved[0], moved[50]), ((0, u32::MAX - 50), (199, 0_u32.wrapping_sub(1))));
        assert_eq!(holding.squeeze(51).count(), 0);
        for (_, position) in moved {
            holding.settle(position);
        }
        assert_eq!((holding.oldest(), holding.into_seqs().count()), (None, 0));
    }
}
