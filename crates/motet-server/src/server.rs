//! A running server: starts listeners over its parts, and drains them again.

use crate::acme::{Fetcher, Kept};
use crate::admin::Admin;
use crate::admission::Door;
use crate::alarm;
use crate::assemble::{Store, assemble};
use crate::audit::{self, Audit};
use crate::bridge::Bridges;
use crate::config::{Config, Protocol, ProxyProtocol, Tls};
use crate::console::{Console, LOOK_EVERY};
use crate::endpoint::Endpoint;
use crate::error::ServerError;
use crate::house::{House, Parts};
use crate::http::Web;
use crate::listen;
use crate::otlp;
use crate::reload::{LIVE_LIMITS, ReloadHook, Reloaded, Reloader, Reread, live_limits};
use crate::sys::SysTree;
use crate::telemetry::{AccessRefused, CertificatesRead, Event, NotRetained};
use crate::timekeeper::Timekeeper;
use crate::tls::Certificates;
use motet_core::engine::Engine;
use motet_core::mailbox::{KickReason, Notice};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often the core is asked whether something is due.
const CORE_TICK: Duration = Duration::from_millis(20);
/// Slices of what is due in the core that are done in one tick.
const SLICES_MAX: usize = 256;
/// How often the wall clock is compared with the system's, and the core is asked what it refused to retain.
const RESYNC_TICKS: u32 = 50;
/// How often the log hears of slow subscribers; a multiple of the other.
const SLOW_REPORT_TICKS: u32 = 500;

/// A socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// What is spoken there.
    pub protocol: Protocol,
    /// Where, with the port that the system chose.
    pub address: SocketAddr,
}

/// The certificates of listeners, with the listener's place in the configuration.
type AllCertificates = Vec<(usize, Arc<Certificates>)>;

/// A running server. Dropping it without [`Server::shutdown`] stops the listeners and leaves the store as after a
/// power cut.
pub struct Server<E: Engine = Store> {
    pub(crate) house: Arc<House<E>>,
    addresses: Vec<Bound>,
    tasks: Vec<JoinHandle<()>>,
    time: Timekeeper,
    reloader: Arc<Reloader>,
    data_dir: PathBuf,
    bridges: Arc<Bridges<E>>,
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
        let audit = Audit::open(&config.audit, &config.data_dir)?;
        let (core, auth, accounts, store) = (parts.core, parts.auth, parts.accounts, parts.store);
        let mut house = House::new(core, auth, accounts, store, config.limits.clone(), audit);
        house.front = parts.front;
        let house = Arc::new(house);
        let door = Door::new(config.limits.connections, config.limits.connections_per_address);
        let has_pages = config.listener.iter().any(|listener| serves_pages(listener.protocol));
        let admin = has_pages.then(|| Admin::open(&config.data_dir)).transpose()?.map(Arc::new);
        let reloader = Arc::new(Reloader::new(config, parts.reload));
        reloader.add(limits_hook(&house, &door));
        let console = Arc::new(Console::new(&house, config));
        let (mut sockets, mut all_certificates) = (Vec::new(), AllCertificates::new());
        for (at, listener) in config.listener.iter().enumerate() {
            let certificates = certificates(config, at)?.map(Arc::new);
            all_certificates.extend(certificates.clone().map(|certificates| (at, certificates)));
            let proxied = listener.proxy_protocol == ProxyProtocol::Required;
            let endpoint = Arc::new(Endpoint {
                house: house.clone(),
                protocol: listener.protocol,
                loopback: listener.is_loopback(),
                mqtt: parts.mqtt.clone(),
                amqp: parts.amqp.clone(),
                certificates,
                web: Web::new(config, listener.is_loopback()),
                admin: admin.clone(),
                console: console.clone(),
                reloader: reloader.clone(),
                proxies: proxied.then(|| listener.proxy_networks.clone()),
                door: door.clone(),
            });
            for socket in listen::bind(listener, &format!("listener.{at}.address"))? {
                sockets.push((socket, endpoint.clone()));
            }
        }
        let everybody = house.clone();
        reloader.add(ReloadHook::new("rights", &[], move |_| {
            // Who is connected may have lost one.
            everybody.registry.nudge_all();
            Ok(())
        }));
        reloader.add(certificates_hook(&house, &all_certificates));
        let fetcher = Arc::new(Fetcher::new(config)?);
        let fetches = fetcher.clone();
        reloader.add(ReloadHook::new("acme", &["acme"], move |config| fetches.take(config)));
        let bridges = Arc::new(Bridges::new(house.clone(), parts.mqtt.clone(), &config.data_dir));
        let bridged = bridges.clone();
        reloader.add(ReloadHook::new("bridges", &["bridge"], move |config| bridged.apply(&config.bridge)));
        let (addresses, tasks, data_dir) = (Vec::new(), Vec::new(), config.data_dir.clone());
        let time = Timekeeper::start()?;
        let mut server = Server { house: house.clone(), addresses, tasks, time, reloader, data_dir, bridges };
        for (socket, endpoint) in sockets {
            server.addresses.push(Bound { protocol: endpoint.protocol, address: socket.local_addr()? });
            let house = house.clone();
            server.tasks.push(tokio::spawn(async move {
                listen::accept(socket, &house, |stream, peer, turn| endpoint.serve(stream, peer, turn)).await;
            }));
        }
        console.listens(&server.addresses);
        server.tasks.push(server.time.spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                console.clone().look().await;
            }
        }));
        server.keep_time(SysTree::new(config.mqtt.sys_interval));
        server.watch_certificates(&all_certificates);
        let (certified, board) = (house.clone(), house.acme.clone());
        server
            .tasks
            .push(tokio::spawn(fetcher.run(board, Arc::new(move || look_again(&certified, &all_certificates)))));
        if let Some((spans, task)) = otlp::start(&house, &config.otlp) {
            let _ = house.spans.set(spans);
            server.tasks.push(task);
        }
        server.bridges.apply(&config.bridge)?;
        house.audit.record(&audit::Server { action: "started" });
        if house.audit.is_on() {
            let keeps = Arc::downgrade(&house);
            house.core.deeds().report_to(move |deed| {
                if let Some(house) = keeps.upgrade() {
                    house.audit.declared(deed);
                }
            });
        }
        Ok(server)
    }

    /// Looks for changed files, at the pace of each listener.
    fn watch_certificates(&mut self, all: &AllCertificates) {
        note_expiry(&self.house, all);
        for (_, certificates) in all {
            let (house, certificates, all) = (self.house.clone(), certificates.clone(), all.clone());
            self.tasks.push(self.time.spawn(async move {
                loop {
                    certificates.wait_to_look().await;
                    // A few calls and a few kilobytes now and then: too little for a thread of its own.
                    if look_at(&house, &certificates) {
                        note_expiry(&house, &all);
                    }
                }
            }));
        }
    }

    /// The tasks that let time pass: the wheel for connections, a coarse tick for the core, the look for alarms.
    fn keep_time(&mut self, mut sys: SysTree) {
        let house = self.house.clone();
        self.tasks.push(self.time.spawn(async move { house.wheel.run(&house.clock).await }));
        let (house, data_dir) = (self.house.clone(), self.data_dir.clone());
        self.tasks.push(self.time.spawn(async move { alarm::watch(&house, &data_dir).await }));
        let house = self.house.clone();
        self.tasks.push(self.time.spawn(async move {
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
                // What is much is done in slices; the other tasks of this thread come between them.
                for _ in 0..SLICES_MAX {
                    let now = house.clock.now();
                    if house.core.next_deadline().is_none_or(|at| at > now.wall) {
                        break;
                    }
                    house.core.on_time(now);
                    tokio::task::yield_now().await;
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

    #[cfg(test)]
    pub(crate) fn counters(&self) -> &crate::telemetry::Counters {
        &self.house.counters
    }

    /// Takes what may change of `config` without dropping connections; what is wrong is logged, and the old holds.
    /// Listeners stay as they were; their certificates are found by their place in the list.
    pub fn reload(&self, config: &Config) -> Reloaded {
        self.reloader.take(config)
    }

    /// Lets a part of the server outside of it take changed keys.
    pub fn on_reload(&self, hook: ReloadHook) {
        self.reloader.add(hook);
    }

    /// From where [`Server::reload_again`] and an operator's request read the configuration.
    pub fn reread_with(&self, reread: Reread) {
        self.reloader.reread_with(reread);
    }

    /// Reads the configuration again and takes it. Blocks while files are read.
    pub fn reload_again(&self) {
        let outcome = match self.reloader.again() {
            Some(Ok(_)) => "done",
            Some(Err(_)) | None => "refused",
        };
        self.house.audit.record(&audit::Operator {
            action: "reload",
            outcome,
            peer: None,
            user: None,
            about: "SIGHUP",
        });
    }

    /// Stops accepting, tells every client, waits for them until `drain_timeout`, closes the store. True when
    /// everybody had gone by then.
    pub async fn shutdown(mut self) -> bool {
        self.house.start_draining();
        self.bridges.stop().await;
        let clocks = self.tasks.split_off(self.addresses.len());
        end(std::mem::take(&mut self.tasks)).await;
        self.house.registry.notify_all(&Notice::Kicked(KickReason::ServerShuttingDown));
        let drained =
            tokio::time::timeout(self.house.limits().drain_timeout, self.house.registry.empty()).await.is_ok();
        end(clocks).await;
        self.house.audit.record(&audit::Server { action: "stopped" });
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

fn limits_hook<E: Engine>(house: &Arc<House<E>>, door: &Arc<Door>) -> ReloadHook {
    let (house, door) = (house.clone(), door.clone());
    ReloadHook::new("limits", LIVE_LIMITS, move |config| {
        let limits = live_limits(&house.limits(), &config.limits);
        door.set_bounds(limits.connections, limits.connections_per_address);
        crate::quotas::apply(&house.core, &limits);
        house.set_limits(limits);
        Ok(())
    })
}

/// For each listener by its place in the list.
fn certificates_hook<E: Engine>(house: &Arc<House<E>>, all: &AllCertificates) -> ReloadHook {
    let (house, all) = (house.clone(), all.clone());
    ReloadHook::new("certificates", &["tls", "listener.*.tls"], move |config| {
        let mut failed = None;
        // All of them, though one may be wrong.
        for (at, certificates) in &all {
            let (tls, key) = tls_of(config, *at);
            let read = certificates.reload(tls, &key, Kept::of(config));
            let error = read.as_ref().err().map(|error| error as &dyn std::fmt::Display);
            let ended = *read.as_ref().unwrap_or(&0);
            CertificatesRead { error, ended }.emit(&house.counters);
            failed = failed.or(read.err());
        }
        note_expiry(&house, &all);
        failed.map_or(Ok(()), Err)
    })
}

/// The certificates that hold for the listener at this place, and their table's name.
pub(crate) fn tls_of(config: &Config, at: usize) -> (&Tls, String) {
    match config.listener.get(at).and_then(|listener| listener.tls.as_ref()) {
        Some(tls) => (tls, format!("listener.{at}.tls")),
        None => (&config.tls, "tls".into()),
    }
}

/// Reads these again if a file of theirs has changed; whether one has.
fn look_at<E: Engine>(house: &House<E>, certificates: &Certificates) -> bool {
    let Some(read) = certificates.look() else { return false };
    let error = read.as_ref().err().map(|error| error as &dyn std::fmt::Display);
    let ended = *read.as_ref().unwrap_or(&0);
    CertificatesRead { error, ended }.emit(&house.counters);
    true
}

/// Another certificate is there: nobody waits for the next look.
fn look_again<E: Engine>(house: &House<E>, all: &AllCertificates) {
    for (_, certificates) in all {
        look_at(house, certificates);
    }
    note_expiry(house, all);
}

/// Tells the figures when the first certificate ends.
fn note_expiry<E: Engine>(house: &House<E>, all: &AllCertificates) {
    if let Some(ends) = all.iter().map(|(_, certificates)| certificates.expires()).min() {
        house.counters.certificate_expires.store(ends, Ordering::Relaxed);
    }
}

/// A `ws` listener has nothing but WebSocket.
fn serves_pages(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Http | Protocol::Https | Protocol::Management | Protocol::ManagementTls)
}

fn certificates(config: &Config, at: usize) -> Result<Option<Certificates>, ServerError> {
    let (tls, key) = tls_of(config, at);
    let speaks = config.listener[at].protocol.may_speak_tls();
    speaks.then(|| Certificates::open(tls, &config.data_dir, &key, Kept::of(config))).transpose()
}

impl<E: Engine> Drop for Server<E> {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
