//! Every way to end: what is said, what happens to the session and its will.

use super::connect::Terms;
use super::{Connected, Connection, Flow, State};
use crate::config::Config;
use crate::error::{Answer, DecodeError};
use crate::packet::{Connack, Disconnect, Encode, Frame, Place, PropertiesBuf, Property, ReasonCode, Version};
use motet_core::engine::Engine;
use motet_core::machine::{CloseCause, Context};
use motet_core::mailbox::{KickReason, Notice, Pulled};
use motet_core::session::{CloseSession, Expiry};

/// The last thing a connection does.
#[derive(Debug)]
pub(super) enum Farewell {
    /// The bytes were wrong.
    Broken(DecodeError),
    /// The first packet was wrong; what version it seemed to be.
    BrokenConnect(DecodeError, Option<Version>),
    /// A well-formed packet at the wrong time; the text is for MQTT 5 clients.
    Rules(&'static str),
    /// Another reason of the client's making.
    Reason(ReasonCode, &'static str),
    /// CONNECT is refused.
    Refused(Terms, ReasonCode, &'static str),
    /// The client said DISCONNECT.
    Goodbye {
        /// The will is to be published all the same [MQTT-3.14.4-3].
        with_will: bool,
        /// A new session expiry, if the client gave one.
        expiry_secs: Option<u32>,
    },
    /// CONNECT was taken, and the store does not say that it is.
    Unavailable,
    /// Another connection has the session now.
    TakenOver,
    /// We end it.
    Kicked(KickReason),
    /// Nothing came for too long.
    KeepAlive,
    /// Close without a word.
    Silent,
}

impl Farewell {
    /// What an MQTT 5 client that is in is told.
    fn reason(&self) -> Option<(ReasonCode, &'static str)> {
        Some(match self {
            Farewell::Rules(text) => (ReasonCode::ProtocolError, text),
            Farewell::Reason(code, text) => (*code, text),
            Farewell::TakenOver => (ReasonCode::SessionTakenOver, ""),
            Farewell::Kicked(KickReason::ServerShuttingDown) => (ReasonCode::ServerShuttingDown, ""),
            Farewell::Kicked(KickReason::Administrative) => (ReasonCode::AdministrativeAction, ""),
            Farewell::Kicked(KickReason::SlowConsumer) => {
                (ReasonCode::QuotaExceeded, "the client did not read what it subscribed to")
            }
            Farewell::Kicked(KickReason::UserDeleted) => (ReasonCode::AdministrativeAction, "the user is deleted"),
            Farewell::Kicked(KickReason::VhostDeleted) => (ReasonCode::AdministrativeAction, "the vhost is deleted"),
            Farewell::Kicked(KickReason::CertificateRevoked) => {
                (ReasonCode::AdministrativeAction, "the client's certificate is revoked")
            }
            Farewell::KeepAlive => (ReasonCode::KeepAliveTimeout, ""),
            _ => return None,
        })
    }
}

impl Connection {
    /// Says the farewell, lets go of the session, and asks the driver to close.
    pub(super) fn close<E: Engine>(&mut self, cx: &mut Context<'_, E>, farewell: Farewell) {
        match std::mem::replace(&mut self.state, State::Closing) {
            State::Connected(mut connected) => {
                connected.flush_run(cx);
                connected.settle(cx);
                connected.release_replies(cx);
                match connected.opening.is_some() {
                    true => {
                        let refusal = connected.terms().refuse(ReasonCode::ServerUnavailable, "");
                        self.say_no(cx, &refusal);
                    }
                    false => connected.say(&self.config, cx, &farewell),
                }
                connected.release_session(cx, &farewell);
            }
            State::AwaitConnect { .. } | State::AwaitAuthentication(_) => self.say_no(cx, &farewell),
            // Whoever was refused by a check that has just ended is not in, and not told yet.
            State::Closing if matches!(farewell, Farewell::Refused(..)) => self.say_no(cx, &farewell),
            State::Closing => {}
        }
        cx.mailbox.close();
        cx.close();
    }

    /// What a client that is not in yet is told.
    fn say_no<E: Engine>(&self, cx: &mut Context<'_, E>, farewell: &Farewell) {
        let (terms, reason_code, text) = match farewell {
            Farewell::Refused(terms, code, text) => (*terms, *code, (*text).to_owned()),
            Farewell::BrokenConnect(error, version) => match error.answer_to_connect(*version) {
                Answer::Connack(version, code) => {
                    let terms = Terms { version, packet_bytes_max: u32::MAX, problem_information: true };
                    (terms, code, error.to_string())
                }
                Answer::Disconnect(_) | Answer::Close => return,
            },
            _ => return,
        };
        let properties = match terms.version {
            Version::V5 => explained(&self.config, Place::Connack, reason_code, &text, terms.problem_information),
            Version::V31 | Version::V311 => PropertiesBuf::new(),
        };
        let connack = Connack { session_present: false, reason_code, properties: properties.as_properties() };
        let _ = connack.encode_within(terms.version, terms.packet_bytes_max, cx.out.tail());
    }

    pub(super) fn broken<E: Engine>(&mut self, cx: &mut Context<'_, E>, error: DecodeError) {
        let farewell = match &self.state {
            State::AwaitConnect { .. } => Farewell::BrokenConnect(error, None),
            State::AwaitAuthentication(pending) => Farewell::BrokenConnect(error, Some(pending.terms.version)),
            _ => Farewell::Broken(error),
        };
        self.close(cx, farewell);
    }

    pub(super) fn kicked_before_connect<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        let mut pulled = Pulled::default();
        cx.mailbox.pull(&mut pulled);
        if pulled.notices.iter().any(|notice| matches!(notice, Notice::Kicked(_))) {
            self.close(cx, Farewell::Silent);
        }
    }

    pub(super) fn carrier_closed<E: Engine>(&mut self, cx: &mut Context<'_, E>, how: CloseCause) {
        if let State::Connected(mut connected) = std::mem::replace(&mut self.state, State::Closing) {
            connected.flush_run(cx);
            connected.settle(cx);
            let farewell = match how {
                CloseCause::Drain => Farewell::Kicked(KickReason::ServerShuttingDown),
                _ => Farewell::Silent,
            };
            connected.release_session(cx, &farewell);
        }
        cx.mailbox.close();
    }
}

/// What is said along with a reason: a sentence, and where else to go.
fn explained(config: &Config, place: Place, code: ReasonCode, text: &str, wanted: bool) -> PropertiesBuf {
    let mut properties = PropertiesBuf::new();
    if wanted && !text.is_empty() {
        // A text that does not fit is only a text.
        let _ = properties.push(place, Property::ReasonString(text));
    }
    // 4.11: only with these two.
    if matches!(code, ReasonCode::UseAnotherServer | ReasonCode::ServerMoved)
        && let Some(reference) = &config.server_reference
    {
        let _ = properties.push(place, Property::ServerReference(reference));
    }
    properties
}

impl Connected {
    fn say<E: Engine>(&mut self, config: &Config, cx: &mut Context<'_, E>, farewell: &Farewell) {
        // Before MQTT 5 a server has no word for goodbye.
        if self.version != Version::V5 {
            return;
        }
        let (reason_code, text) = match farewell {
            Farewell::Broken(error) => match error.answer(self.version) {
                Answer::Disconnect(code) => (code, error.to_string()),
                Answer::Connack(..) | Answer::Close => return,
            },
            // Whoever is sent away by an orderly end goes on elsewhere, if we know where [4.11].
            Farewell::Kicked(KickReason::ServerShuttingDown) if config.server_reference.is_some() => {
                (ReasonCode::UseAnotherServer, "the server is going down".to_owned())
            }
            other => match other.reason() {
                Some((code, text)) => (code, text.to_owned()),
                None => return,
            },
        };
        let properties = explained(config, Place::Disconnect, reason_code, &text, self.problem_information);
        let disconnect = Disconnect { reason_code, properties: properties.as_properties() };
        let _ = disconnect.encode_within(self.version, self.packet_bytes_max, cx.out.tail());
    }

    fn release_session<E: Engine>(&mut self, cx: &mut Context<'_, E>, farewell: &Farewell) {
        self.give_back(cx);
        let (publish_will, expiry) = match farewell {
            Farewell::Goodbye { with_will, expiry_secs } => (*with_will, expiry_secs.map(Expiry::from_secs)),
            _ => (true, None),
        };
        self.close_stream(cx, |_| true);
        cx.core.close_session(cx.now, &self.handle, CloseSession { publish_will, expiry });
    }

    pub(super) fn disconnect(&mut self, frame: Frame<'_>) -> Result<Flow, DecodeError> {
        let disconnect = Disconnect::decode(frame, self.version)?;
        let expiry_secs = disconnect.properties.session_expiry_interval();
        // [3.14.2.2.2] an expiry of zero cannot be raised at the end.
        if self.session_expiry_secs == 0 && expiry_secs.is_some_and(|secs| secs > 0) {
            return Ok(Flow::Close(Farewell::Rules("session expiry was zero and cannot be raised at DISCONNECT")));
        }
        let with_will = disconnect.reason_code != ReasonCode::Success;
        Ok(Flow::Close(Farewell::Goodbye { with_will, expiry_secs }))
    }
}
