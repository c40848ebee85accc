//! Sessions: what outlives a connection. Subscriptions, a queue, the protocol's own small records, a will.
//!
//! A session belongs to at most one connection at a time. Every takeover bumps its generation; whoever still holds an
//! older [`SessionHandle`] is ignored.

use crate::core::{Joined, Membership, NamedQueue, Vhost};
use crate::engine::{Locator, ObjectId, Position};
use crate::mailbox::Mailbox;
use crate::message::{Batch, Reliability};
use crate::name::Name;
use crate::queue::ConsumerId;
use crate::queues::QueueCell;
use crate::subscriptions::Subscriptions;
use crate::time::WallMillis;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// How one subscription wants its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubscribeOptions {
    /// The highest reliability of deliveries.
    pub reliability: Reliability,
    /// Not what this session publishes itself.
    pub no_local: bool,
    /// Deliver the publisher's retain flag.
    pub retain_as_published: bool,
    /// A number that comes back with each delivery.
    pub identifier: Option<u32>,
    /// Order among the session's subscriptions; given by the core.
    pub(crate) order: u32,
}

impl SubscribeOptions {
    /// Bytes of an encoded one.
    pub(crate) const ENCODED: usize = 10;

    pub(crate) fn encode(&self) -> [u8; Self::ENCODED] {
        let flags = self.reliability as u8 | u8::from(self.no_local) << 2 | u8::from(self.retain_as_published) << 3;
        let mut out = [1, flags, 0, 0, 0, 0, 0, 0, 0, 0];
        out[2..6].copy_from_slice(&self.identifier.unwrap_or(0).to_le_bytes());
        out[6..].copy_from_slice(&self.order.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let [1, flags, rest @ ..] = bytes else { return None };
        let (identifier, order) = rest.split_first_chunk::<4>()?;
        Some(SubscribeOptions {
            reliability: Reliability::from_bits(flags & 3)?,
            no_local: flags & 4 != 0,
            retain_as_published: flags & 8 != 0,
            identifier: Some(u32::from_le_bytes(*identifier)).filter(|&id| id != 0),
            order: u32::from_le_bytes(*order.first_chunk()?),
        })
    }
}

/// How long a session lives without a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// It ends with its connection, and nothing of it is written to disk.
    WithConnection,
    /// Seconds after the connection ended.
    After(u32),
    /// Until somebody removes it.
    Never,
}

impl Expiry {
    pub(crate) fn to_secs(self) -> u32 {
        match self {
            Expiry::WithConnection => 0,
            Expiry::After(secs) => secs,
            Expiry::Never => u32::MAX,
        }
    }

    /// The expiry of a number of seconds, where all ones mean never.
    pub fn from_secs(secs: u32) -> Self {
        match secs {
            0 => Expiry::WithConnection,
            u32::MAX => Expiry::Never,
            secs => Expiry::After(secs),
        }
    }
}

/// What is published for a session whose connection ended without a word.
#[derive(Debug, Clone)]
pub struct Will {
    /// A batch of one message.
    pub batch: Arc<Batch>,
    /// Seconds to wait for the session to come back before publishing.
    pub delay_secs: u32,
    /// Seconds it is worth delivering, counted from when it is published.
    pub expiry_secs: Option<u32>,
}

/// The one consumer of a session's queue.
pub(crate) const SESSION_CONSUMER: ConsumerId = ConsumerId(1);

/// A session. Cheap while idle: a queue only where something may have to be acknowledged.
#[derive(Debug)]
pub struct Session {
    vhost: Arc<Vhost>,
    id: ObjectId,
    client: Box<str>,
    owner: Arc<str>,
    durable: bool,
    /// Made when the first subscription asks for acknowledgements: most idle sessions need none.
    queue: OnceLock<Arc<QueueCell>>,
    pub(crate) state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) generation: u64,
    /// The connection that has the session now.
    pub(crate) mailbox: Option<Arc<Mailbox>>,
    /// Unacknowledged deliveries that connection takes at a time.
    pub(crate) credit: u32,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) subscriptions_made: u32,
    /// Queues it consumes from besides its own.
    pub(crate) shares: Vec<Membership>,
    /// Consumers of queues it consumes from no more, which may still hold something.
    pub(crate) departed: Vec<(Arc<NamedQueue>, ConsumerId)>,
    /// The protocol's own records, durable sessions only; the core keeps them and never reads them.
    pub(crate) record: BTreeMap<Bytes, (Bytes, Option<Locator>)>,
    pub(crate) expiry: Expiry,
    pub(crate) will: Option<Will>,
    pub(crate) will_locator: Option<Locator>,
    /// Where the vhost's directory says that this session exists.
    pub(crate) directory: Option<Locator>,
    /// When the last connection ended; `None` while there is one.
    pub(crate) disconnected_at: Option<WallMillis>,
    /// When the connection of now took it; `None` when that was before a restart.
    pub(crate) connected_at: Option<WallMillis>,
    /// It has ended and is no longer found by its name.
    pub(crate) ended: bool,
}

impl Session {
    pub(crate) fn new(
        vhost: Arc<Vhost>,
        id: ObjectId,
        client: &str,
        owner: Arc<str>,
        durable: bool,
        expiry: Expiry,
    ) -> Self {
        Session {
            vhost,
            id,
            client: client.into(),
            owner,
            durable,
            queue: OnceLock::new(),
            state: Mutex::new(State {
                generation: 0,
                mailbox: None,
                credit: 0,
                subscriptions: Subscriptions::default(),
                subscriptions_made: 0,
                shares: Vec::new(),
                departed: Vec::new(),
                record: BTreeMap::new(),
                expiry,
                will: None,
                will_locator: None,
                directory: None,
                disconnected_at: None,
                connected_at: None,
                ended: false,
            }),
        }
    }

    /// The space it lives in.
    pub fn vhost(&self) -> &Arc<Vhost> {
        &self.vhost
    }

    /// Its object in the journal, and its key among the subscribers of a name.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// The name the client gave or was given.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// What it is subscribed to, in no order.
    pub fn patterns(&self) -> Vec<crate::pattern::Pattern> {
        self.state.lock().subscriptions.patterns().cloned().collect()
    }

    /// One of its subscriptions, or of those that it shares, asks for what is sent to this name.
    pub(crate) fn hears(&self, name: &Name) -> bool {
        let state = self.state.lock();
        let alone = state.subscriptions.patterns().any(|pattern| pattern.matches(name));
        alone || state.shares.iter().any(|membership| membership.hears(name))
    }

    /// Who made it; empty where nobody said a name.
    pub fn owner(&self) -> &Arc<str> {
        &self.owner
    }

    /// It survives its connection and a restart.
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    /// Where deliveries that need an acknowledgement wait, once a subscription has asked for them.
    pub(crate) fn queue(&self) -> Option<&Arc<QueueCell>> {
        self.queue.get()
    }

    /// Gives the session its queue, unless it has one; true when it is new.
    pub(crate) fn set_queue(&self, make: impl FnOnce() -> Arc<QueueCell>) -> bool {
        let mut new = false;
        self.queue.get_or_init(|| {
            new = true;
            make()
        });
        new
    }

    /// Messages that wait in its queue.
    pub fn queued(&self) -> u64 {
        self.queue().map_or(0, |queue| queue.ready())
    }

    pub(crate) fn mailbox(&self) -> Option<Arc<Mailbox>> {
        self.state.lock().mailbox.clone()
    }
}

/// A connection's hold on its session.
#[derive(Debug, Clone)]
pub struct SessionHandle {
    pub(crate) session: Arc<Session>,
    pub(crate) generation: u64,
}

impl SessionHandle {
    /// The session itself.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }
}

/// What a connection says when it asks for its session.
#[derive(Debug)]
pub struct OpenSession<'a> {
    /// The space it is to live in.
    pub vhost: &'a Arc<Vhost>,
    /// The client's name; unique per vhost.
    pub client: &'a str,
    /// Who asks: another user's session is not resumed.
    pub owner: &'a Arc<str>,
    /// Forget what was before.
    pub clean_start: bool,
    /// How long it shall live after this connection.
    pub expiry: Expiry,
    /// Unacknowledged deliveries the client takes at a time.
    pub credit: u32,
    /// What to publish if the connection ends without a word.
    pub will: Option<Will>,
    /// Where the connection listens.
    pub mailbox: &'a Arc<Mailbox>,
}

/// The answer to [`OpenSession`].
#[derive(Debug)]
pub struct Opened {
    /// To be given with every further call.
    pub handle: SessionHandle,
    /// The session existed before.
    pub present: bool,
    /// The protocol's own records of a session that existed.
    pub record: Vec<(Bytes, Bytes)>,
    /// Queues it consumes from besides its own.
    pub joined: Vec<Joined>,
    /// Say that the session is open, and deliver from it, only when this is durable; `None` when nothing of it is
    /// kept. Then a former session is gone for good, and what is sent from now on is known not to be unsent.
    pub position: Option<Position>,
}

/// How a connection lets go of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseSession {
    /// The will is to be published (after its delay).
    pub publish_will: bool,
    /// A new expiry, where the protocol lets the client change it at the end.
    pub expiry: Option<Expiry>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscribe_options_survive_the_journal() {
        let options = SubscribeOptions {
            reliability: Reliability::ExactlyOnce,
            no_local: true,
            retain_as_published: true,
            identifier: Some(268_435_455),
            order: 7,
        };
        assert_eq!(SubscribeOptions::decode(&options.encode()), Some(options));
        assert_eq!(SubscribeOptions::decode(&SubscribeOptions::default().encode()), Some(SubscribeOptions::default()));
        assert_eq!(SubscribeOptions::decode(&[2, 0]), None);
        assert_eq!(SubscribeOptions::decode(&options.encode()[..7]), None);
    }
}
