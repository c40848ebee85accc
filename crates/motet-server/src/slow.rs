//! Subscribers that do not take what they asked for: who they are, in the log.

use crate::config::SlowSubscriber as Policy;
use crate::house::House;
use crate::registry::Handle;
use crate::telemetry::{Event, SlowSubscriber};
use motet_core::engine::Engine;
use motet_core::mailbox::Overflow;

/// Lines of one report; the rest is summed up.
const LINES_MAX: usize = 10;

/// What a mailbox does at its bound.
pub(crate) fn overflow(policy: Policy) -> Overflow {
    match policy {
        Policy::DropNewest => Overflow::DropNewest,
        Policy::DropOldest => Overflow::DropOldest,
        Policy::Conflate => Overflow::Conflate,
        Policy::Disconnect => Overflow::Disconnect,
    }
}

/// Names those for whom messages were dropped since the last report, the worst first.
pub(crate) fn report<E: Engine>(house: &House<E>) {
    let mut slow = Vec::new();
    house.registry.each(|handle| slow.extend(news(handle)));
    slow.sort_by_key(|slow: &SlowSubscriber| std::cmp::Reverse(slow.dropped));
    let more = slow.len().saturating_sub(LINES_MAX) as u64;
    for line in slow.into_iter().take(LINES_MAX) {
        SlowSubscriber { more, ..line }.emit(&house.counters);
    }
}

/// The last report of a connection that ends.
pub(crate) fn report_one<E: Engine>(house: &House<E>, handle: &Handle) {
    if let Some(slow) = news(handle) {
        slow.emit(&house.counters);
    }
}

fn news(handle: &Handle) -> Option<SlowSubscriber> {
    let dropped = handle.newly_dropped();
    let mailbox = &handle.mailbox;
    (dropped > 0).then(|| SlowSubscriber { client: mailbox.owner(), dropped, waiting: mailbox.bytes(), more: 0 })
}
