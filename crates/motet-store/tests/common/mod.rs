//! A journal on a simulated disk beside a model that knows what must survive.
// Every test binary uses its own part of this module.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use motet_store::sim_disk::SimDisk;
use motet_store::{
    Body, Config, Journal, Locator, NoEvents, OpenError, Opened, Position, RecoveredBody, Recovery, Step,
};

pub const DIR: &str = "/journal";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub head: Vec<u8>,
    pub body: Vec<u8>,
    pub mark: Option<Vec<u8>>,
    pub at: Locator,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    pub last_seq: u64,
    pub entries: BTreeMap<u64, Entry>,
    pub keyed: BTreeMap<Vec<u8>, (Vec<u8>, Locator)>,
}

pub type State = BTreeMap<u64, Object>;

/// What recovery told; bodies are read afterwards.
#[derive(Default)]
pub struct Told {
    pub state: State,
    pub lengths: Vec<(u64, u64, u64)>,
}

impl Recovery for Told {
    fn object(&mut self, object: u64, last_seq: u64) {
        let fresh = self.state.insert(object, Object { last_seq, ..Object::default() }).is_none();
        assert!(fresh, "object {object} told twice");
    }

    fn entry(&mut self, object: u64, seq: u64, head: &[u8], body: RecoveredBody<'_>, at: Locator, mark: Option<&[u8]>) {
        let entries = &mut self.state.get_mut(&object).unwrap().entries;
        assert!(entries.last_key_value().is_none_or(|(last, _)| *last < seq), "order of object {object} at {seq}");
        entries.insert(seq, Entry { head: head.to_vec(), body: Vec::new(), mark: mark.map(<[u8]>::to_vec), at });
        self.lengths.push((object, seq, body.length));
    }

    fn keyed(&mut self, object: u64, key: &[u8], value: &[u8], at: Locator) {
        let keyed = &mut self.state.get_mut(&object).unwrap().keyed;
        assert!(keyed.insert(key.to_vec(), (value.to_vec(), at)).is_none(), "key told twice");
    }
}

#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn bytes(&mut self, max: u64) -> Vec<u8> {
        (0..self.below(max + 1)).map(|_| self.next() as u8).collect()
    }
}

/// The journal, its workers, and the states it went through, by position.
pub struct Bench {
    pub disk: Arc<SimDisk>,
    pub config: Config,
    pub opened: Option<Opened<SimDisk>>,
    pub random: Random,
    pub state: State,
    /// Every state since the last start with the position from which it is durable.
    pub history: Vec<(Position, State)>,
    pub next_object: u64,
    /// May objects be dropped?
    pub drops: bool,
}

pub fn small() -> Config {
    Config { segment_bytes: 32 << 10, pending_bytes_max: 1 << 20, class_bytes: 64 << 10, ..Config::default() }
}

impl Bench {
    pub fn new(seed: u64, config: Config) -> Self {
        let mut bench = Self {
            disk: Arc::new(SimDisk::new(seed)),
            config,
            opened: None,
            random: Random(seed),
            state: State::new(),
            history: Vec::new(),
            next_object: 1,
            drops: true,
        };
        bench.start();
        bench
    }

    pub fn journal(&self) -> Arc<Journal<SimDisk>> {
        self.opened.as_ref().unwrap().journal.clone()
    }

    pub fn open(&self, told: &mut Told) -> Result<Opened<SimDisk>, OpenError> {
        Journal::open(Path::new(DIR), self.disk.clone(), self.config.clone(), Arc::new(NoEvents), told)
    }

    /// Opens without a crash to compare with.
    pub fn start(&mut self) {
        let mut told = Told::default();
        let opened = self.open(&mut told).expect("the journal opens");
        self.opened = Some(opened);
        self.history = vec![(self.journal().durable(), self.state.clone())];
    }

    pub fn commit(&mut self) -> Step {
        self.opened.as_mut().unwrap().committer.step()
    }

    pub fn keep(&mut self) {
        self.opened.as_mut().unwrap().keeper.step();
    }

    /// One stage of a few random operations.
    pub fn stage(&mut self) {
        let journal = self.journal();
        let Ok(mut stage) = journal.try_stage() else { return };
        let random = &mut self.random;
        for _ in 0..=random.below(6) {
            if self.state.is_empty() || random.below(40) == 0 {
                self.state.entry(self.next_object).or_default();
                let seq = 1;
                let at = stage.enqueue(self.next_object, seq, b"first", Body::Inline(&[b"x"]));
                let object = self.state.get_mut(&self.next_object).unwrap();
                object.last_seq = seq;
                let entry = Entry { head: b"first".to_vec(), body: b"x".to_vec(), mark: None, at };
                object.entries.insert(seq, entry);
                self.next_object += 1;
                continue;
            }
            let place = random.below(self.state.len() as u64) as usize;
            let id = *self.state.keys().nth(place).unwrap();
            let object = self.state.get_mut(&id).unwrap();
            let pick = random.below(100);
            match pick {
                0..40 => {
                    object.last_seq += 1 + random.below(3) / 2;
                    let (head, body) = (random.bytes(30), random.bytes(if pick == 0 { 3000 } else { 120 }));
                    let (one, two) = body.split_at(body.len() / 2);
                    let at = stage.enqueue(id, object.last_seq, &head, Body::Inline(&[one, two]));
                    object.entries.insert(object.last_seq, Entry { head, body, mark: None, at });
                }
                40..50 => {
                    let body = random.bytes(200);
                    let other = random.bytes(50);
                    let shared = stage.body(&[&body]);
                    let second = stage.body(&[&other]);
                    for (object_id, object) in self.state.iter_mut().take(3) {
                        let (shared, body) =
                            if random.below(3) == 0 { (second, other.clone()) } else { (shared, body.clone()) };
                        object.last_seq += 1;
                        let head = random.bytes(10);
                        let at = stage.enqueue(*object_id, object.last_seq, &head, Body::Shared(shared));
                        object.entries.insert(object.last_seq, Entry { head, body, mark: None, at });
                    }
                }
                50..80 => {
                    // Mostly the oldest, as queues do.
                    let skip = if random.below(4) == 0 { random.below(object.entries.len() as u64 + 1) } else { 0 };
                    if let Some(seq) = object.entries.keys().nth(skip as usize).copied() {
                        stage.settle(id, seq, object.entries.remove(&seq).unwrap().at);
                    }
                }
                80..88 => {
                    let skip = random.below(object.entries.len() as u64 + 1) as usize;
                    if let Some((seq, entry)) = object.entries.iter_mut().nth(skip) {
                        let data = random.bytes(if pick == 80 { 700 } else { 8 });
                        stage.mark(id, *seq, entry.at, &data);
                        entry.mark = Some(data);
                    }
                }
                88..95 => {
                    let key = vec![random.below(12) as u8];
                    let value = random.bytes(if pick == 88 { 900 } else { 60 });
                    let previous = object.keyed.get(&key).map(|(_, at)| *at);
                    let at = stage.put(id, &key, &value, previous);
                    object.keyed.insert(key, (value, at));
                }
                95..99 => {
                    if let Some((key, (_, at))) = object.keyed.pop_first() {
                        stage.delete(id, &key, at);
                    }
                }
                _ if !self.drops => {}
                _ => {
                    stage.drop_object(id);
                    self.state.remove(&id);
                }
            }
        }
        let position = stage.finish();
        self.history.push((position, self.state.clone()));
    }

    /// Reads back everything the model holds, staged or not.
    pub fn read_all(&mut self) {
        let journal = self.journal();
        for (id, object) in &self.state {
            for (seq, entry) in &object.entries {
                let record = journal.read(entry.at).unwrap_or_else(|error| panic!("{id}/{seq}: {error}"));
                assert_eq!((record.object, record.seq), (*id, *seq));
                assert_eq!((&record.head[..], &record.body[..]), (&entry.head[..], &entry.body[..]), "{id}/{seq}");
            }
            for (key, (value, at)) in &object.keyed {
                let record = journal.read(*at).unwrap();
                assert_eq!((&record.head[..], &record.body[..]), (&key[..], &value[..]));
            }
            let places: Vec<Locator> = object.entries.values().map(|entry| entry.at).collect();
            for (entry, record) in object.entries.values().zip(journal.read_many(&places)) {
                assert_eq!(record.unwrap().body, entry.body);
            }
        }
    }

    /// Opens after a crash: the survivors must be a state between the durable one and the last staged one.
    pub fn reopen(&mut self) {
        let durable = self.journal().durable();
        self.opened = None;
        let mut told = Told::default();
        let opened = match self.open(&mut told) {
            Ok(opened) => opened,
            Err(error) => panic!("the journal does not open: {error}"),
        };
        for object in told.state.values_mut() {
            for entry in object.entries.values_mut() {
                entry.body = opened.journal.read(entry.at).expect("a recovered entry is readable").body.to_vec();
            }
        }
        for (object, seq, length) in &told.lengths {
            assert_eq!(told.state[object].entries[seq].body.len() as u64, *length);
        }
        let promised = self.history.iter().rposition(|(position, _)| *position <= durable).unwrap();
        let found = self.history[promised..].iter().position(|(_, state)| *state == told.state);
        if found.is_none() {
            explain(&self.history[promised].1, &told.state);
            panic!("what was recovered is no state at or after the durable one");
        }
        self.state = told.state;
        self.opened = Some(opened);
        self.history = vec![(self.journal().durable(), self.state.clone())];
    }
}

fn explain(durable: &State, told: &State) {
    for (id, object) in durable {
        let Some(other) = told.get(id) else {
            println!("object {id} is missing");
            continue;
        };
        println!("object {id}: last {} against {}", object.last_seq, other.last_seq);
        for seq in object.entries.keys().filter(|seq| !other.entries.contains_key(seq)) {
            println!("  entry {seq} is missing");
        }
        for seq in other.entries.keys().filter(|seq| !object.entries.contains_key(seq)) {
            println!("  entry {seq} is extra");
        }
        for (seq, entry) in &object.entries {
            if other.entries.get(seq).is_some_and(|other| other != entry) {
                println!("  entry {seq} differs: {entry:?} against {:?}", other.entries[seq]);
            }
        }
        if object.keyed != other.keyed {
            println!("  keyed: {:?} against {:?}", object.keyed, other.keyed);
        }
    }
    for id in told.keys().filter(|id| !durable.contains_key(id)) {
        println!("object {id} is extra");
    }
}
