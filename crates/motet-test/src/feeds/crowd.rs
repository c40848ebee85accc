//! A few machines of any protocol over one core, with time and power cuts at hand.

use bytes::BytesMut;
use motet_core::authentication::{Attempt, Authenticator};
use motet_core::core::{Core, CoreLimits, Recovery};
use motet_core::fake::{FakeEngine, Plan};
use motet_core::machine::{CloseCause, Context, Machine, Random};
use motet_core::mailbox::{Mailbox, Overflow};
use motet_core::principal::{Denied, Principal};
use motet_core::rope::Rope;
use motet_core::time::{Instant, Now, WallMillis};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// Turns without an end are a machine that spins.
const TURNS_MAX: usize = 2_000;

/// Lets everybody in.
struct Door;

impl Authenticator for Door {
    fn check(&self, _: Attempt<'_>, _: u64, _: &Arc<Mailbox>) -> Option<Result<Principal, Denied>> {
        Some(Ok(Principal::named("guest")))
    }
}

/// A connection: a machine and what a driver keeps for it.
struct Member {
    machine: Box<dyn Machine<FakeEngine>>,
    mailbox: Arc<Mailbox>,
    random: Random,
    input: BytesMut,
    out: Rope,
    /// Everything that it has said so far.
    heard: Vec<u8>,
    closed: bool,
}

/// See the module's page.
pub(super) struct Crowd {
    core: Core<FakeEngine>,
    engine: FakeEngine,
    now: Now,
    members: Vec<Member>,
}

impl Crowd {
    pub(super) fn new() -> Self {
        let engine = FakeEngine::default();
        let core = Core::new(engine.clone(), CoreLimits::default());
        let now = Now { instant: Instant::from_nanos(1), wall: WallMillis(1_000_000) };
        Crowd { core, engine, now, members: Vec::new() }
    }

    /// A new connection; returns its number.
    pub(super) fn join(&mut self, machine: Box<dyn Machine<FakeEngine>>) -> usize {
        self.members.push(Member {
            machine,
            mailbox: Mailbox::new(1 << 20, Overflow::default()),
            random: Random::seeded(self.members.len() as u64),
            input: BytesMut::new(),
            out: Rope::new(),
            heard: Vec::new(),
            closed: false,
        });
        self.members.len() - 1
    }

    pub(super) fn is_closed(&self, who: usize) -> bool {
        self.members[who].closed
    }

    /// What this connection was told from its beginning.
    pub(super) fn heard(&self, who: usize) -> &[u8] {
        &self.members[who].heard
    }

    /// The peer says something, and everybody does what follows from it.
    ///
    /// # Panics
    /// If they never come to rest.
    pub(super) fn say(&mut self, who: usize, bytes: &[u8]) {
        let member = &mut self.members[who];
        if !member.closed {
            member.input.extend_from_slice(bytes);
            self.members[who].call(&self.core, self.now, |machine, cx, input| machine.handle_input(cx, input));
        }
        self.rest();
    }

    /// The peer goes without a word.
    pub(super) fn leave(&mut self, who: usize) {
        self.members[who].close(&self.core, self.now, CloseCause::PeerClosed);
        self.rest();
    }

    /// # Panics
    /// If somebody never comes to rest.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now = Now { instant: self.now.instant + time, wall: self.now.wall.after(time) };
        self.core.on_time(self.now);
        self.rest();
    }

    /// The power fails and comes back: `kept` of the groups that were not durable survive. All connections are gone.
    pub(super) fn cut_power(&mut self, kept: usize) {
        let log = self.engine.power_cut(kept);
        self.forget();
        self.members.iter_mut().for_each(|member| member.closed = true);
        self.engine = FakeEngine::over(log, Plan::default(), 0);
        self.core = Core::new(self.engine.clone(), CoreLimits::default());
        let mut recovery = Recovery::new();
        self.engine.replay(&mut recovery);
        self.core.recover(self.now, recovery);
        self.core.on_time(self.now);
        self.rest();
    }

    fn rest(&mut self) {
        for turn in 0.. {
            assert!(turn < TURNS_MAX, "nobody comes to rest");
            let mut busy = false;
            for member in &mut self.members {
                busy |= member.turn(&self.core, self.now);
            }
            for completion in self.engine.step() {
                self.core.complete(completion);
                busy = true;
            }
            if !busy {
                return;
            }
        }
    }

    /// A session and its vhost hold one another: who makes worlds by the thousand lets go of both.
    fn forget(&mut self) {
        let mut names = Vec::new();
        self.core.for_each_session(|session| names.push(session.client));
        for vhost in self.core.vhosts() {
            for name in &names {
                self.core.remove_session_of(self.now, &vhost, name);
            }
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for member in &mut self.members {
            member.close(&self.core, self.now, CloseCause::PeerClosed);
        }
        self.forget();
    }
}

impl Member {
    /// One turn of a driver; true when anything happened.
    fn turn(&mut self, core: &Core<FakeEngine>, now: Now) -> bool {
        if self.closed {
            return false;
        }
        let mut busy = false;
        if self.mailbox.poll_ready(Waker::noop()).is_ready() || self.machine.wants_output() {
            self.call(core, now, |machine, cx, _| machine.handle_ready(cx));
            busy = true;
        }
        if !self.closed && self.machine.poll_timeout().is_some_and(|at| at <= now.instant) {
            self.call(core, now, |machine, cx, _| machine.handle_timeout(cx));
            busy = true;
        }
        let waiting = self.input.len();
        if !self.closed && waiting > 0 && self.machine.wants_input() {
            self.call(core, now, |machine, cx, input| machine.handle_input(cx, input));
            busy |= self.input.len() != waiting;
        }
        busy
    }

    fn close(&mut self, core: &Core<FakeEngine>, now: Now, cause: CloseCause) {
        if !std::mem::replace(&mut self.closed, true) {
            self.call(core, now, |machine, cx, _| machine.handle_closed(cx, cause));
        }
    }

    fn call(
        &mut self,
        core: &Core<FakeEngine>,
        now: Now,
        what: impl FnOnce(&mut dyn Machine<FakeEngine>, &mut Context<'_, FakeEngine>, &mut BytesMut),
    ) {
        let mut cx = Context {
            now,
            core,
            auth: &Door,
            mailbox: &self.mailbox,
            peer: None,
            loopback: true,
            secure: None,
            out: &mut self.out,
            out_high_water: 16 << 10,
            random: &mut self.random,
            action: None,
        };
        what(&mut *self.machine, &mut cx, &mut self.input);
        let closes = cx.action.is_some();
        self.heard.extend_from_slice(&self.out.take_bytes());
        if closes {
            self.close(core, now, CloseCause::Ours);
        }
    }
}
