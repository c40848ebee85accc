//! AMQP-shaped scenarios over exchanges, queues, dead letters and transactions together, without sockets, disk or clock.
//!
//! `broker.rs` is the glue: what the core does around these values, small enough to read, with a journal that records what would be
//! staged. The other files are scenarios, a sentence each.
#![allow(clippy::unwrap_used)]

mod broker;
mod dead_letters;
mod queues;
mod routing;
mod transactions;
