//! One node: what is retained at its name, who asks for it, and what lies below.

use super::arena::NodeId;
use super::children::Children;
use super::subscribers::Subscribers;

#[derive(Debug)]
pub(super) struct Node<K, V, R> {
    pub(super) children: Children,
    /// None for a node that only holds or leads to retained values, which is most of them.
    pub(super) interest: Option<Box<Interest<K, V>>>,
    pub(super) retained: Option<R>,
}

/// What subscriptions add to a node.
#[derive(Debug)]
pub(super) struct Interest<K, V> {
    /// Where a `One` leads from here.
    pub(super) one: Option<NodeId>,
    /// Where an `AnyMiddle` leads from here.
    pub(super) any: Option<NodeId>,
    /// Subscriptions whose pattern ends here.
    pub(super) exact: Subscribers<K, V>,
    /// Subscriptions whose pattern goes on from here with `Rest` alone.
    pub(super) rest: Subscribers<K, V>,
}

impl<K, V, R> Default for Node<K, V, R> {
    fn default() -> Self {
        Self { children: Children::default(), interest: None, retained: None }
    }
}

impl<K, V> Default for Interest<K, V> {
    fn default() -> Self {
        Self { one: None, any: None, exact: Subscribers::default(), rest: Subscribers::default() }
    }
}

impl<K, V, R> Node<K, V, R> {
    pub(super) fn is_empty(&self) -> bool {
        self.children.is_empty() && self.interest.is_none() && self.retained.is_none()
    }

    pub(super) fn interest_mut(&mut self) -> &mut Interest<K, V> {
        self.interest.get_or_insert_default()
    }

    /// Drops the box when nothing is in it any more.
    pub(super) fn trim_interest(&mut self) {
        if self.interest.as_ref().is_some_and(|interest| interest.is_empty()) {
            self.interest = None;
        }
    }
}

impl<K, V> Interest<K, V> {
    fn is_empty(&self) -> bool {
        self.one.is_none() && self.any.is_none() && self.exact.is_empty() && self.rest.is_empty()
    }
}
