//! What a local process costs: CPU time and memory, from `/proc`.

use std::time::Duration;

/// What a process has used up to a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// User and system time of all its threads.
    pub(crate) cpu: Duration,
    /// Resident memory.
    pub(crate) rss_bytes: u64,
}

/// Reads the process's figures; `None` when there is no such process, or none to see.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let memory = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = memory.split(' ').nth(1)?.parse().ok()?;
    Some(Usage { cpu: cpu(&stat)?, rss_bytes: pages * rustix::param::page_size() as u64 })
}

/// Fields 14 and 15 of proc(5)'s `stat`. The name, in parentheses, may hold spaces and parentheses itself.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let total = ticks()? + ticks()?;
    Some(Duration::from_secs_f64(total as f64 / rustix::param::clock_ticks_per_second() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_has_memory_and_an_impossible_one_nothing() {
        assert!(usage(std::process::id()).unwrap().rss_bytes > 100_000);
        assert_eq!(usage(u32::MAX), None);
    }

    #[test]
    fn a_name_with_parentheses_confuses_nobody() {
        let ticks = rustix::param::clock_ticks_per_second();
        let stat = format!("1 (a) b (c)) S 0 1 1 0 -1 4194560 20 30 40 50 {ticks} {ticks} 0 0 20 0");
        assert_eq!(cpu(&stat), Some(Duration::from_secs(2)));
    }
}
