//! One publisher: sends while its window and the run's flow have room, and counts confirms.

use super::connection::{CHANNEL, Connection, Heard, unexpected};
use crate::connection::ClientError;
use crate::flow::{Flow, Run};
use crate::options::Options;
use crate::payload::{HEADER_BYTES, Header};
use crate::publisher::{OUT_BYTES_MAX, Pace, Published, STALL};
use bytes::BytesMut;
use motet_amqp::v091::packet::{Method, Properties, Reserved, basic, put_body, put_header, put_method};
use motet_mqtt::packet::QoS;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// What one publisher is to do.
pub(super) struct Task {
    pub(super) run: Arc<Run>,
    pub(super) number: u32,
    pub(super) exchange: String,
    pub(super) key: String,
    /// Persistent messages, each confirmed.
    pub(super) persistent: bool,
    size: usize,
    count: Option<u64>,
    pub(super) window: u64,
    in_flight: u64,
    pub(super) pace: Option<Pace>,
    patience: Duration,
}

impl Task {
    pub(super) fn new(run: Arc<Run>, number: u32, options: &Options, in_flight: u64) -> Self {
        Task {
            run,
            number,
            exchange: String::new(),
            key: String::new(),
            persistent: options.qos > QoS::AtMostOnce,
            size: options.size.max(HEADER_BYTES),
            count: options.count,
            window: options.window.into(),
            in_flight,
            pace: None,
            patience: options.patience,
        }
    }

    /// Publishes until the run stops or its messages are sent, then waits for what is not confirmed.
    pub(super) async fn perform(self, mut connection: Connection) -> Published {
        let flow = &self.run.flows[self.number as usize];
        let mut publisher = Publisher {
            head: self.head(),
            payload: BytesMut::new(),
            confirms: Confirms::default(),
            told: Published::default(),
            flow,
            task: &self,
        };
        publisher.told.error = publisher.go(&mut connection).await.err();
        if self.persistent {
            publisher.told.unconfirmed = publisher.confirms.under_way();
        }
        if publisher.told.error.is_none() {
            connection.close().await;
        }
        publisher.told
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
    flow: &'a Flow,
    head: BytesMut,
    payload: BytesMut,
    confirms: Confirms,
    told: Published,
}

impl Publisher<'_> {
    async fn go(&mut self, connection: &mut Connection) -> Result<(), ClientError> {
        if self.task.persistent {
            connection.confirm().await?;
        }
        let mut stalled_at = None;
        while !self.is_done() {
            while self.may_send() && connection.pipe.out.len() < OUT_BYTES_MAX {
                self.send(connection);
            }
            if !connection.pipe.out.is_empty() {
                stalled_at = None;
            }
            let stall = *stalled_at.get_or_insert_with(|| (Instant::now() + STALL, self.task.run.arrivals(self.flow)));
            tokio::select! {
                pumped = connection.pipe.pump() => pumped?,
                () = self.flow.changed.notified() => {}
                () = sleep_until(stall.0), if !self.task.persistent && self.is_blocked() => {
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
        while (self.task.persistent && self.confirms.under_way() > 0) || !connection.pipe.out.is_empty() {
            match timeout_at(by, connection.pipe.pump()).await {
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
        let confirmed = !self.task.persistent || self.confirms.under_way() < self.task.window;
        due && confirmed && !self.is_done() && !self.is_blocked()
    }

    fn send(&mut self, connection: &mut Connection) {
        let Task { run, number, pace, size, .. } = self.task;
        let (sequence, now) = (self.told.sent, run.clock.nanos());
        // A message that leaves late was due all the same: whoever waits for it waits from then on.
        let stamp = pace.map_or(now, |pace| pace.due_at(sequence));
        if pace.is_some() {
            self.told.lateness.add(now.saturating_sub(stamp));
        }
        self.payload.clear();
        Header { run: run.id, publisher: *number, sequence, stamp }.write(*size, &mut self.payload);
        let room = connection.frame_max as usize - motet_amqp::v091::packet::FRAME_OVERHEAD;
        self.told.sent += 1;
        // Before it leaves: a consumer believes what has been sent.
        self.flow.sent.store(self.told.sent, Ordering::Release);
        if self.task.persistent {
            self.confirms.begin();
        }
        connection.pipe.out.extend_from_slice(&self.head);
        self.payload.chunks(room).for_each(|part| put_body(&mut connection.pipe.out, CHANNEL, part));
    }

    fn settle(&mut self, connection: &mut Connection) -> Result<(), ClientError> {
        let (confirms, told, flow) = (&mut self.confirms, &mut self.told, self.flow);
        connection.take(|heard, _| {
            match heard {
                Heard::Method(Method::Basic(basic::Method::Ack(ack))) => {
                    confirms.settle(ack.delivery_tag, ack.multiple);
                }
                Heard::Method(Method::Basic(basic::Method::Nack(nack))) => {
                    let refused = confirms.settle(nack.delivery_tag, nack.multiple);
                    told.refused += refused;
                    flow.refused.fetch_add(refused, Ordering::AcqRel);
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
