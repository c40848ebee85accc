//! Mosquitto's bridges: `connection NAME`, and the lines behind it, become a `[[bridge]]`.

use std::fmt::Write as _;

use super::conf::Line;
use super::quoted;
use super::report::{Fate, Report};

/// One `connection` with its lines.
#[derive(Debug)]
pub(super) struct Bridge {
    head: Line,
    lines: Vec<Line>,
}

/// What a bridge's section may hold, beyond everything that begins with `bridge_` or `notification`.
const KEYS: [&str; 21] = [
    "address",
    "addresses",
    "topic",
    "cleansession",
    "local_cleansession",
    "clientid",
    "remote_clientid",
    "local_clientid",
    "remote_username",
    "remote_password",
    "local_username",
    "local_password",
    "username",
    "password",
    "keepalive_interval",
    "start_type",
    "restart_timeout",
    "idle_timeout",
    "threshold",
    "round_robin",
    "try_private",
];

impl Bridge {
    pub(super) fn new(head: &Line) -> Self {
        Bridge { head: head.clone(), lines: Vec::new() }
    }

    /// False when the line is none of a bridge's.
    pub(super) fn take(&mut self, line: &Line) -> bool {
        let ours = ["bridge_", "notification"].iter().any(|start| line.key.starts_with(start))
            || KEYS.contains(&line.key.as_str());
        if ours {
            self.lines.push(line.clone());
        }
        ours
    }

    /// Its name here.
    fn name(&self) -> String {
        self.head.value.chars().map(|c| if "/+#\"".contains(c) { '-' } else { c }).collect()
    }

    /// Bridges are not asked by access control lists there.
    pub(super) fn rule(&self) -> String {
        let who = quoted(&format!("user:bridge:{}", self.name()));
        format!("\n[[access.rule]]\nwho = [{who}]\nallow = [\"all\"]\n")
    }

    fn toml(&self, report: &mut Report) -> String {
        let mut section = Section::default();
        for line in &self.lines {
            let (fate, note) = section.take(&line.key, &line.value);
            report.add(&line.place, line.text(), fate, note);
        }
        let complete = section.address.is_some();
        let (fate, note) = match complete {
            true => (Fate::Kept, "a [[bridge]]"),
            false => (Fate::Missing, "a bridge without an address that is known here"),
        };
        report.add(&self.head.place, self.head.text(), fate, note);
        if complete { section.toml(&self.name()) } else { String::new() }
    }
}

/// The `[[bridge]]` sections.
pub(super) fn toml(bridges: &[Bridge], report: &mut Report) -> String {
    bridges.iter().map(|bridge| bridge.toml(report)).collect()
}

#[derive(Debug, Default)]
struct Section {
    address: Option<String>,
    v5: bool,
    /// Keys of the bridge and of its tls table, with their values in TOML.
    keys: Vec<(&'static str, String)>,
    tls: Vec<(&'static str, String)>,
    topics: Vec<String>,
}

impl Section {
    fn take(&mut self, key: &str, value: &str) -> (Fate, String) {
        let told = match key {
            "address" | "addresses" => self.addresses(value),
            "topic" => topic(value).map(|toml| {
                self.topics.push(toml);
                (Fate::Kept, "a [[bridge.topic]]".to_owned())
            }),
            "clientid" | "remote_clientid" => self.set("client_id", quoted(value)),
            "username" | "remote_username" => self.set("user", quoted(value)),
            "password" | "remote_password" => self.set("password", quoted(value)),
            "cleansession" if matches!(value, "true" | "false") => self.set("clean_start", value.into()),
            "keepalive_interval" => value
                .parse()
                .ok()
                .and_then(|secs: u32| self.set("keep_alive", format!("\"{}s\"", secs.clamp(1, 64_800)))),
            "restart_timeout" => self.restart(value),
            "bridge_protocol_version" => {
                self.v5 = value == "mqttv50";
                Some((Fate::Kept, "version".into()))
            }
            "bridge_cafile" => {
                self.tls.push(("ca", quoted(value)));
                Some((Fate::Kept, "bridge.tls.ca".into()))
            }
            "bridge_certfile" => {
                self.tls.push(("certificate", quoted(value)));
                Some((Fate::Kept, "bridge.tls.certificate".into()))
            }
            "bridge_keyfile" => {
                self.tls.push(("key", quoted(value)));
                Some((Fate::Kept, "bridge.tls.key".into()))
            }
            "bridge_insecure" if value == "true" => {
                self.tls.push(("insecure", "true".into()));
                Some((Fate::Differs, "insecure takes any certificate here, not only one of another name".into()))
            }
            "bridge_tls_version" | "bridge_insecure" => Some((Fate::Differs, "as always here".into())),
            "start_type" if value == "automatic" => Some((Fate::Kept, "always so here".into())),
            "try_private" => {
                Some((Fate::Differs, "always tried, and asked again without where it is not known".into()))
            }
            "notifications" | "notification_topic" | "notifications_local_only" => {
                Some((Fate::Differs, "the state is in $SYS/broker/connection/NAME/state here, and not there".into()))
            }
            "bridge_attempt_unsubscribe" | "bridge_outgoing_retain" => {
                Some((Fate::Differs, "retain flags stay, subscriptions of earlier rules are ended here".into()))
            }
            _ => None,
        };
        told.unwrap_or_else(|| (Fate::Missing, "a bridge has nothing like it here".into()))
    }

    fn set(&mut self, key: &'static str, toml: String) -> Option<(Fate, String)> {
        self.keys.retain(|(known, _)| *known != key);
        self.keys.push((key, toml));
        Some((Fate::Kept, key.into()))
    }

    fn addresses(&mut self, value: &str) -> Option<(Fate, String)> {
        let mut all = value.split_whitespace();
        let first = all.next()?;
        let named = first.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        self.address = Some(if named { first.into() } else { format!("{first}:1883") });
        Some(match all.next() {
            None => (Fate::Kept, "address".into()),
            Some(_) => (Fate::Missing, "a bridge has one address here; the first was taken".into()),
        })
    }

    /// One number, or base and cap.
    fn restart(&mut self, value: &str) -> Option<(Fate, String)> {
        let secs: Vec<u32> = value.split_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let (min, max) = (*secs.first()?, *secs.last()?);
        let min = min.clamp(1, 3600);
        self.set("reconnect_min", format!("\"{min}s\""));
        self.set("reconnect_max", format!("\"{}s\"", max.clamp(min, 86_400)));
        Some((Fate::Kept, "reconnect_min, reconnect_max".into()))
    }

    fn toml(&self, name: &str) -> String {
        let address = quoted(self.address.as_deref().unwrap_or_default());
        let version = if self.v5 { "5" } else { "3.1.1" };
        let mut text = format!("\n[[bridge]]\nname = {}\naddress = {address}\nversion = \"{version}\"\n", quoted(name));
        let table = |text: &mut String, keys: &[(&str, String)]| {
            for (key, toml) in keys {
                let _ = writeln!(text, "{key} = {toml}");
            }
        };
        table(&mut text, &self.keys);
        if !self.tls.is_empty() {
            text.push_str("\n[bridge.tls]\n");
            table(&mut text, &self.tls);
        }
        self.topics.iter().for_each(|topic| text.push_str(topic));
        text
    }
}

/// `pattern [[[out | in | both] qos] local-prefix remote-prefix]`, with `""` for nothing.
fn topic(value: &str) -> Option<String> {
    let mut words = value.split_whitespace().map(|word| if word == "\"\"" { "" } else { word });
    let filter = words.next()?;
    let direction = words.next().unwrap_or("out");
    if !matches!(direction, "in" | "out" | "both") {
        return None;
    }
    let qos: u8 = words.next().unwrap_or("0").parse().ok().filter(|qos| *qos <= 2)?;
    let (local, remote) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let mut text =
        format!("\n[[bridge.topic]]\nfilter = {}\ndirection = \"{direction}\"\nqos = {qos}\n", quoted(filter));
    for (key, prefix) in [("local_prefix", local), ("remote_prefix", remote)] {
        if !prefix.is_empty() {
            let _ = writeln!(text, "{key} = {}", quoted(prefix));
        }
    }
    Some(text)
}
