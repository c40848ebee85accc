//! Who listens for what a queue has for them, found by the number of the consumer.

use crate::mailbox::{Mailbox, Ready};
use crate::queue::ConsumerId;
use crate::queues::QueueCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Listeners beyond which they are indexed. Most queues have one.
const FEW: usize = 16;

/// Who takes from a queue, and where it listens.
pub(crate) struct Listener {
    pub(crate) id: ConsumerId,
    pub(crate) mailbox: Arc<Mailbox>,
    /// The number its connection gave it.
    pub(crate) tag: u64,
}

impl Listener {
    /// Where to say that `cell` has something for it, and what.
    pub(crate) fn ready(&self, cell: &Arc<QueueCell>) -> Option<(Arc<Mailbox>, Ready)> {
        Some((self.mailbox.clone(), Ready { queue: cell.clone(), consumer: self.id, tag: self.tag }))
    }
}

/// All of one queue.
pub(crate) enum Listeners {
    /// Looked through.
    Few(Vec<Listener>),
    /// By number, since there were many; until nobody is left.
    Many(BTreeMap<ConsumerId, Listener>),
}

impl Default for Listeners {
    fn default() -> Self {
        Listeners::Few(Vec::new())
    }
}

impl Listeners {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Listeners::Few(list) => list.is_empty(),
            Listeners::Many(map) => map.is_empty(),
        }
    }

    pub(crate) fn add(&mut self, listener: Listener) {
        match self {
            Listeners::Few(list) if list.len() < FEW => list.push(listener),
            Listeners::Few(list) => {
                let all = list.drain(..).chain([listener]);
                *self = Listeners::Many(all.map(|listener| (listener.id, listener)).collect());
            }
            Listeners::Many(map) => drop(map.insert(listener.id, listener)),
        }
    }

    pub(crate) fn get(&self, id: ConsumerId) -> Option<&Listener> {
        match self {
            Listeners::Few(list) => list.iter().find(|listener| listener.id == id),
            Listeners::Many(map) => map.get(&id),
        }
    }

    pub(crate) fn remove(&mut self, id: ConsumerId) {
        match self {
            Listeners::Few(list) => list.retain(|listener| listener.id != id),
            Listeners::Many(map) => {
                map.remove(&id);
            }
        }
        if self.is_empty() {
            self.clear();
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Listeners::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Overflow;

    #[test]
    fn one_is_found_among_few_and_among_many_until_it_leaves() {
        let mailbox = Mailbox::new(1, Overflow::default());
        let mut listeners = Listeners::default();
        for n in 1..=100 {
            listeners.add(Listener { id: ConsumerId(n), mailbox: mailbox.clone(), tag: n });
            assert!((1..=n).all(|n| listeners.get(ConsumerId(n)).is_some_and(|found| found.tag == n)));
            assert_eq!(matches!(listeners, Listeners::Many(_)), n > 16);
        }
        for n in 1..=100 {
            listeners.remove(ConsumerId(n));
            assert!(listeners.get(ConsumerId(n)).is_none() && listeners.is_empty() == (n == 100));
        }
        assert!(matches!(listeners, Listeners::Few(_)), "nothing is left behind");
    }
}
