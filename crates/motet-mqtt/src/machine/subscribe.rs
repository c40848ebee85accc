//! SUBSCRIBE and UNSUBSCRIBE, answered when what they changed is durable; then the last values.

use super::inbound::Reply;
use super::{Connected, Flow, stream_filter};
use crate::config::Config;
use crate::error::DecodeError;
use crate::mapping;
use crate::packet::{
    Frame, QoS, ReasonCode, ReasonCodes, RetainHandling, SharedSubscription, Subscribe, Subscription, Unsubscribe,
};
use bytes::Bytes;
use motet_core::RetainedCursor;
use motet_core::core::broker::QueueError;
use motet_core::core::{JoinRefused, Source, Subscribed};
use motet_core::engine::{Engine, Position};
use motet_core::exchange::BindError;
use motet_core::machine::Context;
use motet_core::mailbox::Grant;
use motet_core::message::Reliability;
use motet_core::pattern::Pattern;
use motet_core::queue::ConsumeError;
use motet_core::session::SubscribeOptions;
use motet_core::spelling::mqtt;
use motet_core::stream::Start;
use motet_core::time::Now;
use std::sync::Arc;

/// A walk over last values that a subscription has asked for.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) cursor: RetainedCursor,
    pub(super) grant: Arc<Grant>,
}

impl Connected {
    pub(super) fn subscribe<E: Engine>(
        &mut self,
        config: &Config,
        cx: &mut Context<'_, E>,
        frame: Frame<'_>,
    ) -> Result<Flow, DecodeError> {
        let subscribe = Subscribe::decode(frame, self.version)?;
        let Some(allowed) = self.may_subscribe(cx, &subscribe) else { return Ok(Flow::Wait) };
        let identifier = subscribe.properties.subscription_identifier().map(|id| id.get());
        let wanted: Vec<Result<Wanted, Refusal>> = subscribe
            .subscriptions
            .iter()
            .zip(allowed)
            .map(|(s, allowed)| {
                let wish = wish(config, s, identifier, cx.now)?;
                allowed.then_some(wish).ok_or((ReasonCode::NotAuthorized, "subscribing to this filter is not allowed"))
            })
            .collect();
        let accepted: Vec<_> = wanted.iter().filter_map(|w| w.as_ref().ok().and_then(Wanted::topics)).collect();
        let (answers, mut position) = cx.core.subscribe(&self.handle, &accepted);
        let mut answers = answers.into_iter();
        let mut replays = Vec::new();
        let (mut codes, mut why) = (ReasonCodes::new(), "");
        for (wish, subscription) in wanted.into_iter().zip(&subscribe.subscriptions) {
            let answer = match wish {
                Err(refusal) => Err(refusal),
                Ok(Wanted::Topics(pattern, options)) => match answers.next() {
                    Some(Subscribed::StoreFull) => Err(refusal_of(&JoinRefused::StoreFull)),
                    Some(Subscribed::QuotaExceeded) | None => Err(refusal_of(&JoinRefused::Quota)),
                    Some(answer) => {
                        if config.retain_available && replays_now(subscription.options.retain_handling, answer) {
                            replays.push(replay(pattern, options));
                        }
                        Ok(QoS::ExactlyOnce)
                    }
                },
                Ok(Wanted::Shared(source, options)) => self.join(cx, source, options).map(|at| {
                    position = position.max(at);
                    QoS::ExactlyOnce
                }),
                Ok(Wanted::Stream(name, start, options)) => {
                    self.follow(cx, subscription.topic_filter, (name, start), options).map(|()| QoS::AtLeastOnce)
                }
            };
            codes.push(match answer {
                Ok(most) => granted(subscription.options.maximum_qos.min(config.qos_max).min(most)),
                Err((code, reason)) => {
                    why = reason;
                    code
                }
            });
        }
        let reply = Reply::Suback { identifier: subscribe.packet_identifier, codes, why, replays };
        self.reply(cx, position, reply);
        Ok(Flow::Continue)
    }

    pub(super) fn unsubscribe<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        frame: Frame<'_>,
    ) -> Result<Flow, DecodeError> {
        let unsubscribe = Unsubscribe::decode(frame, self.version)?;
        let (mut codes, mut position) = (ReasonCodes::new(), None);
        for filter in unsubscribe.topic_filters.iter() {
            if self.close_stream(cx, |known| known == *filter) {
                codes.push(ReasonCode::Success);
                continue;
            }
            let (found, at) = match source_of(filter) {
                Ok(Some(source)) => self.part(cx, &source),
                Ok(None) => match mqtt::decode_pattern(filter) {
                    Ok(pattern) => {
                        let (found, at) = cx.core.unsubscribe(&self.handle, &[pattern]);
                        (found == [true], at)
                    }
                    Err(_) => (false, None),
                },
                Err(_) => (false, None),
            };
            position = position.max(at);
            codes.push(if found { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted });
        }
        self.reply(cx, position, Reply::Unsuback { identifier: unsubscribe.packet_identifier, codes });
        Ok(Flow::Continue)
    }
}

impl Connected {
    /// Becomes a consumer, with what there is to wait for until SUBACK.
    fn join<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        source: Source,
        options: SubscribeOptions,
    ) -> Result<Option<Position>, Refusal> {
        // [4.8.2] a shared subscription brings no retained messages.
        match cx.core.join(cx.now, &self.handle, source, options) {
            Ok((_, joined, position)) => {
                self.outbound.shares.get_or_insert_default().joined(joined);
                Ok(position)
            }
            Err(refused) => Err(refusal_of(&refused)),
        }
    }

    fn follow<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        filter: &str,
        (name, start): (Bytes, Start),
        options: SubscribeOptions,
    ) -> Result<(), Refusal> {
        let found = cx.core.check_queue(cx.now, self.publisher.vhost(), &name, 0);
        let queue = found.map_err(|refused| refusal_of(&JoinRefused::Queue(refused)))?.queue;
        let reading = self.read_stream(cx, filter, &queue, start, options);
        reading.map_err(|_| (ReasonCode::TopicFilterInvalid, "this queue is no stream"))
    }

    fn part<E: Engine>(&mut self, cx: &mut Context<'_, E>, source: &Source) -> (bool, Option<Position>) {
        if let Some(shares) = &mut self.outbound.shares {
            let name = source.queue_name();
            shares.parted(|joined| *joined.queue.name() == name);
        }
        cx.core.part_from(cx.now, &self.handle, source)
    }
}

/// Why a filter is not taken: the code, and a sentence for whoever reads the client's log.
type Refusal = (ReasonCode, &'static str);

/// What a filter asks for.
enum Wanted {
    /// What is published to topics.
    Topics(Pattern, SubscribeOptions),
    /// A share of what a queue holds.
    Shared(Source, SubscribeOptions),
    /// What a stream has kept, from somewhere on, and what is appended.
    Stream(Bytes, Start, SubscribeOptions),
}

impl Wanted {
    fn topics(&self) -> Option<(Pattern, SubscribeOptions)> {
        match self {
            Wanted::Topics(pattern, options) => Some((pattern.clone(), *options)),
            Wanted::Shared(..) | Wanted::Stream(..) => None,
        }
    }
}

/// The queue behind a filter: that of a group, or one that was declared. `None` for a filter of topics.
fn source_of(filter: &str) -> Result<Option<Source>, Refusal> {
    let invalid = |why| (ReasonCode::TopicFilterInvalid, why);
    // [4.8.2] the decoder has checked the form.
    if let Ok(Some(shared)) = SharedSubscription::parse(filter) {
        if source_of(shared.topic_filter)?.is_some() {
            return Err(invalid("a queue is shared by being one"));
        }
        let pattern = mqtt::decode_pattern(shared.topic_filter).map_err(|_| invalid("not a topic filter"))?;
        let name = format!("{}/{}", shared.share_name, shared.topic_filter);
        return Ok(Some(Source::Group { name: name.into(), pattern }));
    }
    match filter.strip_prefix("$queue/") {
        Some(name) => queue_name(name).map(Source::Queue).map(Some),
        None => Ok(None),
    }
}

/// The queue or stream that a filter names, whose right to be consumed is asked for.
pub(super) fn queue_behind(filter: &str) -> Option<Bytes> {
    let name = match filter.strip_prefix("$stream/") {
        Some(rest) => rest.rsplit_once('@').map_or(rest, |(name, _)| name),
        None => filter.strip_prefix("$queue/")?,
    };
    queue_name(name).ok()
}

/// The name of a queue, spelled as one level.
fn queue_name(level: &str) -> Result<Bytes, Refusal> {
    let invalid = |why| (ReasonCode::TopicFilterInvalid, why);
    let name = mqtt::decode_name(level).map_err(|_| invalid("a queue's name has no wildcard"))?;
    let mut segments = name.segments();
    match (segments.next(), segments.next()) {
        (Some(queue), None) if !queue.starts_with(b"$") => Ok(Bytes::copy_from_slice(queue)),
        _ => Err(invalid("not the name of a queue: `/` in it is spelled %2F")),
    }
}

/// What a client is told that cannot join.
fn refusal_of(refused: &JoinRefused) -> Refusal {
    match refused {
        JoinRefused::Quota => (ReasonCode::QuotaExceeded, "no further subscription of this session is taken"),
        JoinRefused::StoreFull
        | JoinRefused::Queue(QueueError::StoreFull)
        | JoinRefused::Bind(BindError::StoreFull) => (ReasonCode::QuotaExceeded, "the store takes nothing for now"),
        JoinRefused::TakenOver => (ReasonCode::UnspecifiedError, "the session was taken over"),
        JoinRefused::Queue(QueueError::NotFound(_)) => (ReasonCode::TopicFilterInvalid, "there is no such queue"),
        JoinRefused::Consume(ConsumeError::Limit(_)) => {
            (ReasonCode::QuotaExceeded, "no further consumer of this queue is taken")
        }
        JoinRefused::Queue(QueueError::Locked(_)) | JoinRefused::Consume(_) => {
            (ReasonCode::NotAuthorized, "the queue is for somebody else alone")
        }
        JoinRefused::Queue(QueueError::Limit(_)) | JoinRefused::Bind(BindError::Limit(_)) => {
            (ReasonCode::QuotaExceeded, "no further group is taken")
        }
        JoinRefused::Queue(_) | JoinRefused::Bind(_) => {
            (ReasonCode::TopicFilterInvalid, "this filter cannot be shared")
        }
    }
}

fn wish(
    config: &Config,
    subscription: &Subscription<'_>,
    identifier: Option<u32>,
    now: Now,
) -> Result<Wanted, Refusal> {
    if config.is_too_deep(subscription.topic_filter) {
        return Err((ReasonCode::TopicFilterInvalid, "filter of too many levels"));
    }
    let mut options = SubscribeOptions::default();
    // [MQTT-3.2.2-10] any QoS may be asked for; what is granted keeps the maximum.
    options.reliability = mapping::reliability(subscription.options.maximum_qos.min(config.qos_max));
    options.no_local = subscription.options.no_local;
    options.retain_as_published = subscription.options.retain_as_published;
    options.identifier = identifier;
    if let Some(source) = source_of(subscription.topic_filter)? {
        return Ok(Wanted::Shared(source, options));
    }
    if let Some(asked) = stream_filter::parse(subscription.topic_filter, now) {
        let (name, start) = asked.map_err(|why| (ReasonCode::TopicFilterInvalid, why))?;
        // Who reads again from where it was has nothing to gain from QoS 2.
        options.reliability = options.reliability.min(Reliability::AtLeastOnce);
        return Ok(Wanted::Stream(queue_name(name)?, start, options));
    }
    let pattern = mqtt::decode_pattern(subscription.topic_filter)
        .map_err(|_| (ReasonCode::TopicFilterInvalid, "not a topic filter"))?;
    Ok(Wanted::Topics(pattern, options))
}

/// [MQTT-3.3.1-9, -10, -11] Retain Handling 0 always, 1 for a new subscription, 2 never.
fn replays_now(handling: RetainHandling, answer: Subscribed) -> bool {
    match handling {
        RetainHandling::Send => true,
        RetainHandling::SendIfNew => answer == Subscribed::New,
        RetainHandling::DoNotSend => false,
    }
}

fn replay(pattern: Pattern, options: SubscribeOptions) -> Replay {
    let grant = Grant {
        reliability: options.reliability,
        retain_as_published: options.retain_as_published,
        identifiers: options.identifier.into_iter().collect(),
    };
    Replay { cursor: RetainedCursor::new(pattern), grant: Arc::new(grant) }
}

fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    }
}
