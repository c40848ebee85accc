//! SASL mechanisms as values: messages in, messages out. [RFC 4422]
//!
//! | mechanism | where |
//! |---|---|
//! | SCRAM-SHA-1, -256, -512, each with `-PLUS` | [`scram`] |
//! | PLAIN, AMQPLAIN, EXTERNAL, ANONYMOUS | [`simple`] |
//!
//! Nothing here knows accounts, sockets or clocks: [`Directory`](crate::Directory) ties them together, and each
//! protocol says how the messages travel.

mod prepare;
pub mod scram;
pub mod simple;

pub use prepare::{PrepareError, prepare};
