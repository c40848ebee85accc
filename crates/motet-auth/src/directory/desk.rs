//! What the callers and the threads share: accounts, memory of logins, the rules.

use super::check::Check;
use super::{Counters, Found, Outdated};
use crate::accounts::{Account, Accounts, Origin, USER_BYTES_MAX};
use crate::cache::Cache;
use crate::config::{Anonymous, AuthConfig};
use crate::guard::{Ban, Guard};
use crate::mac::{Digest, Keyed};
use crate::password::{PASSWORD_BYTES_MAX, StoredPassword};
use crate::present::{Present, put_out};
use motet_core::mailbox::Mailbox;
use motet_core::principal::{Denied, Principal};
use motet_core::time::Instant;
use parking_lot::{Mutex, RwLock};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

pub(super) type Answer = Result<Principal, Denied>;

/// What stands for a login in the tables: nothing that tells the user or the password.
#[derive(Clone, Copy)]
pub(super) struct Login {
    pub(super) user: Digest,
    /// Of user and password; where no password is seen, of the user and the way it came.
    pub(super) key: Digest,
    pub(super) from: Option<IpAddr>,
    /// Guest is an account here as long as there is no other.
    pub(super) guest_may: bool,
    /// The key stands for one password, so what is known of it may be answered again.
    pub(super) tells_password: bool,
}

struct Memory {
    cache: Cache,
    guard: Guard,
    present: Present,
}

/// See the module's documentation. Where both locks are taken, `accounts` comes first.
pub(super) struct Desk {
    pub(super) config: RwLock<AuthConfig>,
    pub(super) counters: Counters,
    now: Box<dyn Fn() -> Instant + Send + Sync>,
    pub(super) mac: Keyed,
    /// Makes what clients without an account are told.
    pub(super) salts: Keyed,
    /// So that no nonce is used twice.
    pub(super) exchanges: AtomicU64,
    accounts: RwLock<Arc<Accounts>>,
    memory: Mutex<Memory>,
    /// Who is told of hashes that could be replaced.
    pub(super) outdated: OnceLock<Found>,
}

impl Desk {
    pub(super) fn new(
        config: AuthConfig,
        accounts: Accounts,
        now: Box<dyn Fn() -> Instant + Send + Sync>,
    ) -> Result<Self, getrandom::Error> {
        let cache = Cache::new(config.cache_entries, config.cache_ttl);
        let memory = Memory { cache, guard: Guard::new(&config), present: Present::default() };
        Ok(Desk {
            counters: Counters::default(),
            now,
            mac: Keyed::random()?,
            salts: config.salt_key.map_or_else(Keyed::random, |key| Ok(Keyed::from_key(&key.0)))?,
            exchanges: AtomicU64::new(0),
            accounts: RwLock::new(Arc::new(accounts.with_guest())),
            memory: Mutex::new(memory),
            outdated: OnceLock::new(),
            config: RwLock::new(config),
        })
    }

    pub(super) fn accounts(&self) -> Arc<Accounts> {
        self.accounts.read().clone()
    }

    /// Nobody can log in here.
    pub(super) fn has_no_accounts(&self) -> bool {
        self.accounts.read().is_empty()
    }

    /// Whether guest may come by such a listener, as long as there is nobody else: only this machine reaches it, and
    /// nobody said that everybody needs an account.
    pub(super) fn guest_may(&self, loopback: bool) -> bool {
        loopback && self.config.read().anonymous != Anonymous::Never
    }

    pub(super) fn admit_anonymous(&self, loopback: bool) -> Answer {
        match self.config.read().anonymous {
            Anonymous::Always => Ok(Principal::anonymous()),
            Anonymous::Loopback if loopback => Ok(Principal::anonymous()),
            Anonymous::Loopback | Anonymous::Never => Err(Denied::AnonymousForbidden),
        }
    }

    /// Guest comes with its own name and password, where it may and nobody has taken its name.
    pub(super) fn is_guest(&self, user: Option<&str>, password: Option<&[u8]>, loopback: bool) -> bool {
        let accounts = self.accounts.read();
        (user, password) == (Some("guest"), Some(b"guest"))
            && self.guest_may(loopback)
            && accounts.has_guest()
            && accounts.stored("guest").is_none()
    }

    /// Lets guest in, until the first account is made.
    pub(super) fn admit_guest(&self, mailbox: &Arc<Mailbox>) -> Answer {
        let guest = Principal::named("guest");
        self.memory.lock().present.enter(&guest.name, mailbox);
        Ok(guest)
    }

    /// The answer where it takes microseconds; otherwise what [`Check::new`] needs.
    pub(super) fn at_once(
        &self,
        user: &str,
        password: &[u8],
        from: Option<IpAddr>,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Answer, Login> {
        if user.len() > USER_BYTES_MAX || password.len() > PASSWORD_BYTES_MAX {
            return Ok(Err(Denied::BadCredentials));
        }
        let login = Login {
            user: self.mac.digest(&[user.as_bytes()]),
            key: self.mac.digest(&[user.as_bytes(), password]),
            from,
            guest_may: false,
            tells_password: true,
        };
        if let Some(answer) = self.recall(&login, mailbox) {
            return Ok(answer);
        }
        let accounts = self.accounts();
        let account = accounts.get(user);
        match account.map(|account| &account.stored) {
            Some(StoredPassword::Keyed(hash)) if hash.verify(password) => {
                Ok(self.settle(&login, user, account, true, mailbox))
            }
            // Where some "no" takes long, every "no" has to.
            _ if accounts.is_slow() => Err(login),
            _ => Ok(self.settle(&login, user, account, false, mailbox)),
        }
    }

    /// What is known without verifying. The order matters:
    /// 1. from an address that waits nothing is answered, not even what is remembered, or it could go on guessing;
    /// 2. a login known to be wrong teaches the peer nothing new, so it neither counts nor waits;
    /// 3. for a user that waits nothing is answered, unless the right login comes from where it last came from: others
    ///    cannot keep a user out of where he already was. Loopback is excepted, as a proxy there is everybody.
    pub(super) fn recall(&self, login: &Login, mailbox: &Arc<Mailbox>) -> Option<Answer> {
        let now = (self.now)();
        let Memory { cache, guard, present } = &mut *self.memory.lock();
        if guard.address_waits(login.from, now) {
            self.counters.waiting.fetch_add(1, Ordering::Relaxed);
            return Some(Err(Denied::Busy));
        }
        if login.tells_password && cache.is_refused(&login.key, now) {
            self.counters.remembered.fetch_add(1, Ordering::Relaxed);
            return Some(Err(Denied::BadCredentials));
        }
        if guard.user_waits(&login.user, now) {
            let at_home = login.from.filter(|from| !from.to_canonical().is_loopback());
            if !at_home.is_some_and(|from| cache.was_accepted_from(&login.key, from, now)) {
                self.counters.waiting.fetch_add(1, Ordering::Relaxed);
                return Some(Err(Denied::Busy));
            }
        }
        if !login.tells_password {
            return None;
        }
        let principal = cache.accepted(&login.key, login.from, now)?;
        present.enter(&principal.name, mailbox);
        self.counters.remembered.fetch_add(1, Ordering::Relaxed);
        Some(Ok(principal))
    }

    /// Remembers and answers what a verification against `account` found.
    pub(super) fn settle(
        &self,
        login: &Login,
        user: &str,
        account: Option<&Arc<Account>>,
        right: bool,
        mailbox: &Arc<Mailbox>,
    ) -> Answer {
        let now = (self.now)();
        // Held to the end: a reload waits, so that nothing outdated is remembered behind its back.
        let accounts = self.accounts.read();
        if accounts.find(user, login.guest_may).map(Arc::as_ptr) != account.map(Arc::as_ptr) {
            return Err(Denied::Busy);
        }
        let Memory { cache, guard, present } = &mut *self.memory.lock();
        match account {
            Some(account) if right => {
                cache.accept(login.key, account.clone(), login.from, now);
                present.enter(&account.principal.name, mailbox);
                Ok(account.principal.clone())
            }
            _ => {
                if login.tells_password {
                    cache.refuse(login.key, now);
                }
                if guard.failed(login.from, &login.user, now) {
                    self.counters.bans.fetch_add(1, Ordering::Relaxed);
                }
                Err(Denied::BadCredentials)
            }
        }
    }

    /// See [`Guard::bans`].
    pub(super) fn bans(&self) -> Vec<Ban> {
        self.memory.lock().guard.bans((self.now)())
    }

    /// See [`Guard::lift`].
    pub(super) fn lift(&self, from: IpAddr) -> bool {
        self.memory.lock().guard.lift(from, (self.now)())
    }

    /// Carries out a slow verification, on a thread of the pool.
    pub(super) fn run(&self, check: Check) {
        if check.is_abandoned() {
            return;
        }
        // Much may have been learnt while this one waited: the same login verified, or the peer found guessing.
        let answer = self.recall(&check.login, check.mailbox()).unwrap_or_else(|| self.verify(&check));
        self.counters.count(&answer);
        check.answer(answer);
    }

    fn verify(&self, check: &Check) -> Answer {
        let accounts = self.accounts();
        let account = accounts.get(&check.user);
        let right = accounts.verify(account.map(|account| &**account), &check.password);
        self.counters.verified.fetch_add(1, Ordering::Relaxed);
        let answer = self.settle(&check.login, &check.user, account, right, check.mailbox());
        if let (Ok(_), Some(account), Some(found)) = (&answer, account, self.outdated.get())
            && account.origin == Origin::Made
            && account.stored.is_foreign()
        {
            let (user, password, stored) = (check.user.clone(), check.password.clone(), account.stored.clone());
            found(Outdated { user, password, stored });
        }
        answer
    }

    /// The same password, kept in another way: nothing changes for who is logged in. False when it is another one by now.
    pub(super) fn renew(&self, user: &str, former: &StoredPassword, stored: StoredPassword) -> bool {
        let mut current = self.accounts.write();
        let Some(account) = current.get(user).filter(|account| account.stored == *former) else { return false };
        let (tags, mut accounts) = (account.tags, (**current).clone());
        if accounts.set(user, stored, tags).is_err() {
            return false;
        }
        self.memory.lock().cache.keep_only(&accounts);
        *current = Arc::new(accounts);
        self.counters.renewed.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// What is counted and remembered stays; so does what was decided at the start, the salts and all sizes.
    pub(super) fn reconfigure(&self, config: &AuthConfig) {
        let mut current = self.config.write();
        let config = AuthConfig {
            verify_threads: current.verify_threads,
            verify_queue_max: current.verify_queue_max,
            cache_entries: current.cache_entries,
            guard_entries: current.guard_entries,
            salt_key: current.salt_key,
            ..config.clone()
        };
        *current = config.clone();
        drop(current);
        let mut memory = self.memory.lock();
        memory.cache.set_ttl(config.cache_ttl);
        memory.guard.set_config(config);
    }

    pub(super) fn reload(&self, accounts: Accounts) {
        self.replace(accounts, None);
    }

    /// Other accounts; the connections of `staying` go on, unless it is removed.
    pub(super) fn replace(&self, accounts: Accounts, staying: Option<&str>) {
        let mut accounts = accounts.with_guest();
        let mut current = self.accounts.write();
        accounts.adopt_unchanged(&current);
        let changed = |name: &&str| accounts.stored(name) != current.stored(name);
        let mut leaving = Vec::new();
        let mut memory = self.memory.lock();
        memory.cache.keep_only(&accounts);
        for name in accounts.names().filter(changed) {
            memory.guard.forget_user(&self.mac.digest(&[name.as_bytes()]));
        }
        if self.config.read().disconnect_changed {
            let goes = |name: &&str| staying != Some(*name) || accounts.stored(name).is_none();
            let going = current.names().filter(changed).filter(goes);
            going.for_each(|name| leaving.extend(memory.present.take(name)));
            if current.has_guest() && !accounts.has_guest() {
                leaving.extend(memory.present.take("guest"));
            }
        }
        drop(memory);
        *current = Arc::new(accounts);
        drop(current);
        self.counters.put_out.fetch_add(leaving.len() as u64, Ordering::Relaxed);
        put_out(&leaving);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use motet_core::mailbox::Overflow;

    #[test]
    fn what_was_verified_against_an_account_that_changed_meanwhile_is_neither_told_nor_remembered() {
        let with = |password: &[u8]| {
            let mut accounts = Accounts::new();
            accounts.add("alice", StoredPassword::from_plain(password).unwrap()).unwrap();
            accounts
        };
        let desk = Desk::new(AuthConfig::default(), with(b"old"), Box::new(|| Instant::START)).unwrap();
        let (former, mailbox) = (desk.accounts(), Mailbox::new(1024, Overflow::DropNewest));
        let (user, key) = (desk.mac.digest(&[b"alice"]), desk.mac.digest(&[b"alice", b"old"]));
        let login = Login { user, key, from: None, guest_may: false, tells_password: true };
        desk.reload(with(b"new"));
        assert_eq!(desk.settle(&login, "alice", former.get("alice"), true, &mailbox), Err(Denied::Busy));
        assert_eq!(desk.settle(&login, "alice", None, false, &mailbox), Err(Denied::Busy));
        assert_eq!(desk.recall(&login, &mailbox), None);
    }
}
