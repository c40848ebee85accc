//! The topic tree of a vhost, cut into shards by first segment.
//!
//! Patterns whose first token is literal live in that literal's shard, all others in the wild shard, so a lookup takes
//! two short read locks and a storm of subscriptions in one corner leaves the others alone. Each shard has an epoch; a
//! publisher's cached route holds as long as the two epochs that made it.

use crate::engine::Locator;
use crate::exchange::Target;
use crate::message::MessageRef;
use crate::name::Name;
use crate::pattern::{Pattern, Token};
use crate::session::{Session, SubscribeOptions};
use crate::tree::Tree;
use foldhash::quality::FixedState;
use parking_lot::{Mutex, RwLock};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const SHARDS: usize = 64;

/// One subscription in the tree.
#[derive(Debug, Clone)]
pub(crate) enum Subscription {
    /// A session subscribes.
    Session(Arc<Session>, SubscribeOptions),
    /// A queue or exchange is bound to the tree.
    Bound(Target),
}

impl Subscription {
    /// Its key among the subscribers of a pattern: the numbers of sessions leave the second highest bit alone.
    fn key(&self) -> u64 {
        match self {
            Subscription::Session(session, _) => session.id().0,
            Subscription::Bound(target) => bound_key(*target),
        }
    }
}

const BOUND: u64 = 1 << 62;
const BOUND_EXCHANGE: u64 = 1 << 61;

fn bound_key(target: Target) -> u64 {
    match target {
        Target::Queue(key) => BOUND | key.number(),
        Target::Exchange(key) => BOUND | BOUND_EXCHANGE | key.number(),
    }
}

/// The last value of an address.
#[derive(Debug, Clone)]
pub(crate) struct Retained {
    pub(crate) message: MessageRef,
    /// Where it is in the journal; `None` while the vhost keeps last values in memory only.
    pub(crate) locator: Option<Locator>,
}

impl Retained {
    /// What it counts for: body, properties and address, as far as they grow with what a publisher says.
    pub(crate) fn bytes(&self) -> u64 {
        retained_bytes(&self.message)
    }
}

/// What `message` would count for as a last value.
pub(crate) fn retained_bytes(message: &MessageRef) -> u64 {
    u64::from(message.size()) + message.address().as_flat().len() as u64
}

type Shard = RwLock<Tree<u64, Subscription, Retained>>;

#[derive(Debug)]
pub(crate) struct Topics {
    shards: Box<[Shard]>,
    wild: Shard,
    epochs: Box<[AtomicU64]>,
    wild_epoch: AtomicU64,
    hasher: FixedState,
    retained_count: AtomicU64,
    retained_bytes: AtomicU64,
    /// Where the search for expired values goes on.
    swept: Mutex<RetainedCursor>,
}

/// The state of the tree that a route was computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RouteEpoch {
    shard: u32,
    literal: u64,
    wild: u64,
}

impl Default for Topics {
    fn default() -> Self {
        Topics {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            wild: Shard::default(),
            epochs: (0..SHARDS).map(|_| AtomicU64::new(1)).collect(),
            wild_epoch: AtomicU64::new(1),
            hasher: FixedState::default(),
            retained_count: AtomicU64::new(0),
            retained_bytes: AtomicU64::new(0),
            swept: Mutex::new(RetainedCursor::new(
                Pattern::from_tokens([Token::Rest]).expect("one token is a short pattern"),
            )),
        }
    }
}

impl Topics {
    fn shard_of(&self, first: &[u8]) -> usize {
        (self.hasher.hash_one(first) as usize) % SHARDS
    }

    /// The shard of a pattern, or `None` for the wild one.
    fn shard_of_pattern(&self, pattern: &Pattern) -> Option<usize> {
        match pattern.tokens().next() {
            Some(Token::Literal(first)) => Some(self.shard_of(first)),
            _ => None,
        }
    }

    fn shard(&self, at: Option<usize>) -> &Shard {
        at.map_or(&self.wild, |at| &self.shards[at])
    }

    /// Routes made before this call are no longer believed.
    pub(crate) fn touch(&self, pattern: &Pattern) {
        match self.shard_of_pattern(pattern) {
            Some(at) => self.epochs[at].fetch_add(1, Ordering::Release),
            None => self.wild_epoch.fetch_add(1, Ordering::Release),
        };
    }

    /// The epoch that a route for `name` would have now.
    pub(crate) fn epoch(&self, name: &Name) -> RouteEpoch {
        let shard = self.shard_of(name.first());
        RouteEpoch {
            shard: shard as u32,
            literal: self.epochs[shard].load(Ordering::Acquire),
            wild: self.wild_epoch.load(Ordering::Acquire),
        }
    }

    /// Nothing has changed since `epoch` that could change the route.
    pub(crate) fn is_current(&self, epoch: RouteEpoch) -> bool {
        self.epochs[epoch.shard as usize].load(Ordering::Acquire) == epoch.literal
            && self.wild_epoch.load(Ordering::Acquire) == epoch.wild
    }

    /// Adds or replaces; true when the session had this pattern before.
    pub(crate) fn subscribe(&self, pattern: &Pattern, subscription: Subscription) -> bool {
        let shard = self.shard(self.shard_of_pattern(pattern));
        let key = subscription.key();
        let before = shard.write().insert(pattern, key, subscription);
        self.touch(pattern);
        before.is_some()
    }

    /// Removes; true when it was there.
    pub(crate) fn unsubscribe(&self, pattern: &Pattern, session: u64) -> bool {
        let shard = self.shard(self.shard_of_pattern(pattern));
        let before = shard.write().remove(pattern, &session);
        self.touch(pattern);
        before.is_some()
    }

    /// A queue or exchange is no longer bound.
    pub(crate) fn unbind(&self, pattern: &Pattern, target: Target) -> bool {
        self.unsubscribe(pattern, bound_key(target))
    }

    /// Visits every subscription whose pattern matches `name`.
    pub(crate) fn for_each_match(&self, name: &Name, mut visit: impl FnMut(&Subscription)) {
        self.shards[self.shard_of(name.first())].read().for_each_match(name, |_, s| visit(s));
        self.wild.read().for_each_match(name, |_, s| visit(s));
    }

    /// Sets the last value and returns the one before.
    pub(crate) fn set_retained(&self, name: &Name, value: Retained) -> Option<Retained> {
        let bytes = value.bytes();
        let before = self.shards[self.shard_of(name.first())].write().set_retained(name, value);
        self.retained_bytes.fetch_add(bytes, Ordering::Relaxed);
        match &before {
            Some(before) => self.retained_bytes.fetch_sub(before.bytes(), Ordering::Relaxed),
            None => self.retained_count.fetch_add(1, Ordering::Relaxed),
        };
        before
    }

    /// Clears the last value and returns it.
    pub(crate) fn clear_retained(&self, name: &Name) -> Option<Retained> {
        let before = self.shards[self.shard_of(name.first())].write().remove_retained(name);
        if let Some(before) = &before {
            self.retained_count.fetch_sub(1, Ordering::Relaxed);
            self.retained_bytes.fetch_sub(before.bytes(), Ordering::Relaxed);
        }
        before
    }

    /// A pattern begins with this literal segment.
    pub(crate) fn has_subscribers_below(&self, first: &[u8]) -> bool {
        self.shards[self.shard_of(first)].read().has_subscriptions_below(first)
    }

    /// Lets `change` see the last value of `name` and replace it.
    pub(crate) fn update_retained(&self, name: &Name, change: impl FnOnce(&mut Retained)) {
        let mut shard = self.shards[self.shard_of(name.first())].write();
        if let Some(mut value) = shard.get_retained(name).cloned() {
            change(&mut value);
            shard.set_retained(name, value);
        }
    }

    /// Looks at the last value of `name`.
    pub(crate) fn with_retained<T>(&self, name: &Name, look: impl FnOnce(Option<&Retained>) -> T) -> T {
        look(self.shards[self.shard_of(name.first())].read().get_retained(name))
    }

    /// How many addresses have a last value.
    pub(crate) fn retained_count(&self) -> u64 {
        self.retained_count.load(Ordering::Relaxed)
    }

    /// What they count for, in bytes.
    pub(crate) fn retained_bytes(&self) -> u64 {
        self.retained_bytes.load(Ordering::Relaxed)
    }

    /// The next page of last values that match, in a stable order; moves `cursor` on. False when there are no more.
    pub(crate) fn retained_page(
        &self,
        cursor: &mut RetainedCursor,
        limit: usize,
        mut visit: impl FnMut(&Retained),
    ) -> bool {
        // A literal first token needs one shard; a wildcard needs them all, one after the other.
        let single = self.shard_of_pattern(&cursor.pattern);
        if let (Some(at), 0) = (single, cursor.shard) {
            cursor.shard = at;
        }
        let end = single.map_or(SHARDS, |at| at + 1);
        let mut left = limit;
        // A look into a shard is bounded by the tree; so many of them are one page, full or not.
        let mut looks = 0;
        while cursor.shard < end && left > 0 && looks < SHARDS {
            looks += 1;
            let shard = self.shards[cursor.shard].read();
            let after = shard.retained_after(&cursor.pattern, cursor.after.as_ref(), left, |_, value| {
                left -= 1;
                visit(value);
            });
            cursor.after = after;
            if cursor.after.is_none() {
                cursor.shard += 1;
            }
        }
        cursor.shard < end
    }

    /// Looks at some last values, and at others the next time, until it begins anew.
    pub(crate) fn sweep(&self, limit: usize, visit: impl FnMut(&Retained)) {
        let mut cursor = self.swept.lock();
        if !self.retained_page(&mut cursor, limit, visit) {
            *cursor = RetainedCursor::new(cursor.pattern.clone());
        }
    }
}

/// A place in the walk over the last values that match a pattern.
#[derive(Debug, Clone)]
pub struct RetainedCursor {
    pattern: Pattern,
    shard: usize,
    after: Option<Name>,
}

impl RetainedCursor {
    /// At the beginning.
    pub fn new(pattern: Pattern) -> Self {
        RetainedCursor { pattern, shard: 0, after: None }
    }
}
