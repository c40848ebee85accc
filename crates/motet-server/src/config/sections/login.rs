//! `[login]`

use std::time::Duration;

use super::access::KeyKind;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

section! {
    /// How passwords are stored and checked, and what wrong ones cost. Loopback addresses are never made to wait or
    /// banned: they are this machine, or a proxy on it that stands for everybody; the waits of users hold there, too.
    pub struct Login {
        /// What is kept of the passwords that `motet user` sets. SCRAM keys serve devices that log in by SCRAM, and
        /// verify a password in clear text in milliseconds; `argon2id` makes most work for who steals the store, and
        /// serves clients that send their password in clear text only. XMPP clients want `scram-sha-1` among them.
        keys: Vec<KeyKind> = vec![KeyKind::ScramSha256];
        /// Hashes per password for new SCRAM keys. More of them cost a thief more, and each device at its login; a
        /// small device does 10,000 in some tens of milliseconds.
        scram_iterations: u32 = 10_000, within 4096..=1_000_000;
        /// Threads that verify passwords; 0 is a quarter of the processors, so that a flood of logins leaves the rest
        /// to the messages.
        verify_threads: u32 = 0, within 0..=256;
        /// Verifications that may wait; beyond it a login is refused as "server busy". One thread works off the
        /// default in about the ten seconds that a client waits.
        verify_queue: u32 = 256, within 1..=1_000_000;
        /// Logins whose answer is remembered, so that a reconnect storm costs microseconds; 0 remembers none. Each
        /// costs about 150 bytes, and no password is kept.
        cache_entries: u32 = 65_536, within 0..=100_000_000;
        /// How long a verified login is remembered; a changed password is forgotten at once.
        cache_ttl: Duration = DAY, within SECOND..=30 * DAY;
        /// Different wrong logins, by one user or from one address, after which each further one makes it wait.
        failures_before_backoff: u32 = 5, within 1..=1_000_000;
        /// The first wait; each further failure doubles it.
        backoff_first: Duration = SECOND, within Duration::from_millis(1)..=DAY;
        /// The longest wait of a user. A user is never banned, or anybody could lock out anybody.
        backoff_max: Duration = 60 * SECOND, within SECOND..=DAY;
        /// Different wrong logins from one address (an IPv6 /64 is one) after which it is banned for a while.
        failures_before_ban: u32 = 20, within 1..=1_000_000;
        /// How long an address stays banned: its logins are refused as "server busy", right ones too.
        ban: Duration = 600 * SECOND, within SECOND..=30 * DAY;
        /// Failures are forgotten after so long without another.
        forget_after: Duration = 900 * SECOND, within SECOND..=30 * DAY;
        /// Addresses, and as many users, whose failures are remembered; the longest quiet give way. Each costs about
        /// 100 bytes.
        guard_entries: u32 = 65_536, within 1..=100_000_000;
        /// Whether the connections of a user end when its password changes or its account goes. Who changes a password
        /// because it was stolen wants the thief out.
        disconnect_changed: bool = true;
    }
    verified Login::conflicts
}

impl Login {
    fn conflicts(&self) -> Vec<crate::config::section::Conflict> {
        let wrong = super::access::keys_conflict(&self.keys);
        wrong.map(|wrong| super::access::keys_refused("keys", wrong)).into_iter().collect()
    }

    /// What to make of a new password.
    pub(crate) fn make(&self) -> motet_auth::Make {
        super::access::make(&self.keys, self.scram_iterations)
    }
}
