//! What a vhost's queues hold is counted whatever becomes of it, and stops who publishes there and nobody else.

use super::LimitOf;
use crate::core::broker::{Got, NamedQueue, QueueDeclaration};
use crate::core::{Core, CoreLimits, Outcome, Publisher, Recovery, RejectCause, Vhost};
use crate::fake::{FakeEngine, Plan};
use crate::message::{BatchBuilder, FaceId, MessageParts, Reliability, Value};
use crate::principal::Principal;
use crate::quota::Resource;
use crate::time::Now;
use std::collections::BTreeMap;
use std::sync::Arc;

fn core() -> Core<FakeEngine> {
    Core::new(FakeEngine::default(), CoreLimits::default())
}

fn declare(core: &Core<FakeEngine>, vhost: &Arc<Vhost>, arguments: &[(&str, Value)]) -> Arc<NamedQueue> {
    let arguments = arguments.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
    let declaration = QueueDeclaration { durable: true, arguments, ..QueueDeclaration::default() };
    core.declare_queue(Now::default(), vhost, b"q", declaration, 1).unwrap().queue
}

fn publish(core: &Core<FakeEngine>, vhost: &Arc<Vhost>, reliability: Reliability) -> Outcome {
    let mut publisher = Publisher::new(core, Principal::anonymous(), None).in_vhost(vhost);
    let known = publisher.exchange(b"", b"q").unwrap().clone();
    let mut builder = BatchBuilder::new();
    builder.push(MessageParts { payload: &[7; 100], reliability, ..MessageParts::default() });
    let batch = builder.finish(known.name.clone(), publisher.id(), FaceId::NONE);
    core.publish(Now::default(), &publisher, &known, batch, None).outcome
}

fn limit(core: &Core<FakeEngine>, vhost: &str, name: &str, bytes: i64) {
    core.set_limits(LimitOf::Vhost(vhost), &BTreeMap::from([(name.into(), bytes)])).unwrap();
}

fn held(vhost: &Vhost) -> [u64; 2] {
    Resource::ALL.map(|of| vhost.quota().bytes(of))
}

const FULL: Outcome = Outcome::Rejected(RejectCause::Quota(Resource::Disk));

#[test]
fn a_full_vhost_refuses_what_would_need_room_and_the_next_one_goes_on() {
    let core = core();
    let (vhost, _) = core.create_vhost("v").unwrap();
    let (queue, _) = (declare(&core, &vhost, &[]), declare(&core, core.vhost(), &[]));
    limit(&core, "v", "max-disk-bytes", 50);
    assert_eq!(publish(&core, &vhost, Reliability::AtLeastOnce), Outcome::Accepted);
    assert_eq!(publish(&core, &vhost, Reliability::AtLeastOnce), FULL);
    assert_eq!(publish(&core, &vhost, Reliability::AtMostOnce), Outcome::Accepted, "it needs no disk");
    assert_eq!(publish(&core, core.vhost(), Reliability::AtLeastOnce), Outcome::Accepted);
    let now = Now::default();
    let mailbox = crate::mailbox::Mailbox::new(1 << 10, crate::mailbox::Overflow::default());
    let polls = crate::queue::ConsumerOptions { credit: Some(0), ..Default::default() };
    let reader = core.consume(now, &queue, &mailbox, polls, 1).unwrap();
    let Got::Message(first, _) = core.get(now, &queue, reader) else { panic!("there is one") };
    assert_eq!(publish(&core, &vhost, Reliability::AtLeastOnce), FULL, "whoever holds it may give it back");
    core.settle_many(
        now,
        &[super::super::broker::Settle {
            queue: queue.clone(),
            consumer: reader,
            seq: first.seq,
            settlement: crate::transaction::Settlement::Ack,
        }],
    );
    assert_eq!(publish(&core, &vhost, Reliability::AtLeastOnce), Outcome::Accepted);
    limit(&core, "v", "max-disk-bytes", -1);
    assert_eq!(publish(&core, &vhost, Reliability::AtLeastOnce), Outcome::Accepted);
}

#[test]
fn what_is_held_is_counted_until_it_is_purged_or_its_queue_is_gone() {
    let (core, now) = (core(), Now::default());
    for arguments in [&[][..], &[("x-queue-type", Value::Text("stream".into()))]] {
        let vhost = core.create_vhost("v").unwrap().0;
        let queue = declare(&core, &vhost, arguments);
        publish(&core, &vhost, Reliability::AtLeastOnce);
        assert!(held(&vhost).iter().all(|bytes| *bytes >= 100), "{:?}", held(&vhost));
        if arguments.is_empty() {
            core.purge_queue(now, &queue);
            assert_eq!(held(&vhost), [0, 0]);
            publish(&core, &vhost, Reliability::AtLeastOnce);
        }
        core.delete_queue(now, &queue, false, false).unwrap();
        assert_eq!(held(&vhost), [0, 0]);
    }
}

#[test]
fn what_a_start_finds_is_counted() {
    for arguments in [&[][..], &[("x-queue-type", Value::Text("stream".into()))]] {
        let core = core();
        let vhost = core.create_vhost("v").unwrap().0;
        declare(&core, &vhost, arguments);
        publish(&core, &vhost, Reliability::AtLeastOnce);
        limit(&core, "v", "max-disk-bytes", 50);
        core.engine().sync();
        let engine = FakeEngine::over(core.engine().power_cut(0), Plan::default(), 0);
        let mut recovery = Recovery::new();
        engine.replay(&mut recovery);
        let again = Core::new(engine, CoreLimits::default());
        again.recover(Now::default(), recovery);
        let vhost = again.find_vhost("v").unwrap();
        let [disk, memory] = held(&vhost);
        assert!(disk >= 100 && memory == 0, "it is read when it is needed: {disk} {memory}");
        assert_eq!(publish(&again, &vhost, Reliability::AtLeastOnce), FULL);
    }
}
