//! Retained messages: how fast they are stored, and how fast a new subscriber has all of them.

use crate::connection::{ClientError, Connection};
use crate::flow::Run;
use crate::measure::{join, settled};
use crate::options::{Options, Workload};
use crate::plan::Published;
use crate::publisher::{Task, Topics};
use crate::report::{Cost, Figures};
use crate::scene::{errors, identity, quality, setting};
use crate::subscriber::listen;
use motet_mqtt::packet::{PacketIdentifier, QoS};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Topics when nobody says how many.
const COUNT: u64 = 10_000;

pub(crate) async fn run(options: &Options) -> Result<Figures, ClientError> {
    let count = options.count.unwrap_or(COUNT);
    let run = Arc::new(Run::new(1, 1));
    let topic = format!("{}/{:08x}/retained", options.topic, run.id);
    let usage = Cost::look(options.pid);
    let (stored, store_time) = publish(options, &run, &topic, count, options.size).await?;

    let (over, listening) = watch::channel(false);
    let mut connection = Connection::open(options, &identity(&run, "s", 0)).await?;
    let begun = Instant::now();
    connection.say_subscribe(PacketIdentifier::MIN, &format!("{topic}/+"), options.qos);
    let subscriber = tokio::spawn(listen(run.clone(), connection, listening));
    settled(&run, options, || run.delivered() >= run.expected() || subscriber.is_finished()).await;
    let elapsed = begun.elapsed();
    let _ = over.send(true);
    let received = join(vec![subscriber]).await;
    let cost = Cost::between(usage, Cost::look(options.pid));

    // Nothing of it stays behind.
    let cleaning = Arc::new(Run::new(1, 1));
    let (cleared, _) = publish(options, &cleaning, &topic, count, 0).await?;
    let stored = [stored];
    let mut errors = errors(&stored, &received);
    if cleared.sent - cleared.refused - cleared.unconfirmed < count {
        errors.push(format!("not all of {topic}/+ could be cleared"));
    }
    Ok(Figures {
        workload: Workload::Retained.name(),
        setting: setting(options, &format!("{count} topics")),
        qos: options.qos,
        unit: "messages",
        count: received[0].quality.received,
        elapsed,
        latency: None,
        quality: Some(quality(1, &stored, &received)),
        server: cost,
        phases: Vec::new(),
        more: vec![("stored", stored[0].sent as f64 / store_time.as_secs_f64().max(1e-9), "messages/s")],
        errors,
    })
}

/// A retained message to each topic; with an acknowledgement, so that all are stored when this is over.
async fn publish(
    options: &Options,
    run: &Arc<Run>,
    topic: &str,
    count: u64,
    size: usize,
) -> Result<(Published, Duration), ClientError> {
    let connection = Connection::open(options, &identity(run, "p", 0)).await?;
    let mut task = Task::new(run.clone(), 0, String::new(), options, u64::MAX);
    task.topics = Topics::Numbered(topic.into());
    (task.retain, task.qos, task.plan.count) = (true, options.qos.max(QoS::AtLeastOnce), Some(count));
    if size == 0 {
        task.size = 0;
    }
    let begun = Instant::now();
    let published = task.perform(connection).await;
    Ok((published, begun.elapsed()))
}
