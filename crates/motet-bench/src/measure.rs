//! While a run goes on: how long it counts, when messages are due, and whether everything has arrived.

use crate::flow::Run;
use crate::options::Options;
use crate::plan::Pace;
use crate::process::Usage;
use crate::report::Cost;
use motet_mqtt::packet::QoS;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How often we look whether everything has arrived.
const LOOK: Duration = Duration::from_millis(1);

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

/// The usual time to measure: what was asked for, or until the messages that were asked for have come.
pub(crate) async fn lasting(options: &Options) {
    if options.count.is_none() {
        sleep(options.duration).await;
    }
}

/// Lets the publishers work until `until` has come, and all their messages when they have a number of them.
pub(crate) async fn measure<T>(
    run: &Run,
    publishers: &[JoinHandle<T>],
    options: &Options,
    begun: Mark,
    until: impl Future<Output = ()>,
) -> Measured {
    let begun = match options.count {
        Some(_) => {
            let done = || publishers.iter().all(JoinHandle::is_finished) && run.delivered() >= run.expected();
            tokio::join!(settled(run, options, done), until);
            begun
        }
        None => {
            sleep(options.warm_up).await;
            run.measured_from.store(run.clock.nanos(), Ordering::Relaxed);
            let begun = Mark { at: Instant::now(), delivered: run.delivered(), usage: Cost::look(options.pid) };
            until.await;
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
