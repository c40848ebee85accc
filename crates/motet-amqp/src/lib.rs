//! AMQP as a sans-IO machine over the core; each version is a folder, and they know nothing of one another.
//!
//! ```text
//!  bytes ─▶ packet::frame ─▶ machine::Connection ─▶ Core: declare, bind, publish, consume, settle
//!  bytes ◀─ packet::write ◀─────────┴───────────◀─ Core: mailbox, take, durable
//! ```
//! | room | what |
//! |---|---|
//! | [`v091`] | AMQP 0-9-1 with the extensions that RabbitMQ made common |
//!
//! What is spoken and what differs is in `docs/protocols/amqp.md`.

pub mod v091;

pub use v091::{Config, Connection};
