//! A carrier in memory with a machine at its server end. Bytes arrive in pieces, late, or never.

use super::Dice;
use bytes::BytesMut;
use motet_core::core::Core;
use motet_core::fake::FakeEngine;
use motet_core::machine::{Action, Attempt, Authenticator, CloseCause, Context, Machine, Random};
use motet_core::mailbox::{Mailbox, Overflow};
use motet_core::principal::{Denied, Principal};
use motet_core::rope::Rope;
use motet_core::time::Now;
use std::sync::Arc;
use std::task::Waker;

struct OpenDoor;

impl Authenticator for OpenDoor {
    fn check(&self, _: Attempt<'_>, _: u64, _: &Arc<Mailbox>) -> Option<Result<Principal, Denied>> {
        Some(Ok(Principal::anonymous()))
    }
}

pub(super) struct Link {
    machine: Box<dyn Machine<FakeEngine>>,
    mailbox: Arc<Mailbox>,
    random: Random,
    /// On its way to the server.
    pub(super) to_server: Vec<u8>,
    /// Read by the server, not yet taken by the machine.
    input: BytesMut,
    out: Rope,
    out_high_water: usize,
    /// On its way to the client.
    pub(super) to_client: Vec<u8>,
    pub(super) server_open: bool,
    pub(super) client_open: bool,
}

impl Link {
    pub(super) fn new(machine: Box<dyn Machine<FakeEngine>>, dice: &mut Dice) -> Self {
        Link {
            machine,
            mailbox: Mailbox::new(1 << 20, Overflow::default()),
            random: Random::seeded(dice.seed()),
            to_server: Vec::new(),
            input: BytesMut::new(),
            out: Rope::new(),
            out_high_water: [1, 64, 1024, 65_536][dice.below(4)],
            to_client: Vec::new(),
            server_open: true,
            client_open: true,
        }
    }

    /// Both ends are done with it.
    pub(super) fn is_over(&self) -> bool {
        !self.server_open && !self.client_open
    }

    /// Nothing that the client said is left unread.
    pub(super) fn is_drained(&self) -> bool {
        self.to_server.is_empty() && self.input.is_empty()
    }

    /// The server reads up to `count` bytes, if it wants any.
    pub(super) fn read(&mut self, core: &Core<FakeEngine>, now: Now, count: usize) -> bool {
        if !self.server_open || !self.machine.wants_input() {
            return false;
        }
        let count = count.min(self.to_server.len());
        self.input.extend(self.to_server.drain(..count));
        if count > 0 || !self.input.is_empty() {
            self.call(core, now, |machine, cx, input| machine.handle_input(cx, input));
        }
        if self.server_open && !self.client_open && self.to_server.is_empty() {
            self.close(core, now, CloseCause::PeerClosed);
        }
        count > 0
    }

    /// The server looks at its mailbox and its deadline.
    pub(super) fn turn(&mut self, core: &Core<FakeEngine>, now: Now) -> bool {
        if !self.server_open {
            return false;
        }
        let before = self.out.len();
        // Asking the mailbox takes its nudge away, so it is asked only by who will act on it.
        let has_room = before < self.out_high_water;
        if has_room && (self.mailbox.poll_ready(Waker::noop()).is_ready() || self.machine.wants_output()) {
            self.call(core, now, |machine, cx, _| machine.handle_ready(cx));
        }
        if self.server_open && self.machine.poll_timeout().is_some_and(|at| at <= now.instant) {
            self.call(core, now, |machine, cx, _| machine.handle_timeout(cx));
        }
        self.out.len() != before
    }

    /// The server writes up to `count` bytes.
    pub(super) fn flush(&mut self, count: usize) -> bool {
        let mut left = count.min(self.out.len());
        if left == 0 {
            return false;
        }
        let mut wrote = 0;
        for piece in self.out.pieces() {
            let take = left.min(piece.len());
            self.to_client.extend_from_slice(&piece[..take]);
            wrote += take;
            left -= take;
        }
        self.out.advance(wrote);
        true
    }

    /// The client walks away without a word; the server may never see what was under way.
    pub(super) fn abandon(&mut self, dice: &mut Dice) {
        self.client_open = false;
        self.to_client.clear();
        if dice.one_in(2) {
            let kept = dice.below(self.to_server.len() + 1);
            self.to_server.truncate(kept);
        }
    }

    /// The server notices that the client is gone.
    pub(super) fn close(&mut self, core: &Core<FakeEngine>, now: Now, how: CloseCause) {
        self.server_open = false;
        self.turn_of(core, now, |machine, cx, _| machine.handle_closed(cx, how));
        self.flush(usize::MAX);
    }

    /// The server's process is gone.
    pub(super) fn die(&mut self, dice: &mut Dice) {
        self.server_open = false;
        self.out = Rope::new();
        let kept = dice.below(self.to_client.len() + 1);
        self.to_client.truncate(kept);
    }

    fn call(
        &mut self,
        core: &Core<FakeEngine>,
        now: Now,
        what: impl FnOnce(&mut dyn Machine<FakeEngine>, &mut Context<'_, FakeEngine>, &mut BytesMut),
    ) {
        if self.turn_of(core, now, what) == Some(Action::Close) {
            self.close(core, now, CloseCause::Ours);
        }
    }

    fn turn_of(
        &mut self,
        core: &Core<FakeEngine>,
        now: Now,
        what: impl FnOnce(&mut dyn Machine<FakeEngine>, &mut Context<'_, FakeEngine>, &mut BytesMut),
    ) -> Option<Action> {
        let mut cx = Context {
            now,
            core,
            auth: &OpenDoor,
            mailbox: &self.mailbox,
            peer: None,
            loopback: true,
            secure: None,
            out: &mut self.out,
            out_high_water: self.out_high_water,
            random: &mut self.random,
            action: None,
        };
        what(&mut *self.machine, &mut cx, &mut self.input);
        cx.action
    }
}
