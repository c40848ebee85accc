//! All messages of a queue, found by their sequence number in constant time.
//!
//! ```text
//!   first_chunk                                     next_seq
//!   │                                               │
//!   [chunk 7] [ None ] [chunk 9] ... [chunk 812 ....]
//!              all settled            grows here
//! ```
//!
//! Sequence numbers are dense, so their index is a shift and a subtraction: no tree, no hash, no allocation per message. A chunk
//! whose messages are all settled is freed where it stands; what one message that stays for ever pins is eight bytes per chunk behind it.

use std::collections::VecDeque;

use super::Handle;
use super::chunk::{CHUNK, Chunk, Hold};
use super::slot::{Slot, State};

pub(super) struct Entries<M> {
    chunks: VecDeque<Option<Box<Chunk<M>>>>,
    /// Number (`seq / CHUNK`) of `chunks[0]`.
    first_chunk: u64,
    next_seq: u64,
    live: u64,
    /// One emptied chunk, kept to be the next one: a busy queue allocates nothing.
    spare: Option<Box<Chunk<M>>>,
    /// Messages that have ended, and the chunk that was last looked at because of it.
    ended: u32,
    looked_at: usize,
}

/// Chunks looked at for each chunk of messages that have ended: more than come to be sparse meanwhile.
const LOOKS: usize = 4;

impl<M> Entries<M> {
    /// Empty; the first message will be `next_seq`.
    pub(super) fn starting_at(next_seq: u64) -> Self {
        Self {
            chunks: VecDeque::new(),
            first_chunk: next_seq / CHUNK,
            next_seq,
            live: 0,
            spare: None,
            ended: 0,
            looked_at: 0,
        }
    }

    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Messages that are not gone.
    #[cfg(test)]
    pub(super) fn len(&self) -> u64 {
        self.live
    }

    pub(super) fn push(&mut self, slot: Slot, body: Option<M>, expires_at: Option<u64>) -> u64 {
        let seq = self.next_seq;
        let number = seq / CHUNK;
        if self.first_chunk + self.chunks.len() as u64 <= number {
            self.open_chunk(number, seq % CHUNK);
        }
        let chunk = self.chunks.back_mut().and_then(Option::as_mut).expect("the growing chunk is open");
        self.next_seq += 1;
        self.live += u64::from(slot.state() != State::Gone);
        chunk.push(slot, body, expires_at);
        seq
    }

    /// Skips to `seq` (recovery: what lies between is settled). Never backwards.
    pub(super) fn skip_to(&mut self, seq: u64) {
        debug_assert!(seq >= self.next_seq, "sequence numbers only grow");
        if self.live == 0 {
            self.chunks.clear();
            self.first_chunk = seq / CHUNK;
        }
        if seq / CHUNK == self.next_seq / CHUNK && !self.next_seq.is_multiple_of(CHUNK) && !self.chunks.is_empty() {
            while self.next_seq < seq {
                self.push(Slot::GONE, None, None);
            }
        } else {
            let wanted = (seq / CHUNK - self.first_chunk) as usize;
            while self.chunks.len() < wanted {
                self.chunks.push_back(None);
            }
        }
        self.next_seq = seq;
    }

    fn open_chunk(&mut self, number: u64, offset: u64) {
        // The chunk that stops growing may have been emptied before it was full.
        if self.chunks.back().is_some_and(|chunk| chunk.as_ref().is_some_and(|chunk| chunk.live == 0)) {
            self.release(self.chunks.len() - 1);
        }
        if self.chunks.is_empty() {
            self.first_chunk = number;
        }
        debug_assert_eq!(self.first_chunk + self.chunks.len() as u64, number, "chunks are dense");
        let chunk = match self.spare.take() {
            Some(mut chunk) => {
                chunk.rebase(offset);
                chunk
            }
            None => Box::new(Chunk::starting_at(offset)),
        };
        self.chunks.push_back(Some(chunk));
    }

    fn locate(&self, seq: u64) -> Option<(usize, u64)> {
        Some(((seq / CHUNK).checked_sub(self.first_chunk)? as usize, seq % CHUNK))
    }

    fn chunk(&self, seq: u64) -> Option<(&Chunk<M>, u64)> {
        let (index, offset) = self.locate(seq)?;
        Some((self.chunks.get(index)?.as_deref()?, offset))
    }

    fn chunk_mut(&mut self, seq: u64) -> Option<(&mut Chunk<M>, u64)> {
        let (index, offset) = self.locate(seq)?;
        Some((self.chunks.get_mut(index)?.as_deref_mut()?, offset))
    }

    /// The message's slot; `None` once it is gone.
    pub(super) fn slot(&self, seq: u64) -> Option<&Slot> {
        let (chunk, offset) = self.chunk(seq)?;
        chunk.slot(offset)
    }

    pub(super) fn slot_mut(&mut self, seq: u64) -> Option<&mut Slot> {
        let (chunk, offset) = self.chunk_mut(seq)?;
        chunk.slot_mut(offset)
    }

    pub(super) fn body(&self, seq: u64) -> Option<&M> {
        let (chunk, offset) = self.chunk(seq)?;
        chunk.body(offset)
    }

    pub(super) fn take_body(&mut self, seq: u64) -> Option<M> {
        let (chunk, offset) = self.chunk_mut(seq)?;
        chunk.take_body(offset)
    }

    pub(super) fn put_body(&mut self, seq: u64, body: M) {
        if let Some((chunk, offset)) = self.chunk_mut(seq) {
            chunk.put_body(offset, body);
        }
    }

    pub(super) fn expires_at(&self, seq: u64) -> Option<u64> {
        let (chunk, offset) = self.chunk(seq)?;
        chunk.expires_at(offset)
    }

    pub(super) fn hold(&self, seq: u64) -> Hold {
        self.chunk(seq).map_or(Hold::NOBODY, |(chunk, offset)| chunk.hold(offset))
    }

    pub(super) fn set_hold(&mut self, seq: u64, hold: Hold) {
        if let Some((chunk, offset)) = self.chunk_mut(seq) {
            chunk.set_hold(offset, hold);
        }
    }

    /// Forgets a message and frees its chunk if it was the last one there.
    pub(super) fn remove(&mut self, seq: u64) -> Option<(Slot, Option<M>)> {
        let (index, offset) = self.locate(seq)?;
        let chunk = self.chunks.get_mut(index)?.as_deref_mut()?;
        let removed = chunk.remove(offset)?;
        let emptied = chunk.live == 0;
        self.live -= 1;
        if emptied {
            self.chunk_emptied(index);
        }
        Some(removed)
    }

    /// A message has ended. Now and then chunks are looked for that most have left: a batch of a thousand messages is kept
    /// whole by the last of them. In a queue that is taken from in order there are hardly any.
    pub(super) fn tend(&mut self)
    where
        M: Handle,
    {
        self.ended = self.ended.wrapping_add(1);
        if u64::from(self.ended) % CHUNK != 0 {
            return;
        }
        for _ in 0..LOOKS {
            // The last one is growing.
            let settled = self.chunks.len().saturating_sub(1);
            self.looked_at = if self.looked_at + 1 < settled { self.looked_at + 1 } else { 0 };
            if let Some(Some(chunk)) = self.chunks.get_mut(self.looked_at)
                && self.looked_at < settled
            {
                chunk.spread();
            }
        }
    }

    fn chunk_emptied(&mut self, index: usize) {
        let growing = index + 1 == self.chunks.len() && !self.next_seq.is_multiple_of(CHUNK);
        if !growing {
            self.release(index);
        } else if self.live == 0 {
            // The queue ran empty: its one chunk starts over, so that a queue that is never deep never grows.
            let offset = self.next_seq % CHUNK;
            let chunk = self.chunks.back_mut().and_then(Option::as_mut).expect("the emptied chunk is the last");
            chunk.rebase(offset);
        }
    }

    fn release(&mut self, index: usize) {
        if let Some(chunk) = self.chunks[index].take() {
            self.spare = Some(chunk);
        }
        while let Some(None) = self.chunks.front() {
            self.chunks.pop_front();
            self.first_chunk += 1;
        }
    }

    /// Bytes of heap the structure holds, bodies' own memory aside.
    pub(super) fn heap_bytes(&self) -> usize {
        let own = |chunk: &Chunk<M>| size_of::<Chunk<M>>() + chunk.heap_bytes();
        self.chunks.capacity() * size_of::<usize>()
            + self.chunks.iter().flatten().map(|chunk| own(chunk)).sum::<usize>()
            + self.spare.as_deref().map_or(0, own)
    }

    /// Every message that is not gone, in sequence order.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Slot)> {
        let first = self.first_chunk * CHUNK;
        (first..self.next_seq).filter_map(|seq| Some((seq, self.slot(seq)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(entries: &mut Entries<u64>) -> u64 {
        let seq = entries.next_seq();
        entries.push(Slot::new(State::Ready, 1, 0, true), Some(seq), None)
    }

    #[test]
    fn a_shallow_queue_never_grows() {
        let mut entries = Entries::starting_at(1);
        for _ in 0..1_000 {
            let seq = push(&mut entries);
            assert_eq!(entries.remove(seq).unwrap().1, Some(seq));
        }
        assert_eq!(entries.chunks.len(), 1, "the growing one");
        assert!(entries.heap_bytes() < 1_000, "{}", entries.heap_bytes());
    }

    #[test]
    fn settled_chunks_go_wherever_they_stand() {
        let mut entries = Entries::starting_at(1);
        for _ in 0..1_000 {
            push(&mut entries);
        }
        for seq in 2..=1_000 {
            entries.remove(seq).unwrap();
        }
        assert_eq!(entries.len(), 1);
        assert_eq!(entries.chunks.iter().flatten().count(), 2, "the first and the growing one");
        assert_eq!(entries.body(1), Some(&1));
        let seq = push(&mut entries);
        entries.remove(1);
        assert_eq!((entries.first_chunk, entries.body(seq)), (seq / CHUNK, Some(&seq)));
    }

    #[test]
    fn a_gap_is_skipped_within_and_across_chunks() {
        let mut entries = Entries::starting_at(5);
        for at in [5, 9, 127, 128, 500, 512, 1_000_000] {
            entries.skip_to(at);
            assert_eq!(push(&mut entries), at);
        }
        assert_eq!(entries.iter().map(|(seq, _)| seq).collect::<Vec<_>>(), [5, 9, 127, 128, 500, 512, 1_000_000]);
        assert!(entries.slot(6).is_none() && entries.slot(400).is_none() && entries.slot(u64::MAX).is_none());
    }
}
