//! Who is alive: the journal's bookkeeping about records, fed only by batches that are durable.
//!
//! A segment knows its live records as one bit per 16 bytes (or a short list where few are left), and per object how
//! many there are. Nothing is kept per message beyond that. A shared body is counted by the entries behind it: it is
//! always the nearest body record before them.

use foldhash::{HashMap, HashMapExt};

use crate::batch;
use crate::locator::{GRANULE, Locator};
use crate::record::{Kind, RawRecord};

/// What is known about an object that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectState {
    /// Its first record's address: what lies before belongs to a dropped object of the same number.
    pub born: u64,
    pub last_seq: u64,
    /// Where it was used last.
    pub used: u64,
}

/// Liveness of the whole log.
#[derive(Default)]
pub(crate) struct Ledger {
    /// In the order of their addresses.
    pub segments: Vec<SegmentLedger>,
    pub objects: HashMap<u64, ObjectState>,
    /// The latest mark of every live entry that has one, by the entry's address.
    pub marks: HashMap<u64, Locator>,
    /// Records before the log's first segment that were ended: the keeper finds them in the class files.
    pub class_kills: Vec<(u64, Locator)>,
    /// Objects dropped since the keeper last looked.
    pub class_drops: Vec<(u64, u64)>,
}

/// Liveness of one segment.
#[derive(Default)]
pub(crate) struct SegmentLedger {
    pub base: u64,
    chunks: Vec<Chunk>,
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
            Kind::Drop => self.drop_object(record.object, address),
        }
        if let Some(victim) = record.victim() {
            self.kill(record.object, victim);
        }
    }

    /// Notes that the object exists and was used at `address`.
    pub(crate) fn touch(&mut self, object: u64, seq: Option<u64>, address: u64) {
        let state = self.objects.entry(object).or_insert(ObjectState { born: address, last_seq: 0, used: address });
        state.last_seq = state.last_seq.max(seq.unwrap_or(0));
        state.used = state.used.max(address);
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
    pub(crate) fn kill(&mut self, object: u64, at: Locator) {
        let mark = self.marks.remove(&at.address());
        match self.segment_mut(at.address()) {
            Some(segment) => segment.remove(object, at),
            None => self.class_kills.push((object, at)),
        }
        if let Some(mark) = mark {
            self.kill(object, mark);
        }
    }

    fn mark(&mut self, object: u64, entry: Locator, at: Locator) {
        if !self.may_live(object, entry) {
            return;
        }
        if let Some(older) = self.marks.insert(entry.address(), at) {
            self.kill(object, older);
        }
        self.add(object, at, None);
    }

    /// A dropped object's records die everywhere at once, without being listed.
    fn drop_object(&mut self, object: u64, address: u64) {
        self.objects.remove(&object);
        for segment in &mut self.segments {
            segment.drop_object(object);
        }
        self.class_drops.push((object, address));
    }

    /// Is the record alive? Of one that left the log for a class file only the object's life is known here.
    pub(crate) fn may_live(&self, object: u64, at: Locator) -> bool {
        let address = at.address();
        self.objects.get(&object).is_some_and(|state| state.born <= address)
            && self.segment(address).is_none_or(|segment| segment.holds(address))
    }

    pub(crate) fn segment(&self, address: u64) -> Option<&SegmentLedger> {
        let after = self.segments.partition_point(|segment| segment.base <= address);
        self.segments.get(after.checked_sub(1)?)
    }

    fn segment_mut(&mut self, address: u64) -> Option<&mut SegmentLedger> {
        let after = self.segments.partition_point(|segment| segment.base <= address);
        self.segments.get_mut(after.checked_sub(1)?)
    }

    /// Live bytes of all segments of the log.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.segments.iter().map(SegmentLedger::surely_live).sum()
    }
}

impl SegmentLedger {
    /// Live bytes, without bodies nobody may need any more.
    pub(crate) fn surely_live(&self) -> u64 {
        if self.bodies_unsure { self.live_bytes - self.body_bytes } else { self.live_bytes }
    }

    fn add(&mut self, object: u64, at: Locator, body: Option<Locator>) {
        let granule = granule(at.address() - self.base);
        if !self.chunk(at.address()).insert(granule) {
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

    fn remove(&mut self, object: u64, at: Locator) {
        // A dropped object has no share: its records are dead already.
        let Some(share) = self.objects.get_mut(&object) else { return };
        let chunk = chunk_of(at.address() - self.base);
        let Some(chunk) = self.chunks.get_mut(chunk) else { return };
        if !chunk.remove(granule(at.address() - self.base)) {
            return;
        }
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

    fn drop_object(&mut self, object: u64) {
        let Some(share) = self.objects.remove(&object) else { return };
        self.live_bytes = self.live_bytes.saturating_sub(share.bytes);
        self.live_count = self.live_count.saturating_sub(share.count);
        self.bodies_unsure |= share.shared;
    }

    fn holds(&self, address: u64) -> bool {
        let offset = address - self.base;
        self.chunks.get(chunk_of(offset)).is_some_and(|chunk| chunk.holds(granule(offset)))
    }

    fn chunk(&mut self, address: u64) -> &mut Chunk {
        let index = chunk_of(address - self.base);
        if self.chunks.len() <= index {
            self.chunks.resize_with(index + 1, Chunk::default);
        }
        &mut self.chunks[index]
    }
}

/// The live records that begin in 64 KiB of a segment.
enum Chunk {
    /// Few: their granules, ascending.
    Few(Vec<u16>),
    /// Many: one bit per granule.
    Many(Box<[u64; 64]>),
}

const CHUNK_GRANULES: u64 = 4096;
/// Above this a bitmap is smaller.
const FEW: usize = 256;

fn chunk_of(offset: u64) -> usize {
    (offset / GRANULE / CHUNK_GRANULES) as usize
}

fn granule(offset: u64) -> u16 {
    (offset / GRANULE % CHUNK_GRANULES) as u16
}

impl Default for Chunk {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Chunk {
    /// False when it was there.
    fn insert(&mut self, granule: u16) -> bool {
        match self {
            Self::Few(list) => {
                let place = list.partition_point(|other| *other < granule);
                if list.get(place) == Some(&granule) {
                    return false;
                }
                list.insert(place, granule);
                if list.len() > FEW {
                    let mut bits = Box::new([0; 64]);
                    list.iter().for_each(|granule| set(&mut bits, *granule));
                    *self = Self::Many(bits);
                }
                true
            }
            Self::Many(bits) => {
                let fresh = !bit(bits, granule);
                set(bits, granule);
                fresh
            }
        }
    }

    /// False when it was not there.
    fn remove(&mut self, granule: u16) -> bool {
        match self {
            Self::Few(list) => match list.binary_search(&granule) {
                Ok(place) => {
                    list.remove(place);
                    if list.is_empty() {
                        *list = Vec::new();
                    }
                    true
                }
                Err(_) => false,
            },
            Self::Many(bits) => {
                let held = bit(bits, granule);
                bits[usize::from(granule / 64)] &= !(1 << (granule % 64));
                if held && bits[usize::from(granule / 64)] == 0 && bits.iter().all(|word| *word == 0) {
                    *self = Self::default();
                }
                held
            }
        }
    }

    fn holds(&self, granule: u16) -> bool {
        match self {
            Self::Few(list) => list.binary_search(&granule).is_ok(),
            Self::Many(bits) => bit(bits, granule),
        }
    }
}

fn bit(bits: &[u64; 64], granule: u16) -> bool {
    bits[usize::from(granule / 64)] & 1 << (granule % 64) != 0
}

fn set(bits: &mut [u64; 64], granule: u16) {
    bits[usize::from(granule / 64)] |= 1 << (granule % 64);
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { objects: HashMap::new(), ..Self::default() }
    }
}
