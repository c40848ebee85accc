//! The thread that reads what the core asks for.
//!
//! A disk that refuses may take it back a moment later, so what it refused is asked for again, at growing distances, while
//! everything else goes on. In the end the core is told that the record cannot be read, as of one that is damaged: nobody
//! waits for ever, and nothing is settled.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use motet_core::engine::{Completion, Locator, ObjectId};

use crate::disk::Disk;
use crate::engine::{Outlet, place};
use crate::error::ReadError;
use crate::journal::{Journal, Record};

/// Sequences and where their records lie, of one queue.
pub(crate) type ReadRequest = (ObjectId, Vec<(u64, Locator)>);

/// How often a record is asked for: with the default `retry_delay`, for half a minute.
const ATTEMPTS_MAX: u32 = 8;
/// Bytes that answers of one request share.
const ANSWERS_BLOCK: usize = 64 << 10;

/// What the disk refused, to be asked for again.
struct Refused {
    due: Instant,
    /// Attempts so far.
    attempts: u32,
    request: ReadRequest,
}

struct Reader<D: Disk> {
    journal: Arc<Journal<D>>,
    outlet: Arc<Outlet>,
    /// As many as the core has asked for and not been answered.
    refused: Vec<Refused>,
}

/// Starts the thread. It ends when nobody can ask any more; what the disk refused until then stays without answer.
pub(crate) fn spawn<D: Disk>(
    journal: Arc<Journal<D>>,
    outlet: Arc<Outlet>,
    requests: mpsc::Receiver<ReadRequest>,
) -> thread::JoinHandle<()> {
    let mut reader = Reader { journal, outlet, refused: Vec::new() };
    thread::Builder::new()
        .name("journal-read".into())
        .spawn(move || while reader.turn(&requests) {})
        .expect("the system has room for one more thread at start")
}

impl<D: Disk> Reader<D> {
    /// Waits for a request or for the time to repeat one; false when nobody can ask any more.
    fn turn(&mut self, requests: &mpsc::Receiver<ReadRequest>) -> bool {
        let asked = match self.refused.iter().map(|refused| refused.due).min() {
            None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => requests.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        match asked {
            Ok(request) => self.read(request, 1),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        let now = Instant::now();
        let due: Vec<_> = self.refused.extract_if(.., |refused| refused.due <= now).collect();
        due.into_iter().for_each(|refused| self.read(refused.request, refused.attempts + 1));
        true
    }

    fn read(&mut self, (queue, entries): ReadRequest, attempts: u32) {
        let (journal, outlet) = (self.journal.clone(), self.outlet.clone());
        // One request that ends in a panic must not silence those behind it.
        journal.watch("journal-read", || {
            let places: Vec<_> = entries.iter().map(|(_, at)| place(*at)).collect();
            let (mut found, mut again) = (Vec::new(), Vec::new());
            let mut block = BytesMut::new();
            for ((seq, at), record) in entries.into_iter().zip(journal.read_many(&places)) {
                match record {
                    Err(ReadError::Disk(error)) if attempts < ATTEMPTS_MAX => {
                        tracing::warn!(%error, queue = queue.0, seq, attempts, "the disk does not give a message back");
                        again.push((seq, at));
                    }
                    Err(error) => {
                        tracing::error!(%error, queue = queue.0, seq, "a stored message cannot be read and is set aside");
                        found.push((seq, None));
                    }
                    Ok(record) => found.push((seq, answer(&record, &mut block))),
                }
            }
            if !again.is_empty() {
                self.repeat((queue, again), attempts);
            }
            if !found.is_empty() {
                outlet.send(Completion::Read { queue, entries: found });
            }
        });
    }

    fn repeat(&mut self, request: ReadRequest, attempts: u32) {
        let delay: Duration = self.journal.config.retry_delay * 2_u32.pow(attempts - 1);
        self.refused.push(Refused { due: Instant::now() + delay, attempts, request });
    }
}

/// What the core asked for: length of the head, head, stored message; put into `block`, where there is room.
fn answer(record: &Record, block: &mut BytesMut) -> Option<Bytes> {
    let len = u16::try_from(record.head.len()).ok()?;
    let size = 2 + record.head.len() + record.body.len();
    if block.capacity() - block.len() < size {
        *block = BytesMut::with_capacity(size.max(ANSWERS_BLOCK));
    }
    block.put_u16_le(len);
    block.extend_from_slice(&record.head);
    block.extend_from_slice(&record.body);
    Some(block.split().freeze())
}
