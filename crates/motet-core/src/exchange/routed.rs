//! The result of a route, reusable from one publication to the next.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use super::{ExchangeKey, QueueKey};

/// Seen queues up to here are found by a scan.
const SCAN_MAX: usize = 16;
/// Memory of a wide route is given back beyond this many queues.
const KEPT_MAX: usize = 4_096;

/// A queue to put the message into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutedTarget {
    /// Which; good until the topology's epoch moves.
    pub queue: QueueKey,
    /// Milliseconds to hold the message back; 0 is at once.
    pub delay_ms: u64,
}

/// Where one publication goes: each queue once, in the order it was reached.
#[derive(Debug, Default)]
pub struct Routed {
    targets: Vec<RoutedTarget>,
    /// Where each queue stands in `targets`, once there are many.
    seen: HashMap<QueueKey, usize, RandomState>,
    /// Exchanges reached so far.
    reached: HashSet<ExchangeKey, RandomState>,
    /// Exchanges yet to visit: which, how far from the first, the delay so far.
    pub(super) ahead: Vec<(ExchangeKey, u32, u64)>,
    pub(super) tree: Option<u64>,
    pub(super) cut: bool,
    pub(super) by_message: bool,
}

impl Routed {
    /// The queues.
    pub fn targets(&self) -> &[RoutedTarget] {
        &self.targets
    }

    /// Whether the message came by `amq.topic`, and after how many milliseconds: the caller walks the topic tree and hands what it
    /// finds to [`Topology::route_on`](super::Topology::route_on).
    pub fn reaches_tree(&self) -> Option<u64> {
        self.tree
    }

    /// Whether exchanges more than [`HOPS_MAX`](super::HOPS_MAX) away were left out; to be counted, and refused to a publisher who
    /// wants to know.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Nobody receives the message: `mandatory` returns it. // AMQP 0-9-1: 312 NO_ROUTE
    pub fn is_unroutable(&self) -> bool {
        self.targets.is_empty() && self.tree.is_none()
    }

    /// An exchange on the way looked at more than the routing key: another message may go elsewhere, or later.
    pub fn is_by_message(&self) -> bool {
        self.by_message
    }

    /// Forgets the last route and keeps the memory, within bounds.
    pub fn clear(&mut self) {
        self.targets.clear();
        self.targets.shrink_to(KEPT_MAX);
        if !self.seen.is_empty() {
            self.seen.clear();
            self.seen.shrink_to(KEPT_MAX);
        }
        self.reached.clear();
        self.reached.shrink_to(KEPT_MAX);
        self.ahead.clear();
        self.tree = None;
        self.cut = false;
        self.by_message = false;
    }

    /// Whether the exchange was reached before; from now on it was.
    pub(super) fn was_reached(&mut self, exchange: ExchangeKey) -> bool {
        !self.reached.insert(exchange)
    }

    /// Adds `queue` unless it is there; reached again, the shorter delay holds.
    pub(super) fn add(&mut self, queue: QueueKey, delay_ms: u64) {
        if let Some(at) = self.position(queue) {
            self.targets[at].delay_ms = self.targets[at].delay_ms.min(delay_ms);
            return;
        }
        self.targets.push(RoutedTarget { queue, delay_ms });
        if self.targets.len() == SCAN_MAX + 1 {
            self.seen.extend(self.targets.iter().enumerate().map(|(at, target)| (target.queue, at)));
        } else if self.targets.len() > SCAN_MAX {
            self.seen.insert(queue, self.targets.len() - 1);
        }
    }

    fn position(&self, queue: QueueKey) -> Option<usize> {
        match self.targets.len() {
            0..=SCAN_MAX => self.targets.iter().position(|target| target.queue == queue),
            _ => self.seen.get(&queue).copied(),
        }
    }
}
