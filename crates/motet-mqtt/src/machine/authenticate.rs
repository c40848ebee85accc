//! AUTH: authentication in steps, before the client is in and again while it is [4.12].
//!
//! ```text
//!  CONNECT(method, data) ─▶ begin, step ─┬─▶ AUTH 0x18 ─▶ client ─▶ AUTH 0x18 ─▶ step ─┐
//!                                        ├─▶ CONNACK, or AUTH 0x00 when it was again    │
//!  AUTH 0x19 (again) ────▶ begin, step ──┴─▶ CONNACK / DISCONNECT 0x80 and above ◀──────┘
//! ```

use super::close::Farewell;
use super::connect::{PendingConnect, refusal_of};
use super::{Connected, Connection, Flow, State};
use crate::error::DecodeError;
use crate::packet::{Auth, Encode, Frame, PacketKind, Place, PropertiesBuf, Property, ReasonCode, Version};
use motet_core::engine::Engine;
use motet_core::machine::{Context, Dialogue, Opening, Step};
use motet_core::principal::{Denied, Principal};
use motet_core::time::Instant;

/// Responses of one exchange; every method we know needs fewer, so beyond it a client only keeps us busy.
const STEPS_MAX: u64 = 16;

/// An exchange under way.
#[derive(Debug)]
pub(super) struct Exchange {
    method: Box<str>,
    dialogue: Box<dyn Dialogue>,
    /// Number of the step at hand; its answer comes through the mailbox under this ticket.
    ticket: u64,
    awaits: Awaits,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    /// The client's next AUTH.
    Client,
    /// Our own answer.
    Answer,
}

/// A client that is in authenticates again.
#[derive(Debug)]
pub(super) struct Again {
    exchange: Exchange,
    pub(super) deadline: Instant,
}

impl Exchange {
    /// Begins, with tickets from `ticket` on: those of an earlier exchange of the connection must not come again.
    pub(super) fn begin<E: Engine>(
        cx: &Context<'_, E>,
        method: &str,
        user: Option<&str>,
        again: Option<&Principal>,
        ticket: u64,
    ) -> Result<Self, Denied> {
        let opening = Opening { user, peer: cx.peer, loopback: cx.loopback, secure: cx.secure, again };
        let dialogue = cx.auth.begin(method, opening)?;
        Ok(Exchange { method: method.into(), dialogue, ticket, awaits: Awaits::Client })
    }

    pub(super) fn method(&self) -> &str {
        &self.method
    }

    pub(super) fn ticket(&self) -> u64 {
        self.ticket
    }

    pub(super) fn awaits_client(&self) -> bool {
        self.awaits == Awaits::Client
    }

    pub(super) fn step<E: Engine>(&mut self, cx: &Context<'_, E>, response: Option<&[u8]>) -> Option<Step> {
        self.ticket += 1;
        self.awaits = Awaits::Answer;
        let answer = self.dialogue.step(response, self.ticket, cx.mailbox);
        self.answered(answer)
    }

    /// An answer from the mailbox, if it is the one waited for.
    fn heard(&mut self, ticket: u64, step: Step) -> Option<Step> {
        (ticket == self.ticket && self.awaits == Awaits::Answer).then(|| self.answered(Some(step))).flatten()
    }

    fn answered(&mut self, answer: Option<Step>) -> Option<Step> {
        if let Some(Step::Challenge(_)) = answer {
            self.awaits = Awaits::Client;
        }
        answer
    }

    /// The client's next response.
    ///
    /// # Errors
    /// It is not the client's turn, or it changed the method [MQTT-4.12.0-5].
    fn respond<E: Engine>(&mut self, cx: &Context<'_, E>, auth: &Auth<'_>, first: u64) -> Result<Option<Step>, Wrong> {
        if auth.properties.authentication_method() != Some(&self.method) {
            return Err((ReasonCode::BadAuthenticationMethod, "another method than the one agreed"));
        }
        if auth.reason_code != ReasonCode::ContinueAuthentication || !self.awaits_client() {
            return Err((ReasonCode::ProtocolError, "this AUTH is not due now"));
        }
        if self.ticket - first >= STEPS_MAX {
            return Err((ReasonCode::NotAuthorized, "too many steps"));
        }
        Ok(self.step(cx, auth.properties.authentication_data()))
    }

    /// Method and data, as CONNACK and AUTH carry them.
    pub(super) fn tell(&self, place: Place, data: Option<&[u8]>, into: &mut PropertiesBuf) {
        into.push(place, Property::AuthenticationMethod(&self.method)).expect("it came in such a packet");
        if let Some(data) = data {
            // A method whose data exceeds a field of MQTT would fail at the other end; none does.
            let _ = into.push(place, Property::AuthenticationData(data));
        }
    }

    /// False when the client's maximum packet size forbids to say it.
    fn say<E: Engine>(&self, cx: &mut Context<'_, E>, code: ReasonCode, data: Option<&[u8]>, max: u32) -> bool {
        let mut properties = PropertiesBuf::new();
        self.tell(Place::Auth, data, &mut properties);
        let auth = Auth { reason_code: code, properties: properties.as_properties() };
        auth.encode_within(Version::V5, max, cx.out.tail()).is_ok()
    }
}

/// What an AUTH is refused with.
type Wrong = (ReasonCode, &'static str);

impl Connection {
    /// A packet of a client that is not in yet.
    pub(super) fn packet_before_connack<E: Engine>(&mut self, cx: &mut Context<'_, E>, frame: Frame<'_>) -> Flow {
        let State::AwaitAuthentication(pending) = &mut self.state else { return Flow::Continue };
        let step = match (&mut pending.exchange, frame.kind) {
            (Some(exchange), PacketKind::Auth) => match Auth::decode(frame, pending.terms.version) {
                Ok(auth) => exchange.respond(cx, &auth, 0),
                Err(error) => return Flow::Close(Farewell::BrokenConnect(error, Some(pending.terms.version))),
            },
            // It has thought better of it.
            (_, PacketKind::Disconnect) => return Flow::Close(Farewell::Silent),
            // [MQTT-3.1.2-33] nothing but AUTH and DISCONNECT until CONNACK.
            _ => Err((ReasonCode::ProtocolError, "only AUTH may follow now")),
        };
        match step {
            Ok(step) => self.stepped(cx, step),
            Err((code, why)) => Flow::Close(pending.terms.refuse(code, why)),
        }
    }

    /// An answer of the dialogue has come.
    pub(super) fn heard_step<E: Engine>(&mut self, cx: &mut Context<'_, E>, ticket: u64, step: Step) -> Flow {
        let State::AwaitAuthentication(pending) = &mut self.state else { return Flow::Continue };
        let step = pending.exchange.as_mut().and_then(|exchange| exchange.heard(ticket, step));
        self.stepped(cx, step)
    }

    /// Carries out what the dialogue has said; `None` when it has not.
    pub(super) fn stepped<E: Engine>(&mut self, cx: &mut Context<'_, E>, step: Option<Step>) -> Flow {
        let (answer, data) = match step {
            None => return Flow::Continue,
            Some(Step::Challenge(challenge)) => {
                let State::AwaitAuthentication(pending) = &self.state else { return Flow::Continue };
                let PendingConnect { terms, exchange, .. } = &**pending;
                let said = exchange.as_ref().is_none_or(|exchange| {
                    exchange.say(cx, ReasonCode::ContinueAuthentication, Some(&challenge), terms.packet_bytes_max)
                });
                return if said { Flow::Continue } else { Flow::Close(Farewell::Silent) };
            }
            Some(Step::Accepted { principal, data }) => (Ok(principal), data),
            Some(Step::Denied(denied)) => (Err(denied), None),
        };
        match std::mem::replace(&mut self.state, State::Closing) {
            State::AwaitAuthentication(pending) => self.admit(cx, *pending, answer, data.as_deref()),
            other => {
                self.state = other;
                Flow::Continue
            }
        }
    }
}

impl Connected {
    /// AUTH from a client that is in.
    pub(super) fn auth<E: Engine>(&mut self, cx: &mut Context<'_, E>, frame: Frame<'_>) -> Result<Flow, DecodeError> {
        let auth = Auth::decode(frame, self.version)?;
        let step = match &mut self.again {
            Some(again) => again.exchange.respond(cx, &auth, self.tickets),
            None => self.authenticate_again(cx, &auth),
        };
        Ok(match step {
            Ok(step) => self.stepped(cx, step),
            Err((code, why)) => Flow::Close(Farewell::Reason(code, why)),
        })
    }

    fn authenticate_again<E: Engine>(&mut self, cx: &Context<'_, E>, auth: &Auth<'_>) -> Result<Option<Step>, Wrong> {
        if auth.reason_code != ReasonCode::ReAuthenticate {
            return Err((ReasonCode::ProtocolError, "this AUTH is not due now"));
        }
        // [MQTT-4.12.1-1] only by the method of CONNECT, and only if there was one.
        let Some(method) = &self.method else {
            return Err((ReasonCode::ProtocolError, "no authentication method was agreed at CONNECT"));
        };
        if auth.properties.authentication_method() != Some(method) {
            return Err((ReasonCode::BadAuthenticationMethod, "another method than the one agreed"));
        }
        let principal = self.publisher.principal();
        let exchange =
            Exchange::begin(cx, method, None, Some(principal), self.tickets).map_err(refusal_after_connect)?;
        let again = self.again.insert(Box::new(Again { exchange, deadline: cx.now.instant + self.auth_timeout }));
        Ok(again.exchange.step(cx, auth.properties.authentication_data()))
    }

    /// An answer of the dialogue has come.
    pub(super) fn heard_step<E: Engine>(&mut self, cx: &mut Context<'_, E>, ticket: u64, step: Step) -> Flow {
        let step = self.again.as_mut().and_then(|again| again.exchange.heard(ticket, step));
        self.stepped(cx, step)
    }

    fn stepped<E: Engine>(&mut self, cx: &mut Context<'_, E>, step: Option<Step>) -> Flow {
        let (Some(step), Some(again)) = (step, &self.again) else { return Flow::Continue };
        let exchange = &again.exchange;
        let said = match step {
            Step::Challenge(challenge) => {
                exchange.say(cx, ReasonCode::ContinueAuthentication, Some(&challenge), self.packet_bytes_max)
            }
            // A connection keeps its principal: what it did and what waits for it belong to that one.
            Step::Accepted { principal, .. } if principal.name != self.publisher.principal().name => {
                return Flow::Close(Farewell::Reason(ReasonCode::NotAuthorized, "authenticated as somebody else"));
            }
            Step::Accepted { principal, data } => {
                let said = exchange.say(cx, ReasonCode::Success, data.as_deref(), self.packet_bytes_max);
                self.tickets = exchange.ticket;
                self.publisher.renew(principal);
                self.again = None;
                said
            }
            Step::Denied(denied) => {
                // [MQTT-4.12.1-2]
                let (code, why) = refusal_after_connect(denied);
                return Flow::Close(Farewell::Reason(code, why));
            }
        };
        if said { Flow::Continue } else { Flow::Close(Farewell::Silent) }
    }
}

/// CONNACK may say more than DISCONNECT.
fn refusal_after_connect(denied: Denied) -> Wrong {
    match refusal_of(denied) {
        (code, why) if code.is_valid_in(PacketKind::Disconnect) => (code, why),
        (_, why) => (ReasonCode::NotAuthorized, why),
    }
}
