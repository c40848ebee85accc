//! Who is asked first.
//!
//! ```text
//!  password looks like a token, tokens are configured ─▶ Tokens        (right or wrong: nobody else is asked)
//!  there is no account of that name, a hook is configured ─▶ Hook
//!  everything else, the anonymous too ─▶ Directory
//! ```

use crate::directory::{Directory, identity};
use crate::hook::{Clocks, Hook};
use crate::jwt::{Bearer, Beside, OAUTHBEARER, Tokens};
use motet_core::machine::{Attempt, Authenticator, Dialogue, Opening, Secure};
use motet_core::mailbox::Mailbox;
use motet_core::principal::{Denied, Principal};
use parking_lot::RwLock;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The authenticator of a server; its parts may be replaced while it runs.
pub struct Front {
    directory: Arc<Directory>,
    clocks: Clocks,
    tokens: RwLock<Option<Arc<Tokens>>>,
    hook: RwLock<Option<Hook>>,
    tokens_accepted: AtomicU64,
    tokens_refused: AtomicU64,
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("tokens", &self.tokens).field("hook", &self.hook).finish_non_exhaustive()
    }
}

impl Front {
    /// Asks the directory alone, until it is told of others.
    pub fn new(directory: Arc<Directory>, clocks: Clocks) -> Self {
        Front {
            directory,
            clocks,
            tokens: RwLock::default(),
            hook: RwLock::default(),
            tokens_accepted: AtomicU64::new(0),
            tokens_refused: AtomicU64::new(0),
        }
    }

    /// Takes tokens from now on, or no more.
    pub fn set_tokens(&self, tokens: Option<Arc<Tokens>>) {
        *self.tokens.write() = tokens;
    }

    /// Asks this hook from now on, or none.
    pub fn set_hook(&self, hook: Option<Hook>) {
        *self.hook.write() = hook;
    }

    /// The hook that is asked.
    pub fn hook(&self) -> Option<Hook> {
        self.hook.read().clone()
    }

    /// Who checks tokens.
    pub fn tokens(&self) -> Option<Arc<Tokens>> {
        self.tokens.read().clone()
    }

    /// Tokens accepted and refused so far.
    pub fn token_counts(&self) -> (u64, u64) {
        (self.tokens_accepted.load(Ordering::Relaxed), self.tokens_refused.load(Ordering::Relaxed))
    }

    fn check_token(&self, tokens: &Tokens, attempt: &Attempt<'_>) -> Result<Principal, Denied> {
        let beside = Beside {
            user: attempt.user.filter(|user| !user.is_empty()),
            client: attempt.client,
            holder: holder(attempt.secure),
        };
        let (_, now) = (self.clocks)();
        let answer = tokens.verify(attempt.password.unwrap_or_default(), beside, now);
        let counter = if answer.is_ok() { &self.tokens_accepted } else { &self.tokens_refused };
        counter.fetch_add(1, Ordering::Relaxed);
        answer.map_err(|_| Denied::BadCredentials)
    }
}

fn holder(secure: Option<&Secure>) -> Option<&str> {
    identity(secure).map(|identity| &*identity.name)
}

impl Authenticator for Front {
    fn check(&self, attempt: Attempt<'_>, ticket: u64, answer_to: &Arc<Mailbox>) -> Option<Result<Principal, Denied>> {
        if let Some(password) = attempt.password
            && Tokens::looks_like_one(password)
            && let Some(tokens) = self.tokens()
        {
            return Some(self.check_token(&tokens, &attempt));
        }
        if let Some(user) = attempt.user.filter(|user| !user.is_empty())
            && let Some(hook) = self.hook().filter(|hook| hook.config().authenticates)
            && !self.directory.knows(user)
            // The directory refuses who claims another name than the certificate's.
            && holder(attempt.secure).is_none_or(|holder| holder == user)
        {
            return hook.authenticate(attempt, ticket, answer_to);
        }
        self.directory.check(attempt, ticket, answer_to)
    }

    fn methods(&self, opening: Opening<'_>) -> Vec<&'static str> {
        let mut methods = self.directory.methods(opening);
        if self.tokens.read().is_some() {
            methods.push(OAUTHBEARER);
        }
        methods
    }

    fn begin(&self, method: &str, opening: Opening<'_>) -> Result<Box<dyn Dialogue>, Denied> {
        if method == OAUTHBEARER
            && let Some(tokens) = self.tokens()
        {
            let clocks = self.clocks.clone();
            let user = opening.user.filter(|user| !user.is_empty());
            return Ok(Box::new(Bearer::new(tokens, user, holder(opening.secure), Arc::new(move || clocks().1))));
        }
        self.directory.begin(method, opening)
    }
}
