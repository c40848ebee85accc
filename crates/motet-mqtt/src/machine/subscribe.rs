//! SUBSCRIBE and UNSUBSCRIBE, answered when what they changed is durable; then the last values.

use super::inbound::Reply;
use super::{Connected, Flow};
use crate::config::Config;
use crate::error::DecodeError;
use crate::mapping;
use crate::packet::{
    Frame, QoS, ReasonCode, ReasonCodes, RetainHandling, SharedSubscription, Subscribe, Subscription, Unsubscribe,
};
use motet_core::RetainedCursor;
use motet_core::core::Subscribed;
use motet_core::engine::Engine;
use motet_core::machine::Context;
use motet_core::mailbox::Grant;
use motet_core::pattern::Pattern;
use motet_core::session::SubscribeOptions;
use motet_core::spelling::mqtt;
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
        let identifier = subscribe.properties.subscription_identifier().map(|id| id.get());
        let wanted: Vec<Result<(Pattern, SubscribeOptions), Refusal>> =
            subscribe.subscriptions.iter().map(|s| wish(config, s, identifier)).collect();
        let accepted: Vec<_> = wanted.iter().filter_map(|w| w.as_ref().ok().cloned()).collect();
        let (answers, position) = cx.core.subscribe(&self.handle, &accepted);
        let mut answers = answers.into_iter();
        let mut replays = Vec::new();
        let (mut codes, mut why) = (ReasonCodes::new(), "");
        for (wish, subscription) in wanted.into_iter().zip(&subscribe.subscriptions) {
            codes.push(match wish {
                Err((code, reason)) => {
                    why = reason;
                    code
                }
                Ok((pattern, options)) => match answers.next() {
                    Some(Subscribed::QuotaExceeded) | None => {
                        why = "no further subscription of this session is taken";
                        ReasonCode::QuotaExceeded
                    }
                    Some(answer) => {
                        if config.retain_available && replays_now(subscription.options.retain_handling, answer) {
                            replays.push(replay(pattern, options));
                        }
                        granted(subscription.options.maximum_qos.min(config.qos_max))
                    }
                },
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
        let patterns: Vec<_> =
            unsubscribe.topic_filters.iter().map(|filter| mqtt::decode_pattern(filter).ok()).collect();
        let known: Vec<Pattern> = patterns.iter().flatten().cloned().collect();
        let (found, position) = cx.core.unsubscribe(&self.handle, &known);
        let mut found = found.into_iter();
        let codes = patterns
            .iter()
            .map(|pattern| match pattern.is_some() && found.next() == Some(true) {
                true => ReasonCode::Success,
                false => ReasonCode::NoSubscriptionExisted,
            })
            .collect();
        self.reply(cx, position, Reply::Unsuback { identifier: unsubscribe.packet_identifier, codes });
        Ok(Flow::Continue)
    }
}

/// Why a filter is not taken: the code, and a sentence for whoever reads the client's log.
type Refusal = (ReasonCode, &'static str);

fn wish(
    config: &Config,
    subscription: &Subscription<'_>,
    identifier: Option<u32>,
) -> Result<(Pattern, SubscribeOptions), Refusal> {
    if SharedSubscription::parse(subscription.topic_filter).is_ok_and(|shared| shared.is_some()) {
        return Err((ReasonCode::SharedSubscriptionsNotSupported, ""));
    }
    if config.is_too_deep(subscription.topic_filter) {
        return Err((ReasonCode::TopicFilterInvalid, "filter of too many levels"));
    }
    let pattern = mqtt::decode_pattern(subscription.topic_filter)
        .map_err(|_| (ReasonCode::TopicFilterInvalid, "not a topic filter"))?;
    let mut options = SubscribeOptions::default();
    // [MQTT-3.2.2-10] any QoS may be asked for; what is granted keeps the maximum.
    options.reliability = mapping::reliability(subscription.options.maximum_qos.min(config.qos_max));
    options.no_local = subscription.options.no_local;
    options.retain_as_published = subscription.options.retain_as_published;
    options.identifier = identifier;
    Ok((pattern, options))
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
