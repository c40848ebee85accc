//! Exchanges and queues by name: declare, find.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use foldhash::quality::RandomState;

use super::kind::text_of;
use super::seen::Seen;
use super::table::Table;
use super::{DeclareError, ExchangeConfig, ExchangeKind, Limits, Target};
use crate::traffic::ExchangeBooks;

/// A queue of a [`Topology`], until its epoch moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueKey(pub(super) u64);

impl QueueKey {
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// An exchange of a [`Topology`], until its epoch moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeKey(pub(super) u64);

impl ExchangeKey {
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// The exchanges, queues and bindings of one vhost; `Q` is what the caller keeps per queue.
#[derive(Debug)]
pub struct Topology<Q> {
    pub(super) exchanges: HashMap<ExchangeKey, Exchange, foldhash::fast::RandomState>,
    pub(super) exchange_names: HashMap<Bytes, ExchangeKey, RandomState>,
    pub(super) queues: HashMap<QueueKey, QueueNode<Q>, foldhash::fast::RandomState>,
    pub(super) queue_names: HashMap<Bytes, QueueKey, RandomState>,
    /// Which exchanges have bindings to this target, so that its end finds them.
    pub(super) sources: BTreeMap<Target, BTreeSet<ExchangeKey>>,
    pub(super) limits: Limits,
    /// Keys are numbers that are never used twice.
    next_key: u64,
    pub(super) epoch: u64,
}

#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) name: Bytes,
    pub(super) config: ExchangeConfig,
    pub(super) table: Table,
    pub(super) role: Role,
    pub(super) books: Arc<ExchangeBooks>,
    /// What came by, where it looks for duplicates.
    pub(super) seen: Option<Arc<Seen>>,
    /// The alternate exchange that a policy names; one of the declaration comes first.
    pub(super) governing_alternate: Option<Bytes>,
}

/// What is special about a pre-declared exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Declared,
    /// Cannot be deleted.
    Predeclared,
    /// Cannot be deleted; holds every queue under its name.
    Default,
    /// Cannot be deleted; is the topic tree.
    TopicTree,
}

#[derive(Debug)]
pub(super) struct QueueNode<Q> {
    pub(super) name: Bytes,
    pub(super) durable: bool,
    pub(super) value: Q,
}

impl<Q> Default for Topology<Q> {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl<Q> Topology<Q> {
    /// The pre-declared exchanges and nothing else.
    pub fn new(limits: Limits) -> Self {
        let mut topology = Self {
            exchanges: HashMap::default(),
            exchange_names: HashMap::default(),
            queues: HashMap::default(),
            queue_names: HashMap::default(),
            sources: BTreeMap::new(),
            limits,
            next_key: 1,
            epoch: 0,
        };
        // AMQP 0-9-1 section 3.1.3; `amq.match` is the specification's name of a headers exchange, `amq.headers` the one in use.
        for (name, kind, role) in [
            ("", ExchangeKind::Direct, Role::Default),
            ("amq.direct", ExchangeKind::Direct, Role::Predeclared),
            ("amq.fanout", ExchangeKind::Fanout, Role::Predeclared),
            ("amq.topic", ExchangeKind::Topic, Role::TopicTree),
            ("amq.headers", ExchangeKind::Headers, Role::Predeclared),
            ("amq.match", ExchangeKind::Headers, Role::Predeclared),
        ] {
            topology.add_exchange(Bytes::from_static(name.as_bytes()), ExchangeConfig::durable(kind), role);
        }
        topology
    }

    /// Counts every change that makes a route or a key stale.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Declares an exchange; false when it is there and agrees.
    ///
    /// # Errors
    /// [`DeclareError::Mismatch`], [`DeclareError::Reserved`], [`DeclareError::Limit`].
    pub fn declare_exchange(&mut self, name: impl Into<Bytes>, config: ExchangeConfig) -> Result<bool, DeclareError> {
        let name = name.into();
        if let Some(known) = self.exchange(&name) {
            return known.first_difference(&name, &config).map_or(Ok(false), Err);
        }
        if name.starts_with(b"amq.") {
            return Err(DeclareError::Reserved);
        }
        if self.exchanges.len() >= self.limits.exchanges {
            return Err(DeclareError::Limit(self.limits.exchanges));
        }
        self.add_exchange(name, config, Role::Declared);
        Ok(true)
    }

    /// How an exchange was declared, or `None`.
    pub fn exchange(&self, name: &[u8]) -> Option<&ExchangeConfig> {
        Some(&self.exchanges[self.exchange_names.get(name)?].config)
    }

    /// What has gone through an exchange.
    pub fn exchange_books(&self, name: &[u8]) -> Option<&Arc<ExchangeBooks>> {
        Some(&self.exchanges[self.exchange_names.get(name)?].books)
    }

    /// A passive declaration: how it was declared.
    ///
    /// # Errors
    /// [`DeclareError::NotFound`].
    pub fn check_exchange(&self, name: &[u8]) -> Result<&ExchangeConfig, DeclareError> {
        self.exchange(name).ok_or_else(|| DeclareError::NotFound(text_of(name)))
    }

    /// Holds every exchange against policies: `alternate` is what they say of a name.
    pub(crate) fn govern_exchanges(&mut self, alternate: impl Fn(&[u8]) -> Option<Bytes>) {
        let names: Vec<Bytes> = self.exchange_names.keys().filter(|name| !name.is_empty()).cloned().collect();
        names.iter().for_each(|name| self.govern_exchange(name, alternate(name)));
    }

    /// What policies say of one exchange.
    pub(crate) fn govern_exchange(&mut self, name: &[u8], alternate: Option<Bytes>) {
        let Some(key) = self.exchange_names.get(name) else { return };
        if let Some(exchange) = self.exchanges.get_mut(key)
            && exchange.governing_alternate != alternate
        {
            exchange.governing_alternate = alternate;
            self.epoch += 1;
        }
    }

    /// The name of an exchange; `None` when it is gone.
    pub fn exchange_name(&self, key: ExchangeKey) -> Option<&Bytes> {
        self.exchanges.get(&key).map(|exchange| &exchange.name)
    }

    /// Whether an exchange of this vhost holds messages back.
    pub(crate) fn has_delayed_exchange(&self) -> bool {
        self.exchanges.values().any(|exchange| exchange.config.delayed)
    }

    /// The exchanges' names, in no order.
    pub fn exchange_names(&self) -> impl Iterator<Item = &Bytes> {
        self.exchange_names.keys()
    }

    /// Makes a queue known, so that the default exchange routes to it; the caller has checked that the name is free to take.
    ///
    /// # Errors
    /// [`DeclareError::QueueExists`].
    pub fn add_queue(&mut self, name: impl Into<Bytes>, durable: bool, value: Q) -> Result<QueueKey, DeclareError> {
        let name = name.into();
        if self.queue_names.contains_key(&name) {
            return Err(DeclareError::QueueExists);
        }
        let key = QueueKey(self.allot_key());
        self.queue_names.insert(name.clone(), key);
        self.queues.insert(key, QueueNode { name, durable, value });
        self.epoch += 1;
        Ok(key)
    }

    /// The key of a queue by its name.
    pub fn find_queue(&self, name: &[u8]) -> Option<QueueKey> {
        self.queue_names.get(name).copied()
    }

    /// The queues and what the caller keeps for them, in no order.
    pub fn queues(&self) -> impl Iterator<Item = (&Bytes, &Q)> {
        self.queues.values().map(|node| (&node.name, &node.value))
    }

    /// How many queues there are.
    pub fn queue_count(&self) -> usize {
        self.queues.len()
    }

    /// The queue of this name.
    pub fn queue_named(&self, name: &[u8]) -> Option<&Q> {
        self.queue(self.find_queue(name)?)
    }

    /// What the caller keeps for a queue; `None` when it is gone.
    pub fn queue(&self, key: QueueKey) -> Option<&Q> {
        self.queues.get(&key).map(|queue| &queue.value)
    }

    /// The name of a queue; `None` when it is gone.
    pub fn queue_name(&self, key: QueueKey) -> Option<&Bytes> {
        self.queues.get(&key).map(|queue| &queue.name)
    }

    fn add_exchange(&mut self, name: Bytes, config: ExchangeConfig, role: Role) {
        let key = ExchangeKey(self.allot_key());
        let table = Table::new(&config.kind, role == Role::TopicTree);
        let seen = config.dedup.as_ref().map(Seen::new);
        self.exchange_names.insert(name.clone(), key);
        let books = Arc::default();
        self.exchanges.insert(key, Exchange { name, config, table, role, books, seen, governing_alternate: None });
        self.epoch += 1;
    }

    fn allot_key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key - 1
    }
}
