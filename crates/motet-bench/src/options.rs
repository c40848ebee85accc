//! What is measured, and how.

pub use motet_mqtt::packet::{QoS, Version};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;

/// Messages a second of workloads with a fixed rate, when nobody says.
const RATE: f64 = 1000.0;

/// A way to use a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Publisher and subscriber, each pair with a topic of its own.
    Pairs,
    /// One publisher, many subscribers of its topic.
    FanOut,
    /// Many publishers with a topic each, one subscriber of them all.
    FanIn,
    /// One pair at a fixed rate; a message is late from the moment when it was due.
    Latency,
    /// Connections that come and go.
    Connect,
    /// Connections that stay and are silent.
    Idle,
    /// Retained messages are stored, then a new subscriber gets all of them.
    Retained,
    /// Messages for a session whose client is away, which then comes and takes them.
    Offline,
    /// A pair at a fixed rate, alone and then beside others that publish with QoS 0 as fast as the server reads.
    StressFlood,
    /// Many subscribers of one topic, then one more that never reads.
    StressStuck,
    /// A pair at a high rate, while another client makes very many subscriptions, and when it leaves.
    StressSubscribe,
}

impl Workload {
    /// Those that are run, in this order, when nobody says which.
    pub const USUAL: [Workload; 8] = [
        Workload::Pairs,
        Workload::FanOut,
        Workload::FanIn,
        Workload::Latency,
        Workload::Connect,
        Workload::Idle,
        Workload::Retained,
        Workload::Offline,
    ];

    /// Those that ask whether one client's trouble stays its own.
    pub const STRESS: [Workload; 3] = [Workload::StressFlood, Workload::StressStuck, Workload::StressSubscribe];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Pairs => "pairs",
            Workload::FanOut => "fan-out",
            Workload::FanIn => "fan-in",
            Workload::Latency => "latency",
            Workload::Connect => "connect",
            Workload::Idle => "idle",
            Workload::Retained => "retained",
            Workload::Offline => "offline",
            Workload::StressFlood => "stress-flood",
            Workload::StressStuck => "stress-stuck",
            Workload::StressSubscribe => "stress-subscribe",
        }
    }

    /// How many when nobody says: pairs, subscribers, publishers, connections (at a time), or subscriptions.
    fn clients(self) -> usize {
        match self {
            Workload::Pairs => 10,
            Workload::FanOut => 100,
            Workload::FanIn | Workload::Connect => 50,
            Workload::Idle | Workload::StressStuck => 1000,
            Workload::StressSubscribe => 100_000,
            Workload::Latency | Workload::Retained | Workload::Offline | Workload::StressFlood => 1,
        }
    }

    /// Messages a second when nobody says, where there is a fixed rate.
    fn rate(self) -> f64 {
        match self {
            Workload::StressStuck => 100.0,
            Workload::StressSubscribe => 50_000.0,
            _ => RATE,
        }
    }
}

/// TLS towards the server.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Whom to trust.
    pub config: Arc<rustls::ClientConfig>,
    /// The name that the certificate must have.
    pub name: ServerName<'static>,
}

impl Tls {
    /// So that each handshake is a whole one.
    pub fn without_resumption(mut self) -> Self {
        Arc::make_mut(&mut self.config).resumption = rustls::client::Resumption::disabled();
        self
    }
}

/// How to measure. `None` leaves the choice to the workload.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server, as `host:port`.
    pub address: String,
    /// Encrypted, when set.
    pub tls: Option<Tls>,
    /// MQTT over WebSocket on this path, when set.
    pub websocket: Option<String>,
    /// The version to speak.
    pub version: Version,
    /// Who the clients say they are.
    pub user: Option<String>,
    /// And how they prove it.
    pub password: Option<Vec<u8>>,
    /// Of publishers and of subscriptions.
    pub qos: QoS,
    /// Bytes of a payload; never fewer than the figures in it need.
    pub size: usize,
    /// How long to measure, after the warm-up.
    pub duration: Duration,
    /// How long before it counts.
    pub warm_up: Duration,
    /// Ends after so many messages (of a publisher) or connections instead, and counts from the first one.
    pub count: Option<u64>,
    /// The vhost of AMQP clients.
    pub vhost: String,
    /// Deliveries that an AMQP consumer may have unacknowledged.
    pub prefetch: u16,
    /// Unacknowledged messages of a publisher.
    pub window: u16,
    /// Messages of a publisher that have not reached their subscribers.
    pub in_flight: Option<u64>,
    /// Pairs, subscribers, publishers, connections.
    pub clients: Option<usize>,
    /// Messages a second, where they come at a fixed rate.
    pub rate: Option<f64>,
    /// The process of a local server, to say what the work costs it.
    pub pid: Option<u32>,
    /// First levels of all topics.
    pub topic: String,
    /// How long without any progress until what is missing counts as lost.
    pub patience: Duration,
}

impl Options {
    /// The defaults, against the server at `address`.
    pub fn new(address: impl Into<String>) -> Self {
        Options {
            address: address.into(),
            tls: None,
            websocket: None,
            version: Version::V5,
            user: None,
            password: None,
            qos: QoS::AtLeastOnce,
            size: 64,
            duration: Duration::from_secs(5),
            warm_up: Duration::from_secs(1),
            count: None,
            vhost: "/".into(),
            prefetch: 200,
            window: 100,
            in_flight: None,
            clients: None,
            rate: None,
            pid: None,
            topic: "motet-bench".into(),
            patience: Duration::from_secs(5),
        }
    }

    /// How many clients take part.
    pub(crate) fn clients(&self, workload: Workload) -> usize {
        self.clients.unwrap_or_else(|| workload.clients()).max(1)
    }

    /// Messages a second, of all publishers together.
    pub(crate) fn rate(&self, workload: Workload) -> f64 {
        self.rate.unwrap_or_else(|| workload.rate())
    }
}
