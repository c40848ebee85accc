//! One publisher of AMQP: sends while its window and the run's flow have room, and counts confirms.

use super::connection::{CHANNEL, Connection, Heard, unexpected};
use crate::connection::ClientError;
use crate::flow::Run;
use crate::options::Options;
use crate::payload::HEADER_BYTES;
use crate::plan::{Course, Plan, Published, pump_until};
use bytes::BytesMut;
use motet_amqp::v091::packet::{Method, Properties, Reserved, basic, put_body, put_header, put_method};
use motet_mqtt::packet::QoS;
use std::collections::VecDeque;
use std::sync::Arc;

/// What one publisher is to do.
pub(super) struct Task {
    pub(super) plan: Plan,
    pub(super) exchange: String,
    pub(super) key: String,
    /// Persistent messages, each confirmed.
    persistent: bool,
    size: usize,
    pub(super) window: u64,
}

impl Task {
    pub(super) fn new(run: Arc<Run>, number: u32, options: &Options, in_flight: u64) -> Self {
        Task {
            plan: Plan::new(run, number, options, in_flight),
            exchange: String::new(),
            key: String::new(),
            persistent: options.qos > QoS::AtMostOnce,
            size: options.size.max(HEADER_BYTES),
            window: options.window.into(),
        }
    }

    /// Publishes until the run stops or its messages are sent, then waits for what is not confirmed.
    pub(super) async fn perform(self, mut connection: Connection) -> Published {
        let mut publisher = Publisher {
            head: self.head(),
            payload: BytesMut::new(),
            confirms: Confirms::default(),
            course: self.plan.course(),
            task: &self,
        };
        let error = publisher.go(&mut connection).await.err();
        let unconfirmed = publisher.confirms.under_way();
        let told = Published { error, unconfirmed, ..publisher.course.told };
        if told.error.is_none() {
            connection.close().await;
        }
        told
    }

    /// Method and header: the same for every message.
    fn head(&self) -> BytesMut {
        let (mut head, mut raw) = (BytesMut::new(), BytesMut::new());
        let (exchange, routing_key) = (self.exchange.as_str(), self.key.as_bytes());
        let publish =
            basic::Publish { reserved_1: Reserved::NONE, exchange, routing_key, mandatory: false, immediate: false };
        put_method(&mut head, CHANNEL, &publish);
        Properties { delivery_mode: Some(if self.persistent { 2 } else { 1 }), ..Properties::default() }
            .encode(&mut raw);
        put_header(&mut head, CHANNEL, self.size as u64, &raw);
        head
    }
}

struct Publisher<'a> {
    task: &'a Task,
    head: BytesMut,
    payload: BytesMut,
    /// Empty where nothing is confirmed.
    confirms: Confirms,
    course: Course<'a>,
}

impl Publisher<'_> {
    async fn go(&mut self, connection: &mut Connection) -> Result<(), ClientError> {
        if self.task.persistent {
            connection.confirm().await?;
        }
        while !self.course.is_done() {
            while self.confirms.under_way() < self.task.window && self.course.may_send(connection.pipe.out.len()) {
                self.send(connection);
            }
            self.course.wait(&mut connection.pipe, self.task.persistent).await?;
            self.settle(connection)?;
        }
        let by = self.course.deadline();
        while self.confirms.under_way() > 0 || !connection.pipe.out.is_empty() {
            if !pump_until(by, &mut connection.pipe).await? {
                break;
            }
            self.settle(connection)?;
        }
        Ok(())
    }

    fn send(&mut self, connection: &mut Connection) {
        self.payload.clear();
        self.course.next().write(self.task.size, &mut self.payload);
        let room = connection.frame_max as usize - motet_amqp::v091::packet::FRAME_OVERHEAD;
        if self.task.persistent {
            self.confirms.begin();
        }
        connection.pipe.out.extend_from_slice(&self.head);
        self.payload.chunks(room).for_each(|part| put_body(&mut connection.pipe.out, CHANNEL, part));
    }

    fn settle(&mut self, connection: &mut Connection) -> Result<(), ClientError> {
        let (confirms, course) = (&mut self.confirms, &mut self.course);
        connection.take(|heard, _| {
            match heard {
                Heard::Method(Method::Basic(basic::Method::Ack(ack))) => {
                    confirms.settle(ack.delivery_tag, ack.multiple);
                }
                Heard::Method(Method::Basic(basic::Method::Nack(nack))) => {
                    course.refused(confirms.settle(nack.delivery_tag, nack.multiple));
                }
                // Blocked and unblocked: it reads when it can.
                Heard::Method(Method::Connection(_)) => {}
                _ => return Err(unexpected(&"a content")),
            }
            Ok(())
        })
    }
}

/// What is not confirmed, by number.
#[derive(Debug, Default)]
struct Confirms {
    /// Numbers up to here are settled.
    before: u64,
    /// From there on: whether each waits.
    waiting: VecDeque<bool>,
    under_way: u64,
}

impl Confirms {
    fn begin(&mut self) {
        self.waiting.push_back(true);
        self.under_way += 1;
    }

    fn under_way(&self) -> u64 {
        self.under_way
    }

    /// How many of those that waited this answers.
    fn settle(&mut self, tag: u64, multiple: bool) -> u64 {
        let end = tag.saturating_sub(self.before).min(self.waiting.len() as u64) as usize;
        let first = if multiple { 0 } else { end.saturating_sub(1) };
        let mut settled = 0;
        for waits in self.waiting.range_mut(first..end) {
            settled += u64::from(std::mem::take(waits));
        }
        while self.waiting.front() == Some(&false) {
            self.waiting.pop_front();
            self.before += 1;
        }
        self.under_way -= settled;
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirms_come_one_by_one_or_together_and_count_once() {
        let mut confirms = Confirms::default();
        (0..5).for_each(|_| confirms.begin());
        assert_eq!((confirms.settle(2, false), confirms.settle(2, false)), (1, 0));
        assert_eq!((confirms.settle(3, true), confirms.under_way()), (2, 2));
        assert_eq!((confirms.settle(1, false), confirms.settle(99, true), confirms.under_way()), (0, 2, 0));
        confirms.begin();
        assert_eq!((confirms.settle(6, false), confirms.settle(0, true)), (1, 0));
    }
}
