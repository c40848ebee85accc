//! The one who is asked.

mod check;
#[cfg(test)]
mod tests;

use crate::accounts::Accounts;
use crate::config::{Anonymous, AuthConfig};
use crate::pool::Pool;
use check::{Check, Desk};
use motet_core::machine::{Attempt, Authenticator};
use motet_core::mailbox::Mailbox;
use motet_core::principal::{Denied, Principal};
use motet_core::time::Instant;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Answers who a peer is; see the crate's documentation.
///
/// Dropping it ends its threads: the verifications in progress are finished, those that wait are answered "busy".
pub struct Directory {
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
        Ok(Directory { pool, desk })
    }

    /// Replaces the accounts. What was remembered of a changed or removed account is forgotten before this returns, and
    /// a verification in progress for one is answered "busy"; connections that are let in already stay.
    pub fn reload(&self, accounts: Accounts) {
        self.desk.reload(accounts);
    }

    /// What was answered so far.
    pub fn counters(&self) -> &Counters {
        &self.desk.counters
    }

    fn decide(&self, attempt: Attempt<'_>, ticket: u64, answer_to: &Arc<Mailbox>) -> Option<Result<Principal, Denied>> {
        let (user, password) = match (attempt.user, attempt.password) {
            (None | Some(""), None | Some(b"")) => return Some(self.admit_anonymous(attempt.loopback)),
            // Without accounts a name proves nothing and a password protects nothing: whoever may come without a
            // login may come with one, and is nobody all the same. Clients that insist on `guest` work at once.
            _ if self.desk.has_no_accounts() => return Some(self.admit_anonymous(attempt.loopback)),
            // Half a login is none. It is the same answer for every name, and nothing was guessed.
            (None, _) | (_, None) => return Some(Err(Denied::BadCredentials)),
            (Some(user), Some(password)) => (user, password),
        };
        let login = match self.desk.at_once(user, password, attempt.peer.map(|peer| peer.ip())) {
            Ok(answer) => return Some(answer),
            Err(login) => login,
        };
        match self.pool.submit(Check::new(login, user, password, ticket, answer_to.clone())) {
            Ok(()) => None,
            Err(check) => {
                check.withdraw();
                Some(Err(Denied::Busy))
            }
        }
    }

    fn admit_anonymous(&self, loopback: bool) -> Result<Principal, Denied> {
        match self.desk.config.anonymous {
            Anonymous::Always => Ok(Principal::anonymous()),
            Anonymous::Loopback if loopback => Ok(Principal::anonymous()),
            Anonymous::Loopback | Anonymous::Never => Err(Denied::AnonymousForbidden),
        }
    }
}

impl Authenticator for Directory {
    fn check(&self, attempt: Attempt<'_>, ticket: u64, answer_to: &Arc<Mailbox>) -> Option<Result<Principal, Denied>> {
        let answer = self.decide(attempt, ticket, answer_to);
        if let Some(answer) = &answer {
            self.desk.counters.count(answer);
        }
        answer
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("config", &self.desk.config).finish_non_exhaustive()
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
    /// Slow verifications done, whatever their outcome.
    pub verified: AtomicU64,
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
