//! What a queue can say about itself in constant time.

/// Gauges of now and totals since the queue was made or recovered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Messages to be taken now.
    pub ready: u64,
    /// Messages with a consumer.
    pub unacked: u64,
    /// Messages whose delay or retry pause is not over.
    pub delayed: u64,
    /// Messages on their way to a dead-letter target.
    pub moving: u64,
    /// Bytes of the ready and the delayed.
    pub waiting_bytes: u64,
    /// Bytes of the unacked.
    pub unacked_bytes: u64,
    /// Bodies in memory.
    pub resident: u64,
    /// Bytes of the bodies in memory.
    pub resident_bytes: u64,
    /// Bytes of the messages that are on disk, whatever their state.
    pub persistent_bytes: u64,
    /// Messages accepted.
    pub enqueued_total: u64,
    /// Deliveries, repeated ones included.
    pub delivered_total: u64,
    /// Deliveries marked as redelivered.
    pub redelivered_total: u64,
    /// Messages settled by their consumer, or by taking them.
    pub acked_total: u64,
    /// Messages returned to be delivered again.
    pub requeued_total: u64,
    /// Messages that waited too long.
    pub expired_total: u64,
    /// Messages pushed out by a length limit, failed too often, or rejected by a consumer.
    pub dropped_total: u64,
    /// Messages refused at the door.
    pub refused_total: u64,
    /// Duplicates confirmed without storing them.
    pub duplicate_total: u64,
}

/// How messages left a queue, where it was not a delivery to a consumer that acknowledges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Departures {
    /// Delivered to consumers, and settled by that.
    pub delivered_settled: u64,
    /// Fetched, to be acknowledged.
    pub fetched: u64,
    /// Fetched, and settled by that.
    pub fetched_settled: u64,
    /// Fetches that found nothing.
    pub fetched_nothing: u64,
}

impl Departures {
    /// The sum of both.
    #[must_use]
    pub fn and(self, other: Departures) -> Self {
        Departures {
            delivered_settled: self.delivered_settled + other.delivered_settled,
            fetched: self.fetched + other.fetched,
            fetched_settled: self.fetched_settled + other.fetched_settled,
            fetched_nothing: self.fetched_nothing + other.fetched_nothing,
        }
    }
}

impl QueueStats {
    /// Messages that wait: ready or delayed.
    pub fn waiting(&self) -> u64 {
        self.ready + self.delayed
    }

    /// Messages in the queue, whatever their state.
    pub fn messages(&self) -> u64 {
        self.ready + self.delayed + self.unacked + self.moving
    }
}
