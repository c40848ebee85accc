//! Messages for a client that is away: how fast they are kept, and how fast it has them once it is back.

use crate::connection::{ClientError, Connection, Identity};
use crate::flow::Run;
use crate::measure::{join, settled};
use crate::options::{Options, Workload};
use crate::publisher::Task;
use crate::report::{Cost, Figures};
use crate::scene::{errors, identity, quality, setting};
use crate::subscriber::listen;
use motet_mqtt::packet::QoS;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// Messages when nobody says how many.
const COUNT: u64 = 10_000;
/// How long the session may wait for its client; a run that is cut short leaves it behind for so long.
const SESSION_EXPIRY_SECS: u32 = 600;

pub(crate) async fn run(options: &Options) -> Result<Figures, ClientError> {
    let count = options.count.unwrap_or(COUNT);
    // With QoS 0 nothing is kept.
    let options = &Options { qos: options.qos.max(QoS::AtLeastOnce), count: Some(count), ..options.clone() };
    let run = Arc::new(Run::new(1, 1));
    let topic = format!("{}/{:08x}/offline", options.topic, run.id);
    let away =
        Identity { clean_start: false, session_expiry: SESSION_EXPIRY_SECS, client: identity(&run, "s", 0).client };
    let mut connection = Connection::open(options, &away).await?;
    connection.subscribe(&topic, options.qos).await?;
    connection.close().await;

    let usage = Cost::look(options.pid);
    let connection = Connection::open(options, &identity(&run, "p", 0)).await?;
    let begun = Instant::now();
    let kept = [Task::new(run.clone(), 0, topic, options, u64::MAX).perform(connection).await];
    let keep_time = begun.elapsed();

    let (over, listening) = watch::channel(false);
    let begun = Instant::now();
    let connection = Connection::open(options, &away).await?;
    let present = connection.session_present;
    let subscriber = tokio::spawn(listen(run.clone(), connection, listening));
    settled(&run, options, || run.delivered() >= run.expected() || subscriber.is_finished()).await;
    let elapsed = begun.elapsed();
    let _ = over.send(true);
    let received = join(vec![subscriber]).await;
    let cost = Cost::between(usage, Cost::look(options.pid));

    // Nothing of it stays behind.
    Connection::open(options, &Identity::passing(away.client)).await?.close().await;
    let quality = quality(1, &kept, &received);
    let mut errors = errors(&kept, &received);
    if !present {
        errors.push("the server had forgotten the session".into());
    } else if quality.lost > 0 {
        errors.push(
            "the server confirmed messages for the session and did not keep them: is its bound for a session below \
             the number of messages?"
                .into(),
        );
    }
    Ok(Figures {
        workload: Workload::Offline.name(),
        setting: setting(options, &format!("{count} messages")),
        qos: options.qos,
        unit: "messages",
        count: quality.received,
        elapsed,
        latency: None,
        quality: Some(quality),
        server: cost,
        phases: Vec::new(),
        more: vec![("kept", kept[0].sent as f64 / keep_time.as_secs_f64().max(1e-9), "messages/s")],
        errors,
    })
}
