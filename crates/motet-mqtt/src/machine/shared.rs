//! Deliveries from queues that others consume from too: groups that share a subscription [4.8.2], and queues that
//! somebody declared.
//!
//! What such a queue hands out under QoS 1 is held until PUBACK and returns to its place when the connection ends; its
//! packet identifiers are the upper half of the numbers, taken as they are free. What is sent under QoS 2 must wait for
//! this session [MQTT-4.8.2-4]: it moves into the session's own queue first and goes its way from there.

use super::Connected;
use crate::frames::{Encoder, Hop};
use crate::mapping;
use crate::packet::{PacketIdentifier, QoS, ReasonCode};
use crate::session::SHARED_IDENTIFIERS;
use motet_core::core::broker::{NamedQueue, Settle};
use motet_core::core::{Delivery, Joined};
use motet_core::engine::Engine;
use motet_core::machine::Context;
use motet_core::mailbox::{Grant, Ready};
use motet_core::queue::{ConsumeError, ConsumerId, Leaving, Nack};
use motet_core::queues::Queued;
use motet_core::session::SubscribeOptions;
use motet_core::stream::Start;
use motet_core::transaction::Settlement;
use std::collections::HashMap;
use std::sync::Arc;

/// Deliveries taken from a queue in one go: what is taken the other consumers don't get.
const TAKE_MESSAGES: usize = 32;
/// Bytes taken in one go, about.
const TAKE_BYTES: usize = 64 * 1024;

/// The session's places at queues.
#[derive(Debug, Default)]
pub(super) struct Shares {
    places: Vec<Place>,
    /// QoS 1 deliveries that wait for PUBACK.
    in_flight: HashMap<u16, Held, foldhash::fast::RandomState>,
    /// Where to look for a free packet identifier: how many were given so far.
    given: u16,
    /// Finished in this turn.
    settles: Vec<Settle>,
    taken: Vec<Delivery>,
    /// Tags given to readers of streams.
    streams_made: u64,
    /// Something could be sent if the output had room.
    pub(super) wants_output: bool,
}

#[derive(Debug)]
struct Place {
    joined: Joined,
    grant: Arc<Grant>,
    /// The queue has announced that it allotted something.
    ready: bool,
    /// It reads a stream, asked for by this filter; such a place lasts as long as the connection.
    stream: Option<Box<str>>,
}

/// A delivery in the client's hands.
#[derive(Debug)]
struct Held {
    queue: Arc<NamedQueue>,
    consumer: ConsumerId,
    seq: u64,
}

impl Shares {
    /// A place is new, or its options are.
    pub(super) fn joined(&mut self, joined: Joined) {
        let grant = Arc::new(grant_of(&joined.options));
        match self.places.iter_mut().find(|place| place.joined.tag == joined.tag) {
            Some(place) => (place.joined, place.grant) = (joined, grant),
            None => self.places.push(Place { joined, grant, ready: false, stream: None }),
        }
    }

    /// The places at this queue are given up, or the queue is gone.
    pub(super) fn parted(&mut self, is_it: impl Fn(&Joined) -> bool) {
        self.places.retain(|place| !is_it(&place.joined));
    }

    /// Takes note of an announcement; false when it is not for one of these places.
    fn announced(&mut self, ready: &Ready) -> bool {
        let place = self.places.iter_mut().find(|place| place.joined.consumer == ready.consumer);
        place.map(|place| place.ready = true).is_some()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn is_ready(&self) -> bool {
        self.places.iter().any(|place| place.ready)
    }

    /// PUBACK has come; false when nothing waits for it. What a client refuses goes to nobody else [MQTT-4.8.2-6]: it is
    /// dead-lettered where the queue says so.
    pub(super) fn acknowledged(&mut self, identifier: PacketIdentifier, code: ReasonCode) -> bool {
        let Some(Held { queue, consumer, seq }) = self.in_flight.remove(&identifier.get()) else { return false };
        let settlement = if code.is_error() { Settlement::Nack(Nack::Reject) } else { Settlement::Ack };
        self.settles.push(Settle { queue, consumer, seq, settlement });
        true
    }

    fn free_identifier(&mut self) -> PacketIdentifier {
        let (first, count) = (*SHARED_IDENTIFIERS.start(), SHARED_IDENTIFIERS.len() as u16);
        loop {
            let number = first + self.given % count;
            self.given = self.given.wrapping_add(1) % count;
            if !self.in_flight.contains_key(&number) {
                return PacketIdentifier::new(number).expect("the upper half has no zero");
            }
        }
    }
}

fn grant_of(options: &SubscribeOptions) -> Grant {
    Grant {
        reliability: options.reliability,
        retain_as_published: options.retain_as_published,
        identifiers: options.identifier.into_iter().collect(),
    }
}

/// Messages of a stream that a reader takes before it has acknowledged any.
const STREAM_CREDIT_MAX: u16 = 64;
/// Tags of readers of streams begin here: those of a session's other places are 32-bit numbers.
const STREAM_TAGS: u64 = 1 << 32;

impl Connected {
    /// Reads a stream from `start` on, anew where this filter did so before.
    pub(super) fn read_stream<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        filter: &str,
        queue: &Arc<NamedQueue>,
        start: Start,
        options: SubscribeOptions,
    ) -> Result<(), ConsumeError> {
        self.close_stream(cx, |known| known == filter);
        let shares = self.outbound.shares.get_or_insert_default();
        shares.streams_made += 1;
        let tag = STREAM_TAGS + shares.streams_made;
        let credit = Some(self.receive_maximum.min(STREAM_CREDIT_MAX).into());
        let consumer = cx.core.consume_stream(cx.now, queue, cx.mailbox, credit, tag, start)?;
        let joined = Joined { queue: queue.clone(), consumer, tag, options };
        let grant = Arc::new(grant_of(&options));
        shares.places.push(Place { joined, grant, ready: false, stream: Some(filter.into()) });
        Ok(())
    }

    /// Ends the readers whose filter `is_it`; true when there was one.
    pub(super) fn close_stream<E: Engine>(&mut self, cx: &mut Context<'_, E>, is_it: impl Fn(&str) -> bool) -> bool {
        let Some(shares) = &mut self.outbound.shares else { return false };
        let before = shares.places.len();
        shares.places.retain(|place| {
            let goes = place.stream.as_deref().is_some_and(&is_it);
            if goes {
                cx.core.leave(cx.now, &place.joined.queue, place.joined.consumer, Leaving::Orderly);
            }
            !goes
        });
        shares.places.len() < before
    }

    /// A queue has announced something: one of those shared with others, or the session's own.
    pub(super) fn announced(&mut self, ready: &Ready) {
        let shared = self.outbound.shares.as_mut().is_some_and(|shares| shares.announced(ready));
        self.outbound.queue_ready |= !shared;
    }

    /// How many QoS 1 and 2 messages the client takes now [MQTT-3.3.4-9].
    pub(super) fn window(&self) -> usize {
        let held = self.outbound.in_flight() + self.outbound.shares.as_ref().map_or(0, |shares| shares.in_flight());
        usize::from(self.receive_maximum).saturating_sub(held)
    }

    pub(super) fn deliver_shares<E: Engine>(&mut self, cx: &mut Context<'_, E>, encoder: &mut Encoder) {
        let Some(mut shares) = self.outbound.shares.take() else { return };
        shares.wants_output = false;
        for at in 0..shares.places.len() {
            while shares.places[at].ready {
                // What came from the session's own queue goes first, so that no share starves it.
                let window = self.window().saturating_sub(shares.in_flight());
                if window == 0 || self.outbound.has_taken() {
                    break;
                }
                if cx.out_is_full() {
                    shares.wants_output = true;
                    break;
                }
                self.deliver_from(cx, encoder, &mut shares, at, window);
            }
        }
        self.outbound.shares = Some(shares);
    }

    /// Takes once from one queue and sends it.
    fn deliver_from<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        encoder: &mut Encoder,
        shares: &mut Shares,
        at: usize,
        window: usize,
    ) {
        let mut taken = std::mem::take(&mut shares.taken);
        let Place { joined, grant, .. } = &shares.places[at];
        let (joined, grant) = (joined.clone(), grant.clone());
        let (queue, consumer) = (&joined.queue, joined.consumer);
        let most = window.min(TAKE_MESSAGES);
        let took = cx.core.take_from(cx.now, queue.cell(), consumer, most, TAKE_BYTES, &mut taken);
        shares.places[at].ready = took.more;
        let mut adopted = Vec::new();
        let is_stream = shares.places[at].stream.is_some();
        for delivery in taken.drain(..) {
            let seq = delivery.seq;
            let queued = Queued { grant: grant.clone(), ..delivery.queued.clone() };
            let (redelivered, stream_offset) = (delivery.redelivered, is_stream.then_some(delivery.seq));
            let done = match mapping::qos(queued.reliability()) {
                QoS::AtMostOnce => {
                    encoder.queued(cx.out, &queued, Hop { redelivered, stream_offset, ..Hop::at_most_once() });
                    true
                }
                QoS::AtLeastOnce => {
                    let identifier = shares.free_identifier();
                    // DUP is for what this very session was sent before; nobody knows who was.
                    let hop = Hop { qos: QoS::AtLeastOnce, identifier, dup: false, redelivered, stream_offset };
                    let sent = encoder.queued(cx.out, &queued, hop);
                    if sent {
                        shares.in_flight.insert(identifier.get(), Held { queue: queue.clone(), consumer, seq });
                    }
                    !sent
                }
                QoS::ExactlyOnce => {
                    adopted.push(delivery);
                    false
                }
            };
            if done {
                shares.settles.push(Settle { queue: queue.clone(), consumer, seq, settlement: Settlement::Ack });
            }
        }
        shares.taken = taken;
        if !adopted.is_empty() {
            cx.core.adopt(cx.now, &self.handle, &joined, &adopted, &grant);
        }
    }

    /// Tells the core what this turn has finished.
    pub(super) fn settle_shares<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        let Some(shares) = &mut self.outbound.shares else { return };
        if shares.settles.is_empty() {
            return;
        }
        cx.core.settle_many(cx.now, &shares.settles);
        shares.settles.clear();
        self.wake_for_window(cx);
    }

    /// The window has grown: what it held back can go now.
    pub(super) fn wake_for_window<E: Engine>(&self, cx: &Context<'_, E>) {
        let Some(shares) = &self.outbound.shares else { return };
        if shares.is_ready() || self.outbound.has_taken() {
            cx.mailbox.nudge();
        }
    }
}
