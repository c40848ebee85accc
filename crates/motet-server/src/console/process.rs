//! What this process tells the management API.

use crate::alarm::resident_bytes;
use crate::config::{Config, Protocol};
use crate::house::House;
use crate::server::Bound;
use crate::telemetry::PROTOCOLS;
use motet_auth::Tags;
use motet_console::{ConnectionSeen, ListenerSeen, Node, NodeFigures};
use motet_core::engine::Engine;
use motet_core::mailbox::{KickReason, Notice};
use motet_core::time::{Instant, Now};
use std::fs;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// Between two looks for an answer.
const PAUSE: Duration = Duration::from_millis(5);

/// See the module's page.
pub(super) struct Process<E: Engine> {
    house: Arc<House<E>>,
    listeners: OnceLock<Vec<Bound>>,
    name: String,
    data_dir: String,
    started: Instant,
}

impl<E: Engine> Process<E> {
    pub(super) fn new(house: Arc<House<E>>, config: &Config) -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = host.trim().split('.').next().filter(|host| !host.is_empty()).unwrap_or("localhost").to_owned();
        let data_dir = config.data_dir.display().to_string();
        let started = house.clock.now().instant;
        Process { house, listeners: OnceLock::new(), name: format!("motet@{host}"), data_dir, started }
    }

    pub(super) fn listens(&self, addresses: &[Bound]) {
        let _ = self.listeners.set(addresses.to_vec());
    }
}

impl<E: Engine> Node for Process<E> {
    fn now(&self) -> Now {
        self.house.clock.now()
    }

    fn pause(&self) {
        thread::sleep(PAUSE);
    }

    fn figures(&self) -> NodeFigures {
        let (house, limits) = (&self.house, self.house.limits());
        let [(_, disk_alarm), (_, memory_alarm)] = house.alarms.each();
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let expires = read(&house.counters.certificate_expires);
        let ours = house.counters.protocols.iter().zip(PROTOCOLS).filter(|(_, word)| *word != "http");
        NodeFigures {
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime_ms: self.now().instant.since(self.started).as_millis() as u64,
            files: (open_files(), open_files_max()),
            sockets: (house.registry.live() as u64, limits.connections.into()),
            memory: (resident_bytes().unwrap_or(0), limits.memory_max.map_or(0, |max| max.bytes())),
            disk_free: (house.alarms.disk_free(), limits.disk_free_min.bytes()),
            memory_alarm,
            disk_alarm,
            other_alarm: house.store.is_failing(),
            processors: thread::available_parallelism().map_or(1, |count| count.get() as u32),
            data_dir: self.data_dir.clone(),
            config_files: Vec::new(),
            certificate_expires_secs: (expires > 0).then_some(expires),
            connections_total: ours.map(|(figures, _)| read(&figures.connections_total)).sum(),
            draining: house.is_draining(),
            logins: PROTOCOLS
                .iter()
                .zip(&house.counters.logins)
                .map(|(word, [accepted, refused])| (*word, [read(accepted), read(refused)]))
                .collect(),
        }
    }

    fn listeners(&self) -> Vec<ListenerSeen> {
        let bound = self.listeners.get().map(Vec::as_slice).unwrap_or_default();
        bound.iter().map(|bound| ListenerSeen { protocol: spoken(bound.protocol), address: bound.address }).collect()
    }

    fn connections(&self, visit: &mut dyn FnMut(ConnectionSeen)) {
        self.house.registry.each(|handle| {
            let about = &handle.about;
            visit(ConnectionSeen {
                id: handle.id,
                carrier: PROTOCOLS[about.protocol],
                encrypted: about.encrypted,
                peer: about.peer,
                local: about.local,
                since: about.since,
                bytes: handle.bytes(),
                conversation: handle.mailbox.conversation().cloned(),
            });
        });
    }

    fn close(&self, id: u64, reason: &str) -> bool {
        let Some(handle) = self.house.registry.find(id) else { return false };
        if let Some(conversation) = handle.mailbox.conversation() {
            let _ = conversation.farewell.set(reason.into());
        }
        tracing::info!(connection = id, peer = ?handle.about.peer, reason, "an operator ended a connection");
        handle.mailbox.notify(Notice::Kicked(KickReason::Administrative));
        true
    }

    fn tags(&self, user: &str) -> Tags {
        self.house.accounts.tags(user, false)
    }
}

/// RabbitMQ's words for what listens.
fn spoken(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Mqtt => "mqtt",
        Protocol::Mqtts => "mqtt/ssl",
        Protocol::Amqp => "amqp",
        Protocol::Amqps => "amqp/ssl",
        Protocol::Http | Protocol::Management => "http",
        Protocol::Https | Protocol::ManagementTls => "https",
        Protocol::Ws => "http/web-mqtt",
    }
}

/// Files that are open; 0 where the system does not tell.
fn open_files() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

/// Files that may be open; 0 where the system does not tell.
fn open_files_max() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
