//! Nanoseconds since the run began: what payloads carry, since sender and receiver are one process.

use std::time::{Duration, Instant};

/// The clock of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Clock(Instant::now())
    }

    /// Now.
    pub(crate) fn nanos(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }

    /// When it is `nanos`.
    pub(crate) fn at(self, nanos: u64) -> Instant {
        self.0 + Duration::from_nanos(nanos)
    }
}
