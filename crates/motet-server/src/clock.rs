//! The two clocks, read once per turn. The only place in the house that asks the system what time it is.

use motet_core::time::{Instant, Now, WallMillis};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Monotonic time since the server started, and the wall clock derived from it.
#[derive(Debug)]
pub(crate) struct Clock {
    start: std::time::Instant,
    /// Wall milliseconds at `start`; corrected by [`Clock::resync`] when an operator or NTP sets the system clock.
    wall_at_start: AtomicU64,
    /// Only tests make time pass.
    ahead_nanos: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let clock = Clock {
            start: std::time::Instant::now(),
            wall_at_start: AtomicU64::new(0),
            ahead_nanos: AtomicU64::new(0),
        };
        clock.resync();
        clock
    }

    fn nanos(&self) -> u64 {
        let elapsed = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        elapsed.saturating_add(self.ahead_nanos.load(Ordering::Relaxed))
    }

    /// Both clocks, from one look at the monotonic one.
    pub(crate) fn now(&self) -> Now {
        let nanos = self.nanos();
        let wall = self.wall_at_start.load(Ordering::Relaxed).saturating_add(nanos / 1_000_000);
        Now { instant: Instant::from_nanos(nanos), wall: WallMillis(wall) }
    }

    /// Follows a step of the system clock.
    pub(crate) fn resync(&self) {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.wall_at_start.store(wall.saturating_sub(elapsed), Ordering::Relaxed);
    }

    /// Lets time pass without waiting for it.
    #[cfg(test)]
    pub(crate) fn advance(&self, by: std::time::Duration) {
        self.ahead_nanos.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn both_clocks_advance_together() {
        let clock = Clock::new();
        let before = clock.now();
        clock.advance(Duration::from_secs(5));
        let after = clock.now();
        assert!(after.instant.since(before.instant) >= Duration::from_secs(5));
        assert!(after.wall.0 - before.wall.0 >= 5000);
        clock.resync();
        assert!(clock.now().wall.0 >= after.wall.0 - 1);
    }
}
