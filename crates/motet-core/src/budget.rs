//! A bound on what waits for all subscribers of a node together, in mailboxes and in output buffers.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Accounts are settled in grains of this many bytes: who is served promptly never touches the shared counter.
const GRAIN: usize = 64 << 10;

/// Bytes that wait for subscribers, and how many may.
#[derive(Debug)]
pub struct Budget {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl Budget {
    /// Nothing waits yet.
    pub fn new(bytes_max: usize) -> Self {
        Budget { bytes: AtomicUsize::new(0), bytes_max }
    }

    /// Bytes that wait, without what is less than a grain per subscriber.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// So much more would be too much.
    pub fn is_exceeded_by(&self, bytes: usize) -> bool {
        self.bytes().saturating_add(bytes) > self.bytes_max
    }
}

/// One holder's part of a [`Budget`].
#[derive(Debug, Default)]
pub struct Share {
    charged: usize,
}

impl Share {
    /// The holder holds this many bytes now; zero before it is dropped.
    pub fn set(&mut self, budget: &Budget, bytes: usize) {
        let charged = bytes / GRAIN * GRAIN;
        if charged > self.charged {
            budget.bytes.fetch_add(charged - self.charged, Ordering::Relaxed);
        } else if charged < self.charged {
            budget.bytes.fetch_sub(self.charged - charged, Ordering::Relaxed);
        }
        self.charged = charged;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_in_grains() {
        let budget = Budget::new(4 * GRAIN);
        let (mut ann, mut bob) = (Share::default(), Share::default());
        ann.set(&budget, GRAIN - 1);
        assert_eq!(budget.bytes(), 0);
        ann.set(&budget, 2 * GRAIN + 5);
        bob.set(&budget, GRAIN);
        assert_eq!(budget.bytes(), 3 * GRAIN);
        assert!(!budget.is_exceeded_by(GRAIN) && budget.is_exceeded_by(GRAIN + 1));
        ann.set(&budget, 0);
        bob.set(&budget, 0);
        assert_eq!(budget.bytes(), 0);
    }
}
