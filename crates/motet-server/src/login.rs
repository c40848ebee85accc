//! A connection until it is known who it is: its turn among those that log in, and who is told to come back later.
//!
//! ```text
//!   machine ── check, begin ──▶ Login ──┬─ refused at a bound ──▶ Denied::Quota           the protocol's own
//!                                       ├─ too many a second ───▶ Denied::RateExceeded    "come back later"
//!                                       └─ else ────────────────▶ who checks credentials
//! ```
//! Every protocol asks the [`Authenticator`] before it lets anybody in, so this is the one place where a storm of
//! connections is answered, and each protocol answers it in its own words.

use crate::audit;
use crate::house::House;
use crate::telemetry::{Event, LoginRefused};
use motet_core::engine::Engine;
use motet_core::machine::{Attempt, Authenticator, Dialogue, Opening};
use motet_core::mailbox::Mailbox;
use motet_core::principal::{Denied, Principal};
use motet_core::time::Instant;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// See the module's documentation. Gone as soon as the connection is logged in.
pub(crate) struct Login<E: Engine> {
    house: Arc<House<E>>,
    /// Its turn. None after `by`.
    turn: Mutex<Option<OwnedSemaphorePermit>>,
    /// When the turn ends whatever happened: a machine that never says who it is must not keep it.
    pub(crate) by: Option<Instant>,
    /// A bound was reached before it came: it is served only to be told so.
    refused: bool,
    attempt: Mutex<Tried>,
}

/// What was tried so far.
#[derive(Debug, Default)]
struct Tried {
    tried: bool,
    user: Option<Box<str>>,
    denied: Option<Denied>,
}

impl<E: Engine> Login<E> {
    pub(crate) fn new(house: &Arc<House<E>>, turn: Option<OwnedSemaphorePermit>, refused: bool) -> Box<Self> {
        let by = house.clock.now().instant + house.limits().connect_timeout;
        let (turn, attempt) = (Mutex::new(turn), Mutex::default());
        Box::new(Login { house: house.clone(), turn, by: Some(by), refused, attempt })
    }

    /// The turn is over, though nobody knows who it is.
    pub(crate) fn end_turn(&mut self) {
        self.turn.get_mut().take();
        self.by = None;
    }

    /// It is known who it is.
    pub(crate) fn succeeded(&self, principal: &Principal, peer: Option<SocketAddr>, protocol: &'static str) {
        let user = (!principal.is_anonymous()).then_some(&*principal.name);
        self.house.counters.count_login(protocol, true);
        self.house.audit.record(&audit::Login { outcome: "accepted", user, peer, protocol, reason: None });
    }

    /// The connection is over before that.
    pub(crate) fn gave_up(&self, peer: Option<SocketAddr>, protocol: &'static str) {
        let tried = self.attempt.lock();
        if tried.tried {
            self.house.counters.count_login(protocol, false);
            let reason = tried.denied.map(|denied| denied.to_string());
            let (user, reason) = (tried.user.as_deref(), reason.as_deref());
            self.house.audit.record(&audit::Login { outcome: "refused", user, peer, protocol, reason });
        }
    }

    /// Notes who tries, and says no at once where a bound is reached.
    fn try_for(&self, user: Option<&str>) -> Result<(), Denied> {
        let denied = if self.refused {
            Some(Denied::Quota)
        } else if !self.house.logins.take(self.house.limits().logins_per_second, self.house.clock.now().instant) {
            LoginRefused.emit(&self.house.counters);
            Some(Denied::RateExceeded)
        } else {
            None
        };
        *self.attempt.lock() = Tried { tried: true, user: user.map(Into::into), denied };
        denied.map_or(Ok(()), Err)
    }

    fn note<T>(&self, answer: Result<T, Denied>) -> Result<T, Denied> {
        if let Err(denied) = &answer {
            self.attempt.lock().denied = Some(*denied);
        }
        answer
    }
}

impl<E: Engine> Authenticator for Login<E> {
    fn check(&self, attempt: Attempt<'_>, ticket: u64, answer_to: &Arc<Mailbox>) -> Option<Result<Principal, Denied>> {
        if let Err(denied) = self.try_for(attempt.user) {
            return Some(Err(denied));
        }
        self.house.auth.check(attempt, ticket, answer_to).map(|answer| self.note(answer))
    }

    fn methods(&self, opening: Opening<'_>) -> Vec<&'static str> {
        self.house.auth.methods(opening)
    }

    fn begin(&self, method: &str, opening: Opening<'_>) -> Result<Box<dyn Dialogue>, Denied> {
        self.try_for(opening.user)?;
        self.note(self.house.auth.begin(method, opening))
    }
}
