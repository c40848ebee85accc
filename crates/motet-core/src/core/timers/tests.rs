//! What time does to things that nobody looks at.

use crate::core::broker::QueueDeclaration;
use crate::core::{Core, CoreLimits, Outcome, Publisher, Recovery};
use crate::fake::{FakeEngine, Plan};
use crate::mailbox::{Mailbox, Overflow};
use crate::message::{BatchBuilder, FaceId, MessageParts, Reliability, Value};
use crate::name::Name;
use crate::principal::Principal;
use crate::session::{CloseSession, Expiry, OpenSession, SessionHandle, SubscribeOptions};
use crate::spelling::mqtt;
use crate::time::{Instant, Now, WallMillis};
use std::convert::Infallible;
use std::sync::Arc;

const AWAY: CloseSession = CloseSession { publish_will: false, expiry: None };

fn at(ms: u64) -> Now {
    Now { instant: Instant::from_nanos(ms * 1_000_000), wall: WallMillis(ms) }
}

fn small() -> Core<FakeEngine> {
    let limits = CoreLimits { session_queue_messages: 4, ..CoreLimits::default() };
    Core::new(FakeEngine::default(), limits)
}

fn open(core: &Core<FakeEngine>, now: Now, client: &str, expiry: Expiry) -> SessionHandle {
    let mailbox = Mailbox::new(1024, Overflow::default());
    let open = OpenSession {
        vhost: core.vhost(),
        client,
        owner: &Arc::from(""),
        clean_start: false,
        expiry,
        credit: 2,
        will: None,
        mailbox: &mailbox,
    };
    core.open_session(now, open).expect("there is room").handle
}

fn subscribe(core: &Core<FakeEngine>, handle: &SessionHandle) {
    let options = SubscribeOptions { reliability: Reliability::AtLeastOnce, ..SubscribeOptions::default() };
    core.subscribe(handle, &[(mqtt::decode_pattern("a").expect("a filter"), options)]);
}

fn publish(core: &Core<FakeEngine>, now: Now, expires_at: u64) -> Outcome {
    let mut publisher = Publisher::new(core, Principal::anonymous(), None);
    let name = Name::from_segments([&b"a"[..]]).expect("short");
    let known = publisher.known(b"a", || Ok::<_, Infallible>(name)).expect("decodes").clone();
    let mut builder = BatchBuilder::new();
    let (reliability, expires_at) = (Reliability::AtLeastOnce, Some(WallMillis(expires_at)));
    builder.push(MessageParts { reliability, expires_at, ..MessageParts::default() });
    let batch = builder.finish(known.name.clone(), publisher.id(), FaceId::NONE);
    core.publish(now, &publisher, &known, batch, None).outcome
}

fn waiting(core: &Core<FakeEngine>) -> u64 {
    let mut waiting = 0;
    core.for_each_session(|session| waiting += session.queue.waiting());
    waiting
}

/// Someone subscribed, left, and the queue was filled with what is stale after 100.
fn full_and_away() -> Core<FakeEngine> {
    let core = small();
    let handle = open(&core, at(1), "ann", Expiry::Never);
    subscribe(&core, &handle);
    core.close_session(at(1), &handle, AWAY);
    for _ in 0..4 {
        assert_eq!(publish(&core, at(2), 100), Outcome::Accepted);
    }
    assert!(matches!(publish(&core, at(2), 100), Outcome::Rejected(_)));
    core
}

#[test]
fn messages_for_a_session_that_is_away_go_stale() {
    let core = full_and_away();
    assert_eq!(core.next_deadline(), Some(WallMillis(101)));
    core.on_time(at(101));
    assert_eq!(waiting(&core), 0);
    assert_eq!(publish(&core, at(102), 200), Outcome::Accepted);
}

#[test]
fn after_a_start_they_go_stale_too() {
    let core = full_and_away();
    core.engine().sync();
    let engine = FakeEngine::over(core.engine().power_cut(0), Plan::default(), 0);
    let mut recovery = Recovery::new();
    engine.replay(&mut recovery);
    let again = Core::new(engine, CoreLimits::default());
    assert_eq!(again.recover(at(50), recovery).messages, 4);
    assert_eq!(again.next_deadline(), Some(WallMillis(101)));
    again.on_time(at(101));
    assert_eq!(waiting(&again), 0);
}

fn timers(core: &Core<FakeEngine>) -> (usize, usize) {
    let asked = core.timers.asked.lock();
    (asked.by_time.len(), asked.by_object.len())
}

#[test]
fn a_queue_that_is_deleted_leaves_no_timer_behind() {
    let core = small();
    let years = [("x-expires".into(), Value::Int(10 * 365 * 24 * 3_600_000))];
    for _ in 0..100 {
        let declaration = QueueDeclaration { arguments: years.to_vec(), ..QueueDeclaration::default() };
        let declared = core.declare_queue(at(1), core.vhost(), b"q", declaration, 0).expect("fits");
        assert_eq!(timers(&core), (1, 1));
        core.delete_queue(at(1), &declared.queue, false, false).expect("no conditions");
    }
    assert_eq!(timers(&core), (0, 0));
}

#[test]
fn a_session_that_comes_and_goes_has_one_timer_and_none_after_its_end() {
    let core = small();
    for ms in 1..100 {
        let handle = open(&core, at(ms), "ann", Expiry::After(3600));
        core.close_session(at(ms), &handle, AWAY);
        assert_eq!(timers(&core), (1, 1));
    }
    // It was set for the first disconnection; what counts is the last.
    core.on_time(at(3_600_001));
    assert_eq!((core.session_count(), core.next_deadline()), (1, Some(WallMillis(3_600_099))));
    core.on_time(at(3_600_099));
    assert_eq!((core.session_count(), timers(&core)), (0, (0, 0)));

    let handle = open(&core, at(4_000_000), "ann", Expiry::After(3600));
    core.close_session(at(4_000_000), &handle, AWAY);
    assert!(core.remove_session(at(4_000_000), "ann"));
    assert_eq!(timers(&core), (0, 0));
}

#[test]
fn who_asks_again_and_again_to_be_woken_waits_once_for_each_position() {
    let core = small();
    let position = core.registry_put(crate::core::RegistryKind::POLICY, b"a", b"b").expect("small");
    let mailbox = Mailbox::new(1024, Overflow::default());
    for _ in 0..1_000 {
        core.wake_when_durable(position, &mailbox);
    }
    assert_eq!(core.waiting.lock().len(), 1);
    core.engine().sync().into_iter().for_each(|completion| core.complete(completion));
    assert_eq!(core.waiting.lock().len(), 0);
    assert!(mailbox.poll_ready(std::task::Waker::noop()).is_ready());
}
