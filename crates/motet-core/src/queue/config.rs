//! What a queue is told when it is declared, and what a policy may change later.

/// Everything that shapes a queue. The default is an unbounded, undecorated FIFO.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueConfig {
    /// Waiting messages at most; `None` is unbounded. Messages already allotted to a consumer do not count.
    pub max_messages: Option<u64>,
    /// Bytes of waiting messages at most; `None` is unbounded.
    pub max_bytes: Option<u64>,
    /// What happens to the message that would exceed a limit, or to the oldest one.
    pub overflow: Overflow,
    /// Milliseconds a message may wait; the earlier of this and the message's own expiry holds.
    pub message_ttl_ms: Option<u64>,
    /// Milliseconds the queue may stay without consumers and without a touch before it asks to be deleted.
    pub expires_ms: Option<u64>,
    /// The highest priority kept apart; a higher one of a message counts as this. 0 is a plain FIFO.
    pub max_priority: u8,
    /// Only one consumer at a time receives; the others wait to take over.
    pub single_active_consumer: bool,
    /// The connection that alone may use the queue; whoever calls looks after that.
    pub owner: Option<u64>,
    /// Whether discarded messages are to be moved elsewhere; where to, only the caller knows.
    pub dead_letter: bool,
    /// Failed attempts a message survives; one more and it is discarded. `None` is unlimited.
    pub delivery_limit: Option<u16>,
    /// Failed attempts are written down, so that they survive a restart.
    pub keep_attempts: bool,
    /// Pause before a message that failed is ready again; `None` is at once.
    pub retry: Option<RetryBackoff>,
    /// Window in which a de-duplication identifier is accepted once.
    pub dedup: Option<DedupWindow>,
    /// How much of the queue keeps its bodies in memory.
    pub window: MemoryWindow,
    /// Consumers wait for a paged head instead of being handed its locator: order over progress.
    pub resident_only: bool,
    /// A message that a consumer may have seen does not go stale any more: what was begun is finished.
    pub sent_stays: bool,
    /// Whether persistent messages are journalled; without it nothing is ever settled on disk or paged out.
    pub durable: bool,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            max_messages: None,
            max_bytes: None,
            overflow: Overflow::DropHead,
            message_ttl_ms: None,
            expires_ms: None,
            max_priority: 0,
            single_active_consumer: false,
            owner: None,
            dead_letter: false,
            delivery_limit: None,
            keep_attempts: false,
            retry: None,
            dedup: None,
            window: MemoryWindow::default(),
            resident_only: false,
            sent_stays: false,
            durable: true,
        }
    }
}

/// What gives way when a limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest waiting message of the lowest priority leaves (dead-lettered as `MaxLen`).
    DropHead,
    /// The new message is refused.
    RejectPublish,
    /// The new message is refused and dead-lettered.
    RejectPublishDlx,
}

/// Pause after the n-th failed attempt: `min_ms * factor^(n-1)`, never more than `max_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBackoff {
    /// Pause after the first failure, milliseconds.
    pub min_ms: u64,
    /// The longest pause, milliseconds.
    pub max_ms: u64,
    /// Growth from one failure to the next; 1 keeps the pause constant.
    pub factor: u32,
}

impl RetryBackoff {
    /// The pause after `attempts` failures (at least one).
    pub fn pause_ms(&self, attempts: u16) -> u64 {
        let growth = u64::from(self.factor.max(1)).saturating_pow(u32::from(attempts.saturating_sub(1)));
        self.min_ms.saturating_mul(growth).min(self.max_ms)
    }
}

/// A de-duplication identifier seen within `ms` and among the last `entries` ones is a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DedupWindow {
    /// Instead of within a window, an identifier is known as long as its message is in the queue, held ones included.
    pub while_present: bool,
    /// Length of the window, milliseconds.
    pub ms: u64,
    /// Identifiers remembered at most; the oldest is forgotten first.
    pub entries: usize,
}

/// How many bodies of a deep durable queue stay in memory, half at the head, half at the tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryWindow {
    /// Resident bodies at most.
    pub messages: u64,
    /// Resident bytes at most.
    pub bytes: u64,
}

impl Default for MemoryWindow {
    /// Enough to feed fast consumers between two reads of the disk, and little enough for many deep queues.
    fn default() -> Self {
        Self { messages: 4096, bytes: 16 << 20 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_grows_by_its_factor_up_to_its_maximum() {
        let backoff = RetryBackoff { min_ms: 100, max_ms: 1_000, factor: 3 };
        let pauses: Vec<u64> = (1..=5).map(|n| backoff.pause_ms(n)).collect();
        assert_eq!(pauses, [100, 300, 900, 1_000, 1_000]);
        assert_eq!(backoff.pause_ms(u16::MAX), 1_000);
    }
}
