//! From a name to the subscriptions that ask for it.
//!
//! The walk takes the name one segment at a time and keeps the set of nodes reached so far. A node is reached from its
//! one parent by one step, so no set has a node twice. Only an `AnyMiddle` node can be reached again: once reached it
//! stays, since it may take any number of segments. The work is at most (segments x nodes reached).

use std::collections::HashSet;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::Tree;
use super::arena::{Arena, NodeId};
use super::node::Node;
use super::subscribers::Subscribers;
use crate::name::Name;

impl<K, V, R> Tree<K, V, R> {
    /// Shows `visit` every subscription whose pattern matches `name`, each once. A key that holds several matching
    /// patterns is shown for each of them.
    pub fn for_each_match(&self, name: &Name, visit: impl FnMut(&K, &V)) {
        let root = Arena::<Node<K, V, R>>::ROOT;
        let is_reserved = name.is_reserved();
        let mut walk =
            Walk { tree: self, reached: SmallVec::new(), lasting: SmallVec::new(), seen: HashSet::default(), visit };
        let mut current: SmallVec<[NodeId; 16]> = SmallVec::new();
        current.push(root);
        if !is_reserved {
            walk.arrive(root);
        }
        for (index, segment) in name.segments().enumerate() {
            // What joins `lasting` on this segment takes part from the next one on.
            let lasting = walk.lasting.len();
            let takes_wildcards = index > 0 || !is_reserved;
            for &id in &current {
                walk.step(id, segment, takes_wildcards);
            }
            for index in 0..lasting {
                walk.step(walk.lasting[index], segment, true);
            }
            std::mem::swap(&mut current, &mut walk.reached);
            walk.reached.clear();
            if current.is_empty() && walk.lasting.is_empty() {
                return;
            }
        }
        for &id in &current {
            if let Some(interest) = &self.arena.get(id).interest {
                show(&interest.exact, &mut walk.visit);
            }
        }
    }
}

struct Walk<'a, K, V, R, F> {
    tree: &'a Tree<K, V, R>,
    /// Nodes reached with the segment at hand.
    reached: SmallVec<[NodeId; 16]>,
    /// `AnyMiddle` nodes reached so far.
    lasting: SmallVec<[NodeId; 4]>,
    /// Nodes in `lasting`, and those below them whose `Rest` was shown; empty while there is no `AnyMiddle`.
    seen: HashSet<NodeId, RandomState>,
    visit: F,
}

impl<K, V, R, F: FnMut(&K, &V)> Walk<'_, K, V, R, F> {
    /// Follows `segment` from `id`.
    #[inline]
    fn step(&mut self, id: NodeId, segment: &[u8], takes_wildcards: bool) {
        let node = self.tree.arena.get(id);
        if let Some(child) = node.children.get(segment) {
            self.reached.push(child);
            self.arrive(child);
        }
        if takes_wildcards && let Some(child) = node.interest.as_ref().and_then(|interest| interest.one) {
            self.reached.push(child);
            self.arrive(child);
        }
    }

    /// Shows the `Rest` of a node just reached, and reaches what an `AnyMiddle` of no segments leads to.
    #[inline]
    fn arrive(&mut self, mut id: NodeId) {
        // A node that is below no `AnyMiddle` is reached once, so it needs no memory of it.
        let mut is_first = self.lasting.is_empty();
        while let Some(interest) = &self.tree.arena.get(id).interest {
            if !interest.rest.is_empty() && (is_first || self.seen.insert(id)) {
                show(&interest.rest, &mut self.visit);
            }
            match interest.any {
                Some(any) if self.seen.insert(any) => {
                    self.lasting.push(any);
                    (id, is_first) = (any, true);
                }
                _ => return,
            }
        }
    }
}

fn show<K, V>(subscribers: &Subscribers<K, V>, visit: &mut impl FnMut(&K, &V)) {
    for (key, value) in subscribers.entries() {
        visit(key, value);
    }
}
