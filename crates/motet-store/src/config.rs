//! The journal's settings and the reasons for their defaults.

use std::time::Duration;

/// Sizes and patience of one journal.
#[derive(Debug, Clone)]
pub struct Config {
    /// Bytes reserved for a segment. A batch larger than this gets a larger segment. Default 64 MiB: a roll costs two
    /// syncs, so it should be rare, and a segment is also the unit in which room is given back.
    pub segment_bytes: u64,
    /// Bytes staged and not yet durable at which [`crate::Journal::try_stage`] refuses. Default 256 MiB.
    pub pending_bytes_max: u64,
    /// How long the committer waits for company before it writes. Default zero: while one batch is being synced the
    /// next one gathers by itself.
    pub max_delay: Duration,
    /// How long to wait before a failed disk is tried again. Default 250 ms.
    pub retry_delay: Duration,
    /// Sealed segments that may hold live records before the oldest are rewritten into class files whatever they hold.
    /// Default 64: a backlog of 4 GiB is read from where it was written.
    pub segments_max: usize,
    /// Bytes of one class file. Default 64 MiB.
    pub class_bytes: u64,
    /// Bytes put by for what gives room back when the disk is full, never more than a segment; 0 for none. Default 16
    /// MiB: half a million acknowledgements.
    pub reserve_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            pending_bytes_max: 256 << 20,
            max_delay: Duration::ZERO,
            retry_delay: Duration::from_millis(250),
            segments_max: 64,
            class_bytes: 64 << 20,
            reserve_bytes: 16 << 20,
        }
    }
}
