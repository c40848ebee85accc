//! AMQP-shaped scenarios over the core and the fake engine, without sockets, disk or clock: a sentence each.
//!
//! `bench.rs` is one connection's side of it.
#![allow(clippy::unwrap_used)]

mod bench;
mod crashes;
mod dead_letters;
mod declarations;
mod delayed;
mod duplicates;
mod figures;
mod queues;
mod routing;
mod streams;
mod transactions;
mod tree;
