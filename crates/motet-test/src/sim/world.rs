//! The loop: whose turn it is, power cuts, and the calm at the end.

mod mixed;

use super::client::{Client, TOPICS, brief};
use super::courier::Courier;
use super::ledger::{Broken, Ledger};
use super::link::Link;
use super::{Dice, Failure, Summary};
use motet_core::core::{Core, CoreLimits, Recovery};
use motet_core::engine::{Engine, Position};
use motet_core::fake::{FakeEngine, FakeLog, Plan};
use motet_core::machine::CloseCause;
use motet_core::time::{Instant, Now, WallMillis};
use motet_mqtt::packet::{Packet, Version, frame};
use motet_mqtt::{Config, Connection};
use std::sync::Arc;
use std::time::Duration;

/// Turns of the stormy part of a run.
const TURNS: usize = 600;
/// Turns in which nothing moves before whoever waits is said to wait for ever.
const PATIENCE: usize = 300;
/// Turns in which calm must come; far more than are needed.
const CALM_MAX: usize = 20_000;

pub(super) struct World {
    seed: u64,
    dice: Dice,
    now: Now,
    config: Arc<Config>,
    engine: FakeEngine,
    core: Core<FakeEngine>,
    plan: Plan,
    clients: Vec<Client>,
    /// Clients of AMQP, where they are there.
    couriers: Vec<Courier>,
    links: Vec<Link>,
    /// Wills whose connection broke, with the link: published once the server has noticed.
    mourned: Vec<(usize, String)>,
    /// Wills that the server has published, with the position from which they are durable, and owed.
    said: Vec<(Position, String)>,
    /// Wills whose client said goodbye: withdrawn once the server has noticed.
    parting: Vec<(usize, String)>,
    ledger: Ledger,
    trace: Vec<String>,
    crashes: u64,
    connections: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let plan = Plan {
            groups_max: (!dice.one_in(4)).then(|| 1 + dice.below(4) as u64),
            reads_max: (!dice.one_in(4)).then(|| 1 + dice.below(2) as u64),
            damaged_one_in: if dice.one_in(8) { 5 } else { 0 },
            moved_one_in: if dice.one_in(2) { 3 } else { 0 },
            pending_bytes_max: if dice.one_in(4) { 2000 } else { 64 << 20 },
        };
        let engine = FakeEngine::over(FakeLog::default(), plan, dice.seed());
        let clients = (0..4)
            .map(|n| {
                let version = if dice.one_in(2) { Version::V5 } else { Version::V311 };
                Client::new(n, version, !dice.one_in(4))
            })
            .collect();
        World {
            seed,
            now: Now { instant: Instant::from_nanos(1), wall: WallMillis(1_000_000) },
            config: Arc::new(Config { in_flight_max: 4, ..Config::default() }),
            core: Core::new(engine.clone(), CoreLimits::default()),
            engine,
            plan,
            clients,
            couriers: Vec::new(),
            links: Vec::new(),
            mourned: Vec::new(),
            said: Vec::new(),
            parting: Vec::new(),
            ledger: Ledger::new(plan.pending_bytes_max < 1 << 20),
            trace: Vec::new(),
            crashes: 0,
            connections: 0,
            dice,
        }
    }

    pub(super) fn run(mut self) -> Result<Summary, Box<Failure>> {
        match self.live() {
            Ok(()) => Ok(Summary {
                published: self.ledger.published,
                confirmed: self.ledger.confirmations,
                delivered: self.ledger.delivered,
                crashes: self.crashes,
                connections: self.connections,
                owed: self.ledger.owed_total,
            }),
            Err(what) => Err(Box::new(Failure { seed: self.seed, what, trace: self.trace })),
        }
    }

    fn live(&mut self) -> Broken {
        // Two conversations more want their turns.
        let turns = if self.couriers.is_empty() { TURNS } else { 5 * TURNS };
        for _ in 0..turns {
            self.storm()?;
        }
        self.calm()?;
        self.ledger.settle()?;
        self.couriers.iter().try_for_each(Courier::settle)?;
        self.newcomer()
    }

    /// One stormy turn.
    fn storm(&mut self) -> Broken {
        match self.dice.below(100) {
            0 if self.dice.one_in(2) => self.crash(),
            1 if self.dice.one_in(2) => {
                let stalled = self.dice.one_in(2);
                self.trace.push(format!("disk stalled: {stalled}"));
                self.engine.set_stalled(stalled);
                self.ledger.refusing |= stalled;
            }
            0..=9 => {
                let millis = self.dice.below(200) as u64;
                self.pass(Duration::from_millis(millis));
            }
            10..=24 => self.step(),
            25..=44 => self.client_acts(),
            _ => self.link_moves()?,
        }
        Ok(())
    }

    fn pass(&mut self, time: Duration) {
        self.now = Now { instant: self.now.instant + time, wall: self.now.wall.after(time) };
        self.core.on_time(self.now);
    }

    fn step(&mut self) {
        for completion in self.engine.step() {
            self.core.complete(completion);
        }
        let (durable, ledger) = (self.engine.durable(), &mut self.ledger);
        self.said.retain(|(at, will)| {
            if *at <= durable {
                ledger.confirmed(will);
            }
            *at > durable
        });
        for damage in self.engine.take_damages() {
            self.ledger.damaged(&damage.body);
        }
    }

    /// The power fails and comes back.
    fn crash(&mut self) {
        self.crashes += 1;
        let keep = self.dice.below(self.engine.pending_groups() + 1);
        self.trace.push(format!("POWER CUT: {keep} of {} pending groups survive", self.engine.pending_groups()));
        for damage in self.engine.take_damages() {
            self.ledger.damaged(&damage.body);
        }
        self.engine = FakeEngine::over(self.engine.power_cut(keep), self.plan, self.dice.seed());
        self.core = Core::new(self.engine.clone(), CoreLimits::default());
        let mut recovery = Recovery::new();
        self.engine.replay(&mut recovery);
        let recovered = self.core.recover(self.now, recovery);
        self.trace.push(format!("{recovered:?}"));
        for link in &mut self.links {
            if link.server_open {
                link.die(&mut self.dice);
            }
        }
        // Whether these were published, nobody can tell now.
        self.mourned.clear();
        self.said.clear();
        self.parting.clear();
        self.ledger.doubts_wills();
        self.couriers.iter_mut().for_each(|courier| courier.doubts(&self.ledger));
        self.core.on_time(self.now);
    }

    fn client_acts(&mut self) {
        if !self.couriers.is_empty() && self.dice.one_in(3) {
            return self.courier_acts();
        }
        let which = self.dice.below(self.clients.len());
        let client = &self.clients[which];
        let Some(link) = client.link else { return self.connect(which, false) };
        if !client.is_in {
            if self.dice.one_in(20) {
                self.leave(which);
            }
            return;
        }
        let filter = if self.dice.one_in(3) { "t/#" } else { TOPICS[self.dice.below(TOPICS.len())] };
        let (client, dice, ledger) = (&mut self.clients[which], &mut self.dice, &mut self.ledger);
        let bytes = match dice.below(40) {
            0..=14 => client.publish(dice, ledger),
            15..=18 => client.subscribe(dice.below(3) as u8, filter, ledger),
            19 => client.unsubscribe(filter, ledger),
            20 => return self.leave(which),
            21 => return self.goodbye(which, link),
            // A second connection while the first one is still there.
            22 => return self.connect(which, false),
            _ => client.answer(dice),
        };
        self.says(which, link, &bytes);
    }

    fn says(&mut self, which: usize, link: usize, mut bytes: &[u8]) {
        self.links[link].to_server.extend_from_slice(bytes);
        let version = self.clients[which].version;
        while let Ok(Some(frame)) = frame(bytes, u32::MAX) {
            bytes = &bytes[frame.bytes.len()..];
            if let Ok(packet) = Packet::decode(frame, version) {
                self.trace.push(format!("{} says {} on {link}", self.clients[which].name, brief(&packet)));
            }
        }
    }

    fn connect(&mut self, which: usize, calm: bool) {
        if self.clients[which].link.is_some() {
            self.leave(which);
        }
        let link = self.links.len();
        self.links.push(Link::new(Box::new(Connection::new(self.config.clone())), &mut self.dice));
        self.connections += 1;
        let clean = !calm && self.dice.one_in(12);
        let client = &mut self.clients[which];
        // The takeover may come before the goodbye is heard.
        self.parting.retain(|(_, will)| !client.left(will));
        let bytes = client.connect(link, clean, calm, &mut self.dice, &mut self.ledger);
        self.says(which, link, &bytes);
    }

    /// The client walks away without a word.
    fn leave(&mut self, which: usize) {
        let Some(link) = self.clients[which].link else { return };
        let was_in = self.clients[which].is_in;
        self.trace.push(format!("{} leaves {link}", self.clients[which].name));
        if let Some(will) = self.clients[which].gone()
            && was_in
            && self.links[link].server_open
        {
            self.mourned.push((link, will));
        }
        self.links[link].abandon(&mut self.dice);
    }

    fn goodbye(&mut self, which: usize, link: usize) {
        let bytes = self.clients[which].goodbye();
        self.says(which, link, &bytes);
        if let Some(will) = self.clients[which].gone()
            && self.links[link].server_open
        {
            self.parting.push((link, will));
        }
        self.links[link].client_open = false;
        self.links[link].to_client.clear();
    }

    /// Some bytes move on some link, or its server end has a turn.
    fn link_moves(&mut self) -> Broken {
        let open: Vec<usize> = (0..self.links.len()).filter(|&n| !self.links[n].is_over()).collect();
        if open.is_empty() {
            return Ok(());
        }
        let which = open[self.dice.below(open.len())];
        let count = [1, 7, 100, usize::MAX][self.dice.below(4)];
        match self.dice.below(4) {
            0 => {
                self.links[which].read(&self.core, self.now, count);
            }
            1 => {
                self.links[which].turn(&self.core, self.now);
            }
            2 => {
                self.links[which].flush(count);
            }
            _ => {
                self.hears(which, count)?;
            }
        }
        self.notice(which);
        Ok(())
    }

    /// What the end of a link at the server means for the wills left there.
    fn notice(&mut self, which: usize) {
        if self.links[which].server_open {
            return;
        }
        // A takeover, or a link that broke in front of it, keeps the server from hearing a goodbye.
        let heard = self.links[which].is_drained();
        let staged = Position(self.engine.durable().0 + self.engine.pending_groups() as u64);
        for (_, will) in self.mourned.extract_if(.., |(link, _)| *link == which) {
            self.said.push((staged, will));
        }
        let ledger = &mut self.ledger;
        self.parting.retain(|(link, will)| {
            if *link == which && heard {
                ledger.withdraws(will);
            }
            *link != which
        });
    }

    /// The client at the other end hears up to `count` bytes.
    fn hears(&mut self, which: usize, count: usize) -> Result<bool, String> {
        if let Some(courier) = self.couriers.iter().position(|c| c.link == Some(which)) {
            return self.courier_hears(courier, which, count);
        }
        let link = &mut self.links[which];
        let Some(client) = self.clients.iter_mut().find(|c| c.link == Some(which)) else { return Ok(false) };
        let count = count.min(link.to_client.len());
        let bytes: Vec<u8> = link.to_client.drain(..count).collect();
        let over = !link.server_open && link.to_client.is_empty();
        let trace = &mut self.trace;
        let said = client.hear(&bytes, &mut self.ledger, &mut |line| trace.push(line))?;
        let index = client.index;
        self.says(index, which, &said);
        if over {
            self.trace.push(format!("{} finds {which} closed", self.clients[index].name));
            self.clients[index].gone();
            self.links[which].client_open = false;
        }
        Ok(count > 0 || over)
    }

    /// The storm is over: everybody connects, answers and listens until nothing moves.
    fn calm(&mut self) -> Broken {
        self.trace.push("calm".into());
        self.engine.set_stalled(false);
        self.engine.set_plan(Plan::default());
        let mut quiet = 0;
        for _ in 0..CALM_MAX {
            let moved = self.calm_turn()?;
            quiet = if moved { 0 } else { quiet + 1 };
            let waits = self.clients.iter().any(|c| !c.is_quiet()) || self.couriers.iter().any(|c| !c.is_quiet());
            // What was refused for want of room is tried again after a while.
            if quiet > if waits { PATIENCE } else { 3 } {
                let waiting = self.clients.iter().filter(|c| !c.is_quiet()).map(|c| &c.name);
                let waiting = waiting.chain(self.couriers.iter().filter(|c| !c.is_quiet()).map(|c| &c.name));
                return match waiting.last() {
                    Some(name) => Err(format!("{name} waits for ever")),
                    None => Ok(()),
                };
            }
        }
        Err("no calm: something moves for ever".into())
    }

    fn calm_turn(&mut self) -> Result<bool, String> {
        self.pass(Duration::from_millis(10));
        let mut moved = self.calm_couriers();
        for which in 0..self.clients.len() {
            match self.clients[which].link {
                None if self.clients[which].persistent || !self.clients[which].is_quiet() => {
                    self.connect(which, true);
                    moved = true;
                }
                None => {}
                Some(link) => {
                    let bytes = self.clients[which].answer(&mut self.dice);
                    moved |= !bytes.is_empty();
                    self.says(which, link, &bytes);
                }
            }
        }
        for which in 0..self.links.len() {
            if self.links[which].is_over() {
                continue;
            }
            moved |= self.links[which].read(&self.core, self.now, usize::MAX);
            self.step();
            moved |= self.links[which].turn(&self.core, self.now);
            moved |= self.links[which].flush(usize::MAX);
            moved |= self.hears(which, usize::MAX)?;
            self.notice(which);
        }
        Ok(moved)
    }

    /// Somebody new asks for all last values.
    fn newcomer(&mut self) -> Broken {
        let which = self.clients.len();
        self.clients.push(Client::new(which, Version::V311, false));
        self.connect(which, true);
        self.calm()?;
        let link = self.clients[which].link.ok_or("the newcomer was sent away")?;
        let bytes = self.clients[which].subscribe(1, "t/#", &mut self.ledger);
        self.says(which, link, &bytes);
        self.calm()?;
        self.links[link].close(&self.core, self.now, CloseCause::Drain);
        self.ledger.last_values(&self.clients[which].retained)
    }
}
