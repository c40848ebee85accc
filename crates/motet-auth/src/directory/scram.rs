//! SCRAM over the accounts: who has no keys gets a challenge all the same, and it is the same after a restart.

use super::desk::{Answer, Desk, Login};
use crate::accounts::Account;
use crate::sasl::scram::{Binding, ClientFirst, Exchange, Mechanism, ScramError, ScramKeys};
use motet_core::machine::Secure;
use motet_core::mailbox::Mailbox;
use motet_core::principal::Denied;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of the salt that a client without an account is told: as many as new accounts have.
const SALT_BYTES: usize = 16;
/// Bytes of our nonce before it is written in hexadecimal.
const NONCE_BYTES: usize = 16;

/// An exchange that waits for the client's proof.
pub(super) struct Started {
    exchange: Exchange,
    login: Login,
    user: Box<str>,
    /// None where there is no account, or one without keys of this kind: then no proof is right.
    account: Option<Arc<Account>>,
    has_keys: bool,
}

/// Who asks, as far as SCRAM wants to know.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) mechanism: Mechanism,
    pub(super) from: Option<IpAddr>,
    pub(super) guest_may: bool,
    /// Set where it can only be this one.
    pub(super) only: Option<Arc<str>>,
    pub(super) secure: Option<Secure>,
}

impl Asker {
    fn binding(&self) -> Option<Binding<'_>> {
        let data = |name| self.secure.as_ref().and_then(|secure| secure.binding(name)).map(|data| &**data);
        self.secure
            .as_ref()
            .map(|_| Binding { tls_exporter: data("tls-exporter"), tls_server_end_point: data("tls-server-end-point") })
    }
}

impl Desk {
    /// Reads the client's first message and answers with a challenge.
    pub(super) fn scram_begin(
        &self,
        asker: &Asker,
        message: &[u8],
        mailbox: &Arc<Mailbox>,
    ) -> Result<(String, Started), Denied> {
        // What protocols offer is theirs to say; none of them tells us, so the client's "y" is believed.
        let first = ClientFirst::read(asker.mechanism, message, false).map_err(|_| Denied::Malformed)?;
        let user: Box<str> = first.user().into();
        if asker.only.as_ref().is_some_and(|only| **only != *user) {
            return Err(Denied::BadCredentials);
        }
        let login = Login {
            user: self.mac.digest(&[user.as_bytes()]),
            key: self.mac.digest(&[b"", b"SCRAM", user.as_bytes()]),
            from: asker.from,
            guest_may: asker.guest_may,
            tells_password: false,
        };
        if let Some(Err(denied)) = self.recall(&login, mailbox) {
            return Err(denied);
        }
        let accounts = self.accounts();
        let account = accounts.find(&user, asker.guest_may).cloned();
        let (keys, has_keys) = self.keys(&first, account.as_deref());
        let (server_first, exchange) = first.challenge(keys, &self.nonce());
        Ok((server_first, Started { exchange, login, user, account, has_keys }))
    }

    /// Checks the client's proof; the text is our own.
    pub(super) fn scram_finish(
        &self,
        asker: &Asker,
        started: Started,
        message: &[u8],
        mailbox: &Arc<Mailbox>,
    ) -> (Answer, Option<String>) {
        let Started { exchange, login, user, account, has_keys } = started;
        // Others may have failed in the meantime: who begins many at once is not checked many times.
        if let Some(Err(denied)) = self.recall(&login, mailbox) {
            return (Err(denied), None);
        }
        let (right, signature) = match exchange.finish(message, asker.binding()) {
            Ok(signature) => (has_keys, Some(signature)),
            Err(ScramError::Proof) => (false, None),
            Err(_) => return (Err(Denied::Malformed), None),
        };
        let answer = self.settle(&login, &user, account.as_ref(), right, mailbox);
        let signature = signature.filter(|_| answer.is_ok());
        (answer, signature)
    }

    /// The account's keys, or such as no password has. The salt of the latter, and of passwords in plain text, is made
    /// of the name by a key that outlives a restart.
    fn keys(&self, first: &ClientFirst, account: Option<&Account>) -> (ScramKeys, bool) {
        let hash = first.hash();
        let made = self.salts.digest(&[b"salt", hash.mechanism().as_bytes(), first.user().as_bytes()]);
        let salt = &made[..SALT_BYTES];
        // Made in any case, so that it takes the same time.
        let noise = self.salts.digest(&[b"keys", hash.mechanism().as_bytes(), first.user().as_bytes()]);
        let iterations = self.config.read().scram_iterations;
        let decoy = ScramKeys::decoy(hash, &noise, salt, iterations);
        match account.and_then(|account| account.stored.scram(hash, salt, iterations)) {
            Some(keys) => (keys, true),
            None => (decoy, false),
        }
    }

    /// Unpredictable, because only we have the key, and never the same, because we count.
    fn nonce(&self) -> String {
        let number = self.exchanges.fetch_add(1, Ordering::Relaxed);
        let digest = self.mac.digest(&[b"", b"nonce", &number.to_be_bytes()]);
        digest[..NONCE_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
