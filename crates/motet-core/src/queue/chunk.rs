//! A hundred and twenty-eight neighbours in sequence order, column by column.
//!
//! Every message needs a [`Slot`]. Bodies, expiry times and holders are columns of their own that a chunk grows only when one of
//! its messages has such a thing: a chunk that is paged out and without TTL costs its slots and nothing else.

use super::Handle;
use super::slot::{Slot, State};

/// Messages per chunk: small enough for thousands of idle sessions, large enough that its header costs a byte per message.
pub(super) const CHUNK: u64 = 128;

/// No expiry, for a message among neighbours that have one.
const NEVER: u64 = u64::MAX;

/// Who holds an unacked message, and where in the holder's list it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hold {
    /// Index of the consumer in the queue's table.
    pub(super) consumer: u32,
    /// Position in the consumer's list of held messages (wrapping, see `Holding`).
    pub(super) position: u32,
}

impl Hold {
    pub(super) const NOBODY: Self = Self { consumer: u32::MAX, position: 0 };
}

pub(super) struct Chunk<M> {
    /// Offset in the chunk of the first slot; earlier sequences were settled before the chunk was re-based.
    start: u64,
    /// Slots that are not `Gone`.
    pub(super) live: u32,
    slots: Vec<Slot>,
    bodies: Vec<Option<M>>,
    bodies_held: u32,
    /// `NEVER` where a message does not expire.
    expiries: Vec<u64>,
    holds: Vec<Hold>,
}

impl<M> Chunk<M> {
    pub(super) fn starting_at(offset: u64) -> Self {
        Self {
            start: offset,
            live: 0,
            slots: Vec::new(),
            bodies: Vec::new(),
            bodies_held: 0,
            expiries: Vec::new(),
            holds: Vec::new(),
        }
    }

    /// Forgets everything but the allocations: the next slot stands at `offset`.
    pub(super) fn rebase(&mut self, offset: u64) {
        debug_assert_eq!(self.live, 0, "only an empty chunk is used again");
        self.start = offset;
        self.slots.clear();
        self.bodies.clear();
        self.bodies_held = 0;
        self.expiries.clear();
        self.holds.clear();
    }

    pub(super) fn push(&mut self, slot: Slot, body: Option<M>, expires_at: Option<u64>) {
        let index = self.slots.len();
        if slot.state() != State::Gone {
            self.live += 1;
        }
        self.slots.push(slot);
        if body.is_some() {
            self.bodies.resize_with(index, || None);
            self.bodies.push(body);
            self.bodies_held += 1;
        }
        if let Some(at) = expires_at {
            self.expiries.resize(index, NEVER);
            self.expiries.push(at);
        }
    }

    fn index(&self, offset: u64) -> usize {
        // An offset before `start` wraps to an index no column has.
        offset.wrapping_sub(self.start) as usize
    }

    pub(super) fn slot(&self, offset: u64) -> Option<&Slot> {
        self.slots.get(self.index(offset)).filter(|slot| slot.state() != State::Gone)
    }

    pub(super) fn slot_mut(&mut self, offset: u64) -> Option<&mut Slot> {
        let index = self.index(offset);
        self.slots.get_mut(index).filter(|slot| slot.state() != State::Gone)
    }

    pub(super) fn body(&self, offset: u64) -> Option<&M> {
        self.bodies.get(self.index(offset))?.as_ref()
    }

    pub(super) fn take_body(&mut self, offset: u64) -> Option<M> {
        let index = self.index(offset);
        let body = self.bodies.get_mut(index)?.take()?;
        self.bodies_held -= 1;
        if self.bodies_held == 0 && self.live > 1 && self.slots.len() as u64 + self.start == CHUNK {
            // A full chunk without bodies is a paged one: the column goes. (The growing chunk keeps its column.)
            self.bodies = Vec::new();
        }
        Some(body)
    }

    pub(super) fn put_body(&mut self, offset: u64, body: M) {
        let index = self.index(offset);
        if self.bodies.len() <= index {
            self.bodies.resize_with(index + 1, || None);
        }
        if self.bodies[index].replace(body).is_none() {
            self.bodies_held += 1;
        }
    }

    pub(super) fn expires_at(&self, offset: u64) -> Option<u64> {
        self.expiries.get(self.index(offset)).copied().filter(|at| *at != NEVER)
    }

    pub(super) fn hold(&self, offset: u64) -> Hold {
        self.holds.get(self.index(offset)).copied().unwrap_or(Hold::NOBODY)
    }

    pub(super) fn set_hold(&mut self, offset: u64, hold: Hold) {
        let index = self.index(offset);
        if self.holds.len() <= index {
            self.holds.resize(index + 1, Hold::NOBODY);
        }
        self.holds[index] = hold;
    }

    /// Most have left: those that stay let go of what they share with them.
    pub(super) fn spread(&mut self)
    where
        M: Handle,
    {
        if self.bodies_held > 0 && u64::from(self.live) <= CHUNK / 8 {
            self.bodies.iter_mut().flatten().for_each(Handle::stay_alone);
        }
    }

    /// Marks the slot as gone and returns what it was, with its body.
    pub(super) fn remove(&mut self, offset: u64) -> Option<(Slot, Option<M>)> {
        let body = self.take_body(offset);
        let slot = self.slot_mut(offset)?;
        let was = *slot;
        slot.set_state(State::Gone);
        self.live -= 1;
        Some((was, body))
    }

    /// Bytes of heap this chunk holds, bodies' own memory aside.
    pub(super) fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
            + self.bodies.capacity() * size_of::<Option<M>>()
            + self.expiries.capacity() * size_of::<u64>()
            + self.holds.capacity() * size_of::<Hold>()
    }
}
