//! What one message costs between two machines, without sockets: `cargo bench -p motet-mqtt --bench relay`.
//!
//! A publisher's machine is fed what one read would bring; a subscriber's machine is pumped; the core lies between,
//! over an engine that stores nothing. Prints nanoseconds per message for each kind of delivery.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use bytes::BytesMut;
use motet_core::core::{Core, CoreLimits};
use motet_core::engine::{Engine, Locator, ObjectId, Position, Refused, Stage, StagedBody};
use motet_core::machine::{Attempt, Authenticator, Context, Machine, Random};
use motet_core::mailbox::{Mailbox, Overflow};
use motet_core::principal::{Denied, Principal};
use motet_core::rope::Rope;
use motet_core::time::Now;
use motet_mqtt::packet::{Connect, Encode, Properties, PublishHead, QoS, Version};
use motet_mqtt::{Config, Connection};
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug)]
struct NoEngine;
struct NoStage;

impl Stage for NoStage {
    fn enqueue(&mut self, _: ObjectId, seq: u64, _: &[u8], _: StagedBody<'_>) -> Locator {
        Locator(std::num::NonZeroU64::new(seq).expect("sequences begin at one"))
    }
    fn body(&mut self, _: &[&[u8]]) -> Locator {
        Locator(std::num::NonZeroU64::MIN)
    }
    fn settle(&mut self, _: ObjectId, _: u64, _: Locator) {}
    fn mark(&mut self, _: ObjectId, _: u64, _: Locator, _: &[u8]) {}
    fn put(&mut self, _: ObjectId, _: &[u8], _: &[u8], _: Option<Locator>) -> Locator {
        Locator(std::num::NonZeroU64::MIN)
    }
    fn delete(&mut self, _: ObjectId, _: &[u8], _: Locator) {}
    fn drop_object(&mut self, _: ObjectId) {}
    fn finish(self) -> Position {
        Position(0)
    }
}

impl Engine for NoEngine {
    type Stage<'a> = NoStage;
    fn stage(&self) -> Result<NoStage, Refused> {
        Ok(NoStage)
    }
    fn stage_release(&self) -> NoStage {
        NoStage
    }
    fn durable(&self) -> Position {
        Position(0)
    }
    fn read(&self, _: ObjectId, _: Vec<(u64, Locator)>) {}
    fn pending_bytes(&self) -> u64 {
        0
    }
    fn allot_object(&self) -> ObjectId {
        ObjectId(100)
    }
}

struct Everyone;
impl Authenticator for Everyone {
    fn check(&self, _: Attempt<'_>, _: u64, _: &Arc<Mailbox>) -> Option<Result<Principal, Denied>> {
        Some(Ok(Principal::anonymous()))
    }
}

struct Peer {
    machine: Connection,
    mailbox: Arc<Mailbox>,
    out: Rope,
    random: Random,
}

impl Peer {
    fn call(&mut self, core: &Core<NoEngine>, f: impl FnOnce(&mut Connection, &mut Context<'_, NoEngine>)) {
        let mut cx = Context {
            now: Now::default(),
            core,
            auth: &Everyone,
            mailbox: &self.mailbox,
            peer: None,
            loopback: true,
            secure: None,
            out: &mut self.out,
            out_high_water: 1 << 20,
            random: &mut self.random,
            action: None,
        };
        f(&mut self.machine, &mut cx);
    }

    fn connect(core: &Core<NoEngine>, client: &str) -> Peer {
        let mut peer = Peer {
            machine: Connection::new(Arc::new(Config::default())),
            mailbox: Mailbox::new(64 << 20, Overflow::DropNewest),
            out: Rope::new(),
            random: Random::seeded(1),
        };
        let connect = Connect {
            version: Version::V311,
            clean_start: true,
            keep_alive_secs: 0,
            properties: Properties::EMPTY,
            client_identifier: client,
            will: None,
            user_name: None,
            password: None,
        };
        let mut input = BytesMut::new();
        connect.encode(Version::V311, &mut input);
        peer.call(core, |m, cx| m.handle_input(cx, &mut input));
        assert_eq!(&peer.out.take_bytes()[..2], &[0x20, 2], "connected");
        peer
    }
}

fn run(qos: QoS, size: usize, subscribers: usize) {
    let core = Core::new(NoEngine, CoreLimits::default());
    let mut publisher = Peer::connect(&core, "publisher");
    let mut listeners: Vec<_> = (0..subscribers).map(|n| Peer::connect(&core, &format!("s{n}"))).collect();
    for listener in &mut listeners {
        let mut input = BytesMut::new();
        input.extend_from_slice(&[&[0x82, 11, 0, 1, 0, 6][..], b"bench/", &[qos as u8]].concat());
        listener.call(&core, |m, cx| m.handle_input(cx, &mut input));
        listener.out.take_bytes();
    }
    let payload = vec![7; size];
    let mut template = BytesMut::new();
    let mut count = 0;
    while template.len() < 60_000 && count < 500 {
        count += 1;
        let head = PublishHead {
            dup: false,
            qos,
            retain: false,
            topic: "bench/",
            packet_identifier: motet_mqtt::packet::PacketIdentifier::new(count),
            topic_alias: None,
            message_expiry_interval: None,
            subscription_identifiers: &[],
            properties: Properties::EMPTY,
            payload_len: size,
        };
        head.encode(Version::V311, &mut template);
        template.extend_from_slice(&payload);
    }
    let mut best = f64::MAX;
    let mut acks = BytesMut::new();
    for round in 0..400_u32 {
        let mut input = template.clone();
        let begin = Instant::now();
        publisher.call(&core, |m, cx| m.handle_input(cx, &mut input));
        publisher.out.advance(publisher.out.len());
        for listener in &mut listeners {
            listener.call(&core, |m, cx| m.handle_ready(cx));
            let len = listener.out.len();
            assert!(len > 0, "delivered in round {round}");
            if qos == QoS::AtLeastOnce {
                acks.clear();
                for n in 0..u32::from(count) {
                    let id = ((round * u32::from(count) + n) % 65_535 + 1) as u16;
                    acks.extend_from_slice(&[0x40, 2, (id >> 8) as u8, id as u8]);
                }
                listener.call(&core, |m, cx| m.handle_input(cx, &mut acks));
            }
            listener.out.advance(listener.out.len());
        }
        let nanos = begin.elapsed().as_nanos() as f64 / f64::from(count) / subscribers as f64;
        best = best.min(nanos);
    }
    println!("QoS {} {size:>5} B to {subscribers:>4}: {best:>7.1} ns per delivery", qos as u8);
}

fn main() {
    for (qos, size, subscribers) in [
        (QoS::AtMostOnce, 64, 1),
        (QoS::AtMostOnce, 1024, 1),
        (QoS::AtMostOnce, 64, 100),
        (QoS::AtLeastOnce, 64, 1),
        (QoS::AtLeastOnce, 64, 100),
    ] {
        run(qos, size, subscribers);
    }
}
