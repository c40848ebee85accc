//! A core over a fake engine, and peers that speak frames and hear lines.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use crate::v091::config::Config;
use crate::v091::machine::Connection;
use crate::v091::mapping;
use crate::v091::packet::*;
use bytes::{BufMut, BytesMut};
use motet_core::authentication::{Attempt, Authenticator};
use motet_core::core::{Core, CoreLimits, Recovery};
use motet_core::fake::{FakeEngine, Plan};
use motet_core::machine::{Action, CloseCause, Context, Machine, Random};
use motet_core::mailbox::{Mailbox, Overflow};
use motet_core::message::{BatchBuilder, MessageParts, Properties as Canonical, Reliability};
use motet_core::principal::{Denied, Principal};
use motet_core::rope::Rope;
use motet_core::spelling::mqtt;
use motet_core::time::{Instant, Now, WallMillis};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Lets everybody in but mallory.
struct Door;

impl Authenticator for Door {
    fn check(&self, attempt: Attempt<'_>, _: u64, _: &Arc<Mailbox>) -> Option<Result<Principal, Denied>> {
        Some(match attempt.user {
            Some("mallory") | None => Err(Denied::BadCredentials),
            Some(name) => Ok(Principal::named(name)),
        })
    }
}

pub(super) struct Bench {
    pub(super) core: Core<FakeEngine>,
    engine: FakeEngine,
    pub(super) config: Config,
    now: Now,
    /// The engine makes everything durable in each turn.
    pub(super) prompt: bool,
}

pub(super) struct Peer {
    machine: Box<dyn Machine<FakeEngine>>,
    pub(super) mailbox: Arc<Mailbox>,
    input: BytesMut,
    random: Random,
    closed: bool,
}

/// What a peer hears, a line per method, with the content behind it.
pub(super) type Lines = Vec<String>;

impl Bench {
    pub(super) fn new() -> Self {
        let engine = FakeEngine::default();
        Bench {
            core: Core::new(engine.clone(), CoreLimits::default()),
            engine,
            config: Config::default(),
            now: Now { instant: Instant::from_nanos(1), wall: WallMillis(1_000_000) },
            prompt: true,
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = Now { instant: self.now.instant + time, wall: self.now.wall.after(time) };
        self.core.on_time(self.now);
    }

    /// The power fails; what was not durable is gone. Peers of before are dead.
    pub(super) fn crash(&mut self) {
        let log = self.engine.power_cut(0);
        self.engine = FakeEngine::over(log, Plan::default(), 0);
        self.core = Core::new(self.engine.clone(), CoreLimits::default());
        let mut recovery = Recovery::new();
        self.engine.replay(&mut recovery);
        self.core.recover(self.now, recovery);
        self.core.on_time(self.now);
    }

    pub(super) fn step(&mut self) {
        for completion in self.engine.step() {
            self.core.complete(completion);
        }
    }

    /// A connection that has said nothing yet.
    pub(super) fn peer(&self) -> Peer {
        Peer {
            machine: Box::new(Connection::new(Arc::new(self.config.clone()))),
            mailbox: Mailbox::new(1 << 20, Overflow::default()),
            input: BytesMut::new(),
            random: Random::seeded(7),
            closed: false,
        }
    }

    /// A connection with channel 1 open.
    pub(super) fn join(&mut self) -> Peer {
        let mut peer = self.connect();
        assert_eq!(self.say(&mut peer, 1, &channel_open()), ["1 channel.open-ok"]);
        peer
    }

    /// A connection with its vhost open.
    pub(super) fn connect(&mut self) -> Peer {
        let mut peer = self.peer();
        self.send(&mut peer, &PROTOCOL_HEADER);
        let mut capabilities = TableBuf::new();
        for name in ["consumer_cancel_notify", "connection.blocked", "authentication_failure_close"] {
            capabilities.push(name, FieldValue::Bool(true));
        }
        let mut properties = TableBuf::new();
        properties.push("capabilities", FieldValue::Table(capabilities.as_table()));
        let start_ok = connection::StartOk {
            client_properties: properties.as_table(),
            mechanism: "PLAIN",
            response: LongString(b"\0guest\0guest"),
            locale: "en_US",
        };
        assert_eq!(self.say(&mut peer, 0, &start_ok), ["0 connection.tune 2047 131072 60"]);
        let tune_ok = connection::TuneOk { channel_max: 2047, frame_max: 131_072, heartbeat: 60 };
        assert_eq!(self.say(&mut peer, 0, &tune_ok), [""; 0]);
        assert_eq!(self.say(&mut peer, 0, &open("/")), ["0 connection.open-ok"]);
        peer
    }

    /// The peer says `method`; returns what it is answered.
    pub(super) fn say(&mut self, peer: &mut Peer, channel: u16, method: &impl MethodFields) -> Lines {
        let mut out = BytesMut::new();
        put_method(&mut out, channel, method);
        self.send(peer, &out)
    }

    pub(super) fn send(&mut self, peer: &mut Peer, bytes: &[u8]) -> Lines {
        peer.input.extend_from_slice(bytes);
        let mut lines = self.call(peer, |machine, cx, input| machine.handle_input(cx, input));
        lines.extend(self.hear(peer));
        lines
    }

    /// What has come for the peer.
    pub(super) fn hear(&mut self, peer: &mut Peer) -> Lines {
        let mut lines = Lines::new();
        loop {
            if self.prompt {
                self.step();
            }
            if peer.closed || peer.mailbox.poll_ready(Waker::noop()) == Poll::Pending && !peer.machine.wants_output() {
                return lines;
            }
            lines.extend(self.call(peer, |machine, cx, _| machine.handle_ready(cx)));
            // What was left because the machine could not go on.
            if !peer.closed && !peer.input.is_empty() && peer.machine.wants_input() {
                lines.extend(self.call(peer, |machine, cx, input| machine.handle_input(cx, input)));
            }
        }
    }

    pub(super) fn timeout(&mut self, peer: &mut Peer) -> Lines {
        self.call(peer, |machine, cx, _| machine.handle_timeout(cx))
    }

    /// The carrier breaks.
    pub(super) fn cut(&mut self, peer: &mut Peer) {
        peer.closed = true;
        self.call(peer, |machine, cx, _| machine.handle_closed(cx, CloseCause::PeerClosed));
    }

    pub(super) fn call(
        &mut self,
        peer: &mut Peer,
        what: impl FnOnce(&mut dyn Machine<FakeEngine>, &mut Context<'_, FakeEngine>, &mut BytesMut),
    ) -> Lines {
        let (mut lines, closes) = self.turn(peer, what);
        if closes && !peer.closed {
            peer.closed = true;
            self.turn(peer, |machine, cx, _| machine.handle_closed(cx, CloseCause::Ours));
            lines.push("closed".into());
        }
        lines
    }

    fn turn(
        &mut self,
        peer: &mut Peer,
        what: impl FnOnce(&mut dyn Machine<FakeEngine>, &mut Context<'_, FakeEngine>, &mut BytesMut),
    ) -> (Lines, bool) {
        let mut out = Rope::new();
        let mut cx = Context {
            now: self.now,
            core: &self.core,
            auth: &Door,
            mailbox: &peer.mailbox,
            peer: None,
            loopback: true,
            secure: None,
            out: &mut out,
            out_high_water: 1 << 20,
            random: &mut peer.random,
            action: None,
        };
        what(&mut *peer.machine, &mut cx, &mut peer.input);
        let closes = cx.action == Some(Action::Close);
        (tell(&out.take_bytes()), closes)
    }

    // Words that tests say often.

    pub(super) fn declare(&mut self, peer: &mut Peer, name: &str, durable: bool) -> Lines {
        self.declare_with(peer, name, durable, FieldTable::EMPTY)
    }

    pub(super) fn declare_with(
        &mut self,
        peer: &mut Peer,
        name: &str,
        durable: bool,
        arguments: FieldTable<'_>,
    ) -> Lines {
        self.say(peer, 1, &queue::Declare { durable, arguments, ..declaration(name) })
    }

    pub(super) fn bind(&mut self, peer: &mut Peer, queue: &str, exchange: &str, key: &str) -> Lines {
        let bind = queue::Bind {
            reserved_1: Reserved::NONE,
            queue,
            exchange,
            routing_key: key.as_bytes(),
            no_wait: false,
            arguments: FieldTable::EMPTY,
        };
        self.say(peer, 1, &bind)
    }

    pub(super) fn publish(&mut self, peer: &mut Peer, exchange: &str, key: &str, body: &str) -> Lines {
        self.publish_with(peer, exchange, key, body, Properties::default(), false)
    }

    pub(super) fn publish_with(
        &mut self,
        peer: &mut Peer,
        exchange: &str,
        key: &str,
        body: &str,
        properties: Properties<'_>,
        mandatory: bool,
    ) -> Lines {
        self.send(peer, &message(exchange, key, body.as_bytes(), properties, mandatory))
    }

    pub(super) fn consume(&mut self, peer: &mut Peer, queue: &str, tag: &str, no_ack: bool) -> Lines {
        self.say(peer, 1, &basic::Consume { no_ack, ..consumption(queue, tag) })
    }

    pub(super) fn qos(&mut self, peer: &mut Peer, prefetch_count: u16, global: bool) -> Lines {
        self.say(peer, 1, &basic::Qos { prefetch_size: 0, prefetch_count, global })
    }

    pub(super) fn ack(&mut self, peer: &mut Peer, delivery_tag: u64, multiple: bool) -> Lines {
        self.say(peer, 1, &basic::Ack { delivery_tag, multiple })
    }

    pub(super) fn get(&mut self, peer: &mut Peer, queue: &str, no_ack: bool) -> Lines {
        self.say(peer, 1, &basic::Get { reserved_1: Reserved::NONE, queue, no_ack })
    }

    pub(super) fn confirm(&mut self, peer: &mut Peer) {
        assert_eq!(self.say(peer, 1, &confirm::Select { no_wait: false }), ["1 confirm.select-ok"]);
    }

    /// Another face publishes to a topic.
    pub(super) fn publish_topic(&mut self, topic: &str, body: &str, properties: Option<Box<Canonical>>) {
        let mut publisher = motet_core::core::Publisher::new(&self.core, Principal::named("device"), None);
        let known = publisher.known(topic.as_bytes(), || mqtt::decode_name(topic)).unwrap().clone();
        let mut builder = BatchBuilder::new();
        builder.push(MessageParts {
            payload: body.as_bytes(),
            reliability: Reliability::AtLeastOnce,
            properties,
            ..MessageParts::default()
        });
        let batch = builder.finish(known.name.clone(), publisher.id(), motet_core::message::FaceId(1));
        self.core.publish(self.now, &publisher, &known, batch, None);
    }
}

impl Peer {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    pub(super) fn wants_input(&self) -> bool {
        self.machine.wants_input()
    }
}

pub(super) fn open(virtual_host: &str) -> connection::Open<'_> {
    connection::Open { virtual_host, reserved_1: Reserved::NONE, reserved_2: Reserved::NONE }
}

pub(super) fn channel_open() -> channel::Open<'static> {
    channel::Open { reserved_1: Reserved::NONE }
}

pub(super) fn declaration(name: &str) -> queue::Declare<'_> {
    queue::Declare {
        reserved_1: Reserved::NONE,
        queue: name,
        passive: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments: FieldTable::EMPTY,
    }
}

pub(super) fn exchange_declaration<'a>(name: &'a str, kind: &'a str) -> exchange::Declare<'a> {
    exchange::Declare {
        reserved_1: Reserved::NONE,
        exchange: name,
        kind,
        passive: false,
        durable: false,
        auto_delete: false,
        internal: false,
        no_wait: false,
        arguments: FieldTable::EMPTY,
    }
}

pub(super) fn consumption<'a>(queue: &'a str, tag: &'a str) -> basic::Consume<'a> {
    basic::Consume {
        reserved_1: Reserved::NONE,
        queue,
        consumer_tag: tag,
        no_local: false,
        no_ack: false,
        exclusive: false,
        no_wait: false,
        arguments: FieldTable::EMPTY,
    }
}

/// basic.publish with its content in one body frame.
pub(super) fn message(exchange: &str, key: &str, body: &[u8], properties: Properties<'_>, mandatory: bool) -> Vec<u8> {
    let mut out = BytesMut::new();
    let publish = basic::Publish {
        reserved_1: Reserved::NONE,
        exchange,
        routing_key: key.as_bytes(),
        mandatory,
        immediate: false,
    };
    put_method(&mut out, 1, &publish);
    let mut raw = BytesMut::new();
    properties.encode(&mut raw);
    put_header(&mut out, 1, body.len() as u64, &raw);
    if !body.is_empty() {
        put_frame(&mut out, FrameKind::Body, 1, |out| out.put_slice(body));
    }
    out.to_vec()
}

pub(super) fn persistent() -> Properties<'static> {
    Properties { delivery_mode: Some(2), ..Properties::default() }
}

/// Each method as a line, with what follows it.
fn tell(mut bytes: &[u8]) -> Lines {
    let mut lines = Lines::new();
    if bytes.starts_with(b"AMQP") {
        return vec!["AMQP 0-9-1".into()];
    }
    while let Some(found) = frame(bytes, u32::MAX).expect("our own output is well-formed") {
        bytes = &bytes[found.len()..];
        match FrameKind::from_wire(found.kind).expect("our own output is well-formed") {
            FrameKind::Method => {
                let method = Method::decode(found.payload).expect("our own output is valid");
                lines.push(format!("{} {}", found.channel, line(method)));
            }
            FrameKind::Header => {
                let header = ContentHeader::decode(found.payload).expect("our own output is valid");
                let properties = Properties::decode(header.raw).expect("our own output is valid");
                let last = lines.last_mut().expect("a header follows its method");
                *last += &header_line(&properties);
                if header.body_size == 0 {
                    *last += " ''";
                }
            }
            FrameKind::Body => {
                let last = lines.last_mut().expect("a body follows its header");
                *last += &match found.payload.len() {
                    0..100 => format!(" '{}'", String::from_utf8_lossy(found.payload)),
                    len => format!(" [{len}]"),
                };
            }
            FrameKind::Heartbeat => lines.push("heartbeat".into()),
        }
    }
    assert!(bytes.is_empty(), "a frame is written whole");
    lines
}

fn header_line(p: &Properties<'_>) -> String {
    let mut line = String::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for (name, value) in [
        ("type", p.content_type),
        ("correlation", p.correlation_id),
        ("reply-to", p.reply_to),
        ("expiration", p.expiration),
        ("id", p.message_id),
    ] {
        if let Some(value) = value {
            line += &format!(" {name}={}", text(value));
        }
    }
    if let Some(mode) = p.delivery_mode {
        line += &format!(" mode={mode}");
    }
    for (name, value) in p.headers.into_iter().flat_map(FieldTable::iter) {
        line += &format!(" {}={}", text(name), value_line(value));
    }
    line
}

fn value_line(value: FieldValue<'_>) -> String {
    match value {
        FieldValue::Table(table) => {
            let fields: Vec<_> =
                table.iter().map(|(n, v)| format!("{}={}", String::from_utf8_lossy(n), value_line(v))).collect();
            format!("{{{}}}", fields.join(" "))
        }
        FieldValue::Array(array) => format!("[{}]", array.iter().map(value_line).collect::<Vec<_>>().join(" ")),
        value => match mapping::to_value(value) {
            motet_core::message::Value::Text(text) => text,
            motet_core::message::Value::Int(number) => number.to_string(),
            motet_core::message::Value::Bool(truth) => truth.to_string(),
            other => format!("{other:?}"),
        },
    }
}

fn close_line(what: &str, code: u16, text: &str, class: u16, method: u16) -> String {
    format!("{what} {code} {text} ({class}.{method})")
}

fn line(method: Method<'_>) -> String {
    let key = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
    match method {
        Method::Connection(method) => match method {
            connection::Method::Start(start) => format!("connection.start {}", key(start.mechanisms.0)),
            connection::Method::Tune(t) => {
                format!("connection.tune {} {} {}", t.channel_max, t.frame_max, t.heartbeat)
            }
            connection::Method::Close(c) => {
                close_line("connection.close", c.reply_code, c.reply_text, c.class_id, c.method_id)
            }
            connection::Method::OpenOk(_) => "connection.open-ok".into(),
            connection::Method::CloseOk(_) => "connection.close-ok".into(),
            connection::Method::Blocked(blocked) => format!("connection.blocked {}", blocked.reason),
            connection::Method::Unblocked(_) => "connection.unblocked".into(),
            connection::Method::UpdateSecretOk(_) => "connection.update-secret-ok".into(),
            other => format!("{other:?}"),
        },
        Method::Channel(channel::Method::Close(c)) => {
            close_line("channel.close", c.reply_code, c.reply_text, c.class_id, c.method_id)
        }
        Method::Channel(channel::Method::OpenOk(_)) => "channel.open-ok".into(),
        Method::Channel(channel::Method::CloseOk(_)) => "channel.close-ok".into(),
        Method::Exchange(exchange::Method::DeclareOk(_)) => "exchange.declare-ok".into(),
        Method::Queue(queue::Method::DeclareOk(ok)) => {
            format!("queue.declare-ok {} {} {}", ok.queue, ok.message_count, ok.consumer_count)
        }
        Method::Queue(queue::Method::BindOk(_)) => "queue.bind-ok".into(),
        Method::Queue(queue::Method::PurgeOk(ok)) => format!("queue.purge-ok {}", ok.message_count),
        Method::Queue(queue::Method::DeleteOk(ok)) => format!("queue.delete-ok {}", ok.message_count),
        Method::Confirm(confirm::Method::SelectOk(_)) => "confirm.select-ok".into(),
        Method::Basic(method) => basic_line(method),
        other => format!("{other:?}"),
    }
}

fn basic_line(method: basic::Method<'_>) -> String {
    let key = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
    let plus = |multiple: bool| if multiple { "+" } else { "" };
    match method {
        basic::Method::ConsumeOk(ok) => format!("basic.consume-ok {}", ok.consumer_tag),
        basic::Method::Cancel(cancel) => format!("basic.cancel {}", cancel.consumer_tag),
        basic::Method::CancelOk(ok) => format!("basic.cancel-ok {}", ok.consumer_tag),
        basic::Method::Deliver(d) => {
            let again = if d.redelivered { " again" } else { "" };
            format!("deliver {} #{}{again} {}:{}", d.consumer_tag, d.delivery_tag, d.exchange, key(d.routing_key))
        }
        basic::Method::GetOk(g) => {
            let again = if g.redelivered { " again" } else { "" };
            format!("get-ok #{}{again} {}:{} left {}", g.delivery_tag, g.exchange, key(g.routing_key), g.message_count)
        }
        basic::Method::GetEmpty(_) => "get-empty".into(),
        basic::Method::Return(r) => {
            format!("return {} {} {}:{}", r.reply_code, r.reply_text, r.exchange, key(r.routing_key))
        }
        basic::Method::Ack(ack) => format!("ack {}{}", ack.delivery_tag, plus(ack.multiple)),
        basic::Method::Nack(nack) => format!("nack {}{}", nack.delivery_tag, plus(nack.multiple)),
        basic::Method::QosOk(_) => "basic.qos-ok".into(),
        basic::Method::RecoverOk(_) => "basic.recover-ok".into(),
        other => format!("{other:?}"),
    }
}

impl Bench {
    /// The store takes nothing, or does again.
    pub(super) fn stall(&self, stalled: bool) {
        self.engine.set_stalled(stalled);
    }

    /// The server tells the connection something.
    pub(super) fn notify(&self, peer: &Peer, notice: motet_core::mailbox::Notice) {
        peer.mailbox.notify(notice);
    }
}
