//! A route: who receives what is published to one name. Computed from the topic tree, cached per publisher.

use crate::access::Action;
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
    /// Whether this publisher may.
    pub allowed: bool,
    pub(crate) epoch: RouteEpoch,
    pub(crate) route: Arc<Route>,
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
        spelled: &[u8],
        decode: impl FnOnce() -> Result<Name, X>,
    ) -> Result<&KnownName, X> {
        let current = match self.known.get(spelled) {
            Some(known) => (!vhost.topics.is_current(known.epoch)).then(|| known.name.clone()),
            None => Some(decode()?),
        };
        if let Some(name) = current {
            if self.known.len() >= KNOWN_MAX {
                self.known.clear();
            }
            let epoch = vhost.topics.epoch(&name);
            let allowed = vhost.access().check(who, Action::Publish, &name).allowed;
            let route = Arc::new(Route::compute(vhost, &name));
            self.known.insert(spelled.into(), KnownName { name, allowed, epoch, route });
        }
        Ok(self.known.get(spelled).expect("was there or has just been inserted"))
    }
}
