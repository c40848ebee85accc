//! The options of `motet bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use motet_bench::options;

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Measure an MQTT server: Motet or any other.
    Mqtt(BenchMqtt),
    /// Measure an AMQP 0-9-1 server: Motet or any other.
    Amqp(BenchAmqp),
}

/// What measuring any protocol needs.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Measure for so many seconds, after a second that does not count.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub(crate) secs: f64,
    /// End after so many messages of each publisher (of a backlog, retained topics, offline messages, connections) instead.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Bytes of a payload; 28 at least.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(28..=100 << 20))]
    pub(crate) size: u32,
    /// Unacknowledged messages of a publisher.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) window: u16,
    /// Messages of a publisher that have not reached their subscribers; beyond it the publisher waits.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) in_flight: Option<u64>,
    /// Messages a second of latency (1000) and the stress workloads (1000, stress-stuck 100, stress-subscribe 50000).
    #[arg(long, value_parser = seconds)]
    pub(crate) rate: Option<f64>,
    /// The user's name.
    #[arg(long, visible_alias = "username")]
    pub(crate) user: Option<String>,
    /// The password; others on this machine can read it in the list of processes.
    #[arg(long, conflicts_with = "password_file")]
    pub(crate) password: Option<String>,
    /// A file whose first line is the password.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Encrypt.
    #[arg(long)]
    pub(crate) tls: bool,
    /// Trust the roots in this PEM file instead of the system's (implies --tls).
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Take any certificate (implies --tls).
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Resume no TLS session: each handshake is a whole one.
    #[arg(long)]
    pub(crate) full_handshakes: bool,
    /// The process of a server on this machine, to say what the work costs it.
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// First levels of all topics, first word of the names of all queues.
    #[arg(long, default_value = "motet-bench")]
    pub(crate) topic: String,
    /// Answer in JSON, one line for each workload.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchAmqp {
    /// The server, as host or host:port; the port is 5672, with --tls 5671.
    #[arg(default_value = "localhost")]
    pub(crate) server: String,
    /// What to measure; everything, one after the other, when not given.
    #[arg(value_enum)]
    pub(crate) workload: Vec<AmqpWorkload>,
    /// Durable queues and persistent messages, confirmed to publishers and acknowledged by consumers.
    #[arg(long)]
    pub(crate) persistent: bool,
    /// Deliveries that a consumer may have unacknowledged.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) prefetch: u16,
    /// How many pairs, consumers (fan-out), or publishers and as many consumers (competing).
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) clients: Option<u32>,
    /// The vhost.
    #[arg(long, default_value = "/")]
    pub(crate) vhost: String,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AmqpWorkload {
    /// Publisher and consumer, each pair with a queue of its own.
    Pairs,
    /// Many publishers and as many consumers of one queue.
    Competing,
    /// One publisher, a fan-out exchange, many queues with a consumer each.
    FanOut,
    /// A queue is filled, then emptied.
    Backlog,
    /// A fixed rate: how late messages arrive, counted from when they were due.
    Latency,
}

impl From<AmqpWorkload> for motet_bench::amqp::Workload {
    fn from(workload: AmqpWorkload) -> Self {
        match workload {
            AmqpWorkload::Pairs => motet_bench::amqp::Workload::Pairs,
            AmqpWorkload::Competing => motet_bench::amqp::Workload::Competing,
            AmqpWorkload::FanOut => motet_bench::amqp::Workload::FanOut,
            AmqpWorkload::Backlog => motet_bench::amqp::Workload::Backlog,
            AmqpWorkload::Latency => motet_bench::amqp::Workload::Latency,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct BenchMqtt {
    /// The server, as host or host:port; the port is 1883, with --tls 8883. Over WebSocket as ws://host:port/path or
    /// wss://host:port/path; the port is 8083 or 8443, the path /mqtt.
    #[arg(default_value = "localhost")]
    pub(crate) server: String,
    /// What to measure; everything but stress, one after the other, when not given.
    #[arg(value_enum)]
    pub(crate) workload: Vec<Workload>,
    /// Quality of service of publishers and subscriptions.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(..=2))]
    pub(crate) qos: u8,
    /// How many pairs, subscribers (fan-out, stress-stuck), publishers (fan-in), connections (connect, idle) or
    /// subscriptions (stress-subscribe).
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) clients: Option<u32>,
    /// The version of MQTT.
    #[arg(long, value_enum, default_value_t = Version::V5)]
    pub(crate) mqtt: Version,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Publisher and subscriber, each pair with a topic of its own.
    Pairs,
    /// One publisher, many subscribers.
    FanOut,
    /// Many publishers, one subscriber.
    FanIn,
    /// A fixed rate: how late messages arrive, counted from when they were due.
    Latency,
    /// Connections that come and go.
    Connect,
    /// Connections that stay and are silent.
    Idle,
    /// Retained messages: stored, then all of them for a new subscriber.
    Retained,
    /// Messages for a client that is away and comes back.
    Offline,
    /// A pair at a fixed rate, alone and then beside a flood of QoS 0.
    StressFlood,
    /// Many subscribers at a fixed rate, then one more that never reads.
    StressStuck,
    /// A pair at a high rate, while another client makes 100,000 subscriptions, and when it leaves.
    StressSubscribe,
}

impl From<Workload> for options::Workload {
    fn from(workload: Workload) -> Self {
        match workload {
            Workload::Pairs => options::Workload::Pairs,
            Workload::FanOut => options::Workload::FanOut,
            Workload::FanIn => options::Workload::FanIn,
            Workload::Latency => options::Workload::Latency,
            Workload::Connect => options::Workload::Connect,
            Workload::Idle => options::Workload::Idle,
            Workload::Retained => options::Workload::Retained,
            Workload::Offline => options::Workload::Offline,
            Workload::StressFlood => options::Workload::StressFlood,
            Workload::StressStuck => options::Workload::StressStuck,
            Workload::StressSubscribe => options::Workload::StressSubscribe,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Version {
    #[value(name = "3.1.1")]
    V311,
    #[value(name = "5")]
    V5,
}

/// A positive number that a duration can hold.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && Duration::try_from_secs_f64(value).is_ok() => Ok(value),
        _ => Err("expected a number above 0".into()),
    }
}
