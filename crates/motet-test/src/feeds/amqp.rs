//! AMQP 0-9-1: the codec, and the machine behind it.

use bytes::BytesMut;
use motet_amqp::v091::packet::{
    FieldTable, LongString, PROTOCOL_HEADER, Reserved, channel, connection, frame, fuzz_decode, put_method, queue,
};
use motet_amqp::{Config, Connection};
use motet_core::authentication::{Attempt, Authenticator};
use motet_core::core::{Core, CoreLimits};
use motet_core::fake::FakeEngine;
use motet_core::machine::{CloseCause, Context, Machine, Random};
use motet_core::mailbox::{Mailbox, Overflow};
use motet_core::principal::{Denied, Principal};
use motet_core::rope::Rope;
use motet_core::time::{Instant, Now, WallMillis};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// One call into the machine.
type Call<'a> = &'a mut dyn FnMut(&mut dyn Machine<FakeEngine>, &mut Context<'_, FakeEngine>);

/// Turns without an end are a machine that spins.
const TURNS_MAX: usize = 10_000;

/// What is accepted survives being written and read again.
pub fn amqp_codec(data: &[u8]) {
    fuzz_decode(data);
}

/// A machine comes to rest whatever comes, whole or byte by byte, and what it says is AMQP.
///
/// # Panics
/// If it spins, or says something that is no frame.
pub fn amqp_machine(data: &[u8]) {
    // Byte by byte is slow by nature.
    let data = &data[..data.len().min(4096)];
    let known = [&opening()[..], data].concat();
    for input in [data, &known] {
        for step in [usize::MAX, 1] {
            let heard = converse(input, step);
            let mut rest = heard.strip_prefix(&PROTOCOL_HEADER).unwrap_or(&heard);
            while let Some(found) = frame(rest, u32::MAX).expect("a server sends frames") {
                rest = &rest[found.len()..];
            }
            assert!(rest.is_empty(), "a server sends whole frames");
        }
    }
}

/// Everything up to an open channel with a queue in it.
pub(super) fn opening() -> Vec<u8> {
    let mut out = BytesMut::from(&PROTOCOL_HEADER[..]);
    let (client_properties, response) = (FieldTable::EMPTY, LongString(b"\0guest\0guest"));
    let start_ok = connection::StartOk { client_properties, mechanism: "PLAIN", response, locale: "en_US" };
    put_method(&mut out, 0, &start_ok);
    put_method(&mut out, 0, &connection::TuneOk { channel_max: 100, frame_max: 8192, heartbeat: 30 });
    let open = connection::Open { virtual_host: "/", reserved_1: Reserved::NONE, reserved_2: Reserved::NONE };
    put_method(&mut out, 0, &open);
    put_method(&mut out, 1, &channel::Open { reserved_1: Reserved::NONE });
    let declare = queue::Declare {
        reserved_1: Reserved::NONE,
        queue: "q",
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments: FieldTable::EMPTY,
    };
    put_method(&mut out, 1, &declare);
    out.to_vec()
}

struct Door;

impl Authenticator for Door {
    fn check(&self, _: Attempt<'_>, _: u64, _: &Arc<Mailbox>) -> Option<Result<Principal, Denied>> {
        Some(Ok(Principal::named("guest")))
    }
}

/// What a client hears that sends `input` in pieces of `step` bytes, waits a while and goes.
fn converse(input: &[u8], step: usize) -> Vec<u8> {
    let engine = FakeEngine::default();
    let core = Core::new(engine.clone(), CoreLimits::default());
    let mailbox = Mailbox::new(1 << 20, Overflow::default());
    let mut machine: Box<dyn Machine<FakeEngine>> = Box::new(Connection::new(Arc::new(Config::default())));
    let (mut buffer, mut random, mut heard) = (BytesMut::new(), Random::seeded(1), Vec::new());
    let mut now = Now { instant: Instant::from_nanos(1), wall: WallMillis(1_000_000) };
    let mut closed = false;
    let mut turn = |now: Now, call: Call<'_>| {
        let mut out = Rope::new();
        let mut cx = Context {
            now,
            core: &core,
            auth: &Door,
            mailbox: &mailbox,
            peer: None,
            loopback: true,
            secure: None,
            out: &mut out,
            out_high_water: 16 << 10,
            random: &mut random,
            action: None,
        };
        call(&mut *machine, &mut cx);
        let closes = cx.action.is_some();
        heard.extend_from_slice(&out.take_bytes());
        for completion in engine.step() {
            core.complete(completion);
        }
        (closes, machine.wants_output(), machine.wants_input())
    };
    for piece in input.chunks(step.min(input.len().max(1))).chain([&[][..]]) {
        buffer.extend_from_slice(piece);
        let (mut closes, mut wants_output, mut wants_input) = turn(now, &mut |m, cx| m.handle_input(cx, &mut buffer));
        let mut turns = 0;
        while !closes && (wants_output || mailbox.poll_ready(Waker::noop()) != Poll::Pending) {
            let before = buffer.len();
            (closes, wants_output, wants_input) = turn(now, &mut |m, cx| m.handle_ready(cx));
            if !closes && wants_input && before > 0 {
                (closes, wants_output, wants_input) = turn(now, &mut |m, cx| m.handle_input(cx, &mut buffer));
            }
            turns += 1;
            assert!(turns < TURNS_MAX, "the machine comes to rest");
        }
        if closes {
            closed = true;
            break;
        }
        let _ = wants_input;
    }
    let wait = Duration::from_secs(61);
    now = Now { instant: now.instant + wait, wall: now.wall.after(wait) };
    if !closed {
        turn(now, &mut |m, cx| m.handle_timeout(cx));
    }
    turn(now, &mut |m, cx| m.handle_closed(cx, CloseCause::PeerClosed));
    heard
}
