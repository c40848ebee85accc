//! Figures: what is counted of each kind of object, under RabbitMQ's names, how fast it changes, and how it was before.
//!
//! ```text
//!  every few seconds: look ─▶ figures of everything ─▶ rates (two looks)   ─▶ "publish_details": {"rate": 2.0}
//!                                                 └──▶ history (rings)     ─▶ "samples", "avg", "avg_rate"
//!  a request: what is now ─▶ "publish": 10
//! ```
//!
//! | file | idea |
//! |---|---|
//! | `queue.rs`, `channel.rs`, `totals.rs` | what is now, of one object, or summed up over a vhost or the node |
//! | `looks.rs` | the last two looks, and the histories |
//! | `history.rs` | how figures were, in rings of bounded length |
//! | `span.rs` | how much of that a query asks for |

pub(crate) mod channel;
mod history;
mod looks;
pub(crate) mod queue;
mod span;
pub(crate) mod totals;

pub(crate) use looks::{Looks, exchange};
pub(crate) use span::Spans;

use motet_core::time::Now;
use serde_json::{Map, Value, json};

/// By which parameters of a query a figure's history is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    /// `lengths_age`, `lengths_incr`.
    Lengths,
    /// `msg_rates_age`, `msg_rates_incr`.
    Messages,
    /// `data_rates_age`, `data_rates_incr`.
    Data,
    /// `node_stats_age`, `node_stats_incr`.
    Node,
}

/// The names of figures that are told together, each with its axis.
pub(crate) type Names<const N: usize> = [(&'static str, Axis); N];

/// Of an exchange.
pub(crate) const EXCHANGE: Names<2> = [("publish_in", Axis::Messages), ("publish_out", Axis::Messages)];
/// Of a connection: bytes received and sent.
pub(crate) const CONNECTION: Names<2> = [("recv_oct", Axis::Data), ("send_oct", Axis::Data)];

/// Writes figures with their details beside them.
pub(crate) fn write<const N: usize>(
    into: &mut Map<String, Value>,
    names: &[(&'static str, Axis)],
    figures: &[u64],
    details: &[Value; N],
) {
    for (((name, _), figure), details) in names.iter().zip(figures).zip(details) {
        into.insert((*name).into(), json!(figure));
        into.insert(format!("{name}_details"), details.clone());
    }
}

/// Figures that are not counted here, under names that dashboards ask for.
pub(crate) fn write_nothing(into: &mut Map<String, Value>, names: &[&str], axis: Axis, spans: &Spans, now: Now) {
    for name in names {
        let [details] = looks::details(&[("", axis)], &[0.0], None, spans, now);
        into.insert((*name).into(), json!(0));
        into.insert(format!("{name}_details"), details);
    }
}
