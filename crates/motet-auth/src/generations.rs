//! A map with a bound that forgets what was not touched for longest, roughly.
//!
//! Two generations: what is touched lives in the young one; when that is half the bound, it becomes the old one and the
//! former old one is dropped whole. No list to maintain, no scan, constant time.

use std::collections::HashMap;
use std::hash::Hash;

pub(crate) struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Hash + Eq, V> Generations<K, V> {
    /// Holds at most `entries_max` entries (rounded up to an even number); 0 holds none.
    pub(crate) fn new(entries_max: usize) -> Self {
        Generations { young: HashMap::new(), old: HashMap::new(), half: entries_max.div_ceil(2) }
    }

    /// The value of `key`, which counts as a touch.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    /// The value of `key`, without touching it.
    pub(crate) fn peek(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Sets the value of `key`. At the bound the old generation gives way.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.half == 0 {
            return;
        }
        self.old.remove(&key);
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    /// Everything, in no order; touches nothing.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.young.iter().chain(&self.old)
    }

    /// Keeps what `keep` says yes to.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        self.young.retain(|_, value| keep(value));
        self.old.retain(|_, value| keep(value));
    }

    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_holds_more_than_its_bound() {
        let mut map = Generations::new(10);
        for key in 0..1000 {
            map.insert(key, key);
            map.get_mut(&(key / 2));
            assert!(map.len() <= 10);
        }
    }

    #[test]
    fn what_is_touched_stays_and_what_is_not_goes() {
        let mut map = Generations::new(10);
        map.insert("busy", 0);
        map.insert("quiet", 0);
        let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        for name in &names {
            map.insert(name, 0);
            *map.get_mut(&"busy").unwrap() += 1;
        }
        assert_eq!(map.peek(&"busy"), Some(&100));
        assert_eq!(map.peek(&"quiet"), None);
    }

    #[test]
    fn a_bound_of_zero_holds_nothing() {
        let mut map = Generations::new(0);
        map.insert(1, 1);
        assert_eq!(map.len(), 0);
    }
}
