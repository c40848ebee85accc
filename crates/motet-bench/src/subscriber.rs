//! One subscriber: notes what arrives and when, acknowledges it, and gives the publisher its room back.

use crate::connection::{ClientError, Connection, granted};
use crate::flow::Run;
use crate::histogram::Histogram;
use crate::ledger::{Ledger, Quality};
use crate::payload::Header;
use crate::publisher::kind;
use bytes::BytesMut;
use motet_mqtt::packet::{Encode, Packet, Pingreq, Puback, Pubcomp, Publish, Pubrec, QoS, ReasonCode, Version};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// After so long without a message a subscriber pings, as clients do.
const SILENCE: Duration = Duration::from_millis(500);

/// What one subscriber saw.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) quality: Quality,
    pub(crate) latency: Histogram,
    /// Its connection broke before the end.
    pub(crate) error: Option<ClientError>,
}

/// Listens until `over`, or until the connection breaks.
pub(crate) async fn listen(run: Arc<Run>, mut connection: Connection, mut over: watch::Receiver<bool>) -> Received {
    let mut subscriber = Subscriber {
        version: connection.version,
        run: &run,
        ledger: Ledger::default(),
        latency: Histogram::default(),
        arrived: HashMap::new(),
    };
    let error = loop {
        // First what came along with the answer to CONNECT.
        if let Err(error) = subscriber.take(&mut connection) {
            break Some(error);
        }
        tokio::select! {
            pumped = connection.pump() => if let Err(error) = pumped {
                break Some(error.into());
            },
            () = sleep(SILENCE) => Pingreq.encode(connection.version, &mut connection.out),
            _ = over.wait_for(|over| *over) => break None,
        }
    };
    let (quality, latency) = (subscriber.ledger.quality, subscriber.latency);
    if error.is_none() {
        connection.close().await;
    }
    Received { quality, latency, error }
}

struct Subscriber<'a> {
    version: Version,
    run: &'a Run,
    ledger: Ledger,
    latency: Histogram,
    /// Of each publisher, since the last time that we told.
    arrived: HashMap<u32, u64>,
}

impl Subscriber<'_> {
    fn take(&mut self, connection: &mut Connection) -> Result<(), ClientError> {
        let now = self.run.clock.nanos();
        let version = self.version;
        let result = connection.packets(|packet, out| {
            match packet {
                Packet::Publish(publish) => {
                    self.note(&publish, now);
                    acknowledge(&publish, version, out);
                }
                Packet::Pubrel(ack) => {
                    Pubcomp::new(ack.packet_identifier, ReasonCode::Success).encode(version, out);
                }
                Packet::Suback(answer) => return granted(&answer.reason_codes),
                other => return Err(ClientError::Unexpected(kind(&other))),
            }
            Ok(())
        });
        for (publisher, count) in self.arrived.drain() {
            self.run.arrived(publisher, count);
        }
        result
    }

    fn note(&mut self, publish: &Publish<'_>, now: u64) {
        let header = Header::read(publish.payload).filter(|header| header.run == self.run.id);
        let flow = header.and_then(|header| self.run.flows.get(header.publisher as usize));
        let (Some(header), Some(flow)) = (header, flow) else {
            self.ledger.quality.foreign += 1;
            return;
        };
        if !self.ledger.note(header.publisher, header.sequence, flow.sent.load(Ordering::Acquire)) {
            return;
        }
        *self.arrived.entry(header.publisher).or_default() += 1;
        if header.stamp >= self.run.measured_from.load(Ordering::Relaxed) {
            self.latency.add(now.saturating_sub(header.stamp));
        }
    }
}

fn acknowledge(publish: &Publish<'_>, version: Version, out: &mut BytesMut) {
    let Some(identifier) = publish.packet_identifier else { return };
    match publish.qos {
        QoS::AtMostOnce => {}
        QoS::AtLeastOnce => Puback::new(identifier, ReasonCode::Success).encode(version, out),
        QoS::ExactlyOnce => Pubrec::new(identifier, ReasonCode::Success).encode(version, out),
    }
}
