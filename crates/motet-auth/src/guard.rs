//! Back-off and ban: how often a login may be wrong.
//!
//! | failures of | fewer than `failures_before_backoff` | from there on | from `failures_before_ban` on |
//! |---|---|---|---|
//! | an address | nothing | waits, doubling | banned for `ban` |
//! | a user, existing or not | nothing | waits, doubling up to `backoff_max` | the same |
//!
//! A user is never banned, or anybody could lock out anybody. A loopback address is not counted: it is this machine, or
//! a proxy on it that stands for everybody.

use crate::config::AuthConfig;
use crate::generations::Generations;
use crate::mac::Digest;
use motet_core::time::Instant;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// An address from which nothing is checked for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// The address; of IPv6 the first of its /64, which waits as a whole.
    pub address: IpAddr,
    /// Different wrong logins in a row.
    pub failures: u32,
    /// For how long it still waits.
    pub left: Duration,
    /// It is banned; otherwise it waits a moment between two attempts.
    pub banned: bool,
}

/// The failures of one address or user.
#[derive(Default)]
struct Record {
    failures: u32,
    /// Until when nothing is checked.
    waits_until: Instant,
    /// When the failures no longer count.
    forgotten_at: Instant,
}

pub(crate) struct Guard {
    addresses: Generations<IpAddr, Record>,
    users: Generations<Digest, Record>,
    config: AuthConfig,
}

impl Guard {
    pub(crate) fn new(config: &AuthConfig) -> Self {
        Guard {
            addresses: Generations::new(config.guard_entries),
            users: Generations::new(config.guard_entries),
            config: config.clone(),
        }
    }

    /// Counts by other bounds from now on; who waits goes on waiting.
    pub(crate) fn set_config(&mut self, config: AuthConfig) {
        self.config = config;
    }

    /// Nothing from this address is checked for now.
    pub(crate) fn address_waits(&mut self, from: Option<IpAddr>, now: Instant) -> bool {
        from.and_then(counted).and_then(|from| self.addresses.get_mut(&from)).is_some_and(|it| it.waits_until > now)
    }

    /// Nothing for this user is checked for now.
    pub(crate) fn user_waits(&mut self, user: &Digest, now: Instant) -> bool {
        self.users.get_mut(user).is_some_and(|record| record.waits_until > now)
    }

    /// Counts a login that was wrong; true when its address is banned for it.
    pub(crate) fn failed(&mut self, from: Option<IpAddr>, user: &Digest, now: Instant) -> bool {
        count(&mut self.users, *user, &self.config, now, u32::MAX);
        from.and_then(counted)
            .is_some_and(|from| count(&mut self.addresses, from, &self.config, now, self.config.failures_before_ban))
    }

    /// Addresses that wait now, those that wait longest first.
    pub(crate) fn bans(&self, now: Instant) -> Vec<Ban> {
        let waits = |(address, record): (&IpAddr, &Record)| {
            let left = Some(record.waits_until.since(now)).filter(|left| !left.is_zero())?;
            let banned = record.failures >= self.config.failures_before_ban;
            Some(Ban { address: *address, failures: record.failures, left, banned })
        };
        let mut bans: Vec<_> = self.addresses.iter().filter_map(waits).collect();
        bans.sort_by_key(|ban| (std::cmp::Reverse(ban.left), ban.address));
        bans
    }

    /// An address starts anew. True when it had to wait.
    pub(crate) fn lift(&mut self, from: IpAddr, now: Instant) -> bool {
        let Some(from) = counted(from) else { return false };
        let waited = self.addresses.peek(&from).is_some_and(|record| record.waits_until > now);
        self.addresses.remove(&from);
        waited
    }

    /// This user starts anew: the password was changed.
    pub(crate) fn forget_user(&mut self, user: &Digest) {
        self.users.remove(user);
    }
}

fn count<K: std::hash::Hash + Eq + Copy>(
    table: &mut Generations<K, Record>,
    key: K,
    config: &AuthConfig,
    now: Instant,
    failures_before_ban: u32,
) -> bool {
    let mut record = table.get_mut(&key).map(std::mem::take).unwrap_or_default();
    if record.forgotten_at <= now {
        record = Record::default();
    }
    record.failures = record.failures.saturating_add(1);
    let banned = record.failures >= failures_before_ban;
    let wait = if banned { config.ban } else { backoff(config, record.failures) };
    record.waits_until = record.waits_until.max(now + wait);
    record.forgotten_at = record.waits_until + config.forget_after;
    table.insert(key, record);
    banned
}

/// Nothing, then `backoff_first`, doubled with each failure up to `backoff_max`.
fn backoff(config: &AuthConfig, failures: u32) -> Duration {
    match failures.checked_sub(config.failures_before_backoff.max(1)) {
        None => Duration::ZERO,
        Some(beyond) => config.backoff_first.saturating_mul(1 << beyond.min(30)).min(config.backoff_max),
    }
}

/// What failures are counted by: an IPv4 address, or the /64 that a single IPv6 host has all to itself.
fn counted(from: IpAddr) -> Option<IpAddr> {
    match from.to_canonical() {
        from if from.is_loopback() => None,
        IpAddr::V6(from) => Some(IpAddr::V6(Ipv6Addr::from_bits(from.to_bits() >> 64 << 64))),
        from => Some(from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Digest = [1; 32];
    const BOB: Digest = [2; 32];

    fn at(seconds: u64) -> Instant {
        Instant::START + Duration::from_secs(seconds)
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// Waits 1 s after 3 failures, bans for 100 s after 6, forgets after 50 s.
    fn guard() -> Guard {
        Guard::new(&AuthConfig {
            failures_before_backoff: 3,
            backoff_first: Duration::from_secs(1),
            backoff_max: Duration::from_secs(5),
            failures_before_ban: 6,
            ban: Duration::from_secs(100),
            forget_after: Duration::from_secs(50),
            guard_entries: 100,
            ..AuthConfig::default()
        })
    }

    fn fail(guard: &mut Guard, from: &str, times: usize) {
        for _ in 0..times {
            guard.failed(ip(from), &ALICE, at(0));
        }
    }

    #[test]
    fn a_few_failures_cost_nothing_then_the_wait_doubles() {
        let mut guard = guard();
        fail(&mut guard, "192.0.2.1", 2);
        assert!(!guard.address_waits(ip("192.0.2.1"), at(0)));
        assert!(!guard.user_waits(&ALICE, at(0)));
        for wait in [1, 2, 4] {
            fail(&mut guard, "192.0.2.1", 1);
            assert!(guard.address_waits(ip("192.0.2.1"), at(wait - 1)));
            assert!(!guard.address_waits(ip("192.0.2.1"), at(wait)));
            assert!(guard.user_waits(&ALICE, at(wait - 1)));
            assert!(!guard.user_waits(&ALICE, at(wait)));
        }
    }

    #[test]
    fn an_address_is_banned_but_a_user_never_waits_longer_than_the_longest_backoff() {
        let mut guard = guard();
        fail(&mut guard, "192.0.2.1", 1000);
        assert!(guard.address_waits(ip("192.0.2.1"), at(99)));
        assert!(!guard.address_waits(ip("192.0.2.1"), at(100)));
        assert!(guard.user_waits(&ALICE, at(4)));
        assert!(!guard.user_waits(&ALICE, at(5)));
    }

    #[test]
    fn who_waits_is_listed_and_may_be_let_go() {
        let mut guard = guard();
        let ban = |address: &str, failures, left, banned| Ban {
            address: ip(address).unwrap(),
            failures,
            left: Duration::from_secs(left),
            banned,
        };
        (0..6).for_each(|_| {
            let _ = guard.failed(ip("2001:db8::7"), &ALICE, at(0));
        });
        (0..3).for_each(|_| {
            let _ = guard.failed(ip("192.0.2.1"), &BOB, at(0));
        });
        assert_eq!(guard.bans(at(0)), [ban("2001:db8::", 6, 100, true), ban("192.0.2.1", 3, 1, false)]);
        assert_eq!(guard.bans(at(90)), [ban("2001:db8::", 6, 10, true)]);
        assert!(guard.lift("2001:db8::9".parse().unwrap(), at(90)), "the whole /64 waits");
        assert!(!guard.lift("2001:db8::9".parse().unwrap(), at(90)) && guard.bans(at(90)).is_empty());
        assert!(!guard.failed(ip("2001:db8::7"), &ALICE, at(90)), "it starts anew");
    }

    #[test]
    fn after_a_ban_one_more_failure_bans_again_unless_it_has_been_quiet_long_enough() {
        let mut guard = guard();
        fail(&mut guard, "192.0.2.1", 6);
        guard.failed(ip("192.0.2.1"), &ALICE, at(149));
        assert!(guard.address_waits(ip("192.0.2.1"), at(248)));
        guard.failed(ip("192.0.2.1"), &ALICE, at(299));
        assert!(!guard.address_waits(ip("192.0.2.1"), at(299)));
    }

    #[test]
    fn others_do_not_wait() {
        let mut guard = guard();
        fail(&mut guard, "192.0.2.1", 6);
        assert!(!guard.address_waits(ip("192.0.2.2"), at(0)));
        assert!(!guard.address_waits(None, at(0)));
        assert!(!guard.user_waits(&BOB, at(0)));
    }

    #[test]
    fn a_host_cannot_escape_within_its_ipv6_network_or_by_mapping() {
        let mut guard = guard();
        fail(&mut guard, "2001:db8::1", 6);
        assert!(guard.address_waits(ip("2001:db8::ffff:2"), at(0)));
        assert!(!guard.address_waits(ip("2001:db8:0:1::1"), at(0)));
        fail(&mut guard, "::ffff:192.0.2.1", 6);
        assert!(guard.address_waits(ip("192.0.2.1"), at(0)));
    }

    #[test]
    fn loopback_addresses_are_not_counted_but_their_users_are() {
        let mut guard = guard();
        for loopback in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            fail(&mut guard, loopback, 6);
            assert!(!guard.address_waits(ip(loopback), at(0)));
        }
        assert!(guard.user_waits(&ALICE, at(0)));
    }

    #[test]
    fn a_flood_of_addresses_stays_within_the_bound() {
        let mut guard = guard();
        for n in 0..10_000u32 {
            guard.failed(Some(IpAddr::V4(n.into())), &ALICE, at(0));
        }
        assert!(guard.addresses.len() <= 100);
    }
}
