//! A pair at a high rate: alone, while another client makes very many subscriptions, and after that client has left.

use super::{answer, aside, figures};
use crate::connection::{ANSWER_TIMEOUT, ClientError, Connection, granted};
use crate::flow::Run;
use crate::measure::lasting;
use crate::options::{Options, Workload};
use crate::publisher::kind;
use crate::report::Figures;
use crate::scene::{Cast, identity, perform};
use motet_mqtt::packet::{Packet, PacketIdentifier};
use std::time::Instant;
use tokio::sync::oneshot;
use tokio::time::timeout;

const WORKLOAD: Workload = Workload::StressSubscribe;

pub(crate) async fn subscribe(options: &Options) -> Result<Figures, ClientError> {
    let pair = Cast::paced_pairs(1, options.rate(WORKLOAD));
    let alone = perform(&pair, options, lasting(options)).await?;

    let ((go, told_to_go), (leave, told_to_leave)) = (oneshot::channel(), oneshot::channel());
    let (done, all_done) = oneshot::channel();
    let storm = aside(storm(options.clone(), told_to_go, done, told_to_leave));
    let mut rate = None;
    let until = async {
        let _ = go.send(());
        // An error is told by the storm itself.
        rate = all_done.await.ok();
    };
    let subscribing = perform(&pair, options, until).await?;

    let until = async {
        let _ = leave.send(());
        lasting(options).await;
    };
    let leaving = perform(&pair, options, until).await?;
    answer(storm).await?;
    let count = options.clients(WORKLOAD);
    let others = format!("a pair beside a client with {count} subscriptions,");
    let parts = [("alone", &alone), ("subscribing", &subscribing), ("leaving", &leaving)];
    let mut figures = figures(WORKLOAD, options, &others, &parts);
    figures.more.extend(rate.map(|rate| ("subscribed", rate, "subscriptions/s")));
    Ok(figures)
}

/// The neighbour: waits for its word, subscribes, says how many subscriptions a second it got, and leaves when told.
async fn storm(
    options: Options,
    go: oneshot::Receiver<()>,
    done: oneshot::Sender<f64>,
    leave: oneshot::Receiver<()>,
) -> Result<(), ClientError> {
    let run = Run::new(0, 0);
    let mut connection = Connection::open(&options, &identity(&run, "many", 0)).await?;
    let _ = go.await;
    let (begun, wanted) = (Instant::now(), options.clients(WORKLOAD) as u64);
    let (mut asked, mut got) = (0, 0);
    while got < wanted {
        while asked < wanted && asked - got < u64::from(options.window) {
            let filter = format!("{}/{:08x}/many/{asked}/+", options.topic, run.id);
            connection.say_subscribe(identifier(asked), &filter, options.qos);
            asked += 1;
        }
        timeout(ANSWER_TIMEOUT, connection.pump()).await.map_err(|_| ClientError::Silent("SUBSCRIBE"))??;
        connection.packets(|packet, _| match packet {
            Packet::Suback(answer) => {
                got += 1;
                granted(&answer.reason_codes)
            }
            other => Err(ClientError::Unexpected(kind(&other))),
        })?;
    }
    let _ = done.send(wanted as f64 / begun.elapsed().as_secs_f64().max(1e-9));
    let _ = leave.await;
    connection.close().await;
    Ok(())
}

/// The window is smaller than their number, so none is used twice at a time [MQTT-2.2.1-3].
fn identifier(number: u64) -> PacketIdentifier {
    let identifier = (number % u64::from(u16::MAX)) as u16 + 1;
    PacketIdentifier::new(identifier).expect("it is above 0")
}
