//! What the log tells of a connection at the levels `debug` and `trace`: who, and how much; never what.

use super::{Carrier, Connection};
use crate::telemetry::PROTOCOLS;
use motet_core::engine::Engine;
use motet_core::machine::CloseCause;

impl<C: Carrier, E: Engine> Connection<C, E> {
    pub(super) fn log_begin(&self) {
        let (number, protocol) = (self.handle.id, PROTOCOLS[self.arrival.protocol]);
        tracing::debug!(number, protocol, peer = ?self.arrival.peer, "connection begins");
    }

    /// Who it is, once that is known.
    pub(super) fn log_login(&self) {
        let user =
            self.machine.as_ref().and_then(|machine| machine.principal()).map_or("", |principal| &principal.name);
        let client = self.handle.mailbox.conversation().map(|conversation| &*conversation.client).unwrap_or_default();
        tracing::debug!(number = self.handle.id, user, client, "logged in");
    }

    pub(super) fn log_end(&self, cause: CloseCause) {
        let messages = self.machine.as_ref().map_or(0, |machine| machine.messages_in());
        tracing::debug!(number = self.handle.id, cause = ?cause, messages, "connection ends");
    }

    pub(super) fn log_read(&self, bytes: usize) {
        tracing::trace!(number = self.handle.id, bytes, "read");
    }

    pub(super) fn log_written(&self, bytes: usize) {
        tracing::trace!(number = self.handle.id, bytes, "written");
    }
}
