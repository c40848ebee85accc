//! Mosquitto's bridges: `connection NAME`, and the lines behind it.

use super::conf::Line;
use super::report::{Fate, Report};

/// One `connection` with its lines.
#[derive(Debug)]
pub(super) struct Bridge {
    head: Line,
    lines: Vec<Line>,
}

/// What a bridge's section may hold, beyond everything that begins with `bridge_`.
const KEYS: [&str; 21] = [
    "address",
    "addresses",
    "topic",
    "cleansession",
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
    "notifications",
    "notification_topic",
    "try_private",
];

impl Bridge {
    pub(super) fn new(head: &Line) -> Self {
        Bridge { head: head.clone(), lines: Vec::new() }
    }

    /// False when the line is none of a bridge's.
    pub(super) fn take(&mut self, line: &Line) -> bool {
        let ours = line.key.starts_with("bridge_")
            || line.key.starts_with("notifications")
            || line.key == "round_robin"
            || KEYS.contains(&line.key.as_str());
        if ours {
            self.lines.push(line.clone());
        }
        ours
    }
}

/// The `[[bridge]]` sections.
pub(super) fn toml(bridges: &[Bridge], report: &mut Report) -> String {
    for bridge in bridges {
        for line in std::iter::once(&bridge.head).chain(&bridge.lines) {
            report.add(&line.place, line.text(), Fate::Missing, "there are no bridges to other servers yet");
        }
    }
    String::new()
}
