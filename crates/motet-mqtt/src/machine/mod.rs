//! One MQTT connection as a machine.
//!
//! ```text
//!  AwaitConnect ──CONNECT──▶ AwaitAuthentication ──yes──▶ Connected ──DISCONNECT, error, takeover──▶ Closing
//!        └────────── wrong ──────────────┴──no──────────────────────────────────────────────────────────▲
//! ```
//! | file | what |
//! |---|---|
//! | `access.rs` | what a client may: answers that take time, rights that change or end |
//! | `authenticate.rs` | AUTH: in steps, before and after CONNACK |
//! | `connect.rs` | CONNECT to CONNACK: who, which session, which terms |
//! | `inbound.rs` | what the client publishes, and the answers in its order |
//! | `outbound.rs` | what the client receives, and its acknowledgements |
//! | `shared.rs` | deliveries from queues that others consume from too |
//! | `subscribe.rs` | SUBSCRIBE, UNSUBSCRIBE, last values |
//! | `close.rs` | every way to end |

mod access;
mod authenticate;
mod close;
mod connect;
mod inbound;
mod outbound;
mod shared;
mod stream_filter;
mod subscribe;
#[cfg(test)]
mod tests;

use crate::config::Config;
use crate::error::DecodeError;
use crate::packet::{
    Encode as _, Frame, PacketKind, Pingreq, Pingresp, Publish, ReasonCode, Version, frame, frame_len,
};
use authenticate::Again;
use bytes::{Buf, BytesMut};
use connect::{Opening, PendingConnect};
use inbound::Inbound;
use motet_core::core::Publisher;
use motet_core::engine::Engine;
use motet_core::machine::{CloseCause, Context, Machine};
use motet_core::mailbox::{Notice, Pulled, Successor};
use motet_core::principal::Principal;
use motet_core::session::SessionHandle;
use motet_core::time::Instant;
use outbound::Outbound;
use std::sync::Arc;
use std::time::Duration;

/// An MQTT connection. See the module's page for its states and [`motet_core::machine`] for the law of its use.
#[derive(Debug)]
pub struct Connection {
    config: Arc<Config>,
    state: State,
    /// Bytes the packet at the front of the input needs in all.
    hint: Option<usize>,
}

#[derive(Debug)]
enum State {
    /// Nothing complete has come yet; `None` until the first call tells the time.
    AwaitConnect { deadline: Option<Instant> },
    /// Credentials are being checked.
    AwaitAuthentication(Box<PendingConnect>),
    /// The client is in.
    Connected(Box<Connected>),
    /// Our last packet is on its way out.
    Closing,
}

/// A client that is in.
#[derive(Debug)]
struct Connected {
    /// The connection counts for its vhost and its user as long as this is here.
    _seat: motet_core::core::govern::Seat,
    version: Version,
    handle: SessionHandle,
    publisher: Publisher,
    /// 1.5 times the keep alive [MQTT-3.1.2-24]; `None` when the client wants none.
    silence_max: Option<Duration>,
    last_input: Instant,
    /// Largest packet the client takes [MQTT-3.1.2-27].
    packet_bytes_max: u32,
    /// QoS 1 and 2 messages the client takes at a time [3.1.2.11.3].
    receive_maximum: u16,
    /// The client may be told reason strings [MQTT-3.1.2-32].
    problem_information: bool,
    /// The session expiry the client has, for the rule about DISCONNECT [3.14.2.2.2].
    session_expiry_secs: u32,
    rights: access::Rights,
    /// The method of authentication, by which alone the client may authenticate again [MQTT-4.12.1-1].
    method: Option<Box<str>>,
    /// It does so now.
    again: Option<Box<Again>>,
    /// Tickets of authentication used so far.
    tickets: u64,
    /// How long an authentication may take.
    auth_timeout: Duration,
    /// CONNACK, until what it promises is durable; nothing is taken or sent before it.
    opening: Option<Box<Opening>>,
    inbound: Inbound,
    outbound: Outbound,
    pulled: Pulled,
    /// Who waits for this session: it is to end when what the client has sent already is read. Few ever have one.
    #[expect(clippy::box_collection, reason = "None is the rule, and takes a pointer's room")]
    successors: Option<Box<Vec<Successor>>>,
}

/// What a handler decided about the connection.
enum Flow {
    /// Go on.
    Continue,
    /// The packet stays at the front of the input until somebody has answered.
    Wait,
    /// Say this, then close.
    Close(close::Farewell),
}

impl From<DecodeError> for Flow {
    fn from(error: DecodeError) -> Self {
        Flow::Close(close::Farewell::Broken(error))
    }
}

impl Connection {
    /// A connection whose first byte has not come yet.
    pub fn new(config: Arc<Config>) -> Self {
        Connection { config, state: State::AwaitConnect { deadline: None }, hint: None }
    }

    /// Takes complete packets from the front of `input`; returns how many bytes they had.
    fn take_packets<E: Engine>(&mut self, cx: &mut Context<'_, E>, input: &[u8]) -> usize {
        let mut at = 0;
        self.hint = None;
        while self.takes_input(cx) {
            let rest = &input[at..];
            let frame = match frame(rest, self.config.packet_bytes_max) {
                Ok(Some(frame)) => frame,
                Ok(None) => {
                    self.hint = frame_len(rest, self.config.packet_bytes_max).ok().flatten();
                    break;
                }
                Err(error) => {
                    self.broken(cx, error);
                    return input.len();
                }
            };
            let len = frame.bytes.len();
            match self.packet(cx, frame) {
                Flow::Continue => at += len,
                Flow::Wait => break,
                Flow::Close(farewell) => {
                    self.close(cx, farewell);
                    return input.len();
                }
            }
        }
        at
    }

    fn takes_input<E: Engine>(&self, cx: &Context<'_, E>) -> bool {
        match &self.state {
            State::AwaitConnect { .. } => true,
            State::Connected(connected) => !cx.out_is_full() && connected.takes_more(),
            State::AwaitAuthentication(pending) => pending.awaits_client(),
            State::Closing => false,
        }
    }

    fn packet<E: Engine>(&mut self, cx: &mut Context<'_, E>, frame: Frame<'_>) -> Flow {
        match &mut self.state {
            State::Connected(connected) => connected.packet(&self.config, cx, frame),
            State::AwaitConnect { .. } => self.first_packet(cx, frame),
            State::AwaitAuthentication(_) => self.packet_before_connack(cx, frame),
            State::Closing => Flow::Continue,
        }
    }
}

impl Connected {
    fn deadline(&self) -> Option<Instant> {
        if let Some(opening) = &self.opening {
            return Some(opening.deadline);
        }
        let silence = self.silence_max.map(|max| self.last_input + max);
        let again = self.again.as_ref().map(|again| again.deadline);
        silence.into_iter().chain(again).chain(self.inbound.held_until()).chain(self.rights.expires_at()).min()
    }

    fn packet<E: Engine>(&mut self, config: &Config, cx: &mut Context<'_, E>, frame: Frame<'_>) -> Flow {
        let version = self.version;
        if frame.kind == PacketKind::Publish {
            return match Publish::decode(frame, version) {
                Ok(publish) => self.publish(config, cx, publish),
                Err(error) => error.into(),
            };
        }
        // Whatever else comes, what was published before it goes first.
        self.flush_run(cx);
        let flow = match frame.kind {
            PacketKind::Puback => self.puback(frame),
            PacketKind::Pubrec => self.pubrec(frame),
            PacketKind::Pubrel => self.pubrel(frame),
            PacketKind::Pubcomp => self.pubcomp(frame),
            PacketKind::Subscribe => self.subscribe(config, cx, frame),
            PacketKind::Unsubscribe => self.unsubscribe(cx, frame),
            PacketKind::Pingreq => self.pingreq(cx, frame),
            PacketKind::Disconnect => self.disconnect(frame),
            PacketKind::Auth => self.auth(cx, frame),
            // A second CONNECT [MQTT-3.1.0-2], or a packet only a server sends.
            _ => Ok(Flow::Close(close::Farewell::Rules("this packet is not a client's to send now"))),
        };
        flow.unwrap_or_else(Flow::from)
    }

    /// PINGREQ is answered behind everything that waits: who publishes, then pings, has heard itself by then.
    fn pingreq<E: Engine>(&mut self, cx: &mut Context<'_, E>, frame: Frame<'_>) -> Result<Flow, DecodeError> {
        Pingreq::decode(frame, self.version)?;
        if let Flow::Close(farewell) = self.pump(cx) {
            return Ok(Flow::Close(farewell));
        }
        Pingresp.encode(self.version, cx.out.tail());
        Ok(Flow::Continue)
    }

    /// Everything that waits, as far as the output has room.
    fn pump<E: Engine>(&mut self, cx: &mut Context<'_, E>) -> Flow {
        if self.pulled.direct.is_empty() && self.pulled.ready.is_empty() && self.pulled.notices.is_empty() {
            cx.mailbox.pull(&mut self.pulled);
        } else {
            // Orders do not wait until the client takes what it was sent.
            cx.mailbox.take_notices(&mut self.pulled.notices);
        }
        for notice in std::mem::take(&mut self.pulled.notices) {
            match notice {
                Notice::TakenOver => return Flow::Close(close::Farewell::TakenOver),
                Notice::Leave(successor) => self.successors.get_or_insert_default().push(successor),
                Notice::Kicked(reason) => return Flow::Close(close::Farewell::Kicked(reason)),
                // An answer to a check of a connection that had this mailbox's place before.
                Notice::Authenticated(..) => {}
                Notice::Stepped(ticket, step) => {
                    if let Flow::Close(farewell) = self.heard_step(cx, ticket, step) {
                        return Flow::Close(farewell);
                    }
                }
                Notice::ConsumerActivated(_) => {}
                // Somebody deleted the queue; there is no word for that.
                Notice::ConsumerCancelled(tag) => {
                    if let Some(shares) = &mut self.outbound.shares {
                        shares.parted(|joined| joined.tag == tag);
                    }
                }
            }
        }
        self.keep_rights(cx);
        self.look_at_expiry(cx.now);
        if !self.has_opened(cx) {
            return Flow::Continue;
        }
        self.release_replies(cx);
        if !self.pulled.ready.is_empty() {
            // Its memory goes back to the mailbox at the next pull.
            let mut announced = std::mem::take(&mut self.pulled.ready);
            announced.drain(..).for_each(|ready| self.announced(&ready));
            self.pulled.ready = announced;
        }
        self.deliver(cx);
        self.settle(cx);
        self.wake_for_replies(cx);
        if self.is_refused() { Flow::Close(close::Farewell::Silent) } else { Flow::Continue }
    }
}

impl<E: Engine> Machine<E> for Connection {
    fn handle_input(&mut self, cx: &mut Context<'_, E>, input: &mut BytesMut) {
        if let State::Connected(connected) = &mut self.state {
            connected.last_input = cx.now.instant;
        }
        let taken = self.take_packets(cx, input);
        input.advance(taken);
        if let State::Connected(connected) = &mut self.state {
            connected.look_at_expiry(cx.now);
            connected.flush_run(cx);
            connected.inbound.rest();
            connected.settle(cx);
            connected.release_replies(cx);
            connected.wake_for_replies(cx);
            // A 3.x client that cannot be told keeps its message, and sends it again after it has come back.
            if connected.is_refused() {
                self.close(cx, close::Farewell::Silent);
            }
        }
    }

    fn handle_ready(&mut self, cx: &mut Context<'_, E>) {
        match &mut self.state {
            State::Connected(connected) => {
                connected.look_at_quota(cx);
                if let Flow::Close(farewell) = connected.pump(cx) {
                    self.close(cx, farewell);
                }
            }
            State::AwaitAuthentication(_) => self.authenticated(cx),
            State::AwaitConnect { .. } => self.kicked_before_connect(cx),
            State::Closing => {}
        }
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_, E>) {
        let now = cx.now.instant;
        match &mut self.state {
            State::AwaitConnect { deadline: deadline @ None } => *deadline = Some(now + self.config.connect_timeout),
            State::AwaitConnect { deadline: Some(at) } if now >= *at => self.close(cx, close::Farewell::Silent),
            State::AwaitAuthentication(pending) if now >= pending.deadline => self.close(cx, close::Farewell::Silent),
            // Whoever has the session does not leave.
            State::AwaitAuthentication(pending) if pending.patience.is_some_and(|until| now >= until) => {
                self.authenticated(cx);
            }
            State::Connected(c) if c.again.as_ref().is_some_and(|again| now >= again.deadline) => {
                self.close(cx, close::Farewell::Reason(ReasonCode::NotAuthorized, "the authentication took too long"));
            }
            State::Connected(c) if c.opening.as_ref().is_some_and(|opening| now >= opening.deadline) => {
                self.close(cx, close::Farewell::Unavailable);
            }
            State::Connected(c) if c.rights.expires_at().is_some_and(|at| now >= at) => {
                if let Flow::Close(farewell) = c.check_expiry(cx.now) {
                    self.close(cx, farewell);
                }
            }
            // [MQTT-3.1.2-24] nothing for one and a half times the keep alive.
            State::Connected(c)
                if c.opening.is_none() && c.silence_max.is_some_and(|max| now.since(c.last_input) >= max) =>
            {
                self.close(cx, close::Farewell::KeepAlive);
            }
            State::Connected(c) => {
                c.release_replies(cx);
                c.wake_for_replies(cx);
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::AwaitConnect { deadline } => Some(deadline.unwrap_or(Instant::START)),
            State::AwaitAuthentication(pending) => Some(pending.deadline()),
            State::Connected(connected) => connected.deadline(),
            State::Closing => None,
        }
    }

    fn wants_input(&self) -> bool {
        match &self.state {
            State::AwaitConnect { .. } => true,
            State::Connected(connected) => connected.takes_more(),
            State::AwaitAuthentication(pending) => pending.awaits_client(),
            State::Closing => false,
        }
    }

    fn wants_output(&self) -> bool {
        matches!(&self.state, State::Connected(connected) if connected.has_more())
    }

    fn input_hint(&self) -> Option<usize> {
        self.hint
    }

    fn principal(&self) -> Option<&Principal> {
        match &self.state {
            State::Connected(connected) => Some(connected.publisher.principal()),
            _ => None,
        }
    }

    fn messages_in(&self) -> u64 {
        match &self.state {
            State::Connected(connected) => connected.inbound.messages,
            _ => 0,
        }
    }

    fn is_held(&self) -> bool {
        matches!(&self.state, State::Connected(connected) if connected.is_over_quota())
    }

    fn is_leaving(&self) -> bool {
        matches!(&self.state, State::Connected(connected) if connected.successors.is_some() && connected.opening.is_none())
    }

    fn handle_quiet(&mut self, cx: &mut Context<'_, E>) {
        self.close(cx, close::Farewell::TakenOver);
    }

    fn excuse_silence(&mut self, now: Instant) {
        if let State::Connected(connected) = &mut self.state {
            connected.last_input = now;
        }
    }

    fn handle_closed(&mut self, cx: &mut Context<'_, E>, how: CloseCause) {
        self.carrier_closed(cx, how);
    }
}
