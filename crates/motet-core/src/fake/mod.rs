//! An engine in memory, for tests and simulation: it delays, stalls, forgets, moves records, and checks the law.
//!
//! ```text
//!  core ── stage ──▶ groups: [durable … | staged …]      power_cut(keep) ─▶ FakeLog ─▶ FakeEngine::over ─▶ replay
//!  core ◀─complete── step(): some groups durable, some reads answered, now and then a record moved
//! ```
//! Nothing happens by itself: a test calls [`FakeEngine::step`] and hands what it returns to
//! [`crate::core::Core::complete`]. A power cut keeps whole groups in the order of staging; the engine it happened to
//! goes on taking calls, but they reach nothing, as for a node whose log was taken over by another.

mod log;
mod stage;
#[cfg(test)]
mod tests;

use crate::core::{FIRST_OBJECT, Recovery};
use crate::engine::{Completion, Engine, Locator, MovedRecord, ObjectId, Position, Refused};
use crate::machine::Random;
use bytes::Bytes;
use log::{Group, Living, Record};
use parking_lot::Mutex;
use std::num::NonZeroU64;
use std::sync::Arc;

pub use log::FakeLog;
pub use stage::FakeStage;

/// How the engine behaves at each [`FakeEngine::step`]. The default is prompt and faultless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Groups that become durable in one step: from none to this many, by chance. `None`: all of them.
    pub groups_max: Option<u64>,
    /// Reads answered in one step: from none to this many, by chance, in any order. `None`: all, in order.
    pub reads_max: Option<u64>,
    /// One body in so many comes back damaged. Zero: none.
    pub damaged_one_in: u64,
    /// In one step of so many a living record is moved. Zero: in none.
    pub moved_one_in: u64,
    /// Bytes staged and not durable beyond which [`Engine::stage`] refuses.
    pub pending_bytes_max: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Plan { groups_max: None, reads_max: None, damaged_one_in: 0, moved_one_in: 0, pending_bytes_max: 64 << 20 }
    }
}

/// A body that came back damaged.
#[derive(Debug, Clone)]
pub struct Damage {
    /// Whose entry.
    pub queue: ObjectId,
    /// Which.
    pub seq: u64,
    /// What it had been.
    pub body: Bytes,
}

/// See the module's page. Clones are handles on the same engine.
#[derive(Debug, Clone)]
pub struct FakeEngine {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    log: FakeLog,
    /// Bytes of each group that is not durable.
    pending: Vec<u64>,
    /// Groups of the log that are durable.
    durable: usize,
    /// The log as if everything staged were durable; what the core must think it is.
    living: Living,
    plan: Plan,
    random: Random,
    stalled: bool,
    /// What the core has not been told yet.
    news: Vec<Completion>,
    reads: Vec<(ObjectId, Vec<(u64, Locator)>)>,
    damages: Vec<Damage>,
    /// The log was left in order by whoever had it before.
    stopped_in_order: bool,
    /// A stage is open.
    open: bool,
    /// The log belongs to somebody else now: calls reach nothing.
    fenced: bool,
}

impl Default for FakeEngine {
    /// An empty, prompt engine.
    fn default() -> Self {
        FakeEngine::over(FakeLog::default(), Plan::default(), 0)
    }
}

impl FakeEngine {
    /// An engine over what survived; the same plan and seed behave the same.
    pub fn over(log: FakeLog, plan: Plan, seed: u64) -> Self {
        let stopped_in_order = log.in_order;
        let log = FakeLog {
            next_object: log.next_object.max(FIRST_OBJECT),
            next_locator: log.next_locator.max(1),
            in_order: false,
            ..log
        };
        let state = State {
            pending: Vec::new(),
            durable: log.groups.len(),
            living: Living::of(&log.groups),
            log,
            plan,
            random: Random::seeded(seed),
            stalled: false,
            news: Vec::new(),
            reads: Vec::new(),
            damages: Vec::new(),
            stopped_in_order,
            open: false,
            fenced: false,
        };
        FakeEngine { state: Arc::new(Mutex::new(state)) }
    }

    /// Tells `recovery` everything that lives, in the order and with the meaning of [`crate::engine::Found`].
    pub fn replay(&self, recovery: &mut Recovery) {
        let state = self.state.lock();
        state.living.replay(recovery);
        if state.stopped_in_order {
            recovery.stopped_in_order();
        }
    }

    /// Changes how it behaves from now on.
    pub fn set_plan(&self, plan: Plan) {
        self.state.lock().plan = plan;
    }

    /// A disk that takes nothing (true), or takes records again (false).
    pub fn set_stalled(&self, stalled: bool) {
        let mut state = self.state.lock();
        if state.stalled != stalled {
            state.stalled = stalled;
            state.news.push(if stalled { Completion::Stalled } else { Completion::Recovered });
        }
    }

    /// Groups staged and not durable: what a power cut may take.
    pub fn pending_groups(&self) -> usize {
        let state = self.state.lock();
        state.log.groups.len() - state.durable
    }

    /// One turn by the plan. Everything returned is to be handed to [`crate::core::Core::complete`], in order.
    pub fn step(&self) -> Vec<Completion> {
        let mut state = self.state.lock();
        if state.fenced {
            return Vec::new();
        }
        let groups = state.plan.groups_max;
        let groups = groups.map_or(usize::MAX, |max| state.below(max + 1) as usize);
        if !state.stalled {
            state.make_durable(groups);
        }
        // Before reads are answered: what the core stages because of a read names the place it was told.
        let moved_one_in = state.plan.moved_one_in;
        if moved_one_in > 0 && state.below(moved_one_in) == 0 {
            state.move_one();
        }
        state.answer_reads();
        std::mem::take(&mut state.news)
    }

    /// Makes everything durable and answers every read, whatever the plan says about delay.
    pub fn sync(&self) -> Vec<Completion> {
        let mut state = self.state.lock();
        if state.fenced {
            return Vec::new();
        }
        if !state.stalled {
            state.make_durable(usize::MAX);
        }
        state.plan.reads_max = None;
        state.answer_reads();
        std::mem::take(&mut state.news)
    }

    /// The orderly stop: everything staged survives, and the next to read the log knows that it ended so. From now on
    /// calls to this engine reach nothing.
    pub fn stop(&self) -> FakeLog {
        FakeLog { in_order: true, ..self.power_cut(usize::MAX) }
    }

    /// The power fails: what is durable survives, and the first `keep` groups of the rest. From now on calls to this
    /// engine reach nothing.
    pub fn power_cut(&self, keep: usize) -> FakeLog {
        let mut state = self.state.lock();
        state.fenced = true;
        let mut log = state.log.clone();
        log.groups.truncate(state.durable.saturating_add(keep));
        log
    }

    /// The bodies that came back damaged since the last call.
    pub fn take_damages(&self) -> Vec<Damage> {
        std::mem::take(&mut self.state.lock().damages)
    }
}

impl State {
    fn below(&mut self, bound: u64) -> u64 {
        self.random.next_u64() % bound.max(1)
    }

    fn locator(&mut self) -> Locator {
        let at = self.log.next_locator;
        self.log.next_locator += 1;
        Locator(NonZeroU64::new(at).expect("counts from one"))
    }

    fn position(&self) -> Position {
        Position(self.log.groups.len() as u64)
    }

    fn commit(&mut self, records: Vec<Record>, bytes: u64) -> Position {
        if !self.fenced && !records.is_empty() {
            for record in &records {
                self.living.apply(record);
            }
            self.log.groups.push(Group::from(records));
            self.pending.push(bytes);
        }
        self.position()
    }

    fn make_durable(&mut self, groups: usize) {
        let groups = groups.min(self.pending.len());
        if groups > 0 {
            self.pending.drain(..groups);
            self.durable += groups;
            self.news.push(Completion::Durable(Position(self.durable as u64)));
        }
    }

    fn answer_reads(&mut self) {
        let max = self.plan.reads_max;
        let mut count = max.map_or(u64::MAX, |max| self.below(max + 1));
        while count > 0 && !self.reads.is_empty() {
            count -= 1;
            let which = if max.is_none() { 0 } else { self.below(self.reads.len() as u64) as usize };
            let (queue, wanted) = self.reads.remove(which);
            let entries = wanted.into_iter().map(|(seq, _)| (seq, self.body(queue, seq))).collect();
            self.news.push(Completion::Read { queue, entries });
        }
    }

    /// A record as it is read back; a locator that has moved meanwhile still finds it.
    fn body(&mut self, queue: ObjectId, seq: u64) -> Option<Bytes> {
        let damaged_one_in = self.plan.damaged_one_in;
        let damaged = damaged_one_in > 0 && self.below(damaged_one_in) == 0;
        let entry = self.living.objects.get(&queue)?.entries.get(&seq)?;
        if damaged {
            self.damages.push(Damage { queue, seq, body: entry.body.clone() });
            return None;
        }
        Some(entry.record())
    }

    /// Moves one living record to a new place.
    fn move_one(&mut self) {
        let count = self.living.objects.values().map(|o| o.entries.len() + o.keyed.len()).sum::<usize>();
        if count == 0 {
            return;
        }
        let mut nth = self.below(count as u64) as usize;
        let new = self.locator();
        for (&object, held) in &mut self.living.objects {
            if let Some((&seq, entry)) = held.entries.iter_mut().nth(nth) {
                let old = std::mem::replace(&mut entry.at, new);
                return self.news.push(Completion::Moved { object, what: MovedRecord::Entry(seq), old, new });
            }
            nth -= held.entries.len();
            if let Some((key, keyed)) = held.keyed.iter_mut().nth(nth) {
                let old = std::mem::replace(&mut keyed.at, new);
                let what = MovedRecord::Key(key.clone());
                return self.news.push(Completion::Moved { object, what, old, new });
            }
            nth -= held.keyed.len();
        }
    }
}

impl Engine for FakeEngine {
    type Stage<'a> = FakeStage<'a>;

    fn stage(&self) -> Result<FakeStage<'_>, Refused> {
        let state = self.state.lock();
        if state.stalled || state.fenced || state.pending.iter().sum::<u64>() > state.plan.pending_bytes_max {
            return Err(Refused);
        }
        drop(state);
        Ok(FakeStage::new(&self.state))
    }

    fn stage_release(&self) -> FakeStage<'_> {
        FakeStage::new(&self.state)
    }

    fn durable(&self) -> Position {
        Position(self.state.lock().durable as u64)
    }

    fn read(&self, queue: ObjectId, entries: Vec<(u64, Locator)>) {
        let mut state = self.state.lock();
        for (seq, at) in &entries {
            let living = state.living.objects.get(&queue).and_then(|o| o.entries.get(seq));
            debug_assert!(
                state.fenced || living.is_none_or(|entry| entry.at == *at),
                "a read names the place that was last told"
            );
        }
        state.reads.push((queue, entries));
    }

    fn pending_bytes(&self) -> u64 {
        self.state.lock().pending.iter().sum()
    }

    fn allot_object(&self) -> ObjectId {
        let mut state = self.state.lock();
        // An engine may have to stage that it gives numbers out.
        assert!(!state.open, "numbers are allotted before a stage is opened");
        let id = ObjectId(state.log.next_object);
        state.log.next_object += 1;
        id
    }
}
