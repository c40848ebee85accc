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
    /// One session more; false when `owner` has as many as it may.
    pub(super) fn enter(&self, owner: &Arc<str>, max: u64) -> bool {
        let mut counts = self.counts.lock();
        let count = counts.entry(owner.clone()).or_default();
        let may = *count < max;
        *count += u64::from(may);
        may
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
        let (ann, bob) = (Arc::from("ann"), Arc::from("bob"));
        assert!(owners.enter(&ann, 2) && owners.enter(&ann, 2) && !owners.enter(&ann, 2));
        assert!(owners.enter(&bob, 2));
        owners.leave("ann");
        assert!(owners.enter(&ann, 2));
        (0..2).for_each(|_| owners.leave("ann"));
        assert_eq!(owners.counts.lock().len(), 1);
    }
}
