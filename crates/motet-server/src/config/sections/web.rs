//! `[web]` and `[metrics]`

use crate::config::section::Conflict;

section! {
    /// HTTP and WebSocket. A web page is not its user: what a browser sends is checked on loopback too.
    pub struct Web {
        /// Origins whose pages may connect, such as `https://app.example.org`; `*` is any page on the web. A page of
        /// this server itself may always connect.
        allowed_origins: Vec<String> = Vec::new();
        /// Names under which this server is called (the Host header), such as `mqtt.example.org`; `*` is any.
        /// Always good are `localhost` and IP addresses, which no page can make point elsewhere.
        allowed_hosts: Vec<String> = Vec::new();
        /// Whether WebSocket messages are compressed for clients that offer it. Saves much of the traffic of JSON,
        /// for some processor time; tiny messages are never compressed.
        websocket_compression: bool = true;
    }
    verified Web::conflicts
}

impl Web {
    fn conflicts(&self) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        if let Some(origin) = self.allowed_origins.iter().find(|origin| !is_origin(origin)) {
            conflicts.push(Conflict {
                key: "allowed_origins",
                wrong: format!("has {origin:?}"),
                expected: "origins: scheme, host and, if it is not the scheme's own, port; no path".into(),
                remedy: "write it as the browser sends it, for example \"https://app.example.org\"".into(),
            });
        }
        if let Some(host) = self.allowed_hosts.iter().find(|host| host.contains('/')) {
            conflicts.push(Conflict {
                key: "allowed_hosts",
                wrong: format!("has {host:?}"),
                expected: "names without scheme or path".into(),
                remedy: "write only the name, for example \"mqtt.example.org\"".into(),
            });
        }
        conflicts
    }
}

fn is_origin(text: &str) -> bool {
    let named = text
        .split_once("://")
        .is_some_and(|(scheme, host)| !scheme.is_empty() && !host.is_empty() && !host.contains(['/', ' ', '?', '#']));
    text == "*" || named
}

section! {
    /// Figures for Prometheus, on every HTTP listener.
    pub struct Metrics {
        /// Whether they are there. They hold counts and names of parts, no topics, clients or payloads.
        enabled: bool = true;
        /// Where: the path every collector tries first.
        path: String = "/metrics".into();
    }
    verified Metrics::conflicts
}

impl Metrics {
    fn conflicts(&self) -> Vec<Conflict> {
        let plain = self.path.starts_with('/') && !self.path.contains([' ', '?', '#']);
        let taken = ["/", "/mqtt", "/healthz", "/readyz"].contains(&self.path.as_str());
        if plain && !taken {
            return Vec::new();
        }
        vec![Conflict {
            key: "path",
            wrong: format!("is {:?}", self.path),
            expected: "a path that begins with / and is not that of another page".into(),
            remedy: "write path = \"/metrics\", or remove it".into(),
        }]
    }
}
