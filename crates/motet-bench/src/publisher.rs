//! One publisher: sends while its window and the run's flow have room, and settles what the server acknowledges.

use crate::connection::{ClientError, Connection};
use crate::flow::{Flow, Run};
use crate::histogram::Histogram;
use crate::options::Options;
use crate::payload::{HEADER_BYTES, Header};
use bytes::BytesMut;
use motet_mqtt::packet::{Encode, Packet, PacketIdentifier, PublishHead, Pubrel, QoS, ReasonCode, Version};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Nothing arrives for so long: what is under way with QoS 0 is written off.
pub(crate) const STALL: Duration = Duration::from_millis(500);
/// Output beyond which the socket comes first.
pub(crate) const OUT_BYTES_MAX: usize = 64 << 10;

/// What one publisher is to do.
pub(crate) struct Task {
    pub(crate) run: Arc<Run>,
    pub(crate) number: u32,
    pub(crate) topics: Topics,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Bytes of a payload; 0 clears what is retained.
    pub(crate) size: usize,
    /// Messages; `None` goes on until the run stops.
    pub(crate) count: Option<u64>,
    pub(crate) window: u16,
    /// Messages that may be on their way to subscribers.
    pub(crate) in_flight: u64,
    /// When messages are due, where another thread keeps the time.
    pub(crate) pace: Option<Pace>,
    /// How long acknowledgements may take at the end.
    pub(crate) patience: Duration,
}

/// Where the messages go.
#[derive(Clone)]
pub(crate) enum Topics {
    One(String),
    /// Each message to a topic of its own: this, and the message's number.
    Numbered(String),
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub(crate) sent: u64,
    pub(crate) refused: u64,
    /// Never acknowledged.
    pub(crate) unconfirmed: u64,
    /// Times that a stalled flow was written off.
    pub(crate) stalls: u64,
    /// How late messages left us, where they were due at a time.
    pub(crate) lateness: Histogram,
    /// The connection broke.
    pub(crate) error: Option<ClientError>,
}

/// A fixed rate of one publisher.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// When the first message is due, in nanoseconds of the run's clock.
    pub(crate) start: u64,
    /// Nanoseconds between two messages.
    pub(crate) interval: f64,
}

impl Pace {
    /// From now on: its share of the messages a second that all publishers of the run send together.
    pub(crate) fn from_now(run: &Run, rate: f64) -> Self {
        Pace { start: run.clock.nanos(), interval: 1e9 * run.flows.len() as f64 / rate.max(1e-3) }
    }

    /// When the message of this number is due.
    pub(crate) fn due_at(&self, sequence: u64) -> u64 {
        self.start + (sequence as f64 * self.interval) as u64
    }

    /// Messages that are due by now.
    pub(crate) fn due(&self, now: u64) -> u64 {
        now.checked_sub(self.start).map_or(0, |elapsed| (elapsed as f64 / self.interval) as u64 + 1)
    }
}

impl Task {
    /// A task of the usual kind.
    pub(crate) fn new(run: Arc<Run>, number: u32, topic: String, options: &Options, in_flight: u64) -> Self {
        Task {
            run,
            number,
            topics: Topics::One(topic),
            qos: options.qos,
            retain: false,
            size: options.size.max(HEADER_BYTES),
            count: options.count,
            window: options.window,
            in_flight,
            pace: None,
            patience: options.patience,
        }
    }

    /// Publishes until the run stops or its messages are sent, then waits for what is not acknowledged.
    pub(crate) async fn perform(self, mut connection: Connection) -> Published {
        let mut publisher = Publisher::new(&self, connection.version, connection.receive_maximum);
        publisher.told.error = publisher.go(&mut connection).await.err();
        publisher.told.unconfirmed = publisher.window.under_way() as u64;
        if publisher.told.error.is_none() {
            connection.close().await;
        }
        publisher.told
    }
}

struct Publisher<'a> {
    task: &'a Task,
    flow: &'a Flow,
    version: Version,
    window: Window,
    told: Published,
    topic: String,
}

impl<'a> Publisher<'a> {
    fn new(task: &'a Task, version: Version, receive_maximum: u16) -> Self {
        Publisher {
            flow: &task.run.flows[task.number as usize],
            version,
            window: Window::new(task.window.min(receive_maximum)),
            told: Published::default(),
            topic: String::new(),
            task,
        }
    }

    async fn go(&mut self, connection: &mut Connection) -> Result<(), ClientError> {
        let mut stalled_at = None;
        while !self.is_done() {
            while self.may_send() && connection.out.len() < OUT_BYTES_MAX {
                self.send(&mut connection.out);
            }
            if !connection.out.is_empty() {
                stalled_at = None;
            }
            let stall = *stalled_at.get_or_insert_with(|| (Instant::now() + STALL, self.task.run.arrivals(self.flow)));
            tokio::select! {
                pumped = connection.pump() => pumped?,
                () = self.flow.changed.notified() => {}
                () = sleep_until(stall.0), if self.task.qos == QoS::AtMostOnce && self.is_blocked() => {
                    if self.task.run.arrivals(self.flow) == stall.1 {
                        self.task.run.forgive(self.flow);
                        self.told.stalls += 1;
                    }
                    stalled_at = None;
                }
            }
            self.settle(connection)?;
        }
        let by = Instant::now() + self.task.patience;
        while self.window.under_way() > 0 || !connection.out.is_empty() {
            match timeout_at(by, connection.pump()).await {
                Ok(pumped) => pumped?,
                Err(_) => break,
            }
            self.settle(connection)?;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.task.run.is_stopping() || self.task.count.is_some_and(|count| self.told.sent >= count)
    }

    fn is_blocked(&self) -> bool {
        self.task.run.room(self.flow, self.task.in_flight) == 0
    }

    fn may_send(&self) -> bool {
        let due = self.task.pace.is_none() || self.flow.due.load(Ordering::Acquire) > self.told.sent;
        due && !self.is_done() && (self.task.qos == QoS::AtMostOnce || self.window.has_room()) && !self.is_blocked()
    }

    fn send(&mut self, out: &mut BytesMut) {
        let Task { run, number, qos, retain, size, pace, .. } = self.task;
        let sequence = self.told.sent;
        let now = run.clock.nanos();
        // A message that leaves late was due all the same: whoever waits for it waits from then on.
        let stamp = pace.map_or(now, |pace| pace.due_at(sequence));
        if pace.is_some() {
            self.told.lateness.add(now.saturating_sub(stamp));
        }
        let packet_identifier = (*qos != QoS::AtMostOnce).then(|| self.window.begin()).flatten();
        PublishHead {
            dup: false,
            qos: *qos,
            retain: *retain,
            topic: topic(&self.task.topics, sequence, &mut self.topic),
            packet_identifier,
            topic_alias: None,
            message_expiry_interval: None,
            subscription_identifiers: &[],
            properties: Default::default(),
            payload_len: *size,
        }
        .encode(self.version, out);
        self.told.sent += 1;
        // Before it leaves: a subscriber believes what has been sent.
        self.flow.sent.store(self.told.sent, Ordering::Release);
        if *size > 0 {
            Header { run: run.id, publisher: *number, sequence, stamp }.write(*size, out);
        }
    }

    fn settle(&mut self, connection: &mut Connection) -> Result<(), ClientError> {
        let (window, flow, told, version) = (&mut self.window, self.flow, &mut self.told, self.version);
        connection.packets(|packet, out| {
            let reason = match packet {
                Packet::Puback(ack) if window.end(ack.packet_identifier, Awaited::Puback) => ack.reason_code,
                Packet::Pubrec(ack) if ack.reason_code.is_error() => {
                    window.end(ack.packet_identifier, Awaited::Puback);
                    ack.reason_code
                }
                Packet::Pubrec(ack) if window.received(ack.packet_identifier) => {
                    Pubrel::new(ack.packet_identifier, ReasonCode::Success).encode(version, out);
                    return Ok(());
                }
                Packet::Pubcomp(ack) if window.end(ack.packet_identifier, Awaited::Pubcomp) => return Ok(()),
                other => return Err(ClientError::Unexpected(kind(&other))),
            };
            if reason.is_error() {
                told.refused += 1;
                flow.refused.fetch_add(1, Ordering::AcqRel);
            }
            Ok(())
        })
    }
}

fn topic<'a>(topics: &'a Topics, sequence: u64, room: &'a mut String) -> &'a str {
    use std::fmt::Write as _;
    match topics {
        Topics::One(topic) => topic,
        Topics::Numbered(prefix) => {
            room.clear();
            let _ = write!(room, "{prefix}/{sequence}");
            room
        }
    }
}

pub(crate) fn kind(packet: &Packet<'_>) -> motet_mqtt::packet::PacketKind {
    use motet_mqtt::packet::PacketKind;
    match packet {
        Packet::Connect(_) => PacketKind::Connect,
        Packet::Connack(_) => PacketKind::Connack,
        Packet::Publish(_) => PacketKind::Publish,
        Packet::Puback(_) => PacketKind::Puback,
        Packet::Pubrec(_) => PacketKind::Pubrec,
        Packet::Pubrel(_) => PacketKind::Pubrel,
        Packet::Pubcomp(_) => PacketKind::Pubcomp,
        Packet::Subscribe(_) => PacketKind::Subscribe,
        Packet::Suback(_) => PacketKind::Suback,
        Packet::Unsubscribe(_) => PacketKind::Unsubscribe,
        Packet::Unsuback(_) => PacketKind::Unsuback,
        Packet::Pingreq(_) => PacketKind::Pingreq,
        Packet::Pingresp(_) => PacketKind::Pingresp,
        Packet::Disconnect(_) => PacketKind::Disconnect,
        Packet::Auth(_) => PacketKind::Auth,
    }
}

/// What an exchange waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// PUBACK or PUBREC.
    Puback,
    Pubcomp,
}

/// Packet identifiers in use.
struct Window {
    awaited: Vec<Option<Awaited>>,
    free: Vec<u16>,
}

impl Window {
    fn new(size: u16) -> Self {
        let size = size.max(1);
        Window { awaited: vec![None; usize::from(size) + 1], free: (1..=size).rev().collect() }
    }

    fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    fn under_way(&self) -> usize {
        self.awaited.len() - 1 - self.free.len()
    }

    fn begin(&mut self) -> Option<PacketIdentifier> {
        let identifier = PacketIdentifier::new(self.free.pop()?)?;
        self.awaited[usize::from(identifier.get())] = Some(Awaited::Puback);
        Some(identifier)
    }

    /// False when this answers nothing.
    fn received(&mut self, identifier: PacketIdentifier) -> bool {
        match self.awaited.get_mut(usize::from(identifier.get())) {
            Some(awaited @ Some(Awaited::Puback)) => {
                *awaited = Some(Awaited::Pubcomp);
                true
            }
            _ => false,
        }
    }

    fn end(&mut self, identifier: PacketIdentifier, expected: Awaited) -> bool {
        match self.awaited.get_mut(usize::from(identifier.get())) {
            Some(awaited) if *awaited == Some(expected) => {
                *awaited = None;
                self.free.push(identifier.get());
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_due_exactly_when_its_pace_says() {
        let pace = Pace { start: 1000, interval: 250.0 };
        assert_eq!([999, 1000, 1249, 1250].map(|now| pace.due(now)), [0, 1, 1, 2]);
        assert_eq!(pace.due_at(4), 2000);
    }

    #[test]
    fn an_identifier_is_free_again_when_its_exchange_has_ended() {
        let mut window = Window::new(2);
        let (one, two) = (window.begin().unwrap(), window.begin().unwrap());
        assert_eq!((window.begin(), window.under_way()), (None, 2));
        assert!(window.received(one) && !window.received(one));
        assert!(!window.end(one, Awaited::Puback) && window.end(one, Awaited::Pubcomp));
        assert!(window.end(two, Awaited::Puback) && !window.end(two, Awaited::Puback));
        assert!(!window.end(PacketIdentifier::MAX, Awaited::Puback));
        assert_eq!((window.begin(), window.under_way()), (Some(two), 1));
    }
}
