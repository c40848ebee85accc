//! Hashes of Mosquitto's and RabbitMQ's kinds are replaced by ours when their password is next seen: they are quick to guess
//! against, and no good to SCRAM.
//!
//! ```text
//!   verifying thread ── right, and foreign ──(bounded)──▶ this thread: hash anew ─▶ journal ─▶ directory
//! ```
//! The login is not held up, and what does not fit waits for the next one.

use super::Users;
use crate::error::ServerError;
use motet_auth::{Outdated, record};
use motet_core::core::RegistryKind;
use motet_core::engine::Engine;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

/// Logins that wait to be hashed anew.
const WAITING_MAX: usize = 256;

impl<E: Engine> Users<E> {
    /// From now on. The thread ends with the accounts, which it does not keep alive.
    pub(crate) fn renew_foreign(self: &Arc<Self>) -> Result<(), ServerError> {
        let (found, waiting) = sync_channel::<Outdated>(WAITING_MAX);
        let users = Arc::downgrade(self);
        let work = move || {
            while let Ok(outdated) = waiting.recv() {
                let Some(users) = users.upgrade() else { return };
                users.renew(&outdated);
            }
        };
        let thread = std::thread::Builder::new().name("motet-rehash".into());
        thread.spawn(work).map_err(ServerError::System)?;
        self.directory.on_outdated(move |outdated| drop(found.try_send(outdated)));
        Ok(())
    }

    fn renew(&self, outdated: &Outdated) {
        let Outdated { user, password, stored: former } = outdated;
        // Nothing is lost where it cannot be done: the former hash holds.
        let Some(Ok(stored)) = std::str::from_utf8(password).ok().map(|password| self.make(password, None)) else {
            return;
        };
        let _turn = self.turn.lock();
        if self.directory.stored(user).as_ref() != Some(former) {
            return;
        }
        let Some(record) = record::encode(&stored, self.directory.tags(user, false)) else { return };
        // Not waited for: after a power cut the former hash is there, and is replaced once more.
        if self.core.registry_put(RegistryKind::ACCOUNT, user.as_bytes(), &record).is_err() {
            return;
        }
        let (from, to) = (former.kind(), stored.kind());
        if self.directory.renew(user, former, stored) {
            tracing::info!(%user, from, to, "the hash of a password was replaced");
        }
    }
}
