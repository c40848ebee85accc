//! One AMQP 0-9-1 connection as a machine.
//!
//! ```text
//!  AwaitHeader ──AMQP0091──▶ Handshake: start, secure, tune, open ──▶ Running ──close, error, kick──▶ Closing ──close-ok──▶ Done
//!        └────── wrong ────────────────┴── wrong ─────────────────────────────────────────────────────────────────────────▲
//! ```
//! | file | what |
//! |---|---|
//! | `handshake.rs` | from the protocol header to connection.open-ok: who, on which terms, in which vhost |
//! | `running.rs` | frames to channels; the turn; heartbeats |
//! | `access.rs` | what a client may |
//! | `channel.rs` | a channel's books, and answers that wait for the disk |
//! | `inbound.rs`, `content.rs` | publishing; bodies over several frames |
//! | `confirm.rs` | what publishers are told, and when |
//! | `declare.rs`, `refusal.rs` | exchanges and queues; the core's refusals in RabbitMQ's words |
//! | `consume.rs`, `outbound.rs`, `encode.rs` | consumers and fetches; deliveries; their bytes |
//! | `settle.rs`, `unacked.rs` | acknowledgements; what waits for them |
//! | `transaction.rs` | tx |
//! | `close.rs` | every way to end |

mod access;
mod channel;
mod close;
mod confirm;
mod consume;
mod content;
mod declare;
mod deeds;
mod encode;
mod handshake;
mod inbound;
mod outbound;
mod refusal;
mod running;
mod settle;
mod streams;
#[cfg(test)]
mod tests;
mod transaction;
mod unacked;
mod wording;

use super::config::Config;
use super::error::Failure;
use super::packet::{PROTOCOL_HEADER, ProtocolHeader, frame, frame_len};
use bytes::{Buf, BufMut, BytesMut};
use handshake::Handshake;
use motet_core::engine::Engine;
use motet_core::machine::{CloseCause, Context, Machine};
use motet_core::principal::Principal;
use motet_core::time::Instant;
use running::Running;
use std::sync::Arc;

/// An AMQP 0-9-1 connection. See the module's page for its states and [`motet_core::machine`] for the law of its use.
#[derive(Debug)]
pub struct Connection {
    config: Arc<Config>,
    state: State,
    /// Bytes the frame at the front of the input needs in all.
    hint: Option<usize>,
}

#[derive(Debug)]
enum State {
    /// The protocol header has not come; `None` until the first call tells the time.
    AwaitHeader { deadline: Option<Instant> },
    /// Who, on which terms, in which vhost.
    Handshake(Box<Handshake>),
    /// The vhost is open.
    Running(Box<Running>),
    /// We said connection.close; only close-ok counts.
    Closing { deadline: Instant },
    /// Nothing more is said or heard.
    Done,
}

/// What a handler asks of the connection.
#[derive(Debug, PartialEq, Eq)]
enum Flow {
    /// Go on.
    Continue,
    /// The handshake is over.
    Opened,
    /// The peer said connection.close, or has agreed to ours.
    Ended,
}

impl Connection {
    /// A connection whose first byte has not come yet.
    pub fn new(config: Arc<Config>) -> Self {
        Connection { config, state: State::AwaitHeader { deadline: None }, hint: None }
    }

    /// Takes complete frames from the front of `input`; returns how many bytes they had.
    fn take_frames<E: Engine>(&mut self, cx: &mut Context<'_, E>, input: &[u8]) -> usize {
        let mut at = 0;
        self.hint = None;
        if let State::AwaitHeader { .. } = self.state {
            match ProtocolHeader::of(input) {
                ProtocolHeader::Partial => return 0,
                ProtocolHeader::Foreign => {
                    // 4.2.2: the server answers with the header it understands, and closes.
                    cx.out.tail().put_slice(&PROTOCOL_HEADER);
                    self.done(cx);
                    return input.len();
                }
                ProtocolHeader::Ours => at = PROTOCOL_HEADER.len(),
            }
            let handshake = Handshake::begin(&self.config, cx);
            self.state = State::Handshake(Box::new(handshake));
        }
        while self.takes_input(cx) {
            let rest = &input[at..];
            let found = match frame(rest, self.frame_max()) {
                Ok(Some(found)) => found,
                Ok(None) => {
                    self.hint = frame_len(rest);
                    break;
                }
                Err(error) => {
                    // Where the next frame begins is not known: nothing more is heard.
                    self.fail(cx, 0, error.into());
                    return input.len();
                }
            };
            let (channel, len) = (found.channel, found.len());
            let outcome = match &mut self.state {
                State::Handshake(handshake) => handshake.frame(&self.config, cx, found).map(|flow| (flow, 0)),
                State::Running(running) => running.frame(&self.config, cx, found, &rest[len..]),
                State::Closing { .. } => Ok((close::is_over(cx, found), 0)),
                State::AwaitHeader { .. } | State::Done => return input.len(),
            };
            if self.waits() {
                break; // The frame stays where it is until somebody has answered.
            }
            at += len;
            match outcome {
                Ok((Flow::Continue, more)) => at += more,
                Ok((flow, _)) => self.follow(cx, flow),
                Err(failure) => self.fail(cx, channel, failure),
            }
        }
        match self.state {
            State::Done => input.len(),
            _ => at,
        }
    }

    /// Changes the state as a handler asked for.
    fn follow<E: Engine>(&mut self, cx: &mut Context<'_, E>, flow: Flow) {
        match flow {
            Flow::Continue => {}
            Flow::Opened => match std::mem::replace(&mut self.state, State::Done) {
                State::Handshake(handshake) => self.state = State::Running(Box::new(handshake.open(&self.config, cx))),
                other => self.state = other,
            },
            Flow::Ended => self.done(cx),
        }
    }

    /// Somebody is being asked whether the client may do what the frame says.
    fn waits(&self) -> bool {
        matches!(&self.state, State::Running(running) if running.waits)
    }

    fn frame_max(&self) -> u32 {
        match &self.state {
            State::Running(running) => running.terms.frame_max,
            _ => self.config.frame_bytes_max,
        }
    }

    fn takes_input<E: Engine>(&self, cx: &Context<'_, E>) -> bool {
        match &self.state {
            State::AwaitHeader { .. } | State::Closing { .. } => true,
            State::Handshake(handshake) => handshake.takes_input(),
            State::Running(running) => !cx.out_is_full() && running.takes_more(),
            State::Done => false,
        }
    }

    /// Ends the turn of a running connection; true when it has something to say about its own end.
    fn turn<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        work: impl FnOnce(&Config, &mut Running, &mut Context<'_, E>) -> Result<(), Failure>,
    ) {
        if let State::Running(running) = &mut self.state
            && let Err(failure) = work(&self.config, running, cx)
        {
            self.fail(cx, 0, failure);
        }
    }
}

impl<E: Engine> Machine<E> for Connection {
    fn handle_input(&mut self, cx: &mut Context<'_, E>, input: &mut BytesMut) {
        if let State::Running(running) = &mut self.state {
            running.last_input = cx.now.instant;
        }
        let taken = self.take_frames(cx, input);
        input.advance(taken);
        self.turn(cx, |config, running, cx| running.end_turn(config, cx));
    }

    fn handle_ready(&mut self, cx: &mut Context<'_, E>) {
        match &mut self.state {
            State::Running(_) => self.turn(cx, |config, running, cx| running.pump(config, cx)),
            State::Handshake(handshake) => match handshake.answered(&self.config, cx) {
                Ok(flow) => self.follow(cx, flow),
                Err(failure) => self.fail(cx, 0, failure),
            },
            // Nobody is served here; what is left in the mailbox would wake us again and again.
            State::AwaitHeader { .. } | State::Closing { .. } => self.unserved(cx),
            State::Done => {}
        }
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_, E>) {
        let now = cx.now.instant;
        match &mut self.state {
            State::AwaitHeader { deadline: deadline @ None } => *deadline = Some(now + self.config.connect_timeout),
            State::AwaitHeader { deadline: Some(at) } | State::Closing { deadline: at } if now >= *at => self.done(cx),
            State::Handshake(handshake) if now >= handshake.deadline => self.done(cx),
            // Two intervals without a sign of life: nobody is there to be told [4.2.7].
            State::Running(running) if running.is_silent(now) => self.silent(cx),
            State::Running(_) => self.turn(cx, |config, running, cx| running.on_time(config, cx)),
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::AwaitHeader { deadline } => Some(deadline.unwrap_or(Instant::START)),
            State::Handshake(handshake) => Some(handshake.deadline),
            State::Running(running) => running.next_deadline(&self.config),
            State::Closing { deadline } => Some(*deadline),
            State::Done => None,
        }
    }

    fn wants_input(&self) -> bool {
        match &self.state {
            State::AwaitHeader { .. } | State::Closing { .. } => true,
            State::Handshake(handshake) => handshake.takes_input(),
            State::Running(running) => running.takes_more(),
            State::Done => false,
        }
    }

    fn wants_output(&self) -> bool {
        matches!(&self.state, State::Running(running) if running.has_more())
    }

    fn input_hint(&self) -> Option<usize> {
        self.hint
    }

    fn principal(&self) -> Option<&Principal> {
        match &self.state {
            State::Running(running) => Some(running.publisher.principal()),
            _ => None,
        }
    }

    fn messages_in(&self) -> u64 {
        match &self.state {
            State::Running(running) => running.messages_in,
            _ => 0,
        }
    }

    fn handle_alarm(&mut self, cx: &mut Context<'_, E>, why: Option<&str>) {
        if let State::Running(running) = &mut self.state {
            running.hear_alarm(cx, why);
        }
    }

    fn excuse_silence(&mut self, now: Instant) {
        if let State::Running(running) = &mut self.state {
            running.last_input = now;
        }
    }

    fn handle_closed(&mut self, cx: &mut Context<'_, E>, how: CloseCause) {
        self.carrier_closed(cx, how);
    }
}
