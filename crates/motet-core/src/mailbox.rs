//! A mailbox: what waits for one connection, and the one wake-up per batch that tells it so.
//!
//! Publishers push direct deliveries, queues announce that they hold something for this connection, the core leaves
//! answers. The connection's driver waits on the mailbox, its machine pulls. The lock is held for a push or a swap.

use crate::budget::{Budget, Share};
use crate::conversation::Conversation;
use crate::message::{Batch, Reliability};
use crate::name::Name;
use crate::queue::ConsumerId;
use crate::queues::QueueCell;
use crate::session::Session;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Poll, Waker};

/// What a subscription was promised; shared by every delivery made under it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// The highest reliability the subscriber asked for.
    pub reliability: Reliability,
    /// Deliver the publisher's retain flag instead of "this is live".
    pub retain_as_published: bool,
    /// Numbers the subscriber gave to the subscriptions that match, in the order they were made.
    pub identifiers: Vec<u32>,
}

/// A batch for a subscriber that needs no acknowledgement: no queue stands between publisher and mailbox.
#[derive(Debug, Clone)]
pub struct Direct {
    /// The messages.
    pub batch: Arc<Batch>,
    /// Under which promise.
    pub grant: Arc<Grant>,
    /// These are last values sent because of a subscription, not live messages.
    pub retained: bool,
    /// More than one mailbox got this batch, so an encoding of it is worth sharing.
    pub shared: bool,
    /// Only the batch's transient messages are meant; the others come through a queue.
    pub transient_only: bool,
}

/// Something the core tells a connection besides deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Another connection wants the session: this one must read what its peer has sent already, then close. Only for
    /// connections that [say they do](Mailbox::leaves_when_asked).
    Leave(Successor),
    /// Another connection took the session over; this one must close and has nothing left to say to the core.
    TakenOver,
    /// An operator or a policy ends this connection.
    Kicked(KickReason),
    /// The answer to a credential check.
    Authenticated(u64, Result<crate::principal::Principal, crate::principal::Denied>),
    /// The answer to a step of an authentication.
    Stepped(u64, crate::authentication::Step),
    /// The consumer with this tag is now the one that receives, in a queue with a single active consumer.
    ConsumerActivated(u64),
    /// The queue of the consumer with this tag is gone, and the consumer with it.
    ConsumerCancelled(u64),
}

/// A connection that waits until another one has left. It is nudged when nobody holds this any more, whatever the reason.
#[derive(Debug, Clone)]
pub struct Successor(Arc<Waiting>);

#[derive(Debug)]
struct Waiting(Arc<Mailbox>);

impl Successor {
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> Self {
        Successor(Arc::new(Waiting(mailbox)))
    }
}

impl PartialEq for Successor {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Successor {}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.nudge();
    }
}

/// A queue has allotted messages to a consumer of this connection.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The queue to take from.
    pub queue: Arc<QueueCell>,
    /// For which consumer.
    pub consumer: ConsumerId,
    /// The number the connection gave this consumer.
    pub tag: u64,
}

/// Why a connection is ended from our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KickReason {
    /// The server is shutting down.
    ServerShuttingDown,
    /// An operator removed the connection or its session.
    Administrative,
    /// The subscriber did not read what it asked for.
    SlowConsumer,
    /// The account is no more.
    UserDeleted,
    /// The vhost is no more.
    VhostDeleted,
    /// The certificate that the peer has shown is revoked.
    CertificateRevoked,
}

/// What a subscriber's mailbox does when it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// What arrives is dropped and counted.
    #[default]
    DropNewest,
    /// What waits longest is dropped and counted.
    DropOldest,
    /// Of each address only what came last stays; what is dropped is counted. What still does not fit drops the
    /// oldest. For values of which only the last one matters.
    Conflate,
    /// The connection is closed.
    Disconnect,
}

#[derive(Debug, Default)]
struct State {
    direct: Vec<Direct>,
    ready: Vec<Ready>,
    /// Who is in `ready`, once that is long.
    announced: HashSet<(usize, ConsumerId), foldhash::fast::RandomState>,
    notices: Vec<Notice>,
    /// Set by whoever wants the connection to look at something it can see for itself (the durable watermark).
    nudged: bool,
    waker: Option<Waker>,
    /// Who is to be woken by notices alone, because its output has no room for anything else.
    notice_waker: Option<Waker>,
    closed: bool,
    share: Share,
}

/// Announcements that wait beyond which they are indexed.
const FEW: usize = 16;

impl State {
    fn is_announced(&mut self, ready: &Ready) -> bool {
        let key = |ready: &Ready| (Arc::as_ptr(&ready.queue).addr(), ready.consumer);
        if self.ready.len() < FEW {
            return self.ready.iter().any(|known| key(known) == key(ready));
        }
        if self.announced.is_empty() {
            self.announced = self.ready.iter().map(key).collect();
        }
        !self.announced.insert(key(ready))
    }
}

/// Counters of one mailbox, read by metrics and the console.
#[derive(Debug, Default)]
pub struct MailboxCounters {
    /// Messages dropped because the mailbox was full.
    pub dropped: AtomicU64,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Mailbox {
    state: Mutex<State>,
    /// Bytes pinned by direct deliveries that wait.
    bytes: AtomicUsize,
    bytes_max: usize,
    overflow: Overflow,
    leaves: AtomicBool,
    budget: Option<Arc<Budget>>,
    /// Whose it is, once a session was opened with it.
    owner: OnceLock<Weak<Session>>,
    /// What its machine tells of the peer, once that is let in.
    conversation: OnceLock<Arc<Conversation>>,
    counters: MailboxCounters,
}

/// What a connection pulled out of its mailbox in one go.
#[derive(Debug, Default)]
pub struct Pulled {
    /// Direct deliveries, oldest first.
    pub direct: Vec<Direct>,
    /// Queues that allotted something to this connection since the last pull.
    pub ready: Vec<Ready>,
    /// Answers and orders.
    pub notices: Vec<Notice>,
}

impl Mailbox {
    /// A mailbox that holds at most `bytes_max` bytes of direct deliveries and then acts by `overflow`.
    pub fn new(bytes_max: usize, overflow: Overflow) -> Arc<Self> {
        Mailbox::make(bytes_max, overflow, None)
    }

    /// The same, with a bound that it shares with others: when that is reached, its policy acts as soon as anything
    /// waits here. Who takes what it gets goes on being served.
    pub fn sharing(bytes_max: usize, overflow: Overflow, budget: Arc<Budget>) -> Arc<Self> {
        Mailbox::make(bytes_max, overflow, Some(budget))
    }

    fn make(bytes_max: usize, overflow: Overflow, budget: Option<Arc<Budget>>) -> Arc<Self> {
        Arc::new(Mailbox {
            state: Mutex::default(),
            bytes: AtomicUsize::new(0),
            bytes_max,
            overflow,
            leaves: AtomicBool::new(false),
            budget,
            owner: OnceLock::new(),
            conversation: OnceLock::new(),
            counters: MailboxCounters::default(),
        })
    }

    /// Its connection heeds [`Notice::Leave`].
    pub fn leaves_when_asked(&self) {
        self.leaves.store(true, Ordering::Relaxed);
    }

    /// Asks the connection to finish and leave; false where it does not heed that.
    pub(crate) fn ask_to_leave(&self, successor: &Arc<Mailbox>) -> bool {
        let leaves = self.leaves.load(Ordering::Relaxed);
        if leaves {
            self.notify(Notice::Leave(Successor::new(successor.clone())));
        }
        leaves
    }

    /// Notes whose it is.
    pub(crate) fn belongs_to(&self, session: &Arc<Session>) {
        // A connection opens one session; who opens another keeps the first name.
        let _ = self.owner.set(Arc::downgrade(session));
    }

    /// The name of the session it was opened for, for operators.
    pub fn owner(&self) -> Option<String> {
        Some(self.owner.get()?.upgrade()?.client().to_owned())
    }

    /// The machine of this connection tells who its peer is, once.
    pub fn introduce(&self, conversation: Arc<Conversation>) {
        let _ = self.conversation.set(conversation);
    }

    /// What the machine of this connection has told, for operators.
    pub fn conversation(&self) -> Option<&Arc<Conversation>> {
        self.conversation.get()
    }

    /// What was dropped here.
    pub fn counters(&self) -> &MailboxCounters {
        &self.counters
    }

    /// Bytes of direct deliveries that wait.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Hands over a batch; acts by the overflow policy when the mailbox is full.
    /// Returns how many messages were dropped because of it.
    pub fn push(&self, delivery: Direct) -> usize {
        let size = delivery.batch.pinned_bytes();
        let mut state = self.state.lock();
        if state.closed {
            return 0;
        }
        let mut dropped = 0;
        let waiting = self.bytes.load(Ordering::Relaxed);
        let too_many = waiting + size > self.bytes_max;
        let node_is_full = self.budget.as_ref().is_some_and(|budget| budget.is_exceeded_by(size));
        if waiting > 0 && (too_many || node_is_full) {
            // What must go; where the node is full, as much as comes.
            let excess = (waiting + size).saturating_sub(self.bytes_max).max(if node_is_full { size } else { 0 });
            dropped = match self.overflow {
                Overflow::DropNewest | Overflow::Disconnect => delivery.batch.messages().len(),
                Overflow::DropOldest => self.drop_oldest(&mut state, excess),
                Overflow::Conflate => self.conflate(&mut state, &delivery, excess),
            };
            self.counters.dropped.fetch_add(dropped as u64, Ordering::Relaxed);
            match self.overflow {
                Overflow::DropNewest => return dropped,
                Overflow::Disconnect => {
                    if !state.notices.contains(&Notice::Kicked(KickReason::SlowConsumer)) {
                        state.notices.push(Notice::Kicked(KickReason::SlowConsumer));
                    }
                    Self::wake_for_notice(state);
                    return dropped;
                }
                Overflow::DropOldest | Overflow::Conflate => {}
            }
        }
        let waiting = self.bytes.load(Ordering::Relaxed) + size;
        self.weigh(&mut state, waiting);
        state.direct.push(delivery);
        Self::wake(state);
        dropped
    }

    /// Drops from the front until `excess` bytes are gone; how many messages those were.
    fn drop_oldest(&self, state: &mut State, excess: usize) -> usize {
        let (mut gone, mut freed, mut dropped) = (0, 0, 0);
        while freed < excess && gone < state.direct.len() {
            freed += state.direct[gone].batch.pinned_bytes();
            dropped += state.direct[gone].batch.messages().len();
            gone += 1;
        }
        state.direct.drain(..gone);
        let waiting = self.bytes.load(Ordering::Relaxed).saturating_sub(freed);
        self.weigh(state, waiting);
        dropped
    }

    /// Keeps the last batch of each address, `next` being the last of its own. Half of the bound must be free
    /// afterwards, or the walk would be made again for every message.
    fn conflate(&self, state: &mut State, next: &Direct, excess: usize) -> usize {
        let mut seen: HashSet<Name, foldhash::fast::RandomState> = HashSet::default();
        seen.insert(next.batch.address().clone());
        let (mut freed, mut dropped) = (0, 0);
        let mut keep: Vec<bool> = Vec::with_capacity(state.direct.len());
        for waiting in state.direct.iter().rev() {
            let newest = seen.insert(waiting.batch.address().clone());
            if !newest {
                freed += waiting.batch.pinned_bytes();
                dropped += waiting.batch.messages().len();
            }
            keep.push(newest);
        }
        state.direct.retain(|_| keep.pop().expect("one answer for each"));
        let waiting = self.bytes.load(Ordering::Relaxed).saturating_sub(freed);
        self.weigh(state, waiting);
        let excess = excess.saturating_sub(freed).max(waiting.saturating_sub(self.bytes_max / 2));
        dropped + self.drop_oldest(state, excess)
    }

    /// Notes how much waits, here and in the account of the node.
    fn weigh(&self, state: &mut State, waiting: usize) {
        self.bytes.store(waiting, Ordering::Relaxed);
        if let Some(budget) = &self.budget {
            state.share.set(budget, waiting);
        }
    }

    /// A queue has allotted messages to a consumer of this connection.
    pub fn announce(&self, ready: Ready) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        // One who has not looked yet is not told twice: there are at most as many as the connection has consumers.
        if state.is_announced(&ready) {
            return;
        }
        state.ready.push(ready);
        Self::wake(state);
    }

    /// Leaves an answer or an order.
    pub fn notify(&self, notice: Notice) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        state.notices.push(notice);
        Self::wake_for_notice(state);
    }

    /// Asks the connection to look again at what it can see for itself.
    pub fn nudge(&self) {
        let mut state = self.state.lock();
        state.nudged = true;
        Self::wake(state);
    }

    /// Wakes outside the lock; only the first push since the last wait finds a waker.
    fn wake(mut state: parking_lot::MutexGuard<'_, State>) {
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn wake_for_notice(mut state: parking_lot::MutexGuard<'_, State>) {
        let waker = state.notice_waker.take();
        Self::wake(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ready when a notice waits; otherwise remembers `waker` for the next one, and for nothing else. For a connection
    /// whose output is full: deliveries need not wake it, orders must.
    pub fn poll_notice(&self, waker: &Waker) -> Poll<()> {
        let mut state = self.state.lock();
        if !state.notices.is_empty() {
            return Poll::Ready(());
        }
        state.notice_waker = Some(waker.clone());
        Poll::Pending
    }

    /// Ready when something waits; otherwise remembers `waker` for the next push.
    pub fn poll_ready(&self, waker: &Waker) -> Poll<()> {
        let mut state = self.state.lock();
        if state.nudged || !state.direct.is_empty() || !state.ready.is_empty() || !state.notices.is_empty() {
            state.nudged = false;
            return Poll::Ready(());
        }
        match &state.waker {
            Some(known) if known.will_wake(waker) => {}
            _ => state.waker = Some(waker.clone()),
        }
        Poll::Pending
    }

    /// Takes out the notices alone: deliveries that were pulled before still wait for room.
    pub fn take_notices(&self, into: &mut Vec<Notice>) {
        into.append(&mut self.state.lock().notices);
    }

    /// Swaps out everything that waits; `into` must be empty and lends its memory to the mailbox.
    pub fn pull(&self, into: &mut Pulled) {
        debug_assert!(into.direct.is_empty() && into.ready.is_empty() && into.notices.is_empty());
        let mut state = self.state.lock();
        std::mem::swap(&mut state.direct, &mut into.direct);
        std::mem::swap(&mut state.ready, &mut into.ready);
        if !state.announced.is_empty() {
            state.announced = HashSet::default();
        }
        std::mem::swap(&mut state.notices, &mut into.notices);
        self.weigh(&mut state, 0);
    }

    /// Nothing is accepted any more; what waits is dropped.
    pub fn close(&self) {
        let mut state = self.state.lock();
        self.weigh(&mut state, 0);
        let waiting = std::mem::replace(&mut *state, State { closed: true, ..State::default() });
        drop(state);
        drop(waiting);
    }
}

impl Drop for Mailbox {
    /// What waited for nobody counts no more.
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            self.state.get_mut().share.set(budget, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{BatchBuilder, FaceId, MessageParts, PublisherId};
    use crate::time::Now;

    fn direct(address: &str, payload: &[u8]) -> Direct {
        let mut builder = BatchBuilder::new();
        builder.push(MessageParts { payload, ..MessageParts::default() });
        let name = Name::from_segments([address.as_bytes()]).expect("short");
        let batch = builder.finish(name, PublisherId::default(), FaceId::NONE);
        Direct { batch, grant: Arc::default(), retained: false, shared: false, transient_only: false }
    }

    fn waiting(mailbox: &Mailbox) -> Vec<(String, u8)> {
        let mut pulled = Pulled::default();
        mailbox.pull(&mut pulled);
        let tell = |d: &Direct| {
            let first = d.batch.address().first();
            (String::from_utf8_lossy(first).into_owned(), d.batch.payload(&d.batch.messages()[0])[0])
        };
        pulled.direct.iter().map(tell).collect()
    }

    fn kilobyte(number: u8) -> Vec<u8> {
        vec![number; 1000]
    }

    fn filled(overflow: Overflow, addresses: &str) -> (Arc<Mailbox>, usize) {
        let mailbox = Mailbox::new(direct("a", &kilobyte(0)).batch.pinned_bytes() * 4, overflow);
        let mut dropped = 0;
        for (number, address) in addresses.chars().enumerate() {
            dropped += mailbox.push(direct(&address.to_string(), &kilobyte(number as u8)));
        }
        (mailbox, dropped)
    }

    fn owned(expected: &[(&str, u8)]) -> Vec<(String, u8)> {
        expected.iter().map(|(address, number)| ((*address).to_owned(), *number)).collect()
    }

    #[test]
    fn a_queue_that_is_announced_again_before_anybody_looked_waits_once() {
        let mailbox = Mailbox::new(1024, Overflow::default());
        let quota = Arc::default();
        let config = Arc::new(crate::queue::QueueConfig::default());
        let cells: Vec<_> = (1..=40_u64)
            .map(|n| {
                Arc::new(QueueCell::new(crate::engine::ObjectId(n), false, config.clone(), &quota, Now::default()))
            })
            .collect();
        for _ in 0..100 {
            for queue in &cells {
                mailbox.announce(Ready { queue: queue.clone(), consumer: ConsumerId(1), tag: 7 });
            }
        }
        let mut pulled = Pulled::default();
        mailbox.pull(&mut pulled);
        assert_eq!(pulled.ready.len(), 40);
        pulled.ready.clear();
        mailbox.announce(Ready { queue: cells[0].clone(), consumer: ConsumerId(1), tag: 7 });
        mailbox.pull(&mut pulled);
        assert_eq!(pulled.ready.len(), 1, "it has looked meanwhile");
    }

    #[test]
    fn each_policy_drops_its_own_and_counts_it() {
        let (mailbox, dropped) = filled(Overflow::DropNewest, "abcdef");
        assert_eq!((waiting(&mailbox), dropped), (owned(&[("a", 0), ("b", 1), ("c", 2), ("d", 3)]), 2));
        let (mailbox, dropped) = filled(Overflow::DropOldest, "abcdef");
        assert_eq!((waiting(&mailbox), dropped), (owned(&[("c", 2), ("d", 3), ("e", 4), ("f", 5)]), 2));
        let (mailbox, dropped) = filled(Overflow::Conflate, "abaab");
        assert_eq!((waiting(&mailbox), dropped), (owned(&[("a", 3), ("b", 4)]), 3));
        // Nothing to conflate: as the oldest.
        let (mailbox, dropped) = filled(Overflow::Conflate, "abcde");
        assert_eq!((waiting(&mailbox), dropped), (owned(&[("c", 2), ("d", 3), ("e", 4)]), 2));
        assert_eq!(mailbox.counters().dropped.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn who_is_to_be_disconnected_is_told_once_even_while_only_notices_wake_it() {
        let (mailbox, dropped) = filled(Overflow::Disconnect, "abcd");
        assert!(dropped == 0 && mailbox.poll_notice(Waker::noop()).is_pending());
        mailbox.push(direct("e", &kilobyte(4)));
        mailbox.push(direct("f", &kilobyte(5)));
        assert!(mailbox.poll_notice(Waker::noop()).is_ready());
        let mut pulled = Pulled::default();
        mailbox.pull(&mut pulled);
        assert_eq!(pulled.notices, [Notice::Kicked(KickReason::SlowConsumer)]);
    }

    #[test]
    fn when_the_node_is_full_whoever_is_behind_pays_and_the_others_do_not() {
        let budget = Arc::new(Budget::new(300 << 10));
        let slow = Mailbox::sharing(1 << 30, Overflow::DropNewest, budget.clone());
        let swift = Mailbox::sharing(1 << 30, Overflow::DropNewest, budget.clone());
        let big = vec![1; 100 << 10];
        let pushed = (0..10).filter(|_| slow.push(direct("a", &big)) == 0).count();
        assert!((2..5).contains(&pushed), "{pushed}");
        for _ in 0..3 {
            assert_eq!(swift.push(direct("a", &big)), 0);
            assert_eq!(waiting(&swift).len(), 1);
        }
        drop(slow);
        assert_eq!(budget.bytes(), 0);
    }
}
