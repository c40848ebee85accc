//! Following messages on their way: published, routed, stored, delivered, acknowledged.
//!
//! Nobody follows, usually: then each place asks one relaxed atomic and goes on. Whoever follows is an [`Observer`], who
//! says which messages and hears of each step. A message has a number from its publication on, as long as it is in
//! memory and few enough are followed; without one a step is told all the same.

use crate::engine::{ObjectId, Position};
use crate::message::{Batch, MessageRef};
use crate::name::Name;
use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Messages whose number is known at a time; each keeps its batch in memory.
const FOLLOWED_MAX: usize = 4096;

/// Hears of the steps of messages. Called while the core works: it must not wait and must not call the core.
pub trait Observer: Send + Sync {
    /// Whether this message is one to follow.
    fn wants(&self, message: &MessageRef) -> bool;
    /// A step of one.
    fn saw(&self, seen: &Seen<'_>);
}

/// A step of a message.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The same for every step of a message; 0 when it was published before anybody followed, or too long ago.
    pub number: u64,
    /// Where it was published.
    pub address: &'a Name,
    /// The message, where the step has it at hand.
    pub message: Option<&'a MessageRef>,
    /// What happened.
    pub step: Step<'a>,
}

/// What can happen to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Somebody published it.
    Published {
        /// The session that did; `None` for one without a name.
        by: Option<&'a str>,
    },
    /// It is known who gets it.
    Routed {
        /// Subscribers that need no acknowledgement and are there now.
        subscribers: usize,
        /// Queues, of sessions and with names.
        queues: usize,
    },
    /// It was refused, and why; no target has it that could refuse.
    Refused(&'a str),
    /// It is on disk wherever it is to be kept.
    Stored(Position),
    /// It was handed to a connection.
    Delivered {
        /// The session or the queue.
        to: &'a str,
        /// It will be acknowledged.
        acknowledged: bool,
        /// It may have been seen before.
        redelivered: bool,
    },
    /// A subscriber's mailbox was full.
    Dropped {
        /// Whose.
        to: &'a str,
    },
    /// The subscriber is done with it.
    Acknowledged {
        /// The session or the queue.
        by: &'a str,
    },
}

/// Who follows, and what is known of what they follow.
#[derive(Default)]
pub struct Trace {
    on: AtomicBool,
    observers: RwLock<Vec<(u64, Arc<dyn Observer>)>>,
    next: AtomicU64,
    followed: Mutex<Followed>,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trace").field("on", &self.is_on()).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Followed {
    /// By the place of the batch in memory, which the entry keeps from being used again, and the index in it.
    published: Bounded<(usize, u32), (u64, Arc<Batch>)>,
    /// By queue and sequence: what was delivered and not acknowledged.
    delivered: Bounded<(ObjectId, u64), (u64, Name)>,
    /// What waits for the disk.
    staged: VecDeque<(Position, u64, Name)>,
}

/// A map that forgets the oldest beyond its bound.
struct Bounded<K, V> {
    map: HashMap<K, V, RandomState>,
    order: VecDeque<K>,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Bounded { map: HashMap::default(), order: VecDeque::new() }
    }
}

impl<K: Copy + Eq + Hash, V> Bounded<K, V> {
    fn insert(&mut self, key: K, value: V) {
        if self.map.insert(key, value).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > FOLLOWED_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.map.remove(&oldest);
            }
        }
    }
}

impl Trace {
    /// Whether anybody follows.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Follows until [`Trace::unfollow`] is called with the answer.
    pub fn follow(&self, observer: Arc<dyn Observer>) -> u64 {
        let mut observers = self.observers.write();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        observers.push((number, observer));
        self.on.store(true, Ordering::Relaxed);
        number
    }

    /// Ends what [`Trace::follow`] began; the last one leaves nothing in memory.
    pub fn unfollow(&self, number: u64) {
        let mut observers = self.observers.write();
        observers.retain(|(known, _)| *known != number);
        if observers.is_empty() {
            self.on.store(false, Ordering::Relaxed);
            *self.followed.lock() = Followed::default();
        }
    }

    /// Tells those who want it; true when somebody does.
    fn tell(&self, number: u64, message: &MessageRef, step: Step<'_>) -> bool {
        let mut wanted = false;
        for (_, observer) in self.observers.read().iter().filter(|(_, observer)| observer.wants(message)) {
            observer.saw(&Seen { number, address: message.address(), message: Some(message), step });
            wanted = true;
        }
        wanted
    }

    /// The same for a message that is no longer at hand: to all, who find it by its number.
    fn tell_later(&self, number: u64, address: &Name, step: Step<'_>) {
        for (_, observer) in self.observers.read().iter() {
            observer.saw(&Seen { number, address, message: None, step });
        }
    }

    fn number_of(&self, message: &MessageRef) -> u64 {
        self.followed
            .lock()
            .published
            .map
            .get(&place(message.batch(), message.index()))
            .map_or(0, |(number, _)| *number)
    }

    /// A batch enters, and its route is known.
    pub(crate) fn published(&self, batch: &Arc<Batch>, by: Option<&str>, subscribers: usize, queues: usize) {
        for index in 0..batch.messages().len() {
            let message = MessageRef::new(batch.clone(), index);
            let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
            if self.tell(number, &message, Step::Published { by }) {
                self.followed.lock().published.insert(place(batch, index), (number, batch.clone()));
                self.tell(number, &message, Step::Routed { subscribers, queues });
            }
        }
    }

    /// A batch was refused, or waits for the disk at `position`, which is `durable` up to there.
    pub(crate) fn placed(
        &self,
        batch: &Arc<Batch>,
        refused: Option<&str>,
        position: Option<Position>,
        durable: Position,
    ) {
        for index in 0..batch.messages().len() {
            let Some(number) = self.followed.lock().published.map.get(&place(batch, index)).map(|found| found.0) else {
                continue;
            };
            let message = MessageRef::new(batch.clone(), index);
            match (refused, position) {
                (Some(why), _) => drop(self.tell(number, &message, Step::Refused(why))),
                (None, Some(at)) if at <= durable => drop(self.tell(number, &message, Step::Stored(at))),
                (None, Some(at)) => {
                    let mut followed = self.followed.lock();
                    if followed.staged.len() < FOLLOWED_MAX {
                        followed.staged.push_back((at, number, batch.address().clone()));
                    }
                }
                (None, None) => {}
            }
        }
    }

    /// Everything up to `position` is on disk.
    pub(crate) fn durable(&self, position: Position) {
        let mut stored = Vec::new();
        self.followed.lock().staged.retain(|(at, number, address)| {
            let due = *at <= position;
            if due {
                stored.push((*at, *number, address.clone()));
            }
            !due
        });
        stored.iter().for_each(|(at, number, address)| self.tell_later(*number, address, Step::Stored(*at)));
    }

    /// A batch was pushed to a subscriber, or found its mailbox full.
    pub(crate) fn pushed(&self, batch: &Arc<Batch>, to: &str, dropped: bool) {
        for index in 0..batch.messages().len() {
            let message = MessageRef::new(batch.clone(), index);
            let step = match dropped {
                true => Step::Dropped { to },
                false => Step::Delivered { to, acknowledged: false, redelivered: false },
            };
            self.tell(self.number_of(&message), &message, step);
        }
    }

    /// A queue handed a message to a connection.
    pub(crate) fn taken(&self, queue: ObjectId, seq: u64, message: &MessageRef, to: &str, redelivered: bool) {
        let number = self.number_of(message);
        if self.tell(number, message, Step::Delivered { to, acknowledged: true, redelivered }) {
            self.followed.lock().delivered.insert((queue, seq), (number, message.address().clone()));
        }
    }

    /// A subscriber is done with a message.
    pub(crate) fn acknowledged(&self, queue: ObjectId, seq: u64, by: &str) {
        let known = self.followed.lock().delivered.map.remove(&(queue, seq));
        if let Some((number, address)) = known {
            self.tell_later(number, &address, Step::Acknowledged { by });
        }
    }
}

fn place(batch: &Arc<Batch>, index: usize) -> (usize, u32) {
    (Arc::as_ptr(batch) as usize, u32::try_from(index).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{BatchBuilder, FaceId, MessageParts, PublisherId};
    use crate::spelling::mqtt;

    /// Writes down what it sees of one address.
    struct Scribe(Name, Mutex<Vec<String>>);

    impl Observer for Scribe {
        fn wants(&self, message: &MessageRef) -> bool {
            *message.address() == self.0
        }
        fn saw(&self, seen: &Seen<'_>) {
            self.1.lock().push(format!("{} {:?}", seen.number, seen.step));
        }
    }

    fn batch(topic: &str) -> Arc<Batch> {
        let mut builder = BatchBuilder::new();
        builder.push(MessageParts { payload: b"x", ..MessageParts::default() });
        builder.finish(mqtt::decode_name(topic).unwrap(), PublisherId(1), FaceId::NONE)
    }

    #[test]
    fn one_message_is_followed_from_its_publication_to_its_acknowledgement() {
        let trace = Trace::default();
        assert!(!trace.is_on());
        let scribe = Arc::new(Scribe(mqtt::decode_name("a").unwrap(), Mutex::default()));
        let following = trace.follow(scribe.clone());
        let (wanted, other) = (batch("a"), batch("b"));
        for batch in [&wanted, &other] {
            trace.published(batch, Some("ann"), 1, 1);
            trace.placed(batch, None, Some(Position(7)), Position(6));
            trace.pushed(batch, "bob", false);
            trace.taken(ObjectId(3), 9, &MessageRef::new(batch.clone(), 0), "cem", true);
        }
        trace.durable(Position(7));
        trace.acknowledged(ObjectId(3), 9, "cem");
        trace.acknowledged(ObjectId(3), 9, "cem");
        let number = scribe.1.lock()[0].split(' ').next().unwrap().to_owned();
        let steps: Vec<_> = scribe.1.lock().iter().map(|line| line.strip_prefix(&number).unwrap().to_owned()).collect();
        assert_eq!(
            steps,
            [
                " Published { by: Some(\"ann\") }",
                " Routed { subscribers: 1, queues: 1 }",
                " Delivered { to: \"bob\", acknowledged: false, redelivered: false }",
                " Delivered { to: \"cem\", acknowledged: true, redelivered: true }",
                " Stored(Position(7))",
                " Acknowledged { by: \"cem\" }",
            ]
        );
        trace.unfollow(following);
        assert!(!trace.is_on());
        assert!(trace.followed.lock().published.map.is_empty(), "nothing is left in memory");
    }

    #[test]
    fn a_refusal_and_a_full_mailbox_are_steps_and_what_came_before_has_no_number() {
        let trace = Trace::default();
        let scribe = Arc::new(Scribe(mqtt::decode_name("a").unwrap(), Mutex::default()));
        trace.follow(scribe.clone());
        trace.taken(ObjectId(3), 9, &MessageRef::new(batch("a"), 0), "cem", false);
        let batch = batch("a");
        trace.published(&batch, None, 1, 0);
        trace.placed(&batch, Some("full"), None, Position(0));
        trace.pushed(&batch, "bob", true);
        let lines = scribe.1.lock().join("\n");
        assert!(lines.starts_with("0 Delivered"), "{lines}");
        assert!(lines.contains("Refused(\"full\")") && lines.contains("Dropped { to: \"bob\" }"), "{lines}");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let trace = Trace::default();
        trace.follow(Arc::new(Scribe(mqtt::decode_name("a").unwrap(), Mutex::default())));
        for _ in 0..FOLLOWED_MAX + 10 {
            trace.published(&batch("a"), None, 0, 0);
        }
        let followed = trace.followed.lock();
        assert_eq!((followed.published.map.len(), followed.published.order.len()), (FOLLOWED_MAX, FOLLOWED_MAX));
    }
}
