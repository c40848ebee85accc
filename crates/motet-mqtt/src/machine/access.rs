//! What a client may, as far as that takes more than one look: answers that take time, rights that change or end.

use super::close::Farewell;
use super::connect::PendingConnect;
use super::inbound::undelayed;
use super::subscribe::queue_behind;
use super::{Connected, Flow};
use crate::packet::{Publish, ReasonCode, SharedSubscription, Subscribe, Version, Will};
use motet_core::access::{Action, Resource, SIGNATURE_HEADER};
use motet_core::core::{Decision, Delivery};
use motet_core::engine::Engine;
use motet_core::machine::Context;
use motet_core::message::MessageRef;
use motet_core::name::Name;
use motet_core::principal::Principal;
use motet_core::route::KnownName;
use motet_core::spelling::mqtt;
use motet_core::time::{Instant, Now, WallMillis};

/// The rights of a client that is in.
#[derive(Debug)]
pub(super) struct Rights {
    /// The rules that its subscriptions were held against.
    epoch: u64,
    /// When what the client showed ends: as it says, and when to look by the monotonic clock.
    expiry: Option<(WallMillis, Instant)>,
    /// A packet lies at the front of the input until somebody has answered whether the client may.
    pub(super) waits: bool,
}

impl Rights {
    pub(super) fn new<E: Engine>(cx: &Context<'_, E>, principal: &Principal) -> Self {
        let epoch = cx.core.vhost().access_epoch();
        Rights { epoch, expiry: expiry(cx.now, principal), waits: false }
    }

    pub(super) fn expires_at(&self) -> Option<Instant> {
        self.expiry.map(|(_, look_at)| look_at)
    }
}

/// What the session's queue had when the rules were looked at is held against them, message by message.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// The address that came last, and the answer.
    last: Option<(Name, bool)>,
}

fn expiry(now: Now, principal: &Principal) -> Option<(WallMillis, Instant)> {
    principal.expires_at().zip(principal.expiry_deadline(now))
}

impl Connected {
    /// Whether the client may publish to `topic` is still being asked: the packet stays where it is, so that neither it
    /// is lost nor its order. Nothing of it may have been acted upon before.
    pub(super) fn awaits_answer<E: Engine>(&mut self, cx: &mut Context<'_, E>, topic: &str) -> bool {
        if !cx.core.vhost().has_authority() || self.inbound.publishes_to(topic) {
            return false;
        }
        let topic = undelayed(topic);
        let known = self.publisher.known(topic.as_bytes(), || mqtt::decode_name(topic));
        self.rights.waits = known.is_ok_and(|known| known.waits());
        if self.rights.waits {
            self.flush_run(cx);
        }
        self.rights.waits
    }

    /// What each filter of the packet may: None while one of them is still being asked.
    pub(super) fn may_subscribe<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        subscribe: &Subscribe<'_>,
    ) -> Option<Vec<bool>> {
        let who = self.publisher.principal();
        let topics = |filter: &str| match mqtt::decode_pattern(filter) {
            Ok(pattern) => {
                let resource = Resource::Pattern(&pattern);
                cx.core.vhost().permit(who, Action::Subscribe, resource, Some(cx.mailbox))
            }
            // What is no filter is refused for that.
            Err(_) => Decision::Allowed,
        };
        // A share needs the right to what is shared, a queue or stream the right to consume it.
        let decide = |filter: &str| {
            let shared = SharedSubscription::parse(filter).ok().flatten();
            let filter = shared.map_or(filter, |shared| shared.topic_filter);
            if let Some(queue) = queue_behind(filter) {
                let vhost = cx.core.vhost();
                return vhost.permit(who, Action::Consume, Resource::Queue(&queue), Some(cx.mailbox));
            }
            topics(filter)
        };
        let decisions: Vec<_> = subscribe.subscriptions.iter().map(|s| decide(s.topic_filter)).collect();
        self.rights.waits = decisions.contains(&Decision::Later);
        (!self.rights.waits).then(|| decisions.into_iter().map(Decision::is_allowed).collect())
    }

    /// Looks whether the rules have changed since the subscriptions were made, and ends those that are over.
    pub(super) fn keep_rights<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        self.rights.waits = false;
        let epoch = cx.core.vhost().access_epoch();
        if self.rights.epoch != epoch {
            self.rights.epoch = epoch;
            cx.core.keep_allowed(&self.handle, self.publisher.principal());
            self.outbound.judged = Some(Box::default());
        }
    }

    /// Whether a message that came to the session's queue under rules that may have been others may go to the client.
    /// What was sent before is finished; what is new comes from subscriptions that the rules of now allow.
    pub(super) fn may_still_hear<E: Engine>(&mut self, cx: &Context<'_, E>, delivery: &Delivery) -> bool {
        let Some(judged) = self.outbound.judged.as_mut().filter(|_| !delivery.redelivered) else { return true };
        let address = delivery.queued.message.address();
        if let Some((known, allowed)) = &judged.last
            && known == address
        {
            return *allowed;
        }
        let allowed = cx.core.may_still_hear(&self.handle, self.publisher.principal(), address);
        judged.last = Some((address.clone(), allowed));
        allowed
    }

    /// Notices that the client has shown something new, which lasts longer or shorter.
    pub(super) fn look_at_expiry(&mut self, now: Now) {
        let shown = self.publisher.principal().expires_at();
        if self.rights.expiry.map(|(shown, _)| shown) != shown {
            self.rights.expiry = expiry(now, self.publisher.principal());
        }
    }

    /// Ends the connection when what the client showed has ended.
    pub(super) fn check_expiry(&mut self, now: Now) -> Flow {
        if self.publisher.principal().has_expired(now) {
            // 3.14.2.2.2: the time for which the connection was authorized is over.
            return Flow::Close(Farewell::Reason(ReasonCode::MaximumConnectTime, "the credentials have expired"));
        }
        // The wall clock was set back.
        self.rights.expiry = expiry(now, self.publisher.principal());
        Flow::Continue
    }
}

/// Why a message may not be published, if it may not.
pub(super) fn refusal<E: Engine>(
    cx: &Context<'_, E>,
    known: &KnownName,
    publish: &Publish<'_>,
) -> Option<(ReasonCode, &'static str)> {
    if !known.is_signed() {
        return (!known.allowed()).then_some((ReasonCode::NotAuthorized, "publishing to this topic is not allowed"));
    }
    let mut properties = publish.properties.user_properties();
    let signature = properties.find(|(name, _)| *name == SIGNATURE_HEADER).map(|(_, value)| value.as_bytes());
    if known.verify(publish.payload, signature) {
        return None;
    }
    cx.core.vhost().count_unsigned();
    Some((ReasonCode::NotAuthorized, "this topic takes messages with a good signature only"))
}

/// Whether the client may leave this will. None while it is still being asked.
pub(super) fn may_leave_will<E: Engine>(
    cx: &Context<'_, E>,
    principal: &Principal,
    pending: &PendingConnect,
) -> Option<bool> {
    let Some(will) = &pending.will else { return Some(true) };
    let vhost = cx.core.vhost();
    let name = will.batch.address();
    match vhost.permit(principal, Action::Publish, Resource::Name(name), Some(cx.mailbox)) {
        Decision::Later => None,
        Decision::Refused(_) => Some(false),
        Decision::Allowed => {
            let required = vhost.signatures().filter(|check| check.is_required(name));
            let message = MessageRef::new(will.batch.clone(), 0);
            let signature = pending.will_signature.as_deref();
            let signed = required.is_none_or(|check| check.verify(name, message.payload(), signature));
            if !signed {
                vhost.count_unsigned();
            }
            Some(signed)
        }
    }
}

/// The signature that a will carries.
pub(super) fn signature_of(will: &Will<'_>, version: Version) -> Option<Box<[u8]>> {
    let mut properties = will.properties.user_properties();
    let found = properties.find(|(name, _)| *name == SIGNATURE_HEADER).map(|(_, value)| value.as_bytes().into());
    found.filter(|_| version == Version::V5)
}
