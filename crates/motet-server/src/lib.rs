//! Sockets, TLS, timers, configuration, the endpoint table.

pub mod config;
