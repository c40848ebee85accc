//! What mosquitto.conf comes to here: listeners, certificates, bounds.

use std::fmt::Write as _;

use super::bridges::Bridge;
use super::conf::Line;
use super::quoted;
use super::report::{Fate, Report};

/// What is collected from the lines.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The first, unless anything was said of it, is the one that nobody named.
    listeners: Vec<Listener>,
    allow_anonymous: Option<bool>,
    /// `limits.…` and the like: section, key, value in TOML.
    keys: Vec<(&'static str, &'static str, String)>,
    /// The bounds of single listeners, added up.
    connections: u64,
    pub(super) password_file: Option<String>,
    pub(super) acl_file: Option<String>,
    pub(super) bridges: Vec<Bridge>,
}

#[derive(Debug, Default)]
struct Listener {
    port: Option<u16>,
    host: Option<String>,
    websockets: bool,
    certificate: Option<String>,
    key: Option<String>,
    ca: Option<String>,
    require_certificate: bool,
    revoked: Option<String>,
    /// What of a certificate is the user's name.
    identity: Option<&'static str>,
}

/// Settings that need nothing here, and why.
const NEEDLESS: [(&str, &str); 16] = [
    ("persistence", "what is confirmed is always on disk here"),
    ("autosave_interval", "what is confirmed is on disk at once"),
    ("autosave_on_changes", "what is confirmed is on disk at once"),
    ("persistence_file", "the journal in data_dir has no name of its own"),
    ("set_tcp_nodelay", "always so here"),
    ("pid_file", "service managers know the process themselves"),
    ("user", "start it as the user it shall run as"),
    ("allow_zero_length_clientid", "always so here, as MQTT 3.1.1 and 5.0 say"),
    ("connection_messages", "log.level decides"),
    ("log_timestamp", "always so here"),
    ("log_timestamp_format", "always ISO 8601 here"),
    ("socket_domain", "localhost and * listen in both families; name an address for one of them"),
    ("memory_limit", "every bound has a key of its own in [limits]"),
    ("retry_interval", "nothing is sent again on a live connection, as MQTT 3.1.1 and 5.0 say"),
    ("check_retain_source", "who may read decides when a retained message is delivered"),
    ("allow_duplicate_messages", "overlapping subscriptions bring a message once, with all their identifiers"),
];

/// Settings with nothing like them here.
const MISSING: [(&str, &str); 16] = [
    ("persistence_location", "set data_dir; mosquitto.db is not read: sessions and retained messages begin empty"),
    ("per_listener_settings", "accounts and rules are those of the whole server"),
    ("plugin", "there are no plugins"),
    ("auth_plugin", "there are no plugins"),
    ("psk_file", "TLS with pre-shared keys is not spoken; use certificates"),
    ("psk_hint", "TLS with pre-shared keys is not spoken; use certificates"),
    ("use_username_as_clientid", "a client keeps its own name"),
    ("clientid_prefixes", "any client name is taken from who may log in"),
    ("auto_id_prefix", "names that the server gives begin with auto-"),
    ("mount_point", "a listener has no prefix of its own; rewrite topics at the clients"),
    ("http_dir", "no files are served"),
    ("capath", "name one file with all roots as tls.client_ca"),
    ("bind_interface", "name the interface's address in the listener"),
    ("max_topic_alias", "limits.topic_alias_maximum is for the whole server"),
    ("upgrade_outgoing_qos", "a message is delivered with the lower of both QoS, as the specification says"),
    ("queue_qos0_messages", "QoS 0 is not kept for clients that are away"),
];

/// Room for the topic and the head of a packet beside its payload.
const AROUND_PAYLOAD_BYTES: u64 = 64 << 10;

impl Plan {
    /// Takes one line.
    pub(super) fn take(&mut self, line: &Line, report: &mut Report) {
        if line.key == "connection" {
            self.bridges.push(Bridge::new(line));
            return;
        }
        // What follows `connection` and is not known to bridges ends its section, as in Mosquitto.
        if line.key != "listener"
            && let Some(bridge) = self.bridges.last_mut()
            && bridge.take(line)
        {
            return;
        }
        let (fate, note) = self.decide(line);
        report.add(&line.place, line.text(), fate, note);
    }

    fn decide(&mut self, Line { key, value, .. }: &Line) -> (Fate, String) {
        if let Some((_, why)) = NEEDLESS.iter().find(|(known, _)| known == key) {
            return (Fate::Differs, (*why).into());
        }
        if (key.as_str(), value.as_str()) == ("per_listener_settings", "false") {
            return (Fate::Kept, "always so here".into());
        }
        if let Some((_, why)) = MISSING.iter().find(|(known, _)| known == key) {
            return (Fate::Missing, (*why).into());
        }
        let told = match key.as_str() {
            "listener" | "port" | "bind_address" | "protocol" => self.listen(key, value),
            "certfile"
            | "keyfile"
            | "cafile"
            | "require_certificate"
            | "crlfile"
            | "use_identity_as_username"
            | "use_subject_as_username"
            | "tls_version"
            | "ciphers"
            | "ciphers_tls1.3"
            | "dhparamfile" => self.encrypt(key, value),
            "allow_anonymous" => flag(value).map(|allow| {
                self.allow_anonymous = Some(allow);
                (Fate::Kept, format!("access.anonymous = {}", quoted(if allow { "always" } else { "never" })))
            }),
            "password_file" => {
                self.password_file = Some(value.clone());
                Some((Fate::Kept, "every user becomes a [[user]]; see its lines".into()))
            }
            "acl_file" => {
                self.acl_file = Some(value.clone());
                Some((Fate::Kept, "see its lines".into()))
            }
            _ => self.bound(key, value),
        };
        told.unwrap_or_else(|| (Fate::Missing, "this is not known here, or its value is not".into()))
    }

    /// The listener that lines speak of.
    fn listener(&mut self) -> &mut Listener {
        if self.listeners.is_empty() {
            self.listeners.push(Listener::default());
        }
        self.listeners.last_mut().expect("one was just made")
    }

    fn listen(&mut self, key: &str, value: &str) -> Option<(Fate, String)> {
        match key {
            "listener" => {
                let mut words = value.split_whitespace();
                let port = words.next()?.parse().ok()?;
                if port == 0 {
                    return Some((Fate::Missing, "Unix sockets are not listened on".into()));
                }
                let host = words.next().map(str::to_owned);
                self.listeners.push(Listener { port: Some(port), host, ..Listener::default() });
                Some((Fate::Kept, "a [[listener]]".into()))
            }
            "port" => {
                self.listener().port = Some(value.parse().ok()?);
                Some((Fate::Kept, "a [[listener]]".into()))
            }
            "bind_address" => {
                self.listener().host = Some(value.into());
                Some((Fate::Kept, "the address of the [[listener]]".into()))
            }
            _ => {
                self.listener().websockets = match value {
                    "websockets" => true,
                    "mqtt" => false,
                    _ => return None,
                };
                Some((Fate::Kept, "the protocol of the [[listener]]".into()))
            }
        }
    }

    fn encrypt(&mut self, key: &str, value: &str) -> Option<(Fate, String)> {
        let listener = self.listener();
        let (place, name) = match key {
            "certfile" => (&mut listener.certificate, "certificate"),
            "keyfile" => (&mut listener.key, "key"),
            "cafile" => (&mut listener.ca, "client_ca, if clients show certificates"),
            "require_certificate" => {
                listener.require_certificate = flag(value)?;
                return Some((Fate::Kept, "listener.tls.client_certificate".into()));
            }
            "crlfile" => (&mut listener.revoked, "client_crl"),
            "use_identity_as_username" | "use_subject_as_username" => {
                let identity = if key == "use_identity_as_username" { "%cn" } else { "%dn" };
                listener.identity = flag(value)?.then_some(identity);
                return Some((Fate::Kept, "listener.tls.client_identity".into()));
            }
            "tls_version" => return Some((Fate::Differs, "TLS 1.2 and 1.3 are spoken".into())),
            _ => return Some((Fate::Differs, "the safe ciphers of TLS 1.2 and 1.3 are offered".into())),
        };
        *place = Some(value.into());
        Some((Fate::Kept, format!("listener.tls.{name}")))
    }

    fn bound(&mut self, key: &str, value: &str) -> Option<(Fate, String)> {
        let number = || value.parse::<u64>().ok();
        let kept = |section, key| Some((section, key, Fate::Kept));
        // Zero is "without an end" there, and nothing grows without an end here.
        let unbounded = number() == Some(0);
        let (section, name, fate) = match key {
            "max_queued_messages" => kept("limits", "session_queue_messages"),
            "max_queued_bytes" => kept("limits", "session_queue_bytes"),
            "max_packet_size" => kept("limits", "packet_bytes_max"),
            "message_size_limit" => Some(("limits", "packet_bytes_max", Fate::Differs)),
            "global_max_connections" => kept("limits", "connections"),
            "max_connections" => Some(("limits", "connections", Fate::Differs)),
            "max_keepalive" => kept("mqtt", "keep_alive_max"),
            "sys_interval" => kept("mqtt", "sys_interval"),
            "max_qos" => kept("mqtt", "qos_max"),
            "retain_available" => kept("mqtt", "retain_available"),
            "persistent_client_expiration" => kept("limits", "session_expiry_max"),
            "max_inflight_messages" => kept("limits", "receive_maximum"),
            "max_inflight_bytes" => return Some((Fate::Differs, "messages in flight are counted, not weighed".into())),
            "log_dest" => return Some((Fate::Differs, "the log goes to standard error".into())),
            "log_type" => {
                let level = match value {
                    "all" | "debug" => "debug",
                    "none" | "error" => "error",
                    "warning" => "warn",
                    _ => return Some((Fate::Differs, "log.level = \"info\", the default, has these".into())),
                };
                self.set("log", "level", quoted(level));
                return Some((Fate::Differs, format!("log.level = {}", quoted(level))));
            }
            _ => None,
        }?;
        // These two mean the same there and here.
        let plain_zero = matches!(name, "qos_max" | "sys_interval");
        if unbounded && !plain_zero || value == "-1" {
            return Some((Fate::Differs, format!("{section}.{name} keeps its default: everything has a bound here")));
        }
        let toml = match name {
            "retain_available" => flag(value)?.to_string(),
            "keep_alive_max" => quoted(&format!("{}s", number()?.clamp(1, 65_535))),
            "session_expiry_max" => quoted(&days(value)?),
            "sys_interval" => quoted(&format!("{}s", number()?.min(3600))),
            // The payload alone is meant there, so there is room for what comes with it.
            "packet_bytes_max" if key == "message_size_limit" => {
                (number()?.saturating_add(AROUND_PAYLOAD_BYTES)).clamp(1 << 10, 256 << 20).to_string()
            }
            "packet_bytes_max" => number()?.clamp(1 << 10, 256 << 20).to_string(),
            "session_queue_bytes" => number()?.max(64 << 10).to_string(),
            "receive_maximum" => number()?.clamp(1, 65_535).to_string(),
            "connections" if key == "max_connections" => {
                self.connections = self.connections.saturating_add(number()?).clamp(1, 10_000_000);
                self.connections.to_string()
            }
            "connections" => number()?.clamp(1, 10_000_000).to_string(),
            _ => number()?.to_string(),
        };
        self.set(section, name, toml.clone());
        let why = match key {
            "message_size_limit" => ": the whole packet counts here, not the payload alone",
            "max_connections" => ": all listeners have one bound together",
            _ => "",
        };
        Some((fate, format!("{section}.{name} = {toml}{why}")))
    }

    /// The last one said wins, as it does there.
    fn set(&mut self, section: &'static str, key: &'static str, toml: String) {
        self.keys.retain(|(s, k, _)| (*s, *k) != (section, key));
        self.keys.push((section, key, toml));
    }

    /// All sections but users, rules and bridges.
    pub(super) fn toml(&mut self, has_rules: bool) -> String {
        let mut text = String::from("# Made by `motet import mosquitto`. Every key: motet config reference\n");
        // Mosquitto without any listener is for this machine only, and lets anybody in there.
        let allow = self.allow_anonymous.unwrap_or(self.listeners.is_empty());
        self.set("access", "anonymous", quoted(if allow { "always" } else { "never" }));
        // What no line of an access control list allows is forbidden there; without a list everything is allowed.
        self.set("access", "default", quoted(if has_rules { "deny" } else { "allow" }));
        if !self.keys.iter().any(|(_, key, _)| *key == "session_expiry_max") {
            // Sessions never end there unless that is asked for; this is as long as they may last here.
            self.set("limits", "session_expiry_max", quoted("3650d"));
        }
        let mut sections: Vec<_> = self.keys.iter().map(|(section, ..)| *section).collect();
        sections.sort_unstable();
        sections.dedup();
        for section in sections {
            let _ = writeln!(text, "\n[{section}]");
            for (_, key, toml) in self.keys.iter().filter(|(s, ..)| *s == section) {
                let _ = writeln!(text, "{key} = {toml}");
            }
        }
        if self.listeners.is_empty() {
            self.listeners.push(Listener { host: Some("localhost".into()), ..Listener::default() });
        }
        for listener in &self.listeners {
            text.push_str(&listener.toml());
        }
        text
    }
}

impl Listener {
    fn toml(&self) -> String {
        let encrypted = self.certificate.is_some();
        let protocol = match (self.websockets, encrypted) {
            (false, false) => "mqtt",
            (false, true) => "mqtts",
            (true, false) => "ws",
            (true, true) => "https",
        };
        let host = match self.host.as_deref() {
            None | Some("0.0.0.0" | "*") => "*",
            Some("::") => "[::]",
            Some(host) => host,
        };
        let bracketed = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.into() };
        let port = self.port.unwrap_or(1883);
        let address = quoted(&format!("{bracketed}:{port}"));
        let mut text = format!("\n[[listener]]\naddress = {address}\nprotocol = \"{protocol}\"\n");
        if protocol == "https" {
            text.push_str("# WebSocket is on the path /mqtt here.\n");
        }
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            let (certificate, key) = (quoted(certificate), quoted(key));
            let _ = write!(text, "\n[listener.tls]\ncertificate = {certificate}\nkey = {key}\n");
            if let (Some(ca), true) = (&self.ca, self.require_certificate) {
                let _ = write!(text, "client_ca = {}\nclient_certificate = \"required\"\n", quoted(ca));
                if let Some(revoked) = &self.revoked {
                    let _ = writeln!(text, "client_crl = [{}]", quoted(revoked));
                }
                if let Some(identity) = self.identity {
                    let _ = writeln!(text, "client_identity = \"{identity}\"");
                }
            }
        }
        text
    }
}

fn flag(value: &str) -> Option<bool> {
    match value {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// `2h`, `14d`, `3w`, `6m`, `1y`: hours, days, weeks, months, years.
fn days(value: &str) -> Option<String> {
    let (number, unit) = value.split_at(value.len().checked_sub(1)?);
    let number: u64 = number.parse().ok()?;
    let days = match unit {
        "h" => return Some(format!("{}h", number.min(87_600))),
        "d" => number,
        "w" => number.checked_mul(7)?,
        "m" => number.checked_mul(30)?,
        "y" => number.checked_mul(365)?,
        _ => return None,
    };
    Some(format!("{}d", days.min(3650)))
}
