//! The last two looks at everything, for rates, and the histories. The process looks every few seconds; nothing is
//! counted for it.

use super::history::{History, OF_NODE, OF_QUEUE};
use super::totals::{self, Totals};
use super::{Axis, CONNECTION, EXCHANGE, Names, Spans, channel, queue};
use crate::node::{Node, NodeFigures};
use bytes::Bytes;
use motet_core::core::Core;
use motet_core::engine::{Engine, ObjectId};
use motet_core::time::{Instant, Now};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

/// Queues that are looked at; those beyond have no rates.
const QUEUES_MAX: usize = 10_000;
/// Exchanges that are looked at; those beyond have no rates.
const EXCHANGES_MAX: usize = 10_000;
/// Connections that are looked at, with their channels; those beyond have no rates.
const CONNECTIONS_MAX: usize = 10_000;
/// Channels that are looked at.
const CHANNELS_MAX: usize = 20_000;
/// Queues with a history: the first that ever had a message. They take 20 KiB at most, and next to nothing at rest.
const QUEUE_HISTORIES_MAX: usize = 1_000;
/// Vhosts with a history. They take 45 KiB at most.
const VHOST_HISTORIES_MAX: usize = 100;

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

impl<K: Eq + Hash + Clone, const N: usize> Looked<K, N> {
    /// `secs` have passed since the look before; 0 where there was none.
    fn look(&mut self, names: &Names<N>, now: HashMap<K, [u64; N]>, secs: f64) {
        let rates = now.iter().filter_map(|(key, figures)| {
            let before = self.before.get(key).filter(|_| secs > 0.0)?;
            let rate = |at: usize| {
                let rate = (figures[at] as f64 - before[at] as f64) / secs;
                match names[at].1 {
                    Axis::Lengths | Axis::Node => rate,
                    // What only grows was begun anew.
                    Axis::Messages | Axis::Data => rate.max(0.0),
                }
            };
            Some((key.clone(), std::array::from_fn(rate)))
        });
        (self.rates, self.before) = (rates.collect(), now);
    }

    fn rates(&self, key: &K) -> [f64; N] {
        self.rates.get(key).copied().unwrap_or([0.0; N])
    }

    /// Rates alone, as details.
    fn details(&self, key: &K) -> [Value; N] {
        self.rates(key).map(|rate| json!({ "rate": rate }))
    }
}

/// What is known of the last looks.
#[derive(Debug, Default)]
pub(crate) struct Looks(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// When the last look was.
    at: Option<Instant>,
    queues: Looked<ObjectId, { queue::COUNT }>,
    queue_histories: HashMap<ObjectId, History<{ queue::COUNT }>>,
    exchanges: Looked<(Arc<str>, Bytes), 2>,
    connections: Looked<u64, 2>,
    vhost_of: HashMap<u64, Arc<str>>,
    channels: Looked<(u64, u16), { channel::COUNT }>,
    vhosts: Looked<Arc<str>, { totals::VHOST_COUNT }>,
    vhost_histories: HashMap<Arc<str>, History<{ totals::VHOST_COUNT }>>,
    /// Bytes of connections that are over.
    bytes_past: HashMap<Arc<str>, [u64; 2]>,
    node: Looked<(), { totals::NODE_COUNT }>,
    node_history: Option<History<{ totals::NODE_COUNT }>>,
    overview: Looked<(), { totals::OVERVIEW_COUNT }>,
    overview_history: Option<History<{ totals::OVERVIEW_COUNT }>>,
}

/// What connections had at one look.
#[derive(Default)]
struct Connections {
    bytes: HashMap<u64, [u64; 2]>,
    vhost_of: HashMap<u64, Arc<str>>,
    channels: HashMap<(u64, u16), [u64; channel::COUNT]>,
    publishing: totals::Publishing,
    count: u64,
}

impl Connections {
    fn seen(node: &dyn Node) -> Self {
        let mut all = Connections::default();
        node.connections(&mut |seen| {
            let Some(conversation) = seen.conversation.as_ref() else { return };
            all.count += 1;
            totals::note_publishing(&mut all.publishing, conversation);
            if all.bytes.len() >= CONNECTIONS_MAX {
                return;
            }
            all.bytes.insert(seen.id, [seen.bytes.0, seen.bytes.1]);
            all.vhost_of.insert(seen.id, conversation.vhost.clone());
            for books in conversation.channels().iter().take(CHANNELS_MAX.saturating_sub(all.channels.len())) {
                all.channels.insert((seen.id, books.number), channel::of(books));
            }
        });
        all
    }
}

impl Looks {
    /// Looks at everything.
    pub(crate) fn look<E: Engine>(&self, core: &Core<E>, node: &dyn Node, now: Now) {
        let (connections, process) = (Connections::seen(node), node.figures());
        let (mut queues, mut exchanges) = (HashMap::new(), HashMap::new());
        let mut sums = HashMap::new();
        let vhosts = core.vhosts();
        for vhost in &vhosts {
            sums.insert(vhost.name().clone(), totals::of_vhost(core, vhost, &connections.publishing));
            for queue in core.queues(vhost).iter().take(QUEUES_MAX - queues.len()) {
                queues.insert(queue.cell().id(), queue::of(queue));
            }
            let topology = vhost.topology();
            for name in topology.exchange_names().take(EXCHANGES_MAX - exchanges.len()) {
                exchanges.insert((vhost.name().clone(), name.clone()), exchange(&topology, name));
            }
        }
        let churn = totals::churn(&vhosts, process.connections_total, connections.count);
        let mut known = self.0.lock();
        let secs = known.at.map_or(0.0, |at| now.instant.since(at).as_secs_f64());
        known.note_connections(connections, secs);
        known.note_vhosts(&sums, now, secs);
        known.note_queues(queues, now, secs);
        known.exchanges.look(&EXCHANGE, exchanges, secs);
        known.note_node(core, &sums, churn, &process, now, secs);
        known.at = Some(now.instant);
    }

    /// Details of a queue.
    pub(crate) fn queue(&self, id: ObjectId, spans: &Spans, now: Now) -> [Value; queue::COUNT] {
        let known = self.0.lock();
        details(&queue::NAMES, &known.queues.rates(&id), known.queue_histories.get(&id), spans, now)
    }

    /// Details of an exchange.
    pub(crate) fn exchange(&self, vhost: &Arc<str>, name: &Bytes) -> [Value; 2] {
        self.0.lock().exchanges.details(&(vhost.clone(), name.clone()))
    }

    /// Details of a connection's bytes.
    pub(crate) fn connection(&self, id: u64) -> [Value; 2] {
        self.0.lock().connections.details(&id)
    }

    /// Details of a channel.
    pub(crate) fn channel(&self, connection: u64, number: u16) -> [Value; channel::COUNT] {
        self.0.lock().channels.details(&(connection, number))
    }

    /// Details of a vhost, and the bytes of its connections at the last look.
    pub(crate) fn vhost(&self, name: &Arc<str>, spans: &Spans, now: Now) -> ([Value; totals::VHOST_COUNT], [u64; 2]) {
        let known = self.0.lock();
        let told = details(&totals::VHOST, &known.vhosts.rates(name), known.vhost_histories.get(name), spans, now);
        (told, known.bytes_of(name))
    }

    /// Details of the overview, under these names.
    pub(crate) fn overview(
        &self,
        names: &Names<{ totals::OVERVIEW_COUNT }>,
        spans: &Spans,
        now: Now,
    ) -> [Value; totals::OVERVIEW_COUNT] {
        let known = self.0.lock();
        details(names, &known.overview.rates(&()), known.overview_history.as_ref(), spans, now)
    }

    /// Rates summed up over vhosts, for whoever does not see all of them.
    pub(crate) fn of_vhosts(&self, names: &[Arc<str>]) -> [Value; totals::VHOST_COUNT] {
        let known = self.0.lock();
        let rates: Vec<_> = names.iter().map(|name| known.vhosts.rates(name)).collect();
        std::array::from_fn(|at| json!({ "rate": rates.iter().map(|rates| rates[at]).sum::<f64>() }))
    }

    /// Details of the process.
    pub(crate) fn node(&self, spans: &Spans, now: Now) -> [Value; totals::NODE_COUNT] {
        let known = self.0.lock();
        details(&totals::NODE, &known.node.rates(&()), known.node_history.as_ref(), spans, now)
    }
}

/// The figures of an exchange, in the order of [`EXCHANGE`].
pub(crate) fn exchange<Q>(topology: &motet_core::exchange::Topology<Q>, name: &[u8]) -> [u64; 2] {
    let figures = topology.exchange_books(name).map(|books| books.figures()).unwrap_or_default();
    [figures.published_in, figures.published_out]
}

/// Rates, and the history along those axes that are asked for.
pub(super) fn details<const N: usize>(
    names: &Names<N>,
    rates: &[f64; N],
    history: Option<&History<N>>,
    spans: &Spans,
    now: Now,
) -> [Value; N] {
    let now_secs = now.wall.0 / 1_000;
    std::array::from_fn(|at| match spans.of(names[at].1) {
        None => json!({ "rate": rates[at] }),
        Some(span) => match history {
            Some(history) => history.details(at, now_secs, span, rates[at]),
            None => History::<N>::beginning(&OF_QUEUE, now_secs).details(at, now_secs, span, rates[at]),
        },
    })
}

impl Known {
    fn note_connections(&mut self, seen: Connections, secs: f64) {
        for (id, bytes) in &self.connections.before {
            if let (false, Some(vhost)) = (seen.bytes.contains_key(id), self.vhost_of.get(id)) {
                let past = self.bytes_past.entry(vhost.clone()).or_default();
                past.iter_mut().zip(bytes).for_each(|(past, more)| *past += more);
            }
        }
        self.connections.look(&CONNECTION, seen.bytes, secs);
        self.channels.look(&channel::NAMES, seen.channels, secs);
        self.vhost_of = seen.vhost_of;
    }

    fn note_vhosts(&mut self, sums: &HashMap<Arc<str>, Totals>, now: Now, secs: f64) {
        self.bytes_past.retain(|name, _| sums.contains_key(name));
        self.vhost_histories.retain(|name, _| sums.contains_key(name));
        let mut bytes = self.bytes_past.clone();
        for (id, own) in &self.connections.before {
            if let Some(vhost) = self.vhost_of.get(id) {
                let sum = bytes.entry(vhost.clone()).or_default();
                sum.iter_mut().zip(own).for_each(|(sum, more)| *sum += more);
            }
        }
        let figures: HashMap<_, _> = sums
            .iter()
            .map(|(name, totals)| {
                let mut figures = totals.figures;
                figures[totals::VHOST_BYTES..].copy_from_slice(&bytes.get(name).copied().unwrap_or_default());
                (name.clone(), figures)
            })
            .collect();
        let now_secs = now.wall.0 / 1_000;
        for (name, figures) in &figures {
            let room = self.vhost_histories.len() < VHOST_HISTORIES_MAX;
            match self.vhost_histories.entry(name.clone()) {
                Entry::Occupied(mut known) => known.get_mut().note(now_secs, figures),
                Entry::Vacant(place) if room => {
                    place.insert(History::beginning(&OF_NODE, now_secs)).note(now_secs, figures);
                }
                Entry::Vacant(_) => {}
            }
        }
        self.vhosts.look(&totals::VHOST, figures, secs);
    }

    fn bytes_of(&self, vhost: &Arc<str>) -> [u64; 2] {
        self.vhosts.before.get(vhost).map_or([0; 2], |figures| [0, 1].map(|at| figures[totals::VHOST_BYTES + at]))
    }

    fn note_queues(&mut self, queues: HashMap<ObjectId, [u64; queue::COUNT]>, now: Now, secs: f64) {
        self.queue_histories.retain(|id, _| queues.contains_key(id));
        let now_secs = now.wall.0 / 1_000;
        for (id, figures) in &queues {
            let room = self.queue_histories.len() < QUEUE_HISTORIES_MAX && figures.iter().any(|figure| *figure > 0);
            match self.queue_histories.entry(*id) {
                Entry::Occupied(mut known) => known.get_mut().note(now_secs, figures),
                Entry::Vacant(place) if room => {
                    place.insert(History::beginning(&OF_QUEUE, now_secs)).note(now_secs, figures);
                }
                Entry::Vacant(_) => {}
            }
        }
        self.queues.look(&queue::NAMES, queues, secs);
    }

    fn note_node<E: Engine>(
        &mut self,
        core: &Core<E>,
        sums: &HashMap<Arc<str>, Totals>,
        churn: [u64; 7],
        process: &NodeFigures,
        now: Now,
        secs: f64,
    ) {
        let mut all = Totals::default();
        sums.values().for_each(|one| all.add(one));
        let bytes = self.vhosts.before.values().fold([0; 2], |sum: [u64; 2], figures| {
            std::array::from_fn(|at| sum[at] + figures[totals::VHOST_BYTES + at])
        });
        all.figures[totals::VHOST_BYTES..].copy_from_slice(&bytes);
        let (overview, node) = (totals::overview(core, &all, churn), totals::node(process));
        let now_secs = now.wall.0 / 1_000;
        let begin = || History::beginning(&OF_NODE, now_secs);
        self.overview_history.get_or_insert_with(begin).note(now_secs, &overview);
        let begin = || History::beginning(&OF_NODE, now_secs);
        self.node_history.get_or_insert_with(begin).note(now_secs, &node);
        self.overview.look(&totals::OVERVIEW, HashMap::from([((), overview)]), secs);
        self.node.look(&totals::NODE, HashMap::from([((), node)]), secs);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, connection};
    use motet_core::conversation::add;
    use serde_json::json;
    use std::sync::atomic::Ordering;

    fn publish(bench: &Bench, times: usize) {
        let message = r#"{"properties":{},"routing_key":"q","payload":"x","payload_encoding":"string"}"#;
        for _ in 0..times {
            bench.ask("POST", "/exchanges/%2F/amq.default/publish", message);
        }
    }

    #[test]
    fn a_rate_is_what_changed_between_two_looks() {
        let bench = Bench::new();
        bench.ask("PUT", "/queues/%2F/q", "{}");
        bench.api.look();
        publish(&bench, 10);
        bench.node.wall_ms.fetch_add(5_000, Ordering::Relaxed);
        bench.api.look();
        let queue = bench.get("/queues/%2F/q");
        assert_eq!(queue["message_stats"]["publish_details"]["rate"], json!(2.0));
        assert_eq!(queue["messages_details"]["rate"], json!(2.0));
        assert_eq!(bench.get("/overview")["message_stats"]["publish_details"]["rate"], json!(2.0));
        assert_eq!(bench.get("/vhosts/%2F")["message_stats"]["publish_details"]["rate"], json!(2.0));
        let exchange = &bench.get("/exchanges/%2F/amq.default")["message_stats"];
        assert_eq!((&exchange["publish_in"], &exchange["publish_out"]), (&json!(10), &json!(10)));
        assert_eq!(exchange["publish_in_details"]["rate"], json!(2.0));
    }

    #[test]
    fn a_history_is_told_to_those_who_ask_for_it() {
        let bench = Bench::new();
        bench.ask("PUT", "/queues/%2F/q", "{}");
        for _ in 0..3 {
            publish(&bench, 10);
            bench.api.look();
            bench.node.wall_ms.fetch_add(5_000, Ordering::Relaxed);
        }
        let query = "lengths_age=10&lengths_incr=5&msg_rates_age=10&msg_rates_incr=5";
        let samples = |path: &str, pointer: &str| {
            let told = bench.get(&format!("{path}?{query}"));
            let found = told.pointer(pointer).unwrap_or_else(|| panic!("{path} has {pointer}: {told}")).clone();
            let list = found["samples"].as_array().unwrap().clone();
            assert!(found["avg"].is_number() && found["avg_rate"].is_number() && found["rate"].is_number(), "{found}");
            list.iter().map(|one| one["sample"].as_u64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(samples("/queues/%2F/q", "/messages_details"), [30, 30, 20]);
        assert_eq!(samples("/queues/%2F", "/0/message_stats/publish_details"), [30, 30, 20]);
        assert_eq!(samples("/vhosts/%2F", "/message_stats/publish_details"), [30, 30, 20]);
        assert_eq!(samples("/overview", "/queue_totals/messages_ready_details"), [30, 30, 20]);
        let node = bench.get("/nodes/motet@here?node_stats_age=10&node_stats_incr=5");
        assert_eq!(node["mem_used_details"]["samples"].as_array().unwrap().len(), 3);
        assert!(bench.get("/queues/%2F/q")["messages_details"]["samples"].is_null());
    }

    #[test]
    fn connections_and_their_channels_have_rates() {
        let bench = Bench::new();
        let seen = connection(1, "ann");
        let books = seen.conversation.as_ref().unwrap().channels()[0].clone();
        let before = seen.bytes;
        bench.node.connections.lock().push(seen);
        bench.api.look();
        add(&books.totals.published, 10);
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

    #[test]
    fn bytes_of_a_vhost_never_shrink() {
        let bench = Bench::new();
        bench.node.connections.lock().push(connection(1, "ann"));
        bench.api.look();
        assert_eq!(bench.get("/vhosts/%2F")["recv_oct"], 10);
        bench.node.connections.lock().clear();
        bench.node.connections.lock().push(connection(2, "ann"));
        bench.api.look();
        let vhost = bench.get("/vhosts/%2F");
        assert_eq!((&vhost["recv_oct"], &vhost["send_oct"]), (&json!(20), &json!(40)));
    }
}
