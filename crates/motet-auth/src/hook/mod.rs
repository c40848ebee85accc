//! The HTTP hook: somebody else's service decides who a peer is, or what it may.
//!
//! ```text
//!  machine ── check ─▶ Hook ─┬─ remembered ─────────────────▶ at once
//!                            └─ Courier.post(body, answer) ─▶ later: Notice::Authenticated
//!  core ────── ask ──▶ Hook ─┬─ remembered ─────────────────▶ at once
//!                            └─ Courier.post(body, answer) ─▶ later: the mailbox is nudged, and asks again
//! ```
//! This crate has no runtime: the [`Courier`] carries a body there and an answer back, within a time of its own, and calls
//! back exactly once. Whatever is not an answer of 200 with the right JSON is a failure, and a failure is a no (or what
//! [`HookConfig::on_failure`] says) for a second, so that everybody waiting gets an answer and a dead service is not
//! stormed. Nothing is tried twice.

mod body;
mod memory;

use body::Answer;
use memory::Memory;
use motet_core::access::{Authority, Question};
use motet_core::machine::Attempt;
use motet_core::mailbox::{Mailbox, Notice};
use motet_core::principal::{Denied, Principal};
use motet_core::time::{Instant, WallMillis};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How long a failure is remembered.
const FAILURE_TTL: Duration = Duration::from_secs(1);
/// Bytes of an answer that a courier should read at most.
pub const HOOK_ANSWER_BYTES_MAX: usize = 64 << 10;

/// Which of the two questions is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookPurpose {
    /// Who is it.
    Authenticate,
    /// May they.
    Authorize,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookReply {
    /// The HTTP status.
    pub status: u16,
    /// The body, whole.
    pub body: Vec<u8>,
}

/// Carries questions to the service.
pub trait Courier: Send + Sync {
    /// Posts `body` (JSON) and calls `answer` exactly once, with `None` when nothing came back in time. Never blocks.
    fn post(&self, purpose: HookPurpose, body: Vec<u8>, answer: Box<dyn FnOnce(Option<HookReply>) + Send>);
}

/// What the hook is asked, and what is remembered of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookConfig {
    /// It is asked who a peer is that shows a password and has no account here.
    pub authenticates: bool,
    /// It is asked where no access rule decides.
    pub authorizes: bool,
    /// The answer when the service fails.
    pub on_failure: bool,
    /// Questions on their way at the same time; a further one counts as a failure.
    pub in_flight_max: usize,
    /// Answers remembered, of each purpose; about 200 bytes each.
    pub cache_entries: usize,
    /// How long an answer is remembered when it does not say. Zero remembers no logins, and permissions for a second.
    pub ttl: Duration,
}

impl Default for HookConfig {
    fn default() -> Self {
        HookConfig {
            authenticates: false,
            authorizes: false,
            on_failure: false,
            in_flight_max: 256,
            cache_entries: 65_536,
            ttl: Duration::from_secs(60),
        }
    }
}

/// How many questions there were.
#[derive(Debug, Default)]
pub struct HookCounters {
    /// Answered yes.
    pub allowed: AtomicU64,
    /// Answered no.
    pub refused: AtomicU64,
    /// Not answered, or not as documented.
    pub failed: AtomicU64,
    /// Answered from memory.
    pub remembered: AtomicU64,
}

/// Both clocks.
pub type Clocks = Arc<dyn Fn() -> (Instant, WallMillis) + Send + Sync>;

/// The hook. A clone is the same one.
#[derive(Clone)]
pub struct Hook(Arc<Inner>);

struct Inner {
    config: HookConfig,
    courier: Arc<dyn Courier>,
    clocks: Clocks,
    in_flight: AtomicUsize,
    memory: Memory,
    counters: HookCounters,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hook").field(&self.0.config).finish()
    }
}

impl Hook {
    /// Asks by `courier`.
    ///
    /// # Errors
    /// The operating system gives no random numbers.
    pub fn new(config: HookConfig, courier: Arc<dyn Courier>, clocks: Clocks) -> std::io::Result<Self> {
        let memory = Memory::new(config.cache_entries)?;
        let (in_flight, counters) = (AtomicUsize::new(0), HookCounters::default());
        Ok(Hook(Arc::new(Inner { config, courier, clocks, in_flight, memory, counters })))
    }

    /// What it was told to do.
    pub fn config(&self) -> &HookConfig {
        &self.0.config
    }

    /// Questions so far.
    pub fn counters(&self) -> &HookCounters {
        &self.0.counters
    }

    /// Who the peer is: at once when it is remembered, else by a notice.
    pub(crate) fn authenticate(
        &self,
        attempt: Attempt<'_>,
        ticket: u64,
        answer_to: &Arc<Mailbox>,
    ) -> Option<Result<Principal, Denied>> {
        let (now, _) = (self.0.clocks)();
        let key = self.0.memory.login_key(&attempt);
        if let Some(answer) = self.0.memory.login(&key, now) {
            self.0.count_remembered();
            return Some(answer);
        }
        let Some(pass) = self.0.pass() else { return Some(Err(Denied::Busy)) };
        let (hook, mailbox) = (self.0.clone(), answer_to.clone());
        let user: Box<str> = attempt.user.unwrap_or_default().into();
        let arrived = move |reply: Option<HookReply>| {
            let (now, wall) = (hook.clocks)();
            let answer = reply.and_then(|reply| Answer::read(&reply));
            hook.count(answer.as_ref());
            let ttl = answer.as_ref().map_or(FAILURE_TTL, |answer| answer.ttl.unwrap_or(hook.config.ttl));
            let decided = match answer {
                Some(answer) => answer.principal(&user, wall),
                None if hook.config.on_failure => Ok(Principal::named(&user)),
                // It may be right the next time.
                None => Err(Denied::Busy),
            };
            if !matches!(decided, Err(Denied::Busy)) {
                hook.memory.remember_login(key, decided.clone(), now + ttl);
            }
            drop(pass);
            mailbox.notify(Notice::Authenticated(ticket, decided));
        };
        self.0.courier.post(HookPurpose::Authenticate, body::login(&attempt), Box::new(arrived));
        None
    }
}

impl Inner {
    fn count(&self, answer: Option<&Answer>) {
        let counter = match answer {
            Some(answer) if answer.allow => &self.counters.allowed,
            Some(_) => &self.counters.refused,
            None => &self.counters.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn count_remembered(&self) {
        self.counters.remembered.fetch_add(1, Ordering::Relaxed);
    }

    /// Leave to ask, until it is dropped.
    fn pass(self: &Arc<Self>) -> Option<Pass> {
        let before = self.in_flight.fetch_add(1, Ordering::AcqRel);
        let pass = Pass(self.clone());
        (before < self.config.in_flight_max).then_some(pass).or_else(|| {
            self.count(None);
            None
        })
    }
}

/// One of [`HookConfig::in_flight_max`].
struct Pass(Arc<Inner>);

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Authority for Hook {
    fn ask(&self, question: Question<'_>, tell: Option<&Arc<Mailbox>>) -> Option<bool> {
        let (now, _) = (self.0.clocks)();
        let body = body::question(&question);
        let key = self.0.memory.question_key(&body);
        if let Some(answer) = self.0.memory.answer_or_join(&key, now, tell) {
            if answer.is_some() {
                self.0.count_remembered();
            }
            return answer;
        }
        let Some(pass) = self.0.pass() else {
            self.0.memory.remember_answer(&key, self.0.config.on_failure, now + FAILURE_TTL);
            return Some(self.0.config.on_failure);
        };
        let hook = self.0.clone();
        let arrived = move |reply: Option<HookReply>| {
            let (now, _) = (hook.clocks)();
            let answer = reply.and_then(|reply| Answer::read(&reply));
            hook.count(answer.as_ref());
            let allow = answer.as_ref().map_or(hook.config.on_failure, |answer| answer.allow);
            let ttl = answer.map_or(FAILURE_TTL, |answer| answer.ttl.unwrap_or(hook.config.ttl));
            // For a second at least: whoever waits asks again, and must find it.
            hook.memory.remember_answer(&key, allow, now + ttl.max(FAILURE_TTL));
            drop(pass);
        };
        self.0.courier.post(HookPurpose::Authorize, body, Box::new(arrived));
        None
    }
}

#[cfg(test)]
mod tests;
