//! The fake's log: groups of records, and what is left of them when they are read from the beginning.

use crate::core::Recovery;
use crate::engine::{Found, Locator, ObjectId};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One record, owned.
#[derive(Debug, Clone)]
pub(super) enum Record {
    Enqueue { queue: ObjectId, seq: u64, head: Bytes, body: Bytes, at: Locator },
    Settle { queue: ObjectId, seq: u64 },
    Mark { queue: ObjectId, seq: u64, data: Bytes },
    Put { object: ObjectId, key: Bytes, value: Bytes, at: Locator },
    Delete { object: ObjectId, key: Bytes },
    Drop { object: ObjectId },
}

/// Records that are durable together or not at all.
pub(super) type Group = Arc<[Record]>;

/// What survives of an engine: whole groups, in the order of staging.
#[derive(Debug, Clone, Default)]
pub struct FakeLog {
    pub(super) groups: Vec<Group>,
    /// Counters of names that are never given twice; they survive whatever else is lost.
    pub(super) next_object: u64,
    pub(super) next_locator: u64,
    /// Whoever wrote it stopped in order.
    pub(super) in_order: bool,
}

/// The log, read from the beginning.
#[derive(Debug, Default)]
pub(super) struct Living {
    pub(super) objects: BTreeMap<ObjectId, Object>,
    /// Orders keyed records by when they were last written.
    written: u64,
}

#[derive(Debug, Default)]
pub(super) struct Object {
    pub(super) entries: BTreeMap<u64, Entry>,
    pub(super) keyed: BTreeMap<Bytes, Keyed>,
    last_seq: u64,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) head: Bytes,
    pub(super) body: Bytes,
    pub(super) at: Locator,
    mark: Option<Bytes>,
}

#[derive(Debug)]
pub(super) struct Keyed {
    value: Bytes,
    pub(super) at: Locator,
    written: u64,
}

impl Entry {
    /// The record as [`crate::engine::Completion::Read`] brings it: length of the head, head, stored message.
    pub(super) fn record(&self) -> Bytes {
        let head_len = u16::try_from(self.head.len()).expect("a queue's note is short");
        let mut out = Vec::with_capacity(2 + self.head.len() + self.body.len());
        out.extend_from_slice(&head_len.to_le_bytes());
        out.extend_from_slice(&self.head);
        out.extend_from_slice(&self.body);
        Bytes::from(out)
    }
}

impl Living {
    pub(super) fn of(groups: &[Group]) -> Self {
        let mut living = Living::default();
        groups.iter().flat_map(|group| group.iter()).for_each(|record| living.apply(record));
        living
    }

    pub(super) fn apply(&mut self, record: &Record) {
        match record {
            Record::Enqueue { queue, seq, head, body, at } => {
                let object = self.objects.entry(*queue).or_default();
                object.last_seq = object.last_seq.max(*seq);
                let entry = Entry { head: head.clone(), body: body.clone(), at: *at, mark: None };
                object.entries.insert(*seq, entry);
            }
            Record::Settle { queue, seq } => {
                if let Some(object) = self.objects.get_mut(queue) {
                    object.entries.remove(seq);
                }
            }
            Record::Mark { queue, seq, data } => {
                if let Some(entry) = self.objects.get_mut(queue).and_then(|o| o.entries.get_mut(seq)) {
                    entry.mark = Some(data.clone());
                }
            }
            Record::Put { object, key, value, at } => {
                self.written += 1;
                let keyed = Keyed { value: value.clone(), at: *at, written: self.written };
                self.objects.entry(*object).or_default().keyed.insert(key.clone(), keyed);
            }
            Record::Delete { object, key } => {
                if let Some(object) = self.objects.get_mut(object) {
                    object.keyed.remove(key);
                }
            }
            Record::Drop { object } => {
                self.objects.remove(object);
            }
        }
    }

    /// Says everything that lives, as [`Found`] promises it.
    pub(super) fn replay(&self, recovery: &mut Recovery) {
        for (id, object) in &self.objects {
            recovery.found(Found::Object { object: *id, last_seq: object.last_seq });
            for (seq, entry) in &object.entries {
                recovery.found(Found::Entry {
                    queue: *id,
                    seq: *seq,
                    head: &entry.head,
                    body_len: u32::try_from(entry.body.len()).expect("a message is below 4 GiB"),
                    at: entry.at,
                    mark: entry.mark.as_deref(),
                });
            }
            let mut keyed: Vec<_> = object.keyed.iter().collect();
            keyed.sort_by_key(|(_, keyed)| keyed.written);
            for (key, keyed) in keyed {
                recovery.found(Found::Keyed { object: *id, key, value: &keyed.value, at: keyed.at });
            }
        }
    }
}
