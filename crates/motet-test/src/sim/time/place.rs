//! A core with the queues of this simulation, in few words.

use super::model::{GONE_MS, Kind, TTL_MS, WINDOW_MS};
use crate::sim::Dice;
use motet_core::core::broker::QueueDeclaration;
use motet_core::core::{Core, CoreLimits, Delivery, Publisher, Recovery, Vhost};
use motet_core::engine::Position;
use motet_core::exchange::{Arguments, ExchangeConfig, ExchangeKind};
use motet_core::fake::{FakeEngine, FakeLog, Plan};
use motet_core::mailbox::{Mailbox, Overflow};
use motet_core::message::{BatchBuilder, FaceId, MessageParts, Properties, Reliability, Value};
use motet_core::principal::Principal;
use motet_core::queue::{ConsumerOptions, Leaving};
use motet_core::spelling::mqtt;
use motet_core::stream::Start;
use motet_core::time::{Instant, Now, WallMillis};
use std::sync::Arc;
use std::time::Duration;

const VHOSTS: [&str; 2] = ["/", "other"];
/// Turns after which something goes on for ever.
const TURNS_MAX: usize = 50_000;
const PRESENT: u64 = 1_000_000;

pub(super) struct Place {
    pub(super) core: Core<FakeEngine>,
    engine: FakeEngine,
    plan: Plan,
    pub(super) vhosts: Vec<Arc<Vhost>>,
    pub(super) publishers: Vec<Publisher>,
    pub(super) mailbox: Arc<Mailbox>,
    now: u64,
}

pub(super) fn at(now: u64) -> Now {
    Now { instant: Instant::START + Duration::from_millis(now), wall: WallMillis(now) }
}

pub(super) fn text(text: &str) -> Value {
    Value::Text(text.into())
}

impl Place {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(!seed);
        let plan = Plan {
            groups_max: (!dice.one_in(4)).then(|| 1 + dice.below(4) as u64),
            reads_max: (!dice.one_in(4)).then(|| 1 + dice.below(2) as u64),
            moved_one_in: if dice.one_in(2) { 3 } else { 0 },
            ..Plan::default()
        };
        let engine = FakeEngine::over(FakeLog::default(), plan, dice.seed());
        let core = Core::new(engine.clone(), CoreLimits::default());
        let mailbox = Mailbox::new(1 << 20, Overflow::DropNewest);
        let mut place = Place { core, engine, plan, vhosts: Vec::new(), publishers: Vec::new(), mailbox, now: PRESENT };
        place.core.create_vhost(VHOSTS[1]).expect("nobody has it");
        place.settle();
        place.enter();
        place
    }

    /// Looks the vhosts up, in a core that is new.
    fn enter(&mut self) {
        let find = |name: &str| self.core.find_vhost(name).expect("a confirmed vhost is there");
        self.vhosts = VHOSTS.map(find).into();
        let publisher = |vhost: &Arc<Vhost>| Publisher::new(&self.core, Principal::anonymous(), None).in_vhost(vhost);
        self.publishers = self.vhosts.iter().map(publisher).collect();
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    pub(super) fn durable(&self) -> Position {
        self.core.durable()
    }

    /// Where the next group will be: everything staged so far is before it or there.
    pub(super) fn staged(&self) -> Position {
        Position(self.durable().0 + self.pending() as u64)
    }

    pub(super) fn pending(&self) -> usize {
        self.engine.pending_groups()
    }

    /// One turn of the engine; true when it said something.
    pub(super) fn step(&mut self) -> bool {
        let news = self.engine.step();
        let any = !news.is_empty();
        news.into_iter().for_each(|completion| self.core.complete(completion));
        any
    }

    /// Everything becomes durable, every read is answered.
    pub(super) fn settle(&mut self) {
        self.engine.set_plan(Plan::default());
        for _ in 0..TURNS_MAX {
            if !self.step() {
                self.engine.set_plan(self.plan);
                return;
            }
        }
        panic!("news without end");
    }

    /// Lets time pass, doing on the way what is due.
    pub(super) fn pass(&mut self, millis: u64) {
        let end = self.now + millis;
        for _ in 0..TURNS_MAX {
            let due = self.core.next_deadline().map(|at| at.0).filter(|due| *due <= end);
            self.now = self.now.max(due.unwrap_or(end));
            self.core.on_time(at(self.now));
            self.step();
            if due.is_none() {
                return;
            }
        }
        panic!("deadlines without end");
    }

    /// The power fails and comes back. Answers where the log is when the start has written what it had to say.
    pub(super) fn crash(&mut self, keep: usize, seed: u64) -> Position {
        self.engine = FakeEngine::over(self.engine.power_cut(keep), self.plan, seed);
        self.core = Core::new(self.engine.clone(), CoreLimits::default());
        let mut recovery = Recovery::new();
        self.engine.replay(&mut recovery);
        self.core.recover(at(self.now), recovery);
        let restarted = self.staged();
        self.core.on_time(at(self.now));
        self.enter();
        restarted
    }

    pub(super) fn declare(&mut self) {
        let dead = [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("dead"))];
        let ttl = [&dead[..], &[("x-message-ttl", Value::Int(TTL_MS as i64))]].concat();
        let once = [("x-message-deduplication", Value::Bool(true)), ("x-cache-ttl", Value::Int(WINDOW_MS as i64))];
        for vhost in 0..VHOSTS.len() {
            self.queue(vhost, "ttl", &ttl);
            self.queue(vhost, "own", &dead);
            self.queue(vhost, "once", &once);
            self.queue(vhost, "log", &[("x-queue-type", text("stream"))]);
            for name in ["dead", "late", "deep"] {
                self.queue(vhost, name, &[]);
            }
            let delayed = ExchangeConfig { delayed: true, ..ExchangeConfig::durable(ExchangeKind::Direct) };
            let place = &self.vhosts[vhost];
            self.core.declare_exchange(at(self.now), place, b"later", delayed).expect("it is new");
            for exchange in [b"later" as &[u8], b"amq.topic"] {
                let queue = self.core.find_queue(place, b"late").expect("it was declared");
                let bound = self.core.bind_queue(at(self.now), place, exchange, &queue, b"late", Arguments::default());
                bound.expect("both are there");
            }
        }
        self.declare_gone();
    }

    pub(super) fn declare_gone(&mut self) {
        for vhost in 0..VHOSTS.len() {
            self.queue(vhost, "gone", &[("x-expires", Value::Int(GONE_MS as i64))]);
        }
    }

    /// Binds a queue to the topic tree, under its own name.
    pub(super) fn bind(&self, vhost: usize, name: &str) {
        let place = &self.vhosts[vhost];
        let (queue, name) = (self.core.find_queue(place, name.as_bytes()).expect("it was declared"), name.as_bytes());
        let bound = self.core.bind_queue(at(self.now), place, b"amq.topic", &queue, name, Arguments::default());
        bound.expect("both are there");
    }

    pub(super) fn queue(&self, vhost: usize, name: &str, arguments: &[(&str, Value)]) {
        let arguments = arguments.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        let declaration = QueueDeclaration { durable: true, arguments, ..QueueDeclaration::default() };
        let declared = self.core.declare_queue(at(self.now), &self.vhosts[vhost], name.as_bytes(), declaration, 1);
        declared.expect("it is new or the same");
    }

    pub(super) fn publish(&mut self, vhost: usize, kind: Kind, name: &str) -> Option<Position> {
        let now = at(self.now);
        let (exchange, key) = match kind {
            Kind::Ttl => ("", "ttl"),
            Kind::Own { .. } => ("", "own"),
            Kind::Late { .. } => ("later", "late"),
            Kind::Later { .. } => ("amq.topic", "late"),
            Kind::Once { .. } => ("", "once"),
            Kind::Log => ("", "log"),
            Kind::Deep => ("", "deep"),
        };
        let mut parts =
            MessageParts { payload: name.as_bytes(), reliability: Reliability::ExactlyOnce, ..MessageParts::default() };
        let header = |name: &str, value: Value| {
            Some(Box::new(Properties {
                headers: [(name.into(), value)].into_iter().collect(),
                ..Properties::default()
            }))
        };
        match kind {
            Kind::Own { life } => parts.expires_at = Some(WallMillis(self.now + life)),
            Kind::Late { pause } => parts.properties = header("x-delay", Value::Int(pause as i64)),
            Kind::Once { identifier } => {
                parts.properties = header("x-deduplication-header", text(&format!("i{identifier}")));
            }
            _ => {}
        }
        let publisher = &mut self.publishers[vhost];
        let known = match kind {
            Kind::Later { .. } => {
                publisher.known(b"late", || mqtt::decode_name("late")).expect("a plain topic").clone()
            }
            _ => publisher.exchange(exchange.as_bytes(), key.as_bytes()).expect("it was declared").clone(),
        };
        let mut builder = BatchBuilder::new();
        builder.push(parts);
        let batch = builder.finish(known.name.clone(), publisher.id(), FaceId::NONE);
        match kind {
            Kind::Later { pause } => self.core.publish_delayed(now, publisher, batch, pause, None).position,
            _ => self.core.publish(now, publisher, &known, batch, None).position,
        }
    }

    /// Everything that a consumer gets from a queue now, in order; it is put back. None when there is no such queue.
    pub(super) fn holds(&mut self, vhost: usize, name: &str) -> Option<Vec<String>> {
        let now = at(self.now);
        let queue = self.core.find_queue(&self.vhosts[vhost], name.as_bytes())?;
        let id = match queue.offsets().is_some() {
            true => self.core.consume_stream(now, &queue, &self.mailbox, None, 9, Start::First),
            false => self.core.consume(now, &queue, &self.mailbox, ConsumerOptions::default(), 9),
        };
        let id = id.expect("nobody else consumes");
        let mut out: Vec<Delivery> = Vec::new();
        let mut idle = 0;
        // What is on disk comes with the next turn.
        while idle < 3 {
            let before = out.len();
            self.core.take_from(now, queue.cell(), id, usize::MAX, usize::MAX, &mut out);
            self.settle();
            idle = if out.len() == before { idle + 1 } else { 0 };
        }
        self.core.leave(now, &queue, id, Leaving::Orderly);
        self.settle();
        Some(out.iter().map(|d| String::from_utf8_lossy(d.queued.message.payload()).into_owned()).collect())
    }

    pub(super) fn exists(&self, vhost: usize, name: &str) -> bool {
        self.core.find_queue(&self.vhosts[vhost], name.as_bytes()).is_some()
    }
}
