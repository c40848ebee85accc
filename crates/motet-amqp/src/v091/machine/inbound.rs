//! What the client publishes.
//!
//! Consecutive messages of a channel to one exchange and key form a *run*, published as one batch.

use super::channel::Mode;
use super::content::{Content, Publishing, check_size, whole};
use super::refusal;
use super::running::{RETRY_EVERY, Running};
use crate::v091::config::Config;
use crate::v091::error::{Failure, ReplyCode};
use crate::v091::mapping::{self, REPLY_TOPIC_PREFIX};
use crate::v091::packet::{FieldTable, FieldValue, Properties, basic, connection, put_method};
use bytes::BytesMut;
use motet_core::conversation::{Held, add};
use motet_core::core::{Outcome, RejectCause};
use motet_core::engine::Engine;
use motet_core::machine::Context;
use motet_core::message::{Batch, BatchBuilder, MessageParts};
use motet_core::route::KnownName;
use motet_core::spelling::amqp::{LONG_KEY_HEADER, short_key};
use motet_core::time::Instant;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Messages of one run; bounds what a queue can pin by keeping the last message of a batch.
const RUN_MESSAGES_MAX: usize = 1024;
/// Bytes of one run; a larger message is a run of its own.
const RUN_BYTES_MAX: usize = 64 * 1024;
/// The name under which a reply comes without a queue of one's own.
pub(super) const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// Consecutive messages to one place that are answered alike.
#[derive(Debug)]
pub(super) struct Run {
    channel: u16,
    mandatory: bool,
    exchange: Box<str>,
    key: Box<[u8]>,
    known: KnownName,
    builder: BatchBuilder,
    /// The number of the first, where the channel confirms.
    first: Option<u64>,
}

/// A run that the store has not taken yet.
#[derive(Debug)]
pub(super) struct Stalled {
    channel: u16,
    mandatory: bool,
    known: KnownName,
    batch: Arc<Batch>,
    first: Option<u64>,
    pub(super) retry_at: Instant,
}

/// A message on its way to its exchange.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incoming<'a> {
    pub(super) exchange: &'a str,
    pub(super) key: &'a [u8],
    pub(super) mandatory: bool,
}

impl Publishing {
    pub(super) fn as_ref(&self) -> Incoming<'_> {
        Incoming { exchange: &self.exchange, key: &self.key, mandatory: self.mandatory }
    }
}

impl Running {
    /// basic.publish. A content that lies behind it whole is taken along; answers how many bytes that were.
    pub(super) fn publish<E: Engine>(
        &mut self,
        config: &Config,
        cx: &mut Context<'_, E>,
        number: u16,
        publish: basic::Publish<'_>,
        rest: &[u8],
    ) -> Result<usize, Failure> {
        if publish.immediate {
            return Err(Failure::new(ReplyCode::NotImplemented, "immediate=true"));
        }
        let incoming = Incoming { exchange: publish.exchange, key: publish.routing_key, mandatory: publish.mandatory };
        if self.vhost.has_authority() && !self.is_running(number, &incoming) {
            let known = self.publisher.exchange(incoming.exchange.as_bytes(), incoming.key);
            if known.is_ok_and(KnownName::waits) {
                self.flush_run(cx);
                return Err(self.later());
            }
        }
        let Some(content) = whole(rest, number, self.terms.frame_max) else {
            self.channel(number).content = Content::AwaitHeader(Publishing {
                exchange: incoming.exchange.into(),
                key: incoming.key.into(),
                mandatory: incoming.mandatory,
            });
            return Ok(0);
        };
        check_size(config, content.header.body_size)?;
        self.message(cx, number, &incoming, content.header.raw, content.body)?;
        Ok(content.len)
    }

    /// A whole message.
    pub(super) fn message<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        incoming: &Incoming<'_>,
        raw: &[u8],
        body: &[u8],
    ) -> Result<(), Failure> {
        self.messages_in += 1;
        if let (1, Some(alarm)) = (self.messages_in, self.alarm.clone()) {
            self.say_blocked(cx, &alarm);
        }
        let mut wire = Properties::decode(raw)?;
        let expires_at = mapping::expires_at(cx.now, wire.expiration).map_err(|error| {
            let text = String::from_utf8_lossy(wire.expiration.unwrap_or_default());
            Failure::new(ReplyCode::PreconditionFailed, format!("invalid expiration '{text}': {error}"))
        })?;
        self.check_user(&wire)?;
        if let Some(mode @ (0 | 3..)) = wire.delivery_mode {
            let text = format!("invalid message: {{delivery_mode_unknown,{mode}}}");
            return Err(Failure::new(ReplyCode::PreconditionFailed, text));
        }
        let reply_to = self.direct_reply_to(number, &wire)?;
        let mut rewritten = BytesMut::new();
        if let Some(reply_to) = &reply_to {
            wire.reply_to = Some(reply_to);
            wire.encode(&mut rewritten);
        }
        let (mut alone, mut place) = (false, *incoming);
        if let Some(headers) = wire.headers {
            alone = has_further_keys(headers)?;
            if headers.get("BCC").is_some() {
                rewritten.clear();
                mapping::without_bcc(&wire, &mut rewritten);
            }
            // Whoever has no long key says nothing with the header: rules and bindings look at the key.
            if let (true, Some(FieldValue::Text(key))) = (place.exchange == TOPIC, headers.get(LONG_KEY_HEADER))
                && short_key(key) == place.key
            {
                place.key = key;
            }
        }
        // A topic as a reply address has the form of a queue, so that any client can answer to it.
        if let (true, Some(key)) = (place.exchange.is_empty(), place.key.strip_prefix(REPLY_TOPIC_PREFIX.as_bytes())) {
            (place.exchange, place.key) = (TOPIC, key);
        }
        let parts = MessageParts {
            payload: body,
            origin: if rewritten.is_empty() { raw } else { &rewritten },
            reliability: mapping::reliability(wire.delivery_mode),
            retain: false,
            expires_at,
            properties: mapping::to_canonical(&wire),
        };
        self.collect(cx, number, &place, parts, alone)
    }

    /// A user a message names must be the one who is logged in.
    fn check_user(&self, wire: &Properties<'_>) -> Result<(), Failure> {
        let Some(user) = wire.user_id else { return Ok(()) };
        let name = &self.publisher.principal().name;
        if user == name.as_bytes() {
            return Ok(());
        }
        let user = String::from_utf8_lossy(user);
        let text = format!("user_id property set to '{user}' but authenticated user was '{name}'");
        Err(Failure::new(ReplyCode::PreconditionFailed, text))
    }

    /// The queue behind `amq.rabbitmq.reply-to`, when that is where a reply is wanted.
    fn direct_reply_to(&self, number: u16, wire: &Properties<'_>) -> Result<Option<Vec<u8>>, Failure> {
        if wire.reply_to != Some(DIRECT_REPLY_TO.as_bytes()) {
            return Ok(None);
        }
        let channel = self.channels.get(&number);
        let consumer = channel.and_then(|channel| {
            let key = channel.reply_consumer?;
            channel.consumers.iter().find(|consumer| consumer.key == key)
        });
        match consumer {
            Some(consumer) => Ok(Some(consumer.queue.name().to_vec())),
            None => Err(Failure::new(ReplyCode::PreconditionFailed, "fast reply consumer does not exist")),
        }
    }

    /// Puts a message into its run, or into the channel's transaction.
    fn collect<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        place: &Incoming<'_>,
        parts: MessageParts<'_>,
        alone: bool,
    ) -> Result<(), Failure> {
        let fits = !alone
            && self.run.as_ref().is_some_and(|run| {
                run.channel == number
                    && run.mandatory == place.mandatory
                    && *run.exchange == *place.exchange
                    && *run.key == *place.key
                    && run.builder.len() < RUN_MESSAGES_MAX
                    && run.builder.bytes() < RUN_BYTES_MAX
            });
        if !fits {
            self.flush_run(cx);
            self.run = Some(self.begin_run(number, place)?);
        }
        let run = self.run.as_ref().expect("the run was just begun or fits");
        self.check_rights(place.exchange, place.key, &run.known, &parts)?;
        if alone {
            self.check_further_keys(place.exchange, &parts)?;
        }
        let run = self.run.as_mut().expect("the run was just begun or fits");
        let channel = self.channels.get_mut(&number).expect("the channel of a message is open");
        if let Mode::Confirm(confirms) = &mut channel.mode {
            let sequence = confirms.number();
            run.first.get_or_insert(sequence);
        }
        run.builder.push(parts);
        if let Mode::Tx(tx) = &mut channel.mode {
            let run = self.run.take().expect("a run was begun");
            tx.publish(cx, &self.publisher, *run)?;
            channel.books.uncommitted.store(tx.published(), Ordering::Relaxed);
            return Ok(());
        }
        if alone || run.known.varies() {
            self.flush_run(cx);
        }
        Ok(())
    }

    /// A run to this place is under way, so that the client may.
    fn is_running(&self, number: u16, place: &Incoming<'_>) -> bool {
        self.run
            .as_ref()
            .is_some_and(|run| run.channel == number && *run.exchange == *place.exchange && *run.key == *place.key)
    }

    fn begin_run(&mut self, channel: u16, place: &Incoming<'_>) -> Result<Box<Run>, Failure> {
        let known = match self.publisher.exchange(place.exchange.as_bytes(), place.key) {
            Ok(known) => known.clone(),
            Err(error) => return Err(self.no_route(place.exchange, error)),
        };
        let (exchange, key, mandatory) = (place.exchange.into(), place.key.into(), place.mandatory);
        Ok(Box::new(Run { channel, mandatory, exchange, key, known, builder: BatchBuilder::new(), first: None }))
    }

    /// Publishes what has been collected.
    pub(super) fn flush_run<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        // What the store has not taken yet goes first.
        if self.stalled.is_some() {
            return;
        }
        let Some(mut run) = self.run.take() else { return };
        if run.builder.is_empty() {
            return;
        }
        let batch = run.builder.finish(run.known.name.clone(), self.publisher.id(), mapping::FACE);
        let (channel, mandatory, first) = (run.channel, run.mandatory, run.first);
        self.offer(cx, Stalled { channel, mandatory, known: run.known, batch, first, retry_at: Instant::START });
    }

    /// Offers a batch to the core, and tells the publisher what became of it.
    fn offer<E: Engine>(&mut self, cx: &mut Context<'_, E>, offer: Stalled) {
        let batch = offer.batch.clone();
        let count = batch.messages().len() as u64;
        let receipt = cx.core.publish(cx.now, &self.publisher, &offer.known, batch, None);
        if let Some(channel) = self.channels.get(&offer.channel)
            && stalls(receipt.outcome).is_none()
        {
            let totals = &channel.books.totals;
            add(&totals.published, count);
            if receipt.outcome == Outcome::Unroutable {
                add(if offer.mandatory { &totals.returned } else { &totals.dropped }, count);
            }
            channel.books.active_ms.store(cx.now.wall.0, Ordering::Relaxed);
        }
        if let Some(reason) = stalls(receipt.outcome) {
            return self.stall(cx, offer, reason);
        }
        let accepted = match receipt.outcome {
            Outcome::Rejected(_) => false,
            Outcome::Unroutable => {
                if offer.mandatory {
                    self.give_back(cx, offer.channel, &offer.batch);
                }
                true
            }
            Outcome::Accepted => true,
        };
        self.pause_behind(cx, offer.channel, receipt.position);
        if let Some(first) = offer.first
            && let Some(channel) = self.channels.get_mut(&offer.channel)
            && let Some(confirms) = channel.confirms()
        {
            let position = receipt.position.filter(|position| *position > cx.core.durable());
            if let Some(pressure) = cx.core.pressure(cx.now, &self.publisher, &offer.known, cx.mailbox) {
                self.held = Some(pressure);
            }
            // What was taken before a queue was full is confirmed by itself.
            let taken = receipt.taken as u64;
            if taken > 0 && !accepted {
                confirms.settle(first, taken, true, position);
                confirms.settle(first + taken, count - taken, false, None);
            } else {
                confirms.settle(first, count, accepted, position);
            }
            self.waiting.insert(offer.channel);
        }
    }

    /// There is no room for now: the publisher is told, where it wants to be, and nothing more is read.
    fn stall<E: Engine>(&mut self, cx: &mut Context<'_, E>, mut offer: Stalled, reason: &str) {
        offer.retry_at = cx.now.instant + RETRY_EVERY;
        self.stalled = Some(Box::new(offer));
        self.say_blocked(cx, reason);
    }

    fn say_blocked<E: Engine>(&mut self, cx: &mut Context<'_, E>, reason: &str) {
        if !self.blocked_said && self.capabilities.connection_blocked {
            put_method(cx.out.tail(), 0, &connection::Blocked { reason });
        }
        self.blocked_said = true;
        self.conversation.note_held(Held::Blocked);
    }

    /// Nothing keeps us from reading any more, unless something else does.
    fn say_unblocked<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        if self.stalled.is_some() || self.alarm.is_some() {
            return;
        }
        self.conversation.note_held(Held::Running);
        if std::mem::take(&mut self.blocked_said) && self.capabilities.connection_blocked {
            put_method(cx.out.tail(), 0, &connection::Unblocked {});
        }
    }

    /// The server reads no more from publishers, or does again.
    pub(super) fn hear_alarm<E: Engine>(&mut self, cx: &mut Context<'_, E>, why: Option<&str>) {
        self.alarm = why.map(Into::into);
        match why {
            Some(reason) if self.messages_in > 0 => self.say_blocked(cx, reason),
            Some(_) => self.conversation.note_held(Held::Blocking),
            None => self.say_unblocked(cx),
        }
    }

    pub(super) fn retry_stalled<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        let Some(stalled) = self.stalled.take() else { return };
        self.offer(cx, *stalled);
        self.say_unblocked(cx);
    }
}

/// Why a batch has to be offered again later; said to those who know connection.blocked.
fn stalls(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Rejected(RejectCause::StoreFull) => Some("low on disk"),
        Outcome::Rejected(cause @ RejectCause::Quota(_)) => Some(cause.text()),
        Outcome::Rejected(_) | Outcome::Accepted | Outcome::Unroutable => None,
    }
}

/// Whether headers name further routing keys; they stand in a list.
fn has_further_keys(headers: FieldTable<'_>) -> Result<bool, Failure> {
    let mut found = false;
    for name in ["CC", "BCC"] {
        let Some(value) = headers.get(name) else { continue };
        if !matches!(value, FieldValue::Array(_)) {
            let kind = refusal::type_of(value);
            let text = format!("invalid message: {{unacceptable_type_in_header,\"{name}\",{kind}}}");
            return Err(Failure::new(ReplyCode::PreconditionFailed, text));
        }
        found = true;
    }
    Ok(found)
}

/// The exchange that is the topic tree.
const TOPIC: &str = "amq.topic";

impl Run {
    /// The one message of a run that goes into a transaction, its place, and whether it may be returned.
    pub(super) fn into_single(mut self, publisher: &motet_core::core::Publisher) -> (KnownName, Arc<Batch>, bool) {
        let batch = self.builder.finish(self.known.name.clone(), publisher.id(), mapping::FACE);
        (self.known, batch, self.mandatory)
    }
}
