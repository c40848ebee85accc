//! The bench: a core with a fake engine, a clock held by hand, and peers that are plain values.

use crate::config::Config;
use crate::machine::Connection;
use crate::packet::{
    Connect, Disconnect, Encode, Packet, PacketIdentifier, Place, Properties, PropertiesBuf, Property, Puback, Pubcomp,
    Publish, Pubrec, Pubrel, QoS, ReasonCode, Subscribe, Subscription, SubscriptionOptions, Version, Will, frame,
};
use bytes::BytesMut;
use motet_core::core::{Core, CoreLimits, Recovery};
use motet_core::fake::{FakeEngine, Plan};
use motet_core::machine::{Action, Attempt, Authenticator, CloseCause, Context, Machine, Random};
use motet_core::mailbox::{Mailbox, Overflow};
use motet_core::principal::{Denied, Details, Principal};
use motet_core::rope::Rope;
use motet_core::time::{Instant, Now, WallMillis};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Lets everybody in but `mallory`.
struct Door;

impl Authenticator for Door {
    fn check(&self, attempt: Attempt<'_>, _: u64, _: &Arc<Mailbox>) -> Option<Result<Principal, Denied>> {
        Some(match attempt.user {
            Some("mallory") => Err(Denied::BadCredentials),
            Some("for ten seconds") => {
                let expires_at = Some(WallMillis(1_010_000));
                Ok(Principal::named("short").with(Details { expires_at, ..Details::default() }))
            }
            Some(name) => Ok(Principal::named(name)),
            None => Ok(Principal::anonymous()),
        })
    }
}

pub(super) struct Bench {
    pub(super) core: Core<FakeEngine>,
    pub(super) engine: FakeEngine,
    pub(super) config: Arc<Config>,
    pub(super) now: Now,
    /// The engine makes everything durable in each turn.
    pub(super) prompt: bool,
}

pub(super) struct Peer {
    machine: Box<dyn Machine<FakeEngine>>,
    mailbox: Arc<Mailbox>,
    input: BytesMut,
    random: Random,
    pub(super) version: Version,
    pub(super) closed: bool,
}

/// What a peer hears, one line per packet.
pub(super) type Lines = Vec<String>;

/// The bytes of a packet.
pub(super) fn bytes(version: Version, packet: &impl Encode) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(version, &mut out);
    out
}

pub(super) fn id(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).expect("not zero")
}

pub(super) fn properties(place: Place, list: &[Property<'_>]) -> PropertiesBuf {
    let mut buf = PropertiesBuf::new();
    list.iter().for_each(|p| buf.push(place, *p).expect("allowed there"));
    buf
}

/// A CONNECT without anything special.
pub(super) fn hello(version: Version, client: &str, clean_start: bool) -> Connect<'_> {
    Connect {
        version,
        clean_start,
        keep_alive_secs: 0,
        properties: Properties::EMPTY,
        client_identifier: client,
        will: None,
        user_name: None,
        password: None,
    }
}

pub(super) fn will<'a>(topic: &'a str, payload: &'a str, properties: Properties<'a>) -> Will<'a> {
    Will { qos: QoS::AtLeastOnce, retain: false, topic, properties, payload: payload.as_bytes() }
}

pub(super) fn message<'a>(qos: QoS, identifier: u16, topic: &'a str, payload: &'a str) -> Publish<'a> {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic,
        packet_identifier: PacketIdentifier::new(identifier),
        properties: Properties::EMPTY,
        payload: payload.as_bytes(),
    }
}

impl Peer {
    /// Its driver reads to the end before it lets somebody else have the session.
    pub(super) fn leaves_when_asked(&self) {
        self.mailbox.leaves_when_asked();
    }

    /// It is not to be read from for want of room.
    pub(super) fn is_held(&self) -> bool {
        self.machine.is_held()
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        Bench::within(CoreLimits::default())
    }

    pub(super) fn within(limits: CoreLimits) -> Self {
        let engine = FakeEngine::default();
        Bench {
            core: Core::new(engine.clone(), limits),
            engine,
            config: Arc::new(Config::default()),
            now: Now { instant: Instant::from_nanos(1), wall: WallMillis(1_000_000) },
            prompt: true,
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = Now { instant: self.now.instant + time, wall: self.now.wall.after(time) };
        self.core.on_time(self.now);
    }

    /// The power fails; `keep` groups that were not durable survive by chance. Peers of before are dead.
    pub(super) fn crash(&mut self, keep: usize) {
        let log = self.engine.power_cut(keep);
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
    pub(super) fn peer(&self, version: Version) -> Peer {
        Peer {
            machine: Box::new(Connection::new(self.config.clone())),
            mailbox: Mailbox::new(1 << 20, Overflow::default()),
            input: BytesMut::new(),
            random: Random::seeded(7),
            version,
            closed: false,
        }
    }

    /// A connection that is in: its CONNACK is checked and gone.
    pub(super) fn join(&mut self, connect: Connect<'_>) -> Peer {
        let mut peer = self.peer(connect.version);
        let said = self.say(&mut peer, &connect);
        assert!(said[0].starts_with("CONNACK") && said[0].ends_with("Success"), "{said:?}");
        peer
    }

    /// The peer says `packet`; returns what it is answered.
    pub(super) fn say(&mut self, peer: &mut Peer, packet: &impl Encode) -> Lines {
        let bytes = bytes(peer.version, packet);
        self.send(peer, &bytes)
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
        }
    }

    /// Asks the peer's machine to look at what may have changed.
    pub(super) fn nudge(&mut self, peer: &mut Peer) -> Lines {
        peer.mailbox.nudge();
        self.hear(peer)
    }

    /// The carrier has nothing more from the peer. False: its machine did not ask.
    pub(super) fn quiet(&mut self, peer: &mut Peer) -> Option<Lines> {
        peer.machine.is_leaving().then(|| self.call(peer, |machine, cx, _| machine.handle_quiet(cx)))
    }

    pub(super) fn timeout(&mut self, peer: &mut Peer) -> Lines {
        self.call(peer, |machine, cx, _| machine.handle_timeout(cx))
    }

    /// The carrier breaks.
    pub(super) fn cut(&mut self, peer: &mut Peer) {
        peer.closed = true;
        self.call(peer, |machine, cx, _| machine.handle_closed(cx, CloseCause::PeerClosed));
    }

    fn call(
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

    /// One call of the machine; what it wrote, and whether it wants to close.
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
        (tell(peer.version, &out.take_bytes()), closes)
    }

    pub(super) fn subscribe(&mut self, peer: &mut Peer, filter: &str, qos: QoS) -> Lines {
        let options = SubscriptionOptions { maximum_qos: qos, ..Default::default() };
        self.subscribe_with(peer, filter, options)
    }

    pub(super) fn subscribe_with(&mut self, peer: &mut Peer, filter: &str, options: SubscriptionOptions) -> Lines {
        let subscriptions = [Subscription { topic_filter: filter, options }].into_iter().collect();
        self.say(peer, &Subscribe { packet_identifier: id(999), properties: Properties::EMPTY, subscriptions })
    }

    pub(super) fn puback(&mut self, peer: &mut Peer, number: u16) -> Lines {
        self.say(peer, &Puback::new(id(number), ReasonCode::Success))
    }

    pub(super) fn pubrec(&mut self, peer: &mut Peer, number: u16) -> Lines {
        self.say(peer, &Pubrec::new(id(number), ReasonCode::Success))
    }

    pub(super) fn pubrel(&mut self, peer: &mut Peer, number: u16) -> Lines {
        self.say(peer, &Pubrel::new(id(number), ReasonCode::Success))
    }

    pub(super) fn pubcomp(&mut self, peer: &mut Peer, number: u16) -> Lines {
        self.say(peer, &Pubcomp::new(id(number), ReasonCode::Success))
    }

    pub(super) fn goodbye(&mut self, peer: &mut Peer) -> Lines {
        self.say(peer, &Disconnect::new(ReasonCode::Success))
    }
}

impl Peer {
    /// When the machine wants to be asked about the time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    pub(super) fn wants_input(&self) -> bool {
        self.machine.wants_input()
    }
}

/// Each packet as a line: what it is, and what of it differs from the plain case.
fn tell(version: Version, mut bytes: &[u8]) -> Lines {
    let mut lines = Lines::new();
    while let Some(frame) = frame(bytes, u32::MAX).expect("our own output is well-formed") {
        bytes = &bytes[frame.bytes.len()..];
        lines.push(line(Packet::decode(frame, version).expect("our own output is valid")));
    }
    assert!(bytes.is_empty(), "a packet is written whole");
    lines
}

fn line(packet: Packet<'_>) -> String {
    match packet {
        Packet::Connack(p) if p.session_present => format!("CONNACK present {:?}", p.reason_code),
        Packet::Connack(p) => format!("CONNACK {:?}", p.reason_code),
        Packet::Publish(p) => publish_line(p),
        Packet::Puback(p) => answer("PUBACK", p.packet_identifier, p.reason_code),
        Packet::Pubrec(p) => answer("PUBREC", p.packet_identifier, p.reason_code),
        Packet::Pubrel(p) => answer("PUBREL", p.packet_identifier, p.reason_code),
        Packet::Pubcomp(p) => answer("PUBCOMP", p.packet_identifier, p.reason_code),
        Packet::Suback(p) => format!("SUBACK {:?}", p.reason_codes),
        Packet::Unsuback(p) => format!("UNSUBACK {:?}", p.reason_codes),
        Packet::Disconnect(p) => format!("DISCONNECT {:?}", p.reason_code),
        other => format!("{other:?}"),
    }
}

fn answer(name: &str, identifier: PacketIdentifier, code: ReasonCode) -> String {
    match code {
        ReasonCode::Success => format!("{name} {}", identifier.get()),
        code => format!("{name} {} {code:?}", identifier.get()),
    }
}

fn publish_line(p: Publish<'_>) -> String {
    let mut line = format!("PUBLISH q{}", p.qos as u8);
    if let Some(identifier) = p.packet_identifier {
        line += &format!(" #{}", identifier.get());
    }
    line += if p.dup { " dup" } else { "" };
    line += if p.retain { " retain" } else { "" };
    line += &format!(" {}={}", p.topic, String::from_utf8_lossy(p.payload));
    if let Some(secs) = p.properties.message_expiry_interval() {
        line += &format!(" expires {secs}s");
    }
    for identifier in p.properties.subscription_identifiers() {
        line += &format!(" by {}", identifier.get());
    }
    line
}
