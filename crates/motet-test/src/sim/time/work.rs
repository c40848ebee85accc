//! A queue whose messages are taken, done, refused and put off while they age: each is with one holder or in one place,
//! comes back in its order, marked, and never after it was done.

use super::history::History;
use super::place::{Place, at, text};
use crate::sim::Dice;
use motet_core::core::Delivery;
use motet_core::core::broker::{NamedQueue, Settle};
use motet_core::engine::Position;
use motet_core::message::{BatchBuilder, FaceId, MessageParts, Reliability, Value};
use motet_core::queue::{ConsumerId, ConsumerOptions, Leaving, Nack};
use motet_core::transaction::Settlement;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const WORK: &str = "work";
/// Where dead letters go.
const SPOILED: &str = "spoiled";
/// How long a message may wait, in milliseconds.
const WAIT_MS: u64 = 3_000;
/// Failed attempts that a message survives.
const ATTEMPTS_MAX: u32 = 2;
/// Messages that the worker holds at a time.
const CREDIT: u32 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    Ready,
    Held,
    /// Put off until then.
    Paused(u64),
    Spoiled,
}

#[derive(Debug, Clone, Copy)]
struct Task {
    sent: u64,
    place: Where,
    attempts: u32,
}

/// Tasks by their numbers; what is done is not there.
type Book = BTreeMap<u64, Task>;

fn pass(book: &mut Book, now: u64) {
    for task in book.values_mut() {
        if matches!(task.place, Where::Paused(until) if until <= now) {
            task.place = Where::Ready;
        }
        // A message lives through its last millisecond, and as long as somebody holds it.
        if task.place == Where::Ready && task.sent + WAIT_MS < now {
            task.place = Where::Spoiled;
        }
    }
}

fn fail(task: &mut Task, place: Where) {
    task.attempts += 1;
    task.place = if task.attempts > ATTEMPTS_MAX { Where::Spoiled } else { place };
}

pub(super) struct Work {
    book: History<Book>,
    worker: Option<ConsumerId>,
    /// What it holds, in the order of taking: number, and sequence in the queue.
    held: Vec<(u64, u64)>,
    /// Was shown to somebody.
    seen: BTreeSet<u64>,
    next: u64,
    /// Everything below may count as shown: a power cut came behind it.
    old: u64,
    pub(super) done: u64,
}

impl Work {
    pub(super) fn new(place: &Place) -> Self {
        let arguments = [
            ("x-message-ttl", Value::Int(WAIT_MS as i64)),
            ("x-delivery-limit", Value::Int(ATTEMPTS_MAX.into())),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(SPOILED)),
        ];
        place.queue(0, WORK, &arguments);
        place.queue(0, SPOILED, &[]);
        Work {
            book: History::new(Book::new()),
            worker: None,
            held: Vec::new(),
            seen: BTreeSet::new(),
            next: 0,
            old: 0,
            done: 0,
        }
    }

    fn queue(place: &Place) -> Arc<NamedQueue> {
        place.core.find_queue(&place.vhosts[0], WORK.as_bytes()).expect("it was declared and is durable")
    }

    pub(super) fn acts(&mut self, place: &mut Place, dice: &mut Dice) -> Result<String, String> {
        match dice.below(16) {
            0..=5 => Ok(self.sends(place)),
            6..=9 => self.takes(place, 1 + dice.below(3)),
            10..=14 => Ok(self.settles(place, dice)),
            _ => {
                let how = if dice.one_in(2) { Leaving::Orderly } else { Leaving::Broken };
                Ok(self.leaves(place, how))
            }
        }
    }

    fn sends(&mut self, place: &mut Place) -> String {
        let (now, number) = (place.now(), self.next);
        self.next += 1;
        let publisher = &mut place.publishers[0];
        let known = publisher.exchange(b"", WORK.as_bytes()).expect("the default exchange").clone();
        let payload = number.to_string();
        let mut builder = BatchBuilder::new();
        let reliability = Reliability::AtLeastOnce;
        builder.push(MessageParts { payload: payload.as_bytes(), reliability, ..MessageParts::default() });
        let batch = builder.finish(known.name.clone(), publisher.id(), FaceId::NONE);
        place.core.publish(at(now), publisher, &known, batch, None);
        self.book.now.insert(number, Task { sent: now, place: Where::Ready, attempts: 0 });
        self.book.staged(place.staged());
        format!("{now} task {number}")
    }

    fn takes(&mut self, place: &Place, count: usize) -> Result<String, String> {
        let now = place.now();
        let queue = Self::queue(place);
        let worker = match self.worker {
            Some(worker) => worker,
            None => {
                let options = ConsumerOptions { credit: Some(CREDIT), ..ConsumerOptions::default() };
                place.core.consume(at(now), &queue, &place.mailbox, options, 1).map_err(|error| error.to_string())?
            }
        };
        self.worker = Some(worker);
        let mut taken: Vec<Delivery> = Vec::new();
        place.core.take_from(at(now), queue.cell(), worker, count, usize::MAX, &mut taken);
        let mut wanted = self.book.now.iter_mut().filter(|(_, task)| task.place == Where::Ready);
        let mut numbers = Vec::new();
        for delivery in taken {
            let number = number(&String::from_utf8_lossy(delivery.queued.message.payload()))?;
            match wanted.next() {
                Some((next, task)) if *next == number => task.place = Where::Held,
                next => return Err(format!("{now} task {number} is taken, where {next:?} is next")),
            }
            let was_seen = !self.seen.insert(number);
            if delivery.redelivered != was_seen && (was_seen || number >= self.old) {
                return Err(format!("{now} task {number} is redelivered: {}, and was seen: {was_seen}", !was_seen));
            }
            self.held.push((number, delivery.seq));
            numbers.push(number);
        }
        if self.held.len() > CREDIT as usize {
            return Err(format!("{now} the worker holds {} at a time", self.held.len()));
        }
        self.book.staged(place.staged());
        Ok(format!("{now} takes {numbers:?} of at most {count}"))
    }

    fn settles(&mut self, place: &Place, dice: &mut Dice) -> String {
        let now = place.now();
        let (Some(worker), false) = (self.worker, self.held.is_empty()) else { return format!("{now} holds nothing") };
        let pause = 1 + dice.below(2_000) as u64;
        let mut settles = Vec::new();
        for _ in 0..1 + dice.below(self.held.len()) {
            let (number, seq) = self.held.remove(dice.below(self.held.len()));
            let task = self.book.now.get_mut(&number).expect("what is held is in the book");
            let settlement = match dice.below(8) {
                0 => Settlement::Nack(Nack::Requeue),
                1 => Settlement::Nack(Nack::RequeueAfter(pause)),
                2 => Settlement::Nack(Nack::Reject),
                _ => Settlement::Ack,
            };
            match settlement {
                Settlement::Ack => {
                    self.book.now.remove(&number);
                    self.done += 1;
                }
                Settlement::Nack(Nack::Requeue) => fail(task, Where::Ready),
                Settlement::Nack(Nack::RequeueAfter(pause)) => fail(task, Where::Paused(now + pause)),
                Settlement::Nack(_) => task.place = Where::Spoiled,
            }
            settles.push((number, Settle { queue: Self::queue(place), consumer: worker, seq, settlement }));
        }
        let said: Vec<_> = settles.iter().map(|(number, settle)| (number, settle.settlement)).collect();
        let line = format!("{now} settles {said:?}");
        let settles: Vec<Settle> = settles.into_iter().map(|(_, settle)| settle).collect();
        place.core.settle_many(at(now), &settles);
        pass(&mut self.book.now, now);
        self.book.staged(place.staged());
        line
    }

    fn leaves(&mut self, place: &Place, how: Leaving) -> String {
        let now = place.now();
        if let Some(worker) = self.worker.take() {
            place.core.leave(at(now), &Self::queue(place), worker, how);
        }
        for (nth, (number, _)) in self.held.drain(..).enumerate() {
            let task = self.book.now.get_mut(&number).expect("what is held is in the book");
            match (nth, how) {
                (0, Leaving::Broken) => fail(task, Where::Ready),
                _ => task.place = Where::Ready,
            }
        }
        pass(&mut self.book.now, now);
        self.book.staged(place.staged());
        format!("{now} the worker leaves, {how:?}")
    }

    pub(super) fn pass(&mut self, place: &Place) {
        pass(&mut self.book.now, place.now());
        self.book.durable(place.durable());
    }

    /// Everything up to `kept` survived.
    pub(super) fn crashed(&mut self, place: &Place, kept: Position) {
        (self.worker, self.old) = (None, self.next);
        self.held.clear();
        self.book.cut(kept);
        for task in self.book.now.values_mut() {
            if matches!(task.place, Where::Held | Where::Paused(_)) {
                task.place = Where::Ready;
            }
        }
        pass(&mut self.book.now, place.now());
    }

    pub(super) fn audit(&mut self, place: &mut Place) -> Result<(), String> {
        self.leaves(place, Leaving::Orderly);
        place.pass(0);
        place.settle();
        let found = numbers(place, WORK)?;
        let wanted = self.all(Where::Ready);
        if found != wanted {
            return Err(format!("{} {WORK} has {found:?}, and should have {wanted:?}", place.now()));
        }
        self.seen.extend(found);
        let mut found = numbers(place, SPOILED)?;
        found.sort_unstable();
        let wanted = self.all(Where::Spoiled);
        match found == wanted {
            true => Ok(()),
            false => Err(format!("{} {SPOILED} has {found:?}, and should have {wanted:?}", place.now())),
        }
    }

    fn all(&self, place: Where) -> Vec<u64> {
        self.book.now.iter().filter(|(_, task)| task.place == place).map(|(number, _)| *number).collect()
    }
}

fn number(payload: &str) -> Result<u64, String> {
    payload.parse().map_err(|_| format!("{payload:?} is no task"))
}

fn numbers(place: &mut Place, queue: &str) -> Result<Vec<u64>, String> {
    let held = place.holds(0, queue).ok_or_else(|| format!("queue {queue} is gone"))?;
    held.iter().map(|payload| number(payload)).collect()
}
