//! Which message is next: one level per priority, each in sequence order.
//!
//! A level has two parts. *Fresh* messages arrive in order, so they are runs of neighbours: a queue without priorities is one run,
//! however deep. *Returned* ones (requeued, or delayed and now due) go to a small heap, and the head is the lesser of the two
//! fronts. Ready messages leave at the head of their level only, so neither part ever holds a stale number.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Capacity the returned heap keeps when it runs empty: a closed channel must not cost its memory for ever.
const RETURNED_KEPT: usize = 1_024;

/// Neighbours `first..end`.
struct Run {
    first: u64,
    end: u64,
}

#[derive(Default)]
struct Level {
    fresh: VecDeque<Run>,
    returned: BinaryHeap<Reverse<u64>>,
}

impl Level {
    fn head(&self) -> Option<u64> {
        let fresh = self.fresh.front().map(|run| run.first);
        let returned = self.returned.peek().map(|seq| seq.0);
        match (fresh, returned) {
            (Some(fresh), Some(returned)) => Some(fresh.min(returned)),
            (fresh, returned) => fresh.or(returned),
        }
    }

    fn pop(&mut self) -> Option<u64> {
        let head = self.head()?;
        match self.fresh.front_mut() {
            Some(run) if run.first == head => {
                run.first += 1;
                if run.first == run.end {
                    self.fresh.pop_front();
                }
            }
            _ => {
                self.returned.pop();
                if self.returned.is_empty() && self.returned.capacity() > RETURNED_KEPT {
                    self.returned = BinaryHeap::new();
                }
            }
        }
        Some(head)
    }

    fn next(&mut self, most: usize) -> Vec<u64> {
        let returned: Vec<u64> = (0..most).map_while(|_| self.returned.pop().map(|Reverse(seq)| seq)).collect();
        self.returned.extend(returned.iter().copied().map(Reverse));
        let mut next: Vec<u64> = self.fresh.iter().flat_map(|run| run.first..run.end).take(most).collect();
        next.extend(returned);
        next.sort_unstable();
        next.truncate(most);
        next
    }
}

/// The levels, allocated up to the highest priority seen.
#[derive(Default)]
pub(super) struct Levels {
    levels: Vec<Level>,
    /// Bit p of word p/64: level p has messages.
    occupied: [u64; 4],
    len: u64,
}

impl Levels {
    /// Ready messages.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// A message that just arrived: its number is greater than any in the queue.
    pub(super) fn push_fresh(&mut self, priority: u8, seq: u64) {
        let level = self.level(priority);
        match level.fresh.back_mut() {
            Some(run) if run.end == seq => run.end += 1,
            last => {
                debug_assert!(last.is_none_or(|run| run.end < seq), "fresh messages arrive in order");
                level.fresh.push_back(Run { first: seq, end: seq + 1 });
            }
        }
    }

    /// A message that comes back to its place.
    pub(super) fn push_returned(&mut self, priority: u8, seq: u64) {
        self.level(priority).returned.push(Reverse(seq));
    }

    fn level(&mut self, priority: u8) -> &mut Level {
        let index = usize::from(priority);
        if self.levels.len() <= index {
            self.levels.resize_with(index + 1, Level::default);
        }
        self.occupied[index / 64] |= 1 << (index % 64);
        self.len += 1;
        &mut self.levels[index]
    }

    /// The highest priority that has messages.
    pub(super) fn highest(&self) -> Option<u8> {
        let word = (0..4).rev().find(|word| self.occupied[*word] != 0)?;
        Some((word * 64) as u8 + 63 - self.occupied[word].leading_zeros() as u8)
    }

    /// The lowest priority that has messages.
    pub(super) fn lowest(&self) -> Option<u8> {
        let word = (0..4).find(|word| self.occupied[*word] != 0)?;
        Some((word * 64) as u8 + self.occupied[word].trailing_zeros() as u8)
    }

    /// The head of one level.
    pub(super) fn head_of(&self, priority: u8) -> Option<u64> {
        self.levels.get(usize::from(priority))?.head()
    }

    /// The next message to be taken.
    pub(super) fn head(&self) -> Option<u64> {
        self.head_of(self.highest()?)
    }

    /// Removes the head of one level.
    pub(super) fn pop(&mut self, priority: u8) -> Option<u64> {
        let index = usize::from(priority);
        let level = self.levels.get_mut(index)?;
        let seq = level.pop()?;
        self.len -= 1;
        if level.head().is_none() {
            self.occupied[index / 64] &= !(1 << (index % 64));
        }
        Some(seq)
    }

    /// The next messages of one level in the order they leave, `most` at most. Costs a step in the heap for each of those
    /// that came back.
    pub(super) fn next_of(&mut self, priority: u8, most: usize) -> Vec<u64> {
        match self.levels.get_mut(usize::from(priority)) {
            Some(level) => level.next(most),
            None => Vec::new(),
        }
    }

    /// Messages that came back, in no order.
    pub(super) fn returned(&self) -> impl Iterator<Item = u64> {
        self.levels.iter().flat_map(|level| &level.returned).map(|Reverse(seq)| *seq)
    }

    /// Priorities that have messages, highest first.
    pub(super) fn priorities(&self) -> impl Iterator<Item = u8> {
        let occupied = self.occupied;
        (0..self.levels.len()).rev().filter(move |p| occupied[p / 64] >> (p % 64) & 1 == 1).map(|p| p as u8)
    }

    /// Bytes of heap the order costs.
    pub(super) fn heap_bytes(&self) -> usize {
        let own = |level: &Level| level.fresh.capacity() * size_of::<Run>() + level.returned.capacity() * 8;
        self.levels.capacity() * size_of::<Level>() + self.levels.iter().map(own).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(levels: &mut Levels) -> Vec<u64> {
        std::iter::from_fn(|| levels.pop(levels.highest()?)).collect()
    }

    #[test]
    fn higher_levels_leave_first_and_each_in_order() {
        let mut levels = Levels::default();
        for (seq, priority) in [(1, 0), (2, 255), (3, 0), (4, 64), (5, 255)] {
            levels.push_fresh(priority, seq);
        }
        assert_eq!((levels.highest(), levels.lowest(), levels.len()), (Some(255), Some(0), 5));
        assert_eq!(levels.priorities().collect::<Vec<_>>(), [255, 64, 0]);
        assert_eq!(drain(&mut levels), [2, 5, 4, 1, 3]);
        assert_eq!((levels.highest(), levels.len()), (None, 0));
    }

    #[test]
    fn returned_messages_find_their_place_among_the_fresh() {
        let mut levels = Levels::default();
        for seq in [1, 2, 3, 4, 6, 7] {
            levels.push_fresh(0, seq);
        }
        for _ in 0..3 {
            levels.pop(0);
        }
        for seq in [3, 1, 5] {
            levels.push_returned(0, seq);
        }
        assert_eq!(drain(&mut levels), [1, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn the_next_few_are_told_in_the_order_they_leave() {
        let mut levels = Levels::default();
        for seq in [1, 2, 3, 4, 6, 7] {
            levels.push_fresh(0, seq);
        }
        for _ in 0..3 {
            levels.pop(0);
        }
        for seq in [3, 1, 5] {
            levels.push_returned(0, seq);
        }
        assert_eq!(levels.next_of(0, 4), [1, 3, 4, 5]);
        assert_eq!(levels.next_of(9, 4), []);
        assert_eq!(drain(&mut levels), [1, 3, 4, 5, 6, 7], "nothing has left");
    }

    #[test]
    fn a_deep_plain_queue_is_one_run() {
        let mut levels = Levels::default();
        for seq in 0..100_000 {
            levels.push_fresh(0, seq);
        }
        assert!(levels.heap_bytes() < 1_000);
    }

    #[test]
    fn the_memory_of_many_returned_messages_is_given_back() {
        let mut levels = Levels::default();
        for seq in 0..100_000 {
            levels.push_returned(0, seq);
        }
        assert_eq!(drain(&mut levels).len(), 100_000);
        assert!(levels.heap_bytes() < 1_000);
    }
}
