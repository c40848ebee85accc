//! What an operator can decide about logins.

use std::time::Duration;

/// Where a peer without credentials is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anonymous {
    /// On listeners bound to loopback, because only this machine reaches them.
    #[default]
    Loopback,
    /// Nowhere.
    Never,
    /// Everywhere, other machines included.
    Always,
}

/// How logins are checked and how their abuse is bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    /// Where a peer without credentials is let in.
    pub anonymous: Anonymous,
    /// Threads that verify passwords, at least 1. By default a quarter of the processors, so that a flood of logins
    /// leaves the rest to the messages.
    pub verify_threads: usize,
    /// Verifications that may wait, at least 1; beyond it the answer is "busy". By default 256, which one thread
    /// works off in about the ten seconds a client waits.
    pub verify_queue_max: usize,
    /// Logins remembered as right, and as many as wrong; about 150 bytes each. 0 remembers none.
    pub cache_entries: usize,
    /// How long a verified login is remembered. A changed password is forgotten at once, whatever this says.
    pub cache_ttl: Duration,
    /// Different wrong logins, by one user or from one address, after which each further one makes it wait; at least 1.
    pub failures_before_backoff: u32,
    /// The first wait; each further failure doubles it.
    pub backoff_first: Duration,
    /// The longest wait for a user: there is no ban on a user, or anybody could lock out anybody.
    pub backoff_max: Duration,
    /// Different wrong logins from one address after which it is banned for a while.
    pub failures_before_ban: u32,
    /// How long an address stays banned.
    pub ban: Duration,
    /// Failures are forgotten after this long without another, counted from the end of the wait.
    pub forget_after: Duration,
    /// Addresses, and as many users, whose failures are remembered; about 100 bytes each. The longest quiet give way.
    pub guard_entries: usize,
    /// Iterations that a SCRAM client without an account is told; the same as new accounts get, or they could be told
    /// apart. By default 10,000: some milliseconds on a small device.
    pub scram_iterations: u32,
    /// Makes the salts that clients without an account are told; the same after a restart, or they could be told apart.
    /// Random when not set.
    pub salt_key: Option<SaltKey>,
    /// Whether the connections of a user end when its password changes or its account goes.
    pub disconnect_changed: bool,
}

/// A secret that lives as long as the data directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SaltKey(pub [u8; 32]);

impl std::fmt::Debug for SaltKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SaltKey(..)")
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        AuthConfig {
            anonymous: Anonymous::Loopback,
            verify_threads: (processors / 4).max(1),
            verify_queue_max: 256,
            cache_entries: 65_536,
            cache_ttl: Duration::from_secs(24 * 3600),
            failures_before_backoff: 5,
            backoff_first: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            failures_before_ban: 20,
            ban: Duration::from_secs(600),
            forget_after: Duration::from_secs(900),
            guard_entries: 65_536,
            scram_iterations: 10_000,
            salt_key: None,
            disconnect_changed: true,
        }
    }
}
