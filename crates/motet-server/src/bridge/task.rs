//! One bridge: connect, carry, and come again when it breaks.

use super::Figures;
use super::local::{Local, OUT_BYTES_MAX};
use super::remote::Remote;
use crate::config::{Bridge, BridgeVersion};
use crate::house::{House, MachineMaker};
use motet_core::engine::Engine;
use motet_core::spelling::mqtt;
use motet_mqtt::bridge::{Accepted, Hello, HelloError, Relay, RelayError, Rules, Side};
use motet_mqtt::error::DecodeError;
use motet_mqtt::packet::{
    Disconnect, Encode as _, PacketIdentifier, PacketKind, Pingreq, QoS, ReasonCode, Unsubscribe, Version, frame,
};
use rustls::ClientConfig;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{interval, sleep, timeout};

/// QoS 1 and 2 messages on their way to the other server, unless it takes fewer.
const IN_FLIGHT: u16 = 1000;
/// How often deadlines are looked at: keep alives are seconds.
const TICK: Duration = Duration::from_secs(1);
/// Rounds of work before others have their turn.
const ROUNDS_MAX: usize = 32;
/// How long our own server may take to let us in: it writes to its disk.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection that lasted so long was a good one: the next pause is a short one again.
const GOOD: Duration = Duration::from_secs(10);

/// Why a connection ended or did not come about.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Hello(#[from] HelloError),
    #[error("{0}")]
    Relay(#[from] RelayError),
    #[error("the other server broke the protocol: {0}")]
    Decode(DecodeError),
    #[error("the other server did not answer in time")]
    Silent,
    #[error("our own server did not let the bridge in")]
    Ourselves,
    #[error("another client of ours took the bridge's session")]
    TakenOver,
}

impl Trouble {
    pub(super) fn decode(error: DecodeError) -> Self {
        Trouble::Decode(error)
    }

    /// It may be that the other server does not know the bridge bit.
    fn may_be_the_bit(&self) -> bool {
        match self {
            Trouble::Hello(HelloError::Version) => true,
            Trouble::Io(error) => {
                matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
            }
            _ => false,
        }
    }
}

/// A bridge that may run.
pub(super) struct Task<E: Engine> {
    pub(super) house: Arc<House<E>>,
    pub(super) mqtt: MachineMaker<E>,
    pub(super) config: Bridge,
    pub(super) rules: Rules,
    pub(super) node: String,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) figures: Arc<Figures>,
    /// Whether the other server is asked to treat us as a bridge (MQTT 3.1.1).
    pub(super) bridge_bit: bool,
}

impl<E: Engine> Task<E> {
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let name = self.config.name.clone();
        self.tell_state(false);
        // The session is there from now on, and keeps what is published while the other server is away.
        if let Err(error) = self.prepare().await {
            tracing::error!(bridge = name, %error, "the bridge's session could not be made");
        }
        let mut pause = self.config.reconnect_min;
        while !*stop.borrow() {
            let begun = Instant::now();
            let ended = self.connect_and_carry(&mut stop).await;
            let was_connected = self.figures.connected.swap(0, Ordering::Relaxed) == 1;
            if was_connected {
                self.tell_state(false);
            }
            let Err(trouble) = ended else { break };
            self.figures.failures.fetch_add(1, Ordering::Relaxed);
            if !was_connected && self.bridge_bit && self.version() == Version::V311 && trouble.may_be_the_bit() {
                tracing::info!(
                    bridge = name,
                    "the other server seems not to know bridges of MQTT 3.1.1; asked without"
                );
                self.bridge_bit = false;
                continue;
            }
            if was_connected && begun.elapsed() > GOOD {
                pause = self.config.reconnect_min;
            }
            // Between half of it and all of it.
            let share = getrandom::u64().unwrap_or(0) as f64 / u64::MAX as f64;
            let wait = pause.mul_f64(0.5 + share / 2.0);
            tracing::warn!(bridge = name, error = %trouble, again_in_ms = wait.as_millis() as u64, "the bridge is down");
            pause = (pause * 2).min(self.config.reconnect_max);
            tokio::select! {
                () = sleep(wait) => {}
                () = told_to(&mut stop) => {}
            }
        }
        tracing::info!(bridge = name, "the bridge has stopped");
    }

    fn version(&self) -> Version {
        match self.config.version {
            BridgeVersion::V311 => Version::V311,
            BridgeVersion::V5 => Version::V5,
        }
    }

    fn session(&self) -> String {
        format!("$bridge/{}", self.config.name)
    }

    /// Retained where Mosquitto has it, so that tools find it.
    fn tell_state(&self, connected: bool) {
        let topic = format!("$SYS/broker/connection/{}/state", self.config.name);
        if let Ok(name) = mqtt::decode_name(&topic) {
            self.house.core.proclaim(self.house.clock.now(), &name, if connected { b"1" } else { b"0" });
        }
    }

    fn local_hello(&self, receive_maximum: u16) -> Hello {
        Hello {
            version: Version::V5,
            client: self.session(),
            clean_start: self.config.clean_start,
            session_expiry_secs: if self.config.clean_start { 0 } else { u32::MAX },
            keep_alive_secs: 0,
            receive_maximum,
            packet_bytes_max: 0,
            user: None,
            password: None,
            bridge_bit: false,
        }
    }

    fn remote_hello(&self) -> Hello {
        let own = || format!("motet-{}-{}", self.node, self.config.name);
        Hello {
            version: self.version(),
            client: self.config.client_id.clone().unwrap_or_else(own),
            clean_start: self.config.clean_start,
            session_expiry_secs: if self.config.clean_start { 0 } else { u32::MAX },
            keep_alive_secs: u16::try_from(self.config.keep_alive.as_secs()).unwrap_or(u16::MAX),
            receive_maximum: self.house.limits().receive_maximum,
            packet_bytes_max: self.packet_bytes_max(),
            user: self.config.user.clone(),
            password: self.config.password.as_ref().map(|password| password.reveal().as_bytes().to_vec()),
            bridge_bit: self.bridge_bit,
        }
    }

    fn packet_bytes_max(&self) -> u32 {
        u32::try_from(self.house.limits().packet_bytes_max.bytes()).unwrap_or(u32::MAX)
    }

    /// Opens our session with the subscriptions of the rules and no others, and waits until they are there.
    async fn open_local(&self, receive_maximum: u16, qos_max: QoS) -> Result<Local<E>, Trouble> {
        let hello = self.local_hello(receive_maximum);
        let mut local = Local::open(&self.house, &self.mqtt, &format!("bridge:{}", self.config.name));
        hello.connect(&mut local.input);
        let opened = timeout(LOCAL_TIMEOUT, std::future::poll_fn(|cx| self.poll_admitted(cx, &hello, &mut local)));
        opened.await.unwrap_or(Err(Trouble::Ourselves))?;
        let wanted = self.rules.local_filters();
        let left_over: Vec<String> = self.left_over(&wanted);
        if !left_over.is_empty() {
            let packet_identifier = PacketIdentifier::MAX;
            let topic_filters = left_over.iter().map(String::as_str).collect();
            Unsubscribe { packet_identifier, properties: Default::default(), topic_filters }
                .encode(Version::V5, &mut local.input);
        }
        hello.subscribe(&wanted, qos_max, &mut local.input);
        Ok(local)
    }

    fn poll_admitted(
        &self,
        cx: &mut Context<'_>,
        hello: &Hello,
        local: &mut Local<E>,
    ) -> Poll<Result<Accepted, Trouble>> {
        loop {
            let progress = local.turn(cx.waker(), 0);
            match frame(&local.said, u32::MAX).map_err(Trouble::decode)? {
                Some(frame) => {
                    let (accepted, len) = (hello.accepted(frame)?, frame.bytes.len());
                    local.heard(len);
                    return Poll::Ready(Ok(accepted));
                }
                None if local.over => return Poll::Ready(Err(Trouble::Ourselves)),
                None if !progress => return Poll::Pending,
                None => {}
            }
        }
    }

    /// Filters of a configuration before.
    fn left_over(&self, wanted: &[(String, QoS)]) -> Vec<String> {
        let Some((_, held)) = self.house.core.session(&self.session()) else { return Vec::new() };
        let spelled = held.iter().filter_map(|(pattern, _)| {
            let mut filter = Vec::new();
            mqtt::encode_pattern(pattern, &mut filter).ok()?;
            String::from_utf8(filter).ok()
        });
        spelled.filter(|filter| wanted.iter().all(|(other, _)| other != filter)).collect()
    }

    /// Makes the session and its subscriptions, and leaves them.
    async fn prepare(&self) -> Result<(), Trouble> {
        if self.config.clean_start || self.rules.local_filters().is_empty() {
            return Ok(());
        }
        let mut local = self.open_local(1, QoS::ExactlyOnce).await?;
        let subscribed = std::future::poll_fn(|cx| {
            loop {
                let progress = local.turn(cx.waker(), 0);
                while let Ok(Some(frame)) = frame(&local.said, u32::MAX) {
                    let (kind, len) = (frame.kind, frame.bytes.len());
                    local.heard(len);
                    if kind == PacketKind::Suback {
                        return Poll::Ready(Ok(()));
                    }
                }
                if local.over {
                    return Poll::Ready(Err(Trouble::Ourselves));
                }
                if !progress {
                    return Poll::Pending;
                }
            }
        });
        timeout(LOCAL_TIMEOUT, subscribed).await.unwrap_or(Err(Trouble::Ourselves))
    }

    /// Ok when the bridge was told to stop.
    async fn connect_and_carry(&self, stop: &mut watch::Receiver<bool>) -> Result<(), Trouble> {
        let (host, port) = self.config.host_and_port().ok_or(Trouble::Silent)?;
        let hello = self.remote_hello();
        let (remote, accepted) = tokio::select! {
            opened = Remote::open(host, port, self.tls.as_ref(), &hello, self.packet_bytes_max()) => opened?,
            () = told_to(stop) => return Ok(()),
        };
        let local = self.open_local(IN_FLIGHT.min(accepted.receive_maximum), accepted.qos_max).await?;
        let mut pair = Pair {
            relay: Relay::new(
                self.rules.clone(),
                self.node.clone(),
                hello.version,
                [self.packet_bytes_max(), accepted.packet_bytes_max],
                accepted.retain_available,
            ),
            local,
            remote,
            inward_max: usize::from(self.house.limits().receive_maximum),
            packet_bytes_max: self.packet_bytes_max(),
            last_heard: Instant::now(),
        };
        hello.subscribe(&self.rules.remote_filters(), QoS::ExactlyOnce, &mut pair.remote.out);
        self.figures.connected.store(1, Ordering::Relaxed);
        self.figures.connects.fetch_add(1, Ordering::Relaxed);
        tracing::info!(bridge = self.config.name, address = self.config.address, "the bridge is up");
        self.tell_state(true);
        let keep_alive = accepted.keep_alive_secs.unwrap_or(hello.keep_alive_secs).max(1);
        let ended = self.carry(&mut pair, Duration::from_secs(keep_alive.into()), stop).await;
        self.figures.add(pair.relay.take_tally());
        ended
    }

    async fn carry(
        &self,
        pair: &mut Pair<E>,
        keep_alive: Duration,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Trouble> {
        let mut ticks = interval(TICK);
        let mut pinged = Instant::now();
        loop {
            tokio::select! {
                broken = std::future::poll_fn(|cx| pair.poll(cx)) => return Err(broken),
                _ = ticks.tick() => {
                    if pair.last_heard.elapsed() > keep_alive.mul_f64(1.5) {
                        return Err(Trouble::Silent);
                    }
                    if pinged.elapsed() >= keep_alive / 2 {
                        pinged = Instant::now();
                        Pingreq.encode(self.version(), &mut pair.remote.out);
                        Pingreq.encode(Version::V5, &mut pair.local.input);
                    }
                    self.figures.add(pair.relay.take_tally());
                }
                () = told_to(stop) => {
                    Disconnect::new(ReasonCode::Success).encode(self.version(), &mut pair.remote.out);
                    let _ = timeout(TICK, pair.remote.flush()).await;
                    return Ok(());
                }
            }
        }
    }
}

/// Waits until the bridge is to stop.
async fn told_to(stop: &mut watch::Receiver<bool>) {
    // Whoever could say it is gone: then there is no server any more either.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Both sides while they are connected.
struct Pair<E: Engine> {
    relay: Relay,
    local: Local<E>,
    remote: Remote,
    /// Messages from there that our server may have unanswered.
    inward_max: usize,
    packet_bytes_max: u32,
    last_heard: Instant,
}

impl<E: Engine> Pair<E> {
    /// Carries until it breaks.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Trouble> {
        for _ in 0..ROUNDS_MAX {
            match self.round(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(trouble) => return Poll::Ready(trouble),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One round; false when there is nothing to do until somebody wakes us.
    fn round(&mut self, cx: &mut Context<'_>) -> Result<bool, Trouble> {
        // 1. What our server has to say, while the other one takes it.
        let mut progress = self.local.turn(cx.waker(), self.remote.out.len());
        progress |= self.relay_local()?;
        if self.local.over {
            return Err(Trouble::TakenOver);
        }
        // 2. All of it in one write.
        if let Poll::Ready(written) = self.remote.poll_write(cx) {
            written?;
        }
        // 3. What the other one says, while ours takes it.
        progress |= self.relay_remote()?;
        if self.takes_more() && self.remote.poll_read(cx)?.is_ready() {
            self.last_heard = Instant::now();
            self.relay_remote()?;
            progress = true;
        }
        Ok(progress)
    }

    fn takes_more(&self) -> bool {
        self.relay.inward() < self.inward_max && self.local.input.len() < OUT_BYTES_MAX
    }

    fn relay_local(&mut self) -> Result<bool, Trouble> {
        let mut taken = 0;
        while let Some(frame) = frame(&self.local.said[taken..], u32::MAX).map_err(Trouble::decode)? {
            taken += frame.bytes.len();
            self.relay.take(Side::Local, frame, &mut self.remote.out, &mut self.local.input)?;
        }
        self.local.heard(taken);
        Ok(taken > 0)
    }

    fn relay_remote(&mut self) -> Result<bool, Trouble> {
        use bytes::Buf as _;
        let mut taken = 0;
        while self.takes_more() {
            let rest = &self.remote.input[taken..];
            let Some(frame) = frame(rest, self.packet_bytes_max).map_err(Trouble::decode)? else { break };
            taken += frame.bytes.len();
            self.relay.take(Side::Remote, frame, &mut self.local.input, &mut self.remote.out)?;
        }
        self.remote.input.advance(taken);
        Ok(taken > 0)
    }
}
