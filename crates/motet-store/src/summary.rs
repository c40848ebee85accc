//! What a file says, once the records that ended within it are left out. Recovery works on summaries alone: of a
//! sealed file it is the footer, of an unsealed one it is made by walking the batches.

use foldhash::{HashMap, HashSet};

use crate::batch;
use crate::locator::Locator;
use crate::record::{Kind, RawRecord};

/// Heads, keys, values and marks up to this size are kept in the summary; longer ones are read where they lie.
pub(crate) const TEXT_MAX: usize = 512;

/// A piece of [`Summary::text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: usize,
    pub len: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryNote {
    pub object: u64,
    pub seq: u64,
    pub at: Locator,
    pub body: Option<Locator>,
    pub body_len: u64,
    /// `None`: too long, read the record.
    pub head: Option<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyedNote {
    pub object: u64,
    pub at: Locator,
    /// Key and value, or `None`: too long, read the record.
    pub pair: Option<(Span, Span)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MarkNote {
    pub object: u64,
    pub at: Locator,
    pub entry: Locator,
    pub data: Option<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectNote {
    pub object: u64,
    pub born: u64,
    pub last_seq: u64,
}

/// The summary of a file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Number of the first batch, and the one behind the last.
    pub batches: (u64, u64),
    /// Address of the first byte, and the one behind the last.
    pub addresses: (u64, u64),
    /// Objects used here and not dropped here afterwards.
    pub objects: Vec<ObjectNote>,
    /// Objects dropped here, and where.
    pub drops: Vec<(u64, u64)>,
    pub entries: Vec<EntryNote>,
    pub keyed: Vec<KeyedNote>,
    pub marks: Vec<MarkNote>,
    /// Records of earlier files that were ended here, with their objects.
    pub kills: Vec<(u64, Locator)>,
    pub text: Vec<u8>,
}

impl Summary {
    pub(crate) fn text(&self, span: Span) -> &[u8] {
        &self.text[span.start..span.start + span.len]
    }

    fn keep(&mut self, bytes: &[u8]) -> Option<Span> {
        (bytes.len() <= TEXT_MAX).then(|| {
            let start = self.text.len();
            self.text.extend_from_slice(bytes);
            Span { start, len: bytes.len() }
        })
    }

    /// Notes a record that may live; `bodies` are those that came before it in the same file.
    pub(crate) fn note(&mut self, address: u64, record: &RawRecord<'_>, bodies: &mut Bodies) {
        let at = record.locator(address);
        match record.kind {
            Kind::Entry => self.keep_entry(at, record, bodies.length_for(record)),
            Kind::Put => self.keep_keyed(at, record),
            Kind::Mark => {
                if let Some(entry) = Locator::from_bits(record.word) {
                    self.keep_mark(at, entry, record);
                }
            }
            Kind::Body => drop(bodies.0.insert(address, record.body.len() as u64)),
            Kind::Settle | Kind::Delete | Kind::Drop => {}
        }
    }

    fn keep_entry(&mut self, at: Locator, record: &RawRecord<'_>, body_len: u64) {
        let head = self.keep(record.head);
        let body = record.shared_body();
        self.entries.push(EntryNote { object: record.object, seq: record.word, at, body, body_len, head });
    }

    fn keep_keyed(&mut self, at: Locator, record: &RawRecord<'_>) {
        let pair = (record.head.len() + record.body.len() <= TEXT_MAX)
            .then(|| self.keep(record.head).zip(self.keep(record.body)))
            .flatten();
        self.keyed.push(KeyedNote { object: record.object, at, pair });
    }

    fn keep_mark(&mut self, at: Locator, entry: Locator, record: &RawRecord<'_>) {
        let data = self.keep(record.body);
        self.marks.push(MarkNote { object: record.object, at, entry, data });
    }
}

/// Lengths of shared bodies, by address.
#[derive(Default)]
pub(crate) struct Bodies(HashMap<u64, u64>);

impl Bodies {
    /// Of the body the record carries or refers to.
    fn length_for(&self, record: &RawRecord<'_>) -> u64 {
        let shared = record.shared_body().and_then(|body| self.0.get(&body.address()).copied());
        shared.unwrap_or(record.body.len() as u64)
    }
}

/// Makes a summary from batches in their order.
#[derive(Default)]
pub(crate) struct Builder {
    summary: Summary,
    objects: HashMap<u64, ObjectNote>,
    bodies: Bodies,
    ended: HashSet<u64>,
}

impl Builder {
    pub(crate) fn new(base: u64, first_batch: u64) -> Self {
        let summary = Summary { addresses: (base, base), batches: (first_batch, first_batch), ..Summary::default() };
        Self { summary, ..Self::default() }
    }

    /// Takes in one sound batch, header included.
    pub(crate) fn batch(&mut self, batch: &[u8], address: u64, number: u64) {
        for (place, record) in batch::records(batch, address) {
            self.record(place, &record);
        }
        self.bodies.0.clear();
        self.summary.addresses.1 = address + batch.len() as u64;
        self.summary.batches.1 = number + 1;
    }

    fn record(&mut self, address: u64, record: &RawRecord<'_>) {
        self.summary.note(address, record, &mut self.bodies);
        match record.kind {
            Kind::Entry => self.touch(record.object, record.word, address),
            Kind::Put => self.touch(record.object, 0, address),
            Kind::Drop => {
                self.objects.remove(&record.object);
                self.summary.drops.push((record.object, address));
            }
            Kind::Body | Kind::Mark | Kind::Settle | Kind::Delete => {}
        }
        if let Some(victim) = record.victim() {
            if victim.address() >= self.summary.addresses.0 {
                self.ended.insert(victim.address());
            } else {
                self.summary.kills.push((record.object, victim));
            }
        }
    }

    fn touch(&mut self, object: u64, seq: u64, address: u64) {
        let fresh = ObjectNote { object, born: address, last_seq: 0 };
        let note = self.objects.entry(object).or_insert(fresh);
        note.last_seq = note.last_seq.max(seq);
    }

    /// Leaves out what ended within the file, and whatever `alive` denies.
    pub(crate) fn finish(self, alive: impl Fn(u64, Locator) -> bool) -> Summary {
        let Self { mut summary, objects, ended, .. } = self;
        let mut dropped: HashMap<u64, u64> = HashMap::default();
        for (object, address) in &summary.drops {
            dropped.insert(*object, *address);
        }
        let lives = |object: u64, at: Locator| {
            !ended.contains(&at.address())
                && dropped.get(&object).is_none_or(|drop| *drop < at.address())
                && alive(object, at)
        };
        summary.entries.retain(|note| lives(note.object, note.at));
        summary.keyed.retain(|note| lives(note.object, note.at));
        summary.marks.retain(|note| lives(note.object, note.at) && !ended.contains(&note.entry.address()));
        summary.objects = objects.into_values().collect();
        summary.objects.sort_unstable_by_key(|note| note.object);
        summary
    }
}
