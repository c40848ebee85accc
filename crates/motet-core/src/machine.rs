//! The law of a protocol machine.
//!
//! **Feed everything that was read, then flush the output once, then wait; the deadline is then true; ask
//! [`Machine::wants_input`] before each feed.**
//!
//! ```text
//!   loop {
//!       1. mailbox ready ─▶ handle_ready      2. deadline due ─▶ handle_timeout
//!       3. bytes read, while wants_input ─▶ handle_input
//!       4. flush `out`, carry out what `take_action` says      5. wait for one of 1, 2, 3
//!   }
//! ```
//! A machine never sees a socket, a clock or another connection. Whatever it needs is in the [`Context`].

pub use crate::authentication::{Attempt, Authenticator, Dialogue, Identity, Opening, Secure, Step};

use crate::core::Core;
use crate::engine::Engine;
use crate::mailbox::Mailbox;
use crate::principal::Principal;
use crate::rope::Rope;
use crate::time::{Instant, Now};
use bytes::BytesMut;
use std::net::SocketAddr;
use std::sync::Arc;

/// One connection's conversation.
pub trait Machine<E: Engine>: Send {
    /// Takes every complete frame, leaves the rest. Called with everything that one read brought.
    fn handle_input(&mut self, cx: &mut Context<'_, E>, input: &mut BytesMut);
    /// The mailbox has something, or the output has room again: pull deliveries and answers.
    fn handle_ready(&mut self, cx: &mut Context<'_, E>);
    /// The deadline has come. Calling it early is harmless.
    fn handle_timeout(&mut self, cx: &mut Context<'_, E>);
    /// When to call [`Machine::handle_timeout`]. Ask again after any other call.
    fn poll_timeout(&self) -> Option<Instant>;
    /// False lets back-pressure reach the peer: the driver stops reading. A machine may also leave complete frames in the
    /// input because the output is full; then it is fed again, without a read, once the output has been flushed.
    fn wants_input(&self) -> bool;
    /// Deliveries are waiting that the machine could not write because the output was full; call
    /// [`Machine::handle_ready`] once the output has been flushed.
    fn wants_output(&self) -> bool;
    /// How many bytes the frame at the front of the input will need in all, when known: lets the driver size its
    /// buffer once instead of growing it.
    fn input_hint(&self) -> Option<usize>;
    /// Who the peer is, once it is let in.
    fn principal(&self) -> Option<&Principal> {
        None
    }
    /// Messages that the peer has published on this connection, refused ones too: what the driver's rates are paid in.
    fn messages_in(&self) -> u64 {
        0
    }
    /// The peer's vhost has no room for what it publishes: it is not read from until there is, like anybody who publishes
    /// while an alarm is raised. The mailbox is nudged then.
    fn is_held(&self) -> bool {
        false
    }
    /// An alarm keeps the driver from reading what peers publish, or (`None`) does so no longer: for protocols that have a
    /// word for it. Told to those who have not published, too; they are read from until they do.
    fn handle_alarm(&mut self, cx: &mut Context<'_, E>, why: Option<&str>) {
        let _ = (cx, why);
    }
    /// The machine wants to know when everything has been read that the peer has sent so far.
    fn is_leaving(&self) -> bool {
        false
    }
    /// The carrier had nothing more to read. Called only while [`Machine::is_leaving`].
    fn handle_quiet(&mut self, cx: &mut Context<'_, E>) {
        let _ = cx;
    }
    /// The driver has not read from the peer until now, by its own will: so far its silence says nothing.
    fn excuse_silence(&mut self, now: Instant) {
        let _ = now;
    }
    /// The carrier is gone (closed by the peer, failed, or closed by us). Called exactly once, last.
    fn handle_closed(&mut self, cx: &mut Context<'_, E>, how: CloseCause);
}

/// How a connection ended, as the carrier saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCause {
    /// The peer closed the carrier.
    PeerClosed,
    /// Reading or writing failed.
    CarrierFailed,
    /// The machine asked for it.
    Ours,
    /// The server is going down.
    Drain,
}

/// A side effect that the driver carries out after the output is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Flush what can be flushed within the close deadline, then close the carrier.
    Close,
}

/// What a machine may use during one call.
pub struct Context<'a, E: Engine> {
    /// The time of this turn.
    pub now: Now,
    /// The core, for plain synchronous calls.
    pub core: &'a Core<E>,
    /// Who checks credentials.
    pub auth: &'a dyn Authenticator,
    /// This connection's mailbox.
    pub mailbox: &'a Arc<Mailbox>,
    /// The peer's address, where the carrier has one.
    pub peer: Option<SocketAddr>,
    /// The listener is bound to loopback.
    pub loopback: bool,
    /// What the carrier's encryption knows; `None` on a carrier in the clear.
    pub secure: Option<&'a Secure>,
    /// Where output is encoded to.
    pub out: &'a mut Rope,
    /// Bytes of `out` beyond which a machine leaves deliveries in its mailbox.
    pub out_high_water: usize,
    /// Randomness of this connection, seeded by the driver.
    pub random: &'a mut Random,
    /// What the driver shall do after this call.
    pub action: Option<Action>,
}

impl<E: Engine> Context<'_, E> {
    /// The output has reached its high-water mark.
    pub fn out_is_full(&self) -> bool {
        self.out.len() >= self.out_high_water
    }

    /// Asks the driver to flush and close.
    pub fn close(&mut self) {
        self.action = Some(Action::Close);
    }
}

/// A small seeded generator (SplitMix64): not for secrets, only for identifiers that must not collide by accident.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator that repeats for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
