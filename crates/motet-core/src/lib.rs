//! The heart of Motet: names, messages, routes, queues, sessions. It knows no protocol, socket, runtime or clock.
//!
//! ```text
//!            Machine (a protocol crate)                     Engine (motet-store)
//!   bytes ──▶│ publish  subscribe  settle │──▶ Core ──stage──▶│ append, durable │
//!   bytes ◀──│ take     notices    rope   │◀── mailboxes ◀──complete──│         │
//! ```
//! | where | what |
//! |---|---|
//! | [`name`], [`pattern`], [`spelling`] | addresses as lists of byte segments; how each face spells them, reversibly |
//! | [`message`] | the message, its batch, its properties, its stored form |
//! | [`tree`] | who listens where, and the last values, on one matcher |
//! | [`exchange`] | exchanges and bindings: which queues a publication reaches |
//! | [`route`] | who gets what is published to a name, remembered |
//! | [`queue`] | the queue as a pure value |
//! | [`queues`] | a queue with its consumers, shared by connections |
//! | [`quota`] | how much the queues of a vhost may hold |
//! | [`stream`] | the append-only log with offsets |
//! | [`transaction`] | publications and settlements as one unit |
//! | [`session`], [`mailbox`] | what outlives a connection, what waits for it |
//! | [`conversation`] | what a machine tells of its peer, for operators |
//! | [`deeds`] | what peers make and remove, for who keeps a record of it |
//! | [`access`], [`principal`] | who may |
//! | [`authentication`] | who is asked who a peer is |
//! | [`budget`], [`rope`], [`time`] | a bound that many share; output in pieces; the two clocks as values |
//! | [`trace`] | one message followed through the house |
//! | [`machine`] | the law of a protocol machine and what it may use |
//! | [`engine`] | the law of storage: submit and complete |
//! | [`traffic`] | what has gone through exchanges and vhosts, for operators |
//! | [`fake`] | an engine in memory that fails on request, for tests |
//! | [`core`] | the calls that tie these together |

pub mod access;
pub mod authentication;
pub mod budget;
pub mod conversation;
pub mod core;
pub mod deeds;
pub mod engine;
mod entry_head;
pub mod exchange;
pub mod fake;
mod listeners;
pub mod machine;
pub mod mailbox;
pub mod message;
pub mod name;
pub mod pattern;
pub mod principal;
pub mod queue;
pub mod queues;
pub mod quota;
pub mod rope;
pub mod route;
pub mod session;
pub mod spelling;
pub mod stream;
mod subscriptions;
pub mod time;
mod topics;
pub mod trace;
pub mod traffic;
pub mod transaction;
pub mod tree;
mod waiters;

pub use topics::RetainedCursor;
