//! A core over the fake engine, and one connection that talks to it in few words.

use std::collections::BTreeMap;
use std::sync::Arc;

use motet_core::core::broker::{NamedQueue, QueueDeclaration, Settle, TxMessage, TxQueue};
use motet_core::core::{Core, CoreLimits, Delivery, Outcome, Publisher, Receipt, Recovered, Recovery};
use motet_core::exchange::{Arguments, ExchangeConfig, ExchangeKind};
use motet_core::fake::{FakeEngine, FakeLog, Plan};
use motet_core::mailbox::{Mailbox, Notice, Overflow, Pulled};
use motet_core::message::{Batch, BatchBuilder, FaceId, MessageParts, Properties, Reliability, Value};
use motet_core::principal::Principal;
use motet_core::queue::dead_letter::{Death, Deaths};
use motet_core::queue::{ConsumerId, ConsumerOptions, Leaving, Nack, QueueStats};
use motet_core::route::KnownName;
use motet_core::time::{Now, WallMillis};
use motet_core::transaction::{Settlement, Transaction};

/// What is published, beside where.
#[derive(Debug, Clone, Default)]
pub(crate) struct Letter {
    pub(crate) text: String,
    pub(crate) ttl_ms: Option<u64>,
    pub(crate) transient: bool,
    pub(crate) properties: Properties,
}

pub(crate) fn letter(text: &str) -> Letter {
    Letter { text: text.into(), ..Letter::default() }
}

pub(crate) struct Bench {
    pub(crate) core: Core<FakeEngine>,
    pub(crate) mailbox: Arc<Mailbox>,
    publisher: Publisher,
    consumers: BTreeMap<(String, u64), ConsumerId>,
    pub(crate) now: u64,
}

impl Default for Bench {
    fn default() -> Self {
        Bench::over(FakeLog::default(), 1_000).0
    }
}

/// Turns of the engine for one call at most: a loop would show here.
const TURNS_MAX: usize = 10_000;

impl Bench {
    /// A core over what survived.
    pub(crate) fn over(log: FakeLog, now: u64) -> (Self, Recovered) {
        let engine = FakeEngine::over(log, Plan::default(), 0);
        let mut recovery = Recovery::new();
        engine.replay(&mut recovery);
        let core = Core::new(engine, CoreLimits::default());
        let report = core.recover(at(now), recovery);
        let publisher = Publisher::new(&core, Principal::anonymous(), None);
        let mailbox = Mailbox::new(1 << 20, Overflow::DropNewest);
        (Bench { core, mailbox, publisher, consumers: BTreeMap::new(), now }, report)
    }

    /// The power fails; of what was not durable, `keep` groups survive.
    pub(crate) fn power_cut(&self, keep: usize) -> Bench {
        let (bench, report) = Bench::over(self.core.engine().power_cut(keep), self.now);
        assert_eq!((report.damaged, report.garbage), (0, 0));
        bench
    }

    /// The server stops in order, and another one starts.
    pub(crate) fn restart(&self) -> Bench {
        self.core.write_what_was_sent();
        let (bench, report) = Bench::over(self.core.engine().stop(), self.now);
        assert_eq!((report.damaged, report.garbage), (0, 0));
        bench
    }

    pub(crate) fn now(&self) -> Now {
        at(self.now)
    }

    /// Everything staged becomes durable, every read is answered.
    pub(crate) fn sync(&self) {
        for _ in 0..TURNS_MAX {
            let news = self.core.engine().step();
            if news.is_empty() {
                return;
            }
            news.into_iter().for_each(|completion| self.core.complete(completion));
        }
        panic!("news without end");
    }

    pub(crate) fn queue(&self, name: &str, arguments: &[(&str, Value)]) -> Arc<NamedQueue> {
        let arguments = arguments.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        self.declare(name, QueueDeclaration { durable: true, arguments, ..QueueDeclaration::default() })
    }

    pub(crate) fn declare(&self, name: &str, declaration: QueueDeclaration) -> Arc<NamedQueue> {
        let vhost = self.core.vhost();
        self.core.declare_queue(self.now(), vhost, name.as_bytes(), declaration, 1).unwrap().queue
    }

    /// A queue whose dead letters go to the queue `to`.
    pub(crate) fn queue_to(&self, name: &str, to: &str, arguments: &[(&str, Value)]) {
        let dead = [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text(to))];
        self.queue(name, &[arguments, &dead].concat());
    }

    pub(crate) fn exchange(&self, name: &str, kind: ExchangeKind) {
        self.exchange_with(name, ExchangeConfig::durable(kind));
    }

    pub(crate) fn exchange_with(&self, name: &str, config: ExchangeConfig) {
        self.core.declare_exchange(self.now(), self.core.vhost(), name.as_bytes(), config).unwrap();
    }

    pub(crate) fn bind(&self, exchange: &str, queue: &str, key: &str) {
        self.bind_with(exchange, queue, key, Arguments::default());
    }

    pub(crate) fn bind_with(&self, exchange: &str, queue: &str, key: &str, arguments: Arguments) {
        let (vhost, queue) = (self.core.vhost(), self.named(queue));
        self.core.bind_queue(self.now(), vhost, exchange.as_bytes(), &queue, key.as_bytes(), arguments).unwrap();
    }

    pub(crate) fn named(&self, name: &str) -> Arc<NamedQueue> {
        self.core.find_queue(self.core.vhost(), name.as_bytes()).unwrap_or_else(|| panic!("no queue {name}"))
    }

    pub(crate) fn stats(&self, name: &str) -> QueueStats {
        self.named(name).stats()
    }

    pub(crate) fn publish(&mut self, exchange: &str, key: &str, text: &str) -> Outcome {
        self.send(exchange, key, letter(text)).outcome
    }

    pub(crate) fn send(&mut self, exchange: &str, key: &str, letter: Letter) -> Receipt {
        let (known, batch) = self.compose(exchange, key, letter);
        self.core.publish(self.now(), &self.publisher, &known, batch, None)
    }

    fn compose(&mut self, exchange: &str, key: &str, letter: Letter) -> (KnownName, Arc<Batch>) {
        let known = self.publisher.exchange(exchange.as_bytes(), key.as_bytes()).unwrap().clone();
        let mut builder = BatchBuilder::new();
        builder.push(MessageParts {
            payload: letter.text.as_bytes(),
            reliability: if letter.transient { Reliability::AtMostOnce } else { Reliability::ExactlyOnce },
            expires_at: letter.ttl_ms.map(|ttl| WallMillis(self.now + ttl)),
            properties: Some(Box::new(letter.properties)),
            ..MessageParts::default()
        });
        (known.clone(), builder.finish(known.name, self.publisher.id(), FaceId::NONE))
    }

    pub(crate) fn consumer(&mut self, name: &str, tag: u64, options: ConsumerOptions) {
        let id = self.core.consume(self.now(), &self.named(name), &self.mailbox, options, tag).unwrap();
        self.consumers.insert((name.into(), tag), id);
        self.sync();
    }

    pub(crate) fn id(&self, name: &str, tag: u64) -> ConsumerId {
        self.consumers[&(name.to_owned(), tag)]
    }

    pub(crate) fn leave(&self, name: &str, tag: u64) {
        self.core.leave(self.now(), &self.named(name), self.id(name, tag), Leaving::Orderly);
    }

    pub(crate) fn take(&self, name: &str, tag: u64, max: usize) -> Vec<Delivery> {
        let (mut out, queue) = (Vec::new(), self.named(name));
        for _ in 0..TURNS_MAX {
            let before = out.len();
            let left = max - before;
            let took = self.core.take_from(self.now(), queue.cell(), self.id(name, tag), left, usize::MAX, &mut out);
            self.sync();
            if out.len() == max || (out.len() == before && !took.more) {
                // What a read brought wakes the consumer, which then looks again.
                let mut pulled = Pulled::default();
                self.mailbox.pull(&mut pulled);
                if out.len() == max || pulled.ready.is_empty() {
                    return out;
                }
            }
        }
        panic!("taking without end");
    }

    /// What the consumer takes, as texts.
    pub(crate) fn texts(&self, name: &str, tag: u64, max: usize) -> Vec<String> {
        self.take(name, tag, max).iter().map(told).collect()
    }

    /// Everything in the queue, as texts, and left there.
    pub(crate) fn holds(&self, name: &str) -> Vec<String> {
        let queue = self.named(name);
        let id = self.core.consume(self.now(), &queue, &self.mailbox, ConsumerOptions::default(), 999).unwrap();
        let mut out = Vec::new();
        for _ in 0..TURNS_MAX {
            let before = out.len();
            self.core.take_from(self.now(), queue.cell(), id, usize::MAX, usize::MAX, &mut out);
            self.sync();
            if out.len() == before && self.stats(name).ready == 0 {
                break;
            }
        }
        self.core.leave(self.now(), &queue, id, Leaving::Orderly);
        out.iter().map(told).collect()
    }

    /// The deaths of the only message the consumer takes, as text, the most recent first.
    pub(crate) fn story(&self, name: &str, tag: u64) -> Vec<String> {
        let taken = self.take(name, tag, 2);
        assert_eq!(taken.len(), 1);
        let tell = |death: &Death| {
            let queue = std::str::from_utf8(&death.queue).unwrap();
            format!("{queue} {:?} {}", death.reason, death.count)
        };
        deaths(&taken[0]).records().iter().map(tell).collect()
    }

    pub(crate) fn ack(&self, name: &str, tag: u64, seq: u64) {
        self.settle(name, tag, seq, Settlement::Ack);
    }

    pub(crate) fn nack(&self, name: &str, tag: u64, seq: u64, nack: Nack) {
        self.settle(name, tag, seq, Settlement::Nack(nack));
    }

    fn settle(&self, name: &str, tag: u64, seq: u64, settlement: Settlement) {
        let settle = Settle { queue: self.named(name), consumer: self.id(name, tag), seq, settlement };
        assert_eq!(self.core.settle_many(self.now(), &[settle]).unknown, 0);
    }

    /// Lets time pass, doing on the way what is due.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        for _ in 0..TURNS_MAX {
            let due = self.core.next_deadline().map(|at| at.0).filter(|due| *due <= end);
            self.now = self.now.max(due.unwrap_or(end));
            self.core.on_time(self.now());
            self.sync();
            if due.is_none() {
                return;
            }
        }
        panic!("deadlines without end");
    }

    /// Notices since the last call.
    pub(crate) fn notices(&self) -> Vec<Notice> {
        let mut pulled = Pulled::default();
        self.mailbox.pull(&mut pulled);
        pulled.notices
    }

    /// Publishes a whole letter inside a transaction, as mandatory: bound now, enqueued at its commit.
    pub(crate) fn send_in(&mut self, tx: &mut Tx, exchange: &str, key: &str, letter: Letter) -> bool {
        let (known, batch) = self.compose(exchange, key, letter);
        self.core.publish_in(tx, self.now(), &self.publisher, &known, batch, true).unwrap()
    }

    /// The same with a text alone.
    pub(crate) fn publish_in(&mut self, tx: &mut Tx, exchange: &str, key: &str, text: &str) {
        self.send_in(tx, exchange, key, letter(text));
    }
}

pub(crate) type Tx = Transaction<TxMessage, TxQueue>;

pub(crate) fn at(ms: u64) -> Now {
    Now { wall: WallMillis(ms), ..Now::default() }
}

pub(crate) fn told(delivery: &Delivery) -> String {
    String::from_utf8_lossy(delivery.queued.message.payload()).into_owned()
}

pub(crate) fn deaths(delivery: &Delivery) -> Deaths {
    let properties = delivery.queued.message.message().properties.as_deref();
    properties.and_then(|p| p.deaths.as_deref()).cloned().unwrap_or_default()
}

pub(crate) fn headers(list: &[(&str, Value)]) -> Properties {
    let headers = list.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
    Properties { headers, ..Properties::default() }
}

pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.into())
}

pub(crate) fn credit(credit: u32) -> ConsumerOptions {
    ConsumerOptions { credit: Some(credit), ..ConsumerOptions::default() }
}
