//! Publishers and subscribers at work for a while: what most workloads are made of.

use crate::connection::{ClientError, Connection, Identity};
use crate::flow::Run;
use crate::histogram::Histogram;
use crate::measure::{Mark, Measured, join, keep_time, measure, settled};
use crate::options::Options;
use crate::plan::{Pace, Published};
use crate::publisher::Task;
use crate::report::{Cost, Phase, Quality};
use crate::subscriber::{Received, listen};
use motet_mqtt::packet::Version;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Who takes part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cast {
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    pub(crate) shape: Shape,
    /// Messages of a publisher that have not reached their subscribers.
    pub(crate) in_flight: u64,
    /// Messages a second of all publishers together; as fast as it goes when `None`.
    pub(crate) rate: Option<f64>,
}

/// Who hears whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Each publisher has a subscriber of its own.
    Pairs,
    /// Everybody hears the one publisher.
    FanOut,
    /// One hears everybody.
    FanIn,
}

impl Cast {
    /// Pairs that publish at this rate.
    pub(crate) fn paced_pairs(pairs: usize, rate: f64) -> Self {
        Cast { publishers: pairs, subscribers: pairs, shape: Shape::Pairs, in_flight: u64::MAX, rate: Some(rate) }
    }

    fn fan_out(&self) -> usize {
        if self.shape == Shape::FanOut { self.subscribers } else { 1 }
    }
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) measured: Measured,
    pub(crate) published: Vec<Published>,
    pub(crate) received: Vec<Received>,
    fan_out: u64,
}

/// Plays a scene and measures it until `until` has come.
pub(crate) async fn perform(
    cast: &Cast,
    options: &Options,
    until: impl Future<Output = ()>,
) -> Result<Outcome, ClientError> {
    let run = Arc::new(Run::new(cast.publishers, cast.fan_out()));
    let topic = |number: &dyn std::fmt::Display| format!("{}/{:08x}/{number}", options.topic, run.id);
    let (over, listening) = watch::channel(false);
    let mut subscribers = Vec::new();
    for number in 0..cast.subscribers {
        let filter = match cast.shape {
            Shape::FanOut => topic(&0),
            Shape::FanIn => topic(&"+"),
            Shape::Pairs => topic(&number),
        };
        let mut connection = Connection::open(options, &identity(&run, "s", number)).await?;
        connection.subscribe(&filter, options.qos).await?;
        subscribers.push(tokio::spawn(listen(run.clone(), connection, listening.clone())));
    }
    let mut connections = Vec::new();
    for number in 0..cast.publishers {
        connections.push(Connection::open(options, &identity(&run, "p", number)).await?);
    }
    let pace = cast.rate.map(|rate| Pace::from_now(&run, rate));
    let publish = |(number, connection)| {
        let mut task = Task::new(run.clone(), number as u32, topic(&number), options, cast.in_flight);
        if pace.is_some() {
            // An open loop: the server's own bound is the only one.
            (task.plan.pace, task.window) = (pace, u16::MAX);
        }
        tokio::spawn(task.perform(connection))
    };
    let usage = Cost::look(options.pid);
    let begun = Mark { at: Instant::now(), delivered: 0, usage };
    let publishers: Vec<_> = connections.into_iter().enumerate().map(publish).collect();
    let timekeeper = pace.map(|pace| keep_time(run.clone(), pace));

    let measured = measure(&run, &publishers, options, begun, until).await;
    run.stop();
    let published = join(publishers).await;
    settled(&run, options, || run.delivered() >= run.expected()).await;
    let _ = over.send(true);
    let received = join(subscribers).await;
    if let Some(timekeeper) = timekeeper {
        let _ = tokio::task::spawn_blocking(|| timekeeper.join()).await;
    }
    Ok(Outcome { measured, published, received, fan_out: run.fan_out })
}

impl Outcome {
    /// Of all subscribers together.
    pub(crate) fn latency(&self) -> Histogram {
        let mut latency = Histogram::default();
        self.received.iter().for_each(|received| latency.merge(&received.latency));
        latency
    }

    /// What of the latency is our own fault, where messages are due at a time.
    pub(crate) fn lateness(&self) -> Histogram {
        let mut lateness = Histogram::default();
        self.published.iter().for_each(|published| lateness.merge(&published.lateness));
        lateness
    }

    pub(crate) fn stalls(&self) -> u64 {
        self.published.iter().map(|published| published.stalls).sum()
    }

    pub(crate) fn quality(&self) -> Quality {
        quality(self.fan_out, &self.published, &self.received)
    }

    pub(crate) fn errors(&self) -> Vec<String> {
        errors(&self.published, &self.received)
    }

    /// As a part of a workload.
    pub(crate) fn phase(&self, name: &'static str) -> Phase {
        let longest = self.received.iter().map(|received| received.longest_gap).max().unwrap_or_default();
        Phase { name, latency: self.latency().quantiles(), longest_gap: Some(Duration::from_nanos(longest)) }
    }
}

/// A client's name, unique to the run.
pub(crate) fn identity(run: &Run, role: &str, number: usize) -> Identity {
    Identity::passing(format!("motet-bench-{:08x}-{role}{number}", run.id))
}

/// What is missing, against what the server has taken.
pub(crate) fn quality(fan_out: u64, published: &[Published], received: &[Received]) -> Quality {
    let mut quality = Quality::default();
    received.iter().for_each(|received| quality.add(&received.quality));
    let taken = |published: &Published| published.sent - published.refused - published.unconfirmed;
    let taken: u64 = published.iter().map(taken).sum();
    quality.lost = (taken * fan_out).saturating_sub(quality.received);
    quality
}

pub(crate) fn errors(published: &[Published], received: &[Received]) -> Vec<String> {
    let mut errors = Vec::new();
    let sum = |of: fn(&Published) -> u64| published.iter().map(of).sum::<u64>();
    let (refused, unconfirmed) = (sum(|told| told.refused), sum(|told| told.unconfirmed));
    if refused > 0 {
        errors.push(format!("{refused} messages were refused by the server"));
    }
    if unconfirmed > 0 {
        errors.push(format!("{unconfirmed} messages were never acknowledged"));
    }
    let broken = published.iter().filter_map(|told| told.error.as_ref()).map(|error| ("a publisher", error));
    let mut broken =
        broken.chain(received.iter().filter_map(|told| told.error.as_ref()).map(|error| ("a subscriber", error)));
    if let Some((who, error)) = broken.next() {
        let others = broken.count();
        let others = if others > 0 { format!(" (and {others} more connections)") } else { String::new() };
        errors.push(format!("{who}: {error}{others}"));
    }
    errors
}

/// How it was run, in words.
pub(crate) fn setting(options: &Options, clients: &str) -> String {
    let version = match options.version {
        Version::V31 => "3.1",
        Version::V311 => "3.1.1",
        Version::V5 => "5.0",
    };
    let websocket = if options.websocket.is_some() { ", WebSocket" } else { "" };
    let tls = if options.tls.is_some() { ", TLS" } else { "" };
    format!("{clients}, QoS {}, {} B, MQTT {version}{websocket}{tls}", options.qos as u8, options.size)
}
