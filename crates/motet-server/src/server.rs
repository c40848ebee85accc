//! A running server: starts listeners over its parts, and drains them again.

use crate::admin::Admin;
use crate::admission::Door;
use crate::assemble::{Store, assemble};
use crate::bridge::Bridges;
use crate::config::{Config, Protocol, Tls};
use crate::endpoint::Endpoint;
use crate::error::ServerError;
use crate::house::{House, Parts, Reload};
use crate::http::Web;
use crate::listen;
use crate::sys::SysTree;
use crate::telemetry::{AccessRefused, CertificatesRead, Event, NotRetained};
use crate::tls::Certificates;
use motet_core::engine::Engine;
use motet_core::mailbox::{KickReason, Notice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often the core is asked whether something is due.
const CORE_TICK: Duration = Duration::from_millis(100);
/// How often the wall clock is compared with the system's, and the core is asked what it refused to retain.
const RESYNC_TICKS: u32 = 10;
/// How often the log hears of slow subscribers; a multiple of the other.
const SLOW_REPORT_TICKS: u32 = 100;

/// A socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// What is spoken there.
    pub protocol: Protocol,
    /// Where, with the port that the system chose.
    pub address: SocketAddr,
}

/// A running server. Dropping it without [`Server::shutdown`] stops the listeners and leaves the store as after a
/// power cut.
pub struct Server<E: Engine = Store> {
    pub(crate) house: Arc<House<E>>,
    addresses: Vec<Bound>,
    tasks: Vec<JoinHandle<()>>,
    /// One per listener of the configuration.
    endpoints: Vec<Arc<Endpoint<E>>>,
    reload: Reload,
    bridges: Bridges<E>,
}

impl<E: Engine> std::fmt::Debug for Server<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the store of `config`, binds its listeners and serves. Must be called inside a tokio runtime; blocks
    /// while the journal is read.
    ///
    /// # Errors
    /// See [`ServerError`]. Then nothing is left running.
    pub fn start(config: &Config) -> Result<Self, ServerError> {
        let (parts, _) = assemble(config)?;
        Server::start_with(config, parts)
    }
}

impl<E: Engine> Server<E> {
    /// Binds every listener of `config` and serves. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// A port is taken, a certificate is not readable: see [`ServerError`]. Then nothing is left running.
    pub fn start_with(config: &Config, parts: Parts<E>) -> Result<Self, ServerError> {
        let mut house = House::new(parts.core, parts.auth, parts.accounts, parts.store, config.limits.clone());
        house.front = parts.front;
        let house = Arc::new(house);
        let door = Door::new(config.limits.connections, config.limits.connections_per_address);
        let has_pages = config.listener.iter().any(|listener| serves_pages(listener.protocol));
        let admin = has_pages.then(|| Admin::open(&config.data_dir)).transpose()?.map(Arc::new);
        let (mut sockets, mut endpoints) = (Vec::new(), Vec::new());
        for (at, listener) in config.listener.iter().enumerate() {
            let endpoint = Arc::new(Endpoint {
                house: house.clone(),
                protocol: listener.protocol,
                loopback: listener.is_loopback(),
                mqtt: parts.mqtt.clone(),
                amqp: parts.amqp.clone(),
                certificates: certificates(config, at)?,
                web: Web::new(config, listener.is_loopback()),
                admin: admin.clone(),
            });
            endpoints.push(endpoint.clone());
            for socket in listen::bind(listener, &format!("listener.{at}.address"))? {
                sockets.push((socket, endpoint.clone()));
            }
        }
        let mut server = Server {
            house: house.clone(),
            addresses: Vec::new(),
            tasks: Vec::new(),
            endpoints,
            reload: parts.reload,
            bridges: Bridges::new(house.clone(), parts.mqtt.clone(), &config.data_dir),
        };
        for (socket, endpoint) in sockets {
            server.addresses.push(Bound { protocol: endpoint.protocol, address: socket.local_addr()? });
            let (house, door) = (house.clone(), door.clone());
            server.tasks.push(tokio::spawn(async move {
                listen::accept(socket, door, &house.counters, |stream, peer, admission| {
                    endpoint.serve(stream, peer, admission);
                })
                .await;
            }));
        }
        server.keep_time(SysTree::new(config.mqtt.sys_interval));
        server.watch_certificates();
        server.bridges.apply(&config.bridge)?;
        Ok(server)
    }

    /// Looks for changed files, at the pace of each listener.
    fn watch_certificates(&mut self) {
        note_expiry(&self.endpoints);
        for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.certificates.is_some()) {
            let (endpoint, all) = (endpoint.clone(), self.endpoints.clone());
            self.tasks.push(tokio::spawn(async move {
                let Some(certificates) = &endpoint.certificates else { return };
                while let Some(every) = certificates.look_every() {
                    tokio::time::sleep(every).await;
                    // A few calls and a few kilobytes now and then: too little for a thread of its own.
                    let Some(read) = certificates.look() else { continue };
                    let error = read.as_ref().err().map(|error| error as &dyn std::fmt::Display);
                    CertificatesRead { error }.emit(&endpoint.house.counters);
                    note_expiry(&all);
                }
            }));
        }
    }

    /// The two tasks that let time pass: the wheel for connections, a coarse tick for the core.
    fn keep_time(&mut self, mut sys: SysTree) {
        let house = self.house.clone();
        self.tasks.push(tokio::spawn(async move { house.wheel.run(&house.clock).await }));
        let house = self.house.clone();
        self.tasks.push(tokio::spawn(async move {
            let (mut ticks, mut not_retained, mut access_refused) = (0_u32, 0, 0);
            loop {
                tokio::time::sleep(house.until_due(CORE_TICK)).await;
                ticks = ticks.wrapping_add(1);
                if ticks.is_multiple_of(RESYNC_TICKS) {
                    house.clock.resync();
                    note_refusals(&house, &mut access_refused);
                    let refused = house.core.counters().retain_refused.load(Ordering::Relaxed);
                    if ticks.is_multiple_of(SLOW_REPORT_TICKS) {
                        crate::slow::report(&house);
                    }
                    if refused > not_retained {
                        NotRetained { messages: refused - not_retained }.emit(&house.counters);
                        not_retained = refused;
                    }
                }
                let now = house.clock.now();
                sys.tick(&house, now);
                if house.core.next_deadline().is_some_and(|at| at <= now.wall) {
                    house.core.on_time(now);
                }
            }
        }));
    }

    /// What listens where.
    pub fn addresses(&self) -> &[Bound] {
        &self.addresses
    }

    /// Connections whose machine lives or whose last words are on their way.
    pub fn connections(&self) -> usize {
        self.house.registry.live()
    }

    /// Takes what may change without dropping connections: users and certificates. What is wrong is logged, and the
    /// old holds. Listeners stay as they were; their certificates are found by their place in the list.
    pub fn reload(&self, config: &Config) {
        if let Err(error) = (self.reload)(config) {
            tracing::error!(%error, "users were not taken; the old ones hold");
        }
        for (at, endpoint) in self.endpoints.iter().enumerate() {
            let Some(certificates) = &endpoint.certificates else { continue };
            let (tls, key) = tls_of(config, at);
            let read = certificates.reload(tls, &key);
            let error = read.as_ref().err().map(|error| error as &dyn std::fmt::Display);
            CertificatesRead { error }.emit(&self.house.counters);
        }
        // Who is connected may have lost a right.
        self.house.registry.nudge_all();
        note_expiry(&self.endpoints);
        if let Err(error) = self.bridges.apply(&config.bridge) {
            tracing::error!(%error, "bridges were not taken; the old ones hold");
        }
        tracing::info!("the configuration was read again");
    }

    /// Stops accepting, tells every client, waits for them until `drain_timeout`, closes the store. True when
    /// everybody had gone by then.
    pub async fn shutdown(mut self) -> bool {
        self.house.start_draining();
        self.bridges.stop().await;
        let clocks = self.tasks.split_off(self.addresses.len());
        end(std::mem::take(&mut self.tasks)).await;
        self.house.registry.notify_all(&Notice::Kicked(KickReason::ServerShuttingDown));
        let drained = tokio::time::timeout(self.house.limits.drain_timeout, self.house.registry.empty()).await.is_ok();
        end(clocks).await;
        let house = self.house.clone();
        let _ = tokio::task::spawn_blocking(move || house.store.close()).await;
        drained
    }
}

/// Says once a second at most that something was refused for want of a right.
fn note_refusals<E: Engine>(house: &House<E>, before: &mut u64) {
    let total = house.core.refused().iter().map(|(_, count)| count).sum::<u64>();
    if let Some(refusal) = house.core.take_refusal() {
        AccessRefused { refusal: &refusal, count: total.saturating_sub(*before) }.emit(&house.counters);
    }
    *before = total;
}

/// Ends tasks and waits until they have let go of what they hold.
async fn end(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        task.abort();
        // Cancelled is what it was asked to be.
        let _ = task.await;
    }
}

/// The certificates that hold for the listener at this place, and their table's name.
fn tls_of(config: &Config, at: usize) -> (&Tls, String) {
    match config.listener.get(at).and_then(|listener| listener.tls.as_ref()) {
        Some(tls) => (tls, format!("listener.{at}.tls")),
        None => (&config.tls, "tls".into()),
    }
}

/// Tells the figures when the first certificate ends.
fn note_expiry<E: Engine>(endpoints: &[Arc<Endpoint<E>>]) {
    let ends = endpoints.iter().filter_map(|endpoint| endpoint.certificates.as_ref()).map(Certificates::expires).min();
    if let (Some(first), Some(ends)) = (endpoints.first(), ends) {
        first.house.counters.certificate_expires.store(ends, Ordering::Relaxed);
    }
}

/// A `ws` listener has nothing but WebSocket.
fn serves_pages(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Http | Protocol::Https)
}

fn certificates(config: &Config, at: usize) -> Result<Option<Certificates>, ServerError> {
    let (tls, key) = tls_of(config, at);
    let speaks = config.listener[at].protocol.may_speak_tls();
    speaks.then(|| Certificates::open(tls, &config.data_dir, &key)).transpose()
}

impl<E: Engine> Drop for Server<E> {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
