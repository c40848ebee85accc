//! Connections that stay: what they cost a server that has nothing to do for them.

use crate::connection::{ClientError, Connection};
use crate::flow::Run;
use crate::measure::join;
use crate::options::{Options, Workload};
use crate::report::{Cost, Figures};
use crate::scene::{identity, setting};
use motet_mqtt::packet::{Encode as _, Pingreq};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::sleep;

/// Connections that are being opened at a time.
const OPENING: usize = 32;

pub(crate) async fn run(options: &Options) -> Result<Figures, ClientError> {
    let wanted = options.clients(Workload::Idle);
    let run = Arc::new(Run::new(0, 0));
    let (over, stay) = watch::channel(false);
    // One alone first: a server that refuses it refuses all of them, and then there is nothing to measure.
    open(options, &run, wanted).await?.close().await;
    let before = Cost::look(options.pid);
    let begun = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let openers = (0..OPENING).map(|_| {
        let (run, next, options, stay) = (run.clone(), next.clone(), options.clone(), stay.clone());
        tokio::spawn(async move {
            let mut idlers = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= wanted {
                    return (idlers, None);
                }
                match open(&options, &run, number).await {
                    Ok(connection) => idlers.push(tokio::spawn(idle(connection, stay.clone()))),
                    // As many as there are: how far it goes is what one wants to know.
                    Err(error) => return (idlers, Some(error)),
                }
            }
        })
    });
    let (mut idlers, mut errors) = (Vec::new(), Vec::new());
    for (some, error) in join(openers.collect()).await {
        idlers.extend(some);
        errors.extend(error.map(|error| error.to_string()));
    }
    let (opened, elapsed, connected) = (idlers.len(), begun.elapsed(), Cost::look(options.pid));
    sleep(options.duration).await;
    let after = Cost::look(options.pid);
    let _ = over.send(true);
    let broken = join(idlers).await.into_iter().filter(|alive| !alive).count();
    if broken > 0 {
        errors.push(format!("{broken} connections broke while they were idle"));
    }
    errors.truncate(3);
    let mut more = Vec::new();
    if let (Some(before), Some(connected), Some(after)) = (before, connected, after) {
        let grown = after.rss_bytes.saturating_sub(before.rss_bytes) as f64;
        let idle_cpu = after.cpu.saturating_sub(connected.cpu).as_secs_f64();
        more.push(("memory", grown / opened.max(1) as f64, "bytes each"));
        more.push(("idle CPU", idle_cpu / options.duration.as_secs_f64().max(1e-9) * 100.0, "%"));
    }
    Ok(Figures {
        workload: Workload::Idle.name(),
        setting: setting(options, &format!("{opened} connections, a subscription each")),
        qos: options.qos,
        unit: "connections",
        count: opened as u64,
        elapsed,
        latency: None,
        quality: None,
        server: Cost::between(before, connected),
        phases: Vec::new(),
        more,
        errors,
    })
}

async fn open(options: &Options, run: &Run, number: usize) -> Result<Connection, ClientError> {
    let mut connection = Connection::open(options, &identity(run, "i", number)).await?;
    connection.subscribe(&format!("{}/{:08x}/idle/{number}", options.topic, run.id), options.qos).await?;
    Ok(connection)
}

/// Stays; true when the connection was there to the end.
async fn idle(mut connection: Connection, mut over: watch::Receiver<bool>) -> bool {
    // A server may insist on signs of life; otherwise there are none.
    let between = connection.keep_alive_secs.map_or(Duration::MAX, |secs| Duration::from_secs(u64::from(secs)) * 3 / 4);
    loop {
        tokio::select! {
            pumped = connection.pump() => if pumped.is_err() || connection.packets(|_, _| Ok(())).is_err() {
                return false;
            },
            () = sleep(between) => Pingreq.encode(connection.version, &mut connection.out),
            _ = over.wait_for(|over| *over) => break,
        }
    }
    connection.close().await;
    true
}
