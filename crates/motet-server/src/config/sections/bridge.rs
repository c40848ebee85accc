//! `[[bridge]]` and `[[bridge.topic]]`

use std::path::PathBuf;
use std::time::Duration;

use motet_mqtt::bridge::{Direction, Rule, RuleError, Rules};
use motet_mqtt::packet::QoS;

use crate::config::section::Conflict;
use crate::config::units::Secret;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

choice! {
    /// The version of MQTT that a bridge speaks.
    pub enum BridgeVersion {
        /// MQTT 3.1.1. The other server is asked to treat us as a bridge (Mosquitto does); one that does not know this is
        /// asked again without. Properties of messages are lost, and longer circles of bridges are not noticed.
        V311 = "3.1.1",
        /// MQTT 5.0.
        V5 = "5",
    }
}

choice! {
    /// Which way messages cross a bridge.
    pub enum Crossing {
        /// From the other server to us.
        In = "in",
        /// From us to the other server.
        Out = "out",
        /// Both ways.
        Both = "both",
    }
}

section! {
    /// Which topics cross, in which direction, and what they are called on the other side. Written as `[[bridge.topic]]`
    /// below its bridge.
    pub struct BridgeTopic {
        /// A topic filter, with wildcards; what both sides have in common. Empty: the prefixes are whole topics.
        filter: String = String::new(), example "\"sensors/#\"";
        /// Which way messages go: to the other server, from it, or both ways.
        direction: Crossing = Crossing::Out;
        /// The highest QoS; messages of QoS 0 do not wait while the other server is away.
        qos: u8 = 1, within 0..=2;
        /// In front of the topic here.
        local_prefix: String = String::new(), example "\"plant/\"";
        /// In front of the topic there.
        remote_prefix: String = String::new(), example "\"site-7/\"";
    }
}

section! {
    /// TLS towards another server.
    pub struct BridgeTls {
        /// PEM file with the roots to trust; the system's when it is not set.
        ca: Option<PathBuf> = None, example "\"/etc/motet/bridge-ca.pem\"";
        /// PEM file with a certificate to show.
        certificate: Option<PathBuf> = None, example "\"/etc/motet/bridge.pem\"";
        /// PEM file with its private key.
        key: Option<PathBuf> = None, example "\"/etc/motet/bridge.key\"";
        /// Take any certificate. Helps against nobody who can stand in between.
        insecure: bool = false;
    }
}

section! {
    /// Another MQTT server with which messages are exchanged. We are its client. While it is away, messages for it wait
    /// in a session of ours (client `$bridge/NAME`), within `limits.session_queue_messages` and `_bytes`.
    pub struct Bridge {
        /// Its name in logs, metrics and `$SYS/broker/connection/NAME/state`. It must be set and differ from the others'.
        name: String = String::new(), example "\"uplink\"";
        /// The other server, as `host:port`. It must be set.
        address: String = String::new(), example "\"broker.example:1883\"";
        /// What is spoken.
        version: BridgeVersion = BridgeVersion::V5;
        /// Our name there; when it is not set, one that is made of this server's own and the bridge's.
        client_id: Option<String> = None, example "\"plant-7\"";
        /// The user's name there.
        user: Option<String> = None, example "\"plant\"";
        /// The password there.
        password: Option<Secret> = None, example "\"...\"";
        /// Encrypted, when this table is there. Written as `[bridge.tls]` below its entry.
        tls: Option<BridgeTls> = None;
        /// Begin every connection without what waited before, on both sides.
        clean_start: bool = false;
        /// The longest silence; after one and a half times of it the other server counts as gone.
        keep_alive: Duration = 60 * SECOND, within SECOND..=18 * HOUR;
        /// The first pause after a connection broke; it doubles from time to time, and a part of it is left to chance,
        /// so that many bridges do not come back at the same moment.
        reconnect_min: Duration = SECOND, within Duration::from_millis(10)..=HOUR;
        /// The longest such pause.
        reconnect_max: Duration = 60 * SECOND, within Duration::from_millis(10)..=24 * HOUR;
        /// What crosses. Without any nothing does.
        topic: Vec<BridgeTopic> = Vec::new();
    }
    verified Bridge::conflicts
}

impl Bridge {
    /// The rules of its topics.
    ///
    /// # Errors
    /// A filter or prefix that cannot be; never for a configuration that was read.
    pub fn rules(&self) -> Result<Rules, RuleError> {
        let rule = |topic: &BridgeTopic| Rule {
            filter: topic.filter.clone(),
            direction: match topic.direction {
                Crossing::In => Direction::In,
                Crossing::Out => Direction::Out,
                Crossing::Both => Direction::Both,
            },
            qos: QoS::from_bits(topic.qos).unwrap_or(QoS::ExactlyOnce),
            local_prefix: topic.local_prefix.clone(),
            remote_prefix: topic.remote_prefix.clone(),
        };
        Rules::new(self.topic.iter().map(rule).collect())
    }

    /// Host and port.
    pub fn host_and_port(&self) -> Option<(&str, u16)> {
        let (host, port) = self.address.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        (!host.is_empty()).then_some(())?;
        Some((host, port.parse().ok().filter(|port| *port > 0)?))
    }

    fn conflicts(&self) -> Vec<Conflict> {
        let conflict = |key, wrong: String, expected: &str, remedy: &str| {
            vec![Conflict { key, wrong, expected: expected.into(), remedy: remedy.into() }]
        };
        if self.name.is_empty() || self.name.contains(['/', '+', '#', '"', '\0']) || self.name.len() > 64 {
            let wrong = format!("is {:?}", self.name);
            return conflict("name", wrong, "1 to 64 characters without / + # and quotes", "give the bridge a name");
        }
        if self.host_and_port().is_none() {
            let wrong = format!("is {:?}", self.address);
            return conflict("address", wrong, "host:port", "name the other server, such as \"broker.example:1883\"");
        }
        if let Err(error) = self.rules() {
            let remedy = "correct `filter`, `local_prefix` or `remote_prefix` of this [[bridge.topic]]";
            return conflict("topic", format!("is wrong: {error}"), "topic filters", remedy);
        }
        let tls = self.tls.as_ref();
        if tls.is_some_and(|tls| tls.certificate.is_some() != tls.key.is_some()) {
            let wrong = "has one of `certificate` and `key`".into();
            return conflict("tls", wrong, "both, or neither", "set both, or remove the one");
        }
        if self.version == BridgeVersion::V311 && self.user.is_none() && self.password.is_some() {
            let wrong = "is set, but `user` is not".into();
            return conflict("password", wrong, "a user, as MQTT 3.1.1 has no password without", "set `user`");
        }
        Vec::new()
    }
}
