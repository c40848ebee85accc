//! The routes a publisher knows.

use super::{KnownName, Rights};
use crate::core::Vhost;
use crate::core::broker::{self, PublishError};
use crate::mailbox::Mailbox;
use crate::name::Name;
use crate::principal::Principal;
use bytes::Bytes;
use foldhash::quality::RandomState;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Names that every publisher may keep.
const NAMES_BASE: usize = 256;
/// Names that one publisher may keep where they come back and the vhost has some to spare.
const NAMES_MAX: usize = 4096;
/// What the publishers of a vhost keep together beyond their base; a name takes about half a kilobyte.
const SPARE_NAMES: usize = 128 << 10;
/// After so many rounds of names that never came back it is tried again whether more room helps.
const PATIENCE: u32 = 16;

/// Names that publishers of a vhost may keep beyond their base.
#[derive(Debug)]
pub(crate) struct SpareNames(AtomicUsize);

impl Default for SpareNames {
    fn default() -> Self {
        SpareNames(AtomicUsize::new(SPARE_NAMES))
    }
}

impl SpareNames {
    fn lend(&self, count: usize) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(count)).is_ok()
    }
}

/// How many names one publisher keeps: more where that pays and the others leave some.
#[derive(Debug, Default)]
struct Room {
    /// What it has beyond the base, and from whom.
    lent: usize,
    from: Option<Arc<SpareNames>>,
    /// Lookups that found their name since the last time all were forgotten.
    hits: usize,
    /// Rounds to wait before growing is tried again.
    patience: u32,
}

impl Room {
    fn limit(&self) -> usize {
        NAMES_BASE + self.lent
    }

    /// Doubles the room. False: there is none to be had, or it would not help.
    fn grow(&mut self, spare: &Arc<SpareNames>) -> bool {
        let more = self.limit().min(NAMES_MAX - self.limit());
        if more == 0 || self.patience > 0 || !spare.lend(more) {
            return false;
        }
        self.from.get_or_insert_with(|| spare.clone());
        self.lent += more;
        true
    }

    /// All names were forgotten: was it worth it to have kept them?
    fn review(&mut self) {
        let pays = std::mem::take(&mut self.hits) >= self.limit();
        self.patience = match (pays, self.lent) {
            (true, _) => 0,
            (false, 0) => self.patience.saturating_sub(1),
            (false, _) => PATIENCE,
        };
        if !pays {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some(from) = self.from.take() {
            from.0.fetch_add(std::mem::take(&mut self.lent), Ordering::Relaxed);
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Names a publisher used lately, by its own spelling. Bounded: a publisher that uses a new name each time pays the
/// lookup each time and keeps nothing.
#[derive(Debug, Default)]
pub struct RouteCache {
    known: HashMap<Box<[u8]>, KnownName, RandomState>,
    /// By exchange and key: the length of the exchange's name, the name, the key.
    exchanges: HashMap<Box<[u8]>, KnownName, RandomState>,
    scratch: Vec<u8>,
    room: Room,
}

impl RouteCache {
    /// Before a name is added.
    fn make_room(&mut self, vhost: &Vhost) {
        if self.known.len() + self.exchanges.len() < self.room.limit() || self.room.grow(&vhost.spare_names) {
            return;
        }
        self.known.clear();
        self.exchanges.clear();
        self.room.review();
    }

    /// The route for `spelled`, from the cache when it still holds; `decode` spells the name out on first use.
    ///
    /// # Errors
    /// What `decode` says when `spelled` is not a name.
    pub(crate) fn lookup<X>(
        &mut self,
        vhost: &Vhost,
        who: &Principal,
        tell: Option<&Arc<Mailbox>>,
        spelled: &[u8],
        decode: impl FnOnce() -> Result<Name, X>,
    ) -> Result<&KnownName, X> {
        let stale = match self.known.get(spelled) {
            Some(known) => (!known.is_current(vhost)).then(|| known.name.clone()),
            None => Some(broker::canonical(decode()?)),
        };
        if let Some(name) = stale {
            self.make_room(vhost);
            // Before the route: what changes meanwhile makes it stale.
            let (epoch, topology) = (vhost.topics.epoch(&name), vhost.topology_epoch());
            let mut found = broker::route_name(0, vhost, &name, None);
            found.route.epoch = Some(epoch);
            let known = KnownName {
                name,
                rights: Rights::default(),
                epoch,
                topology: found.over_topology.then_some(topology),
                route: Arc::new(found.route),
                via: None,
                by_message: found.by_message,
            };
            self.known.insert(spelled.into(), known);
        } else {
            self.room.hits += 1;
        }
        let known = self.known.get_mut(spelled).expect("was there or has just been inserted");
        known.ask(vhost, who, tell);
        Ok(known)
    }

    /// The route for a key of an exchange.
    ///
    /// # Errors
    /// See [`crate::core::Publisher::exchange`].
    pub(crate) fn exchange(
        &mut self,
        vhost: &Vhost,
        who: &Principal,
        tell: Option<&Arc<Mailbox>>,
        exchange: &[u8],
        key: &[u8],
    ) -> Result<&KnownName, PublishError> {
        self.scratch.clear();
        self.scratch.extend_from_slice(&(exchange.len() as u64).to_le_bytes());
        self.scratch.extend_from_slice(exchange);
        self.scratch.extend_from_slice(key);
        if !self.exchanges.get(&self.scratch[..]).is_some_and(|known| known.is_current(vhost)) {
            self.make_room(vhost);
            let name = broker::address_of(exchange, key).map_err(|_| PublishError::NameTooLong)?;
            let (epoch, topology) = (vhost.topics.epoch(&name), vhost.topology_epoch());
            let found = broker::route_exchange(0, vhost, exchange, key, None, true)?;
            let known = KnownName {
                name,
                rights: Rights::default(),
                epoch,
                topology: Some(topology),
                route: Arc::new(found.route),
                via: Some(Arc::new((Bytes::copy_from_slice(exchange), Bytes::copy_from_slice(key)))),
                by_message: found.by_message,
            };
            self.exchanges.insert(self.scratch.as_slice().into(), known);
        } else {
            self.room.hits += 1;
        }
        let known = self.exchanges.get_mut(&self.scratch[..]).expect("was there or has just been inserted");
        known.ask(vhost, who, tell);
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses names of a circle of so many, as often as `rounds` says; how many lookups found theirs.
    fn turn(room: &mut Room, spare: &Arc<SpareNames>, circle: usize, rounds: usize) -> usize {
        let (mut kept, mut found) = (std::collections::HashSet::new(), 0);
        for name in (0..rounds).flat_map(|_| 0..circle) {
            if kept.contains(&name) {
                room.hits += 1;
                found += 1;
                continue;
            }
            if kept.len() >= room.limit() && !room.grow(spare) {
                kept.clear();
                room.review();
            }
            kept.insert(name);
        }
        found
    }

    fn left(spare: &SpareNames) -> usize {
        spare.0.load(Ordering::Relaxed)
    }

    #[test]
    fn names_that_come_back_get_room() {
        let (mut room, spare) = (Room::default(), Arc::default());
        assert_eq!(turn(&mut room, &spare, 1000, 3), 2000);
        assert_eq!((room.limit(), left(&spare)), (1024, SPARE_NAMES - 768));
        drop(room);
        assert_eq!(left(&spare), SPARE_NAMES);
    }

    #[test]
    fn names_that_never_come_back_get_the_base_and_another_chance_later() {
        let (mut room, spare) = (Room::default(), Arc::default());
        turn(&mut room, &spare, 100_000, 1);
        assert!(room.limit() <= NAMES_MAX);
        room.review();
        room.patience = PATIENCE;
        assert_eq!((room.limit(), left(&spare)), (NAMES_BASE, SPARE_NAMES));
        assert!(turn(&mut room, &spare, 1000, 100) > 50_000);
    }

    #[test]
    fn nobody_gets_what_others_have() {
        let (mut room, spare) = (Room::default(), Arc::new(SpareNames(AtomicUsize::new(100))));
        turn(&mut room, &spare, 1000, 3);
        assert_eq!((room.limit(), left(&spare)), (NAMES_BASE, 100));
    }
}
