//! A route: who receives what is published to one name. Computed from the topic tree, cached per publisher.

use crate::access::{Action, Reason, Resource, SignatureCheck};
use crate::core::Vhost;
use crate::mailbox::{Grant, Mailbox};
use crate::message::Reliability;
use crate::name::Name;
use crate::principal::Principal;
use crate::queues::QueueCell;
use crate::session::{Session, SubscribeOptions};
use crate::topics::RouteEpoch;
use foldhash::quality::RandomState;
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
    /// [MQTT-3.3.4-7].
    pub(crate) mailbox: Option<Arc<Mailbox>>,
    pub(crate) session: u64,
    pub(crate) grant: Arc<Grant>,
    pub(crate) to_self: ToSelf,
}

/// Everyone who receives what is published to one name.
#[derive(Debug, Default)]
pub struct Route {
    pub(crate) direct: Vec<DirectTarget>,
    pub(crate) queues: Vec<QueueTarget>,
    /// How many of the queues are durable; those need a stage.
    pub(crate) durable_queues: usize,
}

impl Route {
    pub(crate) fn compute(vhost: &Vhost, name: &Name) -> Route {
        let mut matches: Vec<(Arc<Session>, Vec<SubscribeOptions>)> = Vec::new();
        let mut seen: HashMap<u64, usize, foldhash::fast::RandomState> = HashMap::default();
        vhost.topics.for_each_match(name, |s| {
            // One delivery for all matching subscriptions of a subscriber [MQTT-3.3.4-2].
            let at = *seen.entry(s.session.id().0).or_insert_with(|| {
                matches.push((s.session.clone(), Vec::new()));
                matches.len() - 1
            });
            matches[at].1.push(s.options);
        });
        let mut route = Route::default();
        for (session, mut options) in matches {
            options.sort_by_key(|o| o.order);
            route.add(&session, &options);
        }
        route
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
                self.direct.push(DirectTarget { mailbox, session: id, grant, to_self });
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
        self.direct.is_empty() && self.queues.is_empty()
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
    /// Whether this publisher may send messages here that carry no signature.
    pub allowed: bool,
    /// Whether it may is being asked; ask for the name again when the mailbox is nudged.
    pub waits: bool,
    /// This publisher may, if the message carries a signature that [`KnownName::verify`] finds right.
    pub signature: Option<Arc<dyn SignatureCheck>>,
    /// Somebody else than the rules decided, and may decide otherwise the next time.
    asks: bool,
    access_epoch: u64,
    pub(crate) epoch: RouteEpoch,
    pub(crate) route: Arc<Route>,
}

impl KnownName {
    /// Whether a message with this payload and `signature` may be sent here.
    pub fn verify(&self, payload: &[u8], signature: Option<&[u8]>) -> bool {
        match &self.signature {
            Some(check) => check.verify(&self.name, payload, signature),
            None => self.allowed,
        }
    }

    /// A name that nothing is known of yet.
    fn unknown(name: Name, vhost: &Vhost) -> Self {
        KnownName {
            allowed: false,
            waits: false,
            signature: None,
            asks: true,
            access_epoch: 0,
            epoch: vhost.topics.epoch(&name),
            route: Arc::new(Route::compute(vhost, &name)),
            name,
        }
    }

    /// Asks whether `who` may.
    fn ask(&mut self, vhost: &Vhost, who: &Principal, tell: Option<&Arc<Mailbox>>) {
        self.access_epoch = vhost.access_epoch();
        let (answer, reason) = vhost.permit_from(who, Action::Publish, Resource::Name(&self.name), tell);
        self.waits = answer.is_none();
        self.asks = reason == Reason::Authority;
        let may = answer == Some(true);
        self.signature = vhost.signatures().filter(|check| may && check.is_required(&self.name));
        self.allowed = may && self.signature.is_none();
    }
}

/// Names a publisher used lately, by its own spelling. Bounded: a publisher that uses a new name each time pays the
/// lookup each time and keeps nothing.
#[derive(Debug, Default)]
pub struct RouteCache {
    known: HashMap<Box<[u8]>, KnownName, RandomState>,
}

/// Names kept per connection.
const KNOWN_MAX: usize = 256;

impl RouteCache {
    /// The route for `spelled`, from the cache when it still holds; `decode` spells the name out on first use.
    ///
    /// # Errors
    /// What `decode` says when `spelled` is not a name.
    pub(crate) fn lookup<X>(
        &mut self,
        vhost: &Vhost,
        who: &Principal,
        tell: Option<&Arc<Mailbox>>,
        spelled: &[u8],
        decode: impl FnOnce() -> Result<Name, X>,
    ) -> Result<&KnownName, X> {
        if !self.known.contains_key(spelled) {
            let known = KnownName::unknown(decode()?, vhost);
            if self.known.len() >= KNOWN_MAX {
                self.known.clear();
            }
            self.known.insert(spelled.into(), known);
        }
        let known = self.known.get_mut(spelled).expect("was there or has just been inserted");
        if !vhost.topics.is_current(known.epoch) {
            known.epoch = vhost.topics.epoch(&known.name);
            known.route = Arc::new(Route::compute(vhost, &known.name));
        }
        if known.asks || known.access_epoch != vhost.access_epoch() {
            known.ask(vhost, who, tell);
        }
        Ok(known)
    }
}
