//! Who is asked who a peer is: at once by name and password, or in steps by a method.
//!
//! ```text
//!  peer ── method, first response ─▶ machine ── begin ─▶ Authenticator ─▶ Dialogue
//!  peer ◀─ challenge ── machine ◀── Step::Challenge ──┬── step(response) at once
//!  peer ── response ──▶ machine ── step ─▶ Dialogue ──┴── or Notice::Stepped(ticket, …) later
//!  peer ◀─ final data ─ machine ◀── Step::Accepted(principal, data)
//! ```
//! The same for MQTT AUTH [MQTT5 4.12] and for SASL in AMQP and XMPP [RFC 4422]: only how the bytes are framed differs.
//! Implemented by `motet-auth`; here so that machines need not know how.

use crate::mailbox::Mailbox;
use crate::principal::{Denied, Principal};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;

/// Checks credentials.
pub trait Authenticator: Send + Sync {
    /// Decides at once, or later by [`crate::mailbox::Notice::Authenticated`] to `answer_to` with `ticket`.
    fn check(&self, attempt: Attempt<'_>, ticket: u64, answer_to: &Arc<Mailbox>) -> Option<Result<Principal, Denied>>;

    /// The methods that [`Authenticator::begin`] takes from a peer like this, strongest first, spelled as their
    /// specifications have them (`SCRAM-SHA-256`, `PLAIN`). Empty where peers can only be checked by [`Authenticator::check`].
    fn methods(&self, opening: Opening<'_>) -> Vec<&'static str> {
        let _ = opening;
        Vec::new()
    }

    /// Begins a dialogue by `method`, compared byte by byte. The peer's first response, if it sent one, is given to the
    /// first [`Dialogue::step`].
    ///
    /// # Errors
    /// [`Denied::UnknownMethod`] for a method that is not offered to this peer, [`Denied::Busy`] for one that has
    /// failed too often.
    fn begin(&self, method: &str, opening: Opening<'_>) -> Result<Box<dyn Dialogue>, Denied> {
        let _ = (method, opening);
        Err(Denied::UnknownMethod)
    }
}

/// A peer and us, in the middle of an authentication. Dropping it ends it without an answer, which counts as nothing.
pub trait Dialogue: Send + std::fmt::Debug {
    /// Takes what the peer said; `None` when it began without a first response, which is not the same as an empty one.
    ///
    /// Answers at once, or returns `None` and answers later by [`crate::mailbox::Notice::Stepped`] to `answer_to` with
    /// `ticket`. Until then, and after [`Step::Accepted`] or [`Step::Denied`], it must not be called. Everything is told
    /// from `response`: nothing of it is kept by reference.
    fn step(&mut self, response: Option<&[u8]>, ticket: u64, answer_to: &Arc<Mailbox>) -> Option<Step>;
}

/// What a dialogue says.
#[derive(Clone, PartialEq, Eq)]
pub enum Step {
    /// To be sent to the peer, whose response goes to the next [`Dialogue::step`]. Possibly empty.
    Challenge(Bytes),
    /// The peer is who it says.
    Accepted {
        /// Who it is.
        principal: Principal,
        /// To be sent along with the success, where the method has something left to say (SCRAM: the server's signature).
        data: Option<Bytes>,
    },
    /// It is not, or has broken the method's rules.
    Denied(Denied),
}

/// Neither challenges nor signatures reach a log.
impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::Challenge(_) => f.write_str("Challenge"),
            Step::Accepted { principal, .. } => f.debug_tuple("Accepted").field(principal).finish(),
            Step::Denied(denied) => f.debug_tuple("Denied").field(denied).finish(),
        }
    }
}

/// Credentials as the peer gave them.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// User name, if any was given.
    pub user: Option<&'a str>,
    /// Password, if any was given; bytes, as MQTT has it.
    pub password: Option<&'a [u8]>,
    /// What the peer calls itself, where its protocol has such a name (MQTT's client identifier).
    pub client: Option<&'a str>,
    /// Where from.
    pub peer: Option<SocketAddr>,
    /// The listener is bound to loopback.
    pub loopback: bool,
    /// What the carrier's encryption knows; `None` on a carrier in the clear.
    pub secure: Option<&'a Secure>,
}

/// A password never reaches a log.
impl std::fmt::Debug for Attempt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("user", &self.user).field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// The peer that begins a dialogue.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// A user name that the protocol carries beside the method (MQTT's CONNECT); the method may ask that it be the same.
    pub user: Option<&'a str>,
    /// Where from.
    pub peer: Option<SocketAddr>,
    /// The listener is bound to loopback.
    pub loopback: bool,
    /// What the carrier's encryption knows; `None` on a carrier in the clear.
    pub secure: Option<&'a Secure>,
    /// Set when a live connection authenticates again: who it is so far. The machine refuses a different principal
    /// itself; a method may refuse earlier.
    pub again: Option<&'a Principal>,
}

/// What an encrypted carrier knows of its peer and of itself. Made once per connection, by whoever did the handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secure {
    /// The peer's certificate (DER), verified by the handshake; `None` when it showed none.
    pub certificate: Option<Bytes>,
    /// Who the certificate says the peer is; `None` when it showed none, or the listener makes no user of it.
    pub identity: Option<Identity>,
    /// Channel bindings that the carrier can vouch for, by their registered names without prefix (`tls-exporter`,
    /// `tls-server-end-point`).
    pub bindings: Vec<(&'static str, Bytes)>,
}

/// Who a certificate says its holder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user, made of the certificate by the listener's template.
    pub name: Arc<str>,
    /// The certificate alone is not enough: the user's password is needed as well.
    pub password_needed: bool,
}

impl Secure {
    /// The data of a channel binding, if the carrier has it.
    pub fn binding(&self, name: &str) -> Option<&Bytes> {
        self.bindings.iter().find(|(known, _)| *known == name).map(|(_, data)| data)
    }
}
