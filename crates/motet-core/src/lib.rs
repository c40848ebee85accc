//! Addresses, messages, routing, queues, sessions; the Machine and Engine contracts.

pub mod name;
pub mod pattern;
pub mod spelling;
pub mod tree;
