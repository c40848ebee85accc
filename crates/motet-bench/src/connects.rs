//! Connections that come and go: TCP, TLS where asked for, CONNECT to CONNACK, and goodbye.

use crate::connection::{ClientError, Connection};
use crate::flow::Run;
use crate::histogram::Histogram;
use crate::measure::join;
use crate::options::{Options, Workload};
use crate::report::{Cost, Figures, Phase};
use crate::scene::{identity, setting};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Connections when nobody says how many: a machine has some 28,000 ports for one address, and they rest after use.
const COUNT: u64 = 10_000;

pub(crate) async fn run(options: &Options) -> Result<Figures, ClientError> {
    let at_a_time = options.clients(Workload::Connect);
    let run = Arc::new(Run::new(0, 0));
    // One alone first: a server that refuses it refuses all of them, and then there is nothing to measure.
    Connection::open(options, &identity(&run, "c", 0)).await?.close().await;
    let next = Arc::new(AtomicU64::new(0));
    let (usage, begun) = (Cost::look(options.pid), Instant::now());
    let end = begun + options.duration;
    let handles = (0..at_a_time).map(|_| {
        let (run, next, options) = (run.clone(), next.clone(), options.clone());
        tokio::spawn(async move {
            let mut took = Took::default();
            let mut count = 0_u64;
            while Instant::now() < end {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= options.count.unwrap_or(COUNT) {
                    break;
                }
                let asked = Instant::now();
                match Connection::open(&options, &identity(&run, "c", number as usize)).await {
                    Ok(connection) => {
                        took.note(asked, connection.carried_at);
                        connection.close().await;
                        count += 1;
                    }
                    Err(error) => return (count, took, Some(error)),
                }
            }
            (count, took, None)
        })
    });
    let told = join(handles.collect()).await;
    let (elapsed, cost) = (begun.elapsed(), Cost::between(usage, Cost::look(options.pid)));
    let mut took = Took::default();
    told.iter().for_each(|(_, one, _)| took.merge(one));
    Ok(Figures {
        workload: Workload::Connect.name(),
        setting: setting(options, &format!("{at_a_time} at a time")),
        qos: options.qos,
        unit: "connections",
        count: told.iter().map(|(count, ..)| count).sum(),
        elapsed,
        latency: took.whole.quantiles(),
        quality: None,
        server: cost,
        phases: [("carrier", took.carrier), ("login", took.login)].map(phase).into(),
        more: Vec::new(),
        errors: told.iter().filter_map(|(.., error)| error.as_ref()).take(1).map(ToString::to_string).collect(),
    })
}

/// How long connections took to be there.
#[derive(Default)]
struct Took {
    whole: Histogram,
    /// TCP, TLS, WebSocket.
    carrier: Histogram,
    /// CONNECT to CONNACK.
    login: Histogram,
}

impl Took {
    fn note(&mut self, asked: Instant, carried: Instant) {
        let now = Instant::now();
        self.whole.add((now - asked).as_nanos() as u64);
        self.carrier.add((carried - asked).as_nanos() as u64);
        self.login.add((now - carried).as_nanos() as u64);
    }

    fn merge(&mut self, other: &Took) {
        self.whole.merge(&other.whole);
        self.carrier.merge(&other.carrier);
        self.login.merge(&other.login);
    }
}

fn phase((name, took): (&'static str, Histogram)) -> Phase {
    Phase { name, latency: took.quantiles(), longest_gap: None }
}
