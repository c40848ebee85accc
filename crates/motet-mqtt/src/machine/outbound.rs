//! What the client receives, and its acknowledgements.
//!
//! Three sources, in this order: direct batches from the mailbox, the session's queue within the client's receive
//! maximum, and last values that a subscription asked for. Each stops when the output is full and goes on when it has
//! been flushed.

use super::inbound::Reply;
use super::shared::Shares;
use super::subscribe::Replay;
use super::{Connected, Flow};
use crate::aliases::Aliases;
use crate::error::DecodeError;
use crate::frames::{Encoder, Hop};
use crate::mapping;
use crate::packet::{Frame, PacketIdentifier, Puback, Pubcomp, Pubrec, QoS, ReasonCode};
use crate::session::{identifier_of, pubrec_key};
use motet_core::core::{Delivery, Joined, Note};
use motet_core::engine::{Engine, Position};
use motet_core::machine::Context;
use motet_core::message::Reliability;
use motet_core::queues::Queued;
use std::collections::{HashMap, HashSet, VecDeque};

/// Deliveries taken from the queue in one go.
const TAKE_MESSAGES: usize = 256;
/// Bytes taken from the queue in one go, about.
const TAKE_BYTES: usize = 256 * 1024;
/// Last values looked at in one go: small, so that nobody waits for a walk over a hundred thousand.
const REPLAY_PAGE: usize = 128;

/// The client's side of receiving.
#[derive(Debug)]
pub(super) struct Outbound {
    /// Places at queues that others consume from too; `None` as long as there was none.
    pub(super) shares: Option<Box<Shares>>,
    /// Topics that the client knows by number; `None` when it takes none.
    aliases: Option<Box<Aliases>>,
    /// Deliveries that the client has not finished, by packet identifier.
    in_flight: HashMap<u16, InFlight, foldhash::fast::RandomState>,
    /// Sequences of a resumed session for which PUBREC had come.
    pubrec_before: HashSet<u64>,
    /// The queue has announced that it allotted something.
    pub(super) queue_ready: bool,
    /// Taken from the queue and not written yet; each may leave when that is durable.
    taken: VecDeque<(Delivery, Position)>,
    /// What waits is waiting for something else than room in the output.
    blocked: bool,
    /// Last values that need no acknowledgement, not written yet.
    values: VecDeque<Queued>,
    /// Walks over last values still to be made.
    pub(super) replays: VecDeque<Replay>,
    /// Finished in this turn.
    settled: Vec<u64>,
    /// Of those, the ones that had a PUBREC note.
    completed: Vec<u64>,
    /// PUBREC came in this turn.
    received: Vec<(u64, PacketIdentifier)>,
}

#[derive(Debug, Clone, Copy)]
struct InFlight {
    seq: u64,
    awaits: Awaits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    Puback,
    Pubrec,
    Pubcomp,
}

impl Outbound {
    pub(super) fn new(joined: Vec<Joined>, pubrec_before: HashSet<u64>, aliases_max: u16) -> Self {
        let mut shares = None;
        for joined in joined {
            shares.get_or_insert_with(Box::<Shares>::default).joined(joined);
        }
        Outbound {
            shares,
            aliases: Aliases::new(aliases_max),
            in_flight: HashMap::default(),
            pubrec_before,
            queue_ready: false,
            taken: VecDeque::new(),
            blocked: false,
            values: VecDeque::new(),
            replays: VecDeque::new(),
            settled: Vec::new(),
            completed: Vec::new(),
            received: Vec::new(),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Something of the session's own queue waits to be written.
    pub(super) fn has_taken(&self) -> bool {
        self.queue_ready || !self.taken.is_empty()
    }

    fn is_idle(&self) -> bool {
        if self.shares.as_ref().is_some_and(|shares| shares.wants_output) {
            return false;
        }
        self.blocked
            || (!self.queue_ready && self.taken.is_empty() && self.values.is_empty() && self.replays.is_empty())
    }
}

impl Connected {
    /// Something waits that the output had no room for.
    pub(super) fn has_more(&self) -> bool {
        !self.pulled.direct.is_empty() || !self.outbound.is_idle()
    }

    pub(super) fn deliver<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        let aliases = self.outbound.aliases.take();
        let mut encoder = Encoder::new(self.version, self.packet_bytes_max, cx.now).with_aliases(aliases);
        self.outbound.blocked = false;
        self.deliver_direct(cx, &mut encoder);
        self.deliver_queue(cx, &mut encoder);
        self.deliver_shares(cx, &mut encoder);
        self.deliver_values(cx, &mut encoder);
        self.outbound.aliases = encoder.into_aliases();
    }

    fn deliver_direct<E: Engine>(&mut self, cx: &mut Context<'_, E>, encoder: &mut Encoder) {
        let mut written = 0;
        for delivery in &self.pulled.direct {
            if cx.out_is_full() {
                break;
            }
            encoder.direct(cx.out, delivery);
            written += 1;
        }
        self.pulled.direct.drain(..written);
        // An idle connection keeps no memory for a burst that is over.
        if self.pulled.direct.is_empty() && self.pulled.direct.capacity() > 64 {
            self.pulled.direct = Vec::new();
        }
    }

    fn deliver_queue<E: Engine>(&mut self, cx: &mut Context<'_, E>, encoder: &mut Encoder) {
        loop {
            while let Some((delivery, after)) = self.outbound.taken.pop_front() {
                let early = after > cx.core.durable();
                if early || cx.out_is_full() || self.collides(&delivery) || self.is_beyond_window(&delivery) {
                    self.outbound.blocked = !cx.out_is_full();
                    self.outbound.taken.push_front((delivery, after));
                    if early {
                        cx.core.wake_when_durable(after, cx.mailbox);
                    }
                    return;
                }
                self.send(cx, encoder, &delivery);
            }
            if !self.outbound.queue_ready || cx.out_is_full() {
                return;
            }
            let mut taken = Vec::new();
            let took = cx.core.take(cx.now, &self.handle, TAKE_MESSAGES, TAKE_BYTES, &mut taken);
            self.outbound.queue_ready = took.more;
            // Exactly once: only what a crash cannot take back (rule d of DESIGN §7).
            let after = |d: &Delivery| match d.queued.reliability() {
                Reliability::ExactlyOnce => took.staged.unwrap_or_default(),
                _ => Position::default(),
            };
            self.outbound.taken.extend(taken.into_iter().map(|d| {
                let at = after(&d);
                (d, at)
            }));
            // What needs no acknowledgement is settled here, which may allot more.
            if self.outbound.taken.is_empty() {
                return;
            }
        }
    }

    /// Together with what shared queues have in flight it would be more than the client takes [MQTT-3.3.4-9].
    fn is_beyond_window(&self, delivery: &Delivery) -> bool {
        self.outbound.shares.is_some() && delivery.queued.reliability() > Reliability::AtMostOnce && self.window() == 0
    }

    /// Its packet identifier is still in use by a delivery 32,767 sequences earlier.
    fn collides(&self, delivery: &Delivery) -> bool {
        self.outbound.in_flight.contains_key(&identifier_of(delivery.seq).get())
    }

    fn send<E: Engine>(&mut self, cx: &mut Context<'_, E>, encoder: &mut Encoder, delivery: &Delivery) {
        let qos = mapping::qos(delivery.queued.reliability());
        let seq = delivery.seq;
        if qos == QoS::AtMostOnce {
            encoder.queued(cx.out, &delivery.queued, Hop::at_most_once());
            self.outbound.settled.push(seq);
            return;
        }
        let identifier = identifier_of(seq);
        if qos == QoS::ExactlyOnce && self.outbound.pubrec_before.remove(&seq) {
            // [MQTT-4.4.0-1] the client has it; only the release is sent again.
            self.outbound.in_flight.insert(identifier.get(), InFlight { seq, awaits: Awaits::Pubcomp });
            return self.reply(cx, None, Reply::Pubrel(vec![(identifier, ReasonCode::Success)]));
        }
        if !encoder.queued(
            cx.out,
            &delivery.queued,
            Hop { qos, identifier, dup: delivery.redelivered, ..Hop::at_most_once() },
        ) {
            // Expired, or larger than the client takes [MQTT-3.1.2-28]: as if it had been delivered.
            self.outbound.settled.push(seq);
            return;
        }
        let awaits = if qos == QoS::ExactlyOnce { Awaits::Pubrec } else { Awaits::Puback };
        self.outbound.in_flight.insert(identifier.get(), InFlight { seq, awaits });
    }

    fn deliver_values<E: Engine>(&mut self, cx: &mut Context<'_, E>, encoder: &mut Encoder) {
        loop {
            while let Some(value) = self.outbound.values.pop_front() {
                if cx.out_is_full() {
                    self.outbound.values.push_front(value);
                    return;
                }
                encoder.queued(cx.out, &value, Hop::at_most_once());
            }
            if self.outbound.queue_ready || !self.outbound.taken.is_empty() || cx.out_is_full() {
                return;
            }
            let Some(replay) = self.outbound.replays.front_mut() else { return };
            // Values that need acknowledging go through the queue: the next page only when the client has taken the last.
            if replay.grant.reliability > Reliability::AtMostOnce && self.handle.session().queued() > 0 {
                self.outbound.blocked = true;
                return;
            }
            let page = cx.core.retained_page(cx.now, &self.handle, &mut replay.cursor, &replay.grant, REPLAY_PAGE);
            if !page.more {
                self.outbound.replays.pop_front();
                if self.outbound.replays.is_empty() {
                    // Most clients subscribe once: the room would stay for nothing.
                    self.outbound.replays = VecDeque::new();
                }
            }
            self.outbound.values.extend(page.direct);
            if page.queued > 0 {
                // The queue announces them through the mailbox.
                return;
            }
        }
    }

    /// What was taken and not written has not been sent.
    pub(super) fn give_back<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        if !self.outbound.taken.is_empty() {
            let unsent: Vec<u64> = self.outbound.taken.drain(..).map(|(delivery, _)| delivery.seq).collect();
            cx.core.give_back(cx.now, &self.handle, &unsent);
        }
    }

    pub(super) fn puback(&mut self, frame: Frame<'_>) -> Result<Flow, DecodeError> {
        let puback = Puback::decode(frame, self.version)?;
        if let Some(shares) = &mut self.outbound.shares
            && shares.acknowledged(puback.packet_identifier, puback.reason_code)
        {
            return Ok(Flow::Continue);
        }
        self.finish(puback.packet_identifier, Awaits::Puback);
        Ok(Flow::Continue)
    }

    pub(super) fn pubrec(&mut self, frame: Frame<'_>) -> Result<Flow, DecodeError> {
        let pubrec = Pubrec::decode(frame, self.version)?;
        let identifier = pubrec.packet_identifier;
        // A client that refuses has ended the exchange [MQTT-4.4.0-2].
        if pubrec.reason_code.is_error() {
            self.finish(identifier, Awaits::Pubrec);
            return Ok(Flow::Continue);
        }
        match self.outbound.in_flight.get_mut(&identifier.get()) {
            Some(delivery) if delivery.awaits != Awaits::Puback => {
                delivery.awaits = Awaits::Pubcomp;
                self.outbound.received.push((delivery.seq, identifier));
            }
            // Unknown here: PUBREL with 0x92 ends the client's side too [3.6.2.1].
            _ => self.outbound.received.push((0, identifier)),
        }
        Ok(Flow::Continue)
    }

    pub(super) fn pubcomp(&mut self, frame: Frame<'_>) -> Result<Flow, DecodeError> {
        let pubcomp = Pubcomp::decode(frame, self.version)?;
        if let Some(seq) = self.finish(pubcomp.packet_identifier, Awaits::Pubcomp) {
            self.outbound.completed.push(seq);
        }
        Ok(Flow::Continue)
    }

    /// The client is done with a delivery, if it was at that step.
    fn finish(&mut self, identifier: PacketIdentifier, step: Awaits) -> Option<u64> {
        let delivery = self.outbound.in_flight.get(&identifier.get()).copied().filter(|d| d.awaits == step)?;
        self.outbound.in_flight.remove(&identifier.get());
        self.outbound.settled.push(delivery.seq);
        Some(delivery.seq)
    }

    /// Tells the core what this turn has finished: acknowledgements, PUBRECs, PUBRELs.
    pub(super) fn settle<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        self.answer_released(cx);
        self.settle_shares(cx);
        if !self.outbound.received.is_empty() {
            let received = std::mem::take(&mut self.outbound.received);
            let keys: Vec<_> = received.iter().filter(|(seq, _)| *seq > 0).map(|(seq, _)| pubrec_key(*seq)).collect();
            let notes: Vec<_> = keys.iter().map(|key| Note::Put { key, value: &[] }).collect();
            // Whose session was taken over releases nothing: the next connection is sent the messages again.
            if let Ok(position) = cx.core.note(&self.handle, &notes) {
                let code = |seq| if seq > 0 { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
                let ids = received.into_iter().map(|(seq, id)| (id, code(seq))).collect();
                self.reply(cx, position, Reply::Pubrel(ids));
            }
        }
        if !self.outbound.settled.is_empty() {
            let settled = std::mem::take(&mut self.outbound.settled);
            let keys: Vec<_> = self.outbound.completed.drain(..).map(pubrec_key).collect();
            let notes: Vec<_> = keys.iter().map(|key| Note::Delete { key }).collect();
            cx.core.settle(&self.handle, &settled, &notes);
            self.wake_for_window(cx);
            if self.outbound.blocked && !self.outbound.replays.is_empty() {
                cx.mailbox.nudge();
            }
            self.outbound.settled = settled;
            self.outbound.settled.clear();
            if self.outbound.settled.capacity() > 256 {
                self.outbound.settled = Vec::new();
            }
        }
    }
}
