//! Pairs, fan-out, fan-in and latency: one scene each.

use crate::connection::ClientError;
use crate::measure::lasting;
use crate::options::{Options, Workload};
use crate::report::Figures;
use crate::scene::{Cast, Shape, perform, setting};

/// Messages that wait for one subscriber at most, unless told otherwise: below what servers keep by default.
const WAITING_MAX: u64 = 900;
/// The same for one of many subscribers, where the server holds as many copies.
const WAITING_MAX_FAN_OUT: u64 = 100;

pub(crate) async fn run(workload: Workload, options: &Options) -> Result<Figures, ClientError> {
    let cast = cast(workload, options);
    let outcome = perform(&cast, options, lasting(options)).await?;
    let mut more = vec![];
    if outcome.stalls() > 0 {
        more.push(("stalls", outcome.stalls() as f64, "times nothing arrived for half a second"));
    }
    if let Some(late) = outcome.lateness().quantiles().filter(|_| cast.rate.is_some()) {
        more.push(("own lateness", late.p99, "us at p99, part of the above"));
    }
    Ok(Figures {
        workload: workload.name(),
        setting: setting(options, &format!("{} to {}", cast.publishers, cast.subscribers)),
        qos: options.qos,
        unit: "messages",
        count: outcome.measured.delivered,
        elapsed: outcome.measured.elapsed,
        latency: outcome.latency().quantiles(),
        phases: Vec::new(),
        quality: Some(outcome.quality()),
        server: outcome.measured.cost,
        more,
        errors: outcome.errors(),
    })
}

fn cast(workload: Workload, options: &Options) -> Cast {
    let clients = options.clients(workload);
    let (publishers, subscribers, shape, waiting) = match workload {
        Workload::FanOut => (1, clients, Shape::FanOut, WAITING_MAX_FAN_OUT),
        Workload::FanIn => (clients, 1, Shape::FanIn, (WAITING_MAX / clients as u64).max(1)),
        Workload::Latency => (clients, clients, Shape::Pairs, u64::MAX),
        _ => (clients, clients, Shape::Pairs, WAITING_MAX),
    };
    let rate = (workload == Workload::Latency).then(|| options.rate(workload));
    Cast { publishers, subscribers, shape, in_flight: options.in_flight.unwrap_or(waiting).max(1), rate }
}
