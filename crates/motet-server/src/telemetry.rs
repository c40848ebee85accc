//! Telemetry events are types: one struct emits the log line and moves the figure together.
//!
//! Payloads, passwords and tokens have no field here. What a stranger can cause at will is logged at most once a
//! second, with the number of those that were passed over.

use crate::rates::{SCOPES, Scope};
use motet_core::core::Refusal;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted for each protocol of a listener.
pub(crate) const PROTOCOLS: [&str; 7] = ["mqtt", "mqtts", "ws", "wss", "http", "amqp", "amqps"];

/// Classes of answers.
pub(crate) const ANSWERS: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// Figures of one protocol.
#[derive(Debug, Default)]
pub(crate) struct PerProtocol {
    pub(crate) connections: AtomicU64,
    pub(crate) connections_total: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
}

impl PerProtocol {
    pub(crate) fn enter(&self) {
        count(&self.connections);
        count(&self.connections_total);
    }

    pub(crate) fn leave(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counted as connected as long as it lives.
#[derive(Debug)]
pub(crate) struct Present<'a>(&'a PerProtocol);

impl<'a> Present<'a> {
    pub(crate) fn enter(figures: &'a PerProtocol) -> Self {
        figures.enter();
        Present(figures)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Figures of the server. Relaxed: they are sums, not synchronisation.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) protocols: [PerProtocol; PROTOCOLS.len()],
    pub(crate) refused_limit: AtomicU64,
    pub(crate) refused_per_address: AtomicU64,
    pub(crate) accept_errors: AtomicU64,
    pub(crate) handshake_failures: AtomicU64,
    pub(crate) client_certificates_refused: AtomicU64,
    pub(crate) certificate_reloads: AtomicU64,
    pub(crate) certificate_reloads_failed: AtomicU64,
    /// Connections ended because the client's certificate was revoked.
    pub(crate) client_certificates_revoked: AtomicU64,
    /// When the first certificate ends, in seconds since 1970; 0 where there is no TLS.
    pub(crate) certificate_expires: AtomicU64,
    pub(crate) unknown_first_bytes: AtomicU64,
    pub(crate) http_requests: AtomicU64,
    /// Requests of the management API by the class of their answer, in the order of [`ANSWERS`].
    pub(crate) management_requests: [AtomicU64; ANSWERS.len()],
    pub(crate) upgrades_refused: AtomicU64,
    pub(crate) carrier_failures: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) proxy_refused: AtomicU64,
    pub(crate) logins_refused: AtomicU64,
    /// Logins by protocol, in the order of [`PROTOCOLS`]: how many were accepted, how many refused.
    pub(crate) logins: [[AtomicU64; 2]; PROTOCOLS.len()],
    /// Pauses by the scope of the rate, in the order of [`crate::rates::SCOPES`].
    pub(crate) held_back: [AtomicU64; SCOPES.len()],
    quiet: Quiet,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    /// Somebody logged in over this protocol, or was refused.
    pub(crate) fn count_login(&self, protocol: &str, accepted: bool) {
        if let Some(at) = PROTOCOLS.iter().position(|known| *known == protocol) {
            count(&self.logins[at][usize::from(!accepted)]);
        }
    }
}

/// Lets one line a second through.
#[derive(Debug, Default)]
struct Quiet {
    /// Seconds since the epoch of the last line.
    last: AtomicU64,
    passed_over: AtomicU64,
}

impl Quiet {
    /// How many lines were passed over since the last one, if this one may be written.
    fn may_speak(&self) -> Option<u64> {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        let last = self.last.load(Ordering::Relaxed);
        let mine = now != last && self.last.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if mine {
            return Some(self.passed_over.swap(0, Ordering::Relaxed));
        }
        self.passed_over.fetch_add(1, Ordering::Relaxed);
        None
    }
}

/// Something that happened: counts itself and says so.
pub(crate) trait Event {
    fn emit(&self, counters: &Counters);
}

/// A connection was closed at a bound before anything was read from it.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) peer: SocketAddr,
    pub(crate) bound: Bound,
}

/// Which bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    Connections,
    PerAddress,
}

impl Event for Refused {
    fn emit(&self, counters: &Counters) {
        let (counter, key) = match self.bound {
            Bound::Connections => (&counters.refused_limit, "limits.connections"),
            Bound::PerAddress => (&counters.refused_per_address, "limits.connections_per_address"),
        };
        count(counter);
        if let Some(passed_over) = counters.quiet.may_speak() {
            tracing::warn!(peer = %self.peer, bound = key, passed_over, "connection refused at its bound");
        }
    }
}

/// Messages were not retained, because last values are at their bound. The core counts them.
#[derive(Debug)]
pub(crate) struct NotRetained {
    pub(crate) messages: u64,
}

impl Event for NotRetained {
    fn emit(&self, counters: &Counters) {
        if let Some(passed_over) = counters.quiet.may_speak() {
            tracing::warn!(
                messages = self.messages,
                bounds = "limits.retained_messages, limits.retained_bytes",
                passed_over,
                "messages were not retained at the bound"
            );
        }
    }
}

/// Somebody wanted what the access rules do not allow. The core counts it.
#[derive(Debug)]
pub(crate) struct AccessRefused<'a> {
    /// The latest.
    pub(crate) refusal: &'a Refusal,
    /// How many since the last line.
    pub(crate) count: u64,
}

impl Event for AccessRefused<'_> {
    fn emit(&self, counters: &Counters) {
        if let Some(passed_over) = counters.quiet.may_speak() {
            let Refusal { who, action, what, reason } = self.refusal;
            tracing::warn!(
                user = &*who.name,
                client = who.client(),
                action = action.word(),
                what,
                %reason,
                count = self.count,
                passed_over,
                "access was refused"
            );
        }
    }
}

/// Messages were dropped because a subscriber did not take them in time. The core counts them.
#[derive(Debug)]
pub(crate) struct SlowSubscriber {
    /// Its session's name, where it has one.
    pub(crate) client: Option<String>,
    /// Messages since the last line about it.
    pub(crate) dropped: u64,
    /// Bytes that wait for it.
    pub(crate) waiting: usize,
    /// Other subscribers of which the same could be said.
    pub(crate) more: u64,
}

impl Event for SlowSubscriber {
    fn emit(&self, _: &Counters) {
        let Self { client, dropped, waiting, more } = self;
        tracing::warn!(
            client,
            dropped,
            waiting_bytes = waiting,
            more,
            "a subscriber is too slow for what it asked for"
        );
    }
}

/// The system gave us no connection.
#[derive(Debug)]
pub(crate) struct AcceptFailed<'a> {
    pub(crate) error: &'a std::io::Error,
}

impl Event for AcceptFailed<'_> {
    fn emit(&self, counters: &Counters) {
        count(&counters.accept_errors);
        if let Some(passed_over) = counters.quiet.may_speak() {
            tracing::error!(error = %self.error, passed_over, "no connection accepted; is the limit of open files reached?");
        }
    }
}

/// A TLS or HTTP handshake came to nothing, or the first bytes were of no protocol we know.
pub(crate) struct HandshakeFailed<'a> {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) error: &'a dyn Display,
}

impl Event for HandshakeFailed<'_> {
    fn emit(&self, counters: &Counters) {
        count(&counters.handshake_failures);
        tracing::debug!(peer = self.peer.map(tracing::field::display), error = %self.error, "handshake failed");
    }
}

/// A client's certificate is not good, or there is none where one is required.
pub(crate) struct ClientRefused<'a> {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) error: &'a dyn Display,
}

impl Event for ClientRefused<'_> {
    fn emit(&self, counters: &Counters) {
        count(&counters.handshake_failures);
        count(&counters.client_certificates_refused);
        if let Some(passed_over) = counters.quiet.may_speak() {
            let peer = self.peer.map(tracing::field::display);
            tracing::warn!(peer, error = %self.error, passed_over, "client certificate refused");
        }
    }
}

/// Files of certificates have changed.
pub(crate) struct CertificatesRead<'a> {
    /// None when the new ones are good.
    pub(crate) error: Option<&'a dyn Display>,
    /// Connections whose client's certificate is revoked now.
    pub(crate) ended: usize,
}

impl Event for CertificatesRead<'_> {
    fn emit(&self, counters: &Counters) {
        match self.error {
            Some(error) => {
                count(&counters.certificate_reloads_failed);
                tracing::error!(%error, "certificates were not taken; the old ones hold");
            }
            None => {
                count(&counters.certificate_reloads);
                counters.client_certificates_revoked.fetch_add(self.ended as u64, Ordering::Relaxed);
                tracing::info!(ended = self.ended, "certificates were read again");
            }
        }
    }
}

/// The first bytes belong to no protocol that is served here.
#[derive(Debug)]
pub(crate) struct UnknownProtocol {
    pub(crate) peer: Option<SocketAddr>,
}

impl Event for UnknownProtocol {
    fn emit(&self, counters: &Counters) {
        count(&counters.unknown_first_bytes);
        tracing::debug!(
            peer = self.peer.map(tracing::field::display),
            "the first bytes are of no protocol served here"
        );
    }
}

/// A WebSocket handshake was answered with an error.
pub(crate) struct UpgradeRefused<'a> {
    pub(crate) reason: &'a dyn Display,
}

impl Event for UpgradeRefused<'_> {
    fn emit(&self, counters: &Counters) {
        count(&counters.upgrades_refused);
        tracing::debug!(reason = %self.reason, "WebSocket refused");
    }
}

/// Reading from or writing to a peer failed.
pub(crate) struct CarrierFailed<'a> {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) error: &'a dyn Display,
}

impl Event for CarrierFailed<'_> {
    fn emit(&self, counters: &Counters) {
        count(&counters.carrier_failures);
        tracing::debug!(peer = self.peer.map(tracing::field::display), error = %self.error, "carrier failed");
    }
}

/// A peer let one of the driver's deadlines pass.
#[derive(Debug)]
pub(crate) struct TimedOut {
    pub(crate) peer: Option<SocketAddr>,
    /// The configuration's name of the deadline.
    pub(crate) which: &'static str,
}

impl Event for TimedOut {
    fn emit(&self, counters: &Counters) {
        count(&counters.timeouts);
        tracing::debug!(peer = self.peer.map(tracing::field::display), which = self.which, "connection timed out");
    }
}

/// What should have been a PROXY header was none, or came from where none is believed.
pub(crate) struct ProxyRefused<'a> {
    /// The one who connected, proxy or not.
    pub(crate) peer: SocketAddr,
    pub(crate) why: &'a dyn Display,
}

impl Event for ProxyRefused<'_> {
    fn emit(&self, counters: &Counters) {
        count(&counters.proxy_refused);
        if let Some(passed_over) = counters.quiet.may_speak() {
            tracing::warn!(peer = %self.peer, why = %self.why, passed_over, "connection closed: no PROXY header to believe");
        }
    }
}

/// A client was told to come back later, because more log in per second than may.
#[derive(Debug)]
pub(crate) struct LoginRefused;

impl Event for LoginRefused {
    fn emit(&self, counters: &Counters) {
        count(&counters.logins_refused);
        if let Some(passed_over) = counters.quiet.may_speak() {
            tracing::warn!(bound = "limits.logins_per_second", passed_over, "a client was told to come back later");
        }
    }
}

/// A peer publishes faster than its rate and is not read from for a moment.
#[derive(Debug)]
pub(crate) struct HeldBack {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) scope: Scope,
}

impl Event for HeldBack {
    fn emit(&self, counters: &Counters) {
        count(&counters.held_back[self.scope as usize]);
        if let Some(passed_over) = counters.quiet.may_speak() {
            let (peer, scope) = (self.peer.map(tracing::field::display), SCOPES[self.scope as usize]);
            tracing::info!(peer, scope, passed_over, "a publisher is over its rate and is read from more slowly");
        }
    }
}

/// Our own bug closed a connection.
#[derive(Debug)]
pub(crate) struct Panicked<'a> {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) what: &'a str,
}

impl Event for Panicked<'_> {
    fn emit(&self, counters: &Counters) {
        count(&counters.panics);
        let peer = self.peer.map(tracing::field::display);
        tracing::error!(peer, what = self.what, "a connection panicked and was closed; please report this");
    }
}
