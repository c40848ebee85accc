//! A pair at a fixed rate, alone and then beside pairs that publish with QoS 0 as fast as the server reads.

use super::{answer, aside, figures};
use crate::connection::ClientError;
use crate::measure::lasting;
use crate::options::{Options, Workload};
use crate::report::Figures;
use crate::scene::{Cast, Outcome, Shape, perform};
use motet_mqtt::packet::QoS;
use std::time::Duration;
use tokio::sync::watch;

const WORKLOAD: Workload = Workload::StressFlood;

pub(crate) async fn flood(options: &Options) -> Result<Figures, ClientError> {
    let pair = Cast::paced_pairs(1, options.rate(WORKLOAD));
    let alone = perform(&pair, options, lasting(options)).await?;
    let (over, wait) = watch::channel(false);
    let flooding = aside(pour(options.clone(), wait));
    let beside = perform(&pair, options, lasting(options)).await;
    let _ = over.send(true);
    let flood = answer(flooding).await?;
    let beside = beside?;
    let others = format!("a pair beside {} that flood with QoS 0,", flood.published.len());
    let mut figures = figures(WORKLOAD, options, &others, &[("alone", &alone), ("beside", &beside)]);
    let (arrived, secs) = (flood.measured.delivered as f64, flood.measured.elapsed.as_secs_f64().max(1e-9));
    figures.more.push(("flood", arrived / secs, "messages/s"));
    figures.more.push(("flood lost", flood.quality().lost as f64, "messages, as it may with QoS 0"));
    figures.errors.extend(flood.errors());
    Ok(figures)
}

/// The neighbours: nothing but the carrier holds them back, unless a bound was asked for.
async fn pour(options: Options, mut over: watch::Receiver<bool>) -> Result<Outcome, ClientError> {
    let pairs = options.clients(WORKLOAD);
    let in_flight = options.in_flight.unwrap_or(u64::MAX);
    let cast = Cast { publishers: pairs, subscribers: pairs, shape: Shape::Pairs, in_flight, rate: None };
    let options = Options { qos: QoS::AtMostOnce, count: None, warm_up: Duration::ZERO, pid: None, ..options };
    perform(&cast, &options, async move {
        let _ = over.wait_for(|over| *over).await;
    })
    .await
}
