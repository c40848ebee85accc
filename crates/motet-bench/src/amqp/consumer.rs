//! One consumer: notes what arrives and when, acknowledges it, and gives the publisher its room back.

use super::connection::{CHANNEL, Connection, Heard, unexpected};
use crate::connection::ClientError;
use crate::flow::Run;
use crate::histogram::Histogram;
use crate::ledger::Ledger;
use crate::payload::Header;
use bytes::BytesMut;
use motet_amqp::v091::packet::{Method, basic};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;

/// What one consumer saw.
#[derive(Debug, Default)]
pub(super) struct Consumed {
    pub(super) ledger: Ledger,
    pub(super) latency: Histogram,
    /// Its connection broke before the end.
    pub(super) error: Option<ClientError>,
}

/// Takes what comes until `over`, or until the connection breaks.
pub(super) async fn consume(
    run: Arc<Run>,
    mut connection: Connection,
    no_ack: bool,
    mut over: watch::Receiver<bool>,
) -> Consumed {
    let mut consumer = Consumer {
        run: &run,
        told: Consumed::default(),
        arrived: HashMap::new(),
        tag: 0,
        left: 0,
        body: BytesMut::new(),
    };
    let error = loop {
        // First what came along with consume-ok.
        match consumer.take(&mut connection) {
            Err(error) => break Some(error),
            Ok(Some(tag)) if !no_ack => {
                connection.say(CHANNEL, &basic::Ack { delivery_tag: tag, multiple: true });
            }
            Ok(_) => {}
        }
        tokio::select! {
            pumped = connection.pipe.pump() => if let Err(error) = pumped {
                break Some(error.into());
            },
            _ = over.wait_for(|over| *over), if connection.pipe.out.is_empty() => break None,
        }
    };
    let mut told = consumer.told;
    if error.is_none() {
        connection.close().await;
    }
    told.error = error;
    told
}

struct Consumer<'a> {
    run: &'a Run,
    told: Consumed,
    /// Of each publisher, since the last time that we told.
    arrived: HashMap<u32, u64>,
    /// Of the delivery that is coming.
    tag: u64,
    /// Bytes of its body to come.
    left: u64,
    body: BytesMut,
}

impl Consumer<'_> {
    /// The tag of the last delivery that is complete, when there was one.
    fn take(&mut self, connection: &mut Connection) -> Result<Option<u64>, ClientError> {
        let now = self.run.clock.nanos();
        let mut last = None;
        let result = connection.take(|heard, _| {
            match heard {
                Heard::Method(Method::Basic(basic::Method::Deliver(deliver))) => self.tag = deliver.delivery_tag,
                Heard::Header(size) => {
                    self.left = size;
                    self.body.clear();
                }
                Heard::Body(part) if part.len() as u64 == self.left && self.body.is_empty() => {
                    self.note(part, now);
                    last = Some(self.tag);
                }
                Heard::Body(part) => {
                    self.body.extend_from_slice(part);
                    self.left = self.left.saturating_sub(part.len() as u64);
                    if self.left == 0 {
                        let body = std::mem::take(&mut self.body);
                        self.note(&body, now);
                        last = Some(self.tag);
                    }
                }
                Heard::Method(_) => return Err(unexpected(&"another method")),
            }
            Ok(())
        });
        for (publisher, count) in self.arrived.drain() {
            self.run.arrived(publisher, count);
        }
        result.map(|()| last)
    }

    fn note(&mut self, body: &[u8], now: u64) {
        let header = Header::read(body).filter(|header| header.run == self.run.id);
        let flow = header.and_then(|header| self.run.flows.get(header.publisher as usize));
        let (Some(header), Some(flow)) = (header, flow) else {
            self.told.ledger.quality.foreign += 1;
            return;
        };
        if !self.told.ledger.note(header.publisher, header.sequence, flow.sent.load(Ordering::Acquire)) {
            return;
        }
        *self.arrived.entry(header.publisher).or_default() += 1;
        if header.stamp >= self.run.measured_from.load(Ordering::Relaxed) {
            self.told.latency.add(now.saturating_sub(header.stamp));
        }
    }
}
