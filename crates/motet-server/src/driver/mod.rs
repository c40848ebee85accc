//! The driver: one future per connection, which carries bytes between a carrier and a machine.
//!
//! ```text
//!   carrier ──read──▶ intake ──(frames)──▶ machine ──▶ core        wakes: mailbox, carrier, timer wheel
//!   carrier ◀─write── outlet ◀─(frames)─── rope ◀── deliveries
//! ```
//! The future is one struct, polled by hand, so that an idle connection costs that struct and nothing else: buffers
//! belong to the worker thread ([`crate::worker`]), timers to the wheel ([`crate::wheel`]).

mod close;
pub(crate) mod framing;
mod hold;
mod intake;
mod log;
mod outlet;
#[cfg(test)]
mod tests;

use crate::admission::Admission;
use crate::config::Limits;
use crate::house::House;
use crate::login::Login;
use crate::rates::Rated;
use crate::registry::{About, Handle};
use crate::telemetry::{CarrierFailed, Event, PROTOCOLS, Panicked, PerProtocol, TimedOut};
use crate::tls::Shown;
use crate::worker::Worker;
use bytes::BytesMut;
use framing::Framing;
use motet_core::budget::Share;
use motet_core::engine::Engine;
use motet_core::machine::{Authenticator, CloseCause, Context, Machine, Random};

use motet_core::mailbox::{KickReason, Mailbox, Notice};
use motet_core::rope::Rope;
use motet_core::time::{Instant, Now};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

/// Turns of one poll; then the others of this worker thread get theirs.
const TURNS_MAX: usize = 16;
/// Bytes written in one poll after which the others get theirs, however few the turns: whoever is sent a hundred thousand
/// last values must not be waited for.
const WRITTEN_MAX: usize = 128 << 10;
const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// What carries bytes: TCP, TLS, an upgraded HTTP connection, a pipe in a test. It is flushed once per turn.
pub(crate) trait Carrier: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Carrier for T {}

/// Who connected, and over what.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Index into [`crate::telemetry::PROTOCOLS`].
    pub(crate) protocol: usize,
    /// Over TLS.
    pub(crate) encrypted: bool,
    /// What the handshake knows; None without TLS. Shared, because an idle connection's future holds a pointer only.
    pub(crate) secure: Option<Arc<Shown>>,
    pub(crate) peer: Option<SocketAddr>,
    /// Our end, where the carrier has one.
    pub(crate) local: Option<SocketAddr>,
    /// The listener is bound to loopback.
    pub(crate) loopback: bool,
    /// Counts against the bounds as long as it lives.
    pub(crate) admitted: Admitted,
    /// Its turn among those that have not logged in.
    pub(crate) turn: Option<OwnedSemaphorePermit>,
}

/// On what terms somebody is here; counts by living.
#[derive(Debug)]
pub(crate) enum Admitted {
    /// Within all bounds.
    In(#[expect(dead_code, reason = "it counts by living")] Admission),
    /// Beyond one, only to be told so; one of a bounded number.
    ToBeRefused(#[expect(dead_code, reason = "it counts by living")] OwnedSemaphorePermit),
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// The machine talks.
    Open,
    /// The machine is gone; its last words are flushed until the deadline.
    Closing { by: Instant },
    /// Our side is shut; what the peer still sends is thrown away, so that a reset does not overtake our last words.
    Lingering { by: Instant },
    /// Nothing is left to do.
    Over,
}

/// What a turn asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Something may have become possible by this turn.
    Again,
    /// Everything that can wake us has our waker.
    Wait,
}

/// The carrier is of no use any more.
#[derive(Debug)]
struct End(CloseCause);

/// One connection. See the module's documentation.
pub(crate) struct Connection<C, E: Engine> {
    house: Arc<House<E>>,
    /// Those of when it began.
    limits: Arc<Limits>,
    carrier: C,
    framing: Framing,
    /// None once it was told that the carrier is gone.
    machine: Option<Box<dyn Machine<E>>>,
    handle: Arc<Handle>,
    arrival: Arrival,
    random: Random,
    /// The beginning of a frame whose rest has not arrived.
    partial: BytesMut,
    /// Input waits that the machine did not want when it came.
    unfed: bool,
    /// What the carrier did not take.
    pending: Rope,
    /// Its part in what waits for all subscribers.
    share: Share,
    /// The carrier took bytes that it has not passed on.
    unflushed: bool,
    /// Why to close after the next flush.
    closing: Option<CloseCause>,
    stage: Stage,
    /// When the peer must have taken something of what waits; None when nothing waits.
    write_by: Option<Instant>,
    /// When the first byte must have come; None once it has.
    first_byte_by: Option<Instant>,
    /// None once it is known who it is.
    login: Option<Box<Login<E>>>,
    /// None where no rate holds.
    rated: Option<Box<Rated>>,
    /// We have not read from the peer by our own will: its silence says nothing.
    held: bool,
    /// Bytes, in this poll.
    written: usize,
    /// The machine knows that an alarm keeps us from reading what is published.
    alarm_told: bool,
    /// The earliest look that is armed in the wheel.
    armed: Instant,
}

impl<C: Carrier, E: Engine> Connection<C, E> {
    /// A connection whose machine has seen nothing yet. `already` was read before: by a handshake, or to find out
    /// what is spoken.
    pub(crate) fn new(
        house: Arc<House<E>>,
        carrier: C,
        framing: Framing,
        machine: Box<dyn Machine<E>>,
        mut arrival: Arrival,
        already: &[u8],
    ) -> Self {
        let limits = house.limits();
        let overflow = crate::slow::overflow(limits.slow_subscriber);
        let mailbox = Mailbox::sharing(limits.mailbox_bytes.len(), overflow, house.waiting.clone());
        let about = About {
            protocol: arrival.protocol,
            encrypted: arrival.encrypted,
            peer: arrival.peer,
            local: arrival.local,
            since: house.clock.now().wall,
        };
        mailbox.leaves_when_asked();
        let handle = house.registry.enter(mailbox, about);
        if let Some(shown) = &arrival.secure {
            shown.talks_by(&handle.mailbox);
        }
        if house.is_draining() {
            // The round of goodbyes may have passed us while a handshake went on.
            handle.mailbox.notify(Notice::Kicked(KickReason::ServerShuttingDown));
        }
        let now = house.clock.now();
        let seed = getrandom::u64().unwrap_or(now.instant.as_nanos());
        let figures = &house.counters.protocols[arrival.protocol];
        figures.enter();
        figures.received_bytes.fetch_add(already.len() as u64, std::sync::atomic::Ordering::Relaxed);
        handle.received(already.len());
        let handshaken = !already.is_empty() || matches!(framing, Framing::WebSocket(_));
        let unfed = !already.is_empty() || matches!(&framing, Framing::WebSocket(frames) if frames.has_rest());
        let connection = Connection {
            carrier,
            framing,
            machine: Some(machine),
            handle,
            random: Random::seeded(seed),
            partial: already.into(),
            unfed,
            pending: Rope::new(),
            share: Share::default(),
            unflushed: false,
            closing: None,
            stage: Stage::Open,
            write_by: None,
            first_byte_by: (!handshaken).then(|| now.instant + limits.first_byte_timeout),
            login: Some(Login::new(&house, arrival.turn.take(), matches!(arrival.admitted, Admitted::ToBeRefused(_)))),
            rated: Rated::new(&limits, &house.rates, arrival.peer.map(|peer| peer.ip()), now.instant),
            held: false,
            written: 0,
            alarm_told: false,
            arrival,
            armed: NEVER,
            limits,
            house,
        };
        connection.log_begin();
        connection
    }

    /// Turns until there is nothing to do, but not for ever.
    fn drive(&mut self, waker: &mut std::task::Context<'_>) -> Poll<()> {
        self.handle.register(waker.waker());
        let mut worker = Worker::take();
        self.written = 0;
        for _ in 0..TURNS_MAX {
            if self.written >= WRITTEN_MAX {
                break;
            }
            let now = self.house.clock.now();
            let step = match self.stage {
                Stage::Open => self.turn(waker, &mut worker, now),
                Stage::Closing { by } => self.turn_closing(waker, now, by),
                Stage::Lingering { by } => self.turn_lingering(waker, &mut worker, now, by),
                Stage::Over => {
                    worker.give_back();
                    return Poll::Ready(());
                }
            };
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Wait) => {
                    self.rest(now);
                    worker.give_back();
                    return Poll::Pending;
                }
                Err(End(cause)) => {
                    worker.discard_output();
                    self.release(cause);
                    self.stage = Stage::Over;
                }
            }
        }
        worker.give_back();
        // The others first; then we go on.
        waker.waker().wake_by_ref();
        Poll::Pending
    }

    /// One turn of an open connection; the numbers are the priorities.
    fn turn(&mut self, waker: &mut std::task::Context<'_>, worker: &mut Worker, now: Now) -> Result<Step, End> {
        let mut again = false;
        // 1. What others have left for us. While the output is full deliveries wait: that is what bounds the output.
        let blocked = self.is_blocked();
        let due = match blocked {
            true => self.handle.mailbox.poll_notice(waker.waker()).is_ready(),
            false => self.mailbox_ready(waker.waker()) || self.wants_output(),
        };
        if due {
            self.call(now, &mut worker.out, |machine, cx| machine.handle_ready(cx));
            again = !blocked;
        }
        // 2. What the time has brought. Who was not listened to has not been silent.
        let held = self.hold_back(now);
        // Who is not let in yet has nothing that could be held.
        let is_in = || self.machine.as_ref().is_some_and(|machine| machine.principal().is_some());
        if self.house.alarms.any() != self.alarm_told && is_in() {
            self.alarm_told = !self.alarm_told;
            let why = self.alarm_told.then(|| self.house.alarms.text());
            self.call(now, &mut worker.out, |machine, cx| machine.handle_alarm(cx, why));
        }
        if self.machine_deadline().is_some_and(|at| at <= now.instant) {
            self.call(now, &mut worker.out, |machine, cx| machine.handle_timeout(cx));
        }
        self.check_deadlines(now)?;
        // 3. What the peer says, one buffer of it.
        let paused = !self.may_read();
        if !paused && !held {
            let came = self.take_input(waker, worker, now)?;
            again |= came;
            self.held = false;
            if !came && self.machine.as_ref().is_some_and(|machine| machine.is_leaving()) {
                self.call(now, &mut worker.out, |machine, cx| machine.handle_quiet(cx));
            }
        }
        self.note_login(now);
        // 4. All that was answered, in one write.
        self.flush(waker, worker, now)?;
        // 5. What the machine asked of us.
        if let Some(cause) = self.closing {
            self.begin_close(cause, now);
            return Ok(Step::Again);
        }
        let freed = (blocked && !self.is_blocked()) || (paused && self.may_read()) || self.wants_output_now();
        Ok(if again || freed { Step::Again } else { Step::Wait })
    }

    fn mailbox_ready(&self, waker: &Waker) -> bool {
        self.handle.mailbox.poll_ready(waker).is_ready()
    }

    fn wants_output(&self) -> bool {
        self.machine.as_ref().is_some_and(|machine| machine.wants_output())
    }

    /// The machine holds deliveries back, and enough output waits for the peer already.
    fn is_blocked(&self) -> bool {
        self.pending.len() * 2 >= self.high_water() && self.wants_output()
    }

    fn wants_output_now(&self) -> bool {
        self.pending.len() * 2 < self.high_water() && self.wants_output()
    }

    fn high_water(&self) -> usize {
        self.limits.output_buffer_bytes.len()
    }

    /// Back-pressure: a peer that does not take our answers, or whose messages we cannot store, is not read from.
    fn may_read(&self) -> bool {
        self.closing.is_none()
            && self.pending.len() < self.high_water()
            && self.machine.as_ref().is_some_and(|machine| machine.wants_input())
    }

    fn machine_deadline(&self) -> Option<Instant> {
        self.machine.as_ref().and_then(|machine| machine.poll_timeout())
    }

    /// The deadlines that the driver itself watches.
    fn check_deadlines(&self, now: Now) -> Result<(), End> {
        let due = |by: Option<Instant>| by.is_some_and(|by| by <= now.instant);
        let which = match () {
            () if due(self.write_by) => "limits.write_timeout",
            () if due(self.first_byte_by) => "limits.first_byte_timeout",
            () => return Ok(()),
        };
        TimedOut { peer: self.arrival.peer, which }.emit(&self.house.counters);
        Err(End(CloseCause::CarrierFailed))
    }

    /// Calls the machine with everything it may use, and notes what it asks for.
    fn call(&mut self, now: Now, out: &mut Rope, call: impl FnOnce(&mut dyn Machine<E>, &mut Context<'_, E>)) {
        let high_water = self.high_water().saturating_sub(self.pending.len());
        let Some(machine) = self.machine.as_deref_mut() else { return };
        let auth: &dyn Authenticator = match &self.login {
            Some(login) => &**login,
            None => &*self.house.auth,
        };
        let mut context = Context {
            now,
            core: &self.house.core,
            auth,
            mailbox: &self.handle.mailbox,
            peer: self.arrival.peer,
            loopback: self.arrival.loopback,
            secure: self.arrival.secure.as_ref().map(|shown| &shown.secure),
            out,
            out_high_water: high_water,
            random: &mut self.random,
            action: None,
        };
        call(machine, &mut context);
        if context.action.is_some() {
            self.closing = Some(if self.house.is_draining() { CloseCause::Drain } else { CloseCause::Ours });
        }
    }

    /// Before waiting: gives back what an idle connection need not hold, and arms the next look at the clock.
    fn rest(&mut self, now: Now) {
        if self.partial.is_empty() && self.partial.capacity() > 0 {
            self.partial = BytesMut::new();
        }
        if let Framing::WebSocket(frames) = &mut self.framing {
            frames.release_idle();
        }
        let next = match self.stage {
            Stage::Open => {
                let resume = self.rated.as_ref().and_then(|rated| rated.held_until(now.instant));
                let login = self.login.as_ref().and_then(|login| login.by);
                [self.machine_deadline(), self.write_by, self.first_byte_by, resume, login].into_iter().flatten().min()
            }
            Stage::Closing { by } | Stage::Lingering { by } => Some(by),
            Stage::Over => None,
        };
        if self.armed <= now.instant {
            self.armed = NEVER;
        }
        if let Some(next) = next
            && next < self.armed
        {
            self.house.wheel.arm(next, &self.handle);
            self.armed = next;
        }
    }

    /// Tells the machine that it is over, once.
    fn release(&mut self, cause: CloseCause) {
        let now = self.house.clock.now();
        let mut unheard = Rope::new();
        self.call(now, &mut unheard, |machine, cx| machine.handle_closed(cx, cause));
        self.log_end(cause);
        if self.machine.take().is_some() {
            self.handle.mailbox.close();
        }
        if let Some(login) = self.login.take() {
            login.gave_up(self.arrival.peer, PROTOCOLS[self.arrival.protocol]);
        }
    }

    fn figures(&self) -> &PerProtocol {
        &self.house.counters.protocols[self.arrival.protocol]
    }

    fn carrier_failed(&self, error: &std::io::Error) -> End {
        CarrierFailed { peer: self.arrival.peer, error }.emit(&self.house.counters);
        End(CloseCause::CarrierFailed)
    }
}

impl<C: Carrier, E: Engine> Future for Connection<C, E> {
    type Output = ();

    /// A panic, which can only be our bug, ends this connection and no other.
    fn poll(self: Pin<&mut Self>, waker: &mut std::task::Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        catch_unwind(AssertUnwindSafe(|| this.drive(waker))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().copied();
            let what = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
            Panicked { peer: this.arrival.peer, what }.emit(&this.house.counters);
            Poll::Ready(())
        })
    }
}

impl<C, E: Engine> Drop for Connection<C, E> {
    /// However the task ends, the session is released and the figures are right.
    fn drop(&mut self) {
        if let Some(mut machine) = self.machine.take() {
            let cause = if self.house.is_draining() { CloseCause::Drain } else { CloseCause::CarrierFailed };
            let mut context = Context {
                now: self.house.clock.now(),
                core: &self.house.core,
                auth: &*self.house.auth,
                mailbox: &self.handle.mailbox,
                peer: self.arrival.peer,
                loopback: self.arrival.loopback,
                secure: self.arrival.secure.as_ref().map(|shown| &shown.secure),
                out: &mut Rope::new(),
                out_high_water: 0,
                random: &mut self.random,
                action: None,
            };
            // After a panic the machine may be in no state to hear this; a second panic must not end the process.
            let _ = catch_unwind(AssertUnwindSafe(|| machine.handle_closed(&mut context, cause)));
            self.handle.mailbox.close();
        }
        self.share.set(&self.house.waiting, 0);
        crate::slow::report_one(&self.house, &self.handle);
        self.house.counters.protocols[self.arrival.protocol].leave();
        self.house.registry.leave(&self.handle);
    }
}
