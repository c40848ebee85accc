//! Certificates that clients have shown, as long as their connections last: when the revocation lists are read again,
//! whoever is on one of them is told to go.
//!
//! ```text
//!  handshake ─▶ Shown ──▶ table of its listener ◀── lists are read again: verify, mark as revoked
//!                └──▶ connection ─▶ mailbox known? ─▶ told to go, by whoever comes second
//! ```

use motet_core::machine::Secure;
use motet_core::mailbox::{KickReason, Mailbox, Notice};
use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// Below so many entries nothing is swept.
const SWEEP_LEAST: usize = 64;

/// What one handshake has shown.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) secure: Secure,
    /// The client's own certificate, then those of its issuers; empty when it showed none.
    chain: Vec<CertificateDer<'static>>,
    /// Set once it has a machine.
    mailbox: OnceLock<Weak<Mailbox>>,
    revoked: AtomicBool,
}

impl Shown {
    pub(super) fn new(secure: Secure, chain: Vec<CertificateDer<'static>>) -> Self {
        Shown { secure, chain, mailbox: OnceLock::new(), revoked: AtomicBool::new(false) }
    }

    /// Who showed it is at the other end of `mailbox`.
    pub(crate) fn talks_by(&self, mailbox: &Arc<Mailbox>) {
        let _ = self.mailbox.set(Arc::downgrade(mailbox));
        if self.is_revoked() {
            self.tell();
        }
    }

    /// It was good when it came, and is not any more.
    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::SeqCst)
    }

    fn tell(&self) {
        if let Some(mailbox) = self.mailbox.get().and_then(Weak::upgrade) {
            mailbox.notify(Notice::Kicked(KickReason::CertificateRevoked));
        }
    }

    /// True when it is revoked and nobody knew.
    pub(super) fn look(&self, verifier: &dyn ClientCertVerifier) -> bool {
        let Some((own, issuers)) = self.chain.split_first() else { return false };
        let verified = verifier.verify_client_cert(own, issuers, UnixTime::now());
        // Whoever is no longer good for another reason, or whose list is out of date, stays: only a list that names a
        // certificate says that its holder must go.
        if !matches!(verified, Err(Error::InvalidCertificate(CertificateError::Revoked))) {
            return false;
        }
        if self.revoked.swap(true, Ordering::SeqCst) {
            return false;
        }
        let user = self.secure.identity.as_ref().map(|identity| &*identity.name);
        tracing::warn!(user, "a client's certificate is revoked: its connection is ended");
        self.tell();
        true
    }
}

/// What the clients of a listener have shown. Holds nothing alive.
#[derive(Debug, Default)]
pub(super) struct Present(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    shown: Vec<Weak<Shown>>,
    sweep_at: usize,
}

impl Present {
    pub(super) fn enter(&self, shown: &Arc<Shown>) {
        if shown.chain.is_empty() {
            return;
        }
        let mut state = self.0.lock();
        if state.shown.len() >= state.sweep_at.max(SWEEP_LEAST) {
            state.shown.retain(|shown| shown.strong_count() > 0);
            state.sweep_at = state.shown.len() * 2;
        }
        state.shown.push(Arc::downgrade(shown));
    }

    /// Looks at all of them; how many were ended.
    pub(super) fn look(&self, verifier: &dyn ClientCertVerifier) -> usize {
        let shown: Vec<_> = self.0.lock().shown.iter().filter_map(Weak::upgrade).collect();
        shown.iter().filter(|shown| shown.look(verifier)).count()
    }
}
