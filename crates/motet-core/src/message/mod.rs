//! The message: what a publisher said, once, shared by everyone who hears it.
//!
//! ```text
//!  one read of one publisher ─▶ BatchBuilder ─▶ Arc<Batch>: one address, one block of bytes, n messages
//!                                                 │
//!                      mailbox entry = the batch ─┤     queue entry = MessageRef (batch + index)
//! ```
//! Payloads and origin data are ranges of the batch's block, which is exactly as long as what it holds: nothing that
//! outlives its publisher's turn pins a read buffer.

mod deaths;
mod properties;
mod stored;

pub use properties::{Properties, ReplyAddress, Value};
pub(crate) use stored::StoredRun;
pub use stored::{StoredError, decode_stored, encode_stored_head};
pub(crate) use stored::{take_value, write_value};

use crate::name::Name;
use crate::time::WallMillis;
use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// How surely a message is to arrive. Ordered: a delivery uses the lower of what was published and what was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Reliability {
    /// Transient: delivered to whoever is there now.
    #[default]
    AtMostOnce = 0,
    /// Persistent: kept until acknowledged, may arrive twice.
    AtLeastOnce = 1,
    /// Persistent: kept until acknowledged, arrives once. A persistent message of a face without this notion carries
    /// it too, so that the granted level decides at delivery.
    ExactlyOnce = 2,
}

impl Reliability {
    /// The level of the wire or disk value 0, 1 or 2.
    pub fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Reliability::AtMostOnce),
            1 => Some(Reliability::AtLeastOnce),
            2 => Some(Reliability::ExactlyOnce),
            _ => None,
        }
    }
}

/// Which protocol a message's origin data belongs to. The core compares these and never looks inside the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FaceId(pub u8);

impl FaceId {
    /// No origin data.
    pub const NONE: FaceId = FaceId(0);
}

/// Who published: one live connection. Used for "not to myself" and for order per publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PublisherId(pub u64);

/// One message of a [`Batch`]; its bytes are ranges of the batch's block.
#[derive(Debug, Clone, Default)]
pub struct Message {
    payload: (u32, u32),
    origin: (u32, u32),
    /// Published as transient, at least once or exactly once.
    pub reliability: Reliability,
    /// The publisher asked for this to become (or, empty, to clear) the last value of its address.
    pub retain: bool,
    /// When it stops being worth delivering; absolute, so that it survives a restart.
    pub expires_at: Option<WallMillis>,
    /// Typed properties, absent for the plain majority.
    pub properties: Option<Box<Properties>>,
}

/// Messages of one publisher to one address in the order they were published, shared by all who receive them.
#[derive(Debug)]
pub struct Batch {
    address: Name,
    publisher: PublisherId,
    face: FaceId,
    block: Bytes,
    messages: Box<[Message]>,
    frames: Frames,
}

impl Batch {
    /// Where the messages go.
    pub fn address(&self) -> &Name {
        &self.address
    }

    /// Who sent them.
    pub fn publisher(&self) -> PublisherId {
        self.publisher
    }

    /// The protocol that [`Batch::origin`] is written in.
    pub fn face(&self) -> FaceId {
        self.face
    }

    /// The messages in publish order.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The payload of `message`, which must be one of this batch.
    pub fn payload(&self, message: &Message) -> &[u8] {
        &self.block[message.payload.0 as usize..message.payload.1 as usize]
    }

    /// The payload as a shared slice, for linking a large body into an output rope.
    pub fn payload_shared(&self, message: &Message) -> Bytes {
        self.block.slice(message.payload.0 as usize..message.payload.1 as usize)
    }

    /// The sender's own protocol data of `message`, untouched; empty when there is none.
    pub fn origin(&self, message: &Message) -> &[u8] {
        &self.block[message.origin.0 as usize..message.origin.1 as usize]
    }

    /// Bytes of memory this batch keeps alive: what mailboxes and queues count.
    pub fn pinned_bytes(&self) -> usize {
        self.block.len() + self.messages.len() * size_of::<Message>()
    }

    /// The same messages at another address, sharing the block.
    pub(crate) fn readdressed(&self, address: Name) -> Arc<Batch> {
        Arc::new(Batch {
            address,
            publisher: self.publisher,
            face: self.face,
            block: self.block.clone(),
            messages: self.messages.clone(),
            frames: Frames::default(),
        })
    }

    /// The frame cache: encodings of the *whole batch*, made once per kind of subscriber.
    pub fn frames(&self) -> &Frames {
        &self.frames
    }
}

/// Encodings of a batch, shared by subscribers that would produce the same bytes.
///
/// Keys are chosen by the protocol crates (face, version and whatever else changes the bytes). Four kinds are kept;
/// a fifth kind of subscriber encodes for itself.
#[derive(Debug, Default)]
pub struct Frames {
    slots: [OnceLock<(u32, Bytes)>; 4],
}

impl Frames {
    /// The encoding under `key`, made by `encode` if nobody made it yet. `None` when all slots hold other keys.
    pub fn get_or_encode(&self, key: u32, encode: impl FnOnce() -> Bytes) -> Option<Bytes> {
        let mut encode = Some(encode);
        for slot in &self.slots {
            let (held, bytes) = slot.get_or_init(|| {
                let encode = encode.take().expect("a slot is initialised at most once per call");
                (key, encode())
            });
            if *held == key {
                return Some(bytes.clone());
            }
            encode.as_ref()?;
        }
        None
    }
}

/// A handle on one message; cloning costs one counter.
#[derive(Debug, Clone)]
pub struct MessageRef {
    batch: Arc<Batch>,
    index: u32,
}

impl MessageRef {
    /// The message at `index` of `batch`, which must exist.
    pub fn new(batch: Arc<Batch>, index: usize) -> Self {
        assert!(index < batch.messages.len(), "a message reference points into its batch");
        MessageRef { batch, index: u32::try_from(index).expect("a batch holds fewer than 2^32 messages") }
    }

    /// Its place in the batch.
    pub(crate) fn index(&self) -> usize {
        self.index as usize
    }

    /// The batch it came with.
    pub fn batch(&self) -> &Arc<Batch> {
        &self.batch
    }

    /// The message itself.
    pub fn message(&self) -> &Message {
        &self.batch.messages[self.index as usize]
    }

    /// Where it was published.
    pub fn address(&self) -> &Name {
        &self.batch.address
    }

    /// Its payload.
    pub fn payload(&self) -> &[u8] {
        self.batch.payload(self.message())
    }

    /// Its origin data.
    pub fn origin(&self) -> &[u8] {
        self.batch.origin(self.message())
    }

    /// Bytes of the payload.
    pub fn payload_size(&self) -> u32 {
        let m = self.message();
        m.payload.1 - m.payload.0
    }

    /// Bytes that keeping it takes: payload, origin and bookkeeping.
    pub fn size(&self) -> u32 {
        let m = self.message();
        let bytes = (m.payload.1 - m.payload.0) + (m.origin.1 - m.origin.0);
        bytes.saturating_add(size_of::<Message>() as u32)
    }

    /// The same message in a batch of its own, when this one would pin more than four times its size.
    pub fn detached(&self) -> MessageRef {
        if self.batch.pinned_bytes() <= 4 * self.size() as usize + 1024 {
            return self.clone();
        }
        MessageRef { batch: self.alone(self.message().expires_at), index: 0 }
    }

    /// A message of the same publisher and protocol, at `address` and with `parts`, in a batch of its own.
    pub(crate) fn rewritten(&self, address: Name, parts: MessageParts<'_>) -> Arc<Batch> {
        let mut builder = BatchBuilder::new();
        builder.push(parts);
        builder.finish(address, self.batch.publisher, self.batch.face)
    }

    /// The same message in a batch of its own, expiring at `at`.
    pub fn expiring(&self, at: WallMillis) -> Arc<Batch> {
        self.alone(Some(at))
    }

    pub(crate) fn alone(&self, expires_at: Option<WallMillis>) -> Arc<Batch> {
        let m = self.message();
        let mut builder = BatchBuilder::new();
        builder.push(MessageParts {
            payload: self.payload(),
            origin: self.origin(),
            reliability: m.reliability,
            retain: m.retain,
            expires_at,
            properties: m.properties.clone(),
        });
        builder.finish(self.batch.address.clone(), self.batch.publisher, self.batch.face)
    }
}

/// What a publisher hands to [`BatchBuilder::push`].
#[derive(Debug, Default)]
pub struct MessageParts<'a> {
    /// The body.
    pub payload: &'a [u8],
    /// The sender's own protocol data, kept untouched.
    pub origin: &'a [u8],
    /// See [`Message::reliability`].
    pub reliability: Reliability,
    /// See [`Message::retain`].
    pub retain: bool,
    /// See [`Message::expires_at`].
    pub expires_at: Option<WallMillis>,
    /// See [`Message::properties`].
    pub properties: Option<Box<Properties>>,
}

/// Collects messages to one address, then makes an exactly sized [`Batch`]. Reusable: it keeps its scratch memory.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    block: Vec<u8>,
    messages: Vec<Message>,
}

/// Scratch memory that a builder keeps between batches; more is given back.
const SCRATCH_KEPT: usize = 256 * 1024;

impl BatchBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// No message collected since the last [`BatchBuilder::finish`].
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Messages collected.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Bytes of bodies and origin data collected.
    pub fn bytes(&self) -> usize {
        self.block.len()
    }

    /// Adds a message. The caller bounds the batch (a read's worth); a single body is below 4 GiB by every face's limit.
    pub fn push(&mut self, parts: MessageParts<'_>) {
        let payload = self.append(parts.payload);
        let origin = self.append(parts.origin);
        self.messages.push(Message {
            payload,
            origin,
            reliability: parts.reliability,
            retain: parts.retain,
            expires_at: parts.expires_at,
            properties: parts.properties,
        });
    }

    fn append(&mut self, bytes: &[u8]) -> (u32, u32) {
        let start = u32::try_from(self.block.len()).expect("a batch is below 4 GiB");
        self.block.extend_from_slice(bytes);
        (start, u32::try_from(self.block.len()).expect("a batch is below 4 GiB"))
    }

    /// The batch of everything collected; the builder is empty afterwards.
    pub fn finish(&mut self, address: Name, publisher: PublisherId, face: FaceId) -> Arc<Batch> {
        let block = if self.block.capacity() > SCRATCH_KEPT {
            Bytes::from(std::mem::take(&mut self.block).into_boxed_slice())
        } else {
            let block = Bytes::copy_from_slice(&self.block);
            self.block.clear();
            block
        };
        let messages: Box<[Message]> = self.messages.drain(..).collect();
        Arc::new(Batch { address, publisher, face, block, messages, frames: Frames::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Name {
        Name::from_segments([b"a".as_slice(), b"b"]).expect("a short name")
    }

    #[test]
    fn a_batch_holds_exactly_what_was_pushed() {
        let mut builder = BatchBuilder::new();
        builder.push(MessageParts { payload: b"one", origin: b"p1", ..Default::default() });
        builder.push(MessageParts { payload: b"", origin: b"", retain: true, ..Default::default() });
        let batch = builder.finish(name(), PublisherId(7), FaceId(1));
        assert!(builder.is_empty());
        assert_eq!(batch.payload(&batch.messages()[0]), b"one");
        assert_eq!(batch.origin(&batch.messages()[0]), b"p1");
        assert_eq!(batch.payload(&batch.messages()[1]), b"");
        assert!(batch.messages()[1].retain);
        assert_eq!(batch.block.len(), 5);
    }

    #[test]
    fn frames_are_encoded_once_per_key_and_a_fifth_kind_encodes_for_itself() {
        let frames = Frames::default();
        for key in 0..4 {
            assert_eq!(frames.get_or_encode(key, || Bytes::from(vec![key as u8])), Some(Bytes::from(vec![key as u8])));
        }
        assert_eq!(frames.get_or_encode(2, || unreachable!("already encoded")), Some(Bytes::from_static(&[2])));
        assert_eq!(frames.get_or_encode(9, || unreachable!("no slot is free")), None);
    }

    #[test]
    fn a_message_that_would_pin_a_large_batch_detaches() {
        let mut builder = BatchBuilder::new();
        for _ in 0..500 {
            builder.push(MessageParts { payload: &[1; 64], ..Default::default() });
        }
        let batch = builder.finish(name(), PublisherId(1), FaceId::NONE);
        let one = MessageRef::new(batch, 499).detached();
        assert!(one.batch().pinned_bytes() < 256);
        assert_eq!(one.payload(), &[1; 64]);
    }
}
