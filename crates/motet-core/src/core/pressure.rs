//! Back-pressure: a queue whose consumer is slow slows whoever fills it, for a while.
//!
//! ```text
//!   enqueue ─▶ above the high-water mark, with somebody there to take? ─▶ crowded ─▶ publishers wait with their answers
//!   take, ack, nobody there any more ─▶ below it ─▶ publishers are nudged
//! ```
//! Only publishers with a message in the crowded queue wait, and only if it is not their own. A queue that nobody
//! takes from slows nobody: there is nothing to wait for, and its bound acts at once. A consumer that makes no room
//! within [`CoreLimits::slow_subscriber_wait`](super::CoreLimits::slow_subscriber_wait) slows nobody any more until it
//! has made some: then too the bound acts.

use super::{Core, Publisher};
use crate::engine::Engine;
use crate::mailbox::Mailbox;
use crate::queues::{Inner, QueueCell};
use crate::route::KnownName;
use crate::time::{Instant, Now};
use crate::waiters::Waiters;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Room below the high-water mark.
const ROOM: u64 = 0;
/// Crowded, and no publisher has looked yet.
const UNSEEN: u64 = 1;

/// Whether a queue is crowded, and who waits for room.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    /// [`ROOM`], [`UNSEEN`], or when a publisher first found it crowded, in nanoseconds.
    since: AtomicU64,
    waiting: Waiters,
}

impl Crowd {
    fn is_crowded(&self) -> bool {
        self.since.load(Ordering::Acquire) != ROOM
    }

    /// Notes what the queue's lock has just shown.
    fn set(&self, crowded: bool) {
        if crowded == self.is_crowded() {
            return;
        }
        self.since.store(if crowded { UNSEEN } else { ROOM }, Ordering::Release);
        if !crowded {
            self.waiting.nudge();
        }
    }

    /// Since when it is crowded; `None` when it is not.
    fn since(&self, now: Instant) -> Option<Instant> {
        match self.since.load(Ordering::Acquire) {
            ROOM => None,
            UNSEEN => {
                let first = now.as_nanos().max(UNSEEN + 1);
                let _ = self.since.compare_exchange(UNSEEN, first, Ordering::AcqRel, Ordering::Acquire);
                Some(now)
            }
            nanos => Some(Instant::from_nanos(nanos)),
        }
    }
}

/// Why a publisher shall wait with what it would answer.
#[derive(Debug, Clone)]
pub struct Pressure {
    queues: Vec<Arc<QueueCell>>,
    until: Instant,
}

impl Pressure {
    /// When it is over at the latest.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// There is room again, or it was waited for long enough.
    pub fn is_over(&self, now: Now) -> bool {
        now.instant >= self.until || !self.queues.iter().any(|queue| queue.crowd.is_crowded())
    }
}

impl<E: Engine> Core<E> {
    /// What slows a publisher that has just published to `known`, if anything does. `mailbox` is nudged when there is
    /// room.
    pub fn pressure(
        &self,
        now: Now,
        publisher: &Publisher,
        known: &KnownName,
        mailbox: &Arc<Mailbox>,
    ) -> Option<Pressure> {
        let mut pressure: Option<Pressure> = None;
        for target in &known.route.queues {
            // Its own acknowledgements make the room, so its own queue must not stop it.
            if target.session == publisher.session() || !target.queue.crowd.is_crowded() {
                continue;
            }
            let Some(since) = target.queue.crowd.since(now.instant) else { continue };
            let until = since + self.limits.slow_subscriber_wait;
            if until <= now.instant {
                continue;
            }
            target.queue.crowd.waiting.add(mailbox);
            let pressure = pressure.get_or_insert(Pressure { queues: Vec::new(), until });
            pressure.until = pressure.until.max(until);
            pressure.queues.push(target.queue.clone());
        }
        // Room may have been made before we were in the list.
        pressure.filter(|pressure| !pressure.is_over(now))
    }

    /// Looks whether a queue has become crowded, or has room again. Under its lock.
    pub(super) fn weigh(&self, cell: &QueueCell, inner: &Inner) {
        // What has a name says itself what happens at its bounds.
        if cell.named().is_some() {
            return;
        }
        let somebody_takes = !inner.consumers.is_empty();
        cell.crowd.set(somebody_takes && inner.queue.is_filled_to(self.limits.session_queue_high_percent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{CoreLimits, Delivery, Outcome, RejectCause};
    use crate::fake::FakeEngine;
    use crate::mailbox::Overflow;
    use crate::message::{BatchBuilder, FaceId, MessageParts, Reliability};
    use crate::name::Name;
    use crate::principal::Principal;
    use crate::session::{CloseSession, Expiry, OpenSession, SessionHandle, SubscribeOptions};
    use crate::spelling::mqtt;
    use crate::time::WallMillis;
    use std::convert::Infallible;
    use std::time::Duration;

    struct Town {
        core: Core<FakeEngine>,
        now: Now,
        bob: Publisher,
        mailbox: Arc<Mailbox>,
    }

    /// A queue of eight with its mark at six, and a consumer that holds two at a time.
    fn town() -> (Town, SessionHandle) {
        let limits = CoreLimits {
            session_queue_messages: 8,
            session_queue_high_percent: 75,
            slow_subscriber_wait: Duration::from_secs(5),
            ..CoreLimits::default()
        };
        let core = Core::new(FakeEngine::default(), limits);
        let now = Now { instant: Instant::from_nanos(10), wall: WallMillis(1000) };
        let ann = open(&core, now);
        let pattern = mqtt::decode_pattern("a").expect("a filter");
        let options = SubscribeOptions { reliability: Reliability::AtLeastOnce, ..SubscribeOptions::default() };
        core.subscribe(&ann, &[(pattern, options)]);
        let bob = Publisher::new(&core, Principal::anonymous(), None);
        (Town { core, now, bob, mailbox: Mailbox::new(1024, Overflow::default()) }, ann)
    }

    fn name() -> Name {
        Name::from_segments([&b"a"[..]]).expect("short")
    }

    fn open(core: &Core<FakeEngine>, now: Now) -> SessionHandle {
        let mailbox = Mailbox::new(1024, Overflow::default());
        let open = OpenSession {
            vhost: core.vhost(),
            client: "ann",
            owner: &Arc::from(""),
            clean_start: false,
            expiry: Expiry::Never,
            credit: 2,
            will: None,
            mailbox: &mailbox,
        };
        core.open_session(now, open).expect("there is room").handle
    }

    impl Town {
        fn publish(&mut self) -> (Outcome, Option<Pressure>) {
            let known = self.bob.known(b"a", || Ok::<_, Infallible>(name())).expect("decodes").clone();
            let mut builder = BatchBuilder::new();
            builder.push(MessageParts { reliability: Reliability::AtLeastOnce, ..MessageParts::default() });
            let batch = builder.finish(known.name.clone(), self.bob.id(), FaceId::NONE);
            let receipt = self.core.publish(self.now, &self.bob, &known, batch, None);
            (receipt.outcome, self.core.pressure(self.now, &self.bob, &known, &self.mailbox))
        }

        fn fill(&mut self) -> Pressure {
            // Two are the consumer's, five wait: the sixth is too many.
            for _ in 0..7 {
                assert!(matches!(self.publish(), (Outcome::Accepted, None)));
            }
            self.publish().1.expect("the mark is reached")
        }

        fn take(&self, ann: &SessionHandle) {
            let mut taken: Vec<Delivery> = Vec::new();
            self.core.take(self.now, ann, 10, 1000, &mut taken);
            let seqs: Vec<u64> = taken.iter().map(|d| d.seq).collect();
            assert!(!seqs.is_empty());
            self.core.settle(ann, &seqs, &[]);
        }
    }

    fn is_nudged(mailbox: &Mailbox) -> bool {
        mailbox.poll_ready(std::task::Waker::noop()).is_ready()
    }

    #[test]
    fn a_slow_consumer_slows_its_publisher_until_it_has_made_room() {
        let (mut town, ann) = town();
        let pressure = town.fill();
        assert!(!pressure.is_over(town.now) && !is_nudged(&town.mailbox));
        town.take(&ann);
        assert!(pressure.is_over(town.now) && is_nudged(&town.mailbox));
    }

    #[test]
    fn who_waits_in_vain_is_let_go_and_the_bound_acts() {
        let (mut town, ann) = town();
        let pressure = town.fill();
        town.now.instant = pressure.until();
        assert!(pressure.is_over(town.now));
        assert!(matches!(town.publish(), (Outcome::Accepted, None)));
        assert!(matches!(town.publish(), (Outcome::Accepted, None)));
        assert!(matches!(town.publish(), (Outcome::Rejected(RejectCause::QueueFull), None)));
        // Room begins a new account.
        town.take(&ann);
        town.take(&ann);
        while town.publish().1.is_none() {}
    }

    #[test]
    fn a_queue_that_nobody_takes_from_slows_nobody() {
        let (mut town, ann) = town();
        let pressure = town.fill();
        town.core.close_session(town.now, &ann, CloseSession { publish_will: false, expiry: None });
        assert!(pressure.is_over(town.now) && is_nudged(&town.mailbox));
        while let (Outcome::Accepted, pressure) = town.publish() {
            assert!(pressure.is_none());
        }
        // Back again, it is crowded from the start.
        open(&town.core, town.now);
        assert!(town.publish().1.is_some());
    }

    #[test]
    fn its_own_queue_does_not_stop_a_publisher() {
        let (mut town, ann) = town();
        town.bob = Publisher::new(&town.core, Principal::anonymous(), Some(&ann));
        for _ in 0..9 {
            assert!(town.publish().1.is_none());
        }
    }
}
