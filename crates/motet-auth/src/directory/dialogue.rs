//! Dialogues: SASL mechanisms over the accounts.

use super::check::{Reply, step};
use super::desk::Desk;
use super::scram::{Asker, Started};
use super::{Inner, identity, mechanisms};
use crate::sasl::scram::{Mechanism, ScramHash};
use crate::sasl::simple::{self, Login, Malformed};
use motet_core::machine::{Attempt, Dialogue, Opening, Secure, Step};
use motet_core::mailbox::Mailbox;
use motet_core::principal::{Denied, Principal};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a peer like this may begin, strongest first. AMQPLAIN is taken as well; it is no registered mechanism, so only
/// AMQP names it.
pub(super) fn methods(desk: &Desk, opening: &Opening<'_>) -> Vec<&'static str> {
    let accounts = desk.accounts();
    let mut methods = Vec::new();
    if acts_by_certificate(opening).is_some() {
        methods.push("EXTERNAL");
    }
    let guest_may = desk.guest_may(opening.loopback);
    let hashes = || ScramHash::ALL.into_iter().filter(|hash| accounts.offers(*hash, guest_may));
    if opening.secure.is_some_and(|secure| !secure.bindings.is_empty()) {
        methods.extend(hashes().map(|hash| mechanisms(hash).1));
    }
    methods.extend(hashes().map(|hash| mechanisms(hash).0));
    methods.push("PLAIN");
    if desk.admit_anonymous(opening.loopback).is_ok() {
        methods.push("ANONYMOUS");
    }
    methods
}

pub(super) fn begin(inner: &Arc<Inner>, method: &str, opening: &Opening<'_>) -> Result<Box<dyn Dialogue>, Denied> {
    if method != "AMQPLAIN" && !methods(&inner.desk, opening).contains(&method) {
        return Err(Denied::UnknownMethod);
    }
    let only = only(opening)?;
    if let Some(mechanism) = Mechanism::named(method) {
        let asker = Asker {
            mechanism,
            from: opening.peer.map(|peer| peer.ip()),
            guest_may: inner.desk.guest_may(opening.loopback),
            only,
            secure: opening.secure.cloned(),
        };
        return Ok(Box::new(Scram { inner: inner.clone(), asker, state: State::AwaitFirst }));
    }
    let read = match method {
        "EXTERNAL" => Simple::External,
        "ANONYMOUS" => Simple::Anonymous,
        "AMQPLAIN" => Simple::Password(simple::amqplain),
        _ => Simple::Password(simple::plain),
    };
    Ok(Box::new(OneMessage {
        inner: inner.clone(),
        mechanism: read,
        peer: opening.peer,
        loopback: opening.loopback,
        only,
        secure: opening.secure.cloned(),
    }))
}

/// The name that a certificate proves all by itself.
fn acts_by_certificate<'a>(opening: &Opening<'a>) -> Option<&'a Arc<str>> {
    identity(opening.secure).filter(|identity| !identity.password_needed).map(|identity| &identity.name)
}

/// The only user that this peer can be, where something says so: its certificate, the name its protocol carries beside
/// the method, or who it is already.
fn only(opening: &Opening<'_>) -> Result<Option<Arc<str>>, Denied> {
    let names = [
        identity(opening.secure).map(|identity| &*identity.name),
        opening.user.filter(|user| !user.is_empty()),
        opening.again.filter(|who| !who.is_anonymous()).map(|who| &*who.name),
    ];
    let mut names = names.into_iter().flatten();
    let first = names.next();
    if names.any(|other| Some(other) != first) { Err(Denied::BadCredentials) } else { Ok(first.map(Arc::from)) }
}

/// Of SCRAM.
struct Scram {
    inner: Arc<Inner>,
    asker: Asker,
    state: State,
}

enum State {
    AwaitFirst,
    AwaitFinal(Box<Started>),
    Over,
}

impl Dialogue for Scram {
    fn step(&mut self, response: Option<&[u8]>, _: u64, answer_to: &Arc<Mailbox>) -> Option<Step> {
        let desk = &self.inner.desk;
        let (answer, signature) = match (std::mem::replace(&mut self.state, State::Over), response) {
            // The client begins; whoever brings nothing is asked for it. [RFC 4422 §3.3]
            (State::AwaitFirst, None) => {
                self.state = State::AwaitFirst;
                return Some(Step::Challenge(Default::default()));
            }
            (State::AwaitFirst, Some(first)) => match desk.scram_begin(&self.asker, first, answer_to) {
                Ok((challenge, started)) => {
                    self.state = State::AwaitFinal(Box::new(started));
                    return Some(Step::Challenge(challenge.into()));
                }
                Err(denied) => (Err(denied), None),
            },
            (State::AwaitFinal(started), Some(last)) => desk.scram_finish(&self.asker, *started, last, answer_to),
            (State::AwaitFinal(_), None) | (State::Over, _) => (Err(Denied::Malformed), None),
        };
        desk.counters.count(&answer);
        Some(match answer {
            Ok(principal) => Step::Accepted { principal, data: signature.map(Into::into) },
            Err(denied) => Step::Denied(denied),
        })
    }
}

/// How the one message is read.
#[derive(Clone, Copy)]
enum Simple {
    Password(for<'m> fn(&'m [u8]) -> Result<Login<'m>, Malformed>),
    External,
    Anonymous,
}

/// Of a mechanism in which the client says one thing.
struct OneMessage {
    inner: Arc<Inner>,
    mechanism: Simple,
    peer: Option<SocketAddr>,
    loopback: bool,
    only: Option<Arc<str>>,
    secure: Option<Secure>,
}

impl OneMessage {
    /// None when the answer follows.
    fn decide(&self, message: &[u8], ticket: u64, mailbox: &Arc<Mailbox>) -> Option<Result<Principal, Denied>> {
        let malformed = |_| Some(Err(Denied::Malformed));
        match self.mechanism {
            Simple::Anonymous => match simple::anonymous(message) {
                Ok(_) => Some(self.inner.desk.admit_anonymous(self.loopback)),
                Err(error) => malformed(error),
            },
            Simple::External => match (simple::external(message), &self.only) {
                (Err(error), _) => malformed(error),
                (Ok(acts_as), Some(name)) if acts_as.is_empty() || acts_as == &**name => {
                    Some(Ok(Principal::named(name)))
                }
                (Ok(_), _) => Some(Err(Denied::BadCredentials)),
            },
            Simple::Password(read) => match read(message) {
                Ok(login) => self.check(&login, ticket, mailbox),
                Err(error) => malformed(error),
            },
        }
    }

    fn check(&self, login: &Login<'_>, ticket: u64, mailbox: &Arc<Mailbox>) -> Option<Result<Principal, Denied>> {
        let another = self.only.as_ref().is_some_and(|only| **only != *login.user);
        if another || !login.acts_as_itself() {
            return Some(Err(Denied::BadCredentials));
        }
        let attempt = Attempt {
            user: Some(login.user),
            password: Some(login.password),
            client: None,
            peer: self.peer,
            loopback: self.loopback,
            secure: self.secure.as_ref(),
        };
        self.inner.decide(attempt, mailbox, |to| Reply::Stepped(ticket, to))
    }
}

impl Dialogue for OneMessage {
    fn step(&mut self, response: Option<&[u8]>, ticket: u64, answer_to: &Arc<Mailbox>) -> Option<Step> {
        let Some(message) = response else { return Some(Step::Challenge(Default::default())) };
        let answer = self.decide(message, ticket, answer_to)?;
        self.inner.desk.counters.count(&answer);
        Some(step(answer))
    }
}

impl fmt::Debug for Scram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scram").field("mechanism", &self.asker.mechanism).finish_non_exhaustive()
    }
}

impl fmt::Debug for OneMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneMessage").field("peer", &self.peer).finish_non_exhaustive()
    }
}
