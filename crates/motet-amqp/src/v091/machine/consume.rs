//! Consumers come and go; single messages are fetched.

use super::channel::Channel;
use super::encode::{As, Sending, put_message};
use super::inbound::DIRECT_REPLY_TO;
use super::refusal;
use super::running::Running;
use super::unacked::Entry;
use crate::v091::config::Config;
use crate::v091::error::{Failure, ReplyCode};
use crate::v091::packet::{FieldTable, Reserved, basic, put_method};
use bytes::{BufMut, BytesMut};
use motet_core::conversation::{ConsumerBooks, add};
use motet_core::core::broker::{Got, NamedQueue, QueueDeclaration};
use motet_core::core::{Delivery, Vhost};
use motet_core::engine::Engine;
use motet_core::machine::Context;
use motet_core::queue::{AckMode, ConsumerId, ConsumerOptions};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A consumer of a channel.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) tag: Box<str>,
    /// The tag as a short string, as it stands in basic.deliver.
    pub(super) head: Box<[u8]>,
    /// Its number in the connection, with its channel's; the mailbox speaks of it by this.
    pub(super) key: u64,
    pub(super) queue: Arc<NamedQueue>,
    pub(super) id: ConsumerId,
    pub(super) no_ack: bool,
    /// It waits its turn to be served.
    pub(super) is_ready: bool,
    /// The channel holds as much as it may: what waits goes to others.
    pub(super) is_paused: bool,
}

/// Who takes from a queue for basic.get; kept for the next one.
#[derive(Debug)]
pub(super) struct Fetcher {
    pub(super) key: u64,
    pub(super) queue: Arc<NamedQueue>,
    pub(super) id: ConsumerId,
    pub(super) no_ack: bool,
}

/// What the names of queues behind `amq.rabbitmq.reply-to` begin with.
pub(super) const REPLY_QUEUES: &str = "amq.rabbitmq.reply-to.";
/// Bits of a consumer's key below its channel's number.
const KEY_BITS: u32 = 48;

/// The channel of the consumer with this key.
pub(super) fn channel_of(key: u64) -> u16 {
    (key >> KEY_BITS) as u16
}

fn short(text: &str) -> Box<[u8]> {
    let mut head = BytesMut::with_capacity(text.len() + 1);
    head.put_u8(text.len() as u8);
    head.put_slice(text.as_bytes());
    head.to_vec().into()
}

fn ack_mode(no_ack: bool) -> AckMode {
    if no_ack { AckMode::Auto } else { AckMode::Manual }
}

impl Running {
    pub(super) fn basic_method<E: Engine>(
        &mut self,
        config: &Config,
        cx: &mut Context<'_, E>,
        number: u16,
        method: basic::Method<'_>,
    ) -> Result<(), Failure> {
        match method {
            basic::Method::Qos(qos) => self.qos(cx, number, qos),
            basic::Method::Consume(consume) => self.consume(config, cx, number, consume),
            basic::Method::Cancel(cancel) => {
                self.cancel(config, cx, number, cancel);
                Ok(())
            }
            // Our basic.cancel wants no answer; some clients answer all the same.
            basic::Method::CancelOk(_) => Ok(()),
            basic::Method::Get(get) => self.get(config, cx, number, get),
            basic::Method::RecoverAsync(recover) => self.recover(cx, number, recover.requeue),
            basic::Method::Recover(recover) => {
                self.recover(cx, number, recover.requeue)?;
                self.reply(cx, number, None, &basic::RecoverOk {});
                Ok(())
            }
            _ => Err(Failure::new(ReplyCode::CommandInvalid, "unimplemented method")),
        }
    }

    fn qos<E: Engine>(&mut self, cx: &mut Context<'_, E>, number: u16, qos: basic::Qos) -> Result<(), Failure> {
        if qos.prefetch_size != 0 {
            let text = format!("prefetch_size!=0 ({})", qos.prefetch_size);
            return Err(Failure::new(ReplyCode::NotImplemented, text));
        }
        let channel = self.channels.get_mut(&number).expect("the channel of a method is open");
        match qos.global {
            true => channel.prefetch_global = qos.prefetch_count,
            false => channel.prefetch = qos.prefetch_count,
        }
        channel.books.prefetch.store(channel.prefetch.into(), Ordering::Relaxed);
        channel.books.prefetch_global.store(channel.prefetch_global.into(), Ordering::Relaxed);
        if !channel.holds_back() {
            self.ready.extend(channel.held.drain(..));
        }
        self.reply(cx, number, None, &basic::QosOk {});
        Ok(())
    }

    fn new_key(&mut self, number: u16) -> u64 {
        self.last_consumer += 1;
        u64::from(number) << KEY_BITS | self.last_consumer
    }

    fn consume<E: Engine>(
        &mut self,
        config: &Config,
        cx: &mut Context<'_, E>,
        number: u16,
        consume: basic::Consume<'_>,
    ) -> Result<(), Failure> {
        let channel = self.channel(number);
        if channel.consumers.len() >= config.consumers_per_channel {
            let text = format!("reached maximum ({}) of consumers per channel", config.consumers_per_channel);
            return Err(Failure::new(ReplyCode::NotAllowed, text));
        }
        if channel.consumers.iter().any(|consumer| *consumer.tag == *consume.consumer_tag) {
            let text = format!("attempt to reuse consumer tag '{}'", consume.consumer_tag);
            return Err(Failure::new(ReplyCode::NotAllowed, text));
        }
        let (prefetch, prefetch_global) = (channel.prefetch, channel.prefetch_global);
        let is_reply = consume.queue == DIRECT_REPLY_TO;
        let queue = match is_reply {
            true => self.reply_queue(cx, number, consume.no_ack)?,
            false => self.queue_to_consume(cx, number, consume.queue)?,
        };
        let tag: Box<str> = match consume.consumer_tag {
            "" => format!("amq.ctag-{:016x}{:016x}", cx.random.next_u64(), cx.random.next_u64()).into(),
            tag => tag.into(),
        };
        let options = ConsumerOptions {
            credit: (prefetch > 0).then(|| prefetch.into()),
            priority: priority(&self.vhost, &queue, consume.arguments)?,
            exclusive: consume.exclusive,
            ack: ack_mode(consume.no_ack),
            fetch_only: false,
        };
        let start = match queue.queue_type() {
            "stream" => Some(self.stream_start(cx.now, &queue, prefetch, prefetch_global, &consume)?),
            "quorum" if prefetch_global != 0 => return Err(no_global_prefetch(&self.vhost, &queue)),
            _ => None,
        };
        let key = self.new_key(number);
        let id = match start {
            Some(start) => cx.core.consume_stream(cx.now, &queue, cx.mailbox, options.credit, key, start),
            None => cx.core.consume(cx.now, &queue, cx.mailbox, options, key),
        };
        let id = id.map_err(|error| refusal::consume(&self.vhost, &queue, error))?;
        let head = short(&tag);
        let consumer =
            Consumer { tag, head, key, queue, id, no_ack: consume.no_ack, is_ready: false, is_paused: false };
        let channel = self.channel(number);
        channel.books.enter(ConsumerBooks {
            id,
            tag: consumer.tag.clone(),
            queue: Arc::downgrade(&consumer.queue),
            acknowledges: !consume.no_ack,
            exclusive: consume.exclusive,
            prefetch: prefetch.into(),
            arguments: super::handshake::told(consume.arguments),
        });
        if is_reply {
            channel.reply_consumer = Some(key);
        }
        if !consume.no_wait {
            let tag = consumer.tag.clone();
            channel.consumers.push(consumer);
            self.reply(cx, number, None, &basic::ConsumeOk { consumer_tag: &tag });
        } else {
            channel.consumers.push(consumer);
        }
        // With the answer go the first messages: who consumes after it has been seen comes after this one.
        if !cx.out_is_full() {
            self.deliver_to(config, cx, key);
        }
        Ok(())
    }

    /// The queue behind `amq.rabbitmq.reply-to`: one of the connection's own, under a name that cannot be guessed.
    fn reply_queue<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        no_ack: bool,
    ) -> Result<Arc<NamedQueue>, Failure> {
        if !no_ack {
            return Err(Failure::new(ReplyCode::PreconditionFailed, "reply consumer cannot acknowledge"));
        }
        if self.channel(number).reply_consumer.is_some() {
            return Err(Failure::new(ReplyCode::PreconditionFailed, "reply consumer already set"));
        }
        let declaration =
            QueueDeclaration { exclusive: Some(self.id), auto_delete: true, ..QueueDeclaration::default() };
        match cx.core.declare_fresh_queue(cx.now, &self.vhost, REPLY_QUEUES, declaration, self.id) {
            Ok(declared) => Ok(declared.queue),
            Err(error) => Err(refusal::queue(&self.vhost, DIRECT_REPLY_TO, error, None, None)),
        }
    }

    fn cancel<E: Engine>(&mut self, config: &Config, cx: &mut Context<'_, E>, number: u16, cancel: basic::Cancel<'_>) {
        let mut consumers = self.channel(number).consumers.iter();
        if let Some(consumer) = consumers.find(|consumer| *consumer.tag == *cancel.consumer_tag) {
            let key = consumer.key;
            self.hand_over(config, cx, key);
        }
        let channel = self.channel(number);
        if let Some(at) = channel.consumers.iter().position(|consumer| *consumer.tag == *cancel.consumer_tag) {
            let consumer = channel.consumers.swap_remove(at);
            channel.books.leave(&consumer.tag);
            channel.forget(consumer.key);
            cx.core.cancel(cx.now, &consumer.queue, consumer.id);
        }
        if !cancel.no_wait {
            self.reply(cx, number, None, &basic::CancelOk { consumer_tag: cancel.consumer_tag });
        }
    }

    /// The queue of a consumer is gone, and the consumer with it.
    pub(super) fn consumer_cancelled<E: Engine>(&mut self, cx: &mut Context<'_, E>, key: u64) {
        let number = channel_of(key);
        let Some(channel) = self.channels.get_mut(&number) else { return };
        if channel.fetcher.as_ref().is_some_and(|fetcher| fetcher.key == key) {
            channel.fetcher = None;
            channel.fetched(|out, number| put_get_empty(out.tail(), number));
            return;
        }
        let Some(at) = channel.consumers.iter().position(|consumer| consumer.key == key) else { return };
        let consumer = channel.consumers.swap_remove(at);
        channel.books.leave(&consumer.tag);
        channel.forget(key);
        if self.capabilities.consumer_cancel_notify {
            let cancel = basic::Cancel { consumer_tag: &consumer.tag, no_wait: true };
            if channel.put(cx, None, |out, number| put_method(out.tail(), number, &cancel)) {
                self.waiting.insert(number);
            }
        }
    }

    fn get<E: Engine>(
        &mut self,
        config: &Config,
        cx: &mut Context<'_, E>,
        number: u16,
        get: basic::Get<'_>,
    ) -> Result<(), Failure> {
        let queue = self.queue_to_take(cx, number, get.queue)?;
        if queue.queue_type() == "stream" {
            return Err(self.not_of_streams(&queue, "basic.get"));
        }
        if !get.no_ack && self.channel(number).unacked.len() >= config.unacked_per_channel {
            let text = format!("more than {} deliveries wait for their acknowledgement", config.unacked_per_channel);
            return Err(Failure::new(ReplyCode::ResourceError, text));
        }
        let (key, vhost) = (self.new_key(number), self.vhost.clone());
        let channel = self.channels.get_mut(&number).expect("the channel of a method is open");
        let fits = |fetcher: &Fetcher| Arc::ptr_eq(&fetcher.queue, &queue) && fetcher.no_ack == get.no_ack;
        if !channel.fetcher.as_ref().is_some_and(fits) {
            if let Some(before) = channel.fetcher.take() {
                // What it fetched is still to be acknowledged.
                cx.core.cancel(cx.now, &before.queue, before.id);
            }
            let options = ConsumerOptions { fetch_only: true, ack: ack_mode(get.no_ack), ..ConsumerOptions::default() };
            let id = cx
                .core
                .consume(cx.now, &queue, cx.mailbox, options, key)
                .map_err(|error| refusal::consume(&vhost, &queue, error))?;
            channel.fetcher = Some(Fetcher { key, queue: queue.clone(), id, no_ack: get.no_ack });
        }
        let id = channel.fetcher.as_ref().expect("it was just made or fits").id;
        match cx.core.get(cx.now, &queue, id) {
            Got::Later => {
                channel.await_fetch();
                self.waiting.insert(number);
            }
            Got::Empty => {
                add(&channel.books.got_nothing_total, 1);
                if channel.put(cx, None, |out, number| put_get_empty(out.tail(), number)) {
                    self.waiting.insert(number);
                }
            }
            Got::Message(delivery, left) => self.fetched(cx, number, &delivery, left, false),
        }
        Ok(())
    }

    /// The message that a fetch waits for may be there now.
    pub(super) fn fetch_again<E: Engine>(&mut self, cx: &mut Context<'_, E>, number: u16) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        let Some(fetcher) = channel.fetcher.as_ref().filter(|_| channel.awaits_fetch()) else { return };
        match cx.core.get(cx.now, &fetcher.queue, fetcher.id) {
            Got::Later => {}
            Got::Empty => {
                add(&channel.books.got_nothing_total, 1);
                channel.fetched(|out, number| put_get_empty(out.tail(), number));
            }
            Got::Message(delivery, left) => self.fetched(cx, number, &delivery, left, true),
        }
        self.waiting.insert(number);
    }

    fn fetched<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        delivery: &Delivery,
        left: u64,
        was_awaited: bool,
    ) {
        let (now, frame_max) = (cx.now, self.terms.frame_max);
        let channel = self.channels.get_mut(&number).expect("the channel of a fetch is open");
        let fetcher = channel.fetcher.as_ref().expect("a fetch has its fetcher");
        let tag = channel.unacked.next_tag();
        if !fetcher.no_ack {
            let (queue, consumer) = (fetcher.queue.clone(), fetcher.id);
            channel.unacked.push(Entry { tag, queue, consumer, seq: delivery.seq, since: now.instant, fetched: true });
        }
        add(if fetcher.no_ack { &channel.books.got_settled_total } else { &channel.books.got_total }, 1);
        channel.books.active_ms.store(now.wall.0, Ordering::Relaxed);
        add(&channel.books.redelivered_total, delivery.redelivered.into());
        channel.note_unacked();
        let message_count = u32::try_from(left).unwrap_or(u32::MAX);
        let sending = Sending {
            now,
            channel: number,
            frame_max,
            as_: As::GetOk { tag, redelivered: delivery.redelivered, message_count },
            retained: delivery.queued.retained,
            delivery_count: (fetcher.queue.queue_type() == "quorum").then_some(delivery.delivery_count),
            stream_offset: None,
        };
        let spelled = &mut self.spelled;
        let write = |out: &mut motet_core::rope::Rope, _| put_message(out, spelled, &sending, &delivery.queued.message);
        match was_awaited {
            true => channel.fetched(write),
            false => {
                if channel.put(cx, None, write) {
                    self.waiting.insert(number);
                }
            }
        }
    }
}

impl Channel {
    /// The consumer with this key is gone.
    fn forget(&mut self, key: u64) {
        self.held.retain(|held| *held != key);
        if self.reply_consumer == Some(key) {
            self.reply_consumer = None;
        }
    }
}

fn no_global_prefetch(vhost: &Vhost, queue: &NamedQueue) -> Failure {
    let what = refusal::queue_name(vhost, &String::from_utf8_lossy(queue.name()));
    Failure::new(ReplyCode::NotImplemented, format!("{what} does not support global qos"))
}

fn put_get_empty(out: &mut BytesMut, number: u16) {
    put_method(out, number, &basic::GetEmpty { reserved_1: Reserved::NONE });
}

/// The argument `x-priority`.
fn priority(vhost: &Vhost, queue: &NamedQueue, arguments: FieldTable<'_>) -> Result<i32, Failure> {
    let Some(value) = arguments.get("x-priority") else { return Ok(0) };
    match value.integer() {
        Some(number) => Ok(i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX })),
        None => {
            let (kind, name) = (refusal::type_of(value), String::from_utf8_lossy(queue.name()));
            let what = refusal::queue_name(vhost, &name);
            let text = format!("invalid arg 'x-priority' for {what}: \"expected integer, got {kind}\"");
            Err(Failure::new(ReplyCode::PreconditionFailed, text))
        }
    }
}
