//! What the client publishes, and our answers in its order.
//!
//! Consecutive messages to one topic form a *run*, published as one batch. An answer that promises durability waits
//! until its position is durable; answers leave in the order of what they answer [MQTT-4.6.0-2, -3].

use super::close::Farewell;
use super::subscribe::Replay;
use super::{Connected, Flow};
use crate::config::Config;
use crate::error::DecodeError;
use crate::mapping;
use crate::packet::{
    Encode, Frame, PacketIdentifier, Place, Properties, PropertiesBuf, Property, PropertyIdentifier, Puback, Pubcomp,
    Publish, Pubrec, Pubrel, QoS, ReasonCode, ReasonCodes, Suback, Unsuback, Version,
};
use crate::session::received_key;
use motet_core::core::{Note, Outcome, Pressure, RejectCause};
use motet_core::engine::{Engine, Position};
use motet_core::machine::Context;
use motet_core::message::{BatchBuilder, MessageParts};
use motet_core::name::Name;
use motet_core::route::KnownName;
use motet_core::spelling::mqtt;
use motet_core::time::Instant;
use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::sync::atomic::Ordering;

/// Answers that wait before we stop reading: the client publishes faster than the disk takes it.
const WAITING_MAX: usize = 64 * 1024;
/// Messages of one run; bounds what a queue can pin by keeping the last message of a batch.
const RUN_MESSAGES_MAX: usize = 1024;
/// Bytes of one run; a larger message is a run of its own.
const RUN_BYTES_MAX: usize = 64 * 1024;

/// The client's side of publishing.
#[derive(Debug)]
pub(super) struct Inbound {
    /// QoS 2 identifiers received and not released [MQTT-4.3.3-10].
    received: HashSet<u16>,
    /// Topics by alias, from 1 [3.3.2.3.4]; grows only as far as the client uses it.
    aliases: Vec<Option<Box<str>>>,
    /// QoS 1 and 2 messages not answered to the end [MQTT-3.3.4-7].
    unanswered: usize,
    run: Option<Box<Run>>,
    /// Answers in order, each with what must be durable first.
    replies: VecDeque<(Position, Reply)>,
    waiting: usize,
    /// The position whose durability will wake us.
    registered: Position,
    /// A subscriber is slow: acknowledgements wait for it.
    held: Option<Pressure>,
    /// Nothing is read until this is durable.
    paused: Option<Position>,
    /// Bytes not yet durable beyond which it comes to that.
    pending_bytes_high: u64,
    /// Identifiers released by PUBREL during this turn.
    released: Vec<PacketIdentifier>,
    /// A message was refused whose sender cannot be told: the connection ends without an answer to it, after those of
    /// the messages before.
    pub(super) refused: bool,
    /// A quota of the vhost was reached by one who cannot be told: nothing is read until there is room again.
    over_quota: bool,
    /// PUBLISH packets so far, whatever became of them.
    pub(super) messages: u64,
}

/// An answer to the client.
#[derive(Debug)]
pub(super) enum Reply {
    /// PUBACK or PUBREC for each, with one reason.
    Received {
        ids: Vec<(QoS, PacketIdentifier)>,
        code: ReasonCode,
        /// For whoever reads the client's log; mostly empty.
        why: &'static str,
    },
    /// PUBCOMP for each; the reason says whether the identifier was in use.
    Pubcomp(Vec<(PacketIdentifier, ReasonCode)>),
    /// PUBREL for each; the reason says whether we know the message.
    Pubrel(Vec<(PacketIdentifier, ReasonCode)>),
    /// SUBACK, then the last values.
    Suback { identifier: PacketIdentifier, codes: ReasonCodes, why: &'static str, replays: Vec<Replay> },
    /// UNSUBACK.
    Unsuback { identifier: PacketIdentifier, codes: ReasonCodes },
}

/// Consecutive messages to one topic that are answered alike.
#[derive(Debug)]
struct Run {
    topic: Box<str>,
    known: KnownName,
    answered: Answered,
    /// That of all its messages: the identifiers stand in the order of the messages.
    qos: QoS,
    /// To be published that much later, in milliseconds.
    delay_ms: Option<u64>,
    /// What the message itself asked for.
    asked_delay: Option<u64>,
    /// Why nothing of this run is published.
    refusal: Option<(ReasonCode, &'static str)>,
    builder: BatchBuilder,
    ids: Vec<(QoS, PacketIdentifier)>,
    /// Messages that were refused, of every QoS.
    refused: u64,
}

/// What could be said about a message that is not kept as the last value: such a refusal must not reach other messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answered {
    /// It does not ask to be retained.
    Live,
    /// It does, and there is no acknowledgement to refuse it with.
    RetainedUntold,
    /// It does, and waits for its acknowledgement.
    RetainedTold,
}

impl Answered {
    fn of(publish: &Publish<'_>) -> Self {
        match (publish.retain, publish.qos) {
            (false, _) => Answered::Live,
            (true, QoS::AtMostOnce) => Answered::RetainedUntold,
            (true, _) => Answered::RetainedTold,
        }
    }
}

impl Inbound {
    pub(super) fn new(received: HashSet<u16>, pending_bytes_high: u64) -> Self {
        Inbound {
            unanswered: received.len(),
            received,
            aliases: Vec::new(),
            run: None,
            replies: VecDeque::new(),
            waiting: 0,
            registered: Position::default(),
            held: None,
            paused: None,
            pending_bytes_high,
            released: Vec::new(),
            refused: false,
            over_quota: false,
            messages: 0,
        }
    }

    /// The next packet may be read.
    pub(super) fn takes_more(&self) -> bool {
        self.waiting < WAITING_MAX && self.paused.is_none() && !self.refused
    }

    /// Messages to this topic are being collected.
    pub(super) fn publishes_to(&self, topic: &str) -> bool {
        self.run.as_ref().is_some_and(|run| *run.topic == *topic)
    }

    /// Back-pressure: what would ask for more messages waits while a subscriber is slow.
    fn holds(&self, reply: &Reply) -> bool {
        self.held.is_some() && matches!(reply, Reply::Received { .. })
    }

    /// When answers that wait for a slow subscriber go out all the same.
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.held.as_ref().filter(|_| !self.replies.is_empty()).map(Pressure::until)
    }

    /// The turn is over: gives scratch memory back.
    pub(super) fn rest(&mut self) {
        self.run = None;
        if self.replies.is_empty() && self.replies.capacity() > 64 {
            self.replies = VecDeque::new();
        }
    }

    /// The topic of a message, by name or by alias [MQTT-3.3.2-7 to -12].
    fn topic<'a>(&mut self, config: &Config, publish: &Publish<'a>) -> Result<Cow<'a, str>, Farewell> {
        let Some(alias) = publish.properties.topic_alias() else { return Ok(Cow::Borrowed(publish.topic)) };
        if alias.get() > config.topic_alias_maximum {
            return Err(Farewell::Reason(ReasonCode::TopicAliasInvalid, "alias above the announced maximum"));
        }
        let at = usize::from(alias.get()) - 1;
        if publish.topic.is_empty() {
            let known = self.aliases.get(at).and_then(Option::as_deref);
            return known
                .map(|topic| Cow::Owned(topic.to_owned()))
                // [3.3.4] an alias without a topic that was never set is a protocol error.
                .ok_or(Farewell::Reason(ReasonCode::ProtocolError, "alias was never set"));
        }
        if self.aliases.len() <= at {
            self.aliases.resize(at + 1, None);
        }
        self.aliases[at] = Some(publish.topic.into());
        Ok(Cow::Borrowed(publish.topic))
    }
}

/// Where a message really goes, whose rights hold for it.
pub(super) fn undelayed(topic: &str) -> &str {
    let inner = topic.strip_prefix("$delayed/").and_then(|rest| rest.split_once('/'));
    inner.map_or(topic, |(_, inner)| inner)
}

/// The delay that a topic asks for (`$delayed/<seconds>/<topic>`), in milliseconds, and the topic behind it.
fn delayed<'a>(config: &Config, topic: &'a str) -> Result<(Option<u64>, &'a str), Refusal> {
    let Some(rest) = topic.strip_prefix("$delayed/") else { return Ok((None, topic)) };
    let refusal = |why| (ReasonCode::TopicNameInvalid, why);
    let (secs, inner) = rest.split_once('/').filter(|(_, inner)| !inner.is_empty()).ok_or(refusal(NOT_DELAYED))?;
    let secs: u32 = secs.parse().map_err(|_| refusal(NOT_DELAYED))?;
    if secs > config.delay_max_secs {
        return Err(refusal(TOO_LATE));
    }
    Ok((Some(u64::from(secs) * 1000), inner))
}

const TOO_LATE: &str = "the delay is longer than is taken here";
const NOT_DELAYED: &str = "a delayed topic is $delayed/<seconds>/<topic>";

/// Why a topic is not taken: the code, and a sentence for whoever reads the client's log.
type Refusal = (ReasonCode, &'static str);

/// Trees that only the server fills. Queues and exchanges take messages, but not those that are the server's own.
pub(super) fn is_ours(name: &Name) -> bool {
    let second = name.segments().nth(1).unwrap_or_default();
    match name.first() {
        b"$SYS" | b"$share" | b"$stream" | b"$delayed" | b"$room" => true,
        b"$queue" => second.is_empty() || second.starts_with(b"$") || name.segment_count() > 2,
        b"$exchange" => second.is_empty(),
        _ => false,
    }
}

impl Connected {
    pub(super) fn publish<E: Engine>(
        &mut self,
        config: &Config,
        cx: &mut Context<'_, E>,
        publish: Publish<'_>,
    ) -> Flow {
        self.inbound.messages += 1;
        // [MQTT-3.3.4-6] subscription identifiers are the server's to send.
        if publish.properties.has(PropertyIdentifier::SubscriptionIdentifier) {
            return Flow::Close(Farewell::Rules("a client's PUBLISH carries no subscription identifier"));
        }
        // 3.2.2.3.4 and 3.2.2.3.5: a protocol error that has a reason of its own.
        if publish.qos > config.qos_max {
            return Flow::Close(Farewell::Reason(ReasonCode::QoSNotSupported, "QoS above the announced maximum"));
        }
        if publish.retain && !config.retain_available {
            return Flow::Close(Farewell::Reason(ReasonCode::RetainNotSupported, "messages cannot be retained here"));
        }
        let topic = match self.inbound.topic(config, &publish) {
            Ok(topic) => topic,
            Err(farewell) => return Flow::Close(farewell),
        };
        // Before anything of the message is acted upon.
        if self.awaits_answer(cx, &topic) {
            return Flow::Wait;
        }
        if let Some(identifier) = publish.packet_identifier {
            if publish.qos == QoS::ExactlyOnce && !self.inbound.received.insert(identifier.get()) {
                // The same message again: only the answer is repeated, behind whatever still waits [MQTT-4.3.3-10].
                // Writing the note again gives a position behind the first writing, which may have been another connection's.
                self.flush_run(cx);
                let key = received_key(identifier);
                let ids = vec![(QoS::ExactlyOnce, identifier)];
                if let Ok(position) = cx.core.note(&self.handle, &[Note::Put { key: &key, value: &[] }]) {
                    self.reply(cx, position, Reply::Received { ids, code: ReasonCode::Success, why: "" });
                }
                return Flow::Continue;
            }
            self.inbound.unanswered += 1;
            // [MQTT-3.3.4-7] more than we said we take.
            if self.version == Version::V5 && self.inbound.unanswered > usize::from(config.receive_maximum) {
                return Flow::Close(Farewell::Reason(ReasonCode::ReceiveMaximumExceeded, "receive maximum exceeded"));
            }
        }
        // [3.3.2.3.2]
        if config.is_invalid_text(publish.properties, publish.payload) {
            return self.refuse(cx, &publish, ReasonCode::PayloadFormatInvalid, "the payload is not UTF-8");
        }
        // Each level of what is retained is a node that stays.
        if publish.retain && config.is_too_deep(&topic) {
            const WHY: &str = "retained on a topic of too many levels";
            return match self.version {
                Version::V5 => self.refuse(cx, &publish, ReasonCode::TopicNameInvalid, WHY),
                // An acknowledgement would say that it was taken.
                _ => Flow::Close(Farewell::Reason(ReasonCode::TopicNameInvalid, WHY)),
            };
        }
        let answered = Answered::of(&publish);
        let asked_delay = if publish.properties.is_empty() { None } else { mapping::delay_ms(publish.properties) };
        let fits = self.inbound.run.as_ref().is_some_and(|run| {
            run.answered == answered
                && run.qos == publish.qos
                && run.asked_delay == asked_delay
                // What must be signed is looked at message by message.
                && !run.known.is_signed()
                // A message with a route of its own is in a group of its own, with its note.
                && !run.known.varies()
                && *run.topic == *topic
                && run.builder.len() < RUN_MESSAGES_MAX
                && run.builder.bytes() < RUN_BYTES_MAX
        });
        if !fits {
            self.flush_run(cx);
            match self.begin_run(config, cx, &topic, &publish, answered) {
                Ok(run) => self.inbound.run = Some(run),
                Err(farewell) => return Flow::Close(farewell),
            }
        }
        let run = self.inbound.run.as_mut().expect("the run was just begun or fits");
        run.push(cx, &publish);
        Flow::Continue
    }

    /// A message that is not taken. With QoS 0 there is no answer that could say so.
    fn refuse<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        publish: &Publish<'_>,
        code: ReasonCode,
        why: &'static str,
    ) -> Flow {
        self.flush_run(cx);
        cx.core.counters().rejected.fetch_add(1, Ordering::Relaxed);
        if let Some(identifier) = publish.packet_identifier {
            let ids = vec![(publish.qos, identifier)];
            self.answer_refused(cx, ids, code, why);
        }
        Flow::Continue
    }

    fn begin_run<E: Engine>(
        &mut self,
        config: &Config,
        cx: &Context<'_, E>,
        topic: &str,
        publish: &Publish<'_>,
        answered: Answered,
    ) -> Result<Box<Run>, Farewell> {
        let asked_delay = mapping::delay_ms(publish.properties);
        let (delay, inner, wrong) = match delayed(config, topic) {
            Ok((delay, inner)) => (delay, inner, None),
            Err(refusal) => (None, topic, Some(refusal)),
        };
        let known = self
            .publisher
            .known(inner.as_bytes(), || mqtt::decode_name(inner))
            .map_err(|_| Farewell::Reason(ReasonCode::TopicNameInvalid, "not a topic name"))?
            .clone();
        // An exchange that delays does so itself, and others don't.
        let delay = delay.or(asked_delay.filter(|_| known.name.first() != b"$exchange"));
        let refusal = if wrong.is_some() {
            wrong
        } else if delay.is_some_and(|delay| delay > u64::from(config.delay_max_secs) * 1000) {
            Some((ReasonCode::ImplementationSpecificError, TOO_LATE))
        } else if is_ours(&known.name) {
            Some((ReasonCode::TopicNameInvalid, "this topic belongs to the server"))
        } else {
            super::access::refusal(cx, &known, publish)
        };
        Ok(Box::new(Run {
            topic: topic.into(),
            known,
            answered,
            qos: publish.qos,
            delay_ms: delay,
            asked_delay,
            refusal,
            builder: BatchBuilder::new(),
            ids: Vec::new(),
            refused: 0,
        }))
    }

    /// Publishes what has been collected.
    pub(super) fn flush_run<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        let Some(mut run) = self.inbound.run.take() else { return };
        // After a takeover the new connection gets all of this again; here it would be published without its notes.
        if !cx.core.is_current(&self.handle) {
            return;
        }
        let mut ids = std::mem::take(&mut run.ids);
        if let Some((code, why)) = run.refusal {
            cx.core.counters().rejected.fetch_add(run.refused, Ordering::Relaxed);
            // [MQTT-3.3.5-2 of 3.1.1] a 3.x client cannot be told and gets a plain acknowledgement.
            return self.answer_refused(cx, ids, code, why);
        }
        if run.builder.is_empty() {
            return;
        }
        let batch = run.builder.finish(run.known.name.clone(), self.publisher.id(), mapping::FACE);
        let keys: Vec<_> =
            ids.iter().filter(|(qos, _)| *qos == QoS::ExactlyOnce).map(|(_, id)| received_key(*id)).collect();
        let notes: Vec<_> = keys.iter().map(|key| Note::Put { key, value: &[] }).collect();
        let session = Some((&self.handle, &notes[..]));
        let receipt = match run.delay_ms {
            None => cx.core.publish(cx.now, &self.publisher, &run.known, batch, session),
            Some(delay_ms) => cx.core.publish_delayed(cx.now, &self.publisher, batch, delay_ms, session),
        };
        if let Some(position) = receipt.position
            && cx.core.engine().pending_bytes() > self.inbound.pending_bytes_high
        {
            self.inbound.paused = Some(position);
        }
        if self.version != Version::V5 && cx.core.is_held_by_quota(&self.publisher, &run.known, cx.mailbox) {
            self.inbound.over_quota = true;
        }
        let code = match receipt.outcome {
            Outcome::Accepted => ReasonCode::Success,
            Outcome::Unroutable => ReasonCode::NoMatchingSubscribers,
            Outcome::Rejected(RejectCause::TakenOver) => return,
            Outcome::Rejected(_) if ids.is_empty() => return,
            Outcome::Rejected(cause) => {
                // What came before the one that was refused is answered as what it is: taken.
                let rest = ids.split_off(receipt.taken.min(ids.len()));
                self.answer_taken(cx, &run.known, receipt.position, ids, ReasonCode::Success);
                if self.version != Version::V5 {
                    self.inbound.refused = true;
                    return;
                }
                let why = match cause {
                    RejectCause::QueueFull => "a subscriber's queue is full",
                    RejectCause::RetainedFull => "no further message is retained",
                    RejectCause::Quota(_) => cause.text(),
                    RejectCause::StoreFull | RejectCause::TakenOver => "the store takes nothing for now",
                };
                return self.answer_refused(cx, rest, ReasonCode::QuotaExceeded, why);
            }
        };
        self.answer_taken(cx, &run.known, receipt.position, ids, code);
    }

    /// Acknowledges messages as soon as `position` is durable and their subscribers keep up.
    fn answer_taken<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        known: &KnownName,
        position: Option<Position>,
        ids: Vec<(QoS, PacketIdentifier)>,
        code: ReasonCode,
    ) {
        if ids.is_empty() {
            return;
        }
        if let Some(pressure) = cx.core.pressure(cx.now, &self.publisher, known, cx.mailbox) {
            self.inbound.held = Some(pressure);
        }
        self.reply(cx, position, Reply::Received { ids, code, why: "" });
    }

    /// A message was refused whose sender cannot be told, and everything before it has been answered.
    pub(super) fn is_refused(&self) -> bool {
        self.inbound.refused && self.inbound.replies.is_empty()
    }

    /// A quota of the vhost leaves no room for what this client publishes, and it cannot be told.
    pub(super) fn is_over_quota(&self) -> bool {
        self.inbound.over_quota && self.publisher.vhost().quota().is_any_reached()
    }

    /// Waits for room, or goes on.
    pub(super) fn look_at_quota<E: Engine>(&mut self, cx: &Context<'_, E>) {
        self.inbound.over_quota = self.inbound.over_quota && self.publisher.vhost().quota().wait(cx.mailbox);
    }

    fn answer_refused<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        ids: Vec<(QoS, PacketIdentifier)>,
        code: ReasonCode,
        why: &'static str,
    ) {
        if self.version == Version::V5 {
            // A PUBREC that refuses ends the exchange [MQTT-4.3.3-9].
            for (_, id) in ids.iter().filter(|(qos, _)| *qos == QoS::ExactlyOnce) {
                self.inbound.received.remove(&id.get());
                self.inbound.unanswered = self.inbound.unanswered.saturating_sub(1);
            }
        }
        if !ids.is_empty() {
            let position = self.inbound.replies.back().map(|(position, _)| *position);
            self.reply(cx, position, Reply::Received { ids, code, why });
        }
    }

    pub(super) fn pubrel(&mut self, frame: Frame<'_>) -> Result<Flow, DecodeError> {
        let pubrel = Pubrel::decode(frame, self.version)?;
        self.inbound.released.push(pubrel.packet_identifier);
        Ok(Flow::Continue)
    }

    /// Answers the PUBRELs of this turn, once the release is durable (rule b of DESIGN §7).
    pub(super) fn answer_released<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        if self.inbound.released.is_empty() {
            return;
        }
        let released = std::mem::take(&mut self.inbound.released);
        let ids: Vec<_> = released
            .into_iter()
            .map(|id| match self.inbound.received.remove(&id.get()) {
                true => (id, ReasonCode::Success),
                // 4.3.3: no error while recovering, else a sign that both sides disagree; the exchange ends either way.
                false => (id, ReasonCode::PacketIdentifierNotFound),
            })
            .collect();
        let known = ids.iter().filter(|(_, code)| !code.is_error()).count();
        self.inbound.unanswered = self.inbound.unanswered.saturating_sub(known);
        // Also one that is unknown waits: an earlier connection may have released it a moment ago.
        let keys: Vec<_> = ids.iter().map(|(id, _)| received_key(*id)).collect();
        let notes: Vec<_> = keys.iter().map(|key| Note::Delete { key }).collect();
        // Whose session was taken over completes nothing: the identifiers are still taken for the next connection.
        if let Ok(position) = cx.core.note(&self.handle, &notes) {
            self.reply(cx, position, Reply::Pubcomp(ids));
        }
    }

    /// Answers now, or when `position` is durable and everything before has been answered.
    pub(super) fn reply<E: Engine>(&mut self, cx: &mut Context<'_, E>, position: Option<Position>, reply: Reply) {
        let due = position.is_none_or(|position| position <= cx.core.durable());
        if due && self.inbound.replies.is_empty() && !self.inbound.holds(&reply) {
            return self.say_reply(cx, reply);
        }
        // Whatever is staged is waited for, not only what is published.
        if let Some(position) = position.filter(|_| !due)
            && cx.core.engine().pending_bytes() > self.inbound.pending_bytes_high
        {
            self.inbound.paused = self.inbound.paused.max(Some(position));
        }
        let last = self.inbound.replies.back().map(|(position, _)| *position).unwrap_or_default();
        self.inbound.waiting += reply.count();
        self.inbound.replies.push_back((position.unwrap_or_default().max(last), reply));
    }

    /// Sends the answers whose promise has come true.
    pub(super) fn release_replies<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        if self.inbound.replies.is_empty() && self.inbound.paused.is_none() {
            return;
        }
        let durable = cx.core.durable();
        if self.inbound.held.as_ref().is_some_and(|pressure| pressure.is_over(cx.now)) {
            self.inbound.held = None;
        }
        while let Some((position, reply)) = self.inbound.replies.pop_front() {
            if position > durable || self.inbound.holds(&reply) {
                self.inbound.replies.push_front((position, reply));
                break;
            }
            self.inbound.waiting -= reply.count();
            self.say_reply(cx, reply);
        }
        if self.inbound.paused.is_some_and(|position| position <= durable) {
            self.inbound.paused = None;
        }
    }

    /// Asks to be woken when the first answer, or the end of a pause, is due.
    pub(super) fn wake_for_replies<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        let first = self.inbound.replies.front().map(|(position, _)| *position).or(self.inbound.paused);
        if let Some(position) = first
            && position > self.inbound.registered
        {
            self.inbound.registered = position;
            cx.core.wake_when_durable(position, cx.mailbox);
        }
    }

    /// A sentence, unless the client declined such [MQTT-3.1.2-32] or cannot read it.
    fn reason_string(&self, place: Place, why: &'static str) -> PropertiesBuf {
        let mut properties = PropertiesBuf::new();
        if !why.is_empty() && self.problem_information && self.version == Version::V5 {
            let _ = properties.push(place, Property::ReasonString(why));
        }
        properties
    }

    fn say_reply<E: Engine>(&mut self, cx: &mut Context<'_, E>, reply: Reply) {
        let version = self.version;
        match reply {
            Reply::Received { ids, code, why } => {
                let reason = self.reason_string(Place::Puback, why);
                let (properties, max) = (reason.as_properties(), self.packet_bytes_max);
                let answered = ids.iter().filter(|(qos, _)| *qos == QoS::AtLeastOnce).count();
                self.inbound.unanswered = self.inbound.unanswered.saturating_sub(answered);
                let out = cx.out.tail();
                for (qos, id) in ids {
                    match qos {
                        QoS::ExactlyOnce if why.is_empty() => Pubrec::new(id, code).encode(version, out),
                        _ if why.is_empty() => Puback::new(id, code).encode(version, out),
                        // Without the sentence an acknowledgement fits any maximum but an absurd one.
                        QoS::ExactlyOnce => {
                            let _ = Pubrec { properties, ..Pubrec::new(id, code) }.encode_within(version, max, out);
                        }
                        _ => {
                            let _ = Puback { properties, ..Puback::new(id, code) }.encode_within(version, max, out);
                        }
                    }
                }
            }
            Reply::Pubcomp(ids) => {
                ids.iter().for_each(|(id, code)| Pubcomp::new(*id, *code).encode(version, cx.out.tail()));
            }
            Reply::Pubrel(ids) => {
                ids.iter().for_each(|(id, code)| Pubrel::new(*id, *code).encode(version, cx.out.tail()));
            }
            Reply::Suback { identifier, codes, why, replays } => {
                let reason = self.reason_string(Place::Suback, why);
                let properties = reason.as_properties();
                let suback = Suback { packet_identifier: identifier, properties, reason_codes: codes };
                let _ = suback.encode_within(version, self.packet_bytes_max, cx.out.tail());
                self.outbound.replays.extend(replays);
                // The walk over last values begins at the next pull.
                if !self.outbound.replays.is_empty() {
                    cx.mailbox.nudge();
                }
            }
            Reply::Unsuback { identifier, codes } => {
                Unsuback { packet_identifier: identifier, properties: Properties::EMPTY, reason_codes: codes }
                    .encode(version, cx.out.tail());
            }
        }
    }
}

impl Reply {
    fn count(&self) -> usize {
        match self {
            Reply::Received { ids, .. } => ids.len(),
            Reply::Pubcomp(ids) => ids.len(),
            Reply::Pubrel(ids) => ids.len(),
            Reply::Suback { .. } | Reply::Unsuback { .. } => 1,
        }
    }
}

impl Run {
    fn push<E: Engine>(&mut self, cx: &Context<'_, E>, publish: &Publish<'_>) {
        if let Some(identifier) = publish.packet_identifier {
            self.ids.push((publish.qos, identifier));
        }
        if self.refusal.is_some() {
            self.refused += 1;
            return;
        }
        let mut parts = MessageParts {
            payload: publish.payload,
            reliability: mapping::reliability(publish.qos),
            retain: publish.retain,
            ..MessageParts::default()
        };
        if publish.properties.is_empty() {
            self.builder.push(parts);
            return;
        }
        let (origin, properties) = mapping::to_canonical(publish.properties);
        parts.expires_at = mapping::expires_at(cx.now, publish.properties.message_expiry_interval());
        parts.properties = properties;
        parts.origin = origin.as_properties().raw();
        self.builder.push(parts);
    }
}
