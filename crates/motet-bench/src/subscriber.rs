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
    /// Nanoseconds between two arrivals, or between the last one and the end of publishing.
    pub(crate) longest_gap: u64,
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
        gaps: Gaps::default(),
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
    subscriber.gaps.note(run.last_due(), run.measured_from.load(Ordering::Relaxed));
    let (quality, latency, longest_gap) = (subscriber.ledger.quality, subscriber.latency, subscriber.gaps.longest);
    if error.is_none() {
        connection.close().await;
    }
    Received { quality, latency, longest_gap, error }
}

struct Subscriber<'a> {
    version: Version,
    run: &'a Run,
    ledger: Ledger,
    latency: Histogram,
    gaps: Gaps,
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
        let measured_from = self.run.measured_from.load(Ordering::Relaxed);
        if header.stamp >= measured_from {
            self.latency.add(now.saturating_sub(header.stamp));
        }
        self.gaps.note(now, measured_from);
    }
}

/// How long nothing came.
#[derive(Debug, Default)]
struct Gaps {
    /// None before the first arrival.
    last: Option<u64>,
    longest: u64,
}

impl Gaps {
    /// Something came, or should have come no later. What was before `measured_from` does not count.
    fn note(&mut self, now: u64, measured_from: u64) {
        if let Some(last) = self.last {
            self.longest = self.longest.max(now.saturating_sub(last.max(measured_from)));
        }
        self.last = Some(now);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_counts_from_where_it_is_measured() {
        let mut gaps = Gaps::default();
        [100, 900, 1000].into_iter().for_each(|now| gaps.note(now, 850));
        assert_eq!(gaps.longest, 100);
        gaps.note(990, 850);
        assert_eq!(gaps.longest, 100);
    }
}
