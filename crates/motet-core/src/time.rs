//! Time as an argument: the core never asks a clock.
//!
//! [`Instant`] orders and measures (monotonic, starts with the process), [`WallMillis`] is what may be written to
//! disk. The driver reads both clocks once per turn and hands them in as [`Now`].

use std::time::Duration;

/// Monotonic nanoseconds since the driver started. Comparable within one process only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The moment the driver's clock began.
    pub const START: Instant = Instant(0);

    /// The instant `nanos` nanoseconds after the driver's clock began.
    pub const fn from_nanos(nanos: u64) -> Self {
        Instant(nanos)
    }

    /// Nanoseconds since the driver's clock began.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, rhs: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Milliseconds since the Unix epoch. Deadlines on disk are absolute and of this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallMillis(pub u64);

impl WallMillis {
    /// The moment `duration` later, saturating at the end of time.
    pub fn after(self, duration: Duration) -> WallMillis {
        WallMillis(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Both clocks, read once per turn by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// For measuring and for deadlines in memory.
    pub instant: Instant,
    /// For what is written down and for what other nodes or clients may see.
    pub wall: WallMillis,
}
