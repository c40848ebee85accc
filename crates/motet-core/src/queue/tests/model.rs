//! The queue against a naive one: a plain list, searched for everything. Only consumers that were woken take, so a lost wake-up shows as
//! a message that stays while somebody has credit for it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const CONSUMERS: u64 = 3;
/// Holds what was fetched one by one; never woken.
const FETCHER: u64 = 9;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Place {
    Ready,
    Delayed(u64),
    Held(u64),
}

#[derive(Clone, Debug)]
struct Entry {
    seq: u64,
    priority: u8,
    bytes: u32,
    place: Place,
    expires_at: Option<u64>,
    attempts: u16,
    redelivered: bool,
    /// A consumer had room for it when it came with a time to live of 0.
    promised: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Put { priority: u8, bytes: u32, ttl: Option<u64>, delay: Option<u64>, persistent: bool, place: bool },
    Consume { id: u64, credit: Option<u32>, priority: i32, auto: bool },
    Leave { id: u64, requeue: bool, broken: bool },
    Credit { id: u64, credit: Option<u32> },
    Pause { id: u64, paused: bool },
    Take { id: u64, max: usize },
    Fetch,
    Ack { pick: usize },
    AckThrough { pick: usize },
    Nack { pick: usize, nack: Nack },
    Pass { ms: u64 },
    Load,
    Purge,
}

fn step() -> impl Strategy<Value = Step> {
    let id = 1..=CONSUMERS;
    let credit = prop_oneof![Just(None), (0_u32..5).prop_map(Some)];
    let nack = prop_oneof![
        3 => Just(Nack::Requeue),
        1 => (0_u64..30).prop_map(Nack::RequeueAfter),
        1 => Just(Nack::Unsent),
        1 => Just(Nack::Reject),
    ];
    let put = (0_u8..4, 1_u32..50, prop::option::weighted(0.2, 0_u64..40), prop::option::weighted(0.2, 0_u64..40));
    let put = (put, any::<bool>(), any::<bool>());
    prop_oneof![
        12 => put.prop_map(|((priority, bytes, ttl, delay), persistent, place)| Step::Put {
            priority, bytes, ttl, delay, persistent, place
        }),
        2 => (id.clone(), credit.clone(), -1_i32..2, prop::bool::weighted(0.2)).prop_map(|(id, credit, priority, auto)| Step::Consume { id, credit, priority, auto }),
        1 => Just(Step::Fetch),
        1 => (id.clone(), any::<bool>(), any::<bool>()).prop_map(|(id, requeue, broken)| Step::Leave { id, requeue, broken }),
        1 => (id.clone(), credit).prop_map(|(id, credit)| Step::Credit { id, credit }),
        1 => (id.clone(), any::<bool>()).prop_map(|(id, paused)| Step::Pause { id, paused }),
        8 => (id, 0_usize..6).prop_map(|(id, max)| Step::Take { id, max }),
        5 => any::<usize>().prop_map(|pick| Step::Ack { pick }),
        1 => any::<usize>().prop_map(|pick| Step::AckThrough { pick }),
        4 => (any::<usize>(), nack).prop_map(|(pick, nack)| Step::Nack { pick, nack }),
        4 => (0_u64..30).prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::Load),
        1 => Just(Step::Purge),
    ]
}

fn config() -> impl Strategy<Value = QueueConfig> {
    let limits = (prop::option::weighted(0.3, 1_u64..12), prop::option::weighted(0.3, 50_u64..300));
    let limits = (limits, any::<bool>());
    (limits, 0_u8..4, any::<bool>(), prop::option::weighted(0.4, 0_u16..3), any::<bool>(), any::<bool>()).prop_map(
        |(
            ((max_messages, max_bytes), drop_head),
            max_priority,
            single_active_consumer,
            delivery_limit,
            back_off,
            dead_letter,
        )| {
            QueueConfig {
                max_messages,
                max_bytes,
                overflow: if drop_head { Overflow::DropHead } else { Overflow::RejectPublish },
                max_priority,
                single_active_consumer,
                delivery_limit,
                dead_letter,
                retry: back_off.then_some(RetryBackoff { min_ms: 5, max_ms: 12, factor: 2 }),
                window: MemoryWindow { messages: 4, bytes: 120 },
                ..QueueConfig::default()
            }
        },
    )
}

#[derive(Clone, Copy)]
struct Member {
    credit: Option<u32>,
    auto: bool,
    paused: bool,
    departed: bool,
}

struct Model {
    queue: Queue<u64>,
    fx: Effects<u64>,
    config: QueueConfig,
    now: u64,
    entries: Vec<Entry>,
    /// Held messages per consumer in delivery order.
    held: BTreeMap<u64, Vec<u64>>,
    members: BTreeMap<u64, Member>,
    awake: BTreeSet<u64>,
    reads: Vec<u64>,
    /// Dead letters and drops the queue reported, to be explained by the model.
    left: Vec<(u64, Option<DeadReason>)>,
}

impl Model {
    fn new(config: QueueConfig) -> Self {
        let (mut queue, mut fx) = (Queue::new(config.clone(), 0), Effects::new());
        let fetch = ConsumerOptions { fetch_only: true, ..ConsumerOptions::default() };
        queue.add_consumer(ConsumerId(FETCHER), fetch, &mut fx).unwrap();
        let fetcher = Member { credit: Some(0), auto: false, paused: false, departed: false };
        Self {
            queue,
            fx,
            config,
            now: 0,
            entries: Vec::new(),
            held: BTreeMap::new(),
            members: BTreeMap::from([(FETCHER, fetcher)]),
            awake: BTreeSet::new(),
            reads: Vec::new(),
            left: Vec::new(),
        }
    }

    fn position(&self, seq: u64) -> usize {
        self.entries.iter().position(|entry| entry.seq == seq).expect("the model knows the message")
    }

    fn entry(&mut self, seq: u64) -> &mut Entry {
        let at = self.position(seq);
        &mut self.entries[at]
    }

    /// Ready messages in delivery order.
    fn ready(&self) -> Vec<u64> {
        let mut ready: Vec<&Entry> = self.entries.iter().filter(|entry| entry.place == Place::Ready).collect();
        ready.sort_by_key(|entry| (std::cmp::Reverse(entry.priority), entry.seq));
        ready.into_iter().map(|entry| entry.seq).collect()
    }

    fn is_stale(&self, seq: u64) -> bool {
        self.stale_after(&self.entries[self.position(seq)]).is_some_and(|at| self.now > at)
    }

    fn stale_after(&self, entry: &Entry) -> Option<u64> {
        let somebody = self.queue.consumer_count() > 0;
        entry.expires_at.filter(|_| !(entry.promised && somebody))
    }

    /// Reads what the queue said.
    fn listen(&mut self) {
        let effects: Vec<_> = self.fx.drain().collect();
        for effect in effects {
            match effect {
                Effect::Wake(id) => assert!(self.awake.insert(id.0), "woken once until it has taken"),
                Effect::NeedRead { entries } => self.reads.extend(entries.iter().map(|(seq, _)| *seq)),
                Effect::DeadLetter(letter) => {
                    let seq = letter.seq.expect("nothing is refused here");
                    self.check_body(seq, &letter.body);
                    self.left.push((seq, Some(letter.reason)));
                    self.queue.moved(seq, &mut self.fx);
                }
                Effect::Settled { seq, locator } => {
                    assert!(locator.is_none_or(|at| at == seq + 1_000));
                    self.left.push((seq, None));
                }
                Effect::Activated(_) | Effect::Failed { .. } => {}
                Effect::Cancelled(_) | Effect::QueueExpired => unreachable!("not in this test"),
            }
        }
    }

    fn check_body(&self, seq: u64, body: &Body<u64>) {
        match body {
            Body::Resident(n) => assert_eq!(*n, seq),
            Body::Paged(locator) => assert_eq!(*locator, seq + 1_000),
        }
    }

    /// The model forgets a message the queue discarded.
    fn gone(&mut self, seq: u64) {
        let at = self.position(seq);
        self.entries.remove(at);
    }

    fn let_stale_heads_go(&mut self) {
        for priority in (0..=self.config.max_priority).rev() {
            while let Some(head) =
                self.ready().into_iter().find(|seq| self.entries[self.position(*seq)].priority == priority)
                && self.is_stale(head)
            {
                self.gone(head);
            }
        }
    }

    fn fail(&mut self, seq: u64, pause: Option<u64>) {
        let (now, config) = (self.now, self.config.clone());
        let entry = self.entry(seq);
        entry.attempts += 1;
        entry.redelivered = true;
        entry.promised = false;
        if config.delivery_limit.is_some_and(|limit| entry.attempts > limit) {
            return self.gone(seq);
        }
        let pause = pause.or(config.retry.map(|retry| retry.pause_ms(entry.attempts))).unwrap_or(0);
        entry.place = if pause == 0 { Place::Ready } else { Place::Delayed(now + pause) };
    }

    fn pick_held(&self, pick: usize) -> Option<(u64, u64)> {
        let all: Vec<_> = self.held.iter().flat_map(|(id, seqs)| seqs.iter().map(|seq| (*id, *seq))).collect();
        (!all.is_empty()).then(|| all[pick % all.len()])
    }

    fn let_go(&mut self, id: u64, seq: u64) {
        self.held.get_mut(&id).expect("it holds").retain(|held| *held != seq);
        self.forget_departed(id);
    }

    fn forget_departed(&mut self, id: u64) {
        if self.members.get(&id).is_some_and(|m| m.departed) && self.held.get(&id).is_none_or(Vec::is_empty) {
            self.members.remove(&id);
            self.held.remove(&id);
        }
    }

    fn take(&mut self, id: u64, max: usize) -> bool {
        if !self.awake.contains(&id) {
            return false;
        }
        let mut out = Vec::new();
        let turn = self.queue.take(self.now, ConsumerId(id), max, usize::MAX, &mut out, &mut self.fx);
        assert_eq!(turn.taken, out.len());
        if !turn.more {
            self.awake.remove(&id);
        }
        for taken in out {
            while self.is_stale(self.ready()[0]) {
                self.gone(self.ready()[0]);
            }
            self.hand_over(id, taken);
        }
        let member = self.members[&id];
        assert!(!member.departed && !member.paused);
        assert!(member.auto || member.credit.is_none_or(|c| turn.taken == 0 || self.held[&id].len() <= c as usize));
        // A turn may also have met stale heads behind the last message it took.
        while self.ready().first().is_some_and(|head| {
            self.is_stale(*head) && self.queue.entries.slot(*head).is_none_or(|s| s.state() != State::Ready)
        }) {
            self.gone(self.ready()[0]);
        }
        turn.taken > 0 || turn.more
    }

    /// The head of the order key goes to a consumer.
    fn hand_over(&mut self, id: u64, taken: Taken<u64>) {
        assert_eq!(taken.seq, self.ready()[0], "the head of the order key");
        self.check_body(taken.seq, &taken.body);
        let entry = self.entry(taken.seq);
        assert_eq!((taken.redelivered, taken.delivery_count), (entry.redelivered, u32::from(entry.attempts)));
        assert_eq!(taken.bytes, entry.bytes);
        entry.place = Place::Held(id);
        if self.members[&id].auto {
            self.gone(taken.seq);
        } else {
            self.held.entry(id).or_default().push(taken.seq);
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Put { priority, bytes, ttl, delay, persistent, place } => {
                let seq = self.queue.last_seq() + 1;
                let (expires_at_ms, deliver_at_ms) = (ttl.map(|ms| self.now + ms), delay.map(|ms| self.now + ms));
                let new = NewEntry {
                    message: seq,
                    bytes,
                    priority,
                    expires_at_ms,
                    deliver_at_ms,
                    dedup_id: None,
                    persistent,
                };
                let full = self.is_full(bytes);
                let now_or_never =
                    deliver_at_ms.is_none_or(|at| at <= self.now) && expires_at_ms.is_some_and(|at| at <= self.now);
                let promised = now_or_never && self.queue.consumers.have_room_behind(self.queue.stats().ready);
                let verdict = self.queue.enqueue(self.now, new, &mut self.fx);
                if self.config.overflow == Overflow::RejectPublish && full {
                    assert!(matches!(verdict, Verdict::Rejected(_)));
                    return self.listen();
                }
                assert_eq!(verdict, Verdict::Enqueued { seq });
                let due = deliver_at_ms.filter(|due| *due > self.now);
                self.entries.push(Entry {
                    seq,
                    priority: priority.min(self.config.max_priority),
                    bytes,
                    place: due.map_or(Place::Ready, Place::Delayed),
                    expires_at: expires_at_ms,
                    attempts: 0,
                    redelivered: false,
                    promised,
                });
                self.push_out();
                if place {
                    self.queue.placed(seq, seq + 1_000);
                }
            }
            Step::Consume { id, credit, priority, auto } => {
                let ack = if auto { AckMode::Auto } else { AckMode::Manual };
                let options = ConsumerOptions { credit, priority, ack, ..ConsumerOptions::default() };
                let added = self.queue.add_consumer(ConsumerId(id), options, &mut self.fx);
                assert_eq!(added.is_err(), self.members.contains_key(&id));
                self.members.entry(id).or_insert(Member { credit, auto, paused: false, departed: false });
            }
            Step::Fetch => {
                let fetched = self.queue.get(self.now, ConsumerId(FETCHER), &mut self.fx);
                while self.ready().first().is_some_and(|head| self.is_stale(*head)) {
                    self.gone(self.ready()[0]);
                }
                assert_eq!(fetched.as_ref().map(|taken| taken.seq), self.ready().first().copied());
                if let Some(taken) = fetched {
                    self.hand_over(FETCHER, taken);
                }
            }
            Step::Leave { id, requeue, broken } => self.leave(id, requeue, broken),
            Step::Credit { id, credit } => {
                self.awake.remove(&id); // A new credit takes back the allotment and may wake again.
                self.queue.set_credit(ConsumerId(id), credit, &mut self.fx);
                if let Some(member) = self.members.get_mut(&id) {
                    member.credit = credit;
                }
            }
            Step::Pause { id, paused } => {
                self.awake.remove(&id);
                let id_ = ConsumerId(id);
                if paused {
                    self.queue.pause(id_, &mut self.fx)
                } else {
                    self.queue.resume(id_, &mut self.fx)
                }
                if let Some(member) = self.members.get_mut(&id) {
                    member.paused = paused;
                }
            }
            Step::Take { id, max } => {
                self.take(id, max);
            }
            Step::Ack { pick } => {
                if let Some((id, seq)) = self.pick_held(pick) {
                    self.queue.ack(ConsumerId(id), seq, &mut self.fx).unwrap();
                    assert!(self.queue.ack(ConsumerId(id), seq, &mut self.fx).is_err(), "once");
                    self.gone(seq);
                    self.let_go(id, seq);
                }
            }
            Step::AckThrough { pick } => {
                if let Some((id, seq)) = self.pick_held(pick) {
                    let upto = self.held[&id].iter().position(|held| *held == seq).unwrap();
                    let settled = self.held[&id][..=upto].to_vec();
                    for seq in settled {
                        self.queue.ack(ConsumerId(id), seq, &mut self.fx).unwrap();
                        self.gone(seq);
                        self.let_go(id, seq);
                    }
                }
            }
            Step::Nack { pick, nack } => {
                if let Some((id, seq)) = self.pick_held(pick) {
                    self.queue.nack(self.now, ConsumerId(id), seq, nack, &mut self.fx).unwrap();
                    match nack {
                        Nack::Requeue => self.fail(seq, None),
                        Nack::RequeueAfter(ms) => self.fail(seq, Some(ms)),
                        Nack::Unsent => {
                            let entry = self.entry(seq);
                            (entry.place, entry.promised) = (Place::Ready, false);
                        }
                        Nack::Reject => self.gone(seq),
                    }
                    self.let_go(id, seq);
                    if nack != Nack::Unsent {
                        self.push_out();
                    }
                }
            }
            Step::Pass { ms } => {
                self.now += ms;
                self.check_deadline();
                self.queue.on_deadline(self.now, &mut self.fx);
                for entry in &mut self.entries {
                    if matches!(entry.place, Place::Delayed(due) if due <= self.now) {
                        entry.place = Place::Ready;
                    }
                }
                self.let_stale_heads_go();
                assert!(self.queue.next_deadline().is_none_or(|at| at > self.now), "everything due was done");
            }
            Step::Load => {
                for seq in std::mem::take(&mut self.reads) {
                    self.queue.loaded(seq, seq, &mut self.fx);
                }
            }
            Step::Purge => {
                let before = self.entries.len();
                self.entries.retain(|entry| matches!(entry.place, Place::Held(_)));
                assert_eq!(self.queue.purge(u64::MAX, &mut self.fx), (before - self.entries.len()) as u64);
            }
        }
        self.listen();
        self.check();
    }

    fn leave(&mut self, id: u64, requeue: bool, broken: bool) {
        self.awake.remove(&id);
        let leaving = if broken { Leaving::Broken } else { Leaving::Orderly };
        let returned = self.queue.remove_consumer(self.now, ConsumerId(id), requeue.then_some(leaving), &mut self.fx);
        let Some(member) = self.members.get_mut(&id) else { return assert_eq!(returned, 0) };
        member.departed = true;
        if requeue {
            let held = self.held.remove(&id).unwrap_or_default();
            assert_eq!(returned, held.len());
            for (nth, seq) in held.into_iter().enumerate() {
                if nth == 0 && broken {
                    self.fail(seq, None);
                } else {
                    let entry = self.entry(seq);
                    entry.redelivered = true;
                    entry.promised = false;
                    entry.place = Place::Ready;
                }
            }
        }
        self.forget_departed(id);
        self.push_out();
    }

    /// Whether a message of `bytes` would have to wait, and there is no room to.
    fn is_full(&self, bytes: u32) -> bool {
        let stats = self.queue.stats();
        let waiting = stats.waiting() - self.queue.consumers.allotted().min(stats.ready);
        let full = self.config.max_messages.is_some_and(|max| waiting >= max)
            || self.config.max_bytes.is_some_and(|max| stats.waiting_bytes + u64::from(bytes) > max);
        full && !self.queue.consumers.somebody_free()
    }

    /// After an enqueue: whatever the queue pushed out must have been the oldest of the lowest priority, or the first of the delayed.
    fn push_out(&mut self) {
        while self.entries.len() as u64 > self.queue.stats().messages() - self.queue.stats().moving {
            let ready = self.entries.iter().filter(|entry| entry.place == Place::Ready);
            let delayed = self.entries.iter().filter_map(|entry| match entry.place {
                Place::Delayed(due) => Some((due, entry.seq)),
                _ => None,
            });
            let oldest = ready.map(|entry| (entry.priority, entry.seq)).min().map(|(_, seq)| seq);
            let victim = oldest.or(delayed.min().map(|(_, seq)| seq)).expect("somebody can be pushed out");
            let state = self.queue.entries.slot(victim).map(Slot::state);
            assert!(matches!(state, None | Some(State::Moving)), "{victim} should have been pushed out");
            self.gone(victim);
        }
    }

    fn check_deadline(&self) {
        let due = self.entries.iter().filter_map(|entry| match entry.place {
            Place::Delayed(due) => Some(due),
            _ => None,
        });
        let heads = (0..=self.config.max_priority).filter_map(|priority| {
            let ready = self.entries.iter().filter(|entry| entry.place == Place::Ready && entry.priority == priority);
            self.stale_after(ready.min_by_key(|entry| entry.seq)?).map(|at| at + 1)
        });
        assert_eq!(self.queue.next_deadline(), due.chain(heads).min());
    }

    fn check(&self) {
        let stats = self.queue.stats();
        let count = |wanted: fn(&Place) -> bool| self.entries.iter().filter(|e| wanted(&e.place)).count() as u64;
        assert_eq!(stats.ready, count(|place| *place == Place::Ready));
        assert_eq!(stats.delayed, count(|place| matches!(place, Place::Delayed(_))));
        assert_eq!(stats.unacked, count(|place| matches!(place, Place::Held(_))));
        let bytes = |held: bool| -> u64 {
            let those = self.entries.iter().filter(|e| matches!(e.place, Place::Held(_)) == held);
            those.map(|entry| u64::from(entry.bytes)).sum()
        };
        assert_eq!((stats.waiting_bytes, stats.unacked_bytes), (bytes(false), bytes(true)));
        assert_eq!(stats.moving, 0);
        let kept = self.queue.entries.iter().filter(|(_, slot)| slot.persistent());
        assert_eq!(stats.persistent_bytes, kept.map(|(_, slot)| u64::from(slot.bytes)).sum::<u64>());
        let known: Vec<u64> = self.queue.entries.iter().map(|(seq, _)| seq).collect();
        assert_eq!(known, self.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>());
        let resident = known.iter().filter(|seq| self.queue.entries.body(**seq).is_some());
        let resident: Vec<_> = resident.map(|seq| u64::from(self.queue.slot(*seq).bytes)).collect();
        assert_eq!((stats.resident, stats.resident_bytes), (resident.len() as u64, resident.iter().sum()));
        self.check_dispatch();
    }

    /// Nobody with free credit sleeps beside a message that is allotted to nobody.
    fn check_dispatch(&self) {
        let active = self.queue.active_consumer().map(|id| id.0);
        let sleeps = |(id, member): (&u64, &Member)| {
            let held = self.held.get(id).map_or(0, Vec::len);
            let may = !self.config.single_active_consumer || active == Some(*id);
            let free = member.credit.is_none_or(|credit| if member.auto { credit > 0 } else { held < credit as usize });
            may && free && !member.paused && !member.departed && !self.awake.contains(id)
        };
        self.queue.consumers.check();
        if self.queue.stats().ready > self.queue.consumers.allotted()
            || (self.awake.is_empty() && !self.ready().is_empty())
        {
            assert!(!self.members.iter().any(sleeps), "somebody sleeps beside {:?}", self.ready());
        }
    }

    /// Everybody who was woken takes until nobody is awake: nothing may be left that somebody has credit for.
    fn settle_down(&mut self) {
        for _ in 0..1_000 {
            let Some(id) = self.awake.first().copied() else { break };
            self.take(id, 3);
            self.listen();
            self.check();
        }
        assert!(self.awake.is_empty(), "taking comes to an end");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_behaves_like_a_plain_list(config in config(), steps in prop::collection::vec(step(), 1..120)) {
        let mut model = Model::new(config);
        for step in steps {
            model.apply(step);
        }
        model.settle_down();
    }
}
