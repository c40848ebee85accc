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

mod after;
pub mod broker;
mod consume;
pub(crate) mod delayed;
mod ending;
mod fanout;
pub mod govern;
mod guard;
mod inspect;
mod objects;
mod owners;
mod pressure;
mod proclaim;
mod publish;
mod records;
mod recover;
mod registry;
mod retain;
mod session_map;
mod sessions;
mod shares;
mod subscribing;
mod timers;
mod vhost;

pub(crate) use broker::NamedQueue;
pub use consume::{Delivery, Took};
pub use guard::{Decision, Refusal};
pub use inspect::SessionSummary;
pub(crate) use pressure::Crowd;
pub use pressure::Pressure;
pub use publish::{Outcome, Publisher, Receipt, RejectCause};
pub use recover::{Recovered, Recovery};
pub use registry::{REGISTRY_RECORD_MAX, RecordTooBig, RegistryKind};
pub use retain::RetainedPage;
pub use sessions::OpenRefused;
pub(crate) use shares::Membership;
pub use shares::{JoinRefused, Joined, Source};
pub use subscribing::{Note, Subscribed, TakenOver};
pub use vhost::{ROOT_VHOST, Vhost};

use crate::deeds::Deeds;
use crate::engine::{Completion, Engine, ObjectId, Position};
use crate::mailbox::{Grant, Mailbox};
use crate::message::{PublisherId, Reliability};
use crate::queue::QueueConfig;
use crate::session::SESSION_CONSUMER;
use crate::trace::Trace;
use guard::Guard;
use objects::Objects;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use timers::Timers;
use vhost::VhostObjects;

/// Objects that exist in every store, in this order; all others are allotted by the engine above them.
pub(crate) const DIRECTORY: ObjectId = ObjectId(1);
pub(crate) const RETAINED: ObjectId = ObjectId(2);
pub(crate) const TOPOLOGY: ObjectId = ObjectId(5);
/// The first object id that an engine may allot.
pub const FIRST_OBJECT: u64 = 16;

/// Bounds of everything that grows in the core.
#[derive(Debug, Clone)]
pub struct CoreLimits {
    /// Messages a session's queue holds before publishers are refused.
    pub session_queue_messages: u64,
    /// Bytes a session's queue holds before publishers are refused.
    pub session_queue_bytes: u64,
    /// Per cent of either bound from which on a queue that somebody takes from slows those who fill it.
    pub session_queue_high_percent: u32,
    /// How long publishers wait for a consumer that makes no room; then the bound refuses them.
    pub slow_subscriber_wait: Duration,
    /// Seconds a session may live without a connection, whatever the client asks for.
    pub session_expiry_max_secs: u32,
    /// Subscriptions of one session.
    pub subscriptions_per_session: usize,
    /// Sessions of the vhost.
    pub sessions: u64,
    /// Sessions of one user; all who give no name are one.
    pub sessions_per_user: u64,
    /// Queues with a name of one vhost.
    pub queues: u64,
    /// Consumers of one queue with a name.
    pub consumers_per_queue: u64,
    /// Vhosts, the one that always exists too.
    pub vhosts: usize,
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
            session_queue_high_percent: 75,
            slow_subscriber_wait: Duration::from_secs(5),
            session_expiry_max_secs: u32::MAX,
            subscriptions_per_session: 10_000,
            sessions: 2_000_000,
            sessions_per_user: 1_000_000,
            queues: 1_000_000,
            consumers_per_queue: 65_536,
            vhosts: 10_000,
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
    /// Of those, the ones for which a quota of their vhost left no room.
    pub quota_refused: AtomicU64,
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
    /// Messages that left a queue by its back door and were routed to its dead-letter exchange.
    pub dead_lettered: AtomicU64,
    /// Of those, the ones that a queue on their way was too full to take.
    pub dead_letters_refused: AtomicU64,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Core<E> {
    engine: E,
    vhost: Arc<Vhost>,
    guard: Arc<Guard>,
    owners: owners::Owners,
    shares: shares::Shares,
    /// Told what is due of what was published for later.
    postman: Arc<Mailbox>,
    /// All of them by name, [`ROOT_VHOST`] too.
    vhosts: RwLock<BTreeMap<Arc<str>, Arc<Vhost>>>,
    limits: CoreLimits,
    /// Bytes on disk and in memory that hold for vhosts of which nothing else was said.
    vhost_quotas: Mutex<[Option<u64>; 2]>,
    /// What the queues of sessions are like: volatile ones, durable ones.
    queue_configs: [Arc<QueueConfig>; 2],
    objects: Objects,
    /// Under which promise queues with a name receive: whoever takes from them has a promise of its own.
    named_grant: Arc<Grant>,
    waiting: Mutex<Waiting>,
    /// Streams that show more once a position is durable.
    unshown: Mutex<Vec<(Position, Arc<broker::NamedQueue>)>>,
    timers: Timers,
    registry: registry::Registry,
    /// Who has a connection.
    seats: Arc<govern::Seats>,
    next_publisher: AtomicU64,
    next_volatile: AtomicU64,
    next_consumer: AtomicU64,
    /// Wall milliseconds of the latest turn.
    clock: AtomicU64,
    counters: CoreCounters,
    trace: Trace,
    deeds: Deeds,
}

/// Whom to nudge when what is durable, by the address of the mailbox, so that one who asks again waits once.
type Waiting = BTreeMap<(Position, usize), Arc<Mailbox>>;

/// Objects that are never written: high bit set, so that they cannot meet a durable one.
const VOLATILE: u64 = 1 << 63;

impl<E: Engine> Core<E> {
    /// A core over `engine`, empty until [`Core::recover`] has been given what the engine found.
    pub fn new(engine: E, limits: CoreLimits) -> Self {
        let objects = VhostObjects { directory: DIRECTORY, retained: RETAINED, topology: TOPOLOGY };
        let guard = Arc::<Guard>::default();
        let vhost = Arc::new(Vhost::new(ROOT_VHOST, objects, guard.clone()));
        Core {
            engine,
            vhosts: RwLock::new(BTreeMap::from([(vhost.name().clone(), vhost.clone())])),
            queue_configs: [false, true].map(|durable| session_queue_config(&limits, durable)),
            vhost_quotas: Mutex::default(),
            limits,
            objects: Objects::with_vhost(&vhost),
            owners: owners::Owners::default(),
            shares: shares::Shares::default(),
            postman: delayed::postman(),
            vhost,
            guard,
            named_grant: Arc::new(Grant { reliability: Reliability::ExactlyOnce, ..Grant::default() }),
            waiting: Mutex::default(),
            unshown: Mutex::default(),
            timers: Timers::default(),
            registry: registry::Registry::default(),
            seats: Arc::default(),
            next_publisher: AtomicU64::new(1),
            next_volatile: AtomicU64::new(VOLATILE),
            // One is the consumer of every session's queue.
            clock: AtomicU64::new(0),
            next_consumer: AtomicU64::new(SESSION_CONSUMER.0 + 1),
            counters: CoreCounters::default(),
            trace: Trace::default(),
            deeds: Deeds::default(),
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

    /// Who follows messages.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Who is told what peers make, change and remove.
    pub fn deeds(&self) -> &Deeds {
        &self.deeds
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
        self.sum_vhosts(Vhost::session_count)
    }

    /// Addresses with a last value.
    pub fn retained_count(&self) -> u64 {
        self.sum_vhosts(|vhost| vhost.topics.retained_count())
    }

    /// Bytes of last values, as [`CoreLimits::retained_bytes`] counts them.
    pub fn retained_bytes(&self) -> u64 {
        self.sum_vhosts(|vhost| vhost.topics.retained_bytes())
    }

    fn sum_vhosts(&self, of: impl Fn(&Vhost) -> u64) -> u64 {
        self.vhosts.read().values().map(|vhost| of(vhost)).sum()
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
        sent_stays: true,
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
        self.waiting.lock().entry((position, Arc::as_ptr(mailbox).addr())).or_insert_with(|| mailbox.clone());
        // The watermark may have passed between the look and the insertion.
        if self.engine.durable() >= position {
            self.on_durable(self.engine.durable());
        }
    }

    /// Whether what grows may be staged now. Asked where the answer must be known before anything is changed, which
    /// then stages as what frees room does.
    fn takes_records(&self) -> bool {
        self.engine.stage().is_ok()
    }

    fn on_durable(&self, position: Position) {
        if self.trace.is_on() {
            self.trace.durable(position);
        }
        self.show_streams(position);
        let due = {
            let mut waiting = self.waiting.lock();
            let later = waiting.split_off(&(Position(position.0.saturating_add(1)), 0));
            std::mem::replace(&mut *waiting, later)
        };
        for mailbox in due.values() {
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
}
