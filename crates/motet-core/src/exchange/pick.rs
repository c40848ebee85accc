//! One of all bound destinations, whatever the binding keys: by chance, or by a hash modulo their number.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::Target;
use super::hash::mix;

/// The destinations in the order of their names, which outlives a restart, with their bindings counted.
#[derive(Debug, Default)]
pub(super) struct Pick {
    members: BTreeMap<(Bytes, Target), u32>,
    /// Draws so far; each is mixed into a number of its own, the same in every run.
    draws: AtomicU64,
}

impl Pick {
    pub(super) fn add(&mut self, target: Target, name: &[u8]) {
        *self.members.entry((Bytes::copy_from_slice(name), target)).or_default() += 1;
    }

    pub(super) fn remove(&mut self, target: Target) {
        let place = self.members.iter_mut().find(|((_, known), _)| *known == target);
        let Some((place, count)) = place else { return };
        *count -= 1;
        if *count == 0 {
            let place = place.clone();
            self.members.remove(&place);
        }
    }

    /// The destination that this hash leads to, as long as none is bound or unbound.
    pub(super) fn by_hash(&self, hashed: u64) -> Option<Target> {
        let at = hashed.checked_rem(self.members.len() as u64)?;
        self.members.keys().nth(at as usize).map(|(_, target)| *target)
    }

    /// Any destination, each as often as the others.
    pub(super) fn by_chance(&self) -> Option<Target> {
        self.by_hash(mix(self.draws.fetch_add(1, Ordering::Relaxed)))
    }
}
