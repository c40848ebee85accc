//! From the protocol header to connection.open-ok: who, on which terms, in which vhost.

use super::Flow;
use super::close;
use super::running::{Running, Terms};
use crate::v091::config::Config;
use crate::v091::error::{Failure, ReplyCode};
use crate::v091::mapping;
use crate::v091::packet::{
    FRAME_MIN_SIZE, FieldTable, FieldValue, Frame, FrameKind, LongString, Method, MethodId, Reserved, TableBuf,
    connection, put_method, snippet,
};
use motet_core::authentication::{Attempt, Dialogue, Opening, Step};
use motet_core::conversation::Conversation;
use motet_core::core::govern::{NoSeat, Seat};
use motet_core::core::{Core, Publisher, Vhost};
use motet_core::engine::Engine;
use motet_core::machine::Context;
use motet_core::mailbox::{Notice, Pulled};
use motet_core::message::Value;
use motet_core::principal::{Denied, Principal};
use motet_core::time::Instant;
use std::sync::Arc;

/// Tickets of credential checks; only one is under way at a time.
pub(super) const TICKET: u64 = 1;

/// A client on its way in.
#[derive(Debug)]
pub(super) struct Handshake {
    await_: Await,
    pub(super) deadline: Instant,
    capabilities: Capabilities,
    /// As the client named it, for the text of a refusal.
    mechanism: String,
    /// What the client says of itself, for operators.
    client_properties: Vec<(Box<str>, Value)>,
    dialogue: Option<Box<dyn Dialogue>>,
    principal: Option<Principal>,
    terms: Terms,
    vhost: Option<Arc<Vhost>>,
    /// The connection counts for its vhost and its user.
    seat: Option<Seat>,
}

/// What is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Await {
    StartOk,
    SecureOk,
    /// The client has heard our proof and says so.
    LastSecureOk,
    /// The answer to a credential check; nothing is read meanwhile.
    Verdict,
    TuneOk,
    Open,
}

/// What the client says it can be told.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Capabilities {
    pub(super) consumer_cancel_notify: bool,
    pub(super) connection_blocked: bool,
    pub(super) authentication_failure_close: bool,
}

impl Capabilities {
    fn of(client_properties: FieldTable<'_>) -> Self {
        let Some(FieldValue::Table(table)) = client_properties.get("capabilities") else { return Self::default() };
        let has = |name: &str| table.get(name) == Some(FieldValue::Bool(true));
        Capabilities {
            consumer_cancel_notify: has("consumer_cancel_notify"),
            connection_blocked: has("connection.blocked"),
            authentication_failure_close: has("authentication_failure_close"),
        }
    }
}

/// What clients look for before they use an extension.
const CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

fn server_properties(config: &Config) -> TableBuf {
    let mut capabilities = TableBuf::new();
    CAPABILITIES.iter().for_each(|name| capabilities.push(name, FieldValue::Bool(true)));
    let mut table = TableBuf::new();
    table.push("capabilities", FieldValue::Table(capabilities.as_table()));
    table.push("product", FieldValue::Text(config.product.as_bytes()));
    table.push("version", FieldValue::Text(config.version.as_bytes()));
    table.push("platform", FieldValue::Text(b"Rust"));
    table.push("information", FieldValue::Text(b"AMQP 0-9-1 with RabbitMQ's extensions"));
    table
}

fn opening<'a, E: Engine>(cx: &Context<'a, E>) -> Opening<'a> {
    Opening { user: None, peer: cx.peer, loopback: cx.loopback, secure: cx.secure, again: None }
}

/// What this crate checks by name and password; others are methods of the authenticator.
const OWN_MECHANISMS: [&str; 2] = ["PLAIN", "AMQPLAIN"];

impl Handshake {
    /// Answers the protocol header with connection.start.
    pub(super) fn begin<E: Engine>(config: &Config, cx: &mut Context<'_, E>) -> Self {
        let mut mechanisms: Vec<&str> = cx.auth.methods(opening(cx));
        mechanisms.retain(|name| !OWN_MECHANISMS.contains(name));
        mechanisms.splice(0..0, OWN_MECHANISMS);
        let (properties, mechanisms) = (server_properties(config), mechanisms.join(" "));
        let start = connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: properties.as_table(),
            mechanisms: LongString(mechanisms.as_bytes()),
            locales: LongString(b"en_US"),
        };
        put_method(cx.out.tail(), 0, &start);
        Handshake {
            await_: Await::StartOk,
            deadline: cx.now.instant + config.connect_timeout,
            capabilities: Capabilities::default(),
            mechanism: String::new(),
            client_properties: Vec::new(),
            dialogue: None,
            principal: None,
            terms: Terms::default(),
            vhost: None,
            seat: None,
        }
    }

    pub(super) fn takes_input(&self) -> bool {
        self.await_ != Await::Verdict
    }

    /// Nothing has been heard that shows an AMQP client.
    pub(super) fn knows_nothing(&self) -> bool {
        self.mechanism.is_empty()
    }

    pub(super) fn frame<E: Engine>(
        &mut self,
        config: &Config,
        cx: &mut Context<'_, E>,
        frame: Frame<'_>,
    ) -> Result<Flow, Failure> {
        match FrameKind::from_wire(frame.kind) {
            Some(FrameKind::Heartbeat) if frame.channel == 0 && frame.payload.is_empty() => return Ok(Flow::Continue),
            Some(FrameKind::Method) if frame.channel == 0 => {}
            Some(_) => {
                let text = format!("type {}, {}", frame.kind, snippet(frame.payload));
                return Err(Failure::new(ReplyCode::UnexpectedFrame, text));
            }
            None => {
                let text = format!("type {}, {}: unknown_frame", frame.kind, snippet(frame.payload));
                return Err(Failure::new(ReplyCode::FrameError, text));
            }
        }
        let id = MethodId::peek(frame.payload)?;
        let Method::Connection(method) = Method::decode(frame.payload).map_err(|error| Failure::from(error).by(id))?
        else {
            return Err(self.unexpected(id));
        };
        let flow = match (self.await_, method) {
            (Await::StartOk, connection::Method::StartOk(start_ok)) => self.start_ok(config, cx, start_ok),
            (Await::SecureOk, connection::Method::SecureOk(ok)) => self.respond(config, cx, Some(ok.response.0)),
            (Await::LastSecureOk, connection::Method::SecureOk(_)) => {
                let principal = self.principal.take().expect("it was decided before our proof was sent");
                Ok(self.accepted(config, cx, principal))
            }
            (Await::TuneOk, connection::Method::TuneOk(tune_ok)) => self.tune_ok(config, tune_ok),
            (Await::Open, connection::Method::Open(open)) => self.open_vhost(cx, open),
            (_, connection::Method::Close(_)) => {
                put_method(cx.out.tail(), 0, &connection::CloseOk {});
                Ok(Flow::Ended)
            }
            _ => Err(self.unexpected(id)),
        };
        // RabbitMQ blames no method for a login that was wrong.
        let blames = |failure: &Failure| failure.method == MethodId::NONE && failure.code != ReplyCode::AccessRefused;
        flow.map_err(|failure| if blames(&failure) { failure.by(id) } else { failure })
    }

    fn unexpected(&self, id: MethodId) -> Failure {
        let state = match self.await_ {
            Await::StartOk => "starting",
            Await::SecureOk | Await::LastSecureOk | Await::Verdict => "securing",
            Await::TuneOk => "tuning",
            Await::Open => "opening",
        };
        let text = format!("unexpected method in connection state {state}");
        Failure::new(ReplyCode::ChannelError, text).by(id)
    }

    fn start_ok<E: Engine>(
        &mut self,
        config: &Config,
        cx: &mut Context<'_, E>,
        start_ok: connection::StartOk<'_>,
    ) -> Result<Flow, Failure> {
        self.capabilities = Capabilities::of(start_ok.client_properties);
        start_ok.mechanism.clone_into(&mut self.mechanism);
        self.client_properties = told(start_ok.client_properties);
        let response = start_ok.response.0;
        let (user, password) = match start_ok.mechanism {
            "PLAIN" => plain(response)?.ok_or_else(|| self.denied(Denied::BadCredentials))?,
            "AMQPLAIN" => amqplain(response)?,
            mechanism => {
                self.dialogue = Some(cx.auth.begin(mechanism, opening(cx)).map_err(|denied| self.denied(denied))?);
                return self.respond(config, cx, Some(response));
            }
        };
        let user = std::str::from_utf8(user).map_err(|_| self.denied(Denied::BadCredentials))?;
        let attempt = Attempt {
            user: Some(user),
            password: Some(password),
            client: None,
            peer: cx.peer,
            loopback: cx.loopback,
            secure: cx.secure,
        };
        match cx.auth.check(attempt, TICKET, cx.mailbox) {
            Some(Ok(principal)) => Ok(self.accepted(config, cx, principal)),
            Some(Err(denied)) => Err(self.denied(denied)),
            None => {
                self.await_ = Await::Verdict;
                Ok(Flow::Continue)
            }
        }
    }

    /// Hands the client's word to the dialogue.
    fn respond<E: Engine>(
        &mut self,
        config: &Config,
        cx: &mut Context<'_, E>,
        response: Option<&[u8]>,
    ) -> Result<Flow, Failure> {
        let dialogue = self.dialogue.as_mut().expect("a dialogue is under way when its next word is awaited");
        match dialogue.step(response, TICKET, cx.mailbox) {
            Some(step) => self.step(config, cx, step),
            None => {
                self.await_ = Await::Verdict;
                Ok(Flow::Continue)
            }
        }
    }

    fn step<E: Engine>(&mut self, config: &Config, cx: &mut Context<'_, E>, step: Step) -> Result<Flow, Failure> {
        match step {
            Step::Challenge(challenge) => {
                put_method(cx.out.tail(), 0, &connection::Secure { challenge: LongString(&challenge) });
                self.await_ = Await::SecureOk;
                Ok(Flow::Continue)
            }
            Step::Accepted { principal, data: None } => Ok(self.accepted(config, cx, principal)),
            // AMQP has no place for data beside a success: it goes as a challenge that wants an empty answer [RFC5802-5].
            Step::Accepted { principal, data: Some(data) } => {
                put_method(cx.out.tail(), 0, &connection::Secure { challenge: LongString(&data) });
                (self.principal, self.await_) = (Some(principal), Await::LastSecureOk);
                Ok(Flow::Continue)
            }
            Step::Denied(denied) => Err(self.denied(denied)),
        }
    }

    fn denied(&self, denied: Denied) -> Failure {
        match denied {
            Denied::UnknownMethod => Failure::new(
                ReplyCode::CommandInvalid,
                format!("unknown authentication mechanism '{}'", self.mechanism),
            ),
            _ => Failure::new(
                ReplyCode::AccessRefused,
                format!(
                    "Login was refused using authentication mechanism {}. For details see the broker logfile.",
                    self.mechanism
                ),
            )
            .ending_connection(),
        }
    }

    /// Whether the client wants to hear of this failure. A client without the capability takes any answer to a wrong
    /// password for a broken connection, so it is only left.
    pub(super) fn hears(&self, failure: &Failure) -> bool {
        match failure.code {
            ReplyCode::AccessRefused => self.capabilities.authentication_failure_close,
            _ => !self.knows_nothing(),
        }
    }

    fn accepted<E: Engine>(&mut self, config: &Config, cx: &mut Context<'_, E>, principal: Principal) -> Flow {
        (self.principal, self.dialogue, self.await_) = (Some(principal), None, Await::TuneOk);
        let tune = connection::Tune {
            channel_max: config.channels_max,
            frame_max: config.frame_bytes_max,
            heartbeat: config.heartbeat_secs,
        };
        put_method(cx.out.tail(), 0, &tune);
        Flow::Continue
    }

    /// The terms that hold are the client's, within ours.
    fn tune_ok(&mut self, config: &Config, tune_ok: connection::TuneOk) -> Result<Flow, Failure> {
        let frame_max = config.frame_bytes_max;
        negotiated("frame_max", tune_ok.frame_max, FRAME_MIN_SIZE, frame_max)?;
        negotiated("channel_max", tune_ok.channel_max.into(), 1, config.channels_max.into())?;
        self.terms =
            Terms { frame_max: tune_ok.frame_max, channel_max: tune_ok.channel_max, heartbeat_secs: tune_ok.heartbeat };
        self.await_ = Await::Open;
        Ok(Flow::Continue)
    }

    fn open_vhost<E: Engine>(&mut self, cx: &mut Context<'_, E>, open: connection::Open<'_>) -> Result<Flow, Failure> {
        let name = open.virtual_host;
        let Some(vhost) = cx.core.find_vhost(name) else {
            return Err(Failure::new(ReplyCode::NotAllowed, format!("vhost {name} not found")));
        };
        let principal = self.principal.as_ref().expect("a vhost is opened by whom was accepted");
        let user = &principal.name;
        let seat = cx.core.take_seat(&vhost, user, cx.mailbox).map_err(|refused| {
            let text = match refused {
                NoSeat::Vhost(limit) => {
                    format!("access to vhost '{name}' refused for user '{user}': connection limit ({limit}) is reached")
                }
                NoSeat::User(limit) => {
                    format!("connection refused for user '{user}': user connection limit ({limit}) is reached")
                }
            };
            Failure::new(ReplyCode::NotAllowed, text)
        })?;
        if !vhost.may_enter(principal) {
            let text = format!("access to vhost '{name}' refused for user '{user}'");
            return Err(Failure::new(ReplyCode::NotAllowed, text));
        }
        // Whoever deletes the vhost now finds the seat.
        if vhost.is_deleted() {
            return Err(Failure::new(ReplyCode::NotAllowed, format!("vhost {name} not found")));
        }
        (self.vhost, self.seat) = (Some(vhost), Some(seat));
        put_method(cx.out.tail(), 0, &connection::OpenOk { reserved_1: Reserved::NONE });
        Ok(Flow::Opened)
    }

    /// The answer to a credential check, or an order, has come.
    pub(super) fn answered<E: Engine>(&mut self, config: &Config, cx: &mut Context<'_, E>) -> Result<Flow, Failure> {
        let mut pulled = Pulled::default();
        cx.mailbox.pull(&mut pulled);
        for notice in pulled.notices {
            let flow = match notice {
                Notice::Kicked(reason) => return Err(close::kicked(reason, None)),
                Notice::Authenticated(TICKET, answer) if self.await_ == Await::Verdict => match answer {
                    Ok(principal) => Ok(self.accepted(config, cx, principal)),
                    Err(denied) => Err(self.denied(denied)),
                },
                Notice::Stepped(TICKET, step) if self.await_ == Await::Verdict => self.step(config, cx, step),
                _ => Ok(Flow::Continue),
            };
            if flow != Ok(Flow::Continue) {
                return flow;
            }
        }
        Ok(Flow::Continue)
    }

    /// The connection that this was the beginning of.
    pub(super) fn open<E: Engine>(self, config: &Config, cx: &Context<'_, E>) -> Running {
        let principal = self.principal.expect("a vhost is opened by whom was accepted");
        let vhost = self.vhost.expect("the handshake ends when its vhost is open");
        let seat = self.seat.expect("a vhost is opened with a seat");
        let core: &Core<E> = cx.core;
        let mut conversation = Conversation::default();
        conversation.protocol = "AMQP 0-9-1";
        conversation.user = principal.name.clone();
        conversation.vhost = vhost.name().clone();
        conversation.books = Some(vhost.books().clone());
        conversation.mechanism = mechanism(&self.mechanism);
        conversation.frame_bytes_max = self.terms.frame_max;
        conversation.channels_max = self.terms.channel_max;
        conversation.heartbeat_secs = self.terms.heartbeat_secs;
        conversation.client_properties = self.client_properties;
        let conversation = Arc::new(conversation);
        cx.mailbox.introduce(conversation.clone());
        let publisher = Publisher::new(core, principal, None).in_vhost(&vhost).asking(cx.mailbox);
        let pending_bytes_high = config.pending_bytes_high;
        let known = (conversation, seat);
        Running::new(pending_bytes_high, self.terms, self.capabilities, vhost, publisher, known, cx.now)
    }
}

/// Fields of a table that are kept for operators, and bytes of the longest text among them.
const TOLD_MAX: usize = 32;
const TOLD_TEXT_BYTES_MAX: usize = 256;

/// What of a table is kept for operators, as long as the connection lives: not what is long.
pub(super) fn told(table: FieldTable<'_>) -> Vec<(Box<str>, Value)> {
    let is_short = |value: &Value| match value {
        Value::Text(text) => text.len() <= TOLD_TEXT_BYTES_MAX,
        Value::Bytes(_) | Value::List(_) => false,
        Value::Table(fields) => {
            fields.len() <= TOLD_MAX && fields.iter().all(|(_, value)| matches!(value, Value::Bool(_)))
        }
        _ => true,
    };
    let fields = mapping::fields(table).filter(|(name, value)| name.len() <= TOLD_TEXT_BYTES_MAX && is_short(value));
    fields.take(TOLD_MAX).map(|(name, value)| (name.into(), value)).collect()
}

/// A mechanism's name for as long as the process lives.
fn mechanism(name: &str) -> &'static str {
    let known = ["PLAIN", "AMQPLAIN", "EXTERNAL", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];
    known.into_iter().find(|known| *known == name).unwrap_or("SASL")
}

/// The client's value of a term, within ours.
fn negotiated(term: &str, value: u32, min: u32, max: u32) -> Result<(), Failure> {
    let (how, which, bound) = match value {
        // Zero asks for no bound at all.
        0 => ("higher", "maximum", max),
        value if value < min => ("lower", "minimum", min),
        value if value > max => ("higher", "maximum", max),
        _ => return Ok(()),
    };
    let detail = if value == 0 { " (no limit)" } else { "" };
    let text = format!("negotiated {term} = {value}{detail} is {how} than the {which} allowed value ({bound})");
    Err(Failure::new(ReplyCode::NotAllowed, text).by(MethodId::of::<connection::Tune>()))
}

/// A user and a password.
type Login<'a> = (&'a [u8], &'a [u8]);

/// RFC 4616: an identity to act as, a user, a password, with NUL between. `None`: nobody acts as somebody else here.
fn plain(response: &[u8]) -> Result<Option<Login<'_>>, Failure> {
    let mut parts = response.splitn(3, |byte| *byte == 0);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(other), Some(user), Some(_)) if !other.is_empty() && other != user => Ok(None),
        (Some(_), Some(user), Some(password)) => Ok(Some((user, password))),
        _ => Err(Failure::new(ReplyCode::SyntaxError, "response invalid for mechanism PLAIN")),
    }
}

/// A field table without its length, with `LOGIN` and `PASSWORD`.
fn amqplain(response: &[u8]) -> Result<Login<'_>, Failure> {
    let table = FieldTable::check(response)?;
    match (table.get("LOGIN"), table.get("PASSWORD")) {
        (Some(FieldValue::Text(user)), Some(FieldValue::Text(password))) => Ok((user, password)),
        _ => Err(Failure::new(ReplyCode::SyntaxError, "AMQPLAIN auth info is missing LOGIN or PASSWORD field")),
    }
}
