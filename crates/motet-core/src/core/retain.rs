//! Last values: set by publishing, replayed to subscribers page by page.

use super::publish::Offer;
use super::{Core, Vhost};
use crate::engine::{Engine, Locator, Stage};
use crate::mailbox::Grant;
use crate::message::{Batch, MessageRef, Reliability, encode_stored_head};
use crate::name::Name;
use crate::queues::Queued;
use crate::session::SessionHandle;
use crate::time::Now;
use crate::topics::{Retained, RetainedCursor, retained_bytes};
use bytes::Bytes;
use std::sync::Arc;

/// What a page of last values brought.
#[derive(Debug, Default)]
pub struct RetainedPage {
    /// Values to be sent at once: the subscription or the value is transient.
    pub direct: Vec<Queued>,
    /// How many went into the session's queue.
    pub queued: usize,
    /// There is another page.
    pub more: bool,
}

/// Values that whoever finds no room looks at, so that his publish stays short.
const SWEPT_AT_ONCE: usize = 256;

/// It has expired. Nobody is told then: it goes when somebody comes across it.
pub(super) fn is_over(message: &MessageRef, now: Now) -> bool {
    message.message().expires_at.is_some_and(|at| at <= now.wall)
}

impl<E: Engine> Core<E> {
    /// Whether the value that the batch would leave behind is within the bounds. Asked while the stage is held, so
    /// that nobody takes the room in between.
    pub(super) fn has_room_to_retain(&self, vhost: &Vhost, batch: &Arc<Batch>) -> bool {
        let Some(index) = batch.messages().iter().rposition(|m| m.retain) else { return true };
        let message = MessageRef::new(batch.clone(), index);
        if message.payload().is_empty() {
            return true;
        }
        let topics = &vhost.topics;
        let bytes = retained_bytes(&message);
        match topics.with_retained(batch.address(), |old| old.map(Retained::bytes)) {
            // What does not grow is let in even when the bounds were lowered since.
            Some(before) => bytes <= before || topics.retained_bytes() - before + bytes <= self.limits.retained_bytes,
            None => {
                topics.retained_count() < self.limits.retained_messages
                    && topics.retained_bytes() + bytes <= self.limits.retained_bytes
            }
        }
    }

    /// Makes the last retained message of the batch the value of its address; an empty one clears it.
    pub(super) fn retain_batch(&self, vhost: &Vhost, batch: &Arc<Batch>, stage: &mut E::Stage<'_>) {
        // Within one batch only the last one can remain.
        let Some(index) = batch.messages().iter().rposition(|m| m.retain) else { return };
        let name = batch.address();
        let message = MessageRef::new(batch.clone(), index);
        if message.payload().is_empty() {
            // [MQTT-3.3.1-6], [MQTT-3.3.1-10]: a message without a body removes the value and is not stored.
            if let Some(at) = vhost.topics.clear_retained(name).and_then(|old| old.locator) {
                stage.delete(vhost.objects.retained, name.as_flat(), at);
            }
            return;
        }
        let message = message.detached();
        let before = vhost.topics.with_retained(name, |old| old.and_then(|old| old.locator));
        let mut stored = Vec::with_capacity(64 + message.payload().len());
        encode_stored_head(&message, &mut stored);
        stored.extend_from_slice(message.payload());
        let at = stage.put(vhost.objects.retained, name.as_flat(), &stored, before);
        vhost.topics.set_retained(name, Retained { message, locator: Some(at) });
    }

    /// The next page of last values for a subscription. Values that need an acknowledgement go into the session's
    /// queue, the others are returned; both under the client's own flow control, so a page is small.
    pub fn retained_page(
        &self,
        now: Now,
        handle: &SessionHandle,
        cursor: &mut RetainedCursor,
        grant: &Arc<Grant>,
        limit: usize,
    ) -> RetainedPage {
        let (mut values, mut over) = (Vec::new(), Vec::new());
        let more =
            handle.session().vhost().topics.retained_page(cursor, limit, |value| values.push(value.message.clone()));
        let mut page = RetainedPage { more, ..RetainedPage::default() };
        let mut queued = Vec::new();
        for message in values {
            if is_over(&message, now) {
                over.push(message.address().clone());
                continue;
            }
            let value = Queued { message, grant: grant.clone(), retained: true };
            match value.reliability() {
                Reliability::AtMostOnce => page.direct.push(value),
                _ => queued.push(value),
            }
        }
        if !over.is_empty() {
            self.clear_expired(now, handle.session().vhost(), &over, &mut self.engine.stage_release());
        }
        page.queued = queued.len();
        if !queued.is_empty() {
            self.enqueue_retained(now, handle, queued);
        }
        page
    }

    /// Takes expired values away. Under the stage, so that nobody sets another one in between.
    fn clear_expired(&self, now: Now, vhost: &Vhost, names: &[Name], stage: &mut E::Stage<'_>) {
        for name in names {
            let still = |value: Option<&Retained>| value.is_some_and(|value| is_over(&value.message, now));
            if vhost.topics.with_retained(name, still)
                && let Some(at) = vhost.topics.clear_retained(name).and_then(|old| old.locator)
            {
                stage.delete(vhost.objects.retained, name.as_flat(), at);
            }
        }
    }

    /// Room is short: looks at some values, other ones each time, and takes away what has expired.
    pub(super) fn sweep_retained(&self, now: Now, vhost: &Vhost, stage: &mut E::Stage<'_>) {
        let mut over = Vec::new();
        vhost.topics.sweep(SWEPT_AT_ONCE, |value| {
            if is_over(&value.message, now) {
                over.push(value.message.address().clone());
            }
        });
        self.clear_expired(now, vhost, &over, stage);
    }

    fn enqueue_retained(&self, now: Now, handle: &SessionHandle, values: Vec<Queued>) {
        // No queue means that the subscription has ended meanwhile and with it the session.
        let Some(queue) = handle.session().queue() else { return };
        let mut stage = queue.is_durable().then(|| self.engine.stage_release());
        let mut inner = queue.inner.lock();
        for value in values {
            let offer = Offer::plain(value, stage.is_some());
            self.enqueue_one(now, queue, &mut inner, offer, stage.as_mut(), |_| super::publish::BodyAt::Inline);
        }
        let wakes = self.carry_out(queue, &mut inner, stage.as_mut());
        drop(inner);
        super::publish::announce(queue, wakes);
    }

    pub(super) fn retained_moved(vhost: &Vhost, key: &Bytes, old: Locator, new: Locator) {
        let Ok(name) = Name::from_flat(key.clone()) else { return };
        vhost.topics.update_retained(&name, |value| {
            if value.locator == Some(old) {
                value.locator = Some(new);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{CoreLimits, Outcome, Publisher, Receipt, Recovery, RejectCause};
    use crate::fake::{FakeEngine, Plan};
    use crate::mailbox::{Mailbox, Overflow, Pulled};
    use crate::message::{BatchBuilder, FaceId, MessageParts};
    use crate::principal::Principal;
    use crate::session::{Expiry, OpenSession, SubscribeOptions};
    use crate::spelling::mqtt;
    use crate::time::WallMillis;
    use std::convert::Infallible;
    use std::sync::atomic::Ordering;

    fn core(retained_messages: u64, retained_bytes: u64) -> Core<FakeEngine> {
        Core::new(FakeEngine::default(), CoreLimits { retained_messages, retained_bytes, ..CoreLimits::default() })
    }

    fn publish(
        core: &Core<FakeEngine>,
        publisher: &mut Publisher,
        to: &str,
        level: Reliability,
        body: &[u8],
    ) -> Receipt {
        publish_until(core, Now::default(), publisher, to, (level, None), body)
    }

    fn publish_until(
        core: &Core<FakeEngine>,
        now: Now,
        publisher: &mut Publisher,
        to: &str,
        (level, expires_at): (Reliability, Option<WallMillis>),
        body: &[u8],
    ) -> Receipt {
        let name = || Ok::<_, Infallible>(Name::from_segments([to.as_bytes()]).expect("short"));
        let known = publisher.known(to.as_bytes(), name).expect("decodes").clone();
        let mut builder = BatchBuilder::new();
        let (retain, reliability) = (true, level);
        builder.push(MessageParts { payload: body, reliability, retain, expires_at, ..MessageParts::default() });
        let batch = builder.finish(known.name.clone(), publisher.id(), FaceId::NONE);
        core.publish(now, publisher, &known, batch, None)
    }

    fn refused(core: &Core<FakeEngine>) -> u64 {
        core.counters().retain_refused.load(Ordering::Relaxed)
    }

    const FULL: Outcome = Outcome::Rejected(RejectCause::RetainedFull);
    const ONCE: Reliability = Reliability::AtLeastOnce;

    #[test]
    fn at_the_bound_a_new_address_is_refused_and_a_known_one_is_replaced() {
        let core = core(1, 1 << 20);
        let mut ann = Publisher::new(&core, Principal::anonymous(), None);
        assert_eq!(publish(&core, &mut ann, "a", ONCE, b"1").outcome, Outcome::Unroutable);
        assert_eq!(publish(&core, &mut ann, "b", ONCE, b"1"), Receipt { outcome: FULL, position: None, taken: 0 });
        assert_eq!((core.retained_count(), refused(&core)), (1, 1));
        assert_eq!(publish(&core, &mut ann, "a", ONCE, b"2").outcome, Outcome::Unroutable);
        assert_eq!(publish(&core, &mut ann, "b", ONCE, b"").outcome, Outcome::Unroutable);
        assert_eq!(publish(&core, &mut ann, "a", ONCE, b"").outcome, Outcome::Unroutable);
        assert_eq!(publish(&core, &mut ann, "b", ONCE, b"1").outcome, Outcome::Unroutable);
        assert_eq!((core.retained_count(), refused(&core)), (1, 1));
    }

    fn at(ms: u64) -> Now {
        Now { wall: WallMillis(ms), ..Now::default() }
    }

    #[test]
    fn expired_values_make_room_for_others() {
        let core = core(100, 1 << 20);
        let mut ann = Publisher::new(&core, Principal::anonymous(), None);
        for n in 0..100 {
            publish_until(&core, at(1), &mut ann, &n.to_string(), (ONCE, Some(WallMillis(50))), b"1");
        }
        assert_eq!(publish_until(&core, at(49), &mut ann, "new", (ONCE, None), b"1").outcome, FULL);
        assert_eq!(core.retained_count(), 100);
        assert_eq!(publish_until(&core, at(50), &mut ann, "new", (ONCE, None), b"1").outcome, Outcome::Unroutable);
        assert_eq!(core.retained_count(), 1);
    }

    #[test]
    fn expired_values_are_gone_for_good_after_a_start() {
        let one = core(100, 1 << 20);
        let mut ann = Publisher::new(&one, Principal::anonymous(), None);
        publish_until(&one, at(1), &mut ann, "a", (ONCE, Some(WallMillis(50))), b"1");
        publish_until(&one, at(1), &mut ann, "b", (ONCE, Some(WallMillis(90))), b"1");
        let mut log = one.engine().power_cut(usize::MAX);
        // The second start finds nothing that the first one left.
        for (now, restored) in [(50, 1), (50, 1), (90, 0)] {
            let engine = FakeEngine::over(log, Plan::default(), 1);
            let core = Core::new(engine.clone(), CoreLimits::default());
            let mut recovery = Recovery::new();
            engine.replay(&mut recovery);
            assert_eq!(core.recover(at(now), recovery).retained, restored);
            assert_eq!(core.retained_count(), restored);
            log = engine.power_cut(usize::MAX);
        }
        let (core, mut recovery) = (core(100, 1 << 20), Recovery::new());
        FakeEngine::over(log, Plan::default(), 1).replay(&mut recovery);
        assert_eq!(core.recover(at(1), recovery).retained, 0, "not even for a clock that was put back");
    }

    #[test]
    fn bytes_count_what_is_kept_now() {
        let core = core(1000, 1000);
        let mut ann = Publisher::new(&core, Principal::anonymous(), None);
        assert_eq!(publish(&core, &mut ann, "a", ONCE, &[1; 1000]).outcome, FULL);
        assert_eq!(publish(&core, &mut ann, "a", ONCE, &[1; 600]).outcome, Outcome::Unroutable);
        let before = core.retained_bytes();
        assert!((600..1000).contains(&before), "{before}");
        assert_eq!(publish(&core, &mut ann, "b", ONCE, &[1; 600]).outcome, FULL);
        assert_eq!(publish(&core, &mut ann, "a", ONCE, &[1; 1000]).outcome, FULL);
        assert_eq!(publish(&core, &mut ann, "a", ONCE, &[1; 500]).outcome, Outcome::Unroutable);
        assert_eq!(core.retained_bytes(), before - 100);
        assert_eq!(publish(&core, &mut ann, "a", ONCE, b"").outcome, Outcome::Unroutable);
        assert_eq!(core.retained_bytes(), 0);
    }

    #[test]
    fn who_subscribes_between_the_look_for_a_route_and_the_new_value_hears_of_it() {
        let core = core(1000, 1 << 20);
        let mut ann = Publisher::new(&core, Principal::anonymous(), None);
        publish(&core, &mut ann, "a", ONCE, b"old");
        let name = || Ok::<_, Infallible>(Name::from_segments([b"a"]).expect("short"));
        let known = ann.known(b"a", name).expect("decodes").clone();
        let mailbox = Mailbox::new(1 << 20, Overflow::DropNewest);
        let open = OpenSession {
            vhost: core.vhost(),
            client: "c",
            owner: &Arc::from(""),
            clean_start: true,
            expiry: Expiry::WithConnection,
            credit: 1,
            will: None,
            mailbox: &mailbox,
        };
        let bob = core.open_session(Now::default(), open).expect("there is room").handle;
        let _ = core.subscribe(&bob, &[(mqtt::decode_pattern("a").expect("a pattern"), SubscribeOptions::default())]);
        let mut builder = BatchBuilder::new();
        builder.push(MessageParts { payload: b"new", retain: true, ..MessageParts::default() });
        let batch = builder.finish(known.name.clone(), ann.id(), FaceId::NONE);
        assert_eq!(core.publish(Now::default(), &ann, &known, batch, None).outcome, Outcome::Accepted);
        let mut pulled = Pulled::default();
        mailbox.pull(&mut pulled);
        assert_eq!(pulled.direct.len(), 1);
    }

    #[test]
    fn who_cannot_hear_no_is_delivered_and_not_retained() {
        let core = core(0, 0);
        let mut ann = Publisher::new(&core, Principal::anonymous(), None);
        assert_eq!(publish(&core, &mut ann, "a", Reliability::AtMostOnce, b"1").outcome, Outcome::Unroutable);
        let mut old = Publisher::new(&core, Principal::anonymous(), None).without_refusals();
        assert_eq!(publish(&core, &mut old, "a", ONCE, b"1").outcome, Outcome::Unroutable);
        assert_eq!((core.retained_count(), refused(&core)), (0, 2));
        assert_eq!(core.counters().rejected.load(Ordering::Relaxed), 0);
    }
}
