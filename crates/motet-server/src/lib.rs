//! Sockets, TLS, timers, configuration, the endpoint table.
