//! Placeholder until the tree is merged.
#![allow(missing_docs)]
use crate::{name::Name, pattern::Pattern};
#[derive(Debug)]
pub struct Tree<K, V, R>(std::marker::PhantomData<(K, V, R)>);
impl<K, V, R> Default for Tree<K, V, R> {
    fn default() -> Self {
        Tree(std::marker::PhantomData)
    }
}
impl<K, V, R> Tree<K, V, R> {
    pub fn insert(&mut self, _: &Pattern, _: K, _: V) -> Option<V> {
        None
    }
    pub fn remove(&mut self, _: &Pattern, _: &K) -> Option<V> {
        None
    }
    pub fn for_each_match(&self, _: &Name, _: impl FnMut(&K, &V)) {}
    pub fn set_retained(&mut self, _: &Name, _: R) -> Option<R> {
        None
    }
    pub fn get_retained(&self, _: &Name) -> Option<&R> {
        None
    }
    pub fn remove_retained(&mut self, _: &Name) -> Option<R> {
        None
    }
    pub fn retained_after(&self, _: &Pattern, _: Option<&Name>, _: usize, _: impl FnMut(&Name, &R)) -> Option<Name> {
        None
    }
}
