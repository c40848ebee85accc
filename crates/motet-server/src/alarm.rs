//! Alarms: too little room on the disk, too much memory held. While one is raised, who publishes is not read from;
//! everybody else goes on, so that queues can drain.

use crate::house::House;
use crate::quotas::Told;
use motet_core::engine::Engine;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How often disk and memory are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An alarm ends only this much beyond its bound, in sixteenths of it, so that it does not flutter.
const SLACK: u64 = 16;

/// What is raised. Read by every connection that publishes, so it is one relaxed load.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    disk: AtomicBool,
    memory: AtomicBool,
    any: AtomicBool,
    disk_free: AtomicU64,
}

impl Alarms {
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Each by the name that metrics have.
    pub(crate) fn each(&self) -> [(&'static str, bool); 2] {
        [("disk", self.disk.load(Ordering::Relaxed)), ("memory", self.memory.load(Ordering::Relaxed))]
    }

    /// What is raised, as RabbitMQ's clients are told it.
    pub(crate) fn text(&self) -> &'static str {
        match (self.memory.load(Ordering::Relaxed), self.disk.load(Ordering::Relaxed)) {
            (true, true) => "low on memory & disk",
            (true, false) => "low on memory",
            (false, _) => "low on disk",
        }
    }

    /// Bytes that were free at the last look; 0 before it.
    pub(crate) fn disk_free(&self) -> u64 {
        self.disk_free.load(Ordering::Relaxed)
    }

    /// Compares what there is with its bounds. True when something changed.
    fn judge(&self, disk: Option<u64>, disk_free_min: u64, memory: Option<u64>, memory_max: Option<u64>) -> bool {
        let before = self.each();
        if let Some(free) = disk {
            self.disk_free.store(free, Ordering::Relaxed);
            let slack = if before[0].1 { disk_free_min / SLACK } else { 0 };
            self.disk.store(free < disk_free_min.saturating_add(slack), Ordering::Relaxed);
        }
        let slack = |max: u64| if before[1].1 { max / SLACK } else { 0 };
        let over = memory.zip(memory_max).is_some_and(|(held, max)| held > max - slack(max));
        self.memory.store(over, Ordering::Relaxed);
        let now = self.each();
        self.any.store(now.iter().any(|(_, raised)| *raised), Ordering::Relaxed);
        now != before
    }
}

#[cfg(test)]
impl Alarms {
    /// An alarm for a test.
    pub(crate) fn raise(&self, raised: bool) {
        self.any.store(raised, Ordering::Relaxed);
    }
}

/// Looks for ever.
pub(crate) async fn watch<E: Engine>(house: &House<E>, data_dir: &Path) {
    let mut told = Told::default();
    loop {
        look(house, data_dir);
        told.look(&house.core);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn look<E: Engine>(house: &House<E>, data_dir: &Path) {
    let limits = house.limits();
    let memory_max = limits.memory_max.map(|max| max.bytes());
    let memory = memory_max.and_then(|_| resident_bytes());
    if house.alarms.judge(free_bytes(data_dir), limits.disk_free_min.bytes(), memory, memory_max) {
        for (resource, raised) in house.alarms.each() {
            tracing::warn!(resource, raised, "publishers are held back while an alarm is raised");
        }
        // Who was held back may go on.
        house.registry.look_all();
    }
}

/// Bytes that we may still write where `data_dir` is.
fn free_bytes(data_dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(data_dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Memory that the process holds, where the system tells it; Linux does.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_raised_at_its_bound_and_ends_a_little_beyond() {
        let alarms = Alarms::default();
        assert!(!alarms.judge(Some(1600), 1600, Some(9), None));
        assert!(alarms.judge(Some(1599), 1600, None, None));
        assert_eq!((alarms.any(), alarms.each()[0]), (true, ("disk", true)));
        assert!(!alarms.judge(Some(1699), 1600, None, None), "not yet");
        assert!(alarms.judge(Some(1700), 1600, None, None));
        assert!(!alarms.any());
        assert!(alarms.judge(None, 1600, Some(1601), Some(1600)));
        assert!(!alarms.judge(None, 1600, Some(1501), Some(1600)), "not yet");
        assert!(alarms.judge(None, 1600, Some(1500), Some(1600)));
    }

    #[test]
    fn the_system_tells_what_is_free_and_what_is_held() {
        assert!(free_bytes(Path::new("/")).is_some());
        assert!(resident_bytes().is_some_and(|bytes| bytes > 100_000));
    }
}
