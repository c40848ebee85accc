//! How many sessions each user has: one map, touched where a session begins or ends, never by a message.

use foldhash::quality::RandomState;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// See the module's documentation. The empty name stands for everybody who gives none.
#[derive(Debug, Default)]
pub(super) struct Owners {
    counts: Mutex<HashMap<Arc<str>, u64, RandomState>>,
}

impl Owners {
    /// One session more: its owner's name, which all sessions of that owner share; `None` when it has as many as it may.
    pub(super) fn enter(&self, owner: &Arc<str>, max: u64) -> Option<Arc<str>> {
        let mut counts = self.counts.lock();
        let (name, count) = match counts.get_key_value(owner) {
            Some((name, &count)) => (name.clone(), count),
            None => (owner.clone(), 0),
        };
        if count >= max {
            return None;
        }
        counts.insert(name.clone(), count + 1);
        Some(name)
    }

    /// One session less; an owner without any is forgotten.
    pub(super) fn leave(&self, owner: &str) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(owner) {
            *count -= 1;
            if *count == 0 {
                counts.remove(owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_has_its_own_bound_and_is_forgotten_with_its_last_session() {
        let owners = Owners::default();
        let (ann, again, bob): (Arc<str>, Arc<str>, Arc<str>) = (Arc::from("ann"), Arc::from("ann"), Arc::from("bob"));
        let first = owners.enter(&ann, 2).expect("the first of two");
        let second = owners.enter(&again, 2).expect("the second of two");
        assert!(Arc::ptr_eq(&first, &second), "a name is kept once");
        assert_eq!(owners.enter(&ann, 2), None);
        assert!(owners.enter(&bob, 2).is_some());
        owners.leave("ann");
        assert!(owners.enter(&ann, 2).is_some());
        (0..2).for_each(|_| owners.leave("ann"));
        assert_eq!(owners.counts.lock().len(), 1);
    }
}
