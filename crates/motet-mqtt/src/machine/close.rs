//! Every way to end: what is said, what happens to the session and its will.

use super::{Connected, Connection, Flow, State};
use crate::error::{Answer, DecodeError};
use crate::packet::{Auth, Connack, Disconnect, Encode, Frame, Place, PropertiesBuf, Property, ReasonCode, Version};
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
    Refused(Version, ReasonCode),
    /// The client said DISCONNECT.
    Goodbye {
        /// The will is to be published all the same [MQTT-3.14.4-3].
        with_will: bool,
        /// A new session expiry, if the client gave one.
        expiry_secs: Option<u32>,
    },
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
                connected.say(cx, &farewell);
                connected.release_session(cx, &farewell);
            }
            State::AwaitConnect { .. } | State::AwaitAuthentication(_) => say_no(cx, &farewell),
            State::Closing => {}
        }
        cx.mailbox.close();
        cx.close();
    }

    pub(super) fn broken<E: Engine>(&mut self, cx: &mut Context<'_, E>, error: DecodeError) {
        let farewell = match &self.state {
            State::AwaitConnect { .. } => Farewell::BrokenConnect(error, None),
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

/// What a client that is not in yet is told.
fn say_no<E: Engine>(cx: &mut Context<'_, E>, farewell: &Farewell) {
    let answer = match farewell {
        Farewell::Refused(version, code) => Answer::Connack(*version, *code),
        Farewell::BrokenConnect(error, version) => error.answer_to_connect(*version),
        _ => Answer::Close,
    };
    if let Answer::Connack(version, reason_code) = answer {
        let mut properties = PropertiesBuf::new();
        if version == Version::V5
            && let Some(text) = come_back_later(reason_code)
        {
            // [MQTT-3.1.2-29] leaves CONNACK out of what a client may forbid.
            let _ = properties.push(Place::Connack, Property::ReasonString(text));
        }
        let connack = Connack { session_present: false, reason_code, properties: properties.as_properties() };
        connack.encode(version, cx.out.tail());
    }
}

/// What a refusal means that is none of the client's doing.
fn come_back_later(code: ReasonCode) -> Option<&'static str> {
    Some(match code {
        ReasonCode::ServerBusy => "too many logins at the same time, or too many that failed: come back later",
        ReasonCode::QuotaExceeded => "the server holds as many connections or sessions as it may: come back later",
        ReasonCode::ConnectionRateExceeded => "too many logins per second: come back later",
        _ => return None,
    })
}

impl Connected {
    fn say<E: Engine>(&mut self, cx: &mut Context<'_, E>, farewell: &Farewell) {
        // Before MQTT 5 a server has no word for goodbye.
        if self.version != Version::V5 {
            return;
        }
        let (reason_code, text) = match farewell {
            Farewell::Broken(error) => match error.answer(self.version) {
                Answer::Disconnect(code) => (code, error.to_string()),
                Answer::Connack(..) | Answer::Close => return,
            },
            other => match other.reason() {
                Some((code, text)) => (code, text.to_owned()),
                None => return,
            },
        };
        let mut properties = PropertiesBuf::new();
        if self.problem_information && !text.is_empty() {
            // A text that does not fit is only a text.
            let _ = properties.push(Place::Disconnect, Property::ReasonString(&text));
        }
        let disconnect = Disconnect { reason_code, properties: properties.as_properties() };
        let _ = disconnect.encode_within(self.version, self.packet_bytes_max, cx.out.tail());
    }

    fn release_session<E: Engine>(&mut self, cx: &mut Context<'_, E>, farewell: &Farewell) {
        let (publish_will, expiry) = match farewell {
            Farewell::Goodbye { with_will, expiry_secs } => (*with_will, expiry_secs.map(Expiry::from_secs)),
            _ => (true, None),
        };
        cx.core.close_session(cx.now, &self.handle, CloseSession { publish_will, expiry });
    }

    pub(super) fn disconnect(&mut self, frame: Frame<'_>) -> Result<Flow, DecodeError> {
        let disconnect = Disconnect::decode(frame, self.version)?;
        let expiry_secs = disconnect.properties.session_expiry_interval();
        // [MQTT-3.14.2-2] an expiry of zero cannot be raised at the end.
        if self.session_expiry_secs == 0 && expiry_secs.is_some_and(|secs| secs > 0) {
            return Ok(Flow::Close(Farewell::Rules("session expiry was zero and cannot be raised at DISCONNECT")));
        }
        let with_will = disconnect.reason_code != ReasonCode::Success;
        Ok(Flow::Close(Farewell::Goodbye { with_will, expiry_secs }))
    }

    pub(super) fn auth(&mut self, frame: Frame<'_>) -> Result<Flow, DecodeError> {
        Auth::decode(frame, self.version)?;
        // [MQTT-4.12.1-1] only a client that connected with a method may authenticate again.
        Ok(Flow::Close(Farewell::Rules("no authentication method was agreed at CONNECT")))
    }
}
