//! What the client receives.

use super::encode::{As, Sending, put_message};
use super::running::Running;
use super::unacked::Entry;
use crate::v091::config::Config;
use motet_core::conversation::{ChannelBooks, add};
use motet_core::core::Delivery;
use motet_core::engine::Engine;
use motet_core::machine::Context;
use motet_core::message::{Batch, MessageRef};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Messages taken from one consumer's queue before it is the next one's turn.
const TAKE_MESSAGES: usize = 128;
/// Bytes taken likewise.
const TAKE_BYTES: usize = 128 * 1024;

/// Turns that a consumer gets when it goes: enough for what one can have been promised.
const HAND_OVER_TURNS: usize = 2;

/// Tells operators what a consumer was given: once for all of it.
fn note_deliveries(books: &ChannelBooks, taken: &[Delivery], no_ack: bool) {
    let total = if no_ack { &books.delivered_settled_total } else { &books.delivered_total };
    add(total, taken.len() as u64);
    let again = taken.iter().filter(|delivery| delivery.redelivered).count();
    add(&books.redelivered_total, again as u64);
}

impl Running {
    /// A queue says that a consumer has something.
    pub(super) fn announced<E: Engine>(&mut self, cx: &mut Context<'_, E>, key: u64) {
        let number = super::consume::channel_of(key);
        let Some(channel) = self.channels.get_mut(&number) else { return };
        if channel.fetcher.as_ref().is_some_and(|fetcher| fetcher.key == key) {
            return self.fetch_again(cx, number);
        }
        if let Some(consumer) = channel.consumer(key)
            && !std::mem::replace(&mut consumer.is_ready, true)
        {
            self.ready.push_back(key);
        }
    }

    /// Delivers in turns, as long as the output has room.
    pub(super) fn deliver<E: Engine>(&mut self, config: &Config, cx: &mut Context<'_, E>) {
        while !cx.out_is_full()
            && let Some(key) = self.ready.pop_front()
        {
            self.deliver_to(config, cx, key);
        }
        self.spelled.rest();
    }

    /// What a consumer has been promised leaves before the consumer goes.
    pub(super) fn hand_over<E: Engine>(&mut self, config: &Config, cx: &mut Context<'_, E>, key: u64) {
        for _ in 0..HAND_OVER_TURNS {
            if !cx.out_is_full() {
                self.deliver_to(config, cx, key);
            }
        }
    }

    pub(super) fn deliver_to<E: Engine>(&mut self, config: &Config, cx: &mut Context<'_, E>, key: u64) {
        let number = super::consume::channel_of(key);
        let Some(channel) = self.channels.get_mut(&number) else { return };
        let room = config.unacked_per_channel.saturating_sub(channel.unacked.len());
        let room = match usize::from(channel.prefetch_global) {
            0 => room,
            // What was fetched is no consumer's.
            global => room.min(global.saturating_sub(channel.unacked.delivered())),
        };
        let holds_back = channel.holds_back();
        let Some(consumer) = channel.consumers.iter_mut().find(|consumer| consumer.key == key) else { return };
        if holds_back || (room == 0 && !consumer.no_ack) {
            // Comes back when answers have left or something was acknowledged. Meanwhile nothing is kept for it that others could have.
            if !holds_back && !std::mem::replace(&mut consumer.is_paused, true) {
                cx.core.pause(cx.now, &consumer.queue, consumer.id, true);
            }
            channel.held.push(key);
            return;
        }
        if std::mem::take(&mut consumer.is_paused) {
            cx.core.pause(cx.now, &consumer.queue, consumer.id, false);
        }
        let most = if consumer.no_ack { TAKE_MESSAGES } else { TAKE_MESSAGES.min(room) };
        let cell = consumer.queue.cell();
        let took = cx.core.take_from(cx.now, cell, consumer.id, most, TAKE_BYTES, &mut self.taken);
        let delivered = !self.taken.is_empty();
        note_deliveries(&channel.books, &self.taken, consumer.no_ack);
        channel.books.active_ms.store(cx.now.wall.0, Ordering::Relaxed);
        let queue_type = consumer.queue.queue_type();
        let (counts_aloud, is_stream) = (queue_type == "quorum", queue_type == "stream");
        for delivery in self.taken.drain(..) {
            let tag = channel.unacked.next_tag();
            let sending = Sending {
                now: cx.now,
                channel: number,
                frame_max: self.terms.frame_max,
                as_: As::Deliver { consumer: &consumer.head, tag, redelivered: delivery.redelivered },
                retained: delivery.queued.retained,
                // As RabbitMQ: a first delivery says nothing here, while basic.get says 0.
                delivery_count: (counts_aloud && delivery.delivery_count > 0).then_some(delivery.delivery_count),
                stream_offset: is_stream.then_some(delivery.seq),
            };
            put_message(cx.out, &mut self.spelled, &sending, &delivery.queued.message);
            if !consumer.no_ack {
                channel.unacked.push(Entry {
                    tag,
                    queue: consumer.queue.clone(),
                    consumer: consumer.id,
                    seq: delivery.seq,
                    since: cx.now.instant,
                    fetched: false,
                });
            }
        }
        let unacked = channel.unacked.len() as u64;
        channel.books.unacked.store(unacked, Ordering::Relaxed);
        // Nothing taken although there is more: the queue will say when there is.
        let more = took.more && delivered;
        consumer.is_ready = more;
        if more {
            self.ready.push_back(key);
        }
    }

    /// Gives back messages that were mandatory and reached no queue.
    pub(super) fn give_back<E: Engine>(&mut self, cx: &mut Context<'_, E>, number: u16, batch: &Arc<Batch>) {
        if !self.channels.contains_key(&number) {
            return;
        }
        for index in 0..batch.messages().len() {
            let message = MessageRef::new(batch.clone(), index);
            let sending = Sending {
                now: cx.now,
                channel: number,
                frame_max: self.terms.frame_max,
                as_: As::Return,
                retained: false,
                delivery_count: None,
                stream_offset: None,
            };
            put_message(cx.out, &mut self.spelled, &sending, &message);
        }
    }
}
