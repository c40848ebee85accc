//! CONNECT to CONNACK: who, which session, on which terms.

use super::close::Farewell;
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::{Connected, Connection, Flow, State};
use crate::config::Config;
use crate::mapping;
use crate::packet::{
    Connack, Connect, Encode, Frame, PacketKind, Place, PropertiesBuf, Property, QoS, ReasonCode, Version, Will,
};
use crate::session::Resumed;
use motet_core::access::Action as Wish;
use motet_core::core::Publisher;
use motet_core::engine::Engine;
use motet_core::machine::{Attempt, Context};
use motet_core::mailbox::{Notice, Pulled};
use motet_core::message::{BatchBuilder, MessageParts, PublisherId};
use motet_core::principal::{Denied, Principal};
use motet_core::session::{Expiry, OpenSession, Opened, Will as CoreWill};
use motet_core::spelling::mqtt;
use motet_core::time::Instant;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

/// A CONNECT that waits for its credentials to be checked: what of it is needed afterwards.
#[derive(Debug)]
pub(super) struct PendingConnect {
    pub(super) version: Version,
    pub(super) deadline: Instant,
    client: String,
    assigned: bool,
    clean_start: bool,
    keep_alive_secs: u16,
    session_expiry_secs: u32,
    receive_maximum: u16,
    packet_bytes_max: u32,
    problem_information: bool,
    will: Option<CoreWill>,
}

/// Tickets of credential checks; a connection asks once.
const TICKET: u64 = 1;

impl Connection {
    pub(super) fn first_packet<E: Engine>(&mut self, cx: &mut Context<'_, E>, frame: Frame<'_>) -> Flow {
        // [MQTT-3.1.0-1] anything but CONNECT ends the connection.
        if frame.kind != PacketKind::Connect {
            return Flow::Close(Farewell::Silent);
        }
        let connect = match Connect::decode(frame) {
            Ok(connect) => connect,
            Err(error) => return Flow::Close(Farewell::BrokenConnect(error, Connect::peek_version(frame))),
        };
        let pending = match self.consider(cx, &connect) {
            Ok(pending) => pending,
            Err(code) => return refuse(connect.version, code),
        };
        let attempt = Attempt {
            user: connect.user_name,
            password: connect.password,
            peer: cx.peer,
            loopback: cx.loopback,
            secure: cx.secure,
        };
        match cx.auth.check(attempt, TICKET, cx.mailbox) {
            Some(answer) => self.admit(cx, pending, answer),
            None => {
                self.state = State::AwaitAuthentication(Box::new(pending));
                Flow::Continue
            }
        }
    }

    /// Everything that can be decided without knowing who it is.
    fn consider<E: Engine>(
        &self,
        cx: &mut Context<'_, E>,
        connect: &Connect<'_>,
    ) -> Result<PendingConnect, ReasonCode> {
        let p = connect.properties;
        // Enhanced authentication is not offered yet [MQTT-4.12.0-1].
        if p.authentication_method().is_some() {
            return Err(ReasonCode::BadAuthenticationMethod);
        }
        let assigned = connect.client_identifier.is_empty();
        let client = match assigned {
            // [MQTT-3.1.3-6] the server gives a name that nobody else has.
            true => format!("auto-{:016x}{:016x}", cx.random.next_u64(), cx.random.next_u64()),
            false => connect.client_identifier.to_owned(),
        };
        let session_expiry_secs = match connect.version {
            Version::V5 => p.session_expiry_interval().unwrap_or(0),
            // [3.1.2.4 of 3.1.1] a session that is not clean lasts.
            _ if connect.clean_start => 0,
            _ => u32::MAX,
        };
        Ok(PendingConnect {
            version: connect.version,
            deadline: cx.now.instant + self.config.connect_timeout,
            client,
            assigned,
            clean_start: connect.clean_start,
            keep_alive_secs: connect.keep_alive_secs,
            session_expiry_secs,
            receive_maximum: match connect.version {
                Version::V5 => p.receive_maximum().map_or(u16::MAX, NonZeroU16::get),
                _ => self.config.in_flight_max,
            },
            packet_bytes_max: p.maximum_packet_size().map_or(u32::MAX, NonZeroU32::get),
            problem_information: p.request_problem_information().unwrap_or(true),
            will: connect.will.as_ref().map(|will| core_will(&self.config, will)).transpose()?,
        })
    }

    /// The answer to a credential check has come.
    pub(super) fn authenticated<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        let mut pulled = Pulled::default();
        cx.mailbox.pull(&mut pulled);
        for notice in pulled.notices {
            let flow = match notice {
                Notice::Authenticated(TICKET, answer) => match std::mem::replace(&mut self.state, State::Closing) {
                    State::AwaitAuthentication(pending) => self.admit(cx, *pending, answer),
                    other => {
                        self.state = other;
                        Flow::Continue
                    }
                },
                Notice::Authenticated(..)
                | Notice::Stepped(..)
                | Notice::ConsumerActivated(_)
                | Notice::ConsumerCancelled(_) => Flow::Continue,
                Notice::TakenOver => Flow::Close(Farewell::Silent),
                Notice::Kicked(_) => match &self.state {
                    State::AwaitAuthentication(pending) => refuse(pending.version, ReasonCode::ServerUnavailable),
                    _ => Flow::Close(Farewell::Silent),
                },
            };
            if let Flow::Close(farewell) = flow {
                return self.close(cx, farewell);
            }
        }
    }

    fn admit<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        pending: PendingConnect,
        answer: Result<Principal, Denied>,
    ) -> Flow {
        let version = pending.version;
        let principal = match answer {
            Ok(principal) => principal,
            Err(Denied::BadCredentials) => return refuse(version, ReasonCode::BadUserNameOrPassword),
            Err(Denied::UnknownMethod) => return refuse(version, ReasonCode::BadAuthenticationMethod),
            Err(Denied::AnonymousForbidden | Denied::Malformed) => return refuse(version, ReasonCode::NotAuthorized),
            Err(Denied::Busy) => return refuse(version, ReasonCode::ServerBusy),
            Err(Denied::Quota) => return refuse(version, ReasonCode::QuotaExceeded),
            Err(Denied::RateExceeded) => return refuse(version, ReasonCode::ConnectionRateExceeded),
        };
        if let Some(will) = &pending.will
            && !cx.core.vhost().access().check(&principal, Wish::Publish, will.batch.address()).allowed
        {
            return refuse(version, ReasonCode::NotAuthorized);
        }
        let opened = cx.core.open_session(
            cx.now,
            OpenSession {
                vhost: cx.core.vhost(),
                client: &pending.client,
                clean_start: pending.clean_start,
                expiry: Expiry::from_secs(pending.session_expiry_secs),
                credit: pending.receive_maximum.into(),
                will: pending.will.clone(),
                mailbox: cx.mailbox,
            },
        );
        let Some(opened) = opened else { return refuse(version, ReasonCode::QuotaExceeded) };
        self.connected(cx, &pending, principal, opened);
        Flow::Continue
    }

    fn connected<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        pending: &PendingConnect,
        principal: Principal,
        opened: Opened,
    ) {
        let keep_alive_secs = match (self.config.keep_alive_max_secs, pending.keep_alive_secs) {
            (0, asked) => asked,
            (max, 0) => max,
            (max, asked) => asked.min(max),
        };
        let terms = self.terms(cx, pending, keep_alive_secs);
        let connack = Connack {
            session_present: opened.present,
            reason_code: ReasonCode::Success,
            properties: terms.as_properties(),
        };
        // Our own terms are small; a client whose maximum they exceed cannot be spoken to.
        if connack.encode_within(pending.version, pending.packet_bytes_max, cx.out.tail()).is_err() {
            cx.close();
        }
        // Before MQTT 5 the client cannot be told, so it is held to what it said itself.
        let held_to = if pending.version == Version::V5 { keep_alive_secs } else { pending.keep_alive_secs };
        let resumed = Resumed::from_record(&opened.record);
        let publisher = Publisher::new(cx.core, principal, Some(&opened.handle));
        self.state = State::Connected(Box::new(Connected {
            version: pending.version,
            publisher: if pending.version == Version::V5 { publisher } else { publisher.without_refusals() },
            handle: opened.handle,
            silence_max: (held_to > 0).then(|| Duration::from_millis(u64::from(held_to) * 1500)),
            last_input: cx.now.instant,
            packet_bytes_max: pending.packet_bytes_max,
            problem_information: pending.problem_information,
            session_expiry_secs: pending.session_expiry_secs,
            inbound: Inbound::new(resumed.received, self.config.pending_bytes_high),
            outbound: Outbound::new(resumed.pubrec),
            pulled: Pulled::default(),
        }));
    }

    /// What MQTT 5 tells the client about us; only what differs from the specification's default.
    fn terms<E: Engine>(&self, cx: &Context<'_, E>, pending: &PendingConnect, keep_alive_secs: u16) -> PropertiesBuf {
        let mut terms = PropertiesBuf::new();
        if pending.version != Version::V5 {
            return terms;
        }
        let mut push = |property| {
            terms.push(Place::Connack, property).expect("our own terms are valid in CONNACK");
        };
        let expiry_max = cx.core.limits().session_expiry_max_secs;
        if pending.session_expiry_secs > expiry_max {
            push(Property::SessionExpiryInterval(expiry_max));
        }
        if let Some(maximum) = NonZeroU16::new(self.config.receive_maximum) {
            push(Property::ReceiveMaximum(maximum));
        }
        if let Some(maximum) = NonZeroU32::new(self.config.packet_bytes_max) {
            push(Property::MaximumPacketSize(maximum));
        }
        push(Property::TopicAliasMaximum(self.config.topic_alias_maximum));
        match self.config.qos_max {
            QoS::AtMostOnce => push(Property::MaximumQoS(QoS::AtMostOnce)),
            QoS::AtLeastOnce => push(Property::MaximumQoS(QoS::AtLeastOnce)),
            QoS::ExactlyOnce => {} // [MQTT-3.2.2-9] two is said by saying nothing.
        }
        if !self.config.retain_available {
            push(Property::RetainAvailable(false));
        }
        push(Property::SharedSubscriptionAvailable(false));
        if pending.assigned {
            push(Property::AssignedClientIdentifier(&pending.client));
        }
        if keep_alive_secs != pending.keep_alive_secs {
            push(Property::ServerKeepAlive(keep_alive_secs));
        }
        terms
    }
}

fn refuse(version: Version, code: ReasonCode) -> Flow {
    Flow::Close(Farewell::Refused(version, code))
}

fn core_will(config: &Config, will: &Will<'_>) -> Result<CoreWill, ReasonCode> {
    // [MQTT-3.2.2-12], [MQTT-3.2.2-13] a will is refused for what a PUBLISH would be refused for.
    if will.qos > config.qos_max {
        return Err(ReasonCode::QoSNotSupported);
    }
    if will.retain && !config.retain_available {
        return Err(ReasonCode::RetainNotSupported);
    }
    if config.is_too_deep(will.topic) {
        return Err(ReasonCode::TopicNameInvalid);
    }
    let address = mqtt::decode_name(will.topic).map_err(|_| ReasonCode::TopicNameInvalid)?;
    if super::inbound::is_ours(&address) {
        return Err(ReasonCode::TopicNameInvalid);
    }
    let (origin, properties) = mapping::to_canonical(will.properties);
    let mut builder = BatchBuilder::new();
    let delay_secs = will.properties.will_delay_interval().unwrap_or(0);
    builder.push(MessageParts {
        payload: will.payload,
        origin: origin.as_properties().raw(),
        reliability: mapping::reliability(will.qos),
        retain: will.retain,
        expires_at: None,
        properties,
    });
    let batch = builder.finish(address, PublisherId::default(), mapping::FACE);
    Ok(CoreWill { batch, delay_secs, expiry_secs: will.properties.message_expiry_interval() })
}
