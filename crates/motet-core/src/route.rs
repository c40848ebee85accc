//! A route: who receives what is published to one name. Computed from the topic tree, cached per publisher.

mod cache;

pub use cache::RouteCache;
pub(crate) use cache::SpareNames;

use crate::access::{Reason, SignatureCheck};
use crate::core::Vhost;
use crate::core::broker::{self, NamedQueue};
use crate::exchange::{Claim, Target};
use crate::mailbox::{Grant, Mailbox};
use crate::message::{Batch, Message, MessageRef, PublisherId, Reliability};
use crate::name::Name;
use crate::principal::Principal;
use crate::queues::QueueCell;
use crate::session::{Session, SubscribeOptions};
use crate::time::Now;
use crate::topics::{RouteEpoch, Subscription};
use crate::traffic::ExchangeBooks;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

/// What happens when the publisher is the subscriber itself.
#[derive(Debug, Clone)]
pub(crate) enum ToSelf {
    /// No subscription that matches asked for "not my own".
    Deliver,
    /// Some did; this is what the others grant.
    Reduced(Arc<Grant>),
    /// All did.
    Skip,
}

impl ToSelf {
    /// The grant that holds: `usual` for everybody else's messages, what is left of it for the subscriber's own.
    /// `None` when it wants none of them.
    pub(crate) fn grant<'a>(&'a self, is_own: bool, usual: &'a Arc<Grant>) -> Option<&'a Arc<Grant>> {
        match self {
            ToSelf::Skip if is_own => None,
            ToSelf::Reduced(grant) if is_own => Some(grant),
            _ => Some(usual),
        }
    }
}

/// A subscriber without acknowledgements.
#[derive(Debug)]
pub(crate) struct DirectTarget {
    pub(crate) to: Arc<Session>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) session: u64,
    pub(crate) grant: Arc<Grant>,
    pub(crate) to_self: ToSelf,
}

/// A queue and the promise under which it receives.
#[derive(Debug)]
pub(crate) struct QueueTarget {
    pub(crate) queue: Arc<QueueCell>,
    /// The subscriber's mailbox while it is connected: what was published as transient does not wait for credit
    /// [MQTT-3.3.4-9].
    pub(crate) mailbox: Option<Arc<Mailbox>>,
    pub(crate) session: u64,
    pub(crate) grant: Arc<Grant>,
    pub(crate) to_self: ToSelf,
}

/// A queue with a name.
#[derive(Debug)]
pub(crate) struct NamedTarget {
    pub(crate) queue: Arc<NamedQueue>,
    /// Milliseconds to hold the message back.
    pub(crate) delay_ms: u64,
}

/// An exchange that holds a message back.
#[derive(Debug)]
pub(crate) struct PutOff {
    /// Where the message waits.
    pub(crate) room: Arc<NamedQueue>,
    /// Which exchange goes on with it.
    pub(crate) exchange: Bytes,
    /// For how many milliseconds.
    pub(crate) delay_ms: u64,
    /// The message with its blind copies, when it has any: they are sent when the others are.
    pub(crate) whole: Option<MessageRef>,
}

/// Everyone who receives what is published to one name.
#[derive(Debug, Default)]
pub struct Route {
    pub(crate) direct: Vec<DirectTarget>,
    pub(crate) queues: Vec<QueueTarget>,
    pub(crate) named: Vec<NamedTarget>,
    /// Where publications along it are counted; none where they are nobody's.
    pub(crate) books: Option<Arc<ExchangeBooks>>,
    /// Exchanges that hold it back.
    pub(crate) put_off: Vec<PutOff>,
    /// Identifiers that are this message's, if it gets where it should.
    pub(crate) claims: Vec<Claim>,
    /// How many of the queues are durable; those need a stage.
    pub(crate) durable_queues: usize,
    /// One of them writes transient messages down, too.
    pub(crate) keeps_transient: bool,
    /// Where subscribers of the topic tree see it, when that is not where it was published.
    pub(crate) tree_name: Option<Name>,
    /// It was published to a queue or an exchange, which have no last values.
    pub(crate) is_past_tree: bool,
    /// The state of the tree that it was made from, where it may be kept for a while.
    pub(crate) epoch: Option<RouteEpoch>,
}

/// Who listens at a place of the topic tree.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    sessions: Vec<(Arc<Session>, Vec<SubscribeOptions>)>,
    seen: HashMap<u64, usize, foldhash::fast::RandomState>,
    /// Queues and exchanges bound there.
    pub(crate) bound: Vec<Target>,
}

impl Listeners {
    pub(crate) fn collect(&mut self, vhost: &Vhost, name: &Name) {
        vhost.topics.for_each_match(name, |subscription| match subscription {
            Subscription::Session(session, options) => {
                // One delivery for all matching subscriptions of a subscriber [MQTT-3.3.4-2].
                let at = *self.seen.entry(session.id().0).or_insert_with(|| {
                    self.sessions.push((session.clone(), Vec::new()));
                    self.sessions.len() - 1
                });
                self.sessions[at].1.push(*options);
            }
            Subscription::Bound(target) => self.bound.push(*target),
        });
    }
}

impl Route {
    pub(crate) fn compute(vhost: &Vhost, name: &Name) -> Route {
        broker::route_name(0, vhost, name, None).route
    }

    /// The route that `name` has now, if somebody has subscribed or left since this one was made.
    pub(crate) fn renewed(&self, vhost: &Vhost, name: &Name) -> Option<Route> {
        let stale = self.epoch.is_some_and(|epoch| !vhost.topics.is_current(epoch));
        stale.then(|| Route::compute(vhost, name))
    }

    pub(crate) fn add_listeners(&mut self, listeners: Listeners) {
        for (session, mut options) in listeners.sessions {
            options.sort_by_key(|o| o.order);
            self.add(&session, &options);
        }
    }

    pub(crate) fn add_named(&mut self, queue: &Arc<NamedQueue>, delay_ms: u64) {
        self.durable_queues += usize::from(queue.cell().is_durable());
        self.keeps_transient |= queue.keeps_transient();
        self.named.push(NamedTarget { queue: queue.clone(), delay_ms });
    }

    /// Counts a batch that was published along it.
    pub(crate) fn count(&self, by: PublisherId, messages: usize) {
        if let Some(books) = &self.books {
            books.count(by, messages as u64, self.direct.len() + self.queues.len() + self.named.len());
        }
    }

    pub(crate) fn add_put_off(&mut self, room: &Arc<NamedQueue>, exchange: Bytes, delay_ms: u64) {
        self.put_off.push(PutOff { room: room.clone(), exchange, delay_ms, whole: None });
    }

    /// The batch as subscribers of the topic tree get it, when it was published elsewhere.
    pub(crate) fn tree_batch(&self, batch: &Batch) -> Option<Arc<Batch>> {
        self.tree_name.as_ref().map(|name| batch.readdressed(name.clone()))
    }

    /// The message is where it should be: exchanges that look for duplicates remember it.
    pub(crate) fn keep_claims(&self) {
        self.claims.iter().for_each(Claim::keep);
    }

    /// A message that comes in may have to be written down as gone elsewhere.
    pub(crate) fn moves_others(&self) -> bool {
        self.named.iter().any(|target| target.queue.cell().needs_stage())
    }

    /// The address is one that can have a last value.
    pub(crate) fn may_retain(&self) -> bool {
        !self.is_past_tree
    }

    fn add(&mut self, session: &Arc<Session>, options: &[SubscribeOptions]) {
        let grant = Arc::new(merge(options.iter()));
        let to_self = if options.iter().all(|o| o.no_local) {
            ToSelf::Skip
        } else if options.iter().any(|o| o.no_local) {
            ToSelf::Reduced(Arc::new(merge(options.iter().filter(|o| !o.no_local))))
        } else {
            ToSelf::Deliver
        };
        let id = session.id().0;
        if grant.reliability == Reliability::AtMostOnce {
            if let Some(mailbox) = session.mailbox() {
                self.direct.push(DirectTarget { to: session.clone(), mailbox, session: id, grant, to_self });
            }
        } else {
            let Some(queue) = session.queue().cloned() else {
                debug_assert!(false, "a subscription that is acknowledged gives its session a queue first");
                return;
            };
            self.durable_queues += usize::from(queue.is_durable());
            self.queues.push(QueueTarget { queue, mailbox: session.mailbox(), session: id, grant, to_self });
        }
    }

    /// Nobody receives it.
    pub fn is_empty(&self) -> bool {
        self.direct.is_empty() && self.queues.is_empty() && self.named.is_empty() && self.put_off.is_empty()
    }
}

/// The highest of what the subscriptions grant [MQTT-3.3.5-1], with all their identifiers [MQTT-3.3.4-3].
fn merge<'a>(options: impl Iterator<Item = &'a SubscribeOptions>) -> Grant {
    options.fold(Grant::default(), |mut grant, o| {
        grant.reliability = grant.reliability.max(o.reliability);
        grant.retain_as_published |= o.retain_as_published;
        grant.identifiers.extend(o.identifier);
        grant
    })
}

/// What a publisher knows about a name it published to.
#[derive(Debug, Clone)]
pub struct KnownName {
    /// The name, decoded once.
    pub name: Name,
    rights: Rights,
    pub(crate) epoch: RouteEpoch,
    /// The state of exchanges and queues it was made from; `None` when none had a say.
    pub(crate) topology: Option<u64>,
    pub(crate) route: Arc<Route>,
    /// The exchange and key it was published to, when it was.
    via: Option<Arc<(Bytes, Bytes)>>,
    /// An exchange on the way looks into the message.
    by_message: bool,
}

impl KnownName {
    /// Each message has a route of its own: an exchange on the way looks at headers or delays.
    pub fn varies(&self) -> bool {
        self.by_message
    }

    /// It was published to the default exchange, whose keys are names of queues.
    pub(crate) fn names_queues(&self) -> bool {
        self.via.as_deref().is_some_and(|(exchange, _)| exchange.is_empty())
    }

    /// The same for this batch: a message may also name further keys itself.
    pub(crate) fn varies_for(&self, batch: &Batch) -> bool {
        let names_keys = |m: &Message| m.properties.as_deref().is_some_and(|p| broker::names_keys(&p.headers));
        self.by_message || (self.via.is_some() && batch.messages().iter().any(names_keys))
    }

    /// The route of one message, and the message in a batch of its own.
    pub(crate) fn route_of(&self, now: Now, vhost: &Vhost, batch: &Arc<Batch>, index: usize) -> (Arc<Batch>, Route) {
        let message = MessageRef::new(batch.clone(), index);
        let properties = message.message().properties.as_deref();
        let found = match self.via.as_deref() {
            Some((exchange, key)) => broker::route_exchange(now.wall.0, vhost, exchange, key, properties, true),
            None => Ok(broker::route_name(now.wall.0, vhost, &self.name, properties)),
        };
        // Deleted since, or keys that cannot be read: nobody gets it, as if it had been deleted just before.
        let mut route = found.map(|found| found.route).unwrap_or_default();
        let single = match broker::without_bcc(&message) {
            Some(batch) => {
                route.put_off.iter_mut().for_each(|put_off| put_off.whole = Some(message.clone()));
                batch
            }
            None if batch.messages().len() == 1 => batch.clone(),
            None => message.alone(message.message().expires_at),
        };
        (single, route)
    }

    fn is_current(&self, vhost: &Vhost) -> bool {
        vhost.topics.is_current(self.epoch) && self.topology.is_none_or(|epoch| vhost.topology_epoch() == epoch)
    }
}

/// What a publisher may do with a name.
#[derive(Debug, Clone, Default)]
struct Rights {
    may: bool,
    waits: bool,
    signature: Option<Arc<dyn SignatureCheck>>,
    /// The state of the rules that this holds for; `None` when somebody has to be asked each time.
    epoch: Option<u64>,
}

impl KnownName {
    /// Whether this publisher may send messages here, without a signature.
    pub fn allowed(&self) -> bool {
        self.rights.may && self.rights.signature.is_none()
    }

    /// Whether it may is being asked; ask for the name again when the mailbox is nudged.
    pub fn waits(&self) -> bool {
        self.rights.waits
    }

    /// This publisher may, if [`KnownName::verify`] finds the message's signature right.
    pub fn is_signed(&self) -> bool {
        self.rights.signature.is_some()
    }

    /// Whether a message with this payload and signature may be sent here.
    pub fn verify(&self, payload: &[u8], signature: Option<&[u8]>) -> bool {
        match &self.rights.signature {
            Some(check) => check.verify(&self.name, payload, signature),
            None => self.rights.may,
        }
    }

    /// Asks whether `who` may, unless that is known.
    fn ask(&mut self, vhost: &Vhost, who: &Principal, tell: Option<&Arc<Mailbox>>) {
        let epoch = vhost.access_epoch();
        if self.rights.epoch == Some(epoch) {
            return;
        }
        let exchange = self.via.as_deref().map(|(exchange, key)| (&exchange[..], &key[..]));
        let (answer, reason) = vhost.permit_publish(who, &self.name, exchange, tell);
        let may = answer == Some(true);
        self.rights = Rights {
            may,
            waits: answer.is_none(),
            signature: vhost.signatures().filter(|check| may && check.is_required(&self.name)),
            epoch: (reason != Reason::Authority).then_some(epoch),
        };
    }
}
