//! A group while it is being staged, with the law checked record by record.

use super::State;
use super::log::Record;
use crate::engine::{Locator, ObjectId, Position, Stage, StagedBody};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;

/// An open group. Dropping it ends it, as finishing does.
#[derive(Debug)]
pub struct FakeStage<'a> {
    state: &'a Mutex<State>,
    records: Vec<Record>,
    bodies: HashMap<Locator, Bytes>,
    bytes: u64,
    finished: bool,
}

impl<'a> FakeStage<'a> {
    pub(super) fn new(state: &'a Mutex<State>) -> Self {
        let open = std::mem::replace(&mut state.lock().open, true);
        // The journal's buffer belongs to one stage at a time; a second one in the same thread would wait for ever.
        assert!(!open, "a thread has one stage at a time");
        FakeStage { state, records: Vec::new(), bodies: HashMap::new(), bytes: 0, finished: false }
    }

    fn commit(&mut self) -> Position {
        let records = std::mem::take(&mut self.records);
        let mut state = self.state.lock();
        state.open = false;
        state.commit(records, std::mem::take(&mut self.bytes))
    }

    fn push(&mut self, record: Record, bytes: usize) {
        self.bytes += 16 + bytes as u64;
        self.records.push(record);
    }

    /// Where `key` is, as this stage must see it.
    fn place_of(&self, object: ObjectId, wanted: &[u8]) -> Option<Locator> {
        for record in self.records.iter().rev() {
            match record {
                Record::Put { object: o, key, at, .. } if *o == object && key == wanted => return Some(*at),
                Record::Delete { object: o, key } if *o == object && key == wanted => return None,
                Record::Drop { object: o } if *o == object => return None,
                _ => {}
            }
        }
        let state = self.state.lock();
        state.living.objects.get(&object).and_then(|o| o.keyed.get(wanted)).map(|keyed| keyed.at)
    }

    fn is_fenced(&self) -> bool {
        self.state.lock().fenced
    }
}

impl Stage for FakeStage<'_> {
    fn enqueue(&mut self, queue: ObjectId, seq: u64, head: &[u8], body: StagedBody<'_>) -> Locator {
        let body = match body {
            StagedBody::Inline(parts) => Bytes::from(parts.concat()),
            StagedBody::Shared(at) => self.bodies.get(&at).expect("a shared body is staged by the same stage").clone(),
        };
        let at = self.state.lock().locator();
        let bytes = head.len() + body.len();
        self.push(Record::Enqueue { queue, seq, head: Bytes::copy_from_slice(head), body, at }, bytes);
        at
    }

    fn body(&mut self, parts: &[&[u8]]) -> Locator {
        let at = self.state.lock().locator();
        self.bodies.insert(at, Bytes::from(parts.concat()));
        at
    }

    fn settle(&mut self, queue: ObjectId, seq: u64, at: Locator) {
        let state = self.state.lock();
        let living = state.living.objects.get(&queue).and_then(|o| o.entries.get(&seq));
        debug_assert!(
            state.fenced || living.is_none_or(|entry| entry.at == at),
            "an entry is settled at the place that was last told"
        );
        drop(state);
        self.push(Record::Settle { queue, seq }, 0);
    }

    fn mark(&mut self, queue: ObjectId, seq: u64, _at: Locator, data: &[u8]) {
        self.push(Record::Mark { queue, seq, data: Bytes::copy_from_slice(data) }, data.len());
    }

    fn put(&mut self, object: ObjectId, key: &[u8], value: &[u8], previous: Option<Locator>) -> Locator {
        debug_assert!(
            self.is_fenced() || self.place_of(object, key) == previous,
            "a record names the place of the one it replaces"
        );
        let at = self.state.lock().locator();
        let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        let bytes = key.len() + value.len();
        self.push(Record::Put { object, key, value, at }, bytes);
        at
    }

    fn delete(&mut self, object: ObjectId, key: &[u8], previous: Locator) {
        debug_assert!(
            self.is_fenced() || self.place_of(object, key) == Some(previous),
            "a deletion names the place of what it removes"
        );
        self.push(Record::Delete { object, key: Bytes::copy_from_slice(key) }, key.len());
    }

    fn drop_object(&mut self, object: ObjectId) {
        self.push(Record::Drop { object }, 0);
    }

    fn finish(mut self) -> Position {
        self.finished = true;
        self.commit()
    }
}

impl Drop for FakeStage<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.commit();
        }
    }
}
