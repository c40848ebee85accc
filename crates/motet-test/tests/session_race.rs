//! Connections of one client that come and go at the same moment, on threads of their own.

use motet_core::core::{Core, CoreLimits, Publisher};
use motet_core::mailbox::{Mailbox, Overflow};
use motet_core::message::{BatchBuilder, FaceId, MessageParts, Reliability};
use motet_core::name::Name;
use motet_core::principal::Principal;
use motet_core::session::{CloseSession, Expiry, OpenSession, SessionHandle, SubscribeOptions};
use motet_core::spelling::mqtt;
use motet_core::time::Now;
use motet_test::wire::{Durability, MemoryEngine};
use std::convert::Infallible;
use std::sync::Arc;

/// Once, a session was let go of before its queue was: who opened it in between met the old consumer, or lost its own.
#[test]
fn a_session_is_opened_while_it_is_being_let_go_of() {
    let core = Core::new(MemoryEngine::new(Durability::AtOnce), CoreLimits::default());
    // With a queue: that is what the two could disagree about. A second consumer of it is refused with a panic.
    let first = open(&core);
    let mut options = SubscribeOptions::default();
    options.reliability = Reliability::AtLeastOnce;
    core.subscribe(&first, &[(mqtt::decode_pattern("a").expect("a filter"), options)]);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                for _ in 0..30_000 {
                    let handle = open(&core);
                    core.close_session(Now::default(), &handle, CloseSession { publish_will: false, expiry: None });
                }
            });
        }
    });
    assert_eq!(core.session_count(), 1);
    // Who has it now takes from its queue, and nobody else does.
    let last = open(&core);
    let mut publisher = Publisher::new(&core, Principal::anonymous(), None);
    let name = Name::from_segments([&b"a"[..]]).expect("short");
    let known = publisher.known(b"a", || Ok::<_, Infallible>(name)).expect("decodes").clone();
    let mut builder = BatchBuilder::new();
    builder.push(MessageParts { reliability: Reliability::AtLeastOnce, ..MessageParts::default() });
    let batch = builder.finish(known.name.clone(), publisher.id(), FaceId::NONE);
    core.publish(Now::default(), &publisher, &known, batch, None);
    let mut taken = Vec::new();
    core.take(Now::default(), &last, 10, 1 << 10, &mut taken);
    assert_eq!(taken.len(), 1);
    assert_eq!(core.session("one").expect("it is there").0.queue.unacked, 1);
}

fn open(core: &Core<MemoryEngine>) -> SessionHandle {
    let mailbox = Mailbox::new(1 << 16, Overflow::DropNewest);
    let open = OpenSession {
        owner: &Arc::from(""),
        vhost: core.vhost(),
        client: "one",
        clean_start: false,
        expiry: Expiry::Never,
        credit: 10,
        will: None,
        mailbox: &mailbox,
    };
    core.open_session(Now::default(), open).expect("there is room for one session").handle
}
