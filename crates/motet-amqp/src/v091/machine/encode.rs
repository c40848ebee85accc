//! Deliveries as bytes: method, header, body; from the origin's own bytes when the message came from AMQP.

use crate::v091::mapping::{self, Added, FACE};
use crate::v091::packet::{FRAME_END, FRAME_OVERHEAD, FrameKind, put_frame, put_header, put_short};
use bytes::{BufMut, Bytes, BytesMut};
use motet_core::core::broker::exchange_and_key;
use motet_core::message::MessageRef;
use motet_core::name::Name;
use motet_core::rope::Rope;
use motet_core::spelling::amqp::short_key;
use motet_core::time::Now;

/// Bodies from here on are linked into the output instead of copied.
const LINK_BYTES_MIN: usize = 2048;

/// An address, spelled; kept from one delivery to the next.
#[derive(Debug, Default)]
pub(super) struct Spelled {
    address: Option<Name>,
    /// Exchange and key as short strings, as they stand in basic.deliver.
    pub(super) place: BytesMut,
    /// The whole key, when it does not fit.
    long_key: Option<Vec<u8>>,
    raw: BytesMut,
}

impl Spelled {
    fn spell(&mut self, address: &Name) {
        if self.address.as_ref() == Some(address) {
            return;
        }
        let (exchange, key) = exchange_and_key(address);
        self.place.clear();
        put_short(&mut self.place, &exchange[..exchange.len().min(255)]);
        let short = short_key(&key);
        put_short(&mut self.place, short);
        self.long_key = (short.len() < key.len()).then_some(key);
        self.address = Some(address.clone());
    }

    /// Forgets what may be large.
    pub(super) fn rest(&mut self) {
        if self.raw.capacity() > LINK_BYTES_MIN {
            self.raw = BytesMut::new();
        }
        self.address = None;
    }
}

/// What a content goes out as.
pub(super) enum As<'a> {
    /// basic.deliver
    Deliver {
        /// The consumer's tag as a short string.
        consumer: &'a [u8],
        tag: u64,
        redelivered: bool,
    },
    /// basic.get-ok
    GetOk { tag: u64, redelivered: bool, message_count: u32 },
    /// basic.return
    Return,
}

/// What a message is sent with.
pub(super) struct Sending<'a> {
    pub(super) now: Now,
    pub(super) channel: u16,
    pub(super) frame_max: u32,
    pub(super) as_: As<'a>,
    pub(super) retained: bool,
    pub(super) delivery_count: Option<u32>,
    pub(super) stream_offset: Option<u64>,
}

/// The text of basic.return for a message that reached no queue.
const NO_ROUTE: &[u8] = b"NO_ROUTE";

/// Writes a message.
pub(super) fn put_message(out: &mut Rope, spelled: &mut Spelled, sending: &Sending<'_>, message: &MessageRef) {
    spelled.spell(message.address());
    put_frame(out.tail(), FrameKind::Method, sending.channel, |out| {
        out.put_u16(60);
        match sending.as_ {
            As::Deliver { consumer, tag, redelivered } => {
                out.put_u16(60);
                out.put_slice(consumer);
                out.put_u64(tag);
                out.put_u8(u8::from(redelivered));
                out.put_slice(&spelled.place);
            }
            As::GetOk { tag, redelivered, message_count } => {
                out.put_u16(71);
                out.put_u64(tag);
                out.put_u8(u8::from(redelivered));
                out.put_slice(&spelled.place);
                out.put_u32(message_count);
            }
            As::Return => {
                out.put_u16(50);
                out.put_u16(312);
                put_short(out, NO_ROUTE);
                out.put_slice(&spelled.place);
            }
        }
    });
    let size = message.payload().len() as u64;
    let added = Added {
        retained: sending.retained,
        long_key: spelled.long_key.as_deref(),
        delivery_count: sending.delivery_count,
        stream_offset: sending.stream_offset,
    };
    let m = message.message();
    let from_amqp = message.batch().face() == FACE && !message.origin().is_empty();
    if from_amqp && added.is_nothing() && !mapping::has_changed(m) {
        put_header(out.tail(), sending.channel, size, message.origin());
    } else {
        spelled.raw.clear();
        match from_amqp {
            true => mapping::from_origin(message.origin(), m, added, &mut spelled.raw),
            false => mapping::from_canonical(sending.now, m, added, &mut spelled.raw),
        }
        put_header(out.tail(), sending.channel, size, &spelled.raw);
    }
    put_body(out, sending, message);
}

/// The body in as many frames as it takes; none for an empty one.
fn put_body(out: &mut Rope, sending: &Sending<'_>, message: &MessageRef) {
    let payload = message.payload();
    let room = sending.frame_max as usize - FRAME_OVERHEAD;
    if payload.len() < LINK_BYTES_MIN {
        for part in payload.chunks(room) {
            put_frame(out.tail(), FrameKind::Body, sending.channel, |out| out.put_slice(part));
        }
        return;
    }
    let shared: Bytes = message.batch().payload_shared(message.message());
    let mut at = 0;
    while at < shared.len() {
        let part = shared.slice(at..shared.len().min(at + room));
        at += part.len();
        let tail = out.tail();
        tail.put_u8(FrameKind::Body.number());
        tail.put_u16(sending.channel);
        tail.put_u32(part.len() as u32);
        out.put_shared(part);
        out.tail().put_u8(FRAME_END);
    }
}
