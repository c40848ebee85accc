//! The start page: what listens where, what to try first, what is open and why.

mod attempt;

use crate::config::{Config, Protocol};
use crate::server::Bound;
use motet_core::core::Recovered;
use std::fmt::Write as _;

/// The text for standard output; its last line is `ready`.
pub(crate) fn start_page(config: &Config, addresses: &[Bound], recovered: Recovered) -> String {
    let mut page = format!("motet {}\n\n", env!("CARGO_PKG_VERSION"));
    for bound in addresses {
        let _ = writeln!(page, "  {:<10} {:<24} {}", bound.protocol.word(), bound.address, about(bound.protocol));
    }
    page.push_str(&attempt::attempt(config, addresses).unwrap_or_default());
    page.push('\n');
    if config.listener.iter().any(|listener| listener.is_loopback() && config.access.admits_anonymous(listener)) {
        page.push_str("On loopback nobody needs a login, because only this machine reaches it.\n");
    }
    for exposure in config.exposures() {
        let _ = writeln!(page, "Note: {exposure}");
    }
    let _ = write!(page, "Data is in {}", config.data_dir.display());
    let _ = match recovered {
        Recovered { sessions: 0, retained: 0, .. } => writeln!(page, "; it is empty."),
        Recovered { sessions, messages, retained, .. } => {
            writeln!(page, ": {sessions} sessions, {messages} waiting messages, {retained} retained.")
        }
    };
    page.push_str("ready\n");
    page
}

fn about(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Mqtt => "MQTT 3.1, 3.1.1 and 5.0",
        Protocol::Mqtts => "the same over TLS",
        Protocol::Http => {
            "start page, metrics, management on /api, MQTT over WebSocket on /mqtt; knows TLS, plain MQTT and AMQP too"
        }
        Protocol::Https => "the same over TLS",
        Protocol::Ws => "MQTT over WebSocket",
        Protocol::Amqp => "AMQP 0-9-1",
        Protocol::Amqps | Protocol::ManagementTls => "the same over TLS",
        Protocol::Management => "RabbitMQ's management API, on /api",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_tells_what_to_try_and_ends_ready() {
        let bound = Bound { protocol: Protocol::Mqtt, address: "127.0.0.1:1883".parse().unwrap() };
        let page = start_page(&Config::default(), &[bound], Recovered::default());
        assert!(page.contains("mosquitto_sub -h 127.0.0.1 -p 1883 -t 'hello/#' -v"), "{page}");
        assert!(page.contains("On loopback nobody needs a login"), "{page}");
        assert!(page.contains("Data is in ./motet-data; it is empty."), "{page}");
        assert!(page.ends_with("\nready\n"), "{page}");
    }
}
