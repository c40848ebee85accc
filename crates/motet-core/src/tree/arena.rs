//! Where the nodes live: chunks that never move, and a list of free places.
//!
//! Nodes name each other by number. That makes a tree of any depth drop without recursion, and growing costs one chunk,
//! never a copy of what is there.

use std::num::NonZeroU32;

/// A node's place; [`Arena::ROOT`] is the root's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NodeId(NonZeroU32);

const CHUNK_BITS: u32 = 8;
const CHUNK_NODES: usize = 1 << CHUNK_BITS;

#[derive(Debug)]
pub(super) struct Arena<N> {
    chunks: Vec<Vec<N>>,
    free: Vec<NodeId>,
    live: usize,
}

impl<N: Default> Arena<N> {
    pub(super) const ROOT: NodeId = NodeId(NonZeroU32::MIN);

    /// Holds the root alone.
    pub(super) fn new() -> Self {
        let mut arena = Self { chunks: Vec::new(), free: Vec::new(), live: 0 };
        let root = arena.add();
        debug_assert_eq!(root, Self::ROOT, "the first place is the root's");
        arena
    }

    /// Nodes in use, the root included.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn add(&mut self) -> NodeId {
        self.live += 1;
        if let Some(id) = self.free.pop() {
            return id;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK_NODES) {
            // The first chunk grows as needed, so that an empty tree is small.
            let capacity = if self.chunks.is_empty() { 1 } else { CHUNK_NODES };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let full = (self.chunks.len() - 1) << CHUNK_BITS;
        let chunk = self.chunks.last_mut().expect("a chunk was just ensured");
        chunk.push(N::default());
        let number = u32::try_from(full + chunk.len()).expect("fewer nodes than 2^32 fit in memory");
        NodeId(NonZeroU32::new(number).expect("the chunk holds at least the new node"))
    }

    /// Gives the place of `id` back; with only the root left, the memory too.
    pub(super) fn release(&mut self, id: NodeId) {
        *self.get_mut(id) = N::default();
        self.free.push(id);
        self.live -= 1;
        if self.live == 1 {
            self.free = Vec::new();
            self.chunks.truncate(1);
            self.chunks[0].truncate(1);
        }
    }

    #[inline]
    pub(super) fn get(&self, id: NodeId) -> &N {
        let index = id.0.get() as usize - 1;
        &self.chunks[index >> CHUNK_BITS][index & (CHUNK_NODES - 1)]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: NodeId) -> &mut N {
        let index = id.0.get() as usize - 1;
        &mut self.chunks[index >> CHUNK_BITS][index & (CHUNK_NODES - 1)]
    }
}
