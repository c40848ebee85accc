//! A vhost: a space of names, sessions, exchanges and queues of its own.

use super::broker::{NamedQueue, TREE_EXCHANGE};
use super::govern::{Policies, UNLIMITED};
use super::guard::{Guard, RulesHere};
use super::session_map::SessionMap;
use crate::engine::{Locator, ObjectId, Stage};
use crate::exchange::Topology;
use crate::quota::Quota;
use crate::route::SpareNames;
use crate::topics::Topics;
use crate::traffic::{ExchangeBooks, VhostBooks};
use bytes::Bytes;
use foldhash::quality::RandomState;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Where the journal has each record of a kind. Clients choose these keys, so the hash is seeded.
type Places = HashMap<Bytes, Locator, RandomState>;

const SESSION_SHARDS: usize = 64;

/// The vhost that always exists.
pub const ROOT_VHOST: &str = "/";

/// The objects of the journal that hold what a vhost is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VhostObjects {
    /// The names of its sessions.
    pub(crate) directory: ObjectId,
    /// Its last values.
    pub(crate) retained: ObjectId,
    /// Its exchanges, queues and bindings.
    pub(crate) topology: ObjectId,
}

/// See the module's page.
#[derive(Debug)]
pub struct Vhost {
    name: Arc<str>,
    pub(crate) objects: VhostObjects,
    pub(crate) topics: Topics,
    pub(super) sessions: Box<[Mutex<SessionMap>]>,
    pub(super) session_count: AtomicU64,
    hasher: foldhash::quality::FixedState,
    /// Shared by all vhosts.
    pub(super) guard: Arc<Guard>,
    pub(super) rules: RulesHere,
    topology: RwLock<Topology<Arc<NamedQueue>>>,
    /// The topology's own count, to be asked without its lock.
    topology_epoch: AtomicU64,
    /// Where the journal has the records of the topology. Locked inside of a stage only.
    records: Mutex<Places>,
    /// Exclusive queues by the connection that owns them.
    pub(super) exclusive: Mutex<HashMap<u64, Vec<Arc<NamedQueue>>, RandomState>>,
    /// Read where a queue or an exchange begins.
    pub(super) policies: RwLock<Policies>,
    /// Held while policies change or take hold, before any other lock.
    pub(super) policy_turn: Mutex<()>,
    /// Negative: no limit.
    pub(super) max_connections: AtomicI64,
    pub(super) max_queues: AtomicI64,
    quota: Arc<Quota>,
    pub(super) deleted: AtomicBool,
    pub(crate) spare_names: Arc<SpareNames>,
    /// Of the exchange that is the topic tree.
    pub(crate) tree_books: Arc<ExchangeBooks>,
    books: Arc<VhostBooks>,
}

impl Vhost {
    pub(super) fn new(name: &str, objects: VhostObjects, guard: Arc<Guard>) -> Self {
        let topology = Topology::default();
        let tree_books = topology.exchange_books(TREE_EXCHANGE).cloned().unwrap_or_default();
        Vhost {
            name: name.into(),
            objects,
            topics: Topics::default(),
            sessions: (0..SESSION_SHARDS).map(|_| Mutex::default()).collect(),
            session_count: AtomicU64::new(0),
            hasher: foldhash::quality::FixedState::default(),
            guard,
            rules: RulesHere::default(),
            topology: RwLock::new(topology),
            topology_epoch: AtomicU64::new(0),
            records: Mutex::default(),
            exclusive: Mutex::default(),
            policies: RwLock::default(),
            policy_turn: Mutex::default(),
            max_connections: AtomicI64::new(UNLIMITED),
            max_queues: AtomicI64::new(UNLIMITED),
            quota: Arc::default(),
            deleted: AtomicBool::new(false),
            spare_names: Arc::default(),
            tree_books,
            books: Arc::default(),
        }
    }

    /// Its name; the one that always exists is [`ROOT_VHOST`].
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// It was deleted: nothing new begins in it.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Sessions, connected or not.
    pub fn session_count(&self) -> u64 {
        self.session_count.load(Ordering::Relaxed)
    }

    /// What its queues hold, and may.
    pub fn quota(&self) -> &Arc<Quota> {
        &self.quota
    }

    /// What is over in it, and what was done.
    pub fn books(&self) -> &Arc<VhostBooks> {
        &self.books
    }

    pub(super) fn session_shard(&self, client: &str) -> &Mutex<SessionMap> {
        &self.sessions[self.hasher.hash_one(client) as usize % SESSION_SHARDS]
    }

    /// Exchanges, queues and bindings, to look at. No lock of a queue may be waited for meanwhile.
    pub fn topology(&self) -> RwLockReadGuard<'_, Topology<Arc<NamedQueue>>> {
        self.topology.read()
    }

    /// Changes exchanges, queues or bindings; routes made before are no longer believed.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Topology<Arc<NamedQueue>>) -> T) -> T {
        let mut topology = self.topology.write();
        let answer = change(&mut topology);
        self.topology_epoch.store(topology.epoch(), Ordering::Release);
        answer
    }

    /// What a route over the topology that is made now is good for.
    pub(crate) fn topology_epoch(&self) -> u64 {
        self.topology_epoch.load(Ordering::Acquire)
    }

    /// Writes a record of the topology.
    pub(super) fn stage_record<S: Stage>(&self, stage: &mut S, key: Vec<u8>, value: &[u8]) {
        let mut records = self.records.lock();
        let before = records.get(&key[..]).copied();
        let at = stage.put(self.objects.topology, &key, value, before);
        records.insert(key.into(), at);
    }

    /// Removes a record of the topology, if there is one; true when there was.
    pub(super) fn unstage_record<S: Stage>(&self, stage: &mut S, key: &[u8]) -> bool {
        let before = self.records.lock().remove(key);
        if let Some(at) = before {
            stage.delete(self.objects.topology, key, at);
        }
        before.is_some()
    }

    /// A start found this record.
    pub(super) fn recovered_record(&self, key: Bytes, at: Locator) {
        self.records.lock().insert(key, at);
    }

    pub(super) fn record_moved(&self, key: &Bytes, old: Locator, new: Locator) {
        if let Some(at) = self.records.lock().get_mut(key)
            && *at == old
        {
            *at = new;
        }
    }
}
