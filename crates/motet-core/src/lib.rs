//! Addresses, messages, routing, queues, sessions; the Machine and Engine contracts.

pub mod queue;
