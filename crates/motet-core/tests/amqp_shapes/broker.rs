//! A broker of values: routes, enqueues, carries out effects, and writes down what it would stage.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use motet_core::exchange::{Arguments, ExchangeConfig, ExchangeKind, Publication, Routed, Topology};
use motet_core::message::{Properties, Value};
use motet_core::queue::dead_letter::{Death, Deaths};
use motet_core::queue::{
    Body, ConsumerId, ConsumerOptions, DeadLetter, Effect, Effects, Nack, NewEntry, Queue, QueueConfig, Taken, Verdict,
};
use motet_core::transaction::{Settlement, Transaction, Unit};

#[derive(Debug, Clone, Default)]
pub(crate) struct Letter {
    pub(crate) exchange: Bytes,
    pub(crate) key: Bytes,
    pub(crate) text: String,
    pub(crate) priority: u8,
    pub(crate) ttl_ms: Option<u64>,
    pub(crate) properties: Properties,
    pub(crate) deaths: Deaths,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    Enqueue(String, u64),
    Settle(String, u64),
}

struct Kept {
    queue: Queue<Rc<Letter>>,
    /// Dead-letter exchange, and the key to use there instead of the message's own.
    dead: Option<(&'static str, Option<&'static str>)>,
}

/// Effects carried out for one call at most: a loop would show here.
const STEPS_MAX: usize = 10_000;

#[derive(Default)]
pub(crate) struct Broker {
    pub(crate) topology: Topology<String>,
    queues: BTreeMap<String, Kept>,
    /// What each stage wrote, in order.
    pub(crate) journal: Vec<Vec<Record>>,
    stage: Vec<Record>,
    /// Bodies by locator less 1.
    disk: Vec<Rc<Letter>>,
    work: VecDeque<(String, Effect<Rc<Letter>>)>,
    /// Consumers told to be the single active one.
    pub(crate) activated: Vec<u64>,
    /// Dead letters that a cycle ended.
    pub(crate) cycles: usize,
    pub(crate) now: u64,
}

impl Broker {
    pub(crate) fn queue(&mut self, name: &str, config: QueueConfig) {
        self.topology.add_queue(name.as_bytes().to_vec(), true, name.into()).unwrap();
        self.queues.insert(name.into(), Kept { queue: Queue::new(config, self.now), dead: None });
    }

    pub(crate) fn queue_with_dead(
        &mut self,
        name: &str,
        exchange: &'static str,
        key: Option<&'static str>,
        config: QueueConfig,
    ) {
        self.queue(name, QueueConfig { dead_letter: true, ..config });
        self.queues.get_mut(name).unwrap().dead = Some((exchange, key));
    }

    pub(crate) fn exchange(&mut self, name: &'static str, kind: ExchangeKind) {
        self.topology.declare_exchange(name, ExchangeConfig::durable(kind)).unwrap();
    }

    pub(crate) fn bind(&mut self, exchange: &str, queue: &str, key: &str) {
        let (exchange, queue, key) = (exchange.as_bytes(), queue.as_bytes(), key.as_bytes());
        self.topology.bind_queue(exchange, queue, key, Arguments::default()).unwrap();
    }

    pub(crate) fn of(&self, name: &str) -> &Queue<Rc<Letter>> {
        &self.queues[name].queue
    }

    /// Publishes in a stage of its own; how many queues took it.
    pub(crate) fn publish(&mut self, exchange: &str, key: &str, text: &str) -> usize {
        self.send(exchange, key, Letter { text: text.into(), ..Letter::default() })
    }

    pub(crate) fn send(&mut self, exchange: &str, key: &str, letter: Letter) -> usize {
        let letter = Letter { exchange: exchange.to_owned().into(), key: key.to_owned().into(), ..letter };
        let targets = self.targets(exchange, key, &letter.properties);
        let letter = Rc::new(letter);
        let taken = targets.iter().filter(|(queue, delay_ms)| self.enqueue(queue, &letter, *delay_ms)).count();
        self.finish();
        taken
    }

    pub(crate) fn targets(&self, exchange: &str, key: &str, properties: &Properties) -> Vec<(String, u64)> {
        let mut routed = Routed::default();
        let publication =
            Publication { key: key.as_bytes(), extra_keys: &[], properties: Some(properties), by_peer: false };
        if self.topology.route(exchange.as_bytes(), &publication, &mut routed).is_err() {
            return Vec::new();
        }
        let name = |target| self.topology.queue(target).unwrap().clone();
        routed.targets().iter().map(|target| (name(target.queue), target.delay_ms)).collect()
    }

    fn enqueue(&mut self, name: &str, letter: &Rc<Letter>, delay_ms: u64) -> bool {
        let now = self.now;
        let entry = NewEntry {
            message: letter.clone(),
            bytes: 100,
            priority: letter.priority,
            expires_at_ms: letter.ttl_ms.map(|ttl| now + ttl),
            deliver_at_ms: (delay_ms > 0).then_some(now + delay_ms),
            dedup_id: None,
            persistent: true,
        };
        let Verdict::Enqueued { seq } = self.call(name, |queue, fx| queue.enqueue(now, entry, fx)) else {
            return false;
        };
        self.stage.push(Record::Enqueue(name.into(), seq));
        self.disk.push(letter.clone());
        let locator = self.disk.len() as u64;
        self.call(name, |queue, fx| queue.placed(seq, locator, fx));
        true
    }

    fn call<T>(&mut self, name: &str, call: impl FnOnce(&mut Queue<Rc<Letter>>, &mut Effects<Rc<Letter>>) -> T) -> T {
        let mut fx = Effects::new();
        let answer = call(&mut self.queues.get_mut(name).unwrap().queue, &mut fx);
        self.work.extend(fx.drain().map(|effect| (name.to_owned(), effect)));
        answer
    }

    /// Carries out the effects, then closes the stage.
    fn finish(&mut self) {
        for _ in 0..STEPS_MAX {
            let Some((name, effect)) = self.work.pop_front() else {
                if !self.stage.is_empty() {
                    self.journal.push(std::mem::take(&mut self.stage));
                }
                return;
            };
            match effect {
                Effect::Settled { seq, .. } => self.stage.push(Record::Settle(name, seq)),
                Effect::DeadLetter(dead) => self.bury(&name, dead),
                Effect::Activated(consumer) => self.activated.push(consumer.0),
                Effect::NeedRead { entries } => {
                    for (seq, locator) in entries {
                        let letter = self.disk[locator as usize - 1].clone();
                        self.call(&name, |queue, fx| queue.loaded(seq, letter, fx));
                    }
                }
                Effect::Wake(_)
                | Effect::Cancelled(_)
                | Effect::PageOut { .. }
                | Effect::Failed { .. }
                | Effect::QueueExpired => {}
            }
        }
        panic!("effects without end");
    }

    fn read(&self, body: &Body<Rc<Letter>>) -> Rc<Letter> {
        match body {
            Body::Resident(letter) => letter.clone(),
            Body::Paged(locator) => self.disk[*locator as usize - 1].clone(),
        }
    }

    /// Moves a dead letter: enqueue there and settle here, in the stage that is open.
    fn bury(&mut self, name: &str, dead: DeadLetter<Rc<Letter>>) {
        let mut letter = (*self.read(&dead.body)).clone();
        let (exchange, key) = self.queues[name].dead.unwrap();
        letter.deaths.record(Death {
            queue: name.to_owned().into(),
            reason: dead.reason,
            count: 0,
            exchange: letter.exchange.clone(),
            routing_keys: vec![letter.key.clone()],
            first_time_ms: self.now,
            last_time_ms: self.now,
            original_expiration_ms: letter.ttl_ms.take(),
        });
        letter.exchange = exchange.into();
        letter.key = key.map_or(letter.key, Bytes::from);
        let targets = self.targets(exchange, std::str::from_utf8(&letter.key).unwrap(), &letter.properties);
        let letter = Rc::new(letter);
        for (target, delay_ms) in targets {
            if letter.deaths.closes_a_cycle(dead.reason, target.as_bytes()) {
                self.cycles += 1;
            } else {
                self.enqueue(&target, &letter, delay_ms);
            }
        }
        if let Some(seq) = dead.seq {
            self.stage.push(Record::Settle(name.into(), seq));
            self.call(name, |queue, fx| queue.moved(seq, fx));
        }
    }

    pub(crate) fn consumer(&mut self, name: &str, id: u64, options: ConsumerOptions) {
        self.call(name, |queue, fx| queue.add_consumer(ConsumerId(id), options, fx)).unwrap();
        self.finish();
    }

    pub(crate) fn cancel(&mut self, name: &str, id: u64) {
        let now = self.now;
        let leaving = Some(motet_core::queue::Leaving::Orderly);
        self.call(name, |queue, fx| queue.remove_consumer(now, ConsumerId(id), leaving, fx));
        self.finish();
    }

    pub(crate) fn take(&mut self, name: &str, id: u64, max: usize) -> Vec<Taken<Rc<Letter>>> {
        let (now, mut out) = (self.now, Vec::new());
        self.call(name, |queue, fx| queue.take(now, ConsumerId(id), max, usize::MAX, &mut out, fx));
        self.finish();
        out
    }

    /// What the consumer takes, as texts.
    pub(crate) fn texts(&mut self, name: &str, id: u64, max: usize) -> Vec<String> {
        let taken = self.take(name, id, max);
        taken.iter().map(|taken| self.read(&taken.body).text.clone()).collect()
    }

    /// The deaths of the only message the consumer takes, as text, the most recent first.
    pub(crate) fn story(&mut self, name: &str, id: u64) -> Vec<String> {
        let taken = self.take(name, id, 2);
        assert_eq!(taken.len(), 1);
        let letter = self.read(&taken[0].body);
        let tell = |death: &Death| {
            let queue = std::str::from_utf8(&death.queue).unwrap();
            format!("{queue} {:?} {}", death.reason, death.count)
        };
        letter.deaths.records().iter().map(tell).collect()
    }

    pub(crate) fn ack(&mut self, name: &str, id: u64, seq: u64) {
        self.call(name, |queue, fx| queue.ack(ConsumerId(id), seq, fx)).unwrap();
        self.finish();
    }

    pub(crate) fn nack(&mut self, name: &str, id: u64, seq: u64, nack: Nack) {
        let now = self.now;
        self.call(name, |queue, fx| queue.nack(now, ConsumerId(id), seq, nack, fx)).unwrap();
        self.finish();
    }

    /// Lets time pass, doing on the way what is due.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        for _ in 0..STEPS_MAX {
            let due = self.queues.values().filter_map(|kept| kept.queue.next_deadline()).min();
            let Some(due) = due.filter(|due| *due <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(due);
            let (now, names) = (self.now, self.queues.keys().cloned().collect::<Vec<_>>());
            for name in names {
                self.call(&name, |queue, fx| queue.on_deadline(now, fx));
            }
            self.finish();
        }
        panic!("deadlines without end");
    }

    /// Publishes inside a transaction: routed now, enqueued at its commit.
    pub(crate) fn publish_in(&self, tx: &mut Transaction<Rc<Letter>, String>, exchange: &str, key: &str, text: &str) {
        let letter = Letter { exchange: exchange.to_owned().into(), key: key.to_owned().into(), ..Letter::default() };
        let targets = self.targets(exchange, key, &letter.properties);
        tx.publish(Rc::new(Letter { text: text.into(), ..letter }), text.len() as u64, targets).unwrap();
    }

    /// Executes a unit in one stage.
    pub(crate) fn execute(&mut self, unit: Unit<Rc<Letter>, String>) {
        let now = self.now;
        for work in unit.work {
            for publishing in work.publishings {
                self.enqueue(&work.queue, &unit.messages[publishing.message], publishing.delay_ms);
            }
            for settling in work.settlings {
                self.call(&work.queue, |queue, fx| match settling.settlement {
                    Settlement::Ack => queue.ack(settling.consumer, settling.seq, fx),
                    Settlement::Nack(nack) => queue.nack(now, settling.consumer, settling.seq, nack, fx),
                })
                .unwrap();
            }
        }
        self.finish();
    }
}

pub(crate) fn with_delay(ms: i64) -> Properties {
    Properties { headers: vec![("x-delay".into(), Value::Int(ms))], ..Properties::default() }
}

pub(crate) fn credit(credit: u32) -> ConsumerOptions {
    ConsumerOptions { credit: Some(credit), ..ConsumerOptions::default() }
}
