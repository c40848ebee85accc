//! Rates: what a figure was at the last two looks. The process looks every few seconds; nothing is counted for it.

use crate::node::Node;
use crate::resource::channels;
use motet_core::core::Core;
use motet_core::engine::{Engine, ObjectId};
use motet_core::queue::QueueStats;
use motet_core::time::Instant;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::Ordering;

/// Queues that are looked at; those beyond have no rates.
const QUEUES_MAX: usize = 10_000;

/// Connections that are looked at, with their channels; those beyond have no rates.
const CONNECTIONS_MAX: usize = 10_000;
/// Channels that are looked at.
const CHANNELS_MAX: usize = 20_000;

/// Figures by whose they are, at the last look, and how they changed since the one before.
#[derive(Debug)]
struct Looked<K, const N: usize> {
    before: HashMap<K, [u64; N]>,
    rates: HashMap<K, [f64; N]>,
}

impl<K, const N: usize> Default for Looked<K, N> {
    fn default() -> Self {
        Looked { before: HashMap::new(), rates: HashMap::new() }
    }
}

impl<K: Eq + Hash + Copy, const N: usize> Looked<K, N> {
    fn look(&mut self, now: HashMap<K, [u64; N]>, rate: impl Fn(u64, u64) -> f64) {
        let rates = now.iter().filter_map(|(key, figures)| {
            let before = self.before.get(key)?;
            Some((*key, std::array::from_fn(|at| rate(before[at], figures[at]))))
        });
        (self.rates, self.before) = (rates.collect(), now);
    }

    fn of(&self, key: K) -> [f64; N] {
        self.rates.get(&key).copied().unwrap_or([0.0; N])
    }
}

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
    /// Bytes received and sent, by the connection's number.
    connections: Looked<u64, 2>,
    /// What [`channels::figures`] tells, by the connection's number and the channel's.
    channels: Looked<(u64, u16), { channels::FIGURES }>,
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
    pub(crate) fn look<E: Engine>(&self, core: &Core<E>, node: &dyn Node, now: Instant) {
        let (mut connections, mut books_of) = (HashMap::new(), HashMap::new());
        node.connections(&mut |seen| {
            let Some(conversation) = seen.conversation.as_ref().filter(|_| connections.len() < CONNECTIONS_MAX) else {
                return;
            };
            connections.insert(seen.id, [seen.bytes.0, seen.bytes.1]);
            for books in conversation.channels().iter().take(CHANNELS_MAX.saturating_sub(books_of.len())) {
                books_of.insert((seen.id, books.number), channels::figures(books).map(|(_, figure)| figure));
            }
        });
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
        looks.connections.look(connections, rate);
        looks.channels.look(books_of, rate);
        (looks.at, looks.queues, looks.totals_before) = (Some(now), rates, totals);
        looks.before = queues.into_iter().collect();
    }

    pub(crate) fn of_queue(&self, id: ObjectId) -> QueueRates {
        self.0.lock().queues.get(&id).copied().unwrap_or_default()
    }

    /// Bytes received and sent per second.
    pub(crate) fn of_connection(&self, id: u64) -> [f64; 2] {
        self.0.lock().connections.of(id)
    }

    /// What [`channels::figures`] tells, per second.
    pub(crate) fn of_channel(&self, connection: u64, number: u16) -> [f64; channels::FIGURES] {
        self.0.lock().channels.of((connection, number))
    }

    pub(crate) fn totals(&self) -> Totals {
        self.0.lock().totals
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, connection};
    use motet_core::conversation::add;
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

    #[test]
    fn connections_and_their_channels_have_rates() {
        let bench = Bench::new();
        let seen = connection(1, "ann");
        let books = seen.conversation.as_ref().unwrap().channels()[0].clone();
        let before = seen.bytes;
        bench.node.connections.lock().push(seen);
        bench.api.look();
        add(&books.published_total, 10);
        add(&books.delivered_total, 5);
        add(&books.got_total, 5);
        bench.node.connections.lock()[0].bytes = (before.0 + 1_000, before.1 + 50);
        bench.node.wall_ms.fetch_add(5_000, Ordering::Relaxed);
        bench.api.look();
        let seen = &bench.get("/connections")[0];
        assert_eq!(seen["recv_oct_details"]["rate"], json!(200.0));
        assert_eq!(seen["send_oct_details"]["rate"], json!(10.0));
        let stats = &bench.get("/channels")[0]["message_stats"];
        for (figure, rate) in [("publish", 2.0), ("deliver", 1.0), ("get", 1.0), ("deliver_get", 2.0), ("ack", 0.0)] {
            assert_eq!(stats[format!("{figure}_details")]["rate"], json!(rate), "{figure}");
        }
    }
}
