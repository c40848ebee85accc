//! Many subscribers of one topic at a fixed rate, and then one more that never reads.

use super::figures;
use crate::connection::{ClientError, Connection};
use crate::flow::Run;
use crate::measure::lasting;
use crate::options::{Options, Workload};
use crate::publisher::Task;
use crate::report::Figures;
use crate::scene::{Cast, Shape, identity, perform};
use motet_mqtt::packet::QoS;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const WORKLOAD: Workload = Workload::StressStuck;
/// What is sent to the stuck one beforehand: more than the buffers of any kernel between it and the server.
const FILL: (usize, u64) = (16 << 10, 1024);
/// How long that may take; a server that holds the publisher back has filled it before.
const FILL_TIME: Duration = Duration::from_secs(2);
/// A client that reads at last and hears nothing for so long has heard everything.
const SILENCE: Duration = Duration::from_millis(500);

pub(crate) async fn stuck(options: &Options) -> Result<Figures, ClientError> {
    let subscribers = options.clients(WORKLOAD);
    let rate = Some(options.rate(WORKLOAD));
    let cast = Cast { publishers: 1, subscribers, shape: Shape::FanOut, in_flight: u64::MAX, rate };
    // One that nobody else uses: the stuck one hears everything below it.
    let run = Arc::new(Run::new(1, 0));
    let options = &Options { topic: format!("{}/{:08x}", options.topic, run.id), ..options.clone() };
    let before = perform(&cast, options, lasting(options)).await?;
    let stuck = get_stuck(options, &run).await?;
    let beside = perform(&cast, options, lasting(options)).await?;
    let kept = is_kept(stuck).await;
    let others = format!("{subscribers} subscribers, then a stuck one too,");
    let mut figures = figures(WORKLOAD, options, &others, &[("before", &before), ("stuck", &beside)]);
    figures.more.push(("stuck one", f64::from(u8::from(kept)), "connections kept by the server"));
    Ok(figures)
}

/// A client whose connection takes nothing more.
async fn get_stuck(options: &Options, run: &Arc<Run>) -> Result<Connection, ClientError> {
    let mut stuck = Connection::open(options, &identity(run, "stuck", 0)).await?;
    stuck.subscribe(&format!("{}/#", options.topic), options.qos).await?;
    let filler = Connection::open(options, &identity(run, "fill", 0)).await?;
    let options = Options { qos: QoS::AtMostOnce, size: FILL.0, count: Some(FILL.1), ..options.clone() };
    let task = Task::new(run.clone(), 0, format!("{}/fill", options.topic), &options, u64::MAX);
    let _ = timeout(FILL_TIME, task.perform(filler)).await;
    Ok(stuck)
}

/// Reads at last; false when the server has closed the connection.
async fn is_kept(mut stuck: Connection) -> bool {
    loop {
        stuck.input.clear();
        match timeout(SILENCE, stuck.pump()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return false,
            Err(_) => return true,
        }
    }
}
