//! Who is alive: the journal's bookkeeping about records, fed only by batches that are durable.
//!
//! A segment knows its live records as one bit per 16 bytes (or a short list where few are left), and per object how
//! many there are. Nothing is kept per message beyond that. A shared body is counted by the entries behind it: it is
//! always the nearest body record before them.

use foldhash::{HashMap, HashMapExt};

use crate::batch;
use crate::class::Class;
use crate::locator::Locator;
use crate::presence::Presence;
use crate::record::{Kind, RawRecord};

/// What is known about an object that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectState {
    /// Its first record's address: what lies before belongs to a dropped object of the same number.
    pub born: u64,
    pub last_seq: u64,
}

/// Liveness of the whole log.
#[derive(Default)]
pub(crate) struct Ledger {
    /// In the order of their addresses.
    pub segments: Vec<SegmentLedger>,
    pub objects: HashMap<u64, ObjectState>,
    /// The latest mark of every live entry that has one, by the entry's address.
    pub marks: HashMap<u64, Locator>,
    /// What left the log, per class in the order of addresses.
    pub classes: Vec<ClassLedger>,
    /// What died since `Some` was put here, while the accounts of new files are made.
    pub deaths: Option<Vec<Death>>,
}

/// Something that died.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Death {
    /// One record.
    Record { object: u64, at: Locator, class: Class },
    /// An object with everything it had.
    Object(u64),
}

/// Liveness of a class file: it holds records of these addresses, and all of them live but the dead.
pub(crate) struct ClassLedger {
    pub class: Class,
    pub number: u64,
    pub first: u64,
    pub last: u64,
    /// Bytes of all its records.
    pub bytes: u64,
    /// Bytes of the file.
    pub size: u64,
    pub ledger: SegmentLedger,
}

/// Liveness of one segment.
#[derive(Default)]
pub(crate) struct SegmentLedger {
    pub base: u64,
    presence: Presence,
    /// Live records and their bytes, by object.
    pub objects: HashMap<u64, Share>,
    pub live_bytes: u64,
    pub live_count: u64,
    bodies: Vec<BodyShare>,
    /// Of `live_bytes`, those of bodies. Dropped objects leave their bodies in it until the segment is rewritten.
    pub body_bytes: u64,
    /// An object with shared bodies was dropped: `body_bytes` may be too high.
    pub bodies_unsure: bool,
}

/// What an object has in a segment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Share {
    pub count: u64,
    pub bytes: u64,
    shared: bool,
}

struct BodyShare {
    address: u64,
    bytes: u64,
    entries: u32,
}

impl Ledger {
    /// Takes a durable batch into account; `batch` begins with its header, which lies at `address`.
    pub(crate) fn apply(&mut self, batch: &[u8], address: u64) {
        for (at, record) in batch::records(batch, address) {
            self.apply_record(at, &record);
        }
    }

    fn apply_record(&mut self, address: u64, record: &RawRecord<'_>) {
        let at = record.locator(address);
        match record.kind {
            Kind::Entry => {
                self.touch(record.object, Some(record.word), address);
                self.add(record.object, at, record.shared_body());
            }
            Kind::Body => {}
            Kind::Settle | Kind::Delete => {}
            Kind::Mark => {
                if let Some(entry) = Locator::from_bits(record.word) {
                    self.mark(record.object, entry, at);
                }
            }
            Kind::Put => {
                self.touch(record.object, None, address);
                self.add(record.object, at, None);
            }
            Kind::Drop => self.drop_object(record.object),
        }
        if let Some(victim) = record.victim() {
            self.kill(record.object, victim, Class::of(record.kind));
        }
    }

    /// Notes that the object exists and was used at `address`.
    pub(crate) fn touch(&mut self, object: u64, seq: Option<u64>, address: u64) {
        let state = self.objects.entry(object).or_insert(ObjectState { born: address, last_seq: 0 });
        state.last_seq = state.last_seq.max(seq.unwrap_or(0));
    }

    /// Begins the accounting of a segment.
    pub(crate) fn open_segment(&mut self, base: u64) {
        if self.segments.last().is_none_or(|last| last.base < base) {
            self.segments.push(SegmentLedger { base, ..SegmentLedger::default() });
        }
    }

    /// A record became live.
    pub(crate) fn add(&mut self, object: u64, at: Locator, body: Option<Locator>) {
        if let Some(segment) = self.segment_mut(at.address()) {
            segment.add(object, at, body);
        }
    }

    /// A record ended, and with it its mark. Unknown and already dead ones are ignored.
    pub(crate) fn kill(&mut self, object: u64, at: Locator, class: Class) {
        if let Some(deaths) = &mut self.deaths {
            deaths.push(Death::Record { object, at, class });
        }
        let mark = self.marks.remove(&at.address());
        if let Some(segment) = self.segment_mut(at.address()) {
            segment.remove(object, at);
        } else if let Some(file) = self.class_mut(at.address(), class) {
            file.ledger.remove(object, at);
        }
        if let Some(mark) = mark {
            self.kill(object, mark, Class::Parked);
        }
    }

    fn mark(&mut self, object: u64, entry: Locator, at: Locator) {
        if !self.alive(object, entry, Class::Parked) {
            return;
        }
        if let Some(older) = self.marks.insert(entry.address(), at) {
            self.kill(object, older, Class::Parked);
        }
        self.add(object, at, None);
    }

    /// A dropped object's records die everywhere at once, without being listed.
    pub(crate) fn drop_object(&mut self, object: u64) {
        if let Some(deaths) = &mut self.deaths {
            deaths.push(Death::Object(object));
        }
        self.objects.remove(&object);
        self.segments.iter_mut().for_each(|segment| segment.drop_object(object));
        self.classes.iter_mut().for_each(|file| file.ledger.drop_object(object));
    }

    /// Is the record alive, as far as durable batches say?
    pub(crate) fn alive(&self, object: u64, at: Locator, class: Class) -> bool {
        let address = at.address();
        if self.objects.get(&object).is_none_or(|state| state.born > address) {
            return false;
        }
        match self.segment(address) {
            Some(segment) => segment.holds(address),
            None => self.class(address, class).is_some_and(|file| file.ledger.holds(address)),
        }
    }

    fn class(&self, address: u64, class: Class) -> Option<&ClassLedger> {
        self.classes.iter().find(|file| file.class == class && file.first <= address && address <= file.last)
    }

    fn class_mut(&mut self, address: u64, class: Class) -> Option<&mut ClassLedger> {
        self.classes.iter_mut().find(|file| file.class == class && file.first <= address && address <= file.last)
    }

    pub(crate) fn segment(&self, address: u64) -> Option<&SegmentLedger> {
        let after = self.segments.partition_point(|segment| segment.base <= address);
        self.segments.get(after.checked_sub(1)?)
    }

    fn segment_mut(&mut self, address: u64) -> Option<&mut SegmentLedger> {
        let after = self.segments.partition_point(|segment| segment.base <= address);
        self.segments.get_mut(after.checked_sub(1)?)
    }

    /// Live bytes in the log and in the class files.
    pub(crate) fn live_bytes(&self) -> u64 {
        let classes = self.classes.iter().map(|file| &file.ledger);
        self.segments.iter().chain(classes).map(SegmentLedger::surely_live).sum()
    }
}

impl SegmentLedger {
    /// Live bytes, without bodies nobody may need any more.
    pub(crate) fn surely_live(&self) -> u64 {
        if self.bodies_unsure { self.live_bytes - self.body_bytes } else { self.live_bytes }
    }

    pub(crate) fn add(&mut self, object: u64, at: Locator, body: Option<Locator>) {
        if !self.presence.insert(at.address(), self.base) {
            return;
        }
        let share = self.objects.entry(object).or_default();
        share.count += 1;
        share.bytes += at.size();
        share.shared |= body.is_some();
        self.live_bytes += at.size();
        self.live_count += 1;
        if let Some(body) = body {
            self.refer(body);
        }
    }

    /// Bodies come in the order of their addresses.
    fn refer(&mut self, body: Locator) {
        let address = body.address();
        let place = self.bodies.partition_point(|share| share.address < address);
        if self.bodies.get(place).is_none_or(|share| share.address != address) {
            self.bodies.insert(place, BodyShare { address, bytes: body.size(), entries: 0 });
        }
        let share = &mut self.bodies[place];
        share.entries += 1;
        if share.entries == 1 {
            self.live_bytes += share.bytes;
            self.body_bytes += share.bytes;
        }
    }

    pub(crate) fn remove(&mut self, object: u64, at: Locator) {
        if !self.presence.remove(at.address(), self.base) {
            return;
        }
        // A dropped object has no share: its records were counted out together.
        let Some(share) = self.objects.get_mut(&object) else { return };
        share.count = share.count.saturating_sub(1);
        share.bytes = share.bytes.saturating_sub(at.size());
        if share.count == 0 {
            self.objects.remove(&object);
        }
        self.live_bytes = self.live_bytes.saturating_sub(at.size());
        self.live_count = self.live_count.saturating_sub(1);
        if at.shared() {
            self.release(at.address());
        }
    }

    /// The entry at `address` no longer needs the body before it.
    fn release(&mut self, address: u64) {
        let after = self.bodies.partition_point(|share| share.address < address);
        let Some(share) = after.checked_sub(1).map(|place| &mut self.bodies[place]) else { return };
        if share.entries == 1 {
            self.live_bytes = self.live_bytes.saturating_sub(share.bytes);
            self.body_bytes = self.body_bytes.saturating_sub(share.bytes);
        }
        share.entries = share.entries.saturating_sub(1);
    }

    pub(crate) fn drop_object(&mut self, object: u64) {
        let Some(share) = self.objects.remove(&object) else { return };
        self.live_bytes = self.live_bytes.saturating_sub(share.bytes);
        self.live_count = self.live_count.saturating_sub(share.count);
        self.bodies_unsure |= share.shared;
    }

    pub(crate) fn holds(&self, address: u64) -> bool {
        self.presence.holds(address, self.base)
    }

    /// For a class file: every record lives until it is removed.
    pub(crate) fn of_class() -> Self {
        Self { presence: Presence::all(), ..Self::default() }
    }

    /// Notes a record of a class file as dead that was never counted as live.
    pub(crate) fn note_dead(&mut self, address: u64) {
        self.presence.remove(address, self.base);
    }

    /// The dead records of a class file, ascending.
    pub(crate) fn dead(&self) -> Vec<u64> {
        self.presence.dead()
    }
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { objects: HashMap::new(), ..Self::default() }
    }
}
