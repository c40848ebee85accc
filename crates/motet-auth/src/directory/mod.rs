//! The one who is asked.

mod check;
mod desk;
mod dialogue;
mod scram;
#[cfg(test)]
mod tests;

use crate::accounts::{AccountError, Accounts, Listed};
use crate::config::AuthConfig;
use crate::guard::Ban;
use crate::password::StoredPassword;
use crate::pool::Pool;
use crate::sasl::scram::ScramHash;
use crate::tags::Tags;
use check::{Check, Reply};
use desk::Desk;
use motet_core::machine::{Attempt, Authenticator, Dialogue, Opening, Secure};
use motet_core::mailbox::Mailbox;
use motet_core::principal::{Denied, Principal};
use motet_core::time::Instant;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A right login that was verified against another server's kind of hash.
pub struct Outdated {
    /// The user.
    pub user: Box<str>,
    /// The password; it is right.
    pub password: Box<[u8]>,
    /// What it was verified against.
    pub stored: StoredPassword,
}

/// A password never reaches a log.
impl fmt::Debug for Outdated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outdated").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Who is told of them.
type Found = Box<dyn Fn(Outdated) + Send + Sync>;

/// Answers who a peer is; see the crate's documentation.
///
/// Dropping it ends its threads: the verifications in progress are finished, those that wait are answered "busy".
pub struct Directory(Arc<Inner>);

/// What dialogues share with their directory.
pub(super) struct Inner {
    // Before the desk, so that the threads have ended when it goes.
    pool: Pool<Check>,
    desk: Arc<Desk>,
}

impl Directory {
    /// Starts the threads. `now` is asked at every check; it must not go backwards.
    pub fn new(
        config: AuthConfig,
        accounts: Accounts,
        now: impl Fn() -> Instant + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let (threads, waiting_max) = (config.verify_threads, config.verify_queue_max);
        let desk = Arc::new(Desk::new(config, accounts, Box::new(now)).map_err(|_| StartError::NoRandomness)?);
        let worker = desk.clone();
        let pool = Pool::start(threads, waiting_max, move |check| worker.run(check)).map_err(StartError::Threads)?;
        Ok(Directory(Arc::new(Inner { pool, desk })))
    }

    /// Replaces the accounts. What was remembered of a changed or removed account is forgotten before this returns, a
    /// verification in progress for one is answered "busy", and its connections are told to go, unless the
    /// configuration says otherwise.
    pub fn reload(&self, accounts: Accounts) {
        self.0.desk.reload(accounts);
    }

    /// Takes another configuration from the next login on. What only a start can decide stays: threads, sizes and salts.
    pub fn reconfigure(&self, config: &AuthConfig) {
        self.0.desk.reconfigure(config);
    }

    /// Changes some of the accounts; as [`Directory::reload`].
    ///
    /// # Errors
    /// What `change` says; then nothing has changed.
    pub fn change<T>(&self, change: impl FnOnce(&mut Accounts) -> Result<T, AccountError>) -> Result<T, AccountError> {
        let mut accounts = (*self.0.desk.accounts()).clone();
        let done = change(&mut accounts)?;
        self.reload(accounts);
        Ok(done)
    }

    /// The same, and who is logged in as `user` stays, whatever its password is now.
    ///
    /// # Errors
    /// What `change` says; then nothing has changed.
    pub fn change_and_stay<T>(
        &self,
        user: &str,
        change: impl FnOnce(&mut Accounts) -> Result<T, AccountError>,
    ) -> Result<T, AccountError> {
        let mut accounts = (*self.0.desk.accounts()).clone();
        let done = change(&mut accounts)?;
        self.0.desk.replace(accounts, Some(user));
        Ok(done)
    }

    /// Says whether [`Directory::change`] would; changes nothing.
    ///
    /// # Errors
    /// What `change` says.
    pub fn try_change<T>(
        &self,
        change: impl FnOnce(&mut Accounts) -> Result<T, AccountError>,
    ) -> Result<T, AccountError> {
        change(&mut (*self.0.desk.accounts()).clone())
    }

    /// `found` is told of each right login to an account that was made while the server ran and keeps another server's
    /// kind of hash. It is called on a verifying thread before the login is answered, so it only passes the word on.
    pub fn on_outdated(&self, found: impl Fn(Outdated) + Send + Sync + 'static) {
        let _ = self.0.desk.outdated.set(Box::new(found));
    }

    /// Keeps the same password of a user in another way; nobody is told to go. False when what is kept is not `former`
    /// any more.
    pub fn renew(&self, user: &str, former: &StoredPassword, stored: StoredPassword) -> bool {
        self.0.desk.renew(user, former, stored)
    }

    /// How many accounts there are.
    pub fn count(&self) -> usize {
        self.0.desk.accounts().len()
    }

    /// All accounts, by name.
    pub fn list(&self) -> Vec<Listed> {
        self.0.desk.accounts().list()
    }

    /// What an account keeps instead of its password.
    pub fn stored(&self, user: &str) -> Option<StoredPassword> {
        self.0.desk.accounts().stored(user).cloned()
    }

    /// What a user may do beyond its messages; nothing where there is no such account. `loopback`: the user came by a
    /// listener that only this machine reaches, where guest may do everything as long as it is alone.
    pub fn tags(&self, user: &str, loopback: bool) -> Tags {
        let desk = &self.0.desk;
        desk.accounts().find(user, desk.guest_may(loopback)).map_or(Tags::NONE, |account| account.tags)
    }

    /// There is an account of this name.
    pub fn knows(&self, user: &str) -> bool {
        self.0.desk.accounts().stored(user).is_some()
    }

    /// Addresses from which no login is checked for now, those that wait longest first.
    pub fn bans(&self) -> Vec<Ban> {
        self.0.desk.bans()
    }

    /// An address may try again at once, as if it had never been wrong. True when it had to wait.
    pub fn lift(&self, address: IpAddr) -> bool {
        self.0.desk.lift(address)
    }

    /// What was answered so far.
    pub fn counters(&self) -> &Counters {
        &self.0.desk.counters
    }
}

impl Authenticator for Directory {
    fn check(&self, attempt: Attempt<'_>, ticket: u64, answer_to: &Arc<Mailbox>) -> Option<Result<Principal, Denied>> {
        let answer = self.0.decide(attempt, answer_to, |to| Reply::Authenticated(ticket, to));
        if let Some(answer) = &answer {
            self.0.desk.counters.count(answer);
        }
        answer
    }

    fn methods(&self, opening: Opening<'_>) -> Vec<&'static str> {
        dialogue::methods(&self.0.desk, &opening)
    }

    fn begin(&self, method: &str, opening: Opening<'_>) -> Result<Box<dyn Dialogue>, Denied> {
        dialogue::begin(&self.0, method, &opening)
    }
}

impl Inner {
    /// The answer, or none when it follows by `reply`.
    fn decide(
        &self,
        attempt: Attempt<'_>,
        mailbox: &Arc<Mailbox>,
        reply: impl FnOnce(Arc<Mailbox>) -> Reply,
    ) -> Option<Result<Principal, Denied>> {
        let (desk, loopback) = (&self.desk, attempt.loopback);
        let user = attempt.user.filter(|user| !user.is_empty());
        let user = match identity(attempt.secure) {
            // The certificate says who it is. Another name beside it would be a lie in every log.
            Some(identity) if user.is_some_and(|user| user != &*identity.name) => {
                return Some(Err(Denied::BadCredentials));
            }
            Some(identity) if !identity.password_needed => return Some(Ok(Principal::named(&identity.name))),
            Some(identity) => Some(&*identity.name),
            None => user,
        };
        let (user, password) = match (user, attempt.password) {
            (None, None | Some(b"")) => return Some(desk.admit_anonymous(loopback)),
            // Without accounts a name proves nothing and a password protects nothing: whoever may come without a
            // login may come with one, and is nobody all the same, except guest with guest's password.
            (user, password) if identity(attempt.secure).is_none() && desk.is_guest(user, password, loopback) => {
                return Some(desk.admit_guest(mailbox));
            }
            // That is a login that can be wrong.
            (Some("guest"), Some(password))
                if !password.is_empty() && desk.has_no_accounts() && desk.guest_may(loopback) =>
            {
                return Some(Err(Denied::BadCredentials));
            }
            // A protocol without client names has a mechanism for whoever wants to be nobody; who names a user there is
            // wrong as long as there are none.
            (Some(_), Some(_))
                if attempt.client.is_none() && desk.has_no_accounts() && identity(attempt.secure).is_none() =>
            {
                return Some(desk.admit_anonymous(loopback).and(Err(Denied::BadCredentials)));
            }
            _ if desk.has_no_accounts() && identity(attempt.secure).is_none() => {
                return Some(desk.admit_anonymous(loopback));
            }
            // Half a login is none. It is the same answer for every name, and nothing was guessed.
            (None, _) | (_, None) => return Some(Err(Denied::BadCredentials)),
            (Some(user), Some(password)) => (user, password),
        };
        let login = match desk.at_once(user, password, attempt.peer.map(|peer| peer.ip()), mailbox) {
            Ok(answer) => return Some(answer),
            Err(login) => login,
        };
        match self.pool.submit(Check::new(login, user, password, reply(mailbox.clone()))) {
            Ok(()) => None,
            Err(check) => {
                check.withdraw();
                Some(Err(Denied::Busy))
            }
        }
    }
}

/// Whom the peer's certificate names.
pub(crate) fn identity(secure: Option<&Secure>) -> Option<&motet_core::machine::Identity> {
    secure.and_then(|secure| secure.identity.as_ref())
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("config", &*self.0.desk.config.read()).finish_non_exhaustive()
    }
}

/// How many attempts were answered how. `verified` counts those that went through a slow verification.
#[derive(Debug, Default)]
pub struct Counters {
    /// Let in.
    pub accepted: AtomicU64,
    /// Refused: wrong login, or anonymous where that is forbidden.
    pub refused: AtomicU64,
    /// Not checked: too many at once, or too many failures.
    pub busy: AtomicU64,
    /// Of those, because of too many failures.
    pub waiting: AtomicU64,
    /// Slow verifications done, whatever their outcome.
    pub verified: AtomicU64,
    /// Answered from what was remembered, right or wrong.
    pub remembered: AtomicU64,
    /// How often an address was banned.
    pub bans: AtomicU64,
    /// Hashes of other servers' kinds that were replaced by ours.
    pub renewed: AtomicU64,
    /// Connections told to go, because their user's password has changed or the account has gone.
    pub put_out: AtomicU64,
}

impl Counters {
    fn count(&self, answer: &Result<Principal, Denied>) {
        let counter = match answer {
            Ok(_) => &self.accepted,
            Err(Denied::Busy) => &self.busy,
            Err(_) => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Why a directory could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The operating system gave no random numbers.
    #[error("the operating system gives no random numbers")]
    NoRandomness,
    /// A thread could not be started.
    #[error("a thread for verifying passwords could not be started")]
    Threads(#[source] io::Error),
}

/// The mechanism of each hash, without and with channel binding.
fn mechanisms(hash: ScramHash) -> (&'static str, &'static str) {
    match hash {
        ScramHash::Sha1 => ("SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"),
        ScramHash::Sha256 => ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"),
        ScramHash::Sha512 => ("SCRAM-SHA-512", "SCRAM-SHA-512-PLUS"),
    }
}
