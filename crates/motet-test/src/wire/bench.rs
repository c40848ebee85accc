//! The machine as a world: every connection a plain value, the clock in our hand.
//!
//! `Core` and machines see what a driver would show them, in its order; a turn ends when nobody has anything to do.

use super::doorman::Doorman;
use super::engine::{Durability, MemoryEngine};
use super::run::{Face, World};
use bytes::BytesMut;
use motet_core::access::AccessRules;
use motet_core::core::{Core, CoreLimits};
use motet_core::engine::Completion;
use motet_core::machine::{Action, CloseCause, Context, Machine, Random};
use motet_core::mailbox::{Mailbox, Overflow};
use motet_core::rope::Rope;
use motet_core::time::{Instant, Now, WallMillis};
use motet_mqtt::Config;
use motet_mqtt::packet::QoS;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// How input arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As it was sent.
    Whole,
    /// One byte at a time: no decoder may depend on where a read ends.
    Bytes,
}

/// See the module's documentation.
pub struct Bench {
    core: Core<MemoryEngine>,
    mqtt: Arc<Config>,
    amqp: Arc<motet_amqp::Config>,
    doorman: Doorman,
    pace: Pace,
    elapsed: Duration,
    connections: Vec<Wire>,
    by_client: BTreeMap<String, usize>,
}

struct Wire {
    machine: Box<dyn Machine<MemoryEngine>>,
    mailbox: Arc<Mailbox>,
    random: Random,
    input: BytesMut,
    out: Rope,
    received: Vec<u8>,
    closed: bool,
}

/// One call of a machine.
type Call = fn(&mut dyn Machine<MemoryEngine>, &mut Context<'_, MemoryEngine>, &mut BytesMut);

/// Enough that the machine pauses now and then in a script with many messages.
const OUT_HIGH_WATER: usize = 4096;
const MAILBOX_BYTES: usize = 1 << 20;
/// 2024-01-01, in milliseconds of the wall clock.
const WALL_START: u64 = 1_704_067_200_000;
/// Turns without coming to rest after which something spins.
const TURNS_MAX: usize = 10_000;

impl Bench {
    /// A bench with these settings.
    ///
    /// # Errors
    /// A setting that the machine does not have.
    pub fn new(durability: Durability, pace: Pace, settings: &[(String, u64)]) -> Result<Self, String> {
        let (mut config, mut limits) = (Config::default(), CoreLimits::default());
        let mut amqp = motet_amqp::Config::default();
        let mut doorman = Doorman::default();
        for (name, value) in settings {
            let small = u16::try_from(*value).map_err(|_| format!("`{name}` is out of range"));
            match name.as_str() {
                "packet_bytes_max" => config.packet_bytes_max = u32::try_from(*value).map_err(|e| e.to_string())?,
                "receive_maximum" => config.receive_maximum = small?,
                "in_flight_max" => config.in_flight_max = small?,
                "topic_alias_maximum" => config.topic_alias_maximum = small?,
                "keep_alive_max" => config.keep_alive_max_secs = small?,
                "topic_levels_max" => config.topic_levels_max = small?,
                "qos_max" if *value == 0 => config.qos_max = QoS::AtMostOnce,
                "qos_max" if *value == 1 => config.qos_max = QoS::AtLeastOnce,
                "retain_available" => config.retain_available = *value != 0,
                "retained_messages" => limits.retained_messages = *value,
                "retained_bytes" => limits.retained_bytes = *value,
                "sessions" => limits.sessions = *value,
                "sessions_per_user" => limits.sessions_per_user = *value,
                "outbound_aliases_max" => config.outbound_aliases_max = small?,
                "payload_format_checked" => config.payload_format_checked = *value != 0,
                "server_reference" => config.server_reference = (*value != 0).then(|| "other.example:1883".into()),
                "server_moved" => config.server_moved = *value != 0,
                "riddles" => doorman = Doorman { riddles: *value != 0 },
                "heartbeat_secs" => amqp.heartbeat_secs = small?,
                "channels_max" => amqp.channels_max = small?,
                "consumers_per_channel" => amqp.consumers_per_channel = usize::from(small?),
                "message_bytes_max" => amqp.message_bytes_max = *value,
                "delivery_ack_timeout_secs" => amqp.delivery_ack_timeout = Some(Duration::from_secs(*value)),
                other => return Err(format!("the machine has no setting `{other}`")),
            }
        }
        Ok(Bench {
            core: Core::new(MemoryEngine::new(durability), limits),
            mqtt: Arc::new(config),
            amqp: Arc::new(amqp),
            doorman,
            pace,
            elapsed: Duration::ZERO,
            connections: Vec::new(),
            by_client: BTreeMap::new(),
        })
    }

    /// Who may do what from now on.
    pub fn set_access(&self, rules: AccessRules) {
        self.core.set_access(rules);
    }

    fn now(&self) -> Now {
        Now { instant: Instant::START + self.elapsed, wall: WallMillis(WALL_START).after(self.elapsed) }
    }

    /// Lets everybody do what there is to do.
    fn rest(&mut self) {
        let now = self.now();
        for _ in 0..TURNS_MAX {
            let mut busy = false;
            for wire in &mut self.connections {
                busy |= wire.turn(&self.core, self.doorman, now);
            }
            if self.core.next_deadline().is_some_and(|at| at <= now.wall) {
                self.core.on_time(now);
                busy = true;
            }
            if !busy {
                match self.core.engine().sync() {
                    Some(position) => self.core.complete(Completion::Durable(position)),
                    None => return,
                }
            }
        }
        panic!("nobody comes to rest");
    }

    fn next_deadline(&self) -> Option<Duration> {
        let machines =
            self.connections.iter().filter(|wire| !wire.closed).filter_map(|wire| wire.machine.poll_timeout());
        let machines = machines.map(|at| at.since(Instant::START));
        let core = self.core.next_deadline().map(|at| Duration::from_millis(at.0.saturating_sub(WALL_START)));
        machines.chain(core).min()
    }

    fn wire(&mut self, client: &str) -> Option<&mut Wire> {
        self.by_client.get(client).map(|&at| &mut self.connections[at])
    }
}

/// A session and its vhost hold one another: who makes worlds by the thousand lets go of both.
impl Drop for Bench {
    fn drop(&mut self) {
        let (now, mut names) = (self.now(), Vec::new());
        self.core.for_each_session(|session| names.push(session.client.to_owned()));
        for name in names {
            self.core.remove_session(now, &name);
        }
    }
}

impl World for Bench {
    fn open(&mut self, client: &str, face: Face) {
        let machine: Box<dyn Machine<MemoryEngine>> = match face {
            Face::Mqtt => Box::new(motet_mqtt::Connection::new(self.mqtt.clone())),
            Face::Amqp => Box::new(motet_amqp::Connection::new(self.amqp.clone())),
        };
        self.by_client.insert(client.to_owned(), self.connections.len());
        self.connections.push(Wire {
            machine,
            mailbox: Mailbox::new(MAILBOX_BYTES, Overflow::DropNewest),
            random: Random::seeded(self.connections.len() as u64),
            input: BytesMut::new(),
            out: Rope::new(),
            received: Vec::new(),
            closed: false,
        });
        self.rest();
    }

    fn send(&mut self, client: &str, bytes: &[u8]) {
        let step = if self.pace == Pace::Bytes { 1 } else { bytes.len().max(1) };
        for piece in bytes.chunks(step) {
            if let Some(wire) = self.wire(client) {
                wire.input.extend_from_slice(piece);
            }
            // Input that arrives while the machine wants none waits in the driver.
            self.rest();
        }
    }

    fn hang_up(&mut self, client: &str) {
        let now = self.now();
        if let Some(at) = self.by_client.remove(client) {
            let wire = &mut self.connections[at];
            if !wire.closed {
                wire.closed = true;
                wire.call(&self.core, self.doorman, now, |machine, cx, _| {
                    machine.handle_closed(cx, CloseCause::PeerClosed);
                });
            }
        }
        self.rest();
    }

    fn receive(&mut self, client: &str, _: bool, into: &mut Vec<u8>) -> bool {
        let Some(wire) = self.wire(client) else { return false };
        into.append(&mut wire.received);
        !wire.closed
    }

    fn pass(&mut self, time: Duration) {
        let end = self.elapsed + time;
        loop {
            self.rest();
            match self.next_deadline().filter(|at| *at > self.elapsed && *at <= end) {
                Some(at) => self.elapsed = at,
                None => break,
            }
        }
        self.elapsed = end;
        self.rest();
    }
}

impl Wire {
    /// One turn of a driver; true when anything happened.
    fn turn(&mut self, core: &Core<MemoryEngine>, door: Doorman, now: Now) -> bool {
        if self.closed {
            return false;
        }
        let mut busy = false;
        if self.mailbox.poll_ready(Waker::noop()).is_ready() || self.machine.wants_output() {
            self.call(core, door, now, |machine, cx, _| machine.handle_ready(cx));
            busy = true;
        }
        if self.machine.poll_timeout().is_some_and(|at| at <= now.instant) {
            self.call(core, door, now, |machine, cx, _| machine.handle_timeout(cx));
            busy = true;
        }
        let waiting = self.input.len();
        if !self.closed && waiting > 0 && self.machine.wants_input() {
            self.call(core, door, now, |machine, cx, input| machine.handle_input(cx, input));
            busy |= self.input.len() != waiting;
        }
        busy
    }

    fn call(&mut self, core: &Core<MemoryEngine>, door: Doorman, now: Now, call: Call) {
        let mut cx = Context {
            now,
            core,
            auth: &door,
            mailbox: &self.mailbox,
            peer: None,
            loopback: true,
            secure: None,
            out: &mut self.out,
            out_high_water: OUT_HIGH_WATER,
            random: &mut self.random,
            action: None,
        };
        call(&mut *self.machine, &mut cx, &mut self.input);
        let action = cx.action;
        self.received.extend_from_slice(&self.out.take_bytes());
        if action == Some(Action::Close) && !self.closed {
            self.closed = true;
            self.call(core, door, now, |machine, cx, _| machine.handle_closed(cx, CloseCause::Ours));
        }
    }
}
