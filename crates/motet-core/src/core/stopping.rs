//! An orderly stop writes down which messages of the queues with names were sent, so that the start after it calls those
//! redelivered and no others.
//!
//! One record per queue, in the queue's own object, believed by a start that follows an orderly stop and by no other: what
//! was delivered after it was written is not in it. A start removes it. A queue whose marks would be too long, or with
//! dead letters on their way, gets none: then any of its messages may have been sent.

use super::Core;
use super::records::key;
use crate::engine::{Engine, Locator, ObjectId, Stage};
use crate::queue::SentMarks;
use crate::queues::QueueCell;
use bytes::Bytes;

const SENT: &[u8] = &[key::SENT];

impl<E: Engine> Core<E> {
    /// Writes down what was sent, as the last word before the engine is stopped: nobody may take anything any more.
    pub fn write_what_was_sent(&self) {
        for vhost in self.vhosts() {
            for queue in self.queues(&vhost) {
                self.write_marks(queue.cell());
            }
        }
    }

    fn write_marks(&self, cell: &QueueCell) {
        if !cell.is_durable() {
            return;
        }
        let mut stage = self.engine.stage_release();
        let inner = cell.inner.lock();
        if inner.gone || inner.stream.is_some() || inner.queue.stats().persistent_bytes == 0 {
            return;
        }
        if let Some(marks) = inner.queue.sent_marks() {
            let mut bytes = Vec::new();
            marks.encode(&mut bytes);
            stage.put(cell.id(), SENT, &bytes, None);
        }
        drop(inner);
        stage.finish();
    }

    /// What the last stop wrote of a queue, if this start may believe it. The record has served.
    pub(super) fn take_marks(
        &self,
        queue: ObjectId,
        keyed: &[(Bytes, Bytes, Locator)],
        stopped_in_order: bool,
    ) -> Option<SentMarks> {
        let mut marks = None;
        for (key, value, at) in keyed.iter().filter(|(key, ..)| key == SENT) {
            let mut stage = self.engine.stage_release();
            stage.delete(queue, key, *at);
            stage.finish();
            marks = SentMarks::decode(value);
        }
        marks.filter(|_| stopped_in_order)
    }
}
