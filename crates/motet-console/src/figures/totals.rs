//! Sums over a vhost and over the node.

use super::{Axis, Names, channel, queue};
use crate::node::{Node, NodeFigures};
use motet_core::conversation::Conversation;
use motet_core::core::{Core, Vhost};
use motet_core::engine::Engine;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many figures a vhost has: lengths, messages, bytes of its connections.
pub(crate) const VHOST_COUNT: usize = queue::LENGTHS + channel::COUNT + 2;
/// Where the messages of a vhost begin.
pub(crate) const VHOST_MESSAGES: usize = queue::LENGTHS;
/// Where the bytes of a vhost begin.
pub(crate) const VHOST_BYTES: usize = queue::LENGTHS + channel::COUNT;

/// Their names.
pub(crate) const VHOST: Names<VHOST_COUNT> = {
    let mut names = [("", Axis::Data); VHOST_COUNT];
    let mut at = 0;
    while at < VHOST_COUNT {
        names[at] = match at {
            0..VHOST_MESSAGES => queue::NAMES[at],
            VHOST_MESSAGES..VHOST_BYTES => channel::NAMES[at - VHOST_MESSAGES],
            _ => super::CONNECTION[at - VHOST_BYTES],
        };
        at += 1;
    }
    names
};

/// What comes and goes, of which there is no figure but how often.
pub(crate) const CHURN: Names<7> = [
    ("channel_closed", Axis::Messages),
    ("channel_created", Axis::Messages),
    ("connection_closed", Axis::Messages),
    ("connection_created", Axis::Messages),
    ("queue_created", Axis::Messages),
    ("queue_declared", Axis::Messages),
    ("queue_deleted", Axis::Messages),
];

/// How many figures the node has for its overview: those of all vhosts, and [`CHURN`].
pub(crate) const OVERVIEW_COUNT: usize = VHOST_COUNT + CHURN.len();
/// Where [`CHURN`] begins.
pub(crate) const OVERVIEW_CHURN: usize = VHOST_COUNT;
/// Their names.
pub(crate) const OVERVIEW: Names<OVERVIEW_COUNT> = {
    let mut names = [("", Axis::Data); OVERVIEW_COUNT];
    let mut at = 0;
    while at < OVERVIEW_COUNT {
        names[at] = if at < OVERVIEW_CHURN { VHOST[at] } else { CHURN[at - OVERVIEW_CHURN] };
        at += 1;
    }
    names
};

/// The same where they are told of the node: then they belong to its figures.
pub(crate) const OVERVIEW_OF_NODE: Names<OVERVIEW_COUNT> = {
    let mut names = OVERVIEW;
    let mut at = OVERVIEW_CHURN;
    while at < OVERVIEW_COUNT {
        names[at].1 = Axis::Node;
        at += 1;
    }
    names
};

/// How many figures the process has.
pub(crate) const NODE_COUNT: usize = 5;
/// Their names.
pub(crate) const NODE: Names<NODE_COUNT> = [
    ("disk_free", Axis::Node),
    ("fd_used", Axis::Node),
    ("mem_used", Axis::Node),
    ("proc_used", Axis::Node),
    ("sockets_used", Axis::Node),
];

/// What a vhost is made of, counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    /// In the order of [`VHOST`]; bytes are left at 0.
    pub(crate) figures: [u64; VHOST_COUNT],
    /// Queues.
    pub(crate) queues: u64,
    /// Their consumers.
    pub(crate) consumers: u64,
    /// Exchanges, the default one among them.
    pub(crate) exchanges: u64,
}

impl Totals {
    /// The sum of both.
    pub(crate) fn add(&mut self, other: &Totals) {
        self.figures.iter_mut().zip(other.figures).for_each(|(sum, more)| *sum += more);
        self.queues += other.queues;
        self.consumers += other.consumers;
        self.exchanges += other.exchanges;
    }
}

/// Confirmed, returned and dropped messages of channels that are open, by vhost.
pub(crate) type Publishing = HashMap<Arc<str>, [u64; 3]>;

/// Looks at every channel.
pub(crate) fn publishing(node: &dyn Node) -> Publishing {
    let mut all = Publishing::new();
    node.connections(&mut |seen| {
        if let Some(conversation) = &seen.conversation {
            note_publishing(&mut all, conversation);
        }
    });
    all
}

/// Looks at the channels of one connection.
pub(super) fn note_publishing(all: &mut Publishing, conversation: &Conversation) {
    for books in conversation.channels() {
        let sums = all.entry(conversation.vhost.clone()).or_default();
        let read = |figure: &AtomicU64| figure.load(Relaxed);
        let own = [&books.totals.confirmed, &books.totals.returned, &books.totals.dropped].map(read);
        sums.iter_mut().zip(own).for_each(|(sum, more)| *sum += more);
    }
}

/// What a vhost has come to, with what is gone.
pub(crate) fn of_vhost<E: Engine>(core: &Core<E>, vhost: &Vhost, publishing: &Publishing) -> Totals {
    let (books, past) = (vhost.books(), vhost.books().past());
    let read = |figure: &AtomicU64| figure.load(Relaxed);
    let mut totals = Totals::default();
    let mut exchanges = past.exchanges;
    {
        let topology = vhost.topology();
        for name in topology.exchange_names() {
            let figures = topology.exchange_books(name).map(|books| books.figures()).unwrap_or_default();
            exchanges.published_in += figures.published_in;
            exchanges.unroutable += figures.unroutable;
            totals.exchanges += 1;
        }
    }
    let gone = queue::moved(past.acked, past.delivered, past.redelivered, past.departures);
    let [mut messages, mut ready, mut unacked] = [0; 3];
    let [
        mut ack,
        mut deliver,
        mut deliver_get,
        mut deliver_no_ack,
        mut get,
        mut get_empty,
        mut get_no_ack,
        mut redeliver,
    ] = gone;
    for queue in core.queues(vhost) {
        let of = queue::of(&queue);
        (messages, ready, unacked) = (messages + of[0], ready + of[1], unacked + of[2]);
        (ack, deliver, deliver_get, deliver_no_ack) =
            (ack + of[3], deliver + of[4], deliver_get + of[5], deliver_no_ack + of[6]);
        (get, get_empty, get_no_ack, redeliver) =
            (get + of[7], get_empty + of[8], get_no_ack + of[9], redeliver + of[11]);
        totals.queues += 1;
        totals.consumers += queue.consumers();
    }
    let open = publishing.get(vhost.name()).copied().unwrap_or_default();
    let confirm = open[0] + read(&books.channels_past.confirmed);
    let returned = open[1] + read(&books.channels_past.returned);
    // Protocols without channels return nothing.
    let dropped = exchanges.unroutable.saturating_sub(returned);
    let publish = exchanges.published_in;
    totals.figures = [
        messages,
        ready,
        unacked,
        ack,
        confirm,
        deliver,
        deliver_get,
        deliver_no_ack,
        dropped,
        get,
        get_empty,
        get_no_ack,
        publish,
        redeliver,
        returned,
        0,
        0,
    ];
    totals
}

/// How often things came and went in these vhosts, in the order of [`CHURN`].
pub(crate) fn churn(vhosts: &[Arc<Vhost>], connections_total: u64, connections: u64) -> [u64; 7] {
    let sum = |of: fn(&motet_core::traffic::VhostBooks) -> &AtomicU64| {
        vhosts.iter().map(|vhost| of(vhost.books()).load(Relaxed)).sum::<u64>()
    };
    [
        sum(|books| &books.channels_closed),
        sum(|books| &books.channels_opened),
        connections_total.saturating_sub(connections),
        connections_total,
        sum(|books| &books.queues_created),
        sum(|books| &books.queues_declared),
        sum(|books| &books.queues_deleted),
    ]
}

/// The overview in the order of [`OVERVIEW`]. Deliveries of all protocols are in it, not only those of queues with a
/// name.
pub(crate) fn overview<E: Engine>(core: &Core<E>, all: &Totals, churn: [u64; 7]) -> [u64; OVERVIEW_COUNT] {
    let mut figures = [0; OVERVIEW_COUNT];
    figures[..OVERVIEW_CHURN].copy_from_slice(&all.figures);
    let messages = &mut figures[VHOST_MESSAGES..VHOST_BYTES];
    let at = |name: &str| channel::NAMES.iter().position(|(known, _)| *known == name).unwrap_or_default();
    let [deliver, deliver_get] = [at("deliver"), at("deliver_get")];
    let others: u64 = ["deliver_no_ack", "get", "get_no_ack"].map(|name| messages[at(name)]).iter().sum();
    let delivered = core.counters().delivered.load(Relaxed).max(messages[deliver_get]);
    messages[deliver_get] = delivered;
    messages[deliver] = delivered - others;
    figures[OVERVIEW_CHURN..].copy_from_slice(&churn);
    figures
}

/// The process in the order of [`NODE`].
pub(crate) fn node(process: &NodeFigures) -> [u64; NODE_COUNT] {
    [process.disk_free.0, process.files.0, process.memory.0, process.sockets.0, process.sockets.0]
}
