//! CONNECT to CONNACK: who, which session, on which terms.

use super::access::{Rights, may_leave_will, signature_of};
use super::authenticate::Exchange;
use super::close::Farewell;
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::{Connected, Connection, Flow, State};
use crate::config::Config;
use crate::mapping;
use crate::packet::{
    Connack, Connect, Encode, Frame, PacketKind, Place, PropertiesBuf, Property, QoS, ReasonCode, Version, Will,
};
use crate::session::{OWN_IDENTIFIERS, Resumed};
use bytes::BytesMut;
use motet_core::conversation::Conversation;
use motet_core::core::govern::Seat;
use motet_core::core::{OpenRefused, Publisher};
use motet_core::engine::{Engine, Position};
use motet_core::machine::{Attempt, Context};
use motet_core::mailbox::{Notice, Pulled};
use motet_core::message::{BatchBuilder, MessageParts, PublisherId};
use motet_core::name::Name;
use motet_core::principal::{Denied, Principal};
use motet_core::session::{Expiry, OpenSession, Opened, Will as CoreWill};
use motet_core::spelling::mqtt;
use motet_core::time::Instant;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

/// A CONNECT that waits for its credentials to be checked: what of it is needed afterwards.
#[derive(Debug)]
pub(super) struct PendingConnect {
    pub(super) terms: Terms,
    pub(super) deadline: Instant,
    client: String,
    assigned: bool,
    clean_start: bool,
    keep_alive_secs: u16,
    session_expiry_secs: u32,
    receive_maximum: u16,
    topic_alias_maximum: u16,
    response_information: bool,
    pub(super) will: Option<CoreWill>,
    /// What the will is signed with.
    pub(super) will_signature: Option<Box<[u8]>>,
    /// The client is who it says, and its method may have something left to say; whether it may leave its will is being
    /// asked.
    admitted: Option<(Principal, Option<Box<[u8]>>)>,
    /// The exchange by a method, where the client asked for one.
    pub(super) exchange: Option<Exchange>,
    /// How long whoever has the session may take to leave, once it was asked to.
    pub(super) patience: Option<Instant>,
}

/// How long a connection whose client has come again may take to read what had been sent to it. Then it has no say in it
/// any more: it waits for the disk, or is not read from.
const PATIENCE: Duration = Duration::from_millis(250);

/// How a client wants to be spoken to, known from its CONNECT on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) version: Version,
    /// Largest packet the client takes [MQTT-3.1.2-27].
    pub(super) packet_bytes_max: u32,
    /// The client may be told reason strings [MQTT-3.1.2-32].
    pub(super) problem_information: bool,
}

impl PendingConnect {
    /// When something has to be done though nothing has come.
    pub(super) fn deadline(&self) -> Instant {
        self.patience.filter(|_| self.admitted.is_some()).map_or(self.deadline, |until| until.min(self.deadline))
    }

    /// The client's next AUTH may be read.
    pub(super) fn awaits_client(&self) -> bool {
        self.exchange.as_ref().is_some_and(Exchange::awaits_client)
    }
}

impl Terms {
    fn of(connect: &Connect<'_>) -> Self {
        let p = connect.properties;
        Terms {
            version: connect.version,
            packet_bytes_max: p.maximum_packet_size().map_or(u32::MAX, NonZeroU32::get),
            problem_information: p.request_problem_information().unwrap_or(true),
        }
    }

    fn refuse_for(self, denied: Denied) -> Farewell {
        let (code, why) = refusal_of(denied);
        self.refuse(code, why)
    }

    /// A CONNACK that says no.
    pub(super) fn refuse(self, code: ReasonCode, why: &'static str) -> Farewell {
        Farewell::Refused(self, code, why)
    }
}

/// Why somebody is not let in: the code, and a sentence for whoever reads the client's log.
pub(super) fn refusal_of(denied: Denied) -> (ReasonCode, &'static str) {
    match denied {
        Denied::BadCredentials => (ReasonCode::BadUserNameOrPassword, ""),
        Denied::UnknownMethod => {
            (ReasonCode::BadAuthenticationMethod, "this authentication method is not offered here")
        }
        Denied::AnonymousForbidden => (ReasonCode::NotAuthorized, "anonymous access is not allowed here"),
        Denied::Malformed => (ReasonCode::NotAuthorized, "the authentication broke the rules of its method"),
        Denied::Busy => (ReasonCode::ServerBusy, "too many credential checks or failures: later"),
        Denied::Quota => (ReasonCode::QuotaExceeded, "the server holds as many connections as it may: later"),
        Denied::RateExceeded => (ReasonCode::ConnectionRateExceeded, "too many logins per second: later"),
    }
}

/// A CONNACK that waits: a session that is said to be there, or to be gone, must be so after a power cut too.
#[derive(Debug)]
pub(super) struct Opening {
    position: Position,
    connack: BytesMut,
    /// When the client is told that the store takes nothing.
    pub(super) deadline: Instant,
}

impl Connected {
    /// CONNACK has been said. Says it when it is time; asks to be woken when it is not.
    pub(super) fn has_opened<E: Engine>(&mut self, cx: &mut Context<'_, E>) -> bool {
        let Some(opening) = &self.opening else { return true };
        if opening.position > cx.core.durable() {
            cx.core.wake_when_durable(opening.position, cx.mailbox);
            return false;
        }
        cx.out.tail().extend_from_slice(&opening.connack);
        self.opening = None;
        self.last_input = cx.now.instant;
        true
    }

    pub(super) fn terms(&self) -> Terms {
        Terms {
            version: self.version,
            packet_bytes_max: self.packet_bytes_max,
            problem_information: self.problem_information,
        }
    }

    /// The next packet may be read.
    pub(super) fn takes_more(&self) -> bool {
        self.opening.is_none() && !self.rights.waits && self.inbound.takes_more()
    }
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
        let terms = Terms::of(&connect);
        let mut pending = match self.consider(cx, &connect, terms) {
            Ok(pending) => pending,
            Err((code, why)) => return Flow::Close(terms.refuse(code, why)),
        };
        if let Some(method) = connect.properties.authentication_method() {
            let exchange = match Exchange::begin(cx, method, connect.user_name, None, 0) {
                Ok(exchange) => pending.exchange.insert(exchange),
                Err(denied) => return Flow::Close(terms.refuse_for(denied)),
            };
            let step = exchange.step(cx, connect.properties.authentication_data());
            self.state = State::AwaitAuthentication(Box::new(pending));
            return self.stepped(cx, step);
        }
        let attempt = Attempt {
            user: connect.user_name,
            password: connect.password,
            client: Some(&pending.client),
            peer: cx.peer,
            loopback: cx.loopback,
            secure: cx.secure,
        };
        match cx.auth.check(attempt, TICKET, cx.mailbox) {
            Some(answer) => self.admit(cx, pending, answer, None),
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
        terms: Terms,
    ) -> Result<PendingConnect, (ReasonCode, &'static str)> {
        let p = connect.properties;
        if self.config.server_moved && self.config.server_reference.is_some() {
            return Err((ReasonCode::ServerMoved, ""));
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
            terms,
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
            topic_alias_maximum: p.topic_alias_maximum().unwrap_or(0),
            response_information: p.request_response_information().unwrap_or(false),
            exchange: None,
            will: connect.will.as_ref().map(|will| core_will(&self.config, will)).transpose()?,
            will_signature: connect.will.as_ref().and_then(|will| signature_of(will, connect.version)),
            admitted: None,
            patience: None,
        })
    }

    /// The answer to a credential check has come.
    pub(super) fn authenticated<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        let mut pulled = Pulled::default();
        cx.mailbox.pull(&mut pulled);
        if let State::AwaitAuthentication(pending) = &mut self.state
            && let Some((principal, data)) = pending.admitted.take()
            && let State::AwaitAuthentication(pending) = std::mem::replace(&mut self.state, State::Closing)
            && let Flow::Close(farewell) = self.admit(cx, *pending, Ok(principal), data.as_deref())
        {
            return self.close(cx, farewell);
        }
        for notice in pulled.notices {
            let flow = match notice {
                Notice::Authenticated(TICKET, answer) => match std::mem::replace(&mut self.state, State::Closing) {
                    State::AwaitAuthentication(pending) => self.admit(cx, *pending, answer, None),
                    other => {
                        self.state = other;
                        Flow::Continue
                    }
                },
                Notice::Stepped(ticket, step) => self.heard_step(cx, ticket, step),
                Notice::Authenticated(..) | Notice::ConsumerActivated(_) | Notice::ConsumerCancelled(_) => {
                    Flow::Continue
                }
                Notice::TakenOver | Notice::Leave(_) => Flow::Close(Farewell::Silent),
                Notice::Kicked(_) => match &self.state {
                    State::AwaitAuthentication(pending) => Flow::Close(self.elsewhere(
                        pending.terms,
                        ReasonCode::ServerUnavailable,
                        "the server is going down",
                    )),
                    _ => Flow::Close(Farewell::Silent),
                },
            };
            if let Flow::Close(farewell) = flow {
                return self.close(cx, farewell);
            }
        }
    }

    /// Lets the client in, or not. `data` is what its method has left to say.
    pub(super) fn admit<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        mut pending: PendingConnect,
        answer: Result<Principal, Denied>,
        data: Option<&[u8]>,
    ) -> Flow {
        let terms = pending.terms;
        let principal = match answer {
            Ok(principal) => principal,
            Err(denied) => return Flow::Close(terms.refuse_for(denied)),
        };
        let principal = principal.on(&pending.client);
        match may_leave_will(cx, &principal, &pending) {
            Some(true) => {}
            Some(false) => return Flow::Close(terms.refuse(ReasonCode::NotAuthorized, "the will is not allowed")),
            None => {
                pending.admitted = Some((principal, data.map(Box::from)));
                self.state = State::AwaitAuthentication(Box::new(pending));
                return Flow::Continue;
            }
        }
        let vhost = cx.core.vhost();
        if !vhost.may_enter(&principal) {
            return Flow::Close(terms.refuse(ReasonCode::NotAuthorized, "the user may not use the vhost"));
        }
        let patience = *pending.patience.get_or_insert(cx.now.instant + PATIENCE);
        if cx.now.instant < patience && cx.core.ask_to_leave(vhost, &pending.client, cx.mailbox) {
            pending.admitted = Some((principal, data.map(Box::from)));
            self.state = State::AwaitAuthentication(Box::new(pending));
            return Flow::Continue;
        }
        let Ok(seat) = cx.core.take_seat(vhost, &principal.name, cx.mailbox) else {
            return Flow::Close(terms.refuse(ReasonCode::QuotaExceeded, "no further connection is taken"));
        };
        let opened = cx.core.open_session(
            cx.now,
            OpenSession {
                vhost: cx.core.vhost(),
                client: &pending.client,
                owner: &principal.name,
                clean_start: pending.clean_start,
                expiry: Expiry::from_secs(pending.session_expiry_secs),
                credit: pending.receive_maximum.min(OWN_IDENTIFIERS).into(),
                will: pending.will.clone(),
                mailbox: cx.mailbox,
            },
        );
        let opened = match opened {
            Ok(opened) => opened,
            Err(OpenRefused::Sessions) => {
                return Flow::Close(self.elsewhere(terms, ReasonCode::QuotaExceeded, "no further session is taken"));
            }
            Err(OpenRefused::StoreFull) => {
                return Flow::Close(terms.refuse(ReasonCode::ServerUnavailable, "the store takes nothing for now"));
            }
            Err(OpenRefused::SessionsOfUser) => {
                return Flow::Close(
                    terms.refuse(ReasonCode::QuotaExceeded, "no further session of this user is taken"),
                );
            }
        };
        self.connected(cx, &pending, principal, (opened, seat), data);
        Flow::Continue
    }

    fn connected<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        pending: &PendingConnect,
        principal: Principal,
        (opened, seat): (Opened, Seat),
        data: Option<&[u8]>,
    ) {
        let keep_alive_secs = match (self.config.keep_alive_max_secs, pending.keep_alive_secs) {
            (0, asked) => asked,
            (max, 0) => max,
            (max, asked) => asked.min(max),
        };
        let mut terms = self.terms(cx, pending, keep_alive_secs);
        if let Some(exchange) = &pending.exchange {
            // [MQTT-4.12.0-5]
            exchange.tell(Place::Connack, data, &mut terms);
        }
        let connack = Connack {
            session_present: opened.present,
            reason_code: ReasonCode::Success,
            properties: terms.as_properties(),
        };
        let mut bytes = BytesMut::new();
        // Our own terms are small; a client whose maximum they exceed cannot be spoken to.
        if connack.encode_within(pending.terms.version, pending.terms.packet_bytes_max, &mut bytes).is_err() {
            cx.close();
        }
        let opening = match opened.position.filter(|position| *position > cx.core.durable()) {
            Some(position) => {
                cx.core.wake_when_durable(position, cx.mailbox);
                Some(Box::new(Opening {
                    position,
                    connack: bytes,
                    deadline: cx.now.instant + self.config.connect_timeout,
                }))
            }
            None => {
                cx.out.tail().extend_from_slice(&bytes);
                None
            }
        };
        // Before MQTT 5 the client cannot be told, so it is held to what it said itself.
        let held_to = if pending.terms.version == Version::V5 { keep_alive_secs } else { pending.keep_alive_secs };
        introduce(cx, &opened, pending.terms.version, &principal, held_to);
        let resumed = Resumed::from_record(&opened.record);
        let rights = Rights::new(cx, &principal);
        if opened.present {
            // It may have been another's, or the rules may have been others.
            cx.core.keep_allowed(&opened.handle, &principal);
        }
        let publisher = Publisher::new(cx.core, principal, Some(&opened.handle)).asking(cx.mailbox);
        self.state = State::Connected(Box::new(Connected {
            version: pending.terms.version,
            publisher: if pending.terms.version == Version::V5 { publisher } else { publisher.without_refusals() },
            handle: opened.handle,
            _seat: seat,
            silence_max: (held_to > 0).then(|| Duration::from_millis(u64::from(held_to) * 1500)),
            last_input: cx.now.instant,
            packet_bytes_max: pending.terms.packet_bytes_max,
            receive_maximum: pending.receive_maximum.min(OWN_IDENTIFIERS),
            problem_information: pending.terms.problem_information,
            session_expiry_secs: pending.session_expiry_secs,
            rights,
            opening,
            inbound: Inbound::new(resumed.received, self.config.pending_bytes_high),
            outbound: Outbound::new(
                opened.joined,
                resumed.pubrec,
                pending.topic_alias_maximum.min(self.config.outbound_aliases_max),
            ),
            method: pending.exchange.as_ref().map(|exchange| exchange.method().into()),
            again: None,
            tickets: pending.exchange.as_ref().map_or(0, Exchange::ticket),
            auth_timeout: self.config.connect_timeout,
            pulled: Pulled::default(),
            successors: None,
        }));
    }

    /// A refusal for want of room: another server may have it, if we know of one.
    fn elsewhere(&self, terms: Terms, code: ReasonCode, why: &'static str) -> Farewell {
        match self.config.server_reference {
            Some(_) => terms.refuse(ReasonCode::UseAnotherServer, why),
            None => terms.refuse(code, why),
        }
    }

    /// What MQTT 5 tells the client about us; only what differs from the specification's default.
    fn terms<E: Engine>(&self, cx: &Context<'_, E>, pending: &PendingConnect, keep_alive_secs: u16) -> PropertiesBuf {
        let mut terms = PropertiesBuf::new();
        if pending.terms.version != Version::V5 {
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
        if pending.assigned {
            push(Property::AssignedClientIdentifier(&pending.client));
        }
        if keep_alive_secs != pending.keep_alive_secs {
            push(Property::ServerKeepAlive(keep_alive_secs));
        }
        // [MQTT-3.1.2-31] only to who asked for it.
        if pending.response_information
            && let Some(prefix) = &self.config.response_prefix
            && let Some(topic) = response_information(prefix, &pending.client)
        {
            push(Property::ResponseInformation(&topic));
        }
        terms
    }
}

/// Longest response information: more would crowd out the client's own topics.
const RESPONSE_INFORMATION_MAX: usize = 4096;

/// A part of the topic tree for one client's answers: the prefix, then the client's name as one level.
fn response_information(prefix: &str, client: &str) -> Option<String> {
    let level = Name::from_segments([client]).ok()?;
    let mut topic = format!("{prefix}/").into_bytes();
    mqtt::encode_name(&level, &mut topic).ok()?;
    String::from_utf8(topic).ok().filter(|topic| topic.len() <= RESPONSE_INFORMATION_MAX)
}

fn core_will(config: &Config, will: &Will<'_>) -> Result<CoreWill, (ReasonCode, &'static str)> {
    // [MQTT-3.2.2-12], [MQTT-3.2.2-13] a will is refused for what a PUBLISH would be refused for.
    if will.qos > config.qos_max {
        return Err((ReasonCode::QoSNotSupported, "the will's QoS is above our maximum"));
    }
    if will.retain && !config.retain_available {
        return Err((ReasonCode::RetainNotSupported, "messages cannot be retained here"));
    }
    if config.is_invalid_text(will.properties, will.payload) {
        return Err((ReasonCode::PayloadFormatInvalid, "the will's payload is not UTF-8"));
    }
    if will.retain && config.is_too_deep(will.topic) {
        return Err((ReasonCode::TopicNameInvalid, "the will is to be retained on a topic of too many levels"));
    }
    let address = mqtt::decode_name(will.topic).map_err(|_| (ReasonCode::TopicNameInvalid, "not a topic name"))?;
    if super::inbound::is_ours(&address) {
        return Err((ReasonCode::TopicNameInvalid, "the will's topic belongs to the server"));
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

/// Tells operators who is there.
fn introduce<E: Engine>(cx: &Context<'_, E>, opened: &Opened, version: Version, who: &Principal, heartbeat_secs: u16) {
    let mut conversation = Conversation::default();
    conversation.protocol = match version {
        Version::V31 => "MQTT 3.1",
        Version::V311 => "MQTT 3.1.1",
        Version::V5 => "MQTT 5.0",
    };
    conversation.user = who.name.clone();
    conversation.client = who.client_name().cloned().unwrap_or_default();
    conversation.vhost = opened.handle.session().vhost().name().clone();
    conversation.heartbeat_secs = heartbeat_secs;
    cx.mailbox.introduce(Arc::new(conversation));
}
