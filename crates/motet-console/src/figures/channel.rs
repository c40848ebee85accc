//! What a channel has done.

use super::{Axis, Names};
use motet_core::conversation::ChannelBooks;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many figures a channel has.
pub(crate) const COUNT: usize = 12;
/// Their names; a vhost has the same.
pub(crate) const NAMES: Names<COUNT> = [
    ("ack", Axis::Messages),
    ("confirm", Axis::Messages),
    ("deliver", Axis::Messages),
    ("deliver_get", Axis::Messages),
    ("deliver_no_ack", Axis::Messages),
    ("drop_unroutable", Axis::Messages),
    ("get", Axis::Messages),
    ("get_empty", Axis::Messages),
    ("get_no_ack", Axis::Messages),
    ("publish", Axis::Messages),
    ("redeliver", Axis::Messages),
    ("return_unroutable", Axis::Messages),
];

/// The figures in the order of [`NAMES`].
pub(crate) fn of(books: &ChannelBooks) -> [u64; COUNT] {
    let read = |figure: &AtomicU64| figure.load(Relaxed);
    let (deliver, deliver_no_ack) = (read(&books.delivered_total), read(&books.delivered_settled_total));
    let (get, get_no_ack) = (read(&books.got_total), read(&books.got_settled_total));
    [
        read(&books.acked_total),
        read(&books.totals.confirmed),
        deliver,
        deliver + deliver_no_ack + get + get_no_ack,
        deliver_no_ack,
        read(&books.totals.dropped),
        get,
        read(&books.got_nothing_total),
        get_no_ack,
        read(&books.totals.published),
        read(&books.redelivered_total),
        read(&books.totals.returned),
    ]
}
