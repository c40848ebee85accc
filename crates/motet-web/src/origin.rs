//! Which pages may connect, and under which name of ours. A browser opens a WebSocket to any address, loopback too, and
//! says in Origin which page did so; the check of Host keeps out pages whose DNS name was re-bound to our address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host and a port as Host and Origin write them; the host keeps the brackets of IPv6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    host: String,
    port: Option<u16>,
}

impl Authority {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']')?;
                address.parse::<Ipv6Addr>().ok()?;
                (&text[..address.len() + 2], rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("")))
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, Some("")),
            },
        };
        let port = match port? {
            "" => None,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            _ => return None,
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=[]:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_host) {
            return None;
        }
        // One dot at the end is the same name, fully qualified.
        Some(Self { host: host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase(), port })
    }

    fn address(&self) -> Option<IpAddr> {
        match self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse().ok().map(IpAddr::V6),
            None => self.host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        }
    }

    fn is_loopback(&self) -> bool {
        let is_name = self.host == "localhost" || self.host.ends_with(".localhost"); // [RFC6761-6.3]
        is_name || self.address().is_some_and(|address| address.to_canonical().is_loopback())
    }

    /// Whether we answer under this name: literals and localhost cannot be re-bound, other names are configured.
    pub(crate) fn is_served(&self, allowed: &[String]) -> bool {
        self.is_loopback()
            || self.address().is_some()
            || allowed.iter().any(|name| {
                name == "*"
                    || Self::parse(name)
                        .is_some_and(|name| name.host == self.host && (name.port.is_none() || name.port == self.port))
            })
    }
}

/// The scheme, host and port of a page.
#[derive(Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    authority: Authority,
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        Some(Self { scheme: scheme.to_ascii_lowercase(), authority: Authority::parse(authority)? })
    }

    fn port(&self, authority: &Authority) -> Option<u16> {
        authority.port.or(match self.scheme.as_str() {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        })
    }

    /// Whether an entry of the list names this origin: exactly, or with `*.` before the host for every name below it.
    fn is_named_by(&self, entry: &str) -> bool {
        let Some(entry) = Self::parse(entry) else { return false };
        let host = &self.authority.host;
        let same_host = match entry.authority.host.strip_prefix("*.") {
            Some(parent) => host.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            None => *host == entry.authority.host,
        };
        same_host && self.scheme == entry.scheme && self.port(&self.authority) == self.port(&entry.authority)
    }
}

/// Which origins may connect. A request without Origin does not come from a page and is not asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOrigins {
    /// Pages served by the host and port the request is made to.
    pub same_origin: bool,
    /// Pages served by a loopback host, whatever the port: a developer's own page.
    pub loopback: bool,
    /// Origins such as `https://app.example`, `https://*.app.example`, `null`, or `*` for every page.
    pub listed: Vec<String>,
}

impl AllowedOrigins {
    /// Whether a page of `origin` may do something at `host`, both as headers have them.
    pub fn allows_page(&self, origin: &str, host: &str) -> bool {
        Authority::parse(host).is_some_and(|host| self.allows(origin, &host))
    }

    /// Whether the list names the page's origin.
    pub fn lists(&self, origin: &str) -> bool {
        let parsed = Origin::parse(origin);
        self.listed
            .iter()
            .any(|entry| entry == origin || parsed.as_ref().is_some_and(|origin| origin.is_named_by(entry)))
    }

    /// Whether the page may connect. `null`, which any page can take on, only when it is listed.
    pub(crate) fn allows(&self, origin: &str, host: &Authority) -> bool {
        if self.listed.iter().any(|entry| entry == "*" || entry == origin) {
            return true;
        }
        let Some(origin) = Origin::parse(origin) else { return false };
        (self.loopback && origin.authority.is_loopback())
            || (self.same_origin
                && origin.authority.host == host.host
                && origin.port(&origin.authority) == origin.port(host))
            || self.listed.iter().any(|entry| origin.is_named_by(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(host: &str, allowed: &[&str]) -> bool {
        let allowed: Vec<String> = allowed.iter().map(|name| name.to_string()).collect();
        Authority::parse(host).is_some_and(|host| host.is_served(&allowed))
    }

    fn allows(origin: &str, host: &str, listed: &[&str], loopback: bool) -> bool {
        let listed = listed.iter().map(|entry| entry.to_string()).collect();
        AllowedOrigins { same_origin: true, loopback, listed }.allows(origin, &Authority::parse(host).unwrap())
    }

    #[test]
    fn literals_localhost_and_configured_names_are_served() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "app.localhost",
            "127.0.0.1:1",
            "[::1]:8080",
            "[::1]",
            "192.0.2.7",
            "localhost.",
        ] {
            assert!(served(host, &[]), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "[::1",
            "[::1]x",
            "a:b",
            "a b",
            "x:+1",
            "a:99999",
        ] {
            assert!(!served(host, &[]), "{host}");
        }
        assert!(served("MQ.example:8080", &["mq.example"]));
        assert!(!served("mq.example:8080", &["mq.example:80"]));
        assert!(served("any.example", &["*"]));
    }

    #[test]
    fn the_same_origin_is_the_same_host_and_port() {
        assert!(allows("http://mq.example:8080", "mq.example:8080", &[], false));
        assert!(allows("https://mq.example", "mq.example", &[], false));
        assert!(allows("https://mq.example", "MQ.example:443", &[], false));
        assert!(!allows("https://mq.example", "mq.example:8080", &[], false));
        assert!(!allows("https://evil.example", "mq.example", &[], false));
    }

    #[test]
    fn loopback_pages_are_allowed_where_so_configured() {
        for origin in ["http://localhost:3000", "http://127.0.0.1:5173", "https://[::1]", "http://app.localhost"] {
            assert!(allows(origin, "127.0.0.1:8083", &[], true), "{origin}");
            assert!(!allows(origin, "127.0.0.1:8083", &[], false), "{origin}");
        }
        for origin in ["null", "http://localhost.evil.example", "file://", "", "http://192.0.2.1"] {
            assert!(!allows(origin, "127.0.0.1:8083", &[], true), "{origin}");
        }
    }

    #[test]
    fn listed_origins_are_compared_by_scheme_host_and_port() {
        let listed = ["https://app.example", "https://*.app.example:8443"];
        assert!(allows("https://APP.example:443", "h", &listed, false));
        assert!(!allows("http://app.example", "h", &listed, false));
        assert!(allows("https://a.b.app.example:8443", "h", &listed, false));
        assert!(!allows("https://app.example:8443", "h", &listed, false));
        assert!(!allows("https://evilapp.example:8443", "h", &listed, false));
        assert!(allows("null", "h", &["null"], false));
        assert!(allows("null", "h", &["*"], false));
    }
}
