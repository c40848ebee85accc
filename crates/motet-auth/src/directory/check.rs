//! The life of one login: remembered, quick, or slow on a thread of the pool.

use super::Counters;
use crate::accounts::{Account, Accounts, USER_BYTES_MAX};
use crate::cache::Cache;
use crate::config::AuthConfig;
use crate::guard::Guard;
use crate::mac::{Digest, Keyed};
use crate::password::{PASSWORD_BYTES_MAX, StoredPassword};
use motet_core::mailbox::{Mailbox, Notice};
use motet_core::principal::{Denied, Principal};
use motet_core::time::Instant;
use parking_lot::{Mutex, RwLock};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

type Answer = Result<Principal, Denied>;

/// What stands for a login in the tables: nothing that tells the user or the password.
#[derive(Clone, Copy)]
pub(super) struct Login {
    user: Digest,
    user_and_password: Digest,
    from: Option<IpAddr>,
}

struct Memory {
    cache: Cache,
    guard: Guard,
}

/// What the callers and the threads share. Where both locks are taken, `accounts` comes first.
pub(super) struct Desk {
    pub(super) config: AuthConfig,
    pub(super) counters: Counters,
    now: Box<dyn Fn() -> Instant + Send + Sync>,
    mac: Keyed,
    accounts: RwLock<Arc<Accounts>>,
    memory: Mutex<Memory>,
}

impl Desk {
    pub(super) fn new(
        config: AuthConfig,
        accounts: Accounts,
        now: Box<dyn Fn() -> Instant + Send + Sync>,
    ) -> Result<Self, getrandom::Error> {
        let memory = Memory { cache: Cache::new(config.cache_entries, config.cache_ttl), guard: Guard::new(&config) };
        Ok(Desk {
            counters: Counters::default(),
            now,
            mac: Keyed::random()?,
            accounts: RwLock::new(Arc::new(accounts)),
            memory: Mutex::new(memory),
            config,
        })
    }

    pub(super) fn knows(&self, user: &str) -> bool {
        self.accounts.read().get(user).is_some()
    }

    /// Nobody can log in here.
    pub(super) fn has_no_accounts(&self) -> bool {
        self.accounts.read().is_empty()
    }

    /// The answer where it takes microseconds; otherwise what [`Check::new`] needs.
    pub(super) fn at_once(&self, user: &str, password: &[u8], from: Option<IpAddr>) -> Result<Answer, Login> {
        if user.len() > USER_BYTES_MAX || password.len() > PASSWORD_BYTES_MAX {
            return Ok(Err(Denied::BadCredentials));
        }
        let login = Login {
            user: self.mac.digest(&[user.as_bytes()]),
            user_and_password: self.mac.digest(&[user.as_bytes(), password]),
            from,
        };
        if let Some(answer) = self.recall(&login) {
            return Ok(answer);
        }
        let accounts = self.accounts.read().clone();
        let account = accounts.get(user);
        match account.map(|account| &account.stored) {
            Some(StoredPassword::Keyed(hash)) if hash.verify(password) => Ok(self.settle(&login, user, account, true)),
            // Where some "no" takes long, every "no" has to.
            _ if accounts.is_slow() => Err(login),
            _ => Ok(self.settle(&login, user, account, false)),
        }
    }

    /// What is known without verifying. The order matters:
    /// 1. from an address that waits nothing is answered, not even what is remembered, or it could go on guessing;
    /// 2. a login known to be wrong teaches the peer nothing new, so it neither counts nor waits;
    /// 3. for a user that waits nothing is answered, unless the right login comes from where it last came from: others
    ///    cannot keep a user out of where he already was. Loopback is excepted, as a proxy there is everybody.
    fn recall(&self, login: &Login) -> Option<Answer> {
        let now = (self.now)();
        let Memory { cache, guard } = &mut *self.memory.lock();
        let key = &login.user_and_password;
        if guard.address_waits(login.from, now) {
            return Some(Err(Denied::Busy));
        }
        if cache.is_refused(key, now) {
            return Some(Err(Denied::BadCredentials));
        }
        if guard.user_waits(&login.user, now) {
            let at_home = login.from.filter(|from| !from.to_canonical().is_loopback());
            if !at_home.is_some_and(|from| cache.was_accepted_from(key, from, now)) {
                return Some(Err(Denied::Busy));
            }
        }
        cache.accepted(key, login.from, now).map(Ok)
    }

    /// Remembers and answers what a verification against `account` found.
    fn settle(&self, login: &Login, user: &str, account: Option<&Arc<Account>>, right: bool) -> Answer {
        let now = (self.now)();
        // Held to the end: a reload waits, so that nothing outdated is remembered behind its back.
        let accounts = self.accounts.read();
        if accounts.get(user).map(Arc::as_ptr) != account.map(Arc::as_ptr) {
            return Err(Denied::Busy);
        }
        let mut memory = self.memory.lock();
        match account {
            Some(account) if right => {
                memory.cache.accept(login.user_and_password, account.clone(), login.from, now);
                Ok(account.principal.clone())
            }
            _ => {
                memory.cache.refuse(login.user_and_password, now);
                memory.guard.failed(login.from, &login.user, now);
                Err(Denied::BadCredentials)
            }
        }
    }

    /// Carries out a slow verification, on a thread of the pool.
    pub(super) fn run(&self, check: Check) {
        if check.is_abandoned() {
            return;
        }
        // Much may have been learnt while this one waited: the same login verified, or the peer found guessing.
        let answer = self.recall(&check.login).unwrap_or_else(|| self.verify(&check));
        self.counters.count(&answer);
        check.answer(answer);
    }

    fn verify(&self, check: &Check) -> Answer {
        let accounts = self.accounts.read().clone();
        let account = accounts.get(&check.user);
        let right = accounts.verify(account.map(|account| &**account), &check.password);
        self.counters.verified.fetch_add(1, Ordering::Relaxed);
        self.settle(&check.login, &check.user, account, right)
    }

    pub(super) fn reload(&self, mut accounts: Accounts) {
        let mut current = self.accounts.write();
        accounts.adopt_unchanged(&current);
        let changed =
            accounts.names().filter(|name| current.get(name).map(Arc::as_ptr) != accounts.get(name).map(Arc::as_ptr));
        let mut memory = self.memory.lock();
        memory.cache.keep_only(&accounts);
        for name in changed {
            memory.guard.forget_user(&self.mac.digest(&[name.as_bytes()]));
        }
        drop(memory);
        *current = Arc::new(accounts);
    }
}

/// A login that waits for a thread. Every one is answered: when dropped unanswered, with "busy".
pub(super) struct Check {
    login: Login,
    user: Box<str>,
    password: Box<[u8]>,
    ticket: u64,
    /// None once answered.
    answer_to: Option<Arc<Mailbox>>,
}

impl Check {
    pub(super) fn new(login: Login, user: &str, password: &[u8], ticket: u64, answer_to: Arc<Mailbox>) -> Self {
        Check { login, user: user.into(), password: password.into(), ticket, answer_to: Some(answer_to) }
    }

    /// Nobody but us holds the mailbox any more: the peer has gone, and learns nothing.
    fn is_abandoned(&self) -> bool {
        self.answer_to.as_ref().is_none_or(|mailbox| Arc::strong_count(mailbox) == 1)
    }

    /// Gives up the ticket: it is answered some other way.
    pub(super) fn withdraw(mut self) {
        self.answer_to = None;
    }

    fn answer(mut self, answer: Answer) {
        self.notify(answer);
    }

    fn notify(&mut self, answer: Answer) {
        if let Some(mailbox) = self.answer_to.take() {
            mailbox.notify(Notice::Authenticated(self.ticket, answer));
        }
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        self.notify(Err(Denied::Busy));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_verified_against_an_account_that_changed_meanwhile_is_neither_told_nor_remembered() {
        let with = |password: &[u8]| {
            let mut accounts = Accounts::new();
            accounts.add("alice", StoredPassword::from_plain(password).unwrap()).unwrap();
            accounts
        };
        let desk = Desk::new(AuthConfig::default(), with(b"old"), Box::new(|| Instant::START)).unwrap();
        let former = desk.accounts.read().clone();
        let key = desk.mac.digest(&[b"alice", b"old"]);
        let login = Login { user: desk.mac.digest(&[b"alice"]), user_and_password: key, from: None };
        desk.reload(with(b"new"));
        assert_eq!(desk.settle(&login, "alice", former.get("alice"), true), Err(Denied::Busy));
        assert_eq!(desk.settle(&login, "alice", None, false), Err(Denied::Busy));
        assert_eq!(desk.recall(&login), None);
    }
}
