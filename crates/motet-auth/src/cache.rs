//! Logins whose answer is known: a reconnect storm costs microseconds, and so does a device that insists on a wrong
//! password. Entries are found by a keyed digest; no password is kept.

use crate::accounts::{Account, Accounts};
use crate::generations::Generations;
use crate::mac::Digest;
use motet_core::principal::Principal;
use motet_core::time::Instant;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

struct Accepted {
    account: Arc<Account>,
    /// Where it was last let in from.
    seen_at: Option<IpAddr>,
    until: Instant,
}

pub(crate) struct Cache {
    accepted: Generations<Digest, Accepted>,
    /// Until when each is known to be wrong.
    refused: Generations<Digest, Instant>,
    ttl: Duration,
}

impl Cache {
    pub(crate) fn new(entries_max: usize, ttl: Duration) -> Self {
        Cache { accepted: Generations::new(entries_max), refused: Generations::new(entries_max), ttl }
    }

    /// For what is remembered from now on.
    pub(crate) fn set_ttl(&mut self, ttl: Duration) {
        self.ttl = ttl;
    }

    /// Remembers a login just verified.
    pub(crate) fn accept(&mut self, login: Digest, account: Arc<Account>, from: Option<IpAddr>, now: Instant) {
        self.accepted.insert(login, Accepted { account, seen_at: from, until: now + self.ttl });
    }

    /// Remembers a login just found wrong.
    pub(crate) fn refuse(&mut self, login: Digest, now: Instant) {
        self.refused.insert(login, now + self.ttl);
    }

    /// This login is known to be right and was last let in from this very address.
    pub(crate) fn was_accepted_from(&self, login: &Digest, from: IpAddr, now: Instant) -> bool {
        self.accepted.peek(login).is_some_and(|known| known.until > now && known.seen_at == Some(from))
    }

    /// Who this login is, when known; remembers where it came from.
    pub(crate) fn accepted(&mut self, login: &Digest, from: Option<IpAddr>, now: Instant) -> Option<Principal> {
        // The time to live is not prolonged by use: every login is verified anew now and then.
        let known = self.accepted.get_mut(login).filter(|known| known.until > now)?;
        known.seen_at = from;
        Some(known.account.principal.clone())
    }

    /// This login is known to be wrong.
    pub(crate) fn is_refused(&mut self, login: &Digest, now: Instant) -> bool {
        self.refused.get_mut(login).is_some_and(|until| *until > now)
    }

    /// Drops what `accounts` made untrue. Any refusal may have become right, so all of them go.
    pub(crate) fn keep_only(&mut self, accounts: &Accounts) {
        self.accepted.retain(|known| {
            accounts.get(&known.account.principal.name).is_some_and(|account| Arc::ptr_eq(account, &known.account))
        });
        self.refused.clear();
    }
}
