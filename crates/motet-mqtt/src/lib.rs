//! MQTT 3.1, 3.1.1 and 5.0 as a sans-IO machine over the core.
//!
//! ```text
//!  bytes ─▶ packet::frame ─▶ machine::Connection ─▶ Core: open_session, publish, subscribe, settle, note
//!  bytes ◀─ packet::Encode ◀────────┴──────────◀─ Core: mailbox, take, durable
//! ```
//! | room | what |
//! |---|---|
//! | [`packet`] | one file per packet with its codec |
//! | [`machine`] | what packets mean for a connection |
//! | `session` | what of it survives |
//! | [`mapping`] | MQTT messages and Motet messages: kept, translated, lost |
//! | `frames`, `aliases` | PUBLISH bytes, shared where they are the same; topics by number where they are not |
//! | [`sys`] | the server's figures as topics |
//! | [`bridge`] | a client on two sides: messages from and to another server |
//! | [`config`], [`error`] | what an operator decides; what a peer is told |
//!
//! Spoken: MQTT 3.1 (MQIsdp), 3.1.1 (OASIS 2014) and 5.0 (OASIS 2019). What is left out is in
//! `docs/protocols/mqtt.md`.

mod aliases;
pub mod bridge;
pub mod config;
pub mod error;
mod frames;
pub mod machine;
pub mod mapping;
pub mod packet;
mod session;
pub mod sys;

pub use config::Config;
pub use machine::Connection;
