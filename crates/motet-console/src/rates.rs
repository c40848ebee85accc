//! Rates: what a figure was at the last two looks. The process looks every few seconds; nothing is counted for it.

use motet_core::core::Core;
use motet_core::engine::{Engine, ObjectId};
use motet_core::queue::QueueStats;
use motet_core::time::Instant;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::Ordering;

/// Queues that are looked at; those beyond have no rates.
const QUEUES_MAX: usize = 10_000;

/// What is known of the last looks.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<Looks>);

#[derive(Debug, Default)]
struct Looks {
    /// When the last one was.
    at: Option<Instant>,
    before: HashMap<ObjectId, QueueStats>,
    queues: HashMap<ObjectId, QueueRates>,
    totals_before: [u64; 3],
    totals: Totals,
}

/// Changes of a queue per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct QueueRates {
    pub(crate) messages: f64,
    pub(crate) ready: f64,
    pub(crate) unacked: f64,
    pub(crate) enqueued: f64,
    pub(crate) delivered: f64,
    pub(crate) redelivered: f64,
    pub(crate) acked: f64,
}

/// Messages of the whole node per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Totals {
    pub(crate) published: f64,
    pub(crate) delivered: f64,
    pub(crate) unroutable: f64,
}

impl Rates {
    /// Looks at everything.
    pub(crate) fn look<E: Engine>(&self, core: &Core<E>, now: Instant) {
        let mut queues = Vec::new();
        for queue in core.vhosts().iter().flat_map(|vhost| core.queues(vhost)).take(QUEUES_MAX) {
            queues.push((queue.cell().id(), queue.stats()));
        }
        let counters = core.counters();
        let totals = [&counters.published, &counters.delivered, &counters.unroutable];
        let totals = totals.map(|counter| counter.load(Ordering::Relaxed));
        let mut looks = self.0.lock();
        let secs = looks.at.map_or(0.0, |at| now.since(at).as_secs_f64());
        let rate = |before: u64, now: u64| if secs > 0.0 { (now as f64 - before as f64) / secs } else { 0.0 };
        let rates = queues.iter().filter_map(|(id, stats)| {
            let before = looks.before.get(id)?;
            let pair = |of: fn(&QueueStats) -> u64| rate(of(before), of(stats));
            let rates = QueueRates {
                messages: pair(QueueStats::messages),
                ready: pair(QueueStats::waiting),
                unacked: pair(|stats| stats.unacked),
                enqueued: pair(|stats| stats.enqueued_total),
                delivered: pair(|stats| stats.delivered_total),
                redelivered: pair(|stats| stats.redelivered_total),
                acked: pair(|stats| stats.acked_total),
            };
            Some((*id, rates))
        });
        let rates = rates.collect();
        let [published, delivered, unroutable] = totals;
        looks.totals = Totals {
            published: rate(looks.totals_before[0], published),
            delivered: rate(looks.totals_before[1], delivered),
            unroutable: rate(looks.totals_before[2], unroutable),
        };
        if looks.at.is_none() {
            looks.totals = Totals::default();
        }
        (looks.at, looks.queues, looks.totals_before) = (Some(now), rates, totals);
        looks.before = queues.into_iter().collect();
    }

    pub(crate) fn of_queue(&self, id: ObjectId) -> QueueRates {
        self.0.lock().queues.get(&id).copied().unwrap_or_default()
    }

    pub(crate) fn totals(&self) -> Totals {
        self.0.lock().totals
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::json;
    use std::sync::atomic::Ordering;

    #[test]
    fn a_rate_is_what_changed_between_two_looks() {
        let bench = Bench::new();
        bench.ask("PUT", "/queues/%2F/q", "{}");
        bench.api.look();
        let message = r#"{"properties":{},"routing_key":"q","payload":"x","payload_encoding":"string"}"#;
        for _ in 0..10 {
            bench.ask("POST", "/exchanges/%2F/amq.default/publish", message);
        }
        bench.node.wall_ms.fetch_add(5_000, Ordering::Relaxed);
        bench.api.look();
        let queue = bench.get("/queues/%2F/q");
        assert_eq!(queue["message_stats"]["publish_details"]["rate"], json!(2.0));
        assert_eq!(queue["messages_details"]["rate"], json!(2.0));
        assert_eq!(bench.get("/overview")["message_stats"]["publish_details"]["rate"], json!(2.0));
    }
}
