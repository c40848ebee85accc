//! A node's literal children in the order of their segments: a short sorted vector, or a B-tree beyond that.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;

use smallvec::SmallVec;

use super::arena::NodeId;

/// Segments up to 16 bytes need no allocation of their own.
pub(super) type Segment = SmallVec<[u8; 16]>;

#[derive(Debug)]
pub(super) enum Children {
    Few(Vec<(Segment, NodeId)>),
    // Boxed, because most nodes have few children and should be small.
    #[allow(clippy::box_collection)]
    Many(Box<BTreeMap<Segment, NodeId>>),
}

/// Up to here a scan beats a search; the way back down waits for half of it, lest one child more or less flip the form.
const FEW_MAX: usize = 8;

impl Default for Children {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Children {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(list) => list.is_empty(),
            Self::Many(map) => map.is_empty(),
        }
    }

    #[inline]
    pub(super) fn get(&self, segment: &[u8]) -> Option<NodeId> {
        match self {
            Self::Few(list) => list.iter().find(|(key, _)| key.as_slice() == segment).map(|&(_, id)| id),
            Self::Many(map) => map.get(segment).copied(),
        }
    }

    /// Adds a child whose segment is not there yet.
    pub(super) fn insert(&mut self, segment: &[u8], id: NodeId) {
        let key = Segment::from_slice(segment);
        match self {
            Self::Few(list) if list.len() < FEW_MAX => {
                if list.is_empty() {
                    // Most inner nodes have one child for ever.
                    list.reserve_exact(1);
                }
                let at = list.partition_point(|(other, _)| *other < key);
                list.insert(at, (key, id));
            }
            Self::Few(list) => {
                let mut map: BTreeMap<_, _> = std::mem::take(list).into_iter().collect();
                map.insert(key, id);
                *self = Self::Many(Box::new(map));
            }
            Self::Many(map) => {
                map.insert(key, id);
            }
        }
    }

    pub(super) fn remove(&mut self, segment: &[u8]) {
        match self {
            Self::Few(list) => {
                list.retain(|(key, _)| key.as_slice() != segment);
                if list.is_empty() {
                    *list = Vec::new();
                }
            }
            Self::Many(map) => {
                map.remove(segment);
                if map.len() <= FEW_MAX / 2 {
                    *self = Self::Few(std::mem::take(&mut **map).into_iter().collect());
                }
            }
        }
    }

    /// The children in order, from the first whose segment is greater than `after`.
    pub(super) fn after(&self, after: Option<&[u8]>) -> ChildrenAfter<'_> {
        match self {
            Self::Few(list) => {
                let start = after.map_or(0, |after| list.partition_point(|(key, _)| key.as_slice() <= after));
                ChildrenAfter::Few(list[start..].iter())
            }
            Self::Many(map) => {
                let start = after.map_or(Bound::Unbounded, Bound::Excluded);
                ChildrenAfter::Many(map.range::<[u8], _>((start, Bound::Unbounded)))
            }
        }
    }
}

pub(super) enum ChildrenAfter<'a> {
    Few(std::slice::Iter<'a, (Segment, NodeId)>),
    Many(btree_map::Range<'a, Segment, NodeId>),
}

impl<'a> Iterator for ChildrenAfter<'a> {
    type Item = (&'a [u8], NodeId);

    fn next(&mut self) -> Option<Self::Item> {
        let (segment, id) = match self {
            Self::Few(list) => list.next().map(|(segment, id)| (segment, id))?,
            Self::Many(range) => range.next()?,
        };
        Some((segment.as_slice(), *id))
    }
}
