//! `[[listener]]`

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::tls::Tls;
use crate::config::error::Problem;
use crate::config::network::Network;
use crate::config::section::Conflict;
use crate::config::setting::{Setting, complain, quoted, wrong_kind};
use crate::config::tree::Node;

choice! {
    /// What is spoken on a port.
    pub enum Protocol {
        /// MQTT over TCP; 1883.
        Mqtt = "mqtt",
        /// MQTT over TLS; 8883.
        Mqtts = "mqtts",
        /// HTTP with WebSocket on `/mqtt`, metrics and health; also recognises MQTT, AMQP and TLS by their first bytes; 8080.
        Http = "http",
        /// The same, over TLS only; 8443.
        Https = "https",
        /// MQTT over WebSocket on any path; 8083.
        Ws = "ws",
        /// AMQP 0-9-1 over TCP; 5672.
        Amqp = "amqp",
        /// AMQP 0-9-1 over TLS; 5671.
        Amqps = "amqps",
        /// RabbitMQ's management API over HTTP, on `/api`; 15672. It is under `/api` of `http` and `https` too.
        Management = "management",
        /// The same over TLS; 15671.
        ManagementTls = "management-tls",
    }
}

impl Protocol {
    /// The port it has when the address names none.
    pub fn port(self) -> u16 {
        match self {
            Self::Mqtt => 1883,
            Self::Mqtts => 8883,
            Self::Http => 8080,
            Self::Https => 8443,
            Self::Ws => 8083,
            Self::Amqp => 5672,
            Self::Amqps => 5671,
            Self::Management => 15672,
            Self::ManagementTls => 15671,
        }
    }

    /// Whether TLS can be spoken there, so that certificates are of use.
    pub fn may_speak_tls(self) -> bool {
        matches!(self, Self::Mqtts | Self::Http | Self::Https | Self::Amqps | Self::ManagementTls)
    }

    /// Whether nothing but TLS is spoken there.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Mqtts | Self::Https | Self::Amqps | Self::ManagementTls)
    }

    /// Whether pages are there, and with them figures for everybody.
    pub fn is_web(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

choice! {
    /// Whether a proxy in front tells who the peer is.
    pub enum ProxyProtocol {
        /// Peers connect themselves; a PROXY header is an error.
        Off = "off",
        /// Every connection begins with a PROXY header, version 1 or 2, from one of `proxy_networks`.
        Required = "required",
    }
}

section! {
    /// A port and what is spoken there.
    pub struct Listener {
        /// Where to listen: an IP address and a port (`192.0.2.7:1883`, `[2001:db8::7]:1883`), `localhost:1883` for
        /// loopback in IPv4 and IPv6, or `*:1883` for every interface in both. Port 0 lets the system choose. When
        /// it is not set: `localhost` and the protocol's own port.
        address: Option<ListenAddress> = None, example "\"localhost:1883\"";
        /// What is spoken there.
        protocol: Protocol = Protocol::Mqtt;
        /// Whether a proxy in front (HAProxy, a load balancer) tells with the PROXY protocol who the peer is. Logs, limits
        /// and back-off then see the peer. There is no "optional": whoever could leave the header out could forge it. Such a
        /// listener counts as one that other machines reach, wherever it is bound: nobody is let in without a login.
        proxy_protocol: ProxyProtocol = ProxyProtocol::Off;
        /// From where a PROXY header is believed, with `proxy_protocol = "required"`; connections from elsewhere are
        /// closed. Loopback is a proxy on this machine.
        proxy_networks: Vec<Network> = Network::loopback();
        /// Certificates of this listener, in place of all of `[tls]`. Written as `[listener.tls]` below its entry.
        tls: Option<Tls> = None;
    }
    verified Listener::conflicts
}

impl Listener {
    /// What a server listens on when it is told nothing: every protocol, on loopback.
    pub fn defaults() -> Vec<Self> {
        use Protocol::{Amqp, Amqps, Http, Management, Mqtt, Mqtts, Ws};
        [Mqtt, Mqtts, Amqp, Amqps, Http, Ws, Management]
            .map(|protocol| Self {
                address: Some(ListenAddress::localhost(protocol.port())),
                protocol,
                ..Self::default()
            })
            .into()
    }

    /// Where it listens.
    pub fn address(&self) -> ListenAddress {
        self.address.unwrap_or(ListenAddress::localhost(self.protocol.port()))
    }

    /// Whether only this machine can connect: a proxy lets in others.
    pub fn is_loopback(&self) -> bool {
        self.address().host.is_loopback() && self.proxy_protocol == ProxyProtocol::Off
    }

    fn conflicts(&self) -> Vec<Conflict> {
        if self.tls.is_none() || self.protocol.may_speak_tls() {
            return Vec::new();
        }
        vec![Conflict {
            key: "tls",
            wrong: format!("is set, but the protocol \"{}\" has no TLS", self.protocol),
            expected:
                "certificates only where protocol is \"mqtts\", \"amqps\", \"http\", \"https\" or \"management-tls\""
                    .into(),
            remedy: "change `protocol` to one of these, or remove `tls`".into(),
        }]
    }
}

/// Two of `listeners` that would be bound to the same address and port.
pub(super) fn taken_twice(listeners: &[Listener]) -> Option<Conflict> {
    let pairs = (1..listeners.len()).flat_map(|later| (0..later).map(move |earlier| (earlier, later)));
    let (one, other) = pairs.into_iter().find(|&(one, other)| {
        let (one, other) = (listeners[one].address(), listeners[other].address());
        one.sockets().iter().any(|here| other.sockets().iter().any(|there| overlap(*here, *there)))
    })?;
    let entry = |at: usize| format!("listener.{at} ({} on {})", listeners[at].protocol, listeners[at].address());
    Some(Conflict {
        key: "listener",
        wrong: format!("has two entries for the same address and port: {} and {}", entry(one), entry(other)),
        expected: "an address and port for each entry".into(),
        remedy:
            "change the port of one of them, or remove it; a listener with protocol = \"http\" also knows MQTT, AMQP \
                 and TLS by their first bytes"
                .into(),
    })
}

/// Whether not both can be bound. Port 0 is another one each time, and IPv4 and IPv6 have sockets of their own.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip(), other.ip());
    let meet = a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()));
    one.port() != 0 && one.port() == other.port() && meet
}

/// A host and a port to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// Which interfaces.
    pub host: Host,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

/// The interfaces of a listener. Names other than `localhost` are not looked up: what a listener is exposed to must
/// not depend on an answer from the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// `127.0.0.1` and `[::1]`, as far as this machine has them.
    Localhost,
    /// Every interface, IPv4 and IPv6.
    Any,
    /// One address.
    Ip(IpAddr),
}

impl Host {
    /// Whether only this machine can reach it.
    pub fn is_loopback(self) -> bool {
        match self {
            Self::Localhost => true,
            Self::Any => false,
            Self::Ip(ip) => ip.to_canonical().is_loopback(),
        }
    }
}

impl ListenAddress {
    /// Loopback in both families.
    pub fn localhost(port: u16) -> Self {
        Self { host: Host::Localhost, port }
    }

    /// The sockets to bind. Of two, one may be missing on a machine without that family; both missing is an error.
    pub fn sockets(&self) -> Vec<SocketAddr> {
        let ips: Vec<IpAddr> = match self.host {
            Host::Localhost => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Host::Any => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            Host::Ip(ip) => vec![ip],
        };
        ips.into_iter().map(|ip| SocketAddr::new(ip, self.port)).collect()
    }

    fn parse(text: &str) -> Option<Self> {
        if let Ok(socket) = text.parse::<SocketAddr>() {
            return Some(Self { host: Host::Ip(socket.ip()), port: socket.port() });
        }
        let (host, port) = text.rsplit_once(':')?;
        let port = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?;
        match host {
            "localhost" => Some(Self { host: Host::Localhost, port }),
            "*" => Some(Self { host: Host::Any, port }),
            _ => None,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Host::Localhost => write!(f, "localhost:{}", self.port),
            Host::Any => write!(f, "*:{}", self.port),
            Host::Ip(ip) => SocketAddr::new(ip, self.port).fmt(f),
        }
    }
}

impl Setting for ListenAddress {
    fn expected() -> String {
        "an IP address, localhost or *, then a colon and a port: \"localhost:1883\", \"*:1883\", \"[::1]:1883\"".into()
    }

    fn read(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        match node.value.text() {
            None => wrong_kind(node, path, problems),
            Some(text) => Self::parse(text).or_else(|| complain(node, path, format!("is {text:?}"), problems)),
        }
    }

    fn render(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_was_read() {
        for text in ["localhost:1883", "*:1883", "0.0.0.0:0", "192.0.2.7:1883", "[::1]:1883", "[2001:db8::7]:65535"] {
            assert_eq!(ListenAddress::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "localhost", "1883", ":1883", "::1:1883", "localhost:65536", "localhost:+1", "example.org:1", "*:"]
        {
            assert_eq!(ListenAddress::parse(text), None, "{text}");
        }
    }

    #[test]
    fn loopback_is_what_only_this_machine_reaches() {
        let loopback = |text| ListenAddress::parse(text).expect(text).host.is_loopback();
        assert!(
            ["localhost:1", "127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"].into_iter().all(loopback)
        );
        assert!(!["*:1", "0.0.0.0:1", "[::]:1", "192.0.2.7:1", "[::ffff:192.0.2.7]:1"].into_iter().any(loopback));
    }
}
