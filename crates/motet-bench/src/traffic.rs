//! Pairs, fan-out, fan-in and latency: publishers and subscribers at work for a while.

use crate::connection::{ClientError, Connection, Identity};
use crate::flow::Run;
use crate::histogram::Histogram;
use crate::options::{Options, Workload};
use crate::process::Usage;
use crate::publisher::{Pace, Published, Task};
use crate::report::{Cost, Figures, Quality};
use crate::subscriber::{Received, listen};
use motet_mqtt::packet::{QoS, Version};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How often we look whether everything has arrived.
const LOOK: Duration = Duration::from_millis(1);
/// Messages that wait for one subscriber at most, unless told otherwise: below what servers keep by default.
const WAITING_MAX: u64 = 900;
/// The same for one of many subscribers, where the server holds as many copies.
const WAITING_MAX_FAN_OUT: u64 = 100;

/// Who takes part.
struct Cast {
    publishers: usize,
    subscribers: usize,
    fan_out: usize,
    in_flight: u64,
}

pub(crate) async fn run(workload: Workload, options: &Options) -> Result<Figures, ClientError> {
    let cast = Cast::of(workload, options);
    let run = Arc::new(Run::new(cast.publishers, cast.fan_out));
    let topic = |number: &dyn std::fmt::Display| format!("{}/{:08x}/{number}", options.topic, run.id);
    let (over, listening) = watch::channel(false);
    let mut subscribers = Vec::new();
    for number in 0..cast.subscribers {
        let filter = match workload {
            Workload::FanOut => topic(&0),
            Workload::FanIn => topic(&"+"),
            _ => topic(&number),
        };
        let mut connection = Connection::open(options, &identity(&run, "s", number)).await?;
        connection.subscribe(&filter, options.qos).await?;
        subscribers.push(tokio::spawn(listen(run.clone(), connection, listening.clone())));
    }
    let mut connections = Vec::new();
    for number in 0..cast.publishers {
        connections.push(Connection::open(options, &identity(&run, "p", number)).await?);
    }
    let pace = (workload == Workload::Latency)
        .then(|| Pace { start: run.clock.nanos(), interval: 1e9 * cast.publishers as f64 / options.rate.max(1e-3) });
    let publish = |(number, connection)| {
        let mut task = Task::new(run.clone(), number as u32, topic(&number), options, cast.in_flight);
        if pace.is_some() {
            // An open loop: the server's own bound is the only one.
            (task.pace, task.window) = (pace, u16::MAX);
        }
        tokio::spawn(task.perform(connection))
    };
    let usage = Cost::look(options.pid);
    let begun = Mark { at: Instant::now(), delivered: 0, usage };
    let publishers: Vec<_> = connections.into_iter().enumerate().map(publish).collect();
    let timekeeper = pace.map(|pace| keep_time(run.clone(), pace));

    let measured = measure(&run, &publishers, options, begun).await;
    run.stop();
    let published = join(publishers).await;
    settled(&run, options, || run.delivered() >= run.expected()).await;
    let _ = over.send(true);
    let received = join(subscribers).await;
    if let Some(timekeeper) = timekeeper {
        let _ = tokio::task::spawn_blocking(|| timekeeper.join()).await;
    }
    Ok(figures(workload, options, &cast, measured, &published, &received))
}

/// A client's name, unique to the run.
pub(crate) fn identity(run: &Run, role: &str, number: usize) -> Identity {
    Identity::passing(format!("motet-bench-{:08x}-{role}{number}", run.id))
}

impl Cast {
    fn of(workload: Workload, options: &Options) -> Self {
        let clients = options.clients(workload);
        let (publishers, subscribers, fan_out, waiting) = match workload {
            Workload::FanOut => (1, clients, clients, WAITING_MAX_FAN_OUT),
            Workload::FanIn => (clients, 1, 1, (WAITING_MAX / clients as u64).max(1)),
            Workload::Latency => (clients, clients, 1, u64::MAX),
            _ => (clients, clients, 1, WAITING_MAX),
        };
        Cast { publishers, subscribers, fan_out, in_flight: options.in_flight.unwrap_or(waiting).max(1) }
    }
}

/// What happened while it counted.
pub(crate) struct Measured {
    pub(crate) delivered: u64,
    pub(crate) elapsed: Duration,
    pub(crate) cost: Option<Cost>,
}

/// From where on it counts.
pub(crate) struct Mark {
    pub(crate) at: Instant,
    pub(crate) delivered: u64,
    pub(crate) usage: Option<Usage>,
}

pub(crate) async fn measure<T>(run: &Run, publishers: &[JoinHandle<T>], options: &Options, begun: Mark) -> Measured {
    let begun = match options.count {
        Some(_) => {
            let done = || publishers.iter().all(JoinHandle::is_finished) && run.delivered() >= run.expected();
            settled(run, options, done).await;
            begun
        }
        None => {
            sleep(options.warm_up).await;
            run.measured_from.store(run.clock.nanos(), Ordering::Relaxed);
            let begun = Mark { at: Instant::now(), delivered: run.delivered(), usage: Cost::look(options.pid) };
            sleep(options.duration).await;
            begun
        }
    };
    Measured {
        delivered: run.delivered() - begun.delivered,
        elapsed: begun.at.elapsed(),
        cost: Cost::between(begun.usage, Cost::look(options.pid)),
    }
}

/// Waits until `done`, or until nothing has moved for so long that nothing will.
pub(crate) async fn settled(run: &Run, options: &Options, done: impl Fn() -> bool) {
    let patience = match options.qos {
        QoS::AtMostOnce => options.patience.min(Duration::from_secs(1)),
        _ => options.patience,
    };
    let (mut seen, mut moved) = ((0, 0), Instant::now());
    while !done() {
        let now = (run.delivered(), run.expected());
        if now != seen {
            (seen, moved) = (now, Instant::now());
        }
        if moved.elapsed() > patience {
            return;
        }
        sleep(LOOK).await;
    }
}

/// Tells publishers when their next message is due: a thread of its own, since a runtime's timers count milliseconds.
pub(crate) fn keep_time(run: Arc<Run>, pace: Pace) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        while !run.is_stopping() {
            let due = pace.due(run.clock.nanos());
            for flow in &run.flows {
                flow.due.store(due, Ordering::Release);
                flow.changed.notify_one();
            }
            let next = run.clock.at(pace.due_at(due)).saturating_duration_since(Instant::now());
            // Not so long that the end of the run would wait for us.
            std::thread::sleep(next.min(Duration::from_millis(100)));
        }
    })
}

/// All results; a panic, which can only be our bug, goes on here.
pub(crate) async fn join<T>(handles: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::with_capacity(handles.len());
    for handle in handles {
        match handle.await {
            Ok(result) => results.push(result),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    results
}

fn figures(
    workload: Workload,
    options: &Options,
    cast: &Cast,
    measured: Measured,
    published: &[Published],
    received: &[Received],
) -> Figures {
    let mut latency = Histogram::default();
    received.iter().for_each(|received| latency.merge(&received.latency));
    let mut more = vec![];
    let stalls: u64 = published.iter().map(|published| published.stalls).sum();
    if stalls > 0 {
        more.push(("stalls", stalls as f64, "times nothing arrived for half a second"));
    }
    if workload == Workload::Latency {
        let mut lateness = Histogram::default();
        published.iter().for_each(|published| lateness.merge(&published.lateness));
        if let Some(late) = lateness.quantiles() {
            more.push(("own lateness", late.p99, "us at p99, part of the above"));
        }
    }
    Figures {
        workload: workload.name(),
        setting: setting(options, &format!("{} to {}", cast.publishers, cast.subscribers)),
        qos: options.qos,
        unit: "messages",
        count: measured.delivered,
        elapsed: measured.elapsed,
        latency: latency.quantiles(),
        quality: Some(quality(cast.fan_out as u64, published, received)),
        server: measured.cost,
        more,
        errors: errors(published, received),
    }
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
    let tls = if options.tls.is_some() { ", TLS" } else { "" };
    format!("{clients}, QoS {}, {} B, MQTT {version}{tls}", options.qos as u8, options.size)
}
