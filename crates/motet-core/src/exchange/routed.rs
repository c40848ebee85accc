//! The result of a route, reusable from one publication to the next.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::seen::Claim;
use super::{ExchangeKey, QueueKey};

/// Seen queues up to here are found by a scan.
const SCAN_MAX: usize = 16;
/// Memory of a wide route is given back beyond this many queues.
const KEPT_MAX: usize = 4_096;

/// An exchange that holds the message back, and goes on with it when its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldBack {
    /// Which; good until the topology's epoch moves.
    pub exchange: ExchangeKey,
    /// For how many milliseconds; never 0.
    pub delay_ms: u64,
}

/// Where one publication goes: each queue once, in the order it was reached.
#[derive(Debug, Default)]
pub struct Routed {
    targets: Vec<QueueKey>,
    /// The queues in `targets`, once there are many.
    seen: HashSet<QueueKey, RandomState>,
    /// Exchanges reached so far.
    reached: HashSet<ExchangeKey, RandomState>,
    /// Exchanges yet to visit: which, how far from the first.
    pub(super) ahead: Vec<(ExchangeKey, u32)>,
    pub(super) held_back: Vec<HeldBack>,
    pub(super) tree: bool,
    pub(super) cut: bool,
    pub(super) by_message: bool,
    /// Identifiers that exchanges on the way had not seen.
    pub(super) claims: Vec<Claim>,
}

impl Routed {
    /// The queues; their keys are good until the topology's epoch moves.
    pub fn targets(&self) -> &[QueueKey] {
        &self.targets
    }

    /// The exchanges that hold the message back. What is behind them is not on this route.
    pub fn held_back(&self) -> &[HeldBack] {
        &self.held_back
    }

    /// Whether the message came by `amq.topic`: the caller walks the topic tree and hands what it finds to
    /// [`Topology::route_on`](super::Topology::route_on).
    pub fn reaches_tree(&self) -> bool {
        self.tree
    }

    /// Whether exchanges more than [`HOPS_MAX`](super::HOPS_MAX) away were left out; to be counted, and refused to a publisher who
    /// wants to know.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Nobody receives the message: `mandatory` returns it. // AMQP 0-9-1: 312 NO_ROUTE
    pub fn is_unroutable(&self) -> bool {
        self.targets.is_empty() && !self.tree && self.held_back.is_empty()
    }

    /// An exchange on the way looked at more than the routing key: another message may go elsewhere, or later.
    pub fn is_by_message(&self) -> bool {
        self.by_message
    }

    /// Takes the identifiers that are this message's now: to be kept once it is where it should be.
    pub(crate) fn take_claims(&mut self) -> Vec<Claim> {
        std::mem::take(&mut self.claims)
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
        self.held_back.clear();
        self.tree = false;
        self.cut = false;
        self.by_message = false;
        self.claims.clear();
    }

    /// Whether the exchange was reached before; from now on it was.
    pub(super) fn was_reached(&mut self, exchange: ExchangeKey) -> bool {
        !self.reached.insert(exchange)
    }

    /// Adds `queue` unless it is there.
    pub(super) fn add(&mut self, queue: QueueKey) {
        let is_known = match self.targets.len() {
            0..=SCAN_MAX => self.targets.contains(&queue),
            _ => self.seen.contains(&queue),
        };
        if is_known {
            return;
        }
        self.targets.push(queue);
        if self.targets.len() == SCAN_MAX + 1 {
            self.seen.extend(self.targets.iter().copied());
        } else if self.targets.len() > SCAN_MAX {
            self.seen.insert(queue);
        }
    }
}
