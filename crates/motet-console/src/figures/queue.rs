//! What a queue has now.

use super::{Axis, Names};
use motet_core::core::broker::NamedQueue;
use motet_core::queue::Departures;

/// Messages by state, which are the first ones of [`NAMES`].
pub(crate) const LENGTHS: usize = 3;
/// How many figures a queue has.
pub(crate) const COUNT: usize = 12;
/// Their names.
pub(crate) const NAMES: Names<COUNT> = [
    ("messages", Axis::Lengths),
    ("messages_ready", Axis::Lengths),
    ("messages_unacknowledged", Axis::Lengths),
    ("ack", Axis::Messages),
    ("deliver", Axis::Messages),
    ("deliver_get", Axis::Messages),
    ("deliver_no_ack", Axis::Messages),
    ("get", Axis::Messages),
    ("get_empty", Axis::Messages),
    ("get_no_ack", Axis::Messages),
    ("publish", Axis::Messages),
    ("redeliver", Axis::Messages),
];

/// The figures in the order of [`NAMES`].
pub(crate) fn of(queue: &NamedQueue) -> [u64; COUNT] {
    let (stats, departures) = queue.figures();
    let kept = queue.offsets().map(|(first, next)| next - first);
    let [ready, unacked] = [kept.unwrap_or(stats.waiting()), stats.unacked];
    let messages = kept.unwrap_or(stats.messages());
    let gone = moved(stats.acked_total, stats.delivered_total, stats.redelivered_total, departures);
    let [ack, deliver, deliver_get, deliver_no_ack, get, get_empty, get_no_ack, redeliver] = gone;
    let publish = stats.enqueued_total;
    [
        messages,
        ready,
        unacked,
        ack,
        deliver,
        deliver_get,
        deliver_no_ack,
        get,
        get_empty,
        get_no_ack,
        publish,
        redeliver,
    ]
}

/// The ways out of a queue as RabbitMQ counts them: `ack`, `deliver`, `deliver_get`, `deliver_no_ack`, `get`,
/// `get_empty`, `get_no_ack`, `redeliver`.
pub(crate) fn moved(acked: u64, delivered: u64, redelivered: u64, departures: Departures) -> [u64; 8] {
    let Departures { delivered_settled, fetched, fetched_settled, fetched_nothing } = departures;
    let settled_by_taking = delivered_settled + fetched_settled;
    [
        acked.saturating_sub(settled_by_taking),
        delivered.saturating_sub(settled_by_taking + fetched),
        delivered,
        delivered_settled,
        fetched,
        fetched_nothing,
        fetched_settled,
        redelivered,
    ]
}
