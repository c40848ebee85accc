//! Those who hold one pattern: a vector to walk, with an index beside it once it is long.
//!
//! The order depends on what was inserted and removed alone, never on a hash, so runs repeat.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

#[derive(Debug)]
pub(super) struct Subscribers<K, V> {
    entries: Vec<(K, V)>,
    /// Where each key stands; None while a scan of `entries` is as quick.
    #[allow(clippy::box_collection)]
    index: Option<Box<HashMap<K, usize, RandomState>>>,
}

const SCAN_MAX: usize = 16;

impl<K, V> Default for Subscribers<K, V> {
    fn default() -> Self {
        Self { entries: Vec::new(), index: None }
    }
}

impl<K, V> Subscribers<K, V> {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn entries(&self) -> &[(K, V)] {
        &self.entries
    }
}

impl<K: Clone + Eq + Hash, V> Subscribers<K, V> {
    fn position(&self, key: &K) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(key).copied(),
            None => self.entries.iter().position(|(other, _)| other == key),
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.position(key).map(|at| &self.entries[at].1)
    }

    /// Gives back the value `key` had.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(at) = self.position(&key) {
            return Some(std::mem::replace(&mut self.entries[at].1, value));
        }
        if let Some(index) = &mut self.index {
            index.insert(key.clone(), self.entries.len());
        }
        if self.entries.is_empty() {
            self.entries.reserve_exact(1);
        }
        self.entries.push((key, value));
        if self.index.is_none() && self.entries.len() > SCAN_MAX {
            let keys = self.entries.iter().enumerate();
            self.index = Some(Box::new(keys.map(|(at, (key, _))| (key.clone(), at)).collect()));
        }
        None
    }

    /// Gives back the value `key` had; the last entry takes its place.
    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.position(key)?;
        let (_, value) = self.entries.swap_remove(at);
        if let Some(index) = &mut self.index {
            index.remove(key);
            if let Some((moved, _)) = self.entries.get(at) {
                *index.get_mut(moved).expect("each entry is indexed") = at;
            }
        }
        if self.entries.len() <= SCAN_MAX / 2 {
            self.index = None;
            self.entries.shrink_to_fit();
        }
        Some(value)
    }
}
