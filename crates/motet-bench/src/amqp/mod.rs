//! Workloads of AMQP 0-9-1: queues, and who fills and empties them.
//!
//! [`Options::qos`] says how much is promised: with QoS 0 messages are transient and consumers acknowledge nothing; else
//! they are persistent, each is confirmed to its publisher and acknowledged by its consumer.

mod connection;
mod consumer;
mod publisher;

use crate::connection::ClientError;
use crate::flow::Run;
use crate::histogram::Histogram;
use crate::ledger::Quality;
use crate::measure::{Mark, join, keep_time, lasting, measure, settled};
use crate::options::Options;
use crate::plan::{Pace, Published};
use crate::report::{Cost, Figures};
use crate::scene::{errors, quality};
use crate::subscriber::Received;
use connection::Connection;
use consumer::{Consumed, consume};
use motet_mqtt::packet::QoS;
use publisher::Task;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// Messages of a backlog when nobody says how many.
const BACKLOG: u64 = 100_000;
/// Messages that wait in a queue at most, unless told otherwise.
const WAITING_MAX: u64 = 1_000;

/// A way to use a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Publisher and consumer, each pair with a queue of its own.
    Pairs,
    /// Many publishers and as many consumers of one queue.
    Competing,
    /// One publisher to a fan-out exchange, many queues with a consumer each.
    FanOut,
    /// A queue is filled, then emptied.
    Backlog,
    /// One pair at a fixed rate; a message is late from the moment when it was due.
    Latency,
}

impl Workload {
    /// All of them, in the order in which they are run.
    pub const ALL: [Workload; 5] =
        [Workload::Pairs, Workload::Competing, Workload::FanOut, Workload::Backlog, Workload::Latency];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Pairs => "pairs",
            Workload::Competing => "competing",
            Workload::FanOut => "fan-out",
            Workload::Backlog => "backlog",
            Workload::Latency => "latency",
        }
    }

    /// Publishers, consumers, and how many consumers get each message.
    fn cast(self, clients: Option<usize>) -> (usize, usize, usize) {
        let clients = clients.map(|clients| clients.max(1));
        match self {
            Workload::Pairs | Workload::Latency => (clients.unwrap_or(1), clients.unwrap_or(1), 1),
            Workload::Competing => (clients.unwrap_or(10), clients.unwrap_or(10), 1),
            Workload::FanOut => (1, clients.unwrap_or(10), clients.unwrap_or(10)),
            Workload::Backlog => (1, 1, 1),
        }
    }
}

/// Runs one workload against the server. Must be called inside of a tokio runtime with time and IO.
///
/// # Errors
/// The server cannot be reached, refuses a client, or breaks the protocol: then there is nothing to report.
pub async fn run(workload: Workload, options: &Options) -> Result<Figures, ClientError> {
    let cast = workload.cast(options.clients);
    let run = Arc::new(Run::new(cast.0, cast.2));
    let stage = Stage::set(workload, options, &run, cast.1).await?;
    let figures = match workload {
        Workload::Backlog => backlog(options, &run, &stage).await,
        _ => traffic(workload, options, &run, &stage, cast).await,
    };
    // Nothing of it stays behind, whatever came of it.
    let cleared = stage.clear(options).await;
    let figures = figures?;
    cleared?;
    Ok(figures)
}

/// The queues of a run, and the exchange before them.
struct Stage {
    exchange: String,
    queues: Vec<String>,
}

impl Stage {
    async fn set(workload: Workload, options: &Options, run: &Run, consumers: usize) -> Result<Self, ClientError> {
        let name = |what: &dyn std::fmt::Display| format!("{}.{:08x}.{what}", options.topic, run.id);
        let (exchange, queues) = match workload {
            Workload::Competing | Workload::Backlog => (String::new(), 1),
            Workload::FanOut => (name(&"fan-out"), consumers),
            Workload::Pairs | Workload::Latency => (String::new(), consumers),
        };
        let stage = Stage { exchange, queues: (0..queues).map(|number| name(&number)).collect() };
        let mut connection = Connection::open(options).await?;
        if !stage.exchange.is_empty() {
            connection.declare_fanout(&stage.exchange).await?;
        }
        for queue in &stage.queues {
            connection.declare(queue, options.qos > QoS::AtMostOnce).await?;
            if !stage.exchange.is_empty() {
                connection.bind(queue, &stage.exchange).await?;
            }
        }
        connection.close().await;
        Ok(stage)
    }

    async fn clear(&self, options: &Options) -> Result<(), ClientError> {
        let mut connection = Connection::open(options).await?;
        for queue in &self.queues {
            connection.delete(queue).await?;
        }
        if !self.exchange.is_empty() {
            connection.delete_exchange(&self.exchange).await?;
        }
        connection.close().await;
        Ok(())
    }

    fn queue(&self, number: usize) -> &str {
        &self.queues[number % self.queues.len()]
    }

    async fn consumer(&self, options: &Options, number: usize) -> Result<Connection, ClientError> {
        let mut connection = Connection::open(options).await?;
        connection.consume(self.queue(number), options.qos == QoS::AtMostOnce, options.prefetch).await?;
        Ok(connection)
    }

    fn task(&self, options: &Options, run: &Arc<Run>, number: usize, in_flight: u64) -> Task {
        let mut task = Task::new(run.clone(), number as u32, options, in_flight);
        if self.exchange.is_empty() {
            self.queue(number).clone_into(&mut task.key);
        } else {
            self.exchange.clone_into(&mut task.exchange);
        }
        task
    }
}

async fn traffic(
    workload: Workload,
    options: &Options,
    run: &Arc<Run>,
    stage: &Stage,
    (publishers, consumers, fan_out): (usize, usize, usize),
) -> Result<Figures, ClientError> {
    let no_ack = options.qos == QoS::AtMostOnce;
    let (over, listening) = watch::channel(false);
    let mut consuming = Vec::new();
    for number in 0..consumers {
        let connection = stage.consumer(options, number).await?;
        consuming.push(tokio::spawn(consume(run.clone(), connection, no_ack, listening.clone())));
    }
    let mut connections = Vec::new();
    for _ in 0..publishers {
        connections.push(Connection::open(options).await?);
    }
    let pace = (workload == Workload::Latency).then(|| Pace::from_now(run, options.rate(crate::Workload::Latency)));
    let in_flight = options.in_flight.unwrap_or(if pace.is_some() { u64::MAX } else { WAITING_MAX });
    let usage = Cost::look(options.pid);
    let begun = Mark { at: Instant::now(), delivered: 0, usage };
    let publishing: Vec<_> = connections
        .into_iter()
        .enumerate()
        .map(|(number, connection)| {
            let mut task = stage.task(options, run, number, in_flight);
            if pace.is_some() {
                // An open loop: the server's own bound is the only one.
                (task.plan.pace, task.window) = (pace, u64::MAX);
            }
            tokio::spawn(task.perform(connection))
        })
        .collect();
    let timekeeper = pace.map(|pace| keep_time(run.clone(), pace));
    let measured = measure(run, &publishing, options, begun, lasting(options)).await;
    run.stop();
    let published = join(publishing).await;
    settled(run, options, || run.delivered() >= run.expected()).await;
    let _ = over.send(true);
    let consumed = join(consuming).await;
    if let Some(timekeeper) = timekeeper {
        let _ = tokio::task::spawn_blocking(|| timekeeper.join()).await;
    }
    let mut more = vec![];
    let stalls: u64 = published.iter().map(|published| published.stalls).sum();
    if stalls > 0 {
        more.push(("stalls", stalls as f64, "times nothing arrived for half a second"));
    }
    let mut lateness = Histogram::default();
    published.iter().for_each(|published| lateness.merge(&published.lateness));
    if let Some(late) = lateness.quantiles().filter(|_| pace.is_some()) {
        more.push(("own lateness", late.p99, "us at p99, part of the above"));
    }
    let mut latency = Histogram::default();
    consumed.iter().for_each(|consumed| latency.merge(&consumed.latency));
    let (quality, errors) = account(workload, fan_out, &published, consumed);
    Ok(Figures {
        workload: workload.name(),
        setting: setting(options, &format!("{publishers} to {consumers}")),
        qos: options.qos,
        unit: "messages",
        count: measured.delivered,
        elapsed: measured.elapsed,
        latency: latency.quantiles(),
        quality: Some(quality),
        server: measured.cost,
        phases: Vec::new(),
        more,
        errors,
    })
}

async fn backlog(options: &Options, run: &Arc<Run>, stage: &Stage) -> Result<Figures, ClientError> {
    let count = options.count.unwrap_or(BACKLOG);
    let options = &Options { count: Some(count), ..options.clone() };
    let before = Cost::look(options.pid);
    let connection = Connection::open(options).await?;
    let begun = Instant::now();
    let published = [stage.task(options, run, 0, u64::MAX).perform(connection).await];
    let fill_time = begun.elapsed();
    let filled = Cost::between(before, Cost::look(options.pid));

    let (over, listening) = watch::channel(false);
    let begun = Instant::now();
    let connection = stage.consumer(options, 0).await?;
    let no_ack = options.qos == QoS::AtMostOnce;
    let consumer = tokio::spawn(consume(run.clone(), connection, no_ack, listening));
    settled(run, options, || run.delivered() >= run.expected() || consumer.is_finished()).await;
    let elapsed = begun.elapsed();
    let _ = over.send(true);
    let consumed = join(vec![consumer]).await;
    let cost = Cost::between(before, Cost::look(options.pid));
    let mut more = vec![("filled", published[0].sent as f64 / fill_time.as_secs_f64().max(1e-9), "messages/s")];
    if let Some(filled) = filled {
        more.push(("full", filled.rss_bytes.1 as f64 / f64::from(1 << 20), "MiB resident"));
    }
    let (quality, errors) = account(Workload::Backlog, 1, &published, consumed);
    Ok(Figures {
        workload: Workload::Backlog.name(),
        setting: setting(options, &format!("{count} messages")),
        qos: options.qos,
        unit: "messages",
        count: quality.received,
        elapsed,
        latency: None,
        quality: Some(quality),
        server: cost,
        phases: Vec::new(),
        more,
        errors,
    })
}

/// What arrived against what was taken. Competing consumers share the messages: what two of them got is there twice.
fn account(
    workload: Workload,
    fan_out: usize,
    published: &[Published],
    consumed: Vec<Consumed>,
) -> (Quality, Vec<String>) {
    let mut received: Vec<Received> = Vec::new();
    let mut shared = crate::ledger::Ledger::default();
    for Consumed { ledger, latency, error } in consumed {
        let quality = match workload {
            Workload::Competing => {
                shared.merge(&ledger);
                Quality::default()
            }
            _ => ledger.quality,
        };
        received.push(Received { quality, latency, error, ..Received::default() });
    }
    if let (Workload::Competing, Some(first)) = (workload, received.first_mut()) {
        first.quality = shared.quality;
    }
    (quality(fan_out as u64, published, &received), errors(published, &received))
}

/// How it was run, in words.
fn setting(options: &Options, clients: &str) -> String {
    let kept = match options.qos {
        QoS::AtMostOnce => "transient, no acknowledgements".to_owned(),
        _ => format!("persistent, confirmed, acknowledged, prefetch {}", options.prefetch),
    };
    let tls = if options.tls.is_some() { ", TLS" } else { "" };
    format!("{clients}, {kept}, {} B, AMQP 0-9-1{tls}", options.size)
}
