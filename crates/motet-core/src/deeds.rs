//! What peers have made, changed and removed, for whoever keeps a record of it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::OnceLock;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed<'a> {
    /// In the words of the peer's protocol: `queue.declare`.
    pub action: &'static str,
    /// What became of it.
    pub outcome: DeedOutcome,
    /// Whose it is; empty for an anonymous peer.
    pub user: &'a str,
    /// From where, when the carrier has an address.
    pub peer: Option<SocketAddr>,
    /// The vhost it happened in.
    pub vhost: &'a str,
    /// The name of what was made, or of both ends: `exchange -> queue (key)`.
    pub what: &'a str,
}

/// What became of a deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeedOutcome {
    /// It is so now.
    Done,
    /// The peer may not.
    Refused,
    /// It cannot be.
    Failed,
}

type Report = Box<dyn Fn(&Deed<'_>) + Send + Sync>;

/// Who is told of deeds: nobody, until somebody wants to be.
#[derive(Default)]
pub struct Deeds(OnceLock<Report>);

impl Deeds {
    /// From now on `report` is called with each, on the thread of the peer's connection: it must not wait. Once.
    pub fn report_to(&self, report: impl Fn(&Deed<'_>) + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(report));
    }

    /// Nobody wants to know: then a peer's machine need not find out what to say.
    pub fn are_unheard(&self) -> bool {
        self.0.get().is_none()
    }

    /// Tells whoever wants to know.
    pub fn tell(&self, deed: &Deed<'_>) {
        if let Some(report) = self.0.get() {
            report(deed);
        }
    }
}

impl fmt::Debug for Deeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Deeds").field(&!self.are_unheard()).finish()
    }
}
