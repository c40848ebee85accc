//! What all connections of a server share.

use crate::alarm::Alarms;
use crate::assemble::StoreControl;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::config::Limits;
use crate::otlp::Spans;
use crate::rates::{Pace, Shared};
use crate::registry::{Handle, Registry};
use crate::reload::ReloadHook;
use crate::telemetry::Counters;
use crate::users::AccountControl;
use crate::wheel::Wheel;
use arc_swap::ArcSwap;
use motet_auth::Front;
use motet_core::budget::Budget;
use motet_core::core::Core;
use motet_core::engine::Engine;
use motet_core::machine::{Authenticator, Machine};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// The core is not asked more often than that what is due: a bound on what deadlines in a row can cost.
const TICK_MIN: Duration = Duration::from_millis(5);

/// Makes the machine of a new connection.
pub type MachineMaker<E> = Arc<dyn Fn() -> Box<dyn Machine<E>> + Send + Sync>;

/// What a server is put together from: the core over its store, who checks credentials, what is spoken.
pub struct Parts<E: Engine> {
    /// The core, recovered.
    pub core: Arc<Core<E>>,
    /// Who checks credentials.
    pub auth: Arc<dyn Authenticator>,
    /// Makes MQTT machines.
    pub mqtt: MachineMaker<E>,
    /// Makes AMQP machines.
    pub amqp: MachineMaker<E>,
    /// How the store is, and its end.
    pub store: Box<dyn StoreControl>,
    /// What counts tokens and questions to the hook, where there is such.
    pub front: Option<Arc<Front>>,
    /// The accounts, for operators.
    pub accounts: Arc<dyn AccountControl>,
    /// What takes changed keys while the server runs.
    pub reload: Vec<ReloadHook>,
}

impl<E: Engine> std::fmt::Debug for Parts<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// Shared by all connections; one per server.
pub(crate) struct House<E: Engine> {
    pub(crate) core: Arc<Core<E>>,
    pub(crate) auth: Arc<dyn Authenticator>,
    pub(crate) front: Option<Arc<Front>>,
    pub(crate) accounts: Arc<dyn AccountControl>,
    pub(crate) clock: Clock,
    pub(crate) wheel: Wheel<Handle>,
    pub(crate) registry: Registry,
    pub(crate) counters: Counters,
    /// Those of the moment: see [`crate::reload`].
    limits: ArcSwap<Limits>,
    /// What waits for all subscribers together.
    pub(crate) waiting: Arc<Budget>,
    pub(crate) store: Box<dyn StoreControl>,
    /// How fetching certificates goes, and what its authority looks for here.
    pub(crate) acme: Arc<crate::acme::Board>,
    /// How the bridges are.
    pub(crate) bridges: crate::bridge::Board,
    /// TLS handshakes in progress; further ones wait their turn.
    pub(crate) handshakes: Semaphore,
    /// What connections of one user or address have published together.
    pub(crate) rates: Shared,
    /// Logins of all listeners.
    pub(crate) logins: Pace,
    /// Turns of connections that have not logged in.
    pub(crate) turns: Arc<Semaphore>,
    /// Connections beyond a bound that are served only to be told so.
    pub(crate) refusals: Arc<Semaphore>,
    /// What keeps publishers from being read.
    pub(crate) alarms: Alarms,
    pub(crate) audit: Audit,
    /// Set once, when a collector of spans is configured.
    pub(crate) spans: OnceLock<Arc<Spans>>,
    draining: watch::Sender<bool>,
}

/// Connections beyond a bound that are told so in their own protocol at the same time; further ones are closed at once.
const REFUSALS_MAX: usize = 256;

impl<E: Engine> House<E> {
    pub(crate) fn new(
        core: Arc<Core<E>>,
        auth: Arc<dyn Authenticator>,
        accounts: Arc<dyn AccountControl>,
        store: Box<dyn StoreControl>,
        limits: Limits,
        audit: Audit,
    ) -> Self {
        House {
            core,
            auth,
            front: None,
            accounts,
            store,
            clock: Clock::new(),
            wheel: Wheel::new(),
            registry: Registry::new(),
            counters: Counters::default(),
            acme: Arc::default(),
            bridges: crate::bridge::Board::default(),
            handshakes: Semaphore::new(limits.handshakes_in_progress as usize),
            waiting: Arc::new(Budget::new(limits.waiting_bytes.len())),
            rates: Shared::default(),
            logins: Pace::default(),
            turns: Arc::new(Semaphore::new(limits.logins_in_progress as usize)),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            alarms: Alarms::default(),
            audit,
            spans: OnceLock::new(),
            limits: ArcSwap::from_pointee(limits),
            draining: watch::Sender::new(false),
        }
    }

    /// The limits that hold for whoever begins something now.
    pub(crate) fn limits(&self) -> Arc<Limits> {
        self.limits.load_full()
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        self.limits.store(limits.into());
    }

    /// How long the core can be left alone: until something is due there, at most `tick`.
    pub(crate) fn until_due(&self, tick: Duration) -> Duration {
        let now = self.clock.now().wall.0;
        let due = self.core.next_deadline().map(|at| Duration::from_millis(at.0.saturating_sub(now)));
        due.map_or(tick, |due| due.clamp(TICK_MIN, tick))
    }

    /// The server is going down.
    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Waits until the server goes down.
    pub(crate) async fn drained(&self) {
        // The sender lives as long as the house.
        let _ = self.draining.subscribe().wait_for(|draining| *draining).await;
    }

    pub(crate) fn start_draining(&self) {
        self.draining.send_replace(true);
    }
}
