//! One publisher of MQTT: sends while its window and the run's flow have room, and settles what the server acknowledges.

use crate::connection::{ClientError, Connection};
use crate::flow::Run;
use crate::options::Options;
use crate::payload::HEADER_BYTES;
use crate::plan::{Course, Plan, Published, pump_until};
use bytes::BytesMut;
use motet_mqtt::packet::{Encode, Packet, PacketIdentifier, PublishHead, Pubrel, QoS, ReasonCode, Version};
use std::sync::Arc;

/// What one publisher is to do.
pub(crate) struct Task {
    pub(crate) plan: Plan,
    pub(crate) topics: Topics,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Bytes of a payload; 0 clears what is retained.
    pub(crate) size: usize,
    pub(crate) window: u16,
}

/// Where the messages go.
#[derive(Clone)]
pub(crate) enum Topics {
    One(String),
    /// Each message to a topic of its own: this, and the message's number.
    Numbered(String),
}

impl Task {
    /// A task of the usual kind.
    pub(crate) fn new(run: Arc<Run>, number: u32, topic: String, options: &Options, in_flight: u64) -> Self {
        Task {
            plan: Plan::new(run, number, options, in_flight),
            topics: Topics::One(topic),
            qos: options.qos,
            retain: false,
            size: options.size.max(HEADER_BYTES),
            window: options.window,
        }
    }

    /// Publishes until the run stops or its messages are sent, then waits for what is not acknowledged.
    pub(crate) async fn perform(self, mut connection: Connection) -> Published {
        let mut publisher = Publisher {
            version: connection.version,
            window: Window::new(self.window.min(connection.receive_maximum)),
            course: self.plan.course(),
            topic: String::new(),
            task: &self,
        };
        let error = publisher.go(&mut connection).await.err();
        let unconfirmed = publisher.window.under_way() as u64;
        let told = Published { error, unconfirmed, ..publisher.course.told };
        if told.error.is_none() {
            connection.close().await;
        }
        told
    }
}

struct Publisher<'a> {
    task: &'a Task,
    version: Version,
    window: Window,
    course: Course<'a>,
    topic: String,
}

impl Publisher<'_> {
    async fn go(&mut self, connection: &mut Connection) -> Result<(), ClientError> {
        let acknowledged = self.task.qos > QoS::AtMostOnce;
        while !self.course.is_done() {
            while (!acknowledged || self.window.has_room()) && self.course.may_send(connection.out.len()) {
                self.send(&mut connection.out);
            }
            self.course.wait(connection, acknowledged).await?;
            self.settle(connection)?;
        }
        let by = self.course.deadline();
        while self.window.under_way() > 0 || !connection.out.is_empty() {
            if !pump_until(by, connection).await? {
                break;
            }
            self.settle(connection)?;
        }
        Ok(())
    }

    fn send(&mut self, out: &mut BytesMut) {
        let Task { qos, retain, size, .. } = self.task;
        let packet_identifier = (*qos != QoS::AtMostOnce).then(|| self.window.begin()).flatten();
        let header = self.course.next();
        PublishHead {
            dup: false,
            qos: *qos,
            retain: *retain,
            topic: topic(&self.task.topics, header.sequence, &mut self.topic),
            packet_identifier,
            topic_alias: None,
            message_expiry_interval: None,
            subscription_identifiers: &[],
            properties: Default::default(),
            payload_len: *size,
        }
        .encode(self.version, out);
        if *size > 0 {
            header.write(*size, out);
        }
    }

    fn settle(&mut self, connection: &mut Connection) -> Result<(), ClientError> {
        let (window, course, version) = (&mut self.window, &mut self.course, self.version);
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
                course.refused(1);
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
