//! The core: what connections call, and what the engine completes.
//!
//! ```text
//!  machine ── publish ──▶ route ──▶ mailboxes (direct)          engine ── Durable ──▶ nudge who waits
//!     │                     └─────▶ queues ──▶ engine.stage              Read    ──▶ queue.loaded
//!     ├── open / subscribe / close ▶ sessions ▶ engine.stage             Moved   ──▶ new locators
//!     └── take / settle ──────────▶ queues                       clock ── on_time ─▶ wills, expiries
//! ```
//! Every call is synchronous and short. What must be durable before it is answered returns a [`Position`]; the caller
//! compares it with [`Core::durable`] and asks to be woken with [`Core::wake_when_durable`].

mod consume;
mod guard;
mod publish;
mod recover;
mod registry;
mod retain;
mod sessions;
mod timers;

pub use consume::{Delivery, Took};
pub use guard::{Decision, Refusal};
pub use publish::{Outcome, Publisher, Receipt, RejectCause};
pub use recover::{Recovered, Recovery};
pub use registry::{REGISTRY_RECORD_MAX, RecordTooBig, RegistryKind};
pub use retain::RetainedPage;
pub use sessions::{Note, SessionSummary, Subscribed};

use crate::engine::{Completion, Engine, ObjectId, Position};
use crate::mailbox::Mailbox;
use crate::message::PublisherId;
use crate::queue::QueueConfig;
use crate::queues::QueueCell;
use crate::session::Session;
use crate::topics::Topics;
use foldhash::quality::RandomState;
use guard::Guard;
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use timers::Timers;

/// Objects that exist in every store, in this order; all others are allotted by the engine above them.
pub(crate) const DIRECTORY: ObjectId = ObjectId(1);
pub(crate) const RETAINED: ObjectId = ObjectId(2);
/// The first object id that an engine may allot.
pub const FIRST_OBJECT: u64 = 16;

/// Bounds of everything that grows in the core.
#[derive(Debug, Clone)]
pub struct CoreLimits {
    /// Messages a session's queue holds before publishers are refused.
    pub session_queue_messages: u64,
    /// Bytes a session's queue holds before publishers are refused.
    pub session_queue_bytes: u64,
    /// Seconds a session may live without a connection, whatever the client asks for.
    pub session_expiry_max_secs: u32,
    /// Subscriptions of one session.
    pub subscriptions_per_session: usize,
    /// Sessions of the vhost.
    pub sessions: u64,
    /// Last values of the vhost; beyond it an address without one gets none.
    pub retained_messages: u64,
    /// Bytes of last values: bodies, properties and addresses.
    pub retained_bytes: u64,
}

impl Default for CoreLimits {
    fn default() -> Self {
        CoreLimits {
            session_queue_messages: 1_000_000,
            session_queue_bytes: 1 << 30,
            session_expiry_max_secs: u32::MAX,
            subscriptions_per_session: 10_000,
            sessions: 2_000_000,
            retained_messages: 1_000_000,
            retained_bytes: 512 << 20,
        }
    }
}

/// Counters of the core, read by metrics. Relaxed: they are sums, not synchronisation.
#[derive(Debug, Default)]
pub struct CoreCounters {
    /// Messages accepted from publishers.
    pub published: AtomicU64,
    /// Messages that reached nobody.
    pub unroutable: AtomicU64,
    /// Messages refused: at a bound, for want of a right, or by a store that takes nothing.
    pub rejected: AtomicU64,
    /// Messages that asked to become the last value of their address when last values were at their bound. Some were
    /// refused (and are in `rejected`), some delivered without being kept.
    pub retain_refused: AtomicU64,
    /// Deliveries dropped because a mailbox or a transient queue place was full.
    pub dropped: AtomicU64,
    /// Deliveries handed to connections.
    pub delivered: AtomicU64,
    /// Messages that expired before delivery.
    pub expired: AtomicU64,
    /// Wills published.
    pub wills: AtomicU64,
    /// Stored bodies that could not be read back.
    pub damaged: AtomicU64,
}

/// Clients choose these keys, so the hash is seeded.
type SessionMap = HashMap<Box<str>, Arc<Session>, RandomState>;

/// A space of names, sessions and queues.
#[derive(Debug)]
pub struct Vhost {
    pub(crate) topics: Topics,
    sessions: Box<[Mutex<SessionMap>]>,
    session_count: AtomicU64,
    hasher: foldhash::quality::FixedState,
    pub(crate) guard: Guard,
}

const SESSION_SHARDS: usize = 64;

impl Vhost {
    fn new() -> Self {
        Vhost {
            topics: Topics::default(),
            sessions: (0..SESSION_SHARDS).map(|_| Mutex::default()).collect(),
            session_count: AtomicU64::new(0),
            hasher: foldhash::quality::FixedState::default(),
            guard: Guard::default(),
        }
    }

    fn session_shard(&self, client: &str) -> &Mutex<SessionMap> {
        &self.sessions[self.hasher.hash_one(client) as usize % SESSION_SHARDS]
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Core<E> {
    engine: E,
    vhost: Arc<Vhost>,
    limits: CoreLimits,
    /// What the queues of sessions are like: volatile ones, durable ones.
    queue_configs: [Arc<QueueConfig>; 2],
    /// Durable sessions by object, for completions.
    objects: RwLock<HashMap<u64, Arc<Session>, RandomState>>,
    waiting: Mutex<VecDeque<(Position, Arc<Mailbox>)>>,
    timers: Timers,
    registry: registry::Registry,
    next_publisher: AtomicU64,
    next_volatile: AtomicU64,
    counters: CoreCounters,
}

/// Objects that are never written: high bit set, so that they cannot meet a durable one.
const VOLATILE: u64 = 1 << 63;

impl<E: Engine> Core<E> {
    /// A core over `engine`, empty until [`Core::recover`] has been given what the engine found.
    pub fn new(engine: E, limits: CoreLimits) -> Self {
        Core {
            engine,
            vhost: Arc::new(Vhost::new()),
            queue_configs: [false, true].map(|durable| session_queue_config(&limits, durable)),
            limits,
            objects: RwLock::default(),
            waiting: Mutex::default(),
            timers: Timers::default(),
            registry: registry::Registry::default(),
            next_publisher: AtomicU64::new(1),
            next_volatile: AtomicU64::new(VOLATILE),
            counters: CoreCounters::default(),
        }
    }

    /// What stores.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// The bounds this core was made with.
    pub fn limits(&self) -> &CoreLimits {
        &self.limits
    }

    /// Sums since the start.
    pub fn counters(&self) -> &CoreCounters {
        &self.counters
    }

    /// The space that connections without a vhost of their own use.
    pub fn vhost(&self) -> &Arc<Vhost> {
        &self.vhost
    }

    /// Everything staged up to here survives.
    pub fn durable(&self) -> Position {
        self.engine.durable()
    }

    /// Sessions, connected or not.
    pub fn session_count(&self) -> u64 {
        self.vhost.session_count.load(Ordering::Relaxed)
    }

    /// Addresses with a last value.
    pub fn retained_count(&self) -> u64 {
        self.vhost.topics.retained_count()
    }

    /// Bytes of last values, as [`CoreLimits::retained_bytes`] counts them.
    pub fn retained_bytes(&self) -> u64 {
        self.vhost.topics.retained_bytes()
    }

    /// A publisher identity for a new connection.
    pub fn new_publisher_id(&self) -> PublisherId {
        PublisherId(self.next_publisher.fetch_add(1, Ordering::Relaxed))
    }

    fn volatile_object(&self) -> ObjectId {
        ObjectId(self.next_volatile.fetch_add(1, Ordering::Relaxed))
    }

    /// Shared by all queues of a kind: a hundred thousand sessions are declared alike.
    fn session_queue_config(&self, durable: bool) -> Arc<QueueConfig> {
        self.queue_configs[usize::from(durable)].clone()
    }
}

fn session_queue_config(limits: &CoreLimits, durable: bool) -> Arc<QueueConfig> {
    Arc::new(QueueConfig {
        max_messages: Some(limits.session_queue_messages),
        max_bytes: Some(limits.session_queue_bytes),
        overflow: crate::queue::Overflow::RejectPublish,
        resident_only: true,
        durable,
        ..QueueConfig::default()
    })
}

impl<E: Engine> Core<E> {
    /// Nudges `mailbox` once `position` is durable; at once if it already is.
    pub fn wake_when_durable(&self, position: Position, mailbox: &Arc<Mailbox>) {
        if self.engine.durable() >= position {
            mailbox.nudge();
            return;
        }
        let mut waiting = self.waiting.lock();
        let at = waiting.partition_point(|(p, _)| *p <= position);
        waiting.insert(at, (position, mailbox.clone()));
        drop(waiting);
        // The watermark may have passed between the look and the insertion.
        if self.engine.durable() >= position {
            self.on_durable(self.engine.durable());
        }
    }

    fn on_durable(&self, position: Position) {
        let due: Vec<_> = {
            let mut waiting = self.waiting.lock();
            let end = waiting.partition_point(|(p, _)| *p <= position);
            waiting.drain(..end).collect()
        };
        for (_, mailbox) in due {
            mailbox.nudge();
        }
    }

    /// What the engine has to say; called from its own thread or from the simulation.
    pub fn complete(&self, completion: Completion) {
        match completion {
            Completion::Durable(position) => self.on_durable(position),
            // Whoever was refused tries again when something is settled or the next watermark comes.
            Completion::Stalled => {}
            // Nobody's position has become durable by this alone: whoever is woken too early does not ask again.
            Completion::Recovered => self.on_durable(self.engine.durable()),
            Completion::Read { queue, entries } => self.loaded(queue, entries),
            Completion::Moved { object, what, old, new } => self.moved(object, &what, old, new),
        }
    }

    fn queue(&self, id: ObjectId) -> Option<Arc<QueueCell>> {
        self.session_by_object(id).and_then(|session| session.queue().cloned())
    }

    fn session_by_object(&self, id: ObjectId) -> Option<Arc<Session>> {
        self.objects.read().get(&id.0).cloned()
    }
}
