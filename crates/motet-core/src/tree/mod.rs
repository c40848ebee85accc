//! The topic tree: subscriptions under patterns and retained values under names, on the same nodes.
//!
//! ```text
//!            (root)                       a/b, a/+/c, a/#  subscribed; a/b retained
//!               │ "a"
//!            node ── rest: [a/#]
//!      "b" ╱        ╲ One
//!   node              node
//!   exact: [a/b]        │ "c"
//!   retained: value   node ── exact: [a/+/c]
//! ```
//! `matching` walks it with a name to find subscriptions, `page` with a pattern to find retained values. Both agree with
//! [`Pattern::matches`]. A peer chooses names and patterns, so nothing here recurses, and nodes that hold nothing and
//! lead nowhere are gone at once. There are no locks inside: sharing is the caller's business.

mod arena;
mod children;
mod matching;
mod node;
mod page;
mod subscribers;

#[cfg(test)]
mod tests;

pub use page::VISITS_PER_PAGE_MAX;

use std::hash::Hash;

use smallvec::SmallVec;

use crate::name::Name;
use crate::pattern::{Pattern, Token};
use arena::{Arena, NodeId};
use node::Node;

/// A tree of subscriptions (`K` who, `V` how) and retained values `R`.
///
/// A topic with a retained value and nothing else costs about 100 bytes beside the value, so let `R` be a pointer.
#[derive(Debug)]
pub struct Tree<K, V, R> {
    arena: Arena<Node<K, V, R>>,
    subscriptions: usize,
    retained: usize,
}

impl<K, V, R> Default for Tree<K, V, R> {
    fn default() -> Self {
        Self { arena: Arena::new(), subscriptions: 0, retained: 0 }
    }
}

/// The nodes from the root's child to a leaf, each with its parent and the step between them.
type Path<'a> = SmallVec<[(NodeId, Token<'a>); 8]>;

impl<K, V, R> Tree<K, V, R> {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many (pattern, key) pairs are subscribed.
    pub fn subscriptions(&self) -> usize {
        self.subscriptions
    }

    /// How many names hold a retained value.
    pub fn retained(&self) -> usize {
        self.retained
    }

    /// How many nodes there are, the root not counted.
    pub fn nodes(&self) -> usize {
        self.arena.live() - 1
    }

    /// Retains `value` at `name` and gives back what was there.
    pub fn set_retained(&mut self, name: &Name, value: R) -> Option<R> {
        let id = self.grow(name.segments().map(Token::Literal));
        let previous = self.arena.get_mut(id).retained.replace(value);
        self.retained += usize::from(previous.is_none());
        previous
    }

    /// What is retained at `name`.
    pub fn get_retained(&self, name: &Name) -> Option<&R> {
        let mut id = Arena::<Node<K, V, R>>::ROOT;
        for segment in name.segments() {
            id = self.arena.get(id).children.get(segment)?;
        }
        self.arena.get(id).retained.as_ref()
    }

    /// Takes what is retained at `name`.
    pub fn remove_retained(&mut self, name: &Name) -> Option<R> {
        let (path, id) = self.find(name.segments().map(Token::Literal))?;
        let value = self.arena.get_mut(id).retained.take()?;
        self.retained -= 1;
        self.prune(path, id);
        Some(value)
    }

    /// Where `step` leads from `id`.
    fn child(&self, id: NodeId, step: Token<'_>) -> Option<NodeId> {
        let node = self.arena.get(id);
        match step {
            Token::Literal(segment) => node.children.get(segment),
            Token::One => node.interest.as_ref()?.one,
            Token::AnyMiddle => node.interest.as_ref()?.any,
            Token::Rest => unreachable!("a rest is kept at the node before it"),
        }
    }

    /// The node `steps` lead to, made with all before it where missing.
    fn grow<'a>(&mut self, steps: impl Iterator<Item = Token<'a>>) -> NodeId {
        let mut id = Arena::<Node<K, V, R>>::ROOT;
        for step in steps {
            id = match self.child(id, step) {
                Some(child) => child,
                None => {
                    let child = self.arena.add();
                    let node = self.arena.get_mut(id);
                    match step {
                        Token::Literal(segment) => node.children.insert(segment, child),
                        Token::One => node.interest_mut().one = Some(child),
                        Token::AnyMiddle | Token::Rest => node.interest_mut().any = Some(child),
                    }
                    child
                }
            };
        }
        id
    }

    /// The node `steps` lead to, with the way back for [`Tree::prune`].
    fn find<'a>(&self, steps: impl Iterator<Item = Token<'a>>) -> Option<(Path<'a>, NodeId)> {
        let mut path = Path::new();
        let mut id = Arena::<Node<K, V, R>>::ROOT;
        for step in steps {
            path.push((id, step));
            id = self.child(id, step)?;
        }
        Some((path, id))
    }

    /// Removes the node at the end of `path`, and those before it, as long as they are empty.
    fn prune(&mut self, mut path: Path<'_>, mut id: NodeId) {
        while self.arena.get(id).is_empty()
            && let Some((parent, step)) = path.pop()
        {
            let node = self.arena.get_mut(parent);
            match step {
                Token::Literal(segment) => node.children.remove(segment),
                Token::One => node.interest_mut().one = None,
                Token::AnyMiddle | Token::Rest => node.interest_mut().any = None,
            }
            node.trim_interest();
            self.arena.release(id);
            id = parent;
        }
    }
}

impl<K: Clone + Eq + Hash, V, R> Tree<K, V, R> {
    /// Subscribes `key` to `pattern`, and gives back the value it had there. Constant time beyond the walk, however many
    /// keys hold the pattern.
    pub fn insert(&mut self, pattern: &Pattern, key: K, value: V) -> Option<V> {
        let (steps, has_rest) = steps(pattern);
        let id = self.grow(steps);
        let interest = self.arena.get_mut(id).interest_mut();
        let subscribers = if has_rest { &mut interest.rest } else { &mut interest.exact };
        let previous = subscribers.insert(key, value);
        self.subscriptions += usize::from(previous.is_none());
        previous
    }

    /// Ends the subscription of `key` to `pattern`, and gives back its value.
    pub fn remove(&mut self, pattern: &Pattern, key: &K) -> Option<V> {
        let (steps, has_rest) = steps(pattern);
        let (path, id) = self.find(steps)?;
        let node = self.arena.get_mut(id);
        let interest = node.interest.as_mut()?;
        let subscribers = if has_rest { &mut interest.rest } else { &mut interest.exact };
        let value = subscribers.remove(key)?;
        node.trim_interest();
        self.subscriptions -= 1;
        self.prune(path, id);
        Some(value)
    }

    /// The value of `key` at exactly `pattern`.
    pub fn get(&self, pattern: &Pattern, key: &K) -> Option<&V> {
        let (steps, has_rest) = steps(pattern);
        let (_, id) = self.find(steps)?;
        let interest = self.arena.get(id).interest.as_ref()?;
        if has_rest { interest.rest.get(key) } else { interest.exact.get(key) }
    }
}

/// The tokens that lead from node to node, and whether a `Rest` follows them.
fn steps(pattern: &Pattern) -> (impl Iterator<Item = Token<'_>>, bool) {
    let has_rest = pattern.tokens().last() == Some(Token::Rest);
    (pattern.tokens().take_while(|&token| token != Token::Rest), has_rest)
}
