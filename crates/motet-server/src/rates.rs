//! How fast a peer may publish: token buckets of a connection, of a user and of an address, in messages and in bytes.
//!
//! Who is over its rate is not read from until it is under it again: the publisher is slowed, nothing is dropped and
//! nobody is sent away. What one read brought is taken whole and paid for afterwards, so reads are short where a rate
//! holds.
//!
//! A bucket is one number, the moment at which everything taken so far is paid for. It may lie ahead of now by the
//! burst; what is beyond, is waited for.

use crate::config::Limits;
use motet_core::principal::Principal;
use motet_core::time::Instant;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;
/// One read of a connection with a rate: a few dozen of the smallest messages, so that little more than the burst is taken.
pub(crate) const RATED_READ_BYTES: usize = 512;
/// Buckets are looked through for those that nobody uses once there are so many, and again when they have doubled.
const SWEEP_AT_LEAST: usize = 1024;

/// Whose rate it is that holds somebody back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Connection,
    User,
    Address,
}

/// The names of the scopes, in their order, as metrics have them.
pub(crate) const SCOPES: [&str; 3] = ["connection", "user", "address"];

/// So much per second; None is without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate {
    messages: Option<u64>,
    bytes: Option<u64>,
}

impl Rate {
    fn is_set(self) -> bool {
        self.messages.is_some() || self.bytes.is_some()
    }
}

/// Two buckets that are paid together.
#[derive(Debug, Default)]
struct Buckets {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Buckets {
    /// Takes so much; the moment from which on more may be taken.
    fn charge(&self, rate: Rate, burst: Duration, now: Instant, messages: u64, bytes: u64) -> Instant {
        let charge = |bucket: &AtomicU64, rate: Option<u64>, amount: u64| {
            let Some(rate) = rate else { return Instant::START };
            let cost = u64::try_from(u128::from(amount) * NANOS_PER_SECOND / u128::from(rate)).unwrap_or(u64::MAX);
            let now = now.as_nanos();
            let paid = |due: u64| due.max(now).saturating_add(cost);
            let before = bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| Some(paid(due)));
            let due = paid(before.unwrap_or_else(|same| same));
            Instant::from_nanos(due.saturating_sub(u64::try_from(burst.as_nanos()).unwrap_or(u64::MAX)))
        };
        charge(&self.messages, rate.messages, messages).max(charge(&self.bytes, rate.bytes, bytes))
    }

    fn is_paid(&self, now: Instant) -> bool {
        [&self.messages, &self.bytes].iter().all(|bucket| bucket.load(Ordering::Relaxed) <= now.as_nanos())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    User(Arc<str>),
    Address(IpAddr),
}

/// The buckets that connections share. A bucket outlives its connections until it is paid, so that nobody gets a new
/// one by connecting again.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    buckets: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Peers choose these keys, so the hash is seeded.
    by_key: HashMap<Key, Arc<Buckets>, foldhash::quality::RandomState>,
    sweep_at: usize,
}

impl Shared {
    fn get(&self, key: Key, now: Instant) -> Arc<Buckets> {
        let mut known = self.buckets.lock();
        if known.by_key.len() >= known.sweep_at.max(SWEEP_AT_LEAST) {
            known.by_key.retain(|_, buckets| Arc::strong_count(buckets) > 1 || !buckets.is_paid(now));
            known.sweep_at = known.by_key.len() * 2;
        }
        known.by_key.entry(key).or_default().clone()
    }
}

/// Who has one IPv6 address has all that share its first 64 bits. [RFC4291-2.5.4]
fn whose(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) >> 64 << 64).into(),
        v4 => v4,
    }
}

/// The buckets of one connection.
#[derive(Debug)]
pub(crate) struct Rated {
    limits: Arc<Limits>,
    own: Buckets,
    /// None until the peer is known, or where users have no rate.
    user: Option<Arc<Buckets>>,
    address: Option<Arc<Buckets>>,
    /// Messages that were charged.
    charged: u64,
    /// Nothing is read before; None when something may be read now.
    resume_at: Option<Instant>,
}

impl Rated {
    /// None where `limits` have no rate that could concern a connection.
    pub(crate) fn new(limits: &Arc<Limits>, shared: &Shared, peer: Option<IpAddr>, now: Instant) -> Option<Box<Self>> {
        let [own, user, address] = rates(limits);
        let peer = peer.filter(|_| address.is_set());
        if !own.is_set() && !user.is_set() && peer.is_none() {
            return None;
        }
        let address = peer.map(|peer| shared.get(Key::Address(whose(peer)), now));
        let limits = limits.clone();
        Some(Box::new(Rated { limits, own: Buckets::default(), user: None, address, charged: 0, resume_at: None }))
    }

    /// Charges `bytes`, and the messages up to `messages` in all. Some: whose rate now holds the peer back.
    pub(crate) fn charge(
        &mut self,
        now: Instant,
        bytes: u64,
        messages: u64,
        who: Option<&Principal>,
        shared: &Shared,
    ) -> Option<Scope> {
        let [own, user, address] = rates(&self.limits);
        let burst = self.limits.rate_burst;
        if user.is_set()
            && self.user.is_none()
            && let Some(who) = who.filter(|who| !who.is_anonymous())
        {
            self.user = Some(shared.get(Key::User(who.name.clone()), now));
        }
        let new = messages.saturating_sub(self.charged);
        self.charged = messages;
        let mut held = None;
        let charges = [
            (Scope::Connection, Some(&self.own), own),
            (Scope::User, self.user.as_deref(), user),
            (Scope::Address, self.address.as_deref(), address),
        ];
        for (scope, buckets, rate) in charges {
            let Some(buckets) = buckets else { continue };
            let at = buckets.charge(rate, burst, now, new, bytes);
            if at > now && held.is_none_or(|(_, latest)| at > latest) {
                held = Some((scope, at));
            }
        }
        self.resume_at = held.map(|(_, at)| at);
        held.map(|(scope, _)| scope)
    }

    /// When reading may go on, while it may not.
    pub(crate) fn held_until(&self, now: Instant) -> Option<Instant> {
        self.resume_at.filter(|at| *at > now)
    }
}

fn rates(limits: &Limits) -> [Rate; 3] {
    let rate = |messages: Option<u64>, bytes: Option<crate::config::ByteSize>| Rate {
        messages,
        bytes: bytes.map(crate::config::ByteSize::bytes),
    };
    [
        rate(limits.rate_connection_messages, limits.rate_connection_bytes),
        rate(limits.rate_user_messages, limits.rate_user_bytes),
        rate(limits.rate_address_messages, limits.rate_address_bytes),
    ]
}

/// One bucket for the whole server: so many a second, with one second's worth at once.
#[derive(Debug, Default)]
pub(crate) struct Pace(AtomicU64);

impl Pace {
    /// Takes one; false, and takes none, when that is more than `per_second`.
    pub(crate) fn take(&self, per_second: Option<u32>, now: Instant) -> bool {
        let Some(per_second) = per_second else { return true };
        let (cost, now) = (1_000_000_000 / u64::from(per_second.max(1)), now.as_nanos());
        let burst = 1_000_000_000;
        let took = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
            let due = due.max(now) + cost;
            (due - now <= burst).then_some(due)
        });
        took.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ByteSize;

    fn at(millis: u64) -> Instant {
        Instant::START + Duration::from_millis(millis)
    }

    fn limits(set: impl FnOnce(&mut Limits)) -> Arc<Limits> {
        let mut limits = Limits::default();
        set(&mut limits);
        limits.into()
    }

    #[test]
    fn without_a_rate_there_is_nothing_to_hold() {
        assert!(Rated::new(&limits(|_| {}), &Shared::default(), None, at(0)).is_none());
        let by_address = limits(|limits| limits.rate_address_bytes = Some(ByteSize(1)));
        assert!(Rated::new(&by_address, &Shared::default(), None, at(0)).is_none(), "a pipe has no address");
    }

    #[test]
    fn a_burst_passes_and_what_is_beyond_is_waited_for() {
        let limits = limits(|limits| limits.rate_connection_messages = Some(10));
        let shared = Shared::default();
        let mut rated = Rated::new(&limits, &shared, None, at(0)).unwrap();
        assert_eq!(rated.charge(at(0), 999, 10, None, &shared), None, "one second's worth");
        assert_eq!(rated.charge(at(0), 999, 15, None, &shared), Some(Scope::Connection));
        assert_eq!(rated.held_until(at(0)), Some(at(500)), "five too many are half a second");
        assert_eq!(rated.held_until(at(500)), None);
        assert_eq!(rated.charge(at(2000), 0, 25, None, &shared), None, "paid long ago");
    }

    #[test]
    fn users_and_addresses_share_theirs_across_connections_and_reconnects() {
        let limits = limits(|limits| {
            limits.rate_user_bytes = Some(ByteSize(1000));
            limits.rate_address_messages = Some(100);
        });
        let (shared, ann) = (Shared::default(), Principal::named("ann"));
        let connect = |ip: &str| Rated::new(&limits, &shared, Some(ip.parse().unwrap()), at(0)).unwrap();
        let mut first = connect("2001:db8::1");
        assert_eq!(first.charge(at(0), 900, 1, Some(&ann), &shared), None);
        drop(first);
        let mut again = connect("192.0.2.1");
        assert_eq!(again.charge(at(0), 200, 1, Some(&ann), &shared), Some(Scope::User));
        let mut neighbour = connect("2001:db8::2");
        assert_eq!(neighbour.charge(at(0), 0, 99, None, &shared), None);
        assert_eq!(neighbour.charge(at(0), 0, 101, None, &shared), Some(Scope::Address), "the first 64 bits are one");
        let anonymous = Principal::anonymous();
        let mut nobody = connect("192.0.2.9");
        assert_eq!(nobody.charge(at(0), 5000, 0, Some(&anonymous), &shared), None, "nobody is no user");
    }

    #[test]
    fn buckets_that_are_paid_and_unused_are_forgotten() {
        let shared = Shared::default();
        for n in 0..SWEEP_AT_LEAST as u32 {
            shared.get(Key::Address(std::net::Ipv4Addr::from(n).into()), at(0));
        }
        let owing = shared.get(Key::User("ann".into()), at(0));
        owing.charge(Rate { messages: Some(1), bytes: None }, Duration::ZERO, at(0), 100, 0);
        drop(owing);
        shared.buckets.lock().sweep_at = 0;
        shared.get(Key::User("bob".into()), at(1000));
        assert_eq!(shared.buckets.lock().by_key.len(), 2);
    }

    #[test]
    fn a_pace_lets_a_second_s_worth_through_at_once() {
        let pace = Pace::default();
        assert!((0..5).all(|_| pace.take(Some(5), at(1))));
        assert!(!pace.take(Some(5), at(1)));
        assert!(pace.take(Some(5), at(201)), "one more after a fifth of a second");
        assert!(pace.take(None, at(201)));
    }
}
