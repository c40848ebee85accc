//! Our side of a bridge: an MQTT machine like that of any client, spoken to without a socket.

use crate::house::{House, MachineMaker};
use bytes::{Buf as _, BytesMut};
use motet_core::engine::Engine;
use motet_core::machine::{Attempt, Authenticator, CloseCause, Context, Machine, Random};
use motet_core::mailbox::{Mailbox, Overflow};
use motet_core::principal::{Denied, Principal};
use motet_core::rope::Rope;
use std::sync::Arc;
use std::task::Waker;

/// What waits for the other server at most before our machine is asked for no more.
pub(super) const OUT_BYTES_MAX: usize = 256 << 10;

/// A bridge is who the configuration says it is.
struct Known(Principal);

impl Authenticator for Known {
    fn check(&self, _: Attempt<'_>, _: u64, _: &Arc<Mailbox>) -> Option<Result<Principal, Denied>> {
        Some(Ok(self.0.clone()))
    }
}

/// The conversation with our own server.
pub(super) struct Local<E: Engine> {
    house: Arc<House<E>>,
    machine: Box<dyn Machine<E>>,
    mailbox: Arc<Mailbox>,
    who: Known,
    random: Random,
    /// What we say to it.
    pub(super) input: BytesMut,
    /// What it says.
    pub(super) said: BytesMut,
    out: Rope,
    /// It has ended the conversation.
    pub(super) over: bool,
}

impl<E: Engine> Local<E> {
    pub(super) fn open(house: &Arc<House<E>>, mqtt: &MachineMaker<E>, user: &str) -> Self {
        let now = house.clock.now();
        Local {
            machine: mqtt(),
            mailbox: Mailbox::new(house.limits().mailbox_bytes.len(), Overflow::DropNewest),
            who: Known(Principal::named(user)),
            random: Random::seeded(getrandom::u64().unwrap_or(now.instant.as_nanos())),
            house: house.clone(),
            input: BytesMut::new(),
            said: BytesMut::new(),
            out: Rope::new(),
            over: false,
        }
    }

    /// One turn by the law of machines; true when there may be more to do at once. Only after false will the mailbox wake
    /// us. `waiting` bytes are on their way to the other server already.
    pub(super) fn turn(&mut self, waker: &Waker, waiting: usize) -> bool {
        let before = (self.said.len(), self.input.len());
        let room = OUT_BYTES_MAX.saturating_sub(waiting + self.said.len());
        let ready = room > 0 && self.mailbox.poll_ready(waker).is_ready();
        if ready || (room > 0 && self.machine.wants_output()) {
            self.call(room, |machine, cx, _| machine.handle_ready(cx));
        }
        let now = self.house.clock.now().instant;
        if self.machine.poll_timeout().is_some_and(|at| at <= now) {
            self.call(room, |machine, cx, _| machine.handle_timeout(cx));
        }
        if !self.input.is_empty() && room > 0 && self.machine.wants_input() {
            self.call(room, |machine, cx, input| machine.handle_input(cx, input));
        }
        ready || before != (self.said.len(), self.input.len())
    }

    fn call(&mut self, room: usize, call: impl FnOnce(&mut dyn Machine<E>, &mut Context<'_, E>, &mut BytesMut)) {
        let mut context = Context {
            now: self.house.clock.now(),
            core: &self.house.core,
            auth: &self.who,
            mailbox: &self.mailbox,
            peer: None,
            loopback: true,
            secure: None,
            out: &mut self.out,
            out_high_water: room,
            random: &mut self.random,
            action: None,
        };
        call(&mut *self.machine, &mut context, &mut self.input);
        self.over |= context.action.is_some();
        for piece in self.out.pieces() {
            self.said.extend_from_slice(piece);
        }
        self.out.advance(self.out.len());
    }

    /// What was taken of what it said.
    pub(super) fn heard(&mut self, bytes: usize) {
        self.said.advance(bytes);
    }
}

impl<E: Engine> Drop for Local<E> {
    /// However the bridge ends, its session is released, and keeps what was not acknowledged.
    fn drop(&mut self) {
        self.call(0, |machine, cx, _| machine.handle_closed(cx, CloseCause::CarrierFailed));
        self.mailbox.close();
    }
}
